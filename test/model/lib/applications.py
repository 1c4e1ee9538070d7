"""The applications of the histories: the tables that each has, what it calls the
standard columns and words, and how it writes its rows.

An application knows nothing of the rules.  Its DDL is printed with a history
that fails.
"""

import json
from zoneinfo import ZoneInfo

STATISTICS = ('sent_count', 'success_count', 'failed_count', 'delivered_count', 'read_count',
              'no_interaction_count', 'pending_count', 'interaction_count')
WORDS = {
    'campaigns': ('sending', 'completed', 'failed'),
    'messages': ('pending', 'sent', 'delivered', 'read', 'failed', 'no_interaction', 'ignored'),
    'message_types': ('message_1', 'message_2'),
    'interactions': ('reply', 'reaction'),
}
STANDARD_COLUMNS = {
    'campaigns': ('id', 'status', 'total_recipients', 'created_at', 'started_at', 'resumed_at', 'completed_at', 'updated_at') + STATISTICS,
    'messages': ('id', 'campaign_id', 'contact_id', 'message_type', 'status', 'error_message', 'sent_at', 'delivered_at', 'read_at',
                 'created_at', 'updated_at'),
    'interactions': ('campaign_id', 'contact_id', 'interaction_type', 'received_at'),
}
CONTACTS = 4
CROWD = range(101, 1301)        # contacts of a campaign that is larger than all others
BATCHES = 3
MAX_CAMPAIGNS = 4


