-- The row trigger on messages: which statement hints at what, and when nothing
-- does.  No worker takes the hints here, so they can be counted: a change of
-- statistics is one hint, a campaign to be judged a second.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

CREATE SCHEMA app;
SELECT source FROM campaign_create_tables('app');
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'app.messages'::regclass AND NOT tgisinternal;

-- A campaign nobody has hinted at yet, with one message; replicas fire nothing.
CREATE FUNCTION fresh(type text, status text) RETURNS uuid
LANGUAGE plpgsql SET session_replication_role = replica AS $$
DECLARE
	campaign uuid;
BEGIN
	INSERT INTO app.campaigns (status, started_at) VALUES ('sending', now()) RETURNING id INTO campaign;
	INSERT INTO app.messages (campaign_id, message_type, status)
	SELECT campaign, type, status WHERE status IS NOT NULL;
	RETURN campaign;
END $$;

CREATE FUNCTION waiting() RETURNS bigint LANGUAGE sql AS
	$$ SELECT hints_waiting FROM campaign_worker WHERE process = 'launcher' $$;

SELECT waiting() AS at_first \gset
CREATE TABLE hinted (since bigint);
INSERT INTO hinted VALUES (waiting());

-- What has been hinted at since the last call.
CREATE FUNCTION hinted() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	before bigint;
	after bigint := waiting();
BEGIN
	SELECT since INTO before FROM hinted;
	UPDATE hinted SET since = after;
	RETURN CASE after - before WHEN 0 THEN 'nothing' WHEN 1 THEN 'changed' WHEN 2 THEN 'check and changed'
		ELSE (after - before) || ' hints' END;
END $$;

CREATE TABLE trial (id serial, type text, before text, statement text, hint text);

CREATE PROCEDURE run_trials() LANGUAGE plpgsql AS $$
DECLARE
	trial trial;
	campaign uuid;
BEGIN
	FOR trial IN SELECT * FROM trial WHERE hint IS NULL ORDER BY id LOOP
		campaign := fresh(trial.type, trial.before);
		COMMIT;
		PERFORM hinted();
		EXECUTE trial.statement USING campaign;
		COMMIT;
		UPDATE trial AS t SET hint = hinted() WHERE t.id = trial.id;
	END LOOP;
END $$;

CREATE FUNCTION trials(types text[], befores text[], statements text[]) RETURNS void LANGUAGE sql AS $$
	INSERT INTO trial (type, before, statement)
	SELECT type, before, statement
	FROM unnest(types) WITH ORDINALITY AS t (type, i), unnest(befores) WITH ORDINALITY AS b (before, j),
		unnest(statements) WITH ORDINALITY AS s (statement, k)
	ORDER BY i, j, k;
$$;

--
-- Every change of status, insert and delete, under rule "contacts"
--

SELECT FROM trials('{message_1,message_2}', '{pending,sent,delivered,read,failed,no_interaction}',
	ARRAY(SELECT format('UPDATE app.messages SET status = %L WHERE campaign_id = $1', after)
		FROM unnest('{pending,sent,delivered,read,failed,no_interaction}'::text[]) WITH ORDINALITY AS a (after, i) ORDER BY i)
	|| 'DELETE FROM app.messages WHERE campaign_id = $1'::text);
CALL run_trials();
SELECT type, before, substring(statement from $$'(.*)'$$) AS after, hint
FROM trial WHERE before || ' ' || coalesce(substring(statement from $$'(.*)'$$), '') NOT LIKE '% ' ORDER BY id;
SELECT type, before, 'deleted', hint FROM trial WHERE statement LIKE 'DELETE%' ORDER BY id;
TRUNCATE trial;

SELECT FROM trials('{message_1,message_2}', '{NULL}',
	ARRAY(SELECT format('INSERT INTO app.messages (campaign_id, message_type, status) VALUES ($1, %%s, %L)', after)
		FROM unnest('{pending,sent,delivered,read,failed,no_interaction}'::text[]) WITH ORDINALITY AS a (after, i) ORDER BY i));
UPDATE trial SET statement = replace(statement, '%s', quote_literal(type));
CALL run_trials();
SELECT type, 'inserted', substring(statement from $$, '([a-z_]*)'\)$$), hint FROM trial ORDER BY id;
TRUNCATE trial;

