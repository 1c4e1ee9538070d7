"""The rules of doc/reference.md, written after that text and nothing else.

An application (see applications.py) has a policy, campaigns and interactions; a
campaign has messages.  Their methods are the rules: what they change here, the
extension has to change in the tables.  No SQL, no clock.

Each method names the section of doc/reference.md that it is written after, in
brackets, and says in which words.
"""

import copy
from datetime import timedelta

HOUR = timedelta(hours=1)
ABSENT = 'absent'       # what a message that is not there is before, or after, a change
PASSES, PASSES_FROM = 3, 1000
IN_FLIGHT = ('sent', 'delivered', 'read')
KNOWN = ('pending', 'failed', 'no_interaction') + IN_FLIGHT
STATISTICS = ('sent_count', 'success_count', 'failed_count', 'delivered_count', 'read_count',
              'no_interaction_count', 'pending_count', 'interaction_count')
SWEEPS = ('expired', 'timeout', 'sending', 'interrupted')   # in the order in which they run

REASONS = {
    'contacts': "every contact's cycle has ended",
    'messages': 'no message is pending',
    'timeout': 'open for longer than campaign_timeout',
    'reopen': 'a pending message appeared after closing',
    'stalled': 'pending messages, and none sent for stall_after',
}


def interval_text(interval):
    """[Settings of a source: interaction_message, timeout_message] "naming the
    interval": 24h, 90min, 45s."""
    seconds = int(interval.total_seconds())
    if seconds % 3600 == 0:
        return f'{seconds // 3600}h'
    return f'{seconds // 60}min' if seconds % 60 == 0 else f'{seconds}s'


class Policy:
    """[Settings of a source] With their defaults."""

    def __init__(self):
        self.mode, self.completion_rule, self.late_interactions = 'active', 'contacts', 'accept'
        self.interaction_timeout, self.campaign_timeout = 24 * HOUR, 48 * HOUR
        self.stall_after, self.settle_for = timedelta(minutes=10), 24 * HOUR
        self.interaction_message = self.timeout_message = None
        self.batch_size = 5000


class Source:
    """What the rules know of a source; its tables are the application's."""

    def __init__(self, application, policy):
        self.application, self.policy = application, policy
        self.campaigns, self.interactions = {}, []

    def __deepcopy__(self, memo):
        return self     # a campaign is copied to try something, its source is not


class Interaction:
    def __init__(self, campaign, contact, kind, received_at):
        self.campaign, self.contact, self.kind, self.received_at = campaign, contact, kind, received_at

    def counts(self):
        """[Statistics] "interactions of type reply or reaction"."""
        return self.kind in ('reply', 'reaction')


class Message:
    """kind: 1, 2 or None, which is neither.  status: a standard word, 'ignored'
    or None, which is one that nobody knows."""

    def __init__(self, contact, kind, status, word, now):
        self.contact, self.kind, self.status, self.word = contact, kind, status, word
        self.error = self.sent_at = None
        self.created_at = self.updated_at = now
        self.batch, self.hidden = 0, False          # see the application with batches

    def counted(self):
        """[Words: Message 1, Message 2] "A message of another type belongs to no
        tally"; [Attached tables: labels] nor does one
        in a status that is "ignored"."""
        return self.kind is not None and self.status != 'ignored' and not self.hidden

    def answers(self):
        """[Words: awaiting] "Message 2 that has left pending"; [Completion] "a
        message in an unknown status counts as pending"."""
        return self.kind == 2 and self.status in KNOWN and self.status != 'pending' and not self.hidden


class Sweep:
    """[Sweep functions: their result] What one sweep of one source says of itself."""

    def __init__(self):
        self.checked = self.updated = self.closed = self.resumed = self.messages_checked = self.marked = 0

    def row(self):
        return (self.checked, self.updated, self.closed, self.resumed, 0, self.messages_checked, self.marked)


