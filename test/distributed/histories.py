#!/usr/bin/python3
"""The random histories of test/model, in a database that is there already, on all
nodes of a cluster of Citus: see test/citus.  No message moves to another campaign
there: Citus lets no row change the column that it is distributed by."""

import os
import sys

import psycopg2
import psycopg2.extensions

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'model'))

import histories    # noqa: E402


class Cursor(psycopg2.extensions.cursor):
    def execute(self, statement, values=None):
        if str(statement).startswith(('DROP DATABASE', 'CREATE DATABASE')):
            return None
        return super().execute(statement, values)


def connect(*arguments, **named):
    return psycopg2_connect(*arguments, cursor_factory=Cursor, **named)


if __name__ == '__main__':
    psycopg2_connect = psycopg2.connect
    psycopg2.connect = connect
    histories.History.move = lambda *arguments: None
    histories.main()