--
-- Under rule "messages" the last one to leave "pending" may complete it
--

SELECT completion_rule FROM campaign_alter('app', 'completion_rule', 'messages');
SELECT FROM trials('{message_1}', '{pending,sent,failed}',
	ARRAY(SELECT format('UPDATE app.messages SET status = %L WHERE campaign_id = $1', after)
		FROM unnest('{pending,sent,read,failed}'::text[]) WITH ORDINALITY AS a (after, i) ORDER BY i));
SELECT FROM trials('{message_1}', '{NULL}', '{"INSERT INTO app.messages (campaign_id, status) VALUES ($1, ''sent'')"}');
CALL run_trials();
SELECT before, substring(statement from $$'(.*)'$$) AS after, hint FROM trial ORDER BY id;
TRUNCATE trial;
SELECT completion_rule FROM campaign_alter('app', 'completion_rule', 'contacts');

--
-- What is no message to the rules, or not a change to one
--

SELECT FROM trials('{message_1}', '{pending}', ARRAY[
	'UPDATE app.messages SET content = ''x'' WHERE campaign_id = $1',
	'UPDATE app.messages SET status = status WHERE campaign_id = $1',
	'UPDATE app.messages SET message_type = ''inbound'', status = ''sent'' WHERE campaign_id = $1',
	'UPDATE app.messages SET status = ''failed'' WHERE campaign_id = $1 AND false',
	'INSERT INTO app.messages (campaign_id, message_type, status) VALUES ($1, ''inbound'', ''sent'')']);
CALL run_trials();
SELECT statement, hint FROM trial ORDER BY id;
TRUNCATE trial;

-- No campaign, and a status that no word of the source's stands for: as pending.
ALTER TABLE app.messages ALTER campaign_id DROP NOT NULL, DROP CONSTRAINT messages_status_check;
SELECT FROM trials('{message_1}', '{pending}', ARRAY[
	'INSERT INTO app.messages (campaign_id, status) SELECT NULL, ''failed'' WHERE $1 IS NOT NULL',
	'UPDATE app.messages SET status = ''queued'' WHERE campaign_id = $1',
	'INSERT INTO app.messages (campaign_id, status) VALUES ($1, ''queued'')']);
SELECT FROM trials('{message_1}', '{sent,odd}', ARRAY[
	'UPDATE app.messages SET status = ''queued'' WHERE campaign_id = $1',
	'UPDATE app.messages SET status = ''failed'' WHERE campaign_id = $1']);
CALL run_trials();
SELECT before, statement, hint FROM trial ORDER BY id;
TRUNCATE trial;

--
-- Transactions
--

SELECT fresh('message_1', 'sent') AS campaign \gset
SELECT hinted();

BEGIN;
UPDATE app.messages SET status = 'failed' WHERE campaign_id = :'campaign';
SELECT hinted();	-- not before it commits
ROLLBACK;
SELECT hinted();

BEGIN;
UPDATE app.messages SET status = 'read' WHERE campaign_id = :'campaign';
COMMIT;
SELECT hinted();
BEGIN;
UPDATE app.messages SET status = 'failed' WHERE campaign_id = :'campaign';
COMMIT;
SELECT hinted();	-- the other hint waits already
UPDATE app.messages SET status = 'sent' WHERE campaign_id = :'campaign';
SELECT hinted();

-- A savepoint that is rolled back hints all the same; that is harmless.
SELECT fresh('message_1', 'sent') AS campaign \gset
SELECT hinted();
BEGIN;
SAVEPOINT a;
UPDATE app.messages SET status = 'failed' WHERE campaign_id = :'campaign';
ROLLBACK TO a;
COMMIT;
SELECT hinted();

-- One that fails, in a function that goes on.
SELECT fresh('message_1', 'sent') AS campaign \gset
DO $$
BEGIN
	UPDATE app.messages SET status = 'failed' WHERE campaign_id = (SELECT campaign_id FROM app.messages ORDER BY created_at DESC LIMIT 1);
	RAISE EXCEPTION 'no';
EXCEPTION WHEN raise_exception THEN
	NULL;
END $$;
SELECT hinted();

