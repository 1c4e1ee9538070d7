#!/usr/bin/python3
"""Random histories of campaigns, against a model of the rules.

Hypothesis draws what applications and their operators do, by SQL on their own
tables (campaigns, sends, callbacks out of order and repeated, replies, retries,
deletions, pauses, stops, settings), and which sweep comes by, while time passes
by as_of, mostly forwards.  The same is done to the model, lib/rules.py and
lib/host.py, which is written after doc/reference.md and nothing else.  Both must
come to the same: what each call returns, what a dry run and campaign_preview()
foresee, and, after each step, campaigns, messages and events.  A history for which
they do not is shrunk to a few steps and printed as SQL.

One history has one to three of the applications of lib/applications.py, whose
tables are the standard ones, partitioned ones, views, and others.  It is one
transaction, that is rolled back; or, where the server's clock can be told what
time it is, many: then CALL campaign_run_sweeps() comes by too, in whose hands
everything is as in a worker's, hints, what is remembered, batches and passes.

    histories.py [--seed N] [--seconds N] [--shrink N]
                 [--application NAME]... [--clock DIAL]

Needs a server that has the extension (PGHOST, PGPORT ...), and makes databases.
--clock: the server preloads the library, has test/include/clock.c for a clock, of
which DIAL is the file, and no launcher (max_worker_processes = 0); so test/run
starts it.
"""

import argparse
import collections
import copy
import mmap
import os
import struct
import sys
import time
from datetime import datetime, timedelta, timezone

import psycopg2
from hypothesis import HealthCheck, Phase, errors, given, seed, settings, strategies as st

DIRECTORY = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(DIRECTORY, 'lib'))

from applications import APPLICATIONS, BATCHES, CONTACTS, CROWD, MAX_CAMPAIGNS     # noqa: E402
from host import Host   # noqa: E402
from rules import ABSENT, IN_FLIGHT, SWEEPS, Campaign, Interaction, Message, Policy, Source, Sweep  # noqa: E402

DATABASE, HOSTED_DATABASE = 'campaign_histories', 'campaign_hosted_histories'
# the night in which summer time begins comes next, where moments have no zone
BEGINNING = datetime(2025, 3, 29, tzinfo=timezone.utc)
FUNCTIONS = {
    'expired': 'campaign_check_expired_interactions', 'timeout': 'campaign_check_timeout',
    'sending': 'campaign_check_sending', 'interrupted': 'campaign_recover_interrupted',
}
# hosted histories follow one another, until the clock would be in this year
LAST_YEAR = 2100
MEMORY = ('campaign_event', 'campaign_sweep_run', 'campaign_state', 'campaign_reopening', 'campaign_retry')


def minutes(n):
    return timedelta(minutes=n)


SETTINGS = {
    'completion_rule': ['contacts', 'messages'],
    'interaction_timeout': [minutes(1440), minutes(90), minutes(60 * 12), minutes(60 * 60)],
    'campaign_timeout': [minutes(2880), minutes(300), minutes(60 * 24 * 20)],
    'stall_after': [minutes(10), minutes(1), minutes(120)],
    'settle_for': [minutes(1440), minutes(0), minutes(60)],
    'late_interactions': ['accept', 'ignore'],
    'interaction_message': [None, 'quiet'],
    'timeout_message': [None, 'too late'],
    'batch_size': [5000, 2, 1, 400],
    'mode': ['active', 'paused', 'shadow'],
}
OVERRIDES = {
    'completion_rule': [None, 'contacts', 'messages', 'nonsense'],
    'interaction_timeout': [None, minutes(60), minutes(0), minutes(-60), minutes(60 * 60)],
    'campaign_timeout': [None, minutes(300), minutes(0), minutes(60 * 24 * 20)],
}


class Difference(AssertionError):
    pass


class TimeIsUp(BaseException):
    """No failure; Hypothesis lets it pass."""