class Application:
    """Attached tables of an application's own.

    columns   table -> {standard name: the table's own}; what is not there is absent
    words     group -> {standard word: [the application's, ...]}, as labels has them
    unknown   a status of messages that no label maps; None: the tables allow none
    written   table -> what the application writes to, if it is not what is attached
    tells     do interactions tell their campaign: 'always', 'never', 'sometimes'
    """

    key_format, message_format, contact_format = '%d', '%d', '%d'
    zone = unknown = None
    other_type = other_kind = None
    tells = 'always'
    batches = unique = False
    rule = 'contacts'
    other_words = ('draft', 'paused')       # of campaigns
    null_statistics = True
    settings = ()

    def __init__(self, name, columns, words, ddl, written=None, **traits):
        self.name, self.columns, self.ddl = name, columns, ddl
        self.words = {group: {word: list(words.get(group, {}).get(word, [] if word == 'ignored' else [word])) for word in all_words}
                      for group, all_words in WORDS.items()}
        self.said = words
        self.written = written or {}
        for trait, value in traits.items():
            if not hasattr(type(self), trait):
                raise AttributeError(trait)
            setattr(self, trait, value)

    # What the rules have to know.

    def has(self, table, column):
        return column in self.columns.get(table, {})

    def word(self, group, standard, n=0):
        words = self.words[group][standard]
        return words[n % len(words)]

    def marks(self):
        return bool(self.words['messages']['no_interaction'])

    def no_statistics(self):
        return {name: None if self.null_statistics else 0 for name in STATISTICS if self.has('campaigns', name)}

    def views(self):
        """Are they views, on which there is no trigger?"""
        return bool(self.written)

    def own_interactions(self):
        """A table of interactions alone, which tell their campaign."""
        return self.has('interactions', 'campaign_id') and self.attached('interactions') != self.attached('messages')

    # Keys.

    def key(self, n):
        return self.key_format % n if '%012d' in self.key_format else n

    def message_key(self, n):
        return self.message_format % n if self.message_format != '%d' else n

    def contact(self, n):
        return None if n is None else self.contact_format % n if self.contact_format != '%d' else n

    def sql_of(self, key_format):
        """A key of that format, of the number that some SQL is."""
        prefix = key_format.split('%')[0]
        if '%012d' in key_format:
            return lambda n: f"('{prefix}' || lpad(({n})::text, 12, '0'))::uuid"
        return lambda n: f"'{prefix}' || ({n})" if prefix else f'({n})'

    # Rows.

    def table(self, table):
        return self.written.get(table, f'{self.name}.{self.attached(table)}')

    def attached(self, table):
        return self.columns[table].get('', table)

    def moment(self, value):
        return value if value is None or self.zone is None else value.astimezone(self.zone).replace(tzinfo=None)

    def at(self, value):
        """A moment that was read."""
        return value if value is None or value.tzinfo else value.replace(tzinfo=self.zone)

    def row(self, table, values):
        """Standard names and values, as the table has them: absent columns left out."""
        return {self.columns[table].get(name, name): self.moment(value) if hasattr(value, 'tzinfo') else value
                for name, value in values.items() if name in self.columns[table] or name not in STANDARD_COLUMNS[table]}

    def insert(self, table, values):
        row = self.row(table, values)
        return (f"INSERT INTO {self.table(table)} ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})", tuple(row.values()))

    def insert_many(self, table, values, numbers):
        """One row for each number n; values that are functions are called with the
        SQL of n."""
        def text(value):
            return value('n') if callable(value) else '%s'

        row = {self.columns[table].get(name, name): value if callable(value) else self.moment(value) if hasattr(value, 'tzinfo') else value
               for name, value in values.items() if name in self.columns[table] or name not in STANDARD_COLUMNS[table]}
        return (f"INSERT INTO {self.table(table)} ({', '.join(row)}) SELECT {', '.join(map(text, row.values()))}"
                f' FROM generate_series({numbers.start}, {numbers.stop - 1}) AS n',
                tuple(value for value in row.values() if not callable(value)))

    def update(self, table, key, values):
        """None where there is nothing to be written."""
        row = self.row(table, values)
        return row and (f"UPDATE {self.table(table)} SET {', '.join(f'{name} = %s' for name in row)}"
                        f" WHERE {self.columns[table]['id']} = %s", tuple(row.values()) + (key,))

    def empty(self):
        """The statements that delete all rows that histories make, campaigns last."""
        keys = ', '.join(repr(self.key(n)) for n in range(1, MAX_CAMPAIGNS + 1))
        if 'interactions' in self.columns:
            yield f"DELETE FROM {self.table('interactions')}"
        yield f"DELETE FROM {self.table('messages')} WHERE {self.columns['messages']['campaign_id']} IN ({keys})"
        yield f"DELETE FROM {self.table('campaigns')} WHERE {self.columns['campaigns']['id']} IN ({keys})"

    def delete(self, table, column, key):
        return f'DELETE FROM {self.table(table)} WHERE {self.columns[table][column]} = %s', (key,)

    # Set up.

    def attach(self):
        columns = {table: {standard: own for standard, own in names.items() if standard and standard != own}
                   for table, names in self.columns.items()}
        tables = [f"'{self.name}.{self.attached(t)}'" if t in self.columns else 'NULL' for t in ('campaigns', 'messages', 'interactions')]
        quoted = [json.dumps(o).replace("'", "''") for o in (columns, self.said)]
        return [f"SELECT FROM campaign_attach('{self.name}', {', '.join(tables)}, columns => '{quoted[0]}', labels => '{quoted[1]}');"]

    def set_up(self):
        """The statements that make it, in a database that has the extension."""
        return [f'CREATE SCHEMA {self.name};', self.ddl] + self.attach() + [
            f"SELECT FROM campaign_alter('{self.name}', '{name}', '{value}');" for name, value in self.settings]