class Campaign:
    """The state of a campaign is what the application's tables and the
    extension's memory have of it; state is 'open', 'completed', 'failed' or
    'other', and word the application's for it."""

    numbers = 0     # of events

    def __init__(self, source, number, state, word, recipients, now):
        self.source, self.number, self.state, self.word = source, number, state, word
        self.recipients = recipients if source.application.has('campaigns', 'total_recipients') else 0
        self.created_at, self.started_at, self.resumed_at, self.completed_at = now, None, None, None
        self.interaction_timeout = self.campaign_timeout = self.completion_rule = None
        self.statistics = source.application.no_statistics()
        self.messages, self.events, self.deleted = {}, [], False
        self.reopened_at = None
        self.closing = None             # by the extension: word, moment, by what
        self.stalls, self.stalled_at = 0, None
        self.judge_at = self.count_at = None    # hints, and when they fall due

    # What there is.

    def start(self):
        """[Words: start] "started_at, or created_at where that is null; or
        resumed_at, or its last reopening, if later"."""
        return max(m for m in (self.started_at or self.created_at, self.resumed_at, self.reopened_at) if m)

    def setting(self, name):
        """[Settings of a campaign] What its own row says instead of the source."""
        own = getattr(self, name)
        if name == 'completion_rule':
            return own if own in ('contacts', 'messages') else self.source.policy.completion_rule
        return own if own is not None and own > timedelta(0) else getattr(self.source.policy, name)

    def counted(self, *statuses, kind=None):
        return [m for m in self.messages.values() if m.counted() and (not statuses or m.status in statuses) and kind in (None, m.kind)]

    def moment(self, message):
        """[24 hours] "Sent at: sent_at; where that is null, created_at or the
        campaign's start, whichever is later"."""
        application = self.source.application
        if application.has('messages', 'sent_at') and message.sent_at is not None:
            return message.sent_at
        return max(message.created_at, self.start()) if application.has('messages', 'created_at') else self.start()

    def last_sent(self):
        """[Interrupted] "its latest sent_at"; [Attached tables] what stands in for
        it where there is none."""
        has = self.source.application.has
        if has('messages', 'sent_at'):
            moments = [m.sent_at for m in self.counted() if m.sent_at is not None]
        else:
            moments = [getattr(m, c) for m in self.counted(*IN_FLIGHT) for c in ('created_at', 'updated_at') if has('messages', c)]
        return max(moments, default=None)

    def contacts(self):
        """[Words] Messages by contact; "a message without a contact counts as a
        contact of its own"."""
        contacts = {}
        for number, m in self.messages.items():
            if m.kind is not None and not m.hidden:
                contacts.setdefault(('alone', number) if m.contact is None else m.contact, []).append(m)
        return {contact: ms for contact, ms in contacts.items() if any(m.counted() for m in ms)}

    def awaiting(self):
        """[Words: awaiting] "Has a Message 1 in flight and no Message 2 that has
        left pending"."""
        return [contact for contact, ms in self.contacts().items()
                if any(m.kind == 1 and m.status in IN_FLIGHT for m in ms) and not any(m.answers() for m in ms)]

    def finished(self):
        """[campaign_update_status: contacts_completed] Those who await nothing."""
        awaiting = self.awaiting()
        return [contact for contact, ms in self.contacts().items()
                if contact not in awaiting and all(m.status in KNOWN and m.status != 'pending' for m in ms if m.counted())]

    def waiting(self):
        """[Completion] "A message in an unknown status counts as pending"."""
        return [m for m in self.counted() if m.status not in KNOWN or m.status == 'pending']

    def complete(self):
        """[Completion] Conditions 1 to 5, of which "by the rule messages condition 5
        is left out"."""
        if not self.counted() or self.waiting():
            return False
        if len(self.counted(kind=1)) < self.recipients:
            return False
        return self.setting('completion_rule') == 'messages' or not self.awaiting()

    def interaction_count(self):
        """[Statistics: interaction_count] [Attached tables] And those that tell no
        campaign, of its contacts, after their Message 1."""
        own = [i for i in self.source.interactions if i.counts() and i.campaign == self.number]
        first = {}      # moment of each contact's first Message 1
        for m in self.counted('sent', 'delivered', 'read', 'no_interaction', kind=1):
            if m.contact is not None:
                first[m.contact] = min(self.moment(m), first.get(m.contact, self.moment(m)))
        return len(own) + sum(i.counts() and i.campaign is None and i.contact in first and first[i.contact] < i.received_at
                              for i in self.source.interactions)

    def count(self):
        """[Statistics] "Always counted anew", of the columns that there are."""
        sent, failed, silent = len(self.counted(*IN_FLIGHT)), len(self.counted('failed')), len(self.counted('no_interaction'))
        waiting = len(self.waiting())
        counts = dict(sent_count=sent, success_count=sent, failed_count=failed + silent, delivered_count=len(self.counted('delivered')),
                      read_count=len(self.counted('read')), no_interaction_count=silent, pending_count=waiting,
                      interaction_count=self.interaction_count())
        return {name: counts[name] for name in self.statistics}

    # What happens to it.

    def event(self, name, before, at, reason, **details):
        """[Events]"""
        Campaign.numbers += 1
        self.events.append(dict(number=Campaign.numbers, event=name, at=at, status_from=before, status_to=self.word, reason=reason, details=details))

    def recount(self):
        """Refresh the statistics; were they others?"""
        before, self.statistics = self.statistics, self.count()
        return before != self.statistics

    def close(self, now, by, reason, failed=0):
        """[Status of a complete campaign] "failed when at least one message failed,
        none is sent, delivered or read, and none is no_interaction";
        [completed_at] "set to as_of when the campaign becomes terminal";
        [Statistics] "exact when the campaign is closed"."""
        before = self.word
        self.recount()
        all_failed = self.counted('failed') and not self.counted('no_interaction', *IN_FLIGHT)
        self.state = 'failed' if all_failed else 'completed'
        self.word = self.source.application.word('campaigns', self.state)
        if self.source.application.has('campaigns', 'completed_at'):
            self.completed_at = now
        self.closing = (self.word, now, by)
        self.stalls, self.stalled_at = 0, None
        self.event('closed', before, now, reason, awaiting=len(self.awaiting()), contacts=len(self.contacts()),
                   **({'failed_by_us': failed} if failed else {}))

    def reopen(self, now, reason):
        """[Reopening] "Goes back to sending and loses its completed_at"; it "counts
        as the campaign's start"."""
        before = self.word
        self.recount()
        self.state, self.word, self.completed_at = 'open', self.source.application.word('campaigns', 'sending'), None
        self.closing, self.stalls, self.stalled_at, self.reopened_at = None, 0, None, now
        self.event('reopened', before, now, reason)

    def judge(self, now):
        """[Sending] "Judged, and closed if complete"; [Statistics] recounted by a
        function "always".  Was anything written?"""
        if not self.complete():
            return self.recount()
        self.close(now, 'complete', REASONS[self.setting('completion_rule')])
        return True

    def closed_at(self):
        """[Attached tables: completed_at] When it was closed: where the table does
        not tell, "only the extension knows"."""
        if self.source.application.has('campaigns', 'completed_at'):
            return self.completed_at
        return self.closing[1] if self.ours() else None

    def ours(self):
        """[Reopening] Is it as the extension closed it?  "No other terminal campaign
        is ever reopened by itself"."""
        if self.closing is None or self.closing[0] != self.word:
            return False
        return not self.source.application.has('campaigns', 'completed_at') or self.completed_at == self.closing[1]

    def settle(self, now, asked):
        """Terminal.  [Reopening] "Closed as complete (not by the 48 hours), in which
        a pending message appears within settle_for"; [completed_at]
        campaign_update_status() (asked) "fills it in"; [Statistics] "for settle_for
        they are kept right".  Was anything written?"""
        settled = now - self.source.policy.settle_for
        if self.ours() and self.closing[2] == 'complete' and self.closing[1] >= settled and self.counted('pending'):
            self.reopen(now, REASONS['reopen'])
            return True
        filled = asked and self.closed_at() is None and self.source.application.has('campaigns', 'completed_at')
        if filled:
            self.completed_at = now
        return (self.closed_at() is not None and self.closed_at() >= settled and self.recount()) or filled

    def look(self):
        """[Reopening] One that we closed, and that is open again, was opened by
        somebody else: if it is stopped later, that is no closing of ours."""
        if self.state == 'open' and self.closing is not None:
            self.closing, self.stalls, self.stalled_at = None, 0, None

    def replied(self, message):
        """[24 hours] "Its contact has no interaction of type reply or reaction in that
        campaign", and what late_interactions makes of a late one."""
        moment, policy = self.moment(message), self.source.policy
        return any(i.counts() and i.contact == message.contact and
                   (i.campaign == self.number or i.campaign is None and moment < i.received_at) and
                   (policy.late_interactions == 'accept' or i.received_at - moment <= self.setting('interaction_timeout'))
                   for i in self.source.interactions)

    def expired(self, now):
        """[24 hours] In flight, and "sent before as_of - interaction_timeout",
        answered or not."""
        return [m for m in self.counted(*IN_FLIGHT, kind=1) if self.moment(m) < now - self.setting('interaction_timeout')]

    def due(self, now):
        """[24 hours] Of these, whose contact "has no Message 2 in that campaign, in
        any status", and has not answered."""
        return [m for m in self.expired(now) if m.contact is None or not self.replied(m) and not any(
            n.kind == 2 and n.contact == m.contact and not n.hidden for n in self.messages.values())]

    def write(self, message, status, error, now):
        message.status, message.word, message.error = status, self.source.application.word('messages', status), error
        message.updated_at = now

    def shares(self, count, host, passes):
        """[24 hours] "A function call marks a campaign in one statement"; a host in
        batches, or in passes, "each about a third of the rows": None."""
        batch = self.source.policy.batch_size if host else max(count, 1)
        if host and passes and PASSES_FROM <= count <= PASSES * batch and not self.source.application.views():
            return None
        return [min(batch, count - n) for n in range(0, count, batch)]

    def mark(self, now, host=False, passes=False):
        """[24 hours] "Becomes no_interaction, with the error message"; [Events:
        expired] "one a marking transaction", of which a host has several."""
        due = self.due(now)
        error = self.source.policy.interaction_message or f"Pas d'interaction dans les {interval_text(self.setting('interaction_timeout'))}"
        for m in due:
            self.write(m, 'no_interaction', error, now)
        shares = self.shares(len(due), host, passes)
        for n in [len(due)] if shares is None else shares:
            self.event('expired', self.word, now, error, messages=n)
        if shares is None:
            self.events[-1]['passes'] = PASSES
        return due

    def fail_pending(self, now, error):
        """[48 hours] "Its pending messages become failed, with the error message";
        [By hand] likewise."""
        pending = self.counted('pending')
        for m in pending:
            self.write(m, 'failed', error, now)
        return len(pending)

    def stall(self, now):
        """[Interrupted] "Has sent none for stall_after"; the event is repeated
        "stall_after after the first, then after twice that, doubling up to an hour";
        "once something is sent, the numbering begins again".  Was it due?"""
        stall_after = self.source.policy.stall_after
        idle_since = max(m for m in (self.last_sent(), self.start()) if m)
        stalls = 0 if self.stalled_at is None or self.stalled_at < idle_since else self.stalls
        due = idle_since + stall_after
        if stalls:
            due = self.stalled_at + min(stall_after * 2 ** (stalls - 1), max(HOUR, stall_after))
        if now < due:
            return False
        self.stalls, self.stalled_at = stalls + 1, now
        self.event('stalled', self.word, now, REASONS['stalled'], number=self.stalls, pending=len(self.counted('pending')))
        return True

    def timed_out(self, now):
        """[48 hours] "An open campaign whose start is before as_of -
        campaign_timeout"."""
        return self.state == 'open' and self.start() < now - self.setting('campaign_timeout')

    def sweep(self, kind, now, result, host=False):
        """One sweep comes by; it is told of in result.  [Sending] "Campaigns that the
        extension closed less than settle_for ago are looked at as well"; [24 hours]
        "it is closed if that completed it"; [48 hours] 1 to 3; [Interrupted] "with
        nothing pending is judged"."""
        marks = self.source.application.marks()
        if self.state in ('completed', 'failed'):
            if kind == 'sending' and self.closing is not None and self.closing[1] >= now - self.source.policy.settle_for:
                result.updated += self.settle(now, False)
            return
        if self.state != 'open':
            return
        result.checked += 1
        self.look()
        updated = False
        if kind == 'sending' or kind == 'interrupted' and not self.counted('pending'):
            updated = self.judge(now)
        elif kind == 'interrupted':
            result.resumed += self.stall(now)
        elif kind == 'expired' and marks:
            result.messages_checked += len(self.expired(now))
            marked = len(self.mark(now, host, passes=True))
            result.marked += marked
            if marked:
                self.judge(now)
                updated = True
        elif kind == 'timeout' and self.timed_out(now):
            result.messages_checked += len(self.expired(now)) + len(self.counted('pending')) if marks else len(self.counted('pending'))
            marked = len(self.mark(now, host)) if marks else 0
            failed = self.fail_pending(now, self.timeout_message())
            result.marked += marked + failed
            self.close(now, 'timeout', REASONS['timeout'], failed)
            updated = True
        result.updated += updated
        result.closed += self.state != 'open'

    def timeout_message(self):
        """[48 hours] "With the error message"."""
        return self.source.policy.timeout_message or \
            f"Timeout {interval_text(self.setting('campaign_timeout'))} - campagne clôturée automatiquement"

    # What is foreseen.

    def preview(self, now):
        """[campaign_preview] What the four sweeps would do, one after the other,
        until one closes or reopens it."""
        c, rows = copy.deepcopy(self), []
        application = self.source.application
        for kind in SWEEPS:
            before, events = copy.deepcopy(c), len(c.events)
            c.sweep(kind, now, Sweep())
            for status in IN_FLIGHT + ('pending',):
                changed = [after for number, after in c.messages.items()
                           if before.messages[number].status == status and after.status != status]
                if changed:
                    rows.append((kind, 'messages', len(changed), ', '.join(application.words['messages'][status]), changed[0].word, changed[0].error))
            for event in c.events[events:]:
                if event['event'] == 'stalled':
                    rows.append((kind, 'stalled', event['details']['pending'], event['status_from'], event['status_to'], event['reason']))
                elif event['event'] != 'expired':
                    rows.append((kind, 'campaign', None, event['status_from'], event['status_to'], event['reason']))
            if c.state != before.state:
                break
        return rows