class History:
    """Does everything to the database and to the model, and compares them."""

    def __init__(self, cursor, names, now=BEGINNING):
        self.cursor, self.sql, self.steps = cursor, [], 0
        self.now, self.numbers = now, 0
        self.sources, self.campaigns = [], []       # campaigns: of all sources
        for name in names:
            application = next(a for a in APPLICATIONS if a.name == name)
            policy = Policy()
            policy.completion_rule = application.rule
            self.sources.append(Source(application, policy))
        self.hosts = {source: Host(source) for source in self.sources}
        self.detached = set()

    def run(self, statement, *values):
        statement = self.cursor.mogrify(statement, values).decode()
        self.sql.append(statement + ';')
        self.cursor.execute(statement)
        return self.cursor.fetchall() if self.cursor.description else None

    def step(self, name, *arguments):
        self.steps += 1
        getattr(self, name)(*arguments)
        self.compare_tables()

    # Which one is meant.

    def nth(self, things, n):
        things = list(things)
        return things[n % len(things)] if things else None

    def source(self, n):
        return self.nth(self.sources, n)

    def chosen(self, c):
        return self.nth((campaign for campaign in self.campaigns if not campaign.deleted), c)

    def message_of(self, c, m):
        campaign = self.chosen(c)
        number = self.nth([n for n, m in campaign.messages.items() if not m.hidden], m) if campaign else None
        return campaign, number, campaign.messages[number] if number else None

    # What an application does.  Steps that do not apply do nothing.

    def campaign(self, s, recipients, launched):
        if len(self.campaigns) >= MAX_CAMPAIGNS:
            return
        source, number = self.source(s), len(self.campaigns) + 1
        application = source.application
        word = application.word('campaigns', 'sending', number) if launched else 'draft'
        campaign = Campaign(source, number, 'open' if launched else 'other', word, recipients, self.now)
        values = {'id': application.key(number), 'status': word, 'total_recipients': recipients, 'created_at': self.now}
        if launched and application.has('campaigns', 'started_at'):
            campaign.started_at = values['started_at'] = self.now
        self.run(*self.flat(application.insert('campaigns', values)))
        source.campaigns[number] = campaign
        self.campaigns.append(campaign)

    def flat(self, statement):
        return (statement[0],) + statement[1]

    def message(self, c, contact, kind, status, n):
        campaign = self.chosen(c)
        if campaign is None:
            return
        application = campaign.source.application
        if not application.has('messages', 'message_type'):
            kind = 1
        if kind is None and application.other_type is None:
            return
        contact = contact or None
        if self.taken(campaign, contact, kind):
            return
        self.numbers += 1
        number = campaign.number * 100000 + self.numbers
        message = Message(contact, kind, *self.word(application, status, n), self.now)
        if status in IN_FLIGHT:
            message.sent_at = self.now
        message.batch = self.nth([b for b in range(BATCHES) if b not in self.detached], n) if application.batches else 0
        values = {'id': application.message_key(number), 'campaign_id': application.key(campaign.number),
                  'contact_id': application.contact(contact), 'status': message.word, 'sent_at': message.sent_at,
                  'created_at': self.now, 'updated_at': self.now,
                  'message_type': application.word('message_types', f'message_{kind}', n) if kind else application.other_type}
        if application.batches:
            if message.batch is None:
                return
            values['batch'] = message.batch
        campaign.messages[number] = message
        self.run(*self.flat(application.insert('messages', values)))
        self.note(campaign, message, ABSENT)

    def note(self, campaign, message, before, after=None):
        self.hosts[campaign.source].note(campaign, message.kind, before, after or message.status, self.now)

    def fill(self, c, statuses, n):
        """Message 1 to several contacts."""
        for contact, status in enumerate(statuses, start=1):
            self.message(c, contact, 1, status, n)

    def taken(self, campaign, contact, kind):
        return campaign.source.application.unique and contact is not None and any(
            (m.contact, m.kind) == (contact, kind) for m in campaign.messages.values())

    def word(self, application, status, n):
        """A status that the application has, and its n-th word for it."""
        if status == 'unknown':
            return (None, application.unknown) if application.unknown else ('pending', application.word('messages', 'pending', n))
        if not application.words['messages'][status]:
            status = 'sent' if status in IN_FLIGHT else 'pending'
        return status, application.word('messages', status, n)

    def write_message(self, campaign, number, **changes):
        application, message = campaign.source.application, campaign.messages[number]
        message.updated_at = self.now
        statement = application.update('messages', application.message_key(number), {**changes, 'updated_at': self.now})
        if statement:
            self.run(*self.flat(statement))

    def callback(self, c, m, status, n):
        campaign, number, message = self.message_of(c, m)
        if number is None:
            return
        before = message.status
        message.status, message.word = self.word(campaign.source.application, status, n)
        if status in IN_FLIGHT and message.sent_at is None:
            message.sent_at = self.now
        self.write_message(campaign, number, status=message.word, sent_at=message.sent_at)
        self.note(campaign, message, before)

    def callbacks(self, c, status, n):
        """All messages of a campaign at once."""
        campaign = self.chosen(c)
        for m in range(len(campaign.messages) if campaign else 0):
            self.callback(c, m, status, n)

    def retry(self, c, m):
        campaign, number, message = self.message_of(c, m)
        if number is None or message.status not in ('failed', 'no_interaction'):
            return
        before = message.status
        message.status, message.word = self.word(campaign.source.application, 'pending', 0)
        message.error = message.sent_at = None
        self.write_message(campaign, number, status=message.word, sent_at=None, error_message=None)
        self.note(campaign, message, before)

    def delete(self, c, m):
        campaign, number, message = self.message_of(c, m)
        if number is None:
            return
        application = campaign.source.application
        del campaign.messages[number]
        self.run(*self.flat(application.delete('messages', 'id', application.message_key(number))))
        self.note(campaign, message, message.status, ABSENT)

    def move(self, c, m, to):
        """To another campaign of the same source: the key of partitions, perhaps."""
        campaign, number, message = self.message_of(c, m)
        other = self.nth(campaign.source.campaigns.values(), to) if number else None
        if other is None or other is campaign or self.taken(other, message.contact, message.kind):
            return
        other.messages[number] = campaign.messages.pop(number)
        application = campaign.source.application
        self.write_message(other, number, campaign_id=application.key(other.number))

    def redate(self, c, m, hours):
        """The same of the moment when it was created."""
        campaign, number, message = self.message_of(c, m)
        if number is not None and campaign.source.application.has('messages', 'created_at'):
            message.created_at += minutes(60 * hours)
            self.write_message(campaign, number, created_at=message.created_at)

    def rebatch(self, c, m, batch):
        campaign, number, message = self.message_of(c, m)
        if number is not None and campaign.source.application.batches and batch not in self.detached:
            moved, message.batch = message.batch != batch, batch
            self.write_message(campaign, number, batch=batch)
            if moved:       # from one partition to another: deleted here, inserted there
                self.note(campaign, message, message.status, ABSENT)
                self.note(campaign, message, ABSENT)

    def partition(self, batch):
        """Detach or attach one."""
        source = next((s for s in self.sources if s.application.batches), None)
        if source is None:
            return
        hide = batch not in self.detached
        (self.detached.add if hide else self.detached.remove)(batch)
        for campaign in source.campaigns.values():
            for message in campaign.messages.values():
                if message.batch == batch:
                    message.hidden = hide
        name = source.application.name
        self.run(f'ALTER TABLE {name}.messages DETACH PARTITION {name}.messages_{batch}' if hide else
                 f'ALTER TABLE {name}.messages ATTACH PARTITION {name}.messages_{batch} FOR VALUES IN ({batch})')

    def delete_campaign(self, c):
        campaign = self.chosen(c)
        if campaign is None or any(m.hidden for m in campaign.messages.values()):
            return
        source, application = campaign.source, campaign.source.application
        key = application.key(campaign.number)
        if application.own_interactions():
            self.run(*self.flat(application.delete('interactions', 'campaign_id', key)))
        if not application.unique:      # no foreign keys there
            self.run(*self.flat(application.delete('messages', 'campaign_id', key)))
        self.run(*self.flat(application.delete('campaigns', 'id', key)))
        source.interactions = [i for i in source.interactions if i.campaign != campaign.number]
        campaign.deleted, campaign.messages = True, {}
        del source.campaigns[campaign.number]

    def reply(self, c, contact, kind, told):
        campaign = self.chosen(c)
        if campaign is None or 'interactions' not in campaign.source.application.columns:
            return
        application = campaign.source.application
        if kind == 'other' and application.other_kind is None or not application.has('interactions', 'interaction_type') \
                or kind == 'reaction' and not application.words['interactions']['reaction']:
            kind = 'reply'
        if application.tells == 'always' or application.tells == 'sometimes' and told:
            number = campaign.number
        else:
            number = None
        campaign.source.interactions.append(Interaction(number, contact, kind, self.now))
        values = {'contact_id': application.contact(contact), 'received_at': self.now,
                  'campaign_id': number and application.key(number),
                  'interaction_type': application.other_kind if kind == 'other' else application.word('interactions', kind, contact)}
        self.run(*self.flat(application.insert('interactions', values)))

    def write_campaign(self, campaign, **changes):
        application = campaign.source.application
        for name, value in changes.items():
            if name != 'status' and application.has('campaigns', name):
                setattr(campaign, name, value)
        statement = application.update('campaigns', application.key(campaign.number), changes)
        if statement:
            self.run(*self.flat(statement))

    def set_status(self, c, after, n):
        """Launched, paused, resumed or stopped by the application, or opened again."""
        campaign = self.chosen(c)
        if campaign is None:
            return
        application = campaign.source.application
        before, changes = campaign.state, {}
        if after == 'sending':
            if before == 'open':
                return
            if before != 'other':
                if not application.has('campaigns', 'completed_at'):
                    return      # nobody could tell a later closing of its own from ours
                changes['completed_at'] = None
            changes['started_at' if campaign.word == 'draft' else 'resumed_at'] = self.now
            campaign.state, campaign.word = 'open', application.word('campaigns', 'sending', n)
        elif after == 'paused':
            if before != 'open':
                return
            campaign.state, campaign.word = 'other', 'paused'
        elif before != 'open':
            return
        else:
            campaign.state, campaign.word = after, application.word('campaigns', after, n)
            if n % 2:
                changes['completed_at'] = self.now
        self.write_campaign(campaign, status=campaign.word, **changes)

    def recipients(self, c, n):
        campaign = self.chosen(c)
        if campaign is not None and campaign.source.application.has('campaigns', 'total_recipients'):
            campaign.recipients = n
            self.write_campaign(campaign, total_recipients=n)

    def override(self, c, name, n):
        campaign = self.chosen(c)
        if campaign is not None and campaign.source.application.has('campaigns', name):
            self.write_campaign(campaign, **{name: self.nth(OVERRIDES[name], n)})

    def setting(self, s, name, n):
        source, value = self.source(s), self.nth(SETTINGS[name], n)
        if value == 'ignore' and not source.application.has('interactions', 'received_at'):
            return
        self.alter(source, name, value)

    def alter(self, source, name, value):
        setattr(source.policy, name, value)
        if name == 'mode' and value != 'paused':
            self.hosts[source].visited_at = None
            for host in self.hosts.values():
                host.activated_at = self.now
        self.run('SELECT FROM campaign_alter(%s, %s, %s)', source.application.name, name, value if value is None else
                 f'{int(value.total_seconds())} seconds' if isinstance(value, timedelta) else str(value))

    def wait(self, n):
        self.now += minutes(n)

    # What the extension is asked to do.

    def later(self, n, kind, s):
        self.wait(n)
        self.sweep(kind, s)

    def sweep(self, kind, s):
        """Foreseen by a dry run, then done; s None: every source."""
        sources = self.sources if s is None else [self.source(s)]
        name = None if s is None else sources[0].application.name
        foreseen, done = Sweep(), Sweep()
        for source in sources:
            for campaign in copy.deepcopy(list(source.campaigns.values())):
                campaign.sweep(kind, self.now, foreseen)
        statement = (f'SELECT campaigns_checked, campaigns_updated, campaigns_closed, campaigns_resumed, campaigns_skipped, messages_checked,'
                     f' messages_marked FROM {FUNCTIONS[kind]}(%s, %s, dry_run => %s)')
        self.compare('what the dry run says', self.run(statement, name, self.now, True)[0], foreseen.row())
        for source in sources:
            if source.policy.mode != 'paused':
                campaigns = source.campaigns.values()
                for campaign in campaigns if source.policy.mode == 'active' else copy.deepcopy(list(campaigns)):
                    campaign.sweep(kind, self.now, done)
        self.compare('what the sweep says', self.run(statement, name, self.now, False)[0], done.row())
        self.visit(sources)

    def visit(self, sources):
        for source in sources:
            self.hosts[source].visited_at = self.now

    def every(self, n, kind, times, s):
        for _ in range(times):
            self.later(n, kind, s)

    def judge(self, c):
        campaign = self.chosen(c)
        if campaign is None:
            return
        application, before = campaign.source.application, campaign.word
        if campaign.source.policy.mode == 'active':
            if campaign.state == 'open':
                campaign.look()
                campaign.judge(self.now)
            elif campaign.state != 'other':
                campaign.settle(self.now, True)
        self.visit([campaign.source])
        self.compare('what the call says', self.run(
            'SELECT previous_status, status, changed, pending_count, message_1_sent, message_2_sent, sent_count, delivered_count, read_count,'
            ' no_interaction_count, failed_count, total_failed, success_count, interaction_count, contacts, contacts_completed, completed_at'
            f' FROM campaign_update_status({self.key(campaign)}, %s, %s)', application.name, self.now)[0], self.result(campaign, before))

    def key(self, campaign):
        key = campaign.source.application.key(campaign.number)
        return f"'{key}'::uuid" if isinstance(key, str) else str(key)

    def result(self, c, before):
        """What campaign_update_status() says of a campaign."""
        failed, silent, sent = len(c.counted('failed')), len(c.counted('no_interaction')), len(c.counted(*IN_FLIGHT))
        waiting = len(c.counted()) - failed - silent - sent
        return (before, c.word, before != c.word, waiting, len(c.counted(*IN_FLIGHT, kind=1)), len(c.counted(*IN_FLIGHT, kind=2)), sent,
                len(c.counted('delivered')), len(c.counted('read')), silent, failed, failed + silent, sent, c.interaction_count(),
                len(c.contacts()), len(c.finished()), c.closed_at() if c.state in ('completed', 'failed') else c.completed_at)

    def by_hand(self, c, order):
        campaign = self.chosen(c)
        if campaign is None or campaign.source.policy.mode != 'active':
            return
        before = campaign.word
        if order == 'close' and campaign.state == 'open':
            campaign.look()
            failed = campaign.fail_pending(self.now, 'enough')
            campaign.close(self.now, 'hand', 'enough', failed)
        elif order == 'reopen' and campaign.state in ('completed', 'failed'):
            campaign.reopen(self.now, 'enough')
        else:
            return
        self.visit([campaign.source])
        self.compare('what the order says', self.run(
            f'SELECT previous_status, status FROM campaign_{order}({self.key(campaign)}, %s, source => %s, as_of => %s)',
            'enough', campaign.source.application.name, self.now)[0], (before, campaign.word))

    def preview(self, s):
        source = self.source(s)
        expected = [(str(source.application.key(n)),) + row for n, c in source.campaigns.items()
                    if c.state == 'open' or c.closing is not None for row in c.preview(self.now)]
        self.compare('the preview', self.run('SELECT campaign_id, sweep, what, count, status_from, status_to, reason'
                                             ' FROM campaign_preview(%s, %s)', source.application.name, self.now), expected)

    # Alike?

    def compare(self, what, found, expected):
        if tuple(found) != tuple(expected):
            raise Difference(f'{what}: {found}, expected {expected}')

    def read(self, application, table, columns):
        """Rows of the attached table, of the columns that there are, by number."""
        own = application.columns[table]
        names = [c for c in columns if c in own]
        self.cursor.execute(f"SELECT {', '.join(own[c] for c in ['id'] + names)} FROM {application.name}.{application.attached(table)}")
        return {int(str(key).split('-')[-1]): {c: application.at(v) if isinstance(v, datetime) else v for c, v in zip(names, values)}
                for key, *values in self.cursor.fetchall()}

    def compare_tables(self):
        for source in self.sources:
            application = source.application
            found = self.read(application, 'campaigns', ('status', 'completed_at') + tuple(application.no_statistics()))
            expected = {n: {'status': c.word, **({'completed_at': c.completed_at} if application.has('campaigns', 'completed_at') else {}),
                            **c.statistics} for n, c in source.campaigns.items()}
            self.compare_rows(f'campaign of {application.name}', found, expected)
            found = self.read(application, 'messages', ('campaign_id', 'status', 'error_message'))
            found = {n: m for n, m in found.items() if n < 1000000}
            expected = {n: {'campaign_id': application.key(c.number), 'status': m.word,
                            **({'error_message': m.error} if application.has('messages', 'error_message') else {})}
                        for c in source.campaigns.values() for n, m in c.messages.items() if not m.hidden}
            self.compare_rows(f'message of {application.name}', found, expected)
        self.compare_events()

    def compare_rows(self, what, found, expected):
        if found != expected:
            for n in sorted(found.keys() | expected.keys()):
                if found.get(n) != expected.get(n):
                    raise Difference(f'{what}: {n}: {found.get(n)}, expected {expected.get(n)}')

    def compare_events(self):
        self.cursor.execute('SELECT source, campaign_id, event, at, status_from, status_to, reason, details FROM campaign_event'
                            ' WHERE NOT shadow ORDER BY id')
        found = {}
        for source, campaign_id, *event in self.cursor.fetchall():
            found.setdefault((source, campaign_id), []).append(event)
        for c in self.campaigns:
            key = (c.source.application.name, str(c.source.application.key(c.number)))
            events = self.one_of_passes(found.pop(key, []), c.events)
            expected = [[e['event'], e['at'], e['status_from'], e['status_to'], e['reason'], e['details']] for e in c.events]
            for event, e in zip(events, expected):
                event[5] = {name: value for name, value in event[5].items() if name in e[5] or name == 'failed_by_us'}
            self.compare(f'events of campaign {c.number} of {key[0]}', events, expected)
        self.compare('events of other campaigns', found, {})

    def one_of_passes(self, found, expected):
        """The events found, those of passes being one, as expected: how many rows
        each has, nobody knows beforehand."""
        result, found = [], list(found)
        for e in expected:
            passes = [event for event in found[:e.get('passes', 1)] if event[:5] == found[0][:5]]
            found = found[len(passes):]
            if len(passes) > 1:
                passes[0][5]['messages'] = sum(event[5]['messages'] for event in passes)
            result += passes[:1]
        return result + found


