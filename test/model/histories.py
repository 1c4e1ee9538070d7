#!/usr/bin/python3
"""Random histories of campaigns, against a model of the rules.

Hypothesis draws what an application and its operators do (campaigns, sends,
callbacks out of order and repeated, replies, retries, deletions, pauses, stops)
and which sweep comes by, while time passes by as_of.  The same is done to the
model below, which is written after the rules of doc/reference.md and nothing
else.  After each verdict, campaigns and messages must be alike, and at the end
so must the events.  A history for which they are not shrinks to a few steps and
is printed as SQL.

    histories.py [--seed N] [--examples N] [--seconds N]

Needs a server that has the extension (PGHOST, PGPORT ...), and makes a database.
"""

import argparse
import sys
import time
from datetime import datetime, timedelta, timezone

import psycopg2
from hypothesis import HealthCheck, Phase, given, seed, settings, strategies as st

DATABASE = 'campaign_histories'
BEGINNING = datetime(2025, 1, 1, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
STALL_AFTER = timedelta(minutes=10)
INTERACTION_TIMEOUT, CAMPAIGN_TIMEOUT, SETTLE_FOR = 24 * HOUR, 48 * HOUR, 24 * HOUR
SOURCES = {'north': 'contacts', 'south': 'messages'}    # and their rules
IN_FLIGHT = ('sent', 'delivered', 'read')
STATUSES = ('pending', 'failed', 'no_interaction') + IN_FLIGHT
SWEEPS = {
    'expired': 'campaign_check_expired_interactions', 'timeout': 'campaign_check_timeout',
    'sending': 'campaign_check_sending', 'interrupted': 'campaign_recover_interrupted',
}
SILENT = "Pas d'interaction dans les 24h"
TIMED_OUT = 'Timeout 48h - campagne clôturée automatiquement'

#
# The model
#


class Message:
    def __init__(self, contact, kind, now):
        self.contact, self.kind = contact, kind
        self.status, self.error, self.sent_at, self.created_at = 'pending', None, None, now


class Campaign:
    """A campaign as the rules see it; its methods are the rules."""

    def __init__(self, source, recipients, now):
        self.source, self.recipients = source, recipients
        self.status, self.started_at, self.completed_at = 'sending', now, None
        self.messages, self.replies = {}, []
        self.statistics = (0,) * 8
        self.closed_at, self.closed_as_complete = None, False     # by the extension
        self.stalls, self.stalled_at = 0, None
        self.events = []

    def of(self, *statuses):
        return [m for m in self.messages.values() if m.status in statuses]

    def answered(self, contact):
        return contact is not None and any(
            m.kind == 2 and m.contact == contact and m.status != 'pending' for m in self.messages.values())

    def complete(self):
        first = [m for m in self.messages.values() if m.kind == 1]
        if not self.messages or self.of('pending') or len(first) < self.recipients:
            return False
        return SOURCES[self.source] == 'messages' or not any(
            m.status in IN_FLIGHT and not self.answered(m.contact) for m in first)

    def recount(self):
        sent = len(self.of(*IN_FLIGHT))
        self.statistics = (sent, sent, len(self.of('failed', 'no_interaction')), len(self.of('delivered')), len(self.of('read')),
                           len(self.of('no_interaction')), len(self.of('pending')), len(self.replies))

    def close(self, now, as_complete):
        self.recount()
        all_failed = self.of('failed') and not self.of('no_interaction', *IN_FLIGHT)
        self.status, self.completed_at = 'failed' if all_failed else 'completed', now
        self.closed_at, self.closed_as_complete = now, as_complete
        self.stalls, self.stalled_at = 0, None
        self.events.append(('closed', self.status, now))

    def reopen(self, now):
        self.recount()
        self.status, self.completed_at, self.closed_at = 'sending', None, None
        self.closed_as_complete, self.stalls, self.stalled_at = False, 0, None
        self.started_at = max(self.started_at, now)
        self.events.append(('reopened', 'sending', now))

    def judge(self, now):
        self.recount()
        if self.complete():
            self.close(now, True)

    def settle(self, now, asked):
        """A terminal campaign; asked: somebody calls campaign_update_status()."""
        if self.closed_as_complete and self.closed_at >= now - SETTLE_FOR and self.of('pending'):
            self.reopen(now)
            return
        if asked and self.completed_at is None:
            self.completed_at = now
        if self.completed_at is not None and self.completed_at >= now - SETTLE_FOR:
            self.recount()

    def mark(self, now):
        marked = 0
        for m in self.messages.values():
            sent_at = m.sent_at or max(m.created_at, self.started_at)
            if m.kind == 1 and m.status in IN_FLIGHT and sent_at < now - INTERACTION_TIMEOUT and (
                    m.contact is None or m.contact not in self.replies and
                    not any(n.kind == 2 and n.contact == m.contact for n in self.messages.values())):
                m.status, m.error = 'no_interaction', SILENT
                marked += 1
        if marked:
            self.events.append(('expired', None, now))
        return marked

    def fail_pending(self, error):
        pending = self.of('pending')
        for m in pending:
            m.status, m.error = 'failed', error
        return len(pending)

    def stall(self, now):
        idle_since = max([self.started_at] + [m.sent_at for m in self.messages.values() if m.sent_at])
        if self.stalled_at is None or self.stalled_at < idle_since:
            self.stalls = 0
        due = idle_since + STALL_AFTER
        if self.stalls:
            due = self.stalled_at + min(STALL_AFTER * 2 ** (self.stalls - 1), HOUR)
        if now >= due:
            self.stalls, self.stalled_at = self.stalls + 1, now
            self.events.append(('stalled', None, now))

    def sweep(self, sweep, now):
        """One sweep; returns how many messages it marked."""
        if self.status in ('completed', 'failed'):
            if sweep == 'sending' and self.closed_at is not None and self.closed_at >= now - SETTLE_FOR:
                self.settle(now, False)
        elif self.status != 'sending':
            pass
        elif sweep == 'sending' or sweep == 'interrupted' and not self.of('pending'):
            self.judge(now)
        elif sweep == 'interrupted':
            self.stall(now)
        elif sweep == 'expired':
            marked = self.mark(now)
            if marked:
                self.judge(now)
            return marked
        elif self.started_at < now - CAMPAIGN_TIMEOUT:
            marked = self.mark(now) + self.fail_pending(TIMED_OUT)
            self.close(now, False)
            return marked
        return 0


#
# Both, side by side
#


class Difference(AssertionError):
    pass


class History:
    """Does everything to the database and to the model, and compares them."""

    def __init__(self, connection):
        self.cursor = connection.cursor()
        self.sql, self.campaigns, self.now = [], {}, BEGINNING

    def run(self, statement, *values):
        statement = self.cursor.mogrify(statement, values).decode()
        self.sql.append(statement + ';')
        self.cursor.execute(statement)
        return self.cursor.fetchall() if self.cursor.description else None

    def nth(self, things, n):
        things = list(things)
        return things[n % len(things)] if things else None

    def key(self, n):
        return '00000000-0000-0000-0000-%012d' % n

    # What an application does.  Steps that do not apply do nothing.

    def campaign(self, source, recipients):
        n = len(self.campaigns) + 1
        if n <= 3:
            self.run(f"INSERT INTO {source}.campaigns (id, status, total_recipients, created_at, started_at) VALUES (%s, 'sending', %s, %s, %s)",
                     self.key(n), recipients, self.now, self.now)
            self.campaigns[n] = Campaign(source, recipients, self.now)

    def message(self, c, contact, kind):
        n = self.nth(self.campaigns, c)
        if n is None:
            return
        campaign, contact = self.campaigns[n], contact or None
        if contact and any((m.contact, m.kind) == (contact, kind) for m in campaign.messages.values()):
            return
        number = n * 1000 + len(self.sql)
        self.run(f"INSERT INTO {campaign.source}.messages (id, campaign_id, contact_id, message_type, created_at) VALUES (%s, %s, %s, %s, %s)",
                 self.key(number), self.key(n), contact and self.key(contact), f'message_{kind}', self.now)
        campaign.messages[number] = Message(contact, kind, self.now)

    def callback(self, c, m, status):
        n = self.nth(self.campaigns, c)
        number = n and self.nth(self.campaigns[n].messages, m)
        if not number:
            return
        message = self.campaigns[n].messages[number]
        if status in IN_FLIGHT and message.sent_at is None:
            message.sent_at = self.now
        message.status = status
        self.run(f"UPDATE {self.campaigns[n].source}.messages SET status = %s, sent_at = %s WHERE id = %s",
                 status, message.sent_at, self.key(number))

    def delete(self, c, m):
        n = self.nth(self.campaigns, c)
        number = n and self.nth(self.campaigns[n].messages, m)
        if number:
            del self.campaigns[n].messages[number]
            self.run(f"DELETE FROM {self.campaigns[n].source}.messages WHERE id = %s", self.key(number))

    def reply(self, c, contact, kind):
        n = self.nth(self.campaigns, c)
        if n is None:
            return
        if kind in ('reply', 'reaction'):
            self.campaigns[n].replies.append(contact)
        self.run(f"INSERT INTO {self.campaigns[n].source}.interactions (campaign_id, contact_id, interaction_type, received_at) VALUES (%s, %s, %s, %s)",
                 self.key(n), self.key(contact), kind, self.now)

    def set_status(self, c, before, after):
        n = self.nth(self.campaigns, c)
        if n is None or self.campaigns[n].status != before:
            return
        campaign = self.campaigns[n]
        campaign.status = after
        if (before, after) == ('paused', 'sending'):
            campaign.started_at = max(campaign.started_at, self.now)
            self.run(f"UPDATE {campaign.source}.campaigns SET status = %s, resumed_at = %s WHERE id = %s", after, self.now, self.key(n))
        else:
            self.run(f"UPDATE {campaign.source}.campaigns SET status = %s WHERE id = %s", after, self.key(n))

    def wait(self, minutes):
        self.now += timedelta(minutes=minutes)

    # What the extension is asked to do.

    def sweep(self, sweep, source):
        sources = [source] if source else list(SOURCES)
        before = {n: c.status for n, c in self.campaigns.items()}
        marked = sum([c.sweep(sweep, self.now) for c in self.campaigns.values() if c.source in sources])
        closed = sum(before[n] == 'sending' and c.status in ('completed', 'failed') for n, c in self.campaigns.items())
        row = self.run(f'SELECT campaigns_closed, messages_marked, campaigns_skipped FROM {SWEEPS[sweep]}(%s, %s)', source, self.now)[0]
        self.compare('what the sweep says', row, (closed, marked, 0))
        self.compare_tables()

    def judge(self, c):
        n = self.nth(self.campaigns, c)
        if n is None:
            return
        campaign = self.campaigns[n]
        if campaign.status == 'sending':
            campaign.judge(self.now)
        elif campaign.status != 'paused':
            campaign.settle(self.now, True)
        row = self.run('SELECT status, completed_at FROM campaign_update_status(%s::uuid, %s, %s)', self.key(n), campaign.source, self.now)[0]
        self.compare('what the call says', row, (campaign.status, campaign.completed_at))
        self.compare_tables()

    def by_hand(self, c, order):
        n = self.nth(self.campaigns, c)
        if n is None:
            return
        campaign = self.campaigns[n]
        if order == 'close' and campaign.status == 'sending':
            campaign.fail_pending('enough')
            campaign.close(self.now, False)
        elif order == 'reopen' and campaign.status in ('completed', 'failed'):
            campaign.reopen(self.now)
        else:
            return
        self.run(f'SELECT status FROM campaign_{order}(%s::uuid, %s, source => %s, as_of => %s)', self.key(n), 'enough', campaign.source, self.now)
        self.compare_tables()

    # Alike?

    def compare(self, what, found, expected):
        if tuple(found) != tuple(expected):
            raise Difference(f'{what}: {found}, expected {expected}')

    def compare_tables(self):
        for n, c in self.campaigns.items():
            self.cursor.execute(f"SELECT status, completed_at, sent_count, success_count, failed_count, delivered_count, read_count,"
                                f" no_interaction_count, pending_count, interaction_count FROM {c.source}.campaigns WHERE id = %s", (self.key(n),))
            self.compare(f'campaign {n}', self.cursor.fetchone(), (c.status, c.completed_at) + c.statistics)
            self.cursor.execute(f"SELECT right(id::text, 12)::int, status, error_message FROM {c.source}.messages WHERE campaign_id = %s", (self.key(n),))
            self.compare(f'messages of campaign {n}', sorted(self.cursor.fetchall()),
                         sorted((k, m.status, m.error) for k, m in c.messages.items()))
            self.cursor.execute("SELECT event, CASE WHEN event IN ('closed', 'reopened') THEN status_to END, at FROM campaign_event"
                                " WHERE source = %s AND campaign_id = %s ORDER BY id", (c.source, self.key(n)))
            self.compare(f'events of campaign {n}', self.cursor.fetchall(), c.events)


index = st.integers(0, 3)
contact = st.integers(1, 3)
source = st.sampled_from(sorted(SOURCES))
steps = st.one_of(
    st.just(('wait', 0)),       # what a step that is not needed shrinks to
    st.tuples(st.just('message'), index, st.integers(0, 3), st.sampled_from([1, 1, 2])),
    st.tuples(st.just('callback'), index, index, st.sampled_from(STATUSES)),
    st.tuples(st.just('callback'), index, index, st.sampled_from(IN_FLIGHT + ('failed',))),
    st.tuples(st.just('wait'), st.sampled_from([1, 5, 10, 20, 59, 60, 300, 719])),
    st.tuples(st.just('wait'), st.sampled_from([1440, 1441, 2880, 2881])),
    st.tuples(st.just('sweep'), st.sampled_from(sorted(SWEEPS)), st.one_of(st.none(), source)),
    st.tuples(st.just('sweep'), st.sampled_from(sorted(SWEEPS)), st.none()),
    st.tuples(st.just('judge'), index),
    st.tuples(st.just('reply'), index, contact, st.sampled_from(['reply', 'reaction', 'read', 'delivered'])),
    st.tuples(st.just('campaign'), source, st.sampled_from([0, 0, 1, 2])),
    st.tuples(st.just('delete'), index, index),
    st.tuples(st.just('set_status'), index, st.just('sending'), st.sampled_from(['paused', 'failed'])),
    st.tuples(st.just('set_status'), index, st.just('paused'), st.just('sending')),
    st.tuples(st.just('by_hand'), index, st.sampled_from(['close', 'reopen'])),
)
histories = st.tuples(st.tuples(st.just('campaign'), source, st.sampled_from([0, 0, 2])), st.lists(steps, min_size=15, max_size=50))


def database():
    """A new database with the sources, and a connection to it."""
    connection = psycopg2.connect(dbname='postgres')
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(f'DROP DATABASE IF EXISTS {DATABASE}')
    cursor.execute(f'CREATE DATABASE {DATABASE}')
    connection.close()
    connection = psycopg2.connect(dbname=DATABASE)
    cursor = connection.cursor()
    cursor.execute("SET TimeZone = 'UTC'; SET client_min_messages = error; CREATE EXTENSION campaign_autoclose")
    for name, rule in SOURCES.items():
        cursor.execute(f"CREATE SCHEMA {name}; SELECT FROM campaign_create_tables('{name}');"
                       f" SELECT FROM campaign_alter('{name}', 'completion_rule', '{rule}');"
                       f" INSERT INTO {name}.contacts (id, full_number)"
                       " SELECT lpad(n::text, 32, '0')::uuid, n FROM generate_series(1, 3) AS n")
    connection.commit()
    return connection


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--examples', type=int, default=3000)
    parser.add_argument('--seconds', type=float, default=60, help='begin no further history after so long')
    options = parser.parse_args()
    connection = database()
    began, tried, failed = time.monotonic(), 0, {}

    @seed(options.seed)
    @settings(max_examples=options.examples, deadline=None, database=None, print_blob=False,
              suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink))
    @given(histories)
    def alike(history):
        nonlocal tried
        if not failed and time.monotonic() - began > options.seconds:
            return
        tried += 1
        h = History(connection)
        try:
            for name, *arguments in [history[0]] + history[1]:
                getattr(h, name)(*arguments)
        except (Difference, psycopg2.Error) as error:
            failed['sql'], failed['error'] = h.sql, error
            raise
        finally:
            connection.rollback()

    try:
        alike()
    except (Difference, psycopg2.Error):
        print('not ok 1 - the extension does what the rules say')
        print(f'# seed {options.seed}, after {tried} histories: {failed["error"]}')
        print('#', *failed['sql'], sep='\n# ')
    else:
        print(f'ok 1 - the extension does what the rules say: {tried} histories, seed {options.seed}')
    print('1..1')
    sys.exit(bool(failed))


if __name__ == '__main__':
    main()