-- A prepared transaction hints when it is prepared.
SELECT fresh('message_1', 'sent') AS campaign \gset
SELECT hinted();
BEGIN;
UPDATE app.messages SET status = 'failed' WHERE campaign_id = :'campaign';
PREPARE TRANSACTION 'regress_cac_hints';
SELECT hinted();
COMMIT PREPARED 'regress_cac_hints';
SELECT hinted();

-- REPEATABLE READ: what such a transaction knew of the source is not kept.
SELECT fresh('message_1', 'sent') AS first, fresh('message_1', 'sent') AS second, fresh('message_1', 'sent') AS third \gset
SELECT hinted();
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE app.messages SET status = 'failed' WHERE campaign_id = :'first';
COMMIT;
SELECT hinted();
SELECT mode FROM campaign_alter('app', 'mode', 'paused');
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE app.messages SET status = 'failed' WHERE campaign_id = :'second';
COMMIT;
SELECT hinted();
SELECT mode FROM campaign_alter('app', 'mode', 'shadow');
UPDATE app.messages SET status = 'failed' WHERE campaign_id = :'third';
SELECT hinted();
SELECT mode FROM campaign_alter('app', 'mode', 'active');

-- A setting that is rolled back is forgotten.
SELECT fresh('message_1', 'sent') AS campaign \gset
BEGIN;
SELECT FROM campaign_alter('app', 'mode', 'paused');
UPDATE app.messages SET status = 'read' WHERE campaign_id = :'campaign';
ROLLBACK;
UPDATE app.messages SET status = 'failed' WHERE campaign_id = :'campaign';
SELECT hinted();

-- Many rows of a campaign are one note; so are many campaigns one each.
SELECT fresh('message_1', NULL) AS campaign \gset
INSERT INTO app.messages (campaign_id, status) SELECT :'campaign', 'pending' FROM generate_series(1, 1000);
SELECT hinted();
CREATE TABLE several AS SELECT fresh('message_1', 'sent') AS campaign FROM generate_series(1, 100);
UPDATE app.messages SET status = 'failed' WHERE campaign_id IN (SELECT campaign FROM several);
SELECT hinted();

-- COPY and upserts are inserts and updates like any other.
INSERT INTO app.campaigns (id, status) VALUES
	('00000000-0000-0000-0000-000000000101', 'sending'), ('00000000-0000-0000-0000-000000000102', 'sending');
COPY app.messages (campaign_id, status) FROM stdin;
00000000-0000-0000-0000-000000000101	pending
00000000-0000-0000-0000-000000000101	sent
00000000-0000-0000-0000-000000000102	sent
\.
SELECT hinted();
SELECT fresh('message_1', 'sent') AS campaign \gset
INSERT INTO app.messages (id, campaign_id, status)
SELECT id, campaign_id, status FROM app.messages WHERE campaign_id = :'campaign'
ON CONFLICT (id) DO UPDATE SET status = 'failed';
SELECT hinted();

-- Deleting a campaign deletes its messages.
SELECT fresh('message_1', 'sent') AS campaign \gset
DELETE FROM app.campaigns WHERE id = :'campaign';
SELECT hinted();

--
-- Where nothing is hinted at
--

SELECT fresh('message_1', 'sent') AS campaign \gset
ALTER TABLE app.messages DISABLE TRIGGER campaign_autoclose;
UPDATE app.messages SET status = 'failed' WHERE campaign_id = :'campaign';
ALTER TABLE app.messages ENABLE TRIGGER campaign_autoclose;
SELECT hinted();

SELECT fresh('message_1', 'sent') AS campaign \gset
SELECT mode FROM campaign_alter('app', 'mode', 'paused');
UPDATE app.messages SET status = 'failed' WHERE campaign_id = :'campaign';
SELECT hinted();

-- as in a database restored from a dump
DELETE FROM campaign_armed;
UPDATE campaign_source SET mode = 'active';
\c -
SET client_min_messages = warning;
SELECT fresh('message_1', 'sent') AS campaign \gset
UPDATE app.messages SET status = 'failed' WHERE campaign_id = :'campaign';
SELECT hinted();
SELECT mode FROM campaign_alter('app', 'mode', 'active');
SELECT fresh('message_1', 'sent') AS campaign \gset
UPDATE app.messages SET status = 'failed' WHERE campaign_id = :'campaign';
SELECT hinted();