class HostedHistory(History):
    """One of many transactions, in which a host comes by.  Time goes forwards, and the
    server's clock with it.  What no trigger tells of is left out: the extension may
    notice it much later."""

    def __init__(self, cursor, names, clock):
        super().__init__(cursor, names, clock.now)
        self.clock = clock

    def do_nothing(self, *_):
        pass

    move = redate = partition = do_nothing

    def run(self, statement, *values):
        if self.clock.now != self.now:
            self.sql.append(f'-- {self.now}')
            self.clock.stand_at(self.now)
        return super().run(statement, *values)

    def wait(self, n):
        super().wait(max(n, 0))

    def batches(self, s, n):
        self.alter(self.source(s), 'batch_size', n)

    def crowd(self, c, statuses, n):
        """Message 1 to very many contacts, in one statement."""
        campaign = self.chosen(c)
        if campaign is None:
            return
        application, first = campaign.source.application, campaign.number * 100000 + 50000
        if first + CROWD.start in campaign.messages:
            return
        status, word = self.word(application, self.nth(statuses, n), n)
        moment = self.now if status in IN_FLIGHT else None
        for contact in CROWD:
            message = campaign.messages[first + contact] = Message(contact, 1, status, word, self.now)
            message.sent_at, message.batch = moment, contact % BATCHES
        values = {'id': lambda n: application.sql_of(application.message_format)(f'{first} + {n}'),
                  'campaign_id': application.key(campaign.number), 'contact_id': application.sql_of(application.contact_format),
                  'status': word, 'sent_at': moment, 'created_at': self.now, 'updated_at': self.now,
                  'message_type': application.word('message_types', 'message_1', n)}
        if application.batches:
            values['batch'] = lambda n: f'mod({n}, {BATCHES})'
        self.run(*self.flat(application.insert_many('messages', values, CROWD)))
        self.note(campaign, message, ABSENT)

    def call(self, n, s, force):
        """CALL campaign_run_sweeps(); s None: of every source."""
        self.wait(n)
        sources = self.sources if s is None else [self.source(s)]
        self.run('CALL campaign_run_sweeps(%s, %s)', None if s is None else sources[0].application.name, force)
        for source in sources:
            rows = self.read(source.application, 'campaigns', ('status',) + tuple(source.application.no_statistics()))
            self.hosts[source].call(self.now, force, lambda c: self.seen(rows[c.number]))
            self.compare_memory(source)

    def late_callback(self, c, m, status, n, unseen):
        """Of a message that failed, and that nobody had any reason to look at since;
        unseen: while the source is paused for a moment."""
        campaign, number, message = self.message_of(c, m)
        if number is None or message.sent_at is None:
            return
        source = self.sources.index(campaign.source)
        self.callback(c, m, 'failed', n)
        for wait in (1441, 61):
            self.call(wait, source, True)
        mode = campaign.source.policy.mode
        if unseen:
            self.alter(campaign.source, 'mode', 'paused')
        self.callback(c, m, status, n)
        if unseen:
            self.alter(campaign.source, 'mode', mode)
        self.call(61, source, True)

    def undone(self, c, status, n):
        """An application thinks better of it, after it had the campaign judged."""
        campaign = self.chosen(c)
        if campaign is None:
            return
        application = campaign.source.application
        self.run('BEGIN')
        for number in campaign.messages:
            self.run(*self.flat(application.update('messages', application.message_key(number), {'status': self.word(application, status, n)[1]})))
        self.run(f'SELECT FROM campaign_update_status({self.key(campaign)}, %s, %s)', application.name, self.now)
        self.run('ROLLBACK')

    def seen(self, row):
        return row['status'], {name: value for name, value in row.items() if name != 'status'}

    def calls(self, n, s, times):
        """As a worker comes by."""
        for _ in range(times):
            self.call(n, s, False)

    def compare_memory(self, source):
        """What is remembered of the campaigns, unless it was forgotten since."""
        name = source.application.name
        self.cursor.execute('SELECT campaign_id, closed_as, closed_at, stalls, stalled_at FROM campaign_state WHERE source = %s', (name,))
        found = {key: row for key, *row in self.cursor.fetchall()}
        for n, c in source.campaigns.items():
            row = found.get(str(source.application.key(n)))
            if row is None and (c.closing or c.stalls) and self.hosts[source].forget(c, self.now):
                continue
            if row is not None and c.state != 'open' and c.closing is not None:
                self.compare(f'the closing of campaign {n} of {name}', row[:2], c.closing[:2])
            if row is not None or c.stalls:
                self.compare(f'the stalls of campaign {n} of {name}', row[2:] if row else (), (c.stalls, c.stalled_at))


