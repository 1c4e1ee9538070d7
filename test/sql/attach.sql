-- Attaching an application's own tables: what is refused, what holds a source
-- back, what is advised, and that nothing is half attached.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
RESET client_min_messages;
SET timezone = 'UTC';
\pset null -

CREATE SCHEMA "Shop";
SET DateStyle = 'ISO';
SET search_path = "Shop", public;
CREATE TABLE "Shop"."Blast Runs" (
	"No" bigint PRIMARY KEY,
	state varchar(10) NOT NULL DEFAULT 'running' CONSTRAINT states CHECK (state IN ('draft', 'running', 'done')),
	"made at" timestamp NOT NULL,
	done timestamp
);
CREATE TABLE texts (
	id serial PRIMARY KEY,
	blast bigint NOT NULL REFERENCES "Blast Runs",
	phone text NOT NULL,
	kind text NOT NULL DEFAULT 'message_1',
	state text NOT NULL CHECK (state IN ('queued', 'sent', 'delivered', 'read', 'failed')),
	error text,
	"sent at" timestamp,
	created_at timestamp NOT NULL DEFAULT '2026-01-01 00:00'
);
CREATE TABLE inbound (id serial PRIMARY KEY, phone text NOT NULL, received_at timestamp NOT NULL);

-- a composite row is no pleasure to read
CREATE FUNCTION attach(columns jsonb DEFAULT '{}', labels jsonb DEFAULT '{}', campaigns regclass DEFAULT '"Blast Runs"',
	messages regclass DEFAULT 'texts', interactions regclass DEFAULT NULL, contacts regclass DEFAULT NULL, source name DEFAULT 'blasts')
RETURNS TABLE (source name, mode text, completion_rule text) LANGUAGE sql AS $$
	SELECT a.source, a.mode, a.completion_rule
	FROM campaign_attach(source => attach.source, campaigns => campaigns, messages => messages, interactions => interactions,
		contacts => contacts, columns => columns, labels => labels) AS a
$$;

--
-- Refused
--
\set SHOW_CONTEXT never
\set ON_ERROR_STOP off
SELECT * FROM attach(source => NULL);
\echo :SQLSTATE
SELECT * FROM attach(campaigns => NULL);
\echo :SQLSTATE
SELECT * FROM attach(messages => NULL);
\echo :SQLSTATE
-- all at once: every column that is missing, keys that nobody knows, words that stand for two things
SELECT * FROM attach();
\echo :SQLSTATE
SELECT * FROM attach(
	columns => '{"campaigns": {"id": "No", "stauts": "state", "created_at": 5}, "messages": {"campaign_id": "blast"}, "campaing": {}}',
	labels => '{"messages": {"pending": ["queued", 7], "sent": "read"}, "campaigns": {"sending": null}, "message_types": "x", "words": {}}');
\echo :SQLSTATE
-- JSON of another form
SELECT * FROM attach(columns => '[]');
\echo :SQLSTATE
SELECT * FROM attach(columns => '{"campaigns": "x"}', labels => '3');
\echo :SQLSTATE
-- columns of the wrong type, and one column for two
SELECT * FROM attach(
	columns => '{"campaigns": {"id": "state", "status": "made at", "created_at": "No", "completed_at": "done", "updated_at": "done"},
		"messages": {"campaign_id": "phone", "contact_id": "phone", "status": "id", "id": null}}');
\echo :SQLSTATE
-- nobody can do without these
SELECT * FROM attach(columns => '{"campaigns": {"id": null, "status": null, "created_at": null}}', interactions => 'inbound');
\echo :SQLSTATE

-- what is good for the rest of this file
\set mapped '\'{"campaigns": {"id": "No", "status": "state", "created_at": "made at", "completed_at": "done"}, "messages": {"campaign_id": "blast", "contact_id": "phone", "message_type": "kind", "status": "state", "error_message": "error", "sent_at": "sent at"}, "interactions": {"campaign_id": null, "contact_id": "phone", "interaction_type": null}}\''
\set words '\'{"campaigns": {"sending": "running", "completed": "done", "failed": "broken"}, "messages": {"pending": ["queued"]}}\''