class Standard(Application):
    """The standard tables, with more columns perhaps, and partitioned perhaps."""

    key_format = message_format = contact_format = '00000000-0000-0000-0000-%012d'
    unique = True
    null_statistics = False
    other_type, other_kind = 'greeting', 'read'

    def __init__(self, name, more=(), shape=None, **traits):
        columns = {table: {name: name for name in names} for table, names in STANDARD_COLUMNS.items()}
        columns['campaigns'].update({name: name for name in more})
        more_ddl = ''.join(f"ALTER TABLE {name}.campaigns ADD {column} {'text' if column == 'completion_rule' else 'interval'};" for column in more)
        self.shape = shape
        super().__init__(name, columns, {}, more_ddl, **traits)

    def attach(self):
        return [f"INSERT INTO {self.name}.contacts (id, full_number) SELECT lpad(n::text, 32, '0')::uuid, n"
                f" FROM generate_series(1, {CROWD.stop - 1}) AS n WHERE n <= {CONTACTS} OR n >= {CROWD.start};"]

    def set_up(self):
        statements = super().set_up()
        create = [f"SELECT FROM campaign_create_tables('{self.name}');"]
        if self.shape is not None:
            create = [f"SELECT partitions.shape('{self.shape}');"] + create + ['SELECT partitions.shape(NULL);']
        return statements[:1] + create + statements[1:]


def same(*names):
    return {name: name for name in names}


CLOSING = ('completed_at', 'sent_count', 'failed_count', 'pending_count')