class Clock:
    """The server's: it stands where it was told to, until it is told again."""

    def __init__(self, dial):
        with open(dial, 'r+b') as file:
            self.dial = mmap.mmap(file.fileno(), 16)

    def stand_at(self, moment):
        self.now = moment
        self.dial[8:] = struct.pack('q', (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1))


def drawn(*arguments):
    return st.tuples(*(st.just(a) if isinstance(a, str) else a for a in arguments))


def often(n, strategies):
    # copies: Hypothesis takes each strategy once, and sees through the identity
    return [s.map(lambda step: (*step,)) for s in strategies for _ in range(n)]


index = st.integers(0, 3)
contact = st.integers(0, CONTACTS)
flag = st.booleans()
source = st.integers(0, 2)
kind = st.sampled_from(SWEEPS)
statuses = st.sampled_from(('pending',) * 3 + IN_FLIGHT * 2 + ('failed', 'no_interaction', 'unknown', 'ignored'))
minutes_on = st.sampled_from([0, 1, 5, 10, 20, 60, 90, 300, 719, 1440, 1441, 1380, 2880, 2881, -1, -61])
fill = drawn('fill', index, st.lists(st.sampled_from(('sent', 'read', 'failed', 'pending')), min_size=1, max_size=CONTACTS), index)
# what applications do all the time; sweeps; what they and their operators do at times
work = (
    fill,
    drawn('message', index, contact, st.sampled_from([1, 1, 1, 2, 2, None]), statuses, index),
    drawn('message', index, contact, st.just(2), st.sampled_from(('pending', 'sent', 'failed')), index),
    drawn('callback', index, index, statuses, index),
    drawn('callback', index, index, st.sampled_from(IN_FLIGHT + ('failed', 'pending')), index),
    drawn('callbacks', index, st.sampled_from(IN_FLIGHT + ('failed',) * 3), index),
    drawn('reply', index, st.integers(1, CONTACTS), st.sampled_from(['reply', 'reaction', 'other']), flag),
    drawn('campaign', source, st.sampled_from([0, 0, 1, 2]), st.sampled_from([True, True, True, False])),
)
visits = (
    drawn('later', minutes_on, kind, source),
    drawn('later', minutes_on, st.sampled_from(['expired', 'timeout', 'sending']), st.one_of(source, source, source, st.none())),
    drawn('later', st.sampled_from([1440, 1441, 2881]), st.sampled_from(['expired', 'timeout']), source),
    drawn('every', st.sampled_from([5, 10, 30]), st.just('interrupted'), st.integers(1, 12), source),
    drawn('judge', index),
    drawn('preview', source),
)
rarities = (
    drawn('wait', minutes_on),
    drawn('delete', index, index), drawn('retry', index, index), drawn('retry', index, index), drawn('delete_campaign', index),
    drawn('move', index, index, index), drawn('redate', index, index, st.sampled_from([-30, -1, 5, 40])),
    drawn('rebatch', index, index, st.integers(0, BATCHES - 1)), drawn('partition', st.integers(0, BATCHES - 1)),
    drawn('set_status', index, st.sampled_from(['paused', 'sending', 'failed', 'completed']), index),
    drawn('set_status', index, st.sampled_from(['sending', 'paused']), index),
    drawn('by_hand', index, st.sampled_from(['close', 'reopen'])),
    drawn('recipients', index, st.integers(0, 3)),
    drawn('setting', source, st.sampled_from(sorted(SETTINGS)), index),
    drawn('override', index, st.sampled_from(sorted(OVERRIDES)), st.integers(0, 4)),
)


