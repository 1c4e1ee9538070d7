#!/usr/bin/python3
"""The closer as applications usually have it: tasks of a queue (Celery, RQ ...)
that a scheduler starts by the clock, in a process beside the database, with one
query at a time and one transaction a query.

    task_queue.py expired [--limit MESSAGES]    mark silent contacts, close what that completed
    task_queue.py sending                       judge every open campaign
    task_queue.py worker [--every SECONDS]      both, by the clock, and tasks as they come

The first two print how many seconds the task took, without the start of Python
and the connection, and how many messages it marked or campaigns it judged.  With
--limit the first reads no more than so many messages.

What is kinder here than in the closers that it is drawn from: there is no broker
between the scheduler, the application and the worker; contacts are counted by
the rule that is right (a contact has ended, not: as many messages as there are
contacts); and messages of campaigns that are closed already are not looked at
again.

The server is that of PGHOST, PGPORT, PGDATABASE ...
"""

import argparse
import heapq
import logging
import select
import time

import psycopg2

SILENT = "Pas d'interaction dans les 24h"
CHECK_EVERY = 120       # seconds, in the scheduler's table; --every
EXPIRED_EVERY = 3600
COUNTDOWN = 5           # after a Message 2

log = logging.getLogger(__name__)     # of which nothing is printed here
db = psycopg2.connect('')
db.autocommit = True
cursor = db.cursor()


def rows(query, *arguments):
    cursor.execute(query, arguments)
    return cursor.fetchall()


def count(condition, *arguments):
    return rows('SELECT count(*) FROM messages WHERE ' + condition, *arguments)[0][0]


def count_status(campaign, status):
    return count('campaign_id = %s AND status = %s', campaign, status)


def update_campaign_status(campaign):
    """Count a campaign's messages, write the counts, and close it if it is complete."""
    (recipients,), = rows("SELECT total_recipients FROM campaigns WHERE id = %s", campaign)
    pending = count_status(campaign, 'pending')
    delivered = count_status(campaign, 'delivered')
    read = count_status(campaign, 'read')
    sent = count_status(campaign, 'sent') + delivered + read
    failed = count_status(campaign, 'failed')
    silent = count_status(campaign, 'no_interaction')
    first = count("campaign_id = %s AND message_type = 'message_1'", campaign)
    awaited = count("""campaign_id = %s AND message_type = 'message_1' AND status IN ('sent', 'delivered', 'read')
        AND NOT EXISTS (SELECT FROM messages AS n WHERE n.campaign_id = messages.campaign_id
            AND n.contact_id = messages.contact_id AND n.message_type = 'message_2' AND n.status <> 'pending')""", campaign)
    (interactions,), = rows("""SELECT count(*) FROM interactions WHERE campaign_id = %s
        AND interaction_type IN ('reply', 'reaction')""", campaign)
    status = 'sending'
    if pending == 0 and awaited == 0 and first > 0 and first >= recipients:
        status = 'failed' if failed > 0 and sent == 0 and silent == 0 else 'completed'
    cursor.execute("""UPDATE campaigns SET status = %s, sent_count = %s, success_count = %s, failed_count = %s,
            delivered_count = %s, read_count = %s, no_interaction_count = %s, pending_count = %s, interaction_count = %s,
            completed_at = CASE WHEN %s <> 'sending' THEN now() END, updated_at = now()
        WHERE id = %s AND status = 'sending'""",
        (status, sent, sent, failed + silent, delivered, read, silent, pending, interactions, status, campaign))


def check_expired_interactions(limit=None):
    """Mark the messages whose contacts have been silent for 24 hours; returns how many."""
    updated, marked = set(), 0
    for message, campaign, contact in rows("""SELECT m.id, m.campaign_id, m.contact_id
            FROM messages AS m JOIN campaigns AS c ON c.id = m.campaign_id
            WHERE c.status = 'sending' AND m.message_type = 'message_1' AND m.status IN ('sent', 'delivered', 'read')
                AND m.sent_at < now() - interval '24 hours' LIMIT %s""", limit):
        if rows("SELECT id FROM messages WHERE campaign_id = %s AND contact_id = %s AND message_type = 'message_2'",
                campaign, contact):
            continue
        if rows("""SELECT id FROM interactions WHERE campaign_id = %s AND contact_id = %s
                AND interaction_type IN ('reply', 'reaction') LIMIT 1""", campaign, contact):
            continue
        cursor.execute("UPDATE messages SET status = 'no_interaction', error_message = %s, updated_at = now() WHERE id = %s",
                       (SILENT, message))
        cursor.execute("UPDATE campaigns SET failed_count = failed_count + 1 WHERE id = %s", (campaign,))
        for name, number in rows("SELECT concat_ws(' ', first_name, last_name), full_number FROM contacts WHERE id = %s", contact):
            log.info('message %s marked no_interaction: %s (%s)', message, name, number)
        marked += 1
        updated.add(campaign)
    for campaign in updated:
        update_campaign_status(campaign)
    return marked


def check_sending_campaigns():
    """Judge every open campaign; returns how many."""
    campaigns = rows("SELECT id FROM campaigns WHERE status = 'sending'")
    for campaign, in campaigns:
        update_campaign_status(campaign)
    return len(campaigns)


def work(check_every):
    """Tasks by the clock, and those that the application queues, COUNTDOWN later.
    The notifications of a channel stand for the broker."""
    tasks = [(time.time() + check_every, 'check'), (time.time() + EXPIRED_EVERY, 'expired')]
    cursor.execute('LISTEN task')
    while True:
        select.select([db], [], [], max(0, tasks[0][0] - time.time()))
        db.poll()
        while db.notifies:
            heapq.heappush(tasks, (time.time() + COUNTDOWN, db.notifies.pop(0).payload))
        if tasks[0][0] > time.time():
            continue
        due, task = heapq.heappop(tasks)
        if task == 'check':
            heapq.heappush(tasks, (due + check_every, task))
            check_sending_campaigns()
        elif task == 'expired':
            heapq.heappush(tasks, (due + EXPIRED_EVERY, task))
            check_expired_interactions()
        else:
            update_campaign_status(task)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('task', choices=['expired', 'sending', 'worker'])
    parser.add_argument('--limit', type=int)
    parser.add_argument('--every', type=float, default=CHECK_EVERY)
    arguments = parser.parse_args()
    if arguments.task == 'worker':
        work(arguments.every)
    began = time.perf_counter()
    done = check_expired_interactions(arguments.limit) if arguments.task == 'expired' else check_sending_campaigns()
    print(time.perf_counter() - began, done)


main()