APPLICATIONS = [
    Standard('north'),
    Standard('south', rule='messages', settings=[('completion_rule', 'messages')],
             more=('interaction_timeout', 'campaign_timeout', 'completion_rule')),
    # the same, partitioned
    Standard('hashed', shape='hash'),
    Standard('ranged', shape='range'),
    Standard('nested', shape='nested', more=('completion_rule',)),

    # bigint keys, enums, several words, moments without zone, answers that tell no campaign
    Application('runs', {
        'campaigns': {'': 'runs', 'id': 'no', 'status': 'state', 'total_recipients': 'audience', 'created_at': 'made', 'started_at': 'launched',
                      'resumed_at': 'again', 'completed_at': 'ended', 'sent_count': 'n_sent', 'no_interaction_count': 'n_silent',
                      'interaction_count': 'n_answers'},
        'messages': {'': 'texts', 'id': 'no', 'campaign_id': 'run', 'contact_id': 'phone', 'message_type': 'kind', 'status': 'state',
                     'error_message': 'why', 'sent_at': 'gone_at', 'created_at': 'made'},
        'interactions': {'': 'answers', 'contact_id': 'phone', 'interaction_type': 'kind', 'received_at': 'at'},
    }, {
        'campaigns': {'sending': ['running', 'live'], 'completed': ['over', 'done'], 'failed': ['broken']},
        'messages': {'pending': ['queued', 'waiting'], 'sent': ['gone', 'accepted'], 'delivered': ['arrived'], 'read': ['seen', 'opened'],
                     'failed': ['lost', 'bounced'], 'no_interaction': ['silent', 'ghosted'], 'ignored': ['void']},
        'message_types': {'message_1': ['invitation', 'teaser'], 'message_2': ['brochure']},
        'interactions': {'reply': ['text', 'button'], 'reaction': ['emoji']},
    }, """CREATE TYPE runs.run_state AS ENUM ('draft', 'running', 'live', 'paused', 'over', 'done', 'broken');
CREATE TYPE runs.text_state AS ENUM ('queued', 'waiting', 'gone', 'accepted', 'arrived', 'seen', 'opened', 'lost', 'bounced', 'silent', 'ghosted', 'void', 'odd');
CREATE TYPE runs.text_kind AS ENUM ('invitation', 'teaser', 'brochure', 'bill');
CREATE TABLE runs.runs (no bigint PRIMARY KEY, state runs.run_state NOT NULL, audience int, made timestamp NOT NULL, launched timestamp,
	again timestamp, ended timestamp, n_sent int, n_silent int, n_answers int);
CREATE TABLE runs.texts (no bigint PRIMARY KEY, run bigint NOT NULL, phone varchar(20), kind runs.text_kind NOT NULL, state runs.text_state NOT NULL,
	why text, gone_at timestamp, made timestamp);
CREATE TABLE runs.answers (phone text, kind text, at timestamp NOT NULL);
CREATE INDEX ON runs.texts (run, phone, kind);
CREATE INDEX ON runs.answers (phone, at);""",
        contact_format='+33%d', tells='never', unknown='odd', other_type='bill', other_kind='receipt', zone=ZoneInfo('Europe/Paris'),
        settings=[('time_zone', 'Europe/Paris'), ('mode', 'active')]),

    # integer keys, and as little as can be: no types, no interactions, no moments
    Application('bare', {
        'campaigns': same('id', 'status', 'created_at'),
        'messages': same('id', 'campaign_id', 'contact_id', 'status'),
    }, {'messages': {'pending': ['pending', 'scheduled'], 'delivered': [], 'read': [], 'no_interaction': []}},
        """CREATE TABLE bare.campaigns (id int PRIMARY KEY, status text NOT NULL, created_at timestamptz NOT NULL);
CREATE TABLE bare.messages (id text PRIMARY KEY, campaign_id int NOT NULL, contact_id int, status text NOT NULL);
CREATE INDEX ON bare.messages (campaign_id, contact_id);""",
        message_format='m-%d', unknown='odd', rule='messages'),

    # no types and no interactions, but a word for those who are silent; when a
    # message was sent shows by when it was written
    Application('sms', {
        'campaigns': same('id', 'status', 'created_at', 'started_at', *CLOSING, 'no_interaction_count'),
        'messages': same('id', 'campaign_id', 'contact_id', 'status', 'error_message', 'created_at', 'updated_at'),
    }, {'campaigns': {'sending': ['sending', 'sending_again']},
        'messages': {'no_interaction': ['expired'], 'failed': ['failed', 'undelivered', 'bounced'], 'read': [], 'ignored': ['inbound', 'test']}},
        """CREATE TABLE sms.campaigns (id int PRIMARY KEY, status varchar(20) NOT NULL, created_at timestamptz NOT NULL, started_at timestamptz,
	completed_at timestamptz, sent_count bigint, failed_count smallint, pending_count int, no_interaction_count bigint);
CREATE TABLE sms.messages (id bigint PRIMARY KEY, campaign_id int NOT NULL, contact_id bigint, status varchar(20) NOT NULL,
	error_message text, created_at timestamptz, updated_at timestamptz);
CREATE INDEX ON sms.messages (contact_id, campaign_id);""",
        unknown='odd', rule='messages'),

    # views that PostgreSQL updates by itself, of some rows, and a UNION of answers
    Application('views', {
        'campaigns': {'': 'shown', 'status': 'state', **same('id', 'created_at', 'started_at', 'resumed_at', 'interaction_count', *CLOSING)},
        'messages': {'': 'shown_messages', 'status': 'state', **same('id', 'campaign_id', 'contact_id', 'message_type', 'error_message', 'sent_at', 'created_at')},
        'interactions': {'': 'answers', **same('campaign_id', 'contact_id', 'interaction_type', 'received_at')},
    }, {'interactions': {'reaction': []}},
        """CREATE TABLE views.campaigns (id bigint PRIMARY KEY, state text NOT NULL, created_at timestamptz NOT NULL, started_at timestamptz, resumed_at timestamptz,
	completed_at timestamptz, sent_count int, failed_count int, pending_count int, interaction_count int, hidden boolean DEFAULT false);
CREATE TABLE views.messages (id bigint PRIMARY KEY, campaign_id bigint, contact_id int, message_type text, state text NOT NULL, error_message text,
	sent_at timestamptz, created_at timestamptz, hidden boolean DEFAULT false);
INSERT INTO views.campaigns (id, state, created_at, hidden) VALUES (999, 'sending', '2025-01-01 00:00Z', true);
INSERT INTO views.messages (id, campaign_id, contact_id, message_type, state, hidden) SELECT -n, n, 1, 'message_1', 'pending', true FROM generate_series(1, 4) AS n;
CREATE TABLE views.interactions (campaign_id bigint, contact_id int, interaction_type text, received_at timestamptz);
CREATE VIEW views.shown AS SELECT * FROM views.campaigns WHERE NOT hidden;
CREATE VIEW views.shown_messages AS SELECT id, state, campaign_id, contact_id, message_type, error_message, sent_at, created_at FROM views.messages WHERE NOT hidden;
CREATE VIEW views.answers AS SELECT * FROM views.interactions WHERE campaign_id IS NULL
	UNION ALL SELECT * FROM views.interactions WHERE campaign_id IS NOT NULL;""",
        written={'campaigns': 'views.campaigns', 'messages': 'views.messages', 'interactions': 'views.interactions'},
        tells='sometimes', unknown='odd', other_type='greeting', other_kind='reaction'),

    # views that only their triggers update
    Application('joined', {
        'campaigns': {'': 'shown', **same('id', 'status', 'total_recipients', 'created_at', 'started_at', 'resumed_at', *CLOSING, 'interaction_count')},
        'messages': {'': 'shown_messages', **same('id', 'campaign_id', 'contact_id', 'message_type', 'status', 'error_message', 'sent_at')},
        'interactions': same('campaign_id', 'contact_id'),
    }, {'message_types': {'message_1': ['first', 'again'], 'message_2': ['second']}},
        """CREATE TABLE joined.campaigns (id int PRIMARY KEY, status text NOT NULL, total_recipients int, created_at timestamptz NOT NULL, started_at timestamptz,
	resumed_at timestamptz, completed_at timestamptz, sent_count int, failed_count int, pending_count int, interaction_count int);
CREATE TABLE joined.messages (id int PRIMARY KEY, campaign_id int NOT NULL, contact_id int, message_type text, status text, error_message text, sent_at timestamptz);
CREATE TABLE joined.interactions (campaign_id int NOT NULL, contact_id int NOT NULL);
CREATE VIEW joined.shown AS SELECT c.*, (SELECT count(*) FROM joined.messages AS m WHERE m.campaign_id = c.id) AS messages FROM joined.campaigns AS c;
CREATE VIEW joined.shown_messages AS SELECT m.*, c.created_at FROM joined.messages AS m JOIN joined.campaigns AS c ON c.id = m.campaign_id;
CREATE FUNCTION joined.update_campaign() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE joined.campaigns SET (status, completed_at, sent_count, failed_count, pending_count, interaction_count) =
		(NEW.status, NEW.completed_at, NEW.sent_count, NEW.failed_count, NEW.pending_count, NEW.interaction_count) WHERE id = OLD.id;
	RETURN NEW;
END $$;
CREATE FUNCTION joined.update_message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE joined.messages SET status = NEW.status, error_message = NEW.error_message WHERE id = OLD.id;
	RETURN NEW;
END $$;
CREATE TRIGGER t INSTEAD OF UPDATE ON joined.shown FOR EACH ROW EXECUTE FUNCTION joined.update_campaign();
CREATE TRIGGER t INSTEAD OF UPDATE ON joined.shown_messages FOR EACH ROW EXECUTE FUNCTION joined.update_message();""",
        written={'campaigns': 'joined.campaigns', 'messages': 'joined.messages'}, unknown='odd', other_type='third'),

    # one table of what goes out and what comes in
    Application('inbox', {
        'campaigns': same('id', 'status', 'created_at', 'started_at', 'total_recipients', 'pending_count', 'interaction_count'),
        'messages': {'': 'traffic', 'contact_id': 'phone', 'message_type': 'kind', 'created_at': 'at', 'sent_at': 'sent_at', **same('id', 'campaign_id', 'status')},
        'interactions': {'': 'traffic', 'campaign_id': 'campaign_id', 'contact_id': 'phone', 'interaction_type': 'kind', 'received_at': 'at'},
    }, {'message_types': {'message_1': ['out'], 'message_2': ['follow-up']}, 'interactions': {'reply': ['in'], 'reaction': ['like']}},
        """CREATE TABLE inbox.campaigns (id bigint PRIMARY KEY, status text NOT NULL, created_at timestamptz NOT NULL, started_at timestamptz, total_recipients int,
	pending_count int, interaction_count int);
CREATE TABLE inbox.traffic (id bigint GENERATED BY DEFAULT AS IDENTITY (START 1000000) PRIMARY KEY, campaign_id bigint, phone text, kind text NOT NULL,
	status text NOT NULL DEFAULT 'received', sent_at timestamptz, at timestamptz NOT NULL);
CREATE INDEX ON inbox.traffic (campaign_id, phone);""",
        contact_format='+49%d', tells='sometimes', unknown='odd', other_type='note', other_kind='note'),

    # everything partitioned: campaigns by hash, messages by list, with partitions
    # that are detached and attached, interactions by range with a default
    Application('lists', {
        'campaigns': same('id', 'status', 'created_at', 'started_at', 'resumed_at', 'total_recipients', 'interaction_timeout', *CLOSING, 'read_count'),
        'messages': same('id', 'campaign_id', 'contact_id', 'message_type', 'status', 'error_message', 'sent_at', 'created_at', 'updated_at'),
        'interactions': same('campaign_id', 'contact_id', 'interaction_type', 'received_at'),
    }, {'campaigns': {'sending': ['sending', 'resending']}, 'messages': {'ignored': ['cancelled']}},
        """CREATE TABLE lists.campaigns (id bigint PRIMARY KEY, status text NOT NULL, created_at timestamptz NOT NULL, started_at timestamptz, resumed_at timestamptz,
	total_recipients int, interaction_timeout interval, completed_at timestamptz, sent_count int, failed_count int, pending_count int, read_count int) PARTITION BY HASH (id);
CREATE TABLE lists.campaigns_0 PARTITION OF lists.campaigns FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE lists.campaigns_1 PARTITION OF lists.campaigns FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE lists.messages (id bigint, campaign_id bigint NOT NULL, contact_id bigint, message_type text, status text, error_message text,
	sent_at timestamptz, created_at timestamptz, updated_at timestamptz, batch int NOT NULL, PRIMARY KEY (id, batch)) PARTITION BY LIST (batch);
CREATE TABLE lists.messages_0 PARTITION OF lists.messages FOR VALUES IN (0);
CREATE TABLE lists.messages_1 (batch int NOT NULL, status text, gone int, id bigint, contact_id bigint, campaign_id bigint NOT NULL, updated_at timestamptz,
	created_at timestamptz, sent_at timestamptz, error_message text, message_type text, PRIMARY KEY (id, batch));
ALTER TABLE lists.messages_1 DROP COLUMN gone;
ALTER TABLE lists.messages ATTACH PARTITION lists.messages_1 FOR VALUES IN (1);
CREATE TABLE lists.messages_2 PARTITION OF lists.messages FOR VALUES IN (2) PARTITION BY HASH (id);
CREATE TABLE lists.messages_2_0 PARTITION OF lists.messages_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE lists.messages_2_1 PARTITION OF lists.messages_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE lists.interactions (campaign_id bigint NOT NULL, contact_id bigint NOT NULL, interaction_type text, received_at timestamptz)
	PARTITION BY RANGE (received_at);
CREATE TABLE lists.interactions_first PARTITION OF lists.interactions FOR VALUES FROM (MINVALUE) TO ('2025-03-30 00:00Z');
CREATE TABLE lists.interactions_rest PARTITION OF lists.interactions DEFAULT;
CREATE INDEX ON lists.messages (campaign_id, contact_id);
CREATE INDEX ON lists.interactions (contact_id, campaign_id);""",
        unknown='odd', other_type='greeting', other_kind='seen', batches=True),
]