# a step that is not needed shrinks to one that does nothing
steps = st.one_of(st.just(('wait', 0)), *often(4, work), *often(6, visits), *rarities)


minutes_forward = st.sampled_from([0, 1, 1, 1, 5, 5, 10, 20, 60, 90, 300, 719, 1440, 1441, 1380, 2880, 2881])
calls = (
    drawn('call', minutes_forward, st.one_of(source, source, source, st.none()), flag),
    drawn('call', minutes_forward, source, st.just(False)),
    drawn('call', st.sampled_from([1440, 1441, 2881]), source, flag),
    drawn('calls', st.sampled_from([1, 5, 10, 60, 300, 300]), source, st.integers(1, 12)),
)
hosted_rarities = (
    drawn('batches', source, st.sampled_from([2, 1, 3, 5000])),
    *often(3, [drawn('late_callback', index, index, st.sampled_from(IN_FLIGHT), index, flag)]),
    drawn('undone', index, st.sampled_from(('sent', 'failed', 'pending')), index),
)
hosted_steps = st.one_of(st.just(('wait', 0)), *often(4, work), *often(8, calls), *often(2, visits), *rarities, *hosted_rarities)
small, crowded = drawn('batches', source, st.sampled_from([2, 2, 1, 5000])), drawn('batches', source, st.sampled_from([5000, 400, 300]))
crowd = drawn('crowd', index, st.just(('sent', 'sent', 'read', 'pending')), index)