-- other things than tables
CREATE TEMP TABLE temporary (LIKE texts);
CREATE VIEW counted AS SELECT blast, count(*) FROM texts GROUP BY blast;
CREATE MATERIALIZED VIEW stored AS SELECT * FROM texts;
CREATE SEQUENCE numbers;
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE "far" (id int) SERVER nowhere;
SELECT * FROM attach(messages => 'pg_temp.temporary');
\echo :SQLSTATE
SELECT * FROM attach(messages => 'counted');
\echo :SQLSTATE
SELECT * FROM attach(messages => 'stored');
\echo :SQLSTATE
SELECT * FROM attach(messages => 'numbers');
\echo :SQLSTATE
SELECT * FROM attach(messages => '"far"');
\echo :SQLSTATE
SELECT * FROM attach(interactions => '"far"');
\echo :SQLSTATE
SELECT * FROM attach(campaigns => 'pg_class');
\echo :SQLSTATE
SELECT * FROM attach(campaigns => 'texts');
\echo :SQLSTATE
SELECT * FROM attach(campaigns => 1);
\echo :SQLSTATE
-- a view whose column is computed
CREATE VIEW computed AS SELECT id, blast, phone, kind, lower(state) AS state, error, "sent at", created_at FROM texts;
SELECT * FROM attach(:mapped, :words, messages => 'computed');
\echo :SQLSTATE
ALTER TABLE texts ADD COLUMN shout text GENERATED ALWAYS AS (upper(state)) STORED;
SELECT * FROM attach(jsonb_set(:mapped, '{messages,error_message}', '"shout"'), :words);
\echo :SQLSTATE
ALTER TABLE texts DROP COLUMN shout CASCADE;

-- tables that do not belong together
CREATE TABLE other_runs (LIKE "Blast Runs" INCLUDING ALL);
SELECT * FROM attach(:mapped, :words, campaigns => 'other_runs');
\echo :SQLSTATE
CREATE TABLE loose (LIKE texts INCLUDING ALL);
INSERT INTO loose (blast, phone, state) VALUES (1, '1', 'sent');
INSERT INTO other_runs VALUES (2, 'draft', '2026-01-01');
SELECT * FROM attach(:mapped, :words, campaigns => 'other_runs', messages => 'loose');
\echo :SQLSTATE
ALTER TABLE loose ALTER COLUMN blast TYPE uuid USING gen_random_uuid();
SELECT * FROM attach(:mapped, :words, messages => 'loose');
\echo :SQLSTATE
CREATE TABLE numbered (phone integer, received_at timestamp);
SELECT * FROM attach(:mapped, :words, interactions => 'numbered');
\echo :SQLSTATE

-- somebody else's
CREATE ROLE attach_stranger;
GRANT USAGE ON SCHEMA "Shop" TO attach_stranger;
GRANT ALL ON ALL TABLES IN SCHEMA "Shop" TO attach_stranger;
SET ROLE attach_stranger;
SELECT * FROM attach(:mapped, :words);
\echo :SQLSTATE
RESET ROLE;
BEGIN READ ONLY;
SELECT * FROM attach(:mapped, :words);
\echo :SQLSTATE
ROLLBACK;

-- and nothing is half attached
SELECT count(*) FROM campaign_source;
\echo :SQLSTATE
SELECT count(*) FROM campaign_armed;
\echo :SQLSTATE
SELECT tgname FROM pg_trigger WHERE tgrelid IN ('texts'::regclass, 'loose'::regclass) AND NOT tgisinternal;
\echo :SQLSTATE

--
-- Held back: attached, in shadow mode, until it is mended
--
SELECT * FROM attach(:mapped, :words, interactions => 'inbound');
SELECT check_name, detail, fix FROM campaign_preflight() WHERE NOT ok;
SELECT mode FROM campaign_alter('blasts', 'mode', 'active');
SELECT time_zone FROM campaign_alter('blasts', 'time_zone', 'Europe/Paris');
SELECT mode FROM campaign_alter('blasts', 'mode', 'active');
-- the SQL that it gives, as it gives it
SELECT fix FROM campaign_preflight('blasts') WHERE NOT ok AND check_name = 'words' \gexec
SELECT fix FROM campaign_preflight('blasts') WHERE NOT ok AND check_name = 'indexes' \gexec
\pset format unaligned
SELECT split_part(fix, '; ', 1), replace(split_part(fix, '; ', 2), 'SELECT', 'SELECT columns FROM') FROM campaign_preflight('blasts') WHERE NOT ok AND fix LIKE '%started_at%' \gexec
\pset format aligned
SELECT * FROM campaign_preflight('blasts');
SELECT mode FROM campaign_alter('blasts', 'mode', 'active');
SELECT columns -> 'campaigns' AS campaigns FROM campaign_source;

-- taken
SELECT * FROM attach(:mapped, :words);
\echo :SQLSTATE
SELECT * FROM attach(:mapped, :words, source => 'again');
\echo :SQLSTATE
SELECT * FROM attach(:mapped, :words, campaigns => 'other_runs', source => 'again');
\echo :SQLSTATE
SELECT * FROM attach(:mapped, :words, campaigns => 'texts', messages => 'loose', source => 'again');
\echo :SQLSTATE

-- it works, in its words
INSERT INTO "Blast Runs" ("No", state, "made at") VALUES (1, 'running', '2026-01-01 00:00'), (2, 'running', '2026-01-01 00:00');
INSERT INTO texts (blast, phone, state, "sent at") VALUES (1, '+331', 'read', '2026-01-01 01:00'), (1, '+332', 'sent', '2026-01-01 01:00'),
	(2, '+331', 'failed', '2026-01-01 01:00');
