#!/usr/bin/python3
"""Random and hostile calls of everything that the extension offers.

What is called is read from the catalogs: every function, procedure, trigger
function, view and table of the extension, so that a new one is called from its
first day.  Arguments are drawn by their types and names: nulls, what is empty,
huge, negative or infinite, names and JSON that are meant ill, relations of every
kind, and what exists, a little changed.  They are called in the database of
world.sql: as a superuser, as owners, as roles with some rights and with none;
read-only, in subtransactions, above READ COMMITTED, in PL/pgSQL, prepared; and
after things were done to the tables, the sources or the session that nobody
expects.  Of each call is demanded:

- the server goes on; the answer is a result, or an error with an SQLSTATE of the
  caller's: no XX..., and none that says that SQL was put together wrongly;
- no role, setting or lock is left behind;
- no row has changed that the caller may not change, nor one of another source
  than the one that is named;
- nothing is told of what the caller may not read.

And of a run of 10,000 calls or more: that it has called every function there is.

    calls.py [--seed N] [--calls N] [--batch N] [--jobs N] [--log FILE]

Needs a server that has the extension (PGHOST, PGPORT ...), and makes databases
and roles.  Calls are drawn in batches, each from the seed and its number, in a
new database.  A call that fails is printed as SQL that reproduces it.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import random
import re
import sys
import threading
import time

import psycopg2
import psycopg2.extensions

TEMPLATE = 'fuzz_world'
BATCH = 250                 # calls in one database
ENOUGH = 10000              # calls, to have called everything
NOT_UNDERSTOOD = {'42601', '42725', '42883'}     # so no function was called
PATIENCE = 30               # seconds that a call may take
ROLES = {                   # who calls, how often
    'postgres': 4, 'fuzz_anna': 5, 'fuzz_b"ert\'s; --': 3, 'fuzz_writer': 2, 'fuzz_reader': 2, 'fuzz_stranger': 3,
}
# Errors that only SQL of the extension's own can cause, as what is sent is well-formed.
OURS = {'42601', '42P02', '42P18', '42P10', '42803', '42804!', '42P19'}
OUR_WORDS = re.compile(r'cached plan must not change|SPI_|cache lookup failed|tuple concurrently')

# What comes back is read as text: Python knows no such moments and intervals.
AS_TEXT = psycopg2.extensions.new_type((1082, 1083, 1114, 1184, 1186, 1266, 700, 701, 1700, 114, 3802), 'AS_TEXT', lambda value, cursor: value)

#
# Values
#


def literal(text):
    return "E'" + text.replace('\\', '\\\\').replace("'", "''") + "'"


def identifier(name):
    return '"' + name.replace('"', '""') + '"'


ILL = [
    '', ' ', 'x', 'x' * 63, 'x' * 64, 'é' * 32, 'x' * 300, '\U0001F4A3', '\u202e', 'e\u0301', '\ufeff', '\x01', '\n', '\r\n--', '\t', '\\', "\\'", "'", "''", '"', '""',
    "'; DROP TABLE public.bystander; --", '"; DROP TABLE public.bystander; --', "' OR true --", '/*', '*/', '--', ';', '$1', '$$', '$a$', '%s%n%d%', '%1$s',
    '@messages@', '@c.id@', '@', '@@', '@=@', '@$1@', 'NULL', 'null', 'DEFAULT', 'pg_catalog', 'pg_temp', 'pg_toast', 'information_schema', '"$user"', 'a,b', 'a.b', 'a.b.c.d', '.', '*',
    'true', 'false', '0', '-1', '1e400', 'NaN', '{}', '[]', '(,)', '{"a": 1}', 'public', 'postgres', '${HOME}', '<script>', 'campaign_event', 'select',
]
INTERVALS = [
    '1 day', '90 minutes', '0', '1 us', '-1 us', '-1 day', '1 month', '100 years', '100 years 1 day', '36525 days', '36526 days', '-36525 days', '2147483647 months', '-178956970 years -8 mons',
    '-2147483648 days', '2147483647 days', '9223372036854775807 us', '-9223372036854775808 us', '-2147483648 days -9223372036854775808 us', '1 mon -30 days', 'infinity', '-infinity', 'P1Y', '1 fortnight', 'x', '',
]
MOMENTS = [
    '2025-03-01 00:00Z', '2025-03-01 00:20Z', '2025-03-01 01:00Z', '2025-03-02 00:30Z', '2025-03-03 12:00Z', '2025-03-04 00:00Z', '2025-06-01 00:00Z', 'now', 'epoch', 'infinity', '-infinity',
    '4713-11-24 00:00:00 BC', '294276-12-31 23:59:59.999999Z', '0001-01-01 BC', '1999-12-31 23:59:60', '2025-03-30 02:30 Europe/Paris',
]
NUMBERS = ['0', '1', '2', '3', '-1', '10', '1000', '32767', '32768', '2147483647', '2147483648', '-2147483648', '4294967295', '9223372036854775807', '-9223372036854775808']
# Tables that no call may change: they are attached to no source.
BYSTANDERS = ('public.bystander', 'public.parent', 'public.unlogged', 'kinds.free_c', 'kinds.free_m')
SETTINGS = [
    ("search_path", "pg_temp, public"), ("search_path", ''), ("search_path", 'shop, public'), ("search_path", 'kinds'), ('row_security', 'off'), ('row_security', 'on'), ('TimeZone', 'Asia/Kathmandu'),
    ('DateStyle', 'German'), ('IntervalStyle', 'iso_8601'), ('standard_conforming_strings', 'off'), ('escape_string_warning', 'on'), ('client_encoding', 'LATIN1'), ('bytea_output', 'escape'),
    ('plan_cache_mode', 'force_generic_plan'), ('plan_cache_mode', 'force_custom_plan'), ('statement_timeout', '2ms'), ('statement_timeout', '30s'), ('lock_timeout', '1'), ('extra_float_digits', '-15'),
    ('quote_all_identifiers', 'on'), ('check_function_bodies', 'off'), ('default_transaction_read_only', 'on'), ('transform_null_equals', 'on'), ('enable_seqscan', 'off'), ('enable_hashagg', 'off'),
    ('from_collapse_limit', '1'), ('default_toast_compression', 'pglz'), ('work_mem', '64'), ('constraint_exclusion', 'off'), ('xmlbinary', 'hex'), ('client_min_messages', 'debug5'),
    ('force_parallel_mode', 'on'), ('debug_parallel_query', 'on'), ('session_replication_role', 'replica'), ('allow_system_table_mods', 'on'), ('jit_above_cost', '0'),
    ('password_encryption', 'md5'), ('default_tablespace', 'pg_global'), ('temp_tablespaces', ''), ('default_table_access_method', 'heap'), ('lo_compat_privileges', 'on'), ('array_nulls', 'off'),
]


class Values:
    """Draws SQL expressions for arguments, by type and name."""

    def __init__(self, rng, world):
        self.rng, self.world = rng, world

    def pick(self, *choices):
        return self.rng.choice(choices)

    def chance(self, p):
        return self.rng.random() < p

    def text(self):
        r, w = self.rng, self.world
        kind = r.random()
        if kind < 0.55:
            return r.choice(ILL)
        if kind < 0.8:
            return r.choice(w.names)
        if kind < 0.82:
            return r.choice(['x', '\\', '"', 'é', "'", '[', '('])* r.choice([1000, 8191, 100000])
        return ''.join(r.choice(ILL + w.names)[:20] for _ in range(r.randint(1, 4)))

    def json(self, depth=0):
        r = self.rng
        kind = r.random()
        if depth > 3 or kind < 0.45:
            return r.choice([None, True, False, 0, -1, 1.5, 10 ** 30, self.text().replace('\x00', ''), self.text()])
        if kind < 0.75:
            return {self.text(): self.json(depth + 1) for _ in range(r.randint(0, 4))}
        return [self.json(depth + 1) for _ in range(r.randint(0, 4))]

    def changed(self, value):
        """JSON that exists, a little changed."""
        r = self.rng
        if isinstance(value, dict) and value and self.chance(0.8):
            value = dict(value)
            key = r.choice(sorted(value))
            if self.chance(0.2):
                del value[key]
            elif self.chance(0.2):
                value[self.text()] = value[key]
            else:
                value[key] = self.changed(value[key])
            return value
        if isinstance(value, list) and value and self.chance(0.5):
            return value * r.choice([1, 2, 100]) + [self.json()]
        return self.json()

    def json_text(self):
        kind = self.rng.random()
        if kind < 0.45:
            return json.dumps(self.changed(self.rng.choice(self.world.mappings)))
        if kind < 0.6:
            return json.dumps(self.rng.choice(self.world.mappings))
        if kind < 0.63:
            depth = self.rng.choice([10, 1000, 100000])
            return '[' * depth + ']' * depth if self.chance(0.5) else '{"columns":' * depth + '1' + '}' * depth
        if kind < 0.68:
            return self.text()
        return json.dumps(self.json())

    def setting(self, setting):
        """A value of a setting of campaign_source, as text."""
        kind = self.world.settings.get(setting)
        if self.chance(0.15):
            return self.text()
        if kind == 'interval':
            return self.rng.choice(INTERVALS)
        if kind == 'jsonb':
            return self.json_text()
        if kind == 'integer':
            return self.rng.choice(NUMBERS)
        if kind == 'boolean':
            return self.pick('true', 'false', 'on', 'TRUE', 'maybe', '')
        return self.rng.choice(self.world.choices + ['Europe/Paris', 'UTC', 'shop.heard', 'kinds.failing', 'shop, public', '"$user", public'])

    def take_subject(self, function, role):
        """Which source the call is to be about, if it is about one."""
        kind = function.arguments[0][1] if function.arguments else None
        sources = self.world.sources_of.get(kind, self.world.sources) if function.arguments and function.arguments[0][0].startswith('campaign') else self.world.sources
        own = [s for s in sources if role == 'postgres' or self.world.source_rows[s].owner == identifier(role) or self.world.source_rows[s].owner == role or role in ('fuzz_writer', 'fuzz_reader') and s == 'shop']
        self.subject = self.rng.choice(own if own and self.chance(0.75) else sources)

    def argument(self, name, kind, so_far):
        """An expression for an argument; so_far: the ones before it, by name."""
        w, r = self.world, self.rng
        if self.chance(0.06):
            return 'NULL'
        if name == 'source' and self.chance(0.9):
            return literal(self.subject if self.chance(0.9) else r.choice(w.sources)) + '::name'
        if name == 'setting' and self.chance(0.9):
            return literal(r.choice(sorted(w.settings)))
        if name == 'value' and 'setting' in so_far:
            return literal(self.setting(so_far['setting'][2:-1]))
        if name in ('campaign', 'campaign_number', 'campaign_key') and self.subject in w.source_keys and self.chance(0.85):
            return literal(r.choice(w.source_keys[self.subject][1])) + '::' + kind
        return self.of_type(kind)

    def of_type(self, kind):
        r, w = self.rng, self.world
        if kind == 'regclass':
            if self.chance(0.75):
                return literal(r.choice(w.relations).name) + '::regclass'
            return self.pick('0', '1', '4294967295', str(r.randrange(2 ** 32)), str(r.choice(w.relations).oid)) + '::oid::regclass'
        if kind == 'jsonb':
            return literal(self.json_text()) + '::jsonb'
        if kind == 'timestamp with time zone':
            if self.chance(0.1):
                return "now() + %s::interval" % literal(r.choice(INTERVALS[:8]))
            return literal(r.choice(MOMENTS)) + '::timestamptz'
        if kind == 'interval':
            return literal(r.choice(INTERVALS)) + '::interval'
        if kind == 'boolean':
            return self.pick('true', 'false')
        if kind in ('integer', 'bigint', 'smallint', 'numeric', 'oid', 'double precision'):
            return literal(r.choice(NUMBERS)) + '::' + kind
        if kind == 'uuid':
            return literal(self.pick('00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '%032x' % r.getrandbits(128))) + '::uuid'
        if kind in ('name', 'text', 'character varying'):
            return literal(self.text()) + '::' + kind
        return literal(self.text()) + '::' + kind       # a type of the future: most are errors


#
# What there is to be called, and to call it with
#

Function = collections.namedtuple('Function', 'oid name signature kind result composite arguments defaults')
Relation = collections.namedtuple('Relation', 'oid name kind owner extension')
Source = collections.namedtuple('Source', 'name owner tables')


class World:
    """What the database of world.sql holds, from its catalogs."""

    def __init__(self, cursor):
        def rows(statement):
            cursor.execute(statement)
            return cursor.fetchall()

        cursor.execute('SET search_path = pg_catalog')          # so that all names are qualified
        self.functions = [Function(oid, name, signature, kind, result, composite, list(zip(names or [''] * len(types), types)), defaults)
                          for oid, name, signature, kind, result, composite, names, types, defaults in rows("""
            SELECT p.oid, quote_ident(n.nspname) || '.' || quote_ident(p.proname), p.oid::regprocedure::text, p.prokind, p.prorettype::regtype::text,
                r.typtype = 'c' OR p.prorettype = 'record'::regtype,
                p.proargnames[1:p.pronargs], ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, n) ORDER BY n), p.pronargdefaults
            FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_type AS r ON r.oid = p.prorettype
                JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
                JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
            WHERE e.extname = 'campaign_autoclose' ORDER BY 3""")]
        self.relations = [Relation(*row) for row in rows("""
            SELECT c.oid::bigint, c.oid::regclass::text, c.relkind, c.relowner::regrole::text,
                EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
            FROM pg_class AS c WHERE c.oid >= 16384 AND c.relnamespace <> 'pg_toast'::regnamespace
                OR c.relname IN ('pg_class', 'pg_proc', 'pg_class_oid_index', 'pg_database', 'pg_tables', 'pg_toast_1255', 'pg_stat_activity', 'pg_largeobject') ORDER BY 2""")]
        self.views = [r for r in self.relations if r.extension and r.kind in 'rvmS']
        self.tables = [r for r in self.relations if r.kind in 'rp' and r.oid >= 16384]
        schema = self.views[0].name.rsplit('.', 1)[0]
        self.schema = schema
        self.source_rows = {name: Source(name, owner, set(tables)) for name, owner, tables in rows(f"""
            WITH RECURSIVE below AS (
                SELECT inhparent AS above, inhrelid AS oid FROM pg_inherits
                UNION ALL SELECT r.ev_class, d.refobjid FROM pg_rewrite AS r JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
            ), tree AS (
                SELECT s.source, t.oid FROM {schema}.campaign_source AS s, unnest(ARRAY[s.campaigns, s.messages, s.interactions, s.contacts]::oid[]) AS t (oid) WHERE t.oid IS NOT NULL
                UNION SELECT tree.source, below.oid FROM tree JOIN below ON below.above = tree.oid)
            SELECT source, min(c.relowner::regrole::text), array_agg(tree.oid::bigint) FROM tree LEFT JOIN pg_class AS c ON c.oid = tree.oid GROUP BY source ORDER BY source""")}
        self.settings = dict(rows(f"""
            SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = '{schema}.campaign_source'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY 1"""))
        self.columns = collections.defaultdict(list)
        for oid, column, kind in rows("""
                SELECT a.attrelid::bigint, quote_ident(a.attname), format_type(a.atttypid, NULL) FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
                WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum"""):
            self.columns[oid].append((column, kind))
        self.choices = sorted({choice for definition, in rows(f"""
            SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = '{schema}.campaign_source'::regclass AND contype = 'c'""")
            for choice in re.findall("'([^']*)'", definition)})
        self.mappings = [mapping for pair in rows(f'SELECT columns, labels FROM {schema}.campaign_source ORDER BY source') for mapping in pair]
        self.source_keys = {}           # type and values of the campaigns' keys
        for source, table, key in rows(f"""
                SELECT s.source, c.oid::regclass::text, coalesce(s.columns #>> '{{campaigns,id}}', 'id') FROM {schema}.campaign_source AS s JOIN pg_class AS c ON c.oid = s.campaigns ORDER BY 1"""):
            keys = rows(f'SELECT {identifier(key)}::text, pg_typeof({identifier(key)})::text FROM {table} ORDER BY 1')
            if keys:
                self.source_keys[source] = ('uuid' if keys[0][1] == 'uuid' else 'bigint', [row[0] for row in keys])
        self.sources = sorted(self.source_rows)
        self.sources_of = {kind: sorted(source for source, (of, keys) in self.source_keys.items() if of == kind) for kind in ('uuid', 'bigint')}
        self.sources_of['text'] = sorted(self.source_keys)
        self.names = sorted({row[0] for row in rows("""
            SELECT nspname FROM pg_namespace UNION SELECT rolname FROM pg_roles UNION SELECT relname FROM pg_class WHERE oid >= 16384 UNION SELECT attname FROM pg_attribute WHERE attrelid >= 16384
            UNION SELECT name FROM pg_timezone_names() WHERE name ~ '^E' UNION SELECT datname FROM pg_database WHERE datname !~ 'fuzz'""")} | set(self.sources) | set(self.settings))
        cursor.execute('RESET search_path')


#
# Calls
#


class Wrong(Exception):
    pass


class Gone(Wrong):
    """The server is: by this call or, where there are several jobs, by one of another's."""


def connect(database, **parameters):
    """A connection that commits by itself, also to a server that is just coming back."""
    for patience in range(60, -1, -1):
        try:
            connection = psycopg2.connect(dbname=database, **parameters)
            connection.autocommit = True
            return connection
        except psycopg2.OperationalError:
            if not patience:
                raise
            time.sleep(1)


class Call:
    """One call: who makes it, what is done before, the statements around it."""

    def __init__(self, values, number):
        self.number, self.v, self.world = number, values, values.world
        self.role = values.rng.choices(list(ROLES), ROLES.values())[0]
        self.acting = None                      # SET LOCAL ROLE
        self.before, self.source = [], None     # statements that may fail; the source that is named
        self.mode = values.rng.choices(['block', 'read only', 'repeatable read', 'serializable', 'savepoint', 'commit', 'plpgsql', 'prepared', 'cursor'],
                                       [50, 5, 4, 3, 8, 2, 6, 5, 4])[0]
        self.what, self.statement = self.draw()
        if self.statement.startswith('CALL') and values.chance(0.7):
            self.mode = 'commit'            # it cannot run in a transaction block
        if self.mode != 'commit' and values.chance(0.35):
            self.before = self.disturb()
        self.begin = {'read only': 'BEGIN READ ONLY', 'repeatable read': 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'serializable': 'BEGIN ISOLATION LEVEL SERIALIZABLE',
                      'commit': None}.get(self.mode, 'BEGIN')

    # What is called

    def draw(self):
        world, v = self.world, self.v
        if v.chance(0.08):
            view = v.rng.choice(world.views)
            return view.name, self.of_view(view)
        function = v.rng.choice(world.functions)
        if function.result == 'trigger' and v.chance(0.8):
            return function.signature, self.of_trigger(function)
        return function.signature, self.of_function(function)

    def of_view(self, view):
        v = self.v
        columns = self.world.columns.get(view.oid) or [('last_value', 'bigint')]
        column, kind = v.rng.choice(columns)
        return v.rng.choice([
            f'SELECT * FROM {view.name}', f'SELECT count(*) FROM {view.name}', f'SELECT * FROM {view.name} ORDER BY 1 DESC LIMIT 1',
            f'SELECT {column} FROM {view.name} WHERE {column} = {v.of_type(kind)}', f'SELECT * FROM {view.name} FOR UPDATE',
            f'INSERT INTO {view.name} ({column}) VALUES ({v.of_type(kind)})', f'UPDATE {view.name} SET {column} = {v.of_type(kind)}', f'DELETE FROM {view.name}', f'TRUNCATE {view.name}',
        ][:3 if self.mode == 'commit' and self.role == 'postgres' else 9])

    def arguments(self, function):
        """The arguments as SQL: by position or by name, with or without defaults."""
        v = self.v
        given, named = {}, []
        v.take_subject(function, self.role)
        by_name = all(name for name, kind in function.arguments) and v.chance(0.5)
        needed = len(function.arguments) - function.defaults
        count = v.rng.choice([needed, len(function.arguments), len(function.arguments), v.rng.randint(needed, len(function.arguments))])
        for n, (name, kind) in enumerate(function.arguments):
            if n >= needed and (not by_name and n >= count or by_name and v.chance(0.1 if name == 'source' else 0.4)):
                continue
            value = v.argument(name, kind, given)
            given[name or str(n)] = value
            named.append(f'{identifier(name)} => {value}' if by_name else value)
        source = given.get('source', '')
        self.source = next((s for s in self.world.sources if source == literal(s) + '::name'), None)
        return ', '.join(named)

    def of_function(self, function):
        v = self.v
        call = f'{function.name}({self.arguments(function)})'
        if function.kind == 'p':
            return f'CALL {call}'
        if self.mode == 'cursor' or v.chance(0.6):
            return f'SELECT * FROM {call}' + v.pick('', '', ' LIMIT 1', ' AS a, ' + call + ' AS b')
        if function.composite and v.chance(0.3):
            return f'SELECT ({call}).*'
        return f'SELECT {call}' + v.pick('', '', ' FROM generate_series(1, 2)', ' LIMIT 0')

    def of_trigger(self, function):
        v = self.v
        table = v.rng.choice([r for r in self.world.relations if r.oid >= 16384 and r.kind in 'rpvf' and self.world.columns.get(r.oid)
                              and r.name not in BYSTANDERS and r.name != 'public.child'])   # whose rows are its parent's too
        column, kind = v.rng.choice(self.world.columns[table.oid])
        argument = ', '.join(literal(v.pick(v.text()[:60], v.rng.choice(self.world.sources))) for _ in range(v.pick(0, 1, 1, 1, 2)))
        return (f"DO $do$ BEGIN EXECUTE {literal(f'CREATE TRIGGER fuzz_trigger')} || {literal(v.pick(' AFTER', ' BEFORE', ' INSTEAD OF'))} || ' INSERT OR UPDATE OR DELETE ON {table.name.replace(chr(39), chr(39) * 2)} FOR EACH "
                f"{v.pick('ROW', 'ROW', 'STATEMENT')} EXECUTE FUNCTION {function.name}(' || {literal(argument)} || ')'; "
                f"UPDATE {table.name} SET {column} = {column}; DELETE FROM {table.name}; END $do$")

    # What is done before

    def disturb(self):
        v = self.v
        statements = []
        if v.chance(0.4):
            name, value = v.rng.choice(SETTINGS)
            statements.append(f"SELECT set_config({literal(name)}, {literal(value)}, true)")
        if self.role == 'postgres' or v.chance(0.4):
            for _ in range(v.rng.randint(1, 2)):
                statements.append(self.change())
        if self.role == 'postgres' and v.chance(0.5):
            self.acting = v.rng.choice(list(ROLES)[1:])
        return statements

    def change(self):
        """Something that is done to tables, sources or names."""
        v, r, world = self.v, self.v.rng, self.world
        own = sorted({oid for s in world.source_rows.values() for oid in s.tables})
        table = r.choice([t for t in world.relations if t.oid in own])
        column, kind = r.choice(world.columns.get(table.oid) or [('ctid', 'tid')])
        ours = r.choice([t for t in world.tables if t.extension])
        our_column, our_kind = r.choice(world.columns[ours.oid])
        source = literal(r.choice(world.sources))
        setting = r.choice(sorted(world.settings))
        return r.choice([
            f'UPDATE {table.name} SET {column} = {v.of_type(kind)}', f'UPDATE {table.name} SET {column} = NULL', f'UPDATE {table.name} SET {column} = {v.of_type(kind)}',
            f"SELECT {world.schema}.campaign_alter({source}, {literal(setting)}, {literal(v.setting(setting))})",
            f"SELECT {world.schema}.campaign_alter({source}, 'mode', {literal(v.pick('active', 'shadow', 'paused'))})",
            f"SELECT {world.schema}.campaign_alter({source}, {literal(setting)}, {literal(v.setting(setting))})",
            f'UPDATE {ours.name} SET {our_column} = {v.of_type(our_kind)}', f'DELETE FROM {ours.name}', f'UPDATE {world.schema}.campaign_source SET {identifier(setting)} = {v.of_type(world.settings[setting])} WHERE source = {source}',
            f'DROP TABLE {table.name} CASCADE', f'DROP VIEW {table.name} CASCADE', f'ALTER TABLE {table.name} RENAME TO {identifier(v.text()[:60])}', f'ALTER TABLE {table.name} SET SCHEMA public',
            f'ALTER TABLE {table.name} DROP COLUMN {column} CASCADE', f'ALTER TABLE {table.name} RENAME COLUMN {column} TO {identifier(v.text()[:60])}',
            f"ALTER TABLE {table.name} ALTER COLUMN {column} TYPE {v.pick('text', 'bigint', 'jsonb', 'timestamp', 'uuid', 'point', 'int[]', 'interval')} USING NULL",
            f"ALTER TABLE {table.name} ADD COLUMN {v.pick('interaction_timeout', 'campaign_timeout')} interval DEFAULT {literal(r.choice(INTERVALS))}",
            f"ALTER TABLE {table.name} ADD COLUMN {v.pick('completion_rule text', 'sent_count smallint', 'total_recipients bigint', 'resumed_at timestamptz')} DEFAULT {literal(v.pick('1', '-1', 'messages', 'infinity', '32767'))}",
            f"ALTER TABLE {table.name} ADD CHECK ({column} IS NULL) NOT VALID", f'ALTER TABLE {table.name} ALTER COLUMN {column} SET NOT NULL',
            f'ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY', f'ALTER TABLE {table.name} FORCE ROW LEVEL SECURITY', f"ALTER TABLE {table.name} DISABLE TRIGGER {v.pick('ALL', 'USER')}",
            f"ALTER TABLE {table.name} OWNER TO {v.pick('fuzz_stranger', 'fuzz_anna', 'postgres')}", f'TRUNCATE {table.name} CASCADE', f'REVOKE ALL ON {table.name} FROM fuzz_anna, fuzz_writer',
            f'CREATE RULE fuzz AS ON UPDATE TO {table.name} DO {v.pick("INSTEAD NOTHING", "ALSO SELECT 1", "INSTEAD DELETE FROM public.parent")}',
            "ALTER TYPE kinds.state RENAME VALUE 'sending' TO 'other'", 'DROP TYPE kinds.state CASCADE', 'DROP DOMAIN kinds.word CASCADE', "ALTER DOMAIN kinds.word ADD CHECK (VALUE <> 'failed') NOT VALID",
            'DROP FUNCTION shop.heard', 'CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = textne)', 'CREATE FUNCTION public.now() RETURNS timestamptz RETURN NULL',
            'CREATE TEMP TABLE campaigns (id int, status text)', 'CREATE TEMP TABLE messages (LIKE shop.messages)', 'CREATE TEMP TABLE campaign_source (source name)', 'SET CONSTRAINTS ALL DEFERRED',
            f'ALTER SCHEMA shop RENAME TO {identifier(v.text()[:60])}', f'ALTER SCHEMA {world.schema} RENAME TO moved', 'DROP SCHEMA shop CASCADE', 'ALTER EXTENSION campaign_autoclose SET SCHEMA public',
            f'LOCK {table.name} IN ACCESS EXCLUSIVE MODE', 'DISCARD PLANS', f'CREATE UNIQUE INDEX ON {table.name} ({column})', f'REINDEX TABLE {table.name}', f'ALTER TABLE {table.name} CLUSTER ON x',
            f"DECLARE held CURSOR FOR SELECT * FROM {table.name} FOR UPDATE",
        ])

    # How it is called

    def statements(self):
        """The statements that make the call; the last but what tidies up is its answer."""
        if self.mode == 'savepoint':
            return ['SAVEPOINT s', self.statement]
        if self.mode == 'plpgsql':
            return [f"DO $outer$ BEGIN EXECUTE {literal(self.statement)}; EXCEPTION WHEN no_data_found THEN NULL; END $outer$"]
        if self.mode == 'prepared' and self.statement.startswith('SELECT'):
            return [f'PREPARE fuzz AS {self.statement}', 'EXECUTE fuzz', 'EXECUTE fuzz']
        if self.mode == 'cursor' and self.statement.startswith('SELECT'):
            return [f'DECLARE fuzz CURSOR FOR {self.statement}', 'FETCH 1 FROM fuzz', 'CLOSE fuzz']
        return [self.statement]

    def as_sql(self):
        lines = [f'SET SESSION AUTHORIZATION {identifier(self.role)};']
        if self.begin:
            lines.append(self.begin + ';')
        for statement in self.before:
            lines += ['SAVEPOINT before;', statement + ';', '-- ROLLBACK TO before, if that failed']
        if self.acting:
            lines.append(f'SET LOCAL ROLE {identifier(self.acting)};')
        return lines + [statement + ';' for statement in self.statements()] + ['ROLLBACK;'] * bool(self.begin) + ['RESET SESSION AUTHORIZATION;']


# Who and how a session is; which locks it holds between transactions; how many
# rows of each table it has written, in this transaction and before.
SESSION = """current_user, session_user, pg_catalog.current_setting('search_path'), pg_catalog.current_setting('row_security'), pg_catalog.current_setting('role'),
    ARRAY(SELECT pg_catalog.concat(s.name, ' = ', s.setting) FROM pg_catalog.pg_show_all_settings() AS s
        WHERE s.source OPERATOR(pg_catalog.=) 'session' AND s.name OPERATOR(pg_catalog.!~) '^transaction_' ORDER BY s.name)"""
LOCKS = """ARRAY(SELECT pg_catalog.concat(l.locktype, ' ', l.classid, ' ', l.objid, ' ', l.mode) FROM pg_catalog.pg_lock_status() AS l
    WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.locktype NOT IN ('virtualxid', 'relation'))"""
WRITTEN = """ARRAY(SELECT pg_catalog.pg_stat_get_xact_tuples_inserted(t.oid) OPERATOR(pg_catalog.+) pg_catalog.pg_stat_get_xact_tuples_updated(t.oid)
        OPERATOR(pg_catalog.+) pg_catalog.pg_stat_get_xact_tuples_deleted(t.oid)
    FROM pg_catalog.unnest('{%s}'::pg_catalog.oid[]) WITH ORDINALITY AS t (oid, n) ORDER BY t.n)"""
# The sources that are not the caller's, as he sees them.
OTHERS = """(SELECT pg_catalog.md5(pg_catalog.string_agg(s::pg_catalog.text, '' ORDER BY s.source)) FROM %s.campaign_source AS s JOIN pg_catalog.pg_class AS c
    ON c.oid OPERATOR(pg_catalog.=) s.campaigns WHERE NOT pg_catalog.pg_has_role(c.relowner, 'USAGE'))"""


class Session:
    """A connection of one role, kept over many calls, as caches are what goes wrong."""

    def __init__(self, batch, role):
        self.batch, self.world, self.role = batch, batch.world, role
        self.connection = connect(batch.database, user=role, application_name='fuzz')
        psycopg2.extensions.register_type(AS_TEXT, self.connection)
        self.cursor = self.connection.cursor()
        self.pid = self.connection.info.backend_pid
        self.run(f"SET search_path = public, {self.world.schema}")
        self.run("SET client_min_messages = warning")
        self.run("SET jit = off")           # which takes seconds where enable_seqscan is off
        # what a call must not change: of a superuser, to whom all belongs, less
        self.owned = (WRITTEN % ','.join(str(t.oid) for t in self.world.tables)
                      + ', ' + ("''" if role == 'postgres' else OTHERS % self.world.schema))
        self.at_rest = self.ask(f'SELECT {SESSION}, {LOCKS}')

    def run(self, statement):
        self.cursor.execute(statement)
        return self.cursor.fetchall() if self.cursor.description else None

    def ask(self, statement):
        return self.run(statement)[0]

    def try_out(self, statement):
        """In a transaction: a statement of which it does not matter whether it fails."""
        self.run('SAVEPOINT before')
        try:
            self.run(statement)
        except psycopg2.Error as error:
            if error.pgcode is None:
                raise
            self.run('ROLLBACK TO before')

    def check_written(self, call, before, after):
        for table, rows_before, rows_after in zip(self.world.tables, before, after):
            if rows_after <= rows_before or table.name.endswith('.journal'):
                continue
            if table.extension:
                if self.role == 'fuzz_stranger':
                    raise Wrong(f'rows of {table.name} changed, though the caller owns no source')
                continue
            self.cursor.execute("SELECT pg_catalog.has_table_privilege(%s::pg_catalog.oid, 'UPDATE, DELETE, INSERT')", (table.oid,))
            if self.cursor.fetchone()[0] is False:
                raise Wrong(f'rows of {table.name} changed, which the caller may not change')
            # (CALL serves the hints of all sources of its caller, whichever it names)
            if call.source and call.statement.startswith('SELECT') and table.oid not in self.world.source_rows[call.source].tables:
                raise Wrong(f'rows of {table.name} changed, though the call was for source {call.source}')

    def check_telling(self, call, text):
        role = call.acting or call.role
        if role == 'postgres' or any('OWNER' in s for s in call.before):
            return
        for secret in set(re.findall(r'Secret of ([a-z_.]+)', text)):
            if secret not in self.batch.may_know[role]:
                raise Wrong(f'tells of {secret}')

    def check_error(self, call, error):
        code, diag = error.pgcode, error.diag
        if code is None or self.connection.closed:
            raise Gone(f'the server is gone: {error}')
        if code.startswith('XX') or code.startswith('58') or not re.fullmatch('[0-9A-Z]{5}', code):
            raise Wrong(f'{code} {error}')
        if OUR_WORDS.search(diag.message_primary or ''):
            raise Wrong(f'{code} {error}')
        if code in OURS and diag.internal_query and call.mode != 'plpgsql':
            raise Wrong(f'{code} in SQL of the extension: {error}')
        self.check_telling(call, str(error))

    def arrive(self, call):
        """What comes before the call; what the session is like then."""
        if not call.before and not call.acting:
            return self.at_rest[:-1] + self.ask(f"{call.begin or ''}; SELECT {self.owned}")
        self.run(call.begin)
        for statement in call.before:
            self.try_out(statement)
        if call.acting:
            self.run(f'SET LOCAL ROLE {identifier(call.acting)}')
        return self.ask(f'SELECT {SESSION}, {self.owned}')

    def make(self, call):
        """Makes a call; raises Wrong.  Returns its SQLSTATE, 00000 for a result."""
        code = '00000'
        del self.connection.notices[:]
        try:
            before = self.arrive(call)
        except psycopg2.Error as error:
            if error.pgcode is None or self.connection.closed:
                raise Gone(f'the server is gone: {error}')
            code = error.pgcode             # what was done before does not let it be called
        else:
            try:
                answers = [self.run(statement) for statement in call.statements()]
            except UnicodeDecodeError:
                pass                        # a result in the client_encoding of the call, which psycopg2 has not heard of
            except psycopg2.Error as error:
                self.check_error(call, error)
                code = error.pgcode
                if call.mode == 'savepoint':
                    self.run('ROLLBACK TO s')
            else:
                if call.what not in self.batch.open_to_all:
                    self.check_telling(call, repr(answers) + repr(self.connection.notices))
            self.check_after(call, before, code)
        tidy = ('ROLLBACK;' if call.begin else '') + ('DEALLOCATE ALL;' if call.mode == 'prepared' else '')
        after = self.ask(f'{tidy} SELECT {SESSION}, {LOCKS}')
        if after != self.at_rest:
            raise Wrong(f'leaves behind: {[(a, b) for a, b in zip(self.at_rest, after) if a != b]}')
        return code

    def check_after(self, call, before, code):
        """In the transaction of the call, unless that is in error."""
        if self.connection.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_INERROR:
            return
        try:
            after = self.ask(f'SELECT {SESSION}, {self.owned}')
        except psycopg2.Error as error:
            if error.pgcode == '57014':     # the statement_timeout of the session
                return
            raise Wrong(f'cannot go on: {error.pgcode} {error}')
        if after[:-2] != before[:-2]:
            raise Wrong(f'leaves the session changed: {[(a, b) for a, b in zip(before, after[:-2]) if a != b]}')
        if after[-1] != before[-1]:
            raise Wrong("changes the source of somebody else's")
        if call.what.endswith(')'):         # no view, or table, of the extension
            self.check_written(call, before[-2], after[-2])


#
# Batches
#


class Batch:
    """The calls of one database."""

    def __init__(self, options, number):
        self.options, self.number = options, number
        self.database = f'fuzz_{number}_{os.getpid()}'
        self.rng = random.Random(f'{options.seed}/{number}')
        self.committed, self.codes, self.failures = [], collections.defaultdict(collections.Counter), []
        self.calling = None

    def superuser(self, statement, *values):
        self.admin_cursor.execute(statement, values or None)
        return self.admin_cursor.fetchall() if self.admin_cursor.description else None

    def prepare(self):
        admin = connect('postgres')
        admin.cursor().execute(f'CREATE DATABASE {self.database} TEMPLATE {TEMPLATE}')
        admin.cursor().execute(f'ALTER DATABASE {self.database} SET log_error_verbosity = verbose')
        admin.cursor().execute(f'ALTER DATABASE {self.database} SET log_min_error_statement = panic')
        for role in ROLES:
            admin.cursor().execute(f'GRANT CREATE, TEMPORARY ON DATABASE {self.database} TO {identifier(role)}')
        admin.close()
        self.admin = connect(self.database)
        self.admin_cursor = self.admin.cursor()
        self.world = World(self.admin_cursor)
        schema = self.world.schema
        self.superuser(f'UPDATE {schema}.campaign_armed SET database = (SELECT oid FROM pg_database WHERE datname = current_database())')
        self.open_to_all = {f'{schema}.{t}' for t in ('campaign_source', 'campaign_armed', 'campaign_reopening')}
        self.may_know = {role: set() for role in ROLES}
        for role in ROLES:
            for secret, in self.superuser("""
                    SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.relkind = 'r' AND c.relnamespace = 'shop'::regnamespace AND has_table_privilege(%s, c.oid, 'SELECT')
                    UNION ALL SELECT r.rolname FROM pg_roles AS r WHERE pg_has_role(%s, r.oid, 'USAGE')""", role, role):
                self.may_know[role].add(re.sub('[^a-z_.]', '', secret))
        self.bystanders = self.fingerprint()
        self.sessions = {}

    def fingerprint(self):
        return [self.superuser(f'SELECT pg_catalog.md5(pg_catalog.string_agg(t::text, chr(10) ORDER BY t::text)) FROM {t.name} AS t')
                for t in self.world.tables if t.name in BYSTANDERS]

    def session(self, role):
        if role not in self.sessions:
            self.sessions[role] = Session(self, role)
        return self.sessions[role]

    def fail(self, call, wrong):
        lines = [f'# seed {self.options.seed}, batch {self.number}, call {call.number} ({call.what}): {wrong}',
                 f'# calls.py --seed {self.options.seed} --batch {self.number} repeats the batch; in the database of world.sql, after {len(self.committed)} committed statements, of which these are the last:']
        for line in self.committed[-20:] + call.as_sql():
            lines += ['#   ' + part[:2000] for part in line.splitlines()]
        self.failures.append('\n'.join(lines))

    def run(self):
        self.prepare()
        log_at = os.path.getsize(self.options.log) if self.options.log else 0
        watch = threading.Thread(target=self.watch, daemon=True)
        self.done = False
        watch.start()
        calls = self.options.calls - self.number * BATCH
        for number in range(min(BATCH, calls)):
            call = Call(Values(self.rng, self.world), number)
            if self.options.verbose:
                print('\n'.join(call.as_sql()), flush=True)
            try:
                session = self.session(call.role)
                self.calling = (time.monotonic(), session.connection)
                code = session.make(call)
                self.codes[call.what][code] += 1
                if self.calling is None:
                    raise Wrong(f'took longer than {PATIENCE} seconds')
            except (Wrong, psycopg2.Error) as wrong:
                self.sessions.pop(call.role, None)
                if getattr(wrong, 'pgcode', None) == '57014':   # a statement of ours met the call's statement_timeout
                    continue
                self.fail(call, wrong)
                self.codes[call.what]['wrong'] += 1
                if len(self.failures) >= 5 or isinstance(wrong, Gone):
                    break
            self.calling = None
            if call.mode == 'commit':
                self.committed += call.as_sql()
        self.done = True
        try:
            self.check_whole(log_at)
        except (Wrong, psycopg2.Error) as wrong:
            self.failures.append(f'# seed {self.options.seed}, after batch {self.number}: {wrong}')
        self.tidy()
        return self.codes, self.failures

    def watch(self):
        while not self.done:
            calling = self.calling
            if calling and time.monotonic() - calling[0] > PATIENCE:
                self.calling = None
                calling[1].cancel()
            time.sleep(0.5)

    def check_whole(self, log_at):
        """After all calls: the catalogs are whole, and what is nobody's is as it was."""
        schema = self.world.schema
        if self.fingerprint() != self.bystanders:
            raise Wrong('a table that belongs to no source has changed')
        if not self.superuser(f'SELECT * FROM {schema}.campaign_health()'):
            raise Wrong('campaign_health() has no answer')
        orphans = self.superuser(f'SELECT source FROM {schema}.campaign_event UNION SELECT source FROM {schema}.campaign_state UNION SELECT source FROM {schema}.campaign_armed'
                                 f' EXCEPT SELECT source FROM {schema}.campaign_source')
        if orphans:
            raise Wrong(f'there is history of sources that do not exist: {orphans}')
        internal = self.superuser(f"SELECT source, campaign_id, sqlstate, error FROM {schema}.campaign_retry WHERE sqlstate LIKE 'XX%%'")
        if internal:
            raise Wrong(f'there is an internal error in campaign_retry: {internal}')
        if self.options.log:
            with open(self.options.log, errors='replace') as log:
                log.seek(log_at)
                wrong = [line for line in log if re.search(r'(ERROR|WARNING|FATAL):  (XX|58)[0-9A-Z]{3}:|PANIC:|TRAP:|terminated by signal', line)]
            if wrong:
                raise Wrong('the log has ' + ''.join(wrong[:3]))

    def tidy(self):
        for session in self.sessions.values():
            session.connection.close()
        self.admin.close()
        admin = connect('postgres')
        admin.cursor().execute(f'DROP DATABASE {self.database} WITH (FORCE)')
        admin.close()


def run_batch(options, number):
    batch = Batch(options, number)
    try:
        return batch.run()
    except psycopg2.Error as error:         # the server is gone
        return batch.codes, batch.failures + [f'# seed {options.seed}, batch {number}: {error}']


def never_called(codes):
    """The functions that are in the template, and that no call was of."""
    connection = connect(TEMPLATE)
    functions = World(connection.cursor()).functions
    connection.close()
    return [f.signature for f in functions if not set(codes.get(f.signature, ())) - NOT_UNDERSTOOD]


def make_template():
    admin = connect('postgres')
    admin.cursor().execute(f'DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)')
    admin.cursor().execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0 ENCODING 'UTF8'")
    admin.close()
    connection = connect(TEMPLATE)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'world.sql')) as script:
        connection.cursor().execute(script.read())
    connection.close()