def histories(names, hosted):
    """Which applications there are, and what happens."""
    names = st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)
    campaign = drawn('campaign', source, st.sampled_from([0, 0, 2]), st.just(True))
    ordinary = st.tuples(st.just(History), names, campaign, fill, st.lists(steps, min_size=30, max_size=70))
    if not hosted:
        return ordinary
    visited = st.tuples(st.just(HostedHistory), names, campaign, fill, small, st.lists(hosted_steps, min_size=20, max_size=50))
    large = st.tuples(st.just(HostedHistory), names, campaign, crowd, crowded, st.lists(hosted_steps, min_size=5, max_size=15))
    return st.one_of(*often(5, [ordinary]), *often(4, [visited]), large)


def database(name, names):
    """A new database with the applications of these names, and a connection to it."""
    applications = [a for a in APPLICATIONS if a.name in names]
    connection = psycopg2.connect(dbname='postgres')
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(f'DROP DATABASE IF EXISTS {name}')
    cursor.execute(f'CREATE DATABASE {name}')
    connection.close()
    connection = psycopg2.connect(dbname=name)
    cursor = connection.cursor()
    cursor.execute("SET TimeZone = 'UTC'; SET client_min_messages = error; CREATE EXTENSION campaign_autoclose")
    if any(getattr(a, 'shape', None) for a in applications):
        with open(os.path.join(DIRECTORY, '..', 'include', 'partitions.sql'), encoding='utf-8') as shapes:
            cursor.execute(shapes.read())
    for application in applications:
        for statement in application.set_up():
            if statement:
                cursor.execute(statement)
    cursor.execute('SELECT source, mode FROM campaign_source WHERE mode <> %s', ('active',))
    for source_name, mode in cursor.fetchall():
        raise SystemExit(f'source {source_name} is {mode}')
    connection.commit()
    return connection