INSERT INTO inbound (phone, received_at) VALUES ('+331', '2026-01-01 02:00');
SELECT previous_status, status, pending_count, message_1_sent, completed_at FROM campaign_update_status(1, as_of => '2026-01-01 12:00+01');
\echo :SQLSTATE
SELECT previous_status, status, pending_count, message_1_sent, completed_at FROM campaign_update_status(2, as_of => '2026-01-01 12:00+01');
\echo :SQLSTATE
SELECT campaigns_updated, messages_marked FROM campaign_check_expired_interactions(as_of => '2026-01-02 01:00+01');
\echo :SQLSTATE
SELECT campaigns_updated, messages_marked FROM campaign_check_expired_interactions(as_of => '2026-01-02 01:00:01+01');
\echo :SQLSTATE
SELECT phone, state, error FROM texts WHERE blast = 1 ORDER BY phone;
\echo :SQLSTATE
SELECT * FROM "Blast Runs" ORDER BY 1;
\echo :SQLSTATE

--
-- Renamed and dropped
--
ALTER TABLE texts RENAME TO messages_of_blasts;
ALTER TABLE "Blast Runs" RENAME TO runs;
ALTER TABLE runs SET SCHEMA public;
SELECT status FROM campaign_update_status(1, as_of => '2026-01-02 12:00+01');
\echo :SQLSTATE
ALTER TABLE messages_of_blasts RENAME COLUMN phone TO telephone;
SELECT status FROM campaign_update_status(1, as_of => '2026-01-02 12:00+01');
\echo :SQLSTATE
SELECT check_name, detail, fix FROM campaign_preflight() WHERE NOT ok;
\echo :SQLSTATE
-- say so
SELECT campaign_alter('blasts', 'columns', '{"messages": {"contact_id": "telefone"}}');
\echo :SQLSTATE
SELECT campaign_alter('blasts', 'columns', 'telephone');
\echo :SQLSTATE
SELECT labels FROM campaign_alter('blasts', 'labels', '{"messages": {"failed": "sent"}}');
\echo :SQLSTATE
SELECT columns -> 'messages' AS messages FROM campaign_alter('blasts', 'columns', '{"messages": {"contact_id": "telephone"}}');
\echo :SQLSTATE
SELECT status FROM campaign_update_status(1, as_of => '2026-01-02 12:00+01');
\echo :SQLSTATE
-- another status column has another trigger
ALTER TABLE messages_of_blasts RENAME COLUMN state TO condition;
SELECT mode FROM campaign_alter('blasts', 'columns', '{"messages": {"status": "condition"}}');
\echo :SQLSTATE
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'messages_of_blasts'::regclass AND NOT tgisinternal;
\echo :SQLSTATE
-- words of the application's that nobody has told of
ALTER TABLE messages_of_blasts DROP CONSTRAINT texts_state_check;
INSERT INTO runs ("No", state, "made at") VALUES (3, 'running', '2026-01-01 00:00');
INSERT INTO messages_of_blasts (blast, telephone, condition) VALUES (3, '+331', 'accepted'), (3, '+331', 'accepted'), (3, '+332', 'bounced');
SELECT check_name, detail, fix FROM campaign_preflight() WHERE NOT ok;
\echo :SQLSTATE
SELECT labels -> 'messages' AS messages FROM campaign_alter('blasts', 'labels', '{"messages": {"pending": ["queued", "accepted"], "failed": ["failed", "bounced"]}}');
\echo :SQLSTATE
SELECT check_name, detail FROM campaign_preflight() WHERE NOT ok;
\echo :SQLSTATE
-- no privileges
SET ROLE attach_stranger;
SELECT * FROM campaign_preflight();
\echo :SQLSTATE
SELECT campaign_alter('blasts', 'labels', '{}');
\echo :SQLSTATE
SELECT campaign_detach('blasts');
\echo :SQLSTATE
RESET ROLE;

-- detached, without a trace
SELECT campaign_detach('blasts');
\echo :SQLSTATE
SELECT tgname FROM pg_trigger WHERE tgrelid = 'messages_of_blasts'::regclass AND NOT tgisinternal;
\echo :SQLSTATE
SELECT count(*) FROM campaign_source;
\echo :SQLSTATE

