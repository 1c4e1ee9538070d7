"""What a worker, or CALL campaign_run_sweeps(), makes of a source: the rules of
rules.py, and what doc/reference.md says of these two alone.  Written after that
text and nothing else; brackets name the section, as there.

Where the text leaves room (statistics of an open campaign "are refreshed" in time,
not at once), what the extension has done is looked at, and must be one of what it
may have done.
"""

from datetime import timedelta

from rules import ABSENT, HOUR, IN_FLIGHT, SWEEPS, Sweep

# [Settings of a source] <sweep>_every, check_delay; [Statistics] after a change
EVERY = {'expired': HOUR, 'timeout': 6 * HOUR, 'sending': HOUR / 30, 'interrupted': HOUR / 12}
CHECK_DELAY, COUNT_DELAY = timedelta(seconds=5), timedelta(seconds=9)
COUNTED_AGAIN, COUNTED_AGAIN_UNHINTED = HOUR, HOUR / 12
# "never before fifty times as long as the count took", however slow the machine
COUNT_TAKES = timedelta(minutes=10)
FORGOTTEN = timedelta(days=7)


def judges(kind, before, after, by_messages):
    """[After a change] The table: is the hint of a message of type 1 or 2 one to
    judge its campaign?"""
    waiting = ('pending', None)
    if after in waiting:
        return before not in waiting
    if after == ABSENT:
        return before in waiting or kind == 1 and before in IN_FLIGHT
    if by_messages and (before in waiting or before == ABSENT):
        return True
    return kind == 2 or after in ('failed', 'no_interaction')


class Host:
    """Of one source.  "seen" below is a function that tells, of a campaign, its word
    and its statistics after the CALL."""

    def __init__(self, source):
        self.source = source
        self.last = dict.fromkeys(SWEEPS)       # runs by the clock
        self.visited_at = None                  # by whoever may have counted campaigns
        self.activated_at = None                # any source

    def hinted(self):
        """[The trigger on messages] [Attached tables] "On a view there is no trigger"."""
        return not self.source.application.views()

    def note(self, campaign, kind, before, after, now):
        """[After a change] A transaction did that to a message; "nothing is noted of a
        source that is paused"."""
        before, after = (ABSENT if status == 'ignored' else status for status in (before, after))
        if kind is None or before == after or not self.hinted() or self.source.policy.mode == 'paused':
            return
        by_messages = self.source.policy.completion_rule == 'messages' or self.source.application.has('campaigns', 'completion_rule')
        # "a later change does not postpone that"
        if judges(kind, before, after, by_messages):
            campaign.judge_at = min(campaign.judge_at or now + CHECK_DELAY, now + CHECK_DELAY)
        campaign.count_at = min(campaign.count_at or now + COUNT_DELAY, now + COUNT_DELAY)

    def due(self, kind, now):
        """[Settings of a source: <sweep>_every] "From the beginning of one run to that
        of the next"."""
        return self.last[kind] is None or self.last[kind] + EVERY[kind] <= now

    def thorough(self, now, force):
        """[Sending] "Only once an hour (in the first run that begins in it), in the first
        run after the server started, or a source was set to active or shadow, in every
        run where the trigger is missing, and with force"."""
        last = self.last['sending']
        return force or not self.hinted() or last is None or self.activated_at is not None and last < self.activated_at or \
            last.replace(minute=0, second=0, microsecond=0) != now.replace(minute=0, second=0, microsecond=0)

    def call(self, now, force, seen):
        """[campaign_run_sweeps] "Runs whatever is due"; "force runs all sweeps"."""
        policy = self.source.policy
        if policy.mode == 'paused':
            return
        campaigns = list(self.source.campaigns.values())
        acts, fresh = policy.mode == 'active', set()
        due = [kind for kind in SWEEPS if force or self.due(kind, now)]
        thorough = self.thorough(now, force)
        for campaign in campaigns:
            judge, count = self.take_hints(campaign, now)
            if acts and (judge or count):
                self.serve_hint(campaign, judge, now, fresh)
        for kind in due:
            self.last[kind] = now
            for campaign in campaigns if acts else ():
                self.sweep(campaign, kind, now, thorough, 'sending' in due, fresh, seen)
        for campaign in campaigns if acts else ():
            self.refresh(campaign, fresh, seen)
        self.visited_at = now

    def take_hints(self, campaign, now):
        judge = campaign.judge_at is not None and campaign.judge_at <= now
        count = campaign.count_at is not None and campaign.count_at <= now
        if judge:
            campaign.judge_at = None
        if count:
            campaign.count_at = None
        return judge, count

    def serve_hint(self, campaign, judge, now, fresh):
        """[After a change] "It judges the campaign as the sending sweep does"; [Statistics]
        "counting an open campaign's statistics never closes it"."""
        if campaign.state in ('completed', 'failed'):
            campaign.settle(now, False)
        elif campaign.state == 'open':
            campaign.look()
            if judge and campaign.complete():
                campaign.judge(now)
            elif self.witnessed(campaign) and (self.visited_at is None or self.visited_at + COUNT_TAKES <= now):
                fresh.add(campaign)

    def witnessed(self, campaign):
        """[Words: witness] "One message that keeps an open campaign open"."""
        return campaign.waiting() or campaign.setting('completion_rule') == 'contacts' and campaign.awaiting()

    def sweep(self, campaign, kind, now, thorough, sending, fresh, seen):
        """One sweep comes to one campaign."""
        if campaign.state != 'open':
            if kind == 'sending' and thorough:
                campaign.sweep(kind, now, Sweep())
        elif kind in ('expired', 'timeout'):
            events = len(campaign.events)
            campaign.sweep(kind, now, Sweep(), host=True)
            # [Statistics] "when some of its messages have been marked"
            if len(campaign.events) > events:
                fresh.add(campaign)
        elif kind == 'sending':
            self.judge(campaign, now, fresh)
        elif campaign.counted('pending'):
            campaign.look()
            campaign.stall(now)
        elif not sending and campaign.complete() and seen(campaign)[0] != campaign.word:
            # [Interrupted] "leaves that to the sweep sending and to hints where it knows
            # that something was sent within stall_after, or that nothing was pending"
            campaign.judge(now)

    def judge(self, campaign, now, fresh):
        """[Sending] "Does not count one whose witness still keeps it open"; [Statistics]
        "for what no hint told: an hour after the last count, or 5 minutes where the
        trigger is missing"."""
        campaign.look()
        if campaign.complete():
            campaign.judge(now)
            return
        again = COUNTED_AGAIN if self.hinted() else COUNTED_AGAIN_UNHINTED
        if not self.witnessed(campaign) or self.visited_at is None or self.visited_at + again < now:
            fresh.add(campaign)

    def refresh(self, campaign, fresh, seen):
        """[Statistics] Those of an open campaign: where they need not be fresh they are
        what they were, or are."""
        if campaign.state != 'open':
            return
        before = campaign.statistics
        campaign.recount()
        if campaign not in fresh and seen(campaign)[1] == before:
            campaign.statistics = before

    def forget(self, campaign, now):
        """[campaign_state] "Rows are forgotten a week after that": this one is.  Might it
        be?"""
        moments = [campaign.closing[1]] if campaign.closing else []
        moments += [campaign.stalled_at] if campaign.stalls else []
        if max(moments) + FORGOTTEN > now:
            return False
        campaign.closing, campaign.stalls, campaign.stalled_at = None, 0, None
        return True