class Hosted:
    """A database for hosted histories, one after the other: each begins where the
    one before it has ended, and finds nothing of it."""

    def __init__(self, dial, names):
        self.clock, self.names = Clock(dial), names
        self.renew()

    def renew(self):
        self.connection = database(HOSTED_DATABASE, self.names)
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.cursor.execute("SELECT date_trunc('day', pg_postmaster_start_time()) + interval '1 day'")
        self.clock.stand_at(self.cursor.fetchone()[0])
        for name in self.names:     # what else would be forgotten after 30 days
            self.cursor.execute("SELECT FROM campaign_alter(%s, 'history_keep', '36000 days')", (name,))
        first = self.history(self.names[:1])
        first.step('campaign', 0, 0, True)
        first.step('message', 0, 1, 1, 'sent', 0)
        self.clear(first)

    def history(self, names):
        return HostedHistory(self.cursor, names, self.clock)

    def clear(self, history):
        """Bring everything back to what it was; what was hinted at and remembered
        goes with a CALL that finds no campaign."""
        self.cursor.execute('ROLLBACK')
        for source in history.sources:
            for name, value in {**vars(Policy()), 'completion_rule': source.application.rule}.items():
                if getattr(source.policy, name) != value:
                    history.alter(source, name, value)
            for statement in source.application.empty():
                self.cursor.execute(statement)
        for _ in range(2):      # of a new server, the first may put something off
            self.clock.stand_at(self.clock.now + minutes(60 * 24))
            for source in history.sources:
                self.cursor.execute('CALL campaign_run_sweeps(%s, true)', (source.application.name,))
        self.cursor.execute(f"TRUNCATE {', '.join(MEMORY)}")
        self.cursor.execute('SELECT hints_waiting FROM campaign_counters()')
        if self.cursor.fetchone()[0] != 0:
            raise SystemExit('hints are left of a history')
        if self.clock.now.year >= LAST_YEAR:
            self.connection.close()
            self.renew()