--
-- The safe start: with open campaigns, in shadow mode
--
DELETE FROM messages_of_blasts WHERE blast = 3;
INSERT INTO messages_of_blasts (blast, telephone, condition, "sent at") VALUES (3, '+331', 'failed', '2026-01-01 01:00');
\set mapped '\'{"campaigns": {"id": "No", "status": "state", "created_at": "made at", "completed_at": "done"}, "messages": {"campaign_id": "blast", "contact_id": "telephone", "message_type": "kind", "status": "condition", "error_message": "error", "sent_at": "sent at"}}\''
DROP MATERIALIZED VIEW stored;
DROP VIEW counted, computed;
ALTER TABLE runs ALTER "made at" TYPE timestamptz, ALTER done TYPE timestamptz;
ALTER TABLE messages_of_blasts ALTER "sent at" TYPE timestamptz, ALTER created_at TYPE timestamptz;
SELECT * FROM attach(:mapped, :words, campaigns => 'runs', messages => 'messages_of_blasts');
SELECT state FROM runs WHERE "No" = 3;
SELECT campaigns_closed FROM campaign_check_sending();
SELECT state FROM runs WHERE "No" = 3;
SELECT mode FROM campaign_alter('blasts', 'mode', 'active');
SELECT campaigns_closed FROM campaign_check_sending();
SELECT state FROM runs WHERE "No" = 3;
SELECT campaign_detach('blasts');

--
-- Words that something else refuses: an enum, a domain, a short column, a table of words, two columns together
--
\set VERBOSITY terse
CREATE TYPE stage AS ENUM ('sending', 'completed');
CREATE DOMAIN message_status AS text CONSTRAINT known CHECK (VALUE IN ('pending', 'sent', 'delivered', 'read', 'failed'));
CREATE TABLE stages (name varchar(12) PRIMARY KEY);
INSERT INTO stages VALUES ('sending'), ('completed');
CREATE TABLE c1 (id int PRIMARY KEY, status stage NOT NULL, created_at timestamptz NOT NULL);
CREATE TABLE m1 (id int PRIMARY KEY, campaign_id int REFERENCES c1, contact_id int, status message_status);
CREATE TABLE c2 (id int PRIMARY KEY, status varchar(8) NOT NULL REFERENCES stages, created_at timestamptz NOT NULL, completed_at timestamptz);
CREATE TABLE m2 (id int PRIMARY KEY, campaign_id int REFERENCES c2, contact_id int, status varchar(20), error_message text,
	message_type text, CHECK ((status = 'failed') = (error_message IS NOT NULL)));
SELECT * FROM attach('{}', '{"messages": {"no_interaction": "no_interaction"}}', campaigns => 'c1', messages => 'm1', source => 'one');
SELECT * FROM attach(campaigns => 'c2', messages => 'm2', source => 'two');
SELECT s.source, p.detail, p.fix FROM campaign_source AS s, campaign_preflight(s.source) WITH ORDINALITY AS p(check_name, ok, detail, fix, n)
	WHERE check_name = 'words' AND NOT p.ok ORDER BY s.source, p.n;
SELECT fix FROM campaign_preflight('one') WHERE check_name = 'words' AND NOT ok \gexec
SELECT fix FROM campaign_preflight('two') WHERE check_name = 'words' AND NOT ok \gexec
SELECT s.source, p.detail FROM campaign_source AS s, campaign_preflight(s.source) AS p WHERE check_name = 'words' AND NOT p.ok;
-- no type, no interactions: every message a Message 1, nobody marked as silent
SELECT completion_rule, labels FROM campaign_source WHERE source = 'one';
SELECT campaign_detach('one');
SELECT * FROM attach(campaigns => 'c1', messages => 'm1', source => 'one');
SELECT completion_rule, labels FROM campaign_source WHERE source = 'one';

-- an owner from whom row-level security may hide rows
CREATE TABLE c3 (LIKE c1 INCLUDING ALL);
CREATE TABLE m3 (LIKE m1 INCLUDING ALL);
GRANT ALL ON SCHEMA "Shop" TO attach_stranger;
ALTER TABLE c3 OWNER TO attach_stranger;
ALTER TABLE m3 OWNER TO attach_stranger;
ALTER TABLE m3 ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SET ROLE attach_stranger;
SELECT * FROM attach(campaigns => 'c3', messages => 'm3', source => 'three');
SELECT check_name, detail, fix FROM campaign_preflight('three') WHERE NOT ok AND check_name = 'rights';
\set VERBOSITY default
SELECT status FROM campaign_update_status(1, source => 'three');
\set VERBOSITY terse
SELECT fix FROM campaign_preflight('three') WHERE NOT ok AND check_name = 'rights' \gexec
SELECT check_name, detail, fix FROM campaign_preflight('three') WHERE NOT ok AND check_name = 'rights';
SELECT campaign_detach('three');
RESET ROLE;

-- all of its tables gone
DROP TABLE c1, m1;
SELECT check_name, detail, fix FROM campaign_preflight('one') WHERE NOT ok;
SELECT campaign_detach('one');

DROP OWNED BY attach_stranger;
DROP ROLE attach_stranger;