def drop_all():
    admin = connect('postgres')
    cursor = admin.cursor()
    cursor.execute(f'DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)')
    for role in list(ROLES)[1:]:
        cursor.execute(f'DROP ROLE IF EXISTS {identifier(role)}')
    admin.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--calls', type=int, default=10000)
    parser.add_argument('--batch', type=int, help='only this one')
    parser.add_argument('--jobs', type=int, default=2, help='batches at once')
    parser.add_argument('--log', help="the server's log, to be looked through")
    parser.add_argument('--verbose', action='store_true', help='print each call before it is made')
    options = parser.parse_args()
    make_template()
    numbers = range(-(-options.calls // BATCH)) if options.batch is None else [options.batch]
    codes, failures = collections.defaultdict(collections.Counter), []
    if len(numbers) == 1:
        results = [run_batch(options, number) for number in numbers]
    else:
        with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
            results = list(pool.map(run_batch, [options] * len(numbers), numbers))
    for batch_codes, batch_failures in results:
        failures += batch_failures
        for what, counter in batch_codes.items():
            codes[what].update(counter)
    enough = options.batch is None and options.calls >= ENOUGH
    missed = never_called(codes) if enough else []
    drop_all()
    total = sum(sum(counter.values()) for counter in codes.values())
    for what in sorted(codes):
        print(f'# {sum(codes[what].values()):6} {what}: ' + ' '.join(f'{code} {n}' for code, n in codes[what].most_common()))
    for failure in failures[:20]:
        print(failure)
    print(f"{'not ' if failures else ''}ok 1 - {total} calls of {len(codes)} functions, views and tables, seed {options.seed}")
    for signature in missed:
        print(f'# never called: {signature}')
    if enough:
        print(f"{'not ' if missed else ''}ok 2 - every function was called")
    print(f'1..{1 + enough}')
    sys.exit(bool(failures or missed))


if __name__ == '__main__':
    main()