class Search:
    """Tries histories until time is up or one fails."""

    def __init__(self, options, names):
        self.options, self.histories = options, histories(names, options.clock)
        self.hosted = Hosted(options.clock, names) if options.clock else None
        self.connection = database(DATABASE, names)
        self.began, self.tried, self.hosts, self.steps, self.failed = time.monotonic(), 0, 0, 0, {}
        self.seen = collections.Counter()       # events

    def elapsed(self):
        return time.monotonic() - self.began

    def time_is_up(self):
        return self.elapsed() > (self.failed['until'] if self.failed else self.options.seconds)

    def try_one(self, kind, names, steps):
        h = History(self.connection.cursor(), names) if kind is History else self.hosted.history(names)
        try:
            for step in steps:
                h.step(*step)
        except (Difference, psycopg2.Error) as error:
            if not self.failed:
                self.failed.update(tried=self.tried, elapsed=self.elapsed(), until=self.elapsed() + self.options.shrink)
            if len(h.sql) <= len(self.failed.get('sql', h.sql)):
                self.failed.update(kind=kind, names=names, steps=steps, sql=list(h.sql), error=error)
            raise
        finally:
            if kind is History:
                self.connection.rollback()
            else:
                self.hosted.clear(h)
            if not self.failed:
                self.tried += 1
                self.steps += h.steps
                self.hosts += kind is not History
                self.seen.update(f"{e['event']} in {c.source.application.name}" for c in h.campaigns for e in c.events)

    def shorten(self):
        """Leave out of what failed the steps that it fails without: what
        Hypothesis may have had no time for."""
        size = len(self.failed['steps'])
        while size > 0:
            start = 0
            while start < len(self.failed['steps']):
                steps = self.failed['steps']
                try:
                    self.try_one(self.failed['kind'], self.failed['names'], steps[:start] + steps[start + size:])
                except (Difference, psycopg2.Error):
                    pass
                if self.failed['steps'] is steps:
                    start += size
            size //= 2

    def run(self):
        @seed(self.options.seed)
        @settings(max_examples=10 ** 9, deadline=None, database=None, print_blob=False, report_multiple_bugs=False,
                  suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink))
        @given(self.histories)
        def alike(history):
            if self.time_is_up():
                raise TimeIsUp
            self.try_one(history[0], history[1], [*history[2:-1], *history[-1]])

        try:
            alike()
        except (Difference, psycopg2.Error, TimeIsUp, errors.Flaky) as e:
            if not self.failed and not isinstance(e, TimeIsUp): raise
            if self.failed:
                self.shorten()

    def print_failure(self):
        failed = self.failed
        print(f'# seed {self.options.seed}; found after {failed["tried"]} histories and {failed["elapsed"]:.0f} s, shrunk after {self.elapsed():.0f} s')
        print(f'# {failed["error"]}'.replace('\n', '\n# '))
        print('# ----', "SET TimeZone = 'UTC';", 'CREATE EXTENSION campaign_autoclose;', sep='\n# ')
        for name in failed['names']:
            for statement in next(a for a in APPLICATIONS if a.name == name).set_up():
                print('# ' + statement.replace('\n', '\n# '))
        print('# ----', *failed['sql'], sep='\n# ')
        if failed['kind'] is HostedHistory:
            print('# ---- (-- moment: there stands the clock, see test/include/clock.c)')


def main():
    names = [a.name for a in APPLICATIONS]
    parser = argparse.ArgumentParser()
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--seconds', type=float, default=120, help='begin no further history after so long')
    parser.add_argument('--shrink', type=float, default=30, help='shrink what fails for so long')
    parser.add_argument('--application', action='append', choices=names, help='only histories of these')
    parser.add_argument('--clock', metavar='DIAL', help="what the server's clock goes by; without, no host comes by")
    options = parser.parse_args()
    search = Search(options, options.application or names)
    search.run()
    claim = 'the extension does what the rules say'
    if search.failed:
        print(f'not ok 1 - {claim}')
        search.print_failure()
    else:
        print(f'ok 1 - {claim}: {search.tried} histories, {search.hosts} of them with a host, {search.steps} steps, seed {options.seed}')
        for event, n in sorted(search.seen.items()):
            print(f'# {n} {event}')
    print('1..1')
    sys.exit(bool(search.failed))


if __name__ == '__main__':
    main()
