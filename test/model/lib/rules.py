"""The rules of doc/reference.md, written after that text and nothing else.

An application (see applications.py) has a policy, campaigns and interactions; a
campaign has messages.  Their methods are the rules: what they change here, the
extension has to change in the tables.  No SQL, no clock.
"""

import copy
from datetime import timedelta

HOUR = timedelta(hours=1)
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
    """24h, 90min, 45s."""
    seconds = int(interval.total_seconds())
    if seconds % 3600 == 0:
        return f'{seconds // 3600}h'
    return f'{seconds // 60}min' if seconds % 60 == 0 else f'{seconds}s'


class Policy:
    """The settings of a source."""

    def __init__(self):
        self.mode, self.completion_rule, self.late_interactions = 'active', 'contacts', 'accept'
        self.interaction_timeout, self.campaign_timeout = 24 * HOUR, 48 * HOUR
        self.stall_after, self.settle_for = timedelta(minutes=10), 24 * HOUR
        self.interaction_message = self.timeout_message = None


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
        return self.kind is not None and self.status != 'ignored' and not self.hidden

    def answers(self):
        """A Message 2 that has left pending."""
        return self.kind == 2 and self.status in KNOWN and self.status != 'pending' and not self.hidden


class Sweep:
    """What one sweep of one source says of itself."""

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
        self.closing = None             # by the extension: state, word, moment, reason
        self.stalls, self.stalled_at = 0, None

    # What there is.

    def start(self):
        return max(m for m in (self.started_at or self.created_at, self.resumed_at, self.reopened_at) if m)

    def setting(self, name):
        own = getattr(self, name)
        if name == 'completion_rule':
            return own if own in ('contacts', 'messages') else self.source.policy.completion_rule
        return own if own is not None and own > timedelta(0) else getattr(self.source.policy, name)

    def counted(self, *statuses, kind=None):
        return [m for m in self.messages.values() if m.counted() and (not statuses or m.status in statuses) and kind in (None, m.kind)]

    def moment(self, message):
        """When a message was sent, for the 24 hours."""
        application = self.source.application
        if application.has('messages', 'sent_at') and message.sent_at is not None:
            return message.sent_at
        return max(message.created_at, self.start()) if application.has('messages', 'created_at') else self.start()

    def last_sent(self):
        """When anything was sent, as far as the messages tell."""
        has = self.source.application.has
        if has('messages', 'sent_at'):
            moments = [m.sent_at for m in self.counted() if m.sent_at is not None]
        else:
            moments = [getattr(m, c) for m in self.counted(*IN_FLIGHT) for c in ('created_at', 'updated_at') if has('messages', c)]
        return max(moments, default=None)

    def contacts(self):
        """Messages by contact; one that has none is alone."""
        contacts = {}
        for number, m in self.messages.items():
            if m.kind is not None and not m.hidden:
                contacts.setdefault(('alone', number) if m.contact is None else m.contact, []).append(m)
        return {contact: ms for contact, ms in contacts.items() if any(m.counted() for m in ms)}

    def awaiting(self):
        return [contact for contact, ms in self.contacts().items()
                if any(m.kind == 1 and m.status in IN_FLIGHT for m in ms) and not any(m.answers() for m in ms)]

    def finished(self):
        awaiting = self.awaiting()
        return [contact for contact, ms in self.contacts().items()
                if contact not in awaiting and all(m.status in KNOWN and m.status != 'pending' for m in ms if m.counted())]

    def complete(self):
        if not self.counted() or any(m.status not in KNOWN or m.status == 'pending' for m in self.counted()):
            return False
        if len(self.counted(kind=1)) < self.recipients:
            return False
        return self.setting('completion_rule') == 'messages' or not self.awaiting()

    def interaction_count(self):
        own = [i for i in self.source.interactions if i.counts() and i.campaign == self.number]
        first = {}      # moment of each contact's first Message 1
        for m in self.counted('sent', 'delivered', 'read', 'no_interaction', kind=1):
            if m.contact is not None:
                first[m.contact] = min(self.moment(m), first.get(m.contact, self.moment(m)))
        return len(own) + sum(i.counts() and i.campaign is None and i.contact in first and first[i.contact] < i.received_at
                              for i in self.source.interactions)

    def count(self):
        """The statistics as they should be, of the columns that there are."""
        sent, failed, silent = len(self.counted(*IN_FLIGHT)), len(self.counted('failed')), len(self.counted('no_interaction'))
        waiting = len([m for m in self.counted() if m.status not in KNOWN or m.status == 'pending'])
        counts = dict(sent_count=sent, success_count=sent, failed_count=failed + silent, delivered_count=len(self.counted('delivered')),
                      read_count=len(self.counted('read')), no_interaction_count=silent, pending_count=waiting,
                      interaction_count=self.interaction_count())
        return {name: counts[name] for name in self.statistics}

    # What happens to it.

    def event(self, name, before, at, reason, **details):
        Campaign.numbers += 1
        self.events.append(dict(number=Campaign.numbers, event=name, at=at, status_from=before, status_to=self.word, reason=reason, details=details))

    def recount(self):
        """Refresh the statistics; were they others?"""
        before, self.statistics = self.statistics, self.count()
        return before != self.statistics

    def close(self, now, by, reason, failed=0):
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
        before = self.word
        self.recount()
        self.state, self.word, self.completed_at = 'open', self.source.application.word('campaigns', 'sending'), None
        self.closing, self.stalls, self.stalled_at, self.reopened_at = None, 0, None, now
        self.event('reopened', before, now, reason)

    def judge(self, now):
        """Open: recount, and close if complete.  Was anything written?"""
        if not self.complete():
            return self.recount()
        self.close(now, 'complete', REASONS[self.setting('completion_rule')])
        return True

    def closed_at(self):
        """When it was closed, as far as anything tells: where the table does not,
        what we remember does."""
        if self.source.application.has('campaigns', 'completed_at'):
            return self.completed_at
        return self.closing[1] if self.ours() else None

    def ours(self):
        """Is it as the extension closed it?"""
        if self.closing is None or self.closing[0] != self.word:
            return False
        return not self.source.application.has('campaigns', 'completed_at') or self.completed_at == self.closing[1]

    def settle(self, now, asked):
        """Terminal; asked: somebody calls campaign_update_status().  Was anything written?"""
        settled = now - self.source.policy.settle_for
        if self.ours() and self.closing[2] == 'complete' and self.closing[1] >= settled and self.counted('pending'):
            self.reopen(now, REASONS['reopen'])
            return True
        filled = asked and self.closed_at() is None and self.source.application.has('campaigns', 'completed_at')
        if filled:
            self.completed_at = now
        return (self.closed_at() is not None and self.closed_at() >= settled and self.recount()) or filled

    def look(self):
        """Whoever looks at an open campaign forgets that it was closed."""
        if self.state == 'open' and self.closing is not None:
            self.closing, self.stalls, self.stalled_at = None, 0, None

    def replied(self, message):
        """Has its contact replied to this Message 1, in time where that matters?"""
        moment, policy = self.moment(message), self.source.policy
        return any(i.counts() and i.contact == message.contact and
                   (i.campaign == self.number or i.campaign is None and moment < i.received_at) and
                   (policy.late_interactions == 'accept' or i.received_at - moment <= self.setting('interaction_timeout'))
                   for i in self.source.interactions)

    def expired(self, now):
        """Message 1 rows in flight that are too old, silent or not."""
        return [m for m in self.counted(*IN_FLIGHT, kind=1) if self.moment(m) < now - self.setting('interaction_timeout')]

    def due(self, now):
        return [m for m in self.expired(now) if m.contact is None or not self.replied(m) and not any(
            n.kind == 2 and n.contact == m.contact and not n.hidden for n in self.messages.values())]

    def write(self, message, status, error, now):
        message.status, message.word, message.error = status, self.source.application.word('messages', status), error
        message.updated_at = now

    def mark(self, now):
        due = self.due(now)
        error = self.source.policy.interaction_message or f"Pas d'interaction dans les {interval_text(self.setting('interaction_timeout'))}"
        for m in due:
            self.write(m, 'no_interaction', error, now)
        if due:
            self.event('expired', self.word, now, error, messages=len(due))
        return due

    def fail_pending(self, now, error):
        pending = self.counted('pending')
        for m in pending:
            self.write(m, 'failed', error, now)
        return len(pending)

    def stall(self, now):
        """Ask to resume sending, if that is due; was it?"""
        stall_after = self.source.policy.stall_after
        idle_since = max(m for m in (self.last_sent(), self.start()) if m)
        if self.stalled_at is None or self.stalled_at < idle_since:
            self.stalls = 0
        due = idle_since + stall_after
        if self.stalls:
            due = self.stalled_at + min(stall_after * 2 ** (self.stalls - 1), max(HOUR, stall_after))
        if now < due:
            return False
        self.stalls, self.stalled_at = self.stalls + 1, now
        self.event('stalled', self.word, now, REASONS['stalled'], number=self.stalls, pending=len(self.counted('pending')))
        return True

    def timed_out(self, now):
        return self.state == 'open' and self.start() < now - self.setting('campaign_timeout')

    def sweep(self, kind, now, result):
        """One sweep comes by; it is told of in result."""
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
            marked = len(self.mark(now))
            result.marked += marked
            if marked:
                self.judge(now)
                updated = True
        elif kind == 'timeout' and self.timed_out(now):
            result.messages_checked += len(self.expired(now)) + len(self.counted('pending')) if marks else len(self.counted('pending'))
            marked = len(self.mark(now)) if marks else 0
            failed = self.fail_pending(now, self.timeout_message())
            result.marked += marked + failed
            self.close(now, 'timeout', REASONS['timeout'], failed)
            updated = True
        result.updated += updated
        result.closed += self.state != 'open'

    def timeout_message(self):
        return self.source.policy.timeout_message or \
            f"Timeout {interval_text(self.setting('campaign_timeout'))} - campagne clôturée automatiquement"

    # What is foreseen.

    def preview(self, now):
        """The rows of campaign_preview(): what the four sweeps would do, one after
        the other, until one closes or reopens it."""
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