-- held, with nobody allowed to look at the schema in question
CREATE ROLE regress_cac_writer;
CREATE SCHEMA hidden;
GRANT USAGE ON SCHEMA app TO regress_cac_writer;
GRANT ALL ON ALL TABLES IN SCHEMA app TO regress_cac_writer;
SELECT fresh('message_1', 'sent') AS campaign, fresh('message_1', 'sent') AS other \gset
ALTER TABLE app.messages SET SCHEMA hidden;
SELECT mode FROM campaign_alter('app', 'mode', 'active');
ALTER TABLE hidden.messages SET SCHEMA app;
CREATE TABLE hidden.messages ();
SET ROLE regress_cac_writer;
UPDATE app.messages SET status = 'failed' WHERE campaign_id = :'campaign';
RESET ROLE;
SELECT hinted();
DROP TABLE hidden.messages;
SELECT mode FROM campaign_alter('app', 'mode', 'active');
SET ROLE regress_cac_writer;
UPDATE app.messages SET status = 'failed' WHERE campaign_id = :'other';
RESET ROLE;
SELECT hinted();
REVOKE ALL ON ALL TABLES IN SCHEMA app FROM regress_cac_writer;
REVOKE ALL ON SCHEMA app FROM regress_cac_writer;
DROP ROLE regress_cac_writer;

-- a trigger of somebody else's that names the source, and one that names none
CREATE TABLE forged (LIKE app.messages);
CREATE TRIGGER forged AFTER INSERT ON forged FOR EACH ROW EXECUTE FUNCTION campaign_note_message('app');
CREATE TRIGGER lost AFTER INSERT ON forged FOR EACH ROW EXECUTE FUNCTION campaign_note_message('no such source');
CREATE TRIGGER speechless AFTER INSERT ON forged FOR EACH ROW EXECUTE FUNCTION campaign_note_message();
INSERT INTO forged SELECT * FROM app.messages WHERE campaign_id = :'campaign';
SELECT hinted();
CREATE TRIGGER wrong BEFORE INSERT ON forged FOR EACH ROW EXECUTE FUNCTION campaign_note_message('app');
INSERT INTO forged SELECT * FROM app.messages WHERE campaign_id = :'campaign';
SELECT campaign_note_message();
DROP TABLE forged;

--
-- Tables of other shapes
--

-- Words that are an enum's, and one of them renamed.  (No column can be given
-- another type under a trigger that names it.)
DROP TRIGGER campaign_autoclose ON app.messages;
CREATE TYPE app.word AS ENUM ('pending', 'sent', 'delivered', 'read', 'failed', 'no_interaction', 'odd', 'queued');
ALTER TABLE app.messages ALTER status DROP DEFAULT;
ALTER TABLE app.messages ALTER status TYPE app.word USING status::app.word;
CREATE TRIGGER campaign_autoclose AFTER INSERT OR DELETE OR UPDATE OF status ON app.messages
	FOR EACH ROW EXECUTE FUNCTION campaign_note_message('app');
INSERT INTO app.campaigns (id, status) VALUES
	('00000000-0000-0000-0000-000000000201', 'sending'), ('00000000-0000-0000-0000-000000000202', 'sending');
INSERT INTO app.messages (campaign_id, status) VALUES ('00000000-0000-0000-0000-000000000201', 'sent');
SELECT hinted();
INSERT INTO app.messages (campaign_id, status) VALUES ('00000000-0000-0000-0000-000000000202', 'failed');
SELECT hinted();
ALTER TYPE app.word RENAME VALUE 'failed' TO 'lost';
INSERT INTO app.campaigns (id, status) VALUES ('00000000-0000-0000-0000-000000000203', 'sending');
INSERT INTO app.messages (campaign_id, status) VALUES ('00000000-0000-0000-0000-000000000203', 'sent');
UPDATE app.messages SET status = 'lost' WHERE campaign_id = '00000000-0000-0000-0000-000000000203';
SELECT hinted();

