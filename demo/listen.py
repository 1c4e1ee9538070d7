#!/usr/bin/python3
"""Listens to campaign_autoclose, and prints a line for each event.

usage: listen.py [--since ID] [--events N] [--timeout SECONDS] DSN

A notification has the ids alone, as any role may listen; what happened is read
from campaign_event, which is for the owner of the campaigns.  Nobody is told of
what happened while he was not connected: --since has the events after that one
printed first.
"""
import argparse
import json
import select
import sys
import time

import psycopg2
import psycopg2.extensions

CHANNEL = "campaign_autoclose"
COLUMNS = "id, at, campaign_id, event, status_from, status_to, reason"


def connect(dsn):
    """A connection that listens.  Each statement is a transaction of its own:
    within a longer one no notification would arrive."""
    connection = psycopg2.connect(dsn)
    connection.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {CHANNEL}")
    return connection


def events(connection, condition, value):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {COLUMNS} FROM campaign_event"
                       f" WHERE {condition} AND NOT shadow ORDER BY id", (value,))
        return cursor.fetchall()


def notified(connection, timeout):
    """Waits for notifications, and returns the ids of their events."""
    select.select([connection], [], [], timeout)
    connection.poll()
    payloads = [json.loads(notify.payload) for notify in connection.notifies
                if notify.channel == CHANNEL]
    connection.notifies.clear()
    return [payload["event_id"] for payload in payloads]


def tell(row):
    _, at, campaign, event, status_from, status_to, reason = row
    change = ""
    if status_to not in (None, status_from):
        change = f" {status_from} -> {status_to}"
    print(f"{at:%Y-%m-%d %H:%M:%S} campaign {campaign} {event}{change}: {reason}",
          flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dsn", help="where to connect, such as dbname=shop")
    parser.add_argument("--since", type=int, metavar="ID",
                        help="begin with the events after this one")
    parser.add_argument("--events", type=int, metavar="N",
                        help="leave after so many events")
    parser.add_argument("--timeout", type=float, metavar="SECONDS",
                        help="leave after so many seconds")
    options = parser.parse_args()
    until = None if options.timeout is None else time.monotonic() + options.timeout

    # first listen, then look: so nothing falls between the two
    connection = connect(options.dsn)
    print("listening", flush=True)
    rows = [] if options.since is None else events(connection, "id > %s", options.since)
    seen = {row[0] for row in rows}
    told = 0
    while True:
        for row in rows:
            tell(row)
        told += len(rows)
        if options.events is not None and told >= options.events:
            return
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            sys.exit(f"{told} events in {options.timeout:g} seconds")
        ids = [number for number in notified(connection, left) if number not in seen]
        rows = events(connection, "id = ANY (%s)", ids) if ids else []


if __name__ == "__main__":
    main()