-- Partitions have clones of the trigger, and columns at other places.
CREATE SCHEMA parts;
SELECT source FROM campaign_create_tables('parts');
ALTER TABLE parts.messages RENAME TO plain;
CREATE TABLE parts.messages (LIKE parts.plain INCLUDING DEFAULTS) PARTITION BY LIST (message_type);
CREATE TABLE parts.second (gone int, LIKE parts.plain INCLUDING DEFAULTS);
ALTER TABLE parts.second DROP gone;
ALTER TABLE parts.messages ATTACH PARTITION parts.second FOR VALUES IN ('message_2');
UPDATE campaign_source SET messages = 'parts.messages' WHERE source = 'parts';
CREATE TRIGGER campaign_autoclose AFTER INSERT OR DELETE OR UPDATE OF status ON parts.messages
	FOR EACH ROW EXECUTE FUNCTION campaign_note_message('parts');
ALTER TRIGGER campaign_autoclose ON parts.messages DEPENDS ON EXTENSION campaign_autoclose;
DROP TABLE parts.plain CASCADE;
CREATE TABLE parts.first PARTITION OF parts.messages FOR VALUES IN ('message_1');
SELECT mode FROM campaign_alter('parts', 'mode', 'active');
INSERT INTO parts.messages (campaign_id, message_type, status) VALUES
	('00000000-0000-0000-0000-000000000301', 'message_1', 'read'),
	('00000000-0000-0000-0000-000000000302', 'message_2', 'pending');
SELECT hinted();
UPDATE parts.messages SET status = 'sent' WHERE message_type = 'message_2';
SELECT hinted();	-- both wait already
INSERT INTO parts.second (campaign_id, message_type, status) VALUES ('00000000-0000-0000-0000-000000000303', 'message_2', 'sent');
SELECT hinted();
ALTER TABLE parts.messages DETACH PARTITION parts.second;
INSERT INTO parts.second (campaign_id, message_type, status) VALUES ('00000000-0000-0000-0000-000000000304', 'message_2', 'sent');
SELECT hinted();

-- Two sources in one transaction, with the same keys.
BEGIN;
INSERT INTO app.campaigns (id, status) VALUES ('00000000-0000-0000-0000-000000000305', 'sending');
INSERT INTO app.messages (campaign_id, status) VALUES ('00000000-0000-0000-0000-000000000305', 'lost');
INSERT INTO parts.messages (campaign_id, status) VALUES ('00000000-0000-0000-0000-000000000305', 'failed');
COMMIT;
SELECT hinted();	-- "lost" is pending to app

-- A table rewritten keeps its trigger.
VACUUM FULL app.messages;
CLUSTER app.messages USING messages_pkey;
INSERT INTO app.campaigns (id, status) VALUES ('00000000-0000-0000-0000-000000000306', 'sending');
INSERT INTO app.messages (campaign_id, status) VALUES ('00000000-0000-0000-0000-000000000306', 'sent');
SELECT hinted();

--
-- The end: neither a trigger nor a hint is left
--

CREATE FUNCTION triggers() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(format('%s on %s', tgname, tgrelid::regclass), ', ' ORDER BY tgrelid::regclass::text COLLATE "C"), 'none')
	FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid WHERE p.proname = 'campaign_note_message'
$$;
SELECT triggers();
ALTER TRIGGER campaign_autoclose ON app.messages RENAME TO renamed;
SELECT waiting() > 10;
BEGIN;
SELECT campaign_detach('app');
ROLLBACK;
SELECT triggers();
SELECT campaign_detach('app');
SELECT triggers();
UPDATE app.messages SET status = 'read';
SELECT count(*) FROM pg_trigger WHERE tgname = 'renamed';

-- A source without its trigger can be detached too.
DROP TRIGGER campaign_autoclose ON parts.messages;
SELECT campaign_detach('parts');
SELECT waiting() - :at_first;
SELECT hinted() IS NULL;

CREATE SCHEMA again;
SELECT source FROM campaign_create_tables('again');
INSERT INTO again.campaigns (id, status) VALUES ('00000000-0000-0000-0000-000000000401', 'sending');
INSERT INTO again.messages (campaign_id, status) VALUES ('00000000-0000-0000-0000-000000000401', 'sent');
SELECT hinted();
SELECT triggers();
DROP EXTENSION campaign_autoclose;
SELECT tgname FROM pg_trigger WHERE NOT tgisinternal;
UPDATE again.messages SET status = 'read';
