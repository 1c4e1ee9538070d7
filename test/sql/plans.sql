-- What a session remembers (sources, plans) follows whatever becomes of the
-- tables, the schemas, the extension, and transactions that are rolled back.
SET client_min_messages = warning;
CREATE SCHEMA ext;
CREATE EXTENSION campaign_autoclose SCHEMA ext;
SET timezone = 'UTC';
SET search_path = public, ext;
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

CREATE SCHEMA app;
SELECT (campaign_create_tables('app')).source;

-- An open campaign with a message in each of these statuses, sent at 00:00.
CREATE FUNCTION campaign_with(number int, VARIADIC statuses text[]) RETURNS text LANGUAGE plpgsql
SET search_path = app AS $$
DECLARE
	key uuid = pg_catalog.format('00000000-0000-0000-0000-%s', pg_catalog.lpad(number::text, 12, '0'));
BEGIN
	INSERT INTO campaigns (id, status, created_at) VALUES (key, 'sending', '2024-01-01 00:00Z');
	INSERT INTO messages (campaign_id, status, sent_at)
	SELECT key, s, CASE WHEN s <> 'pending' THEN timestamptz '2024-01-01 00:00Z' END FROM unnest(statuses) AS s;
	RETURN key;
END $$;
CREATE FUNCTION judge(number int) RETURNS text LANGUAGE sql
SET search_path = ext, public AS $$
	SELECT pg_catalog.concat_ws(' ', previous_status, '->', status, sent_count, failed_count, pending_count)
	FROM campaign_update_status(pg_catalog.format('00000000-0000-0000-0000-%s', pg_catalog.lpad(number::text, 12, '0'))::uuid,
		as_of => '2024-01-01 01:00Z');
$$;
-- Each statement of ours, once: look, lock, tally, write; mark; fail; sweep.
CREATE FUNCTION round(first int) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM public.campaign_with(first, 'failed', 'sent'), public.campaign_with(first + 1, 'failed'), public.campaign_with(first + 2, 'pending', 'sent');
	RETURN NEXT public.judge(first);
	RETURN NEXT public.judge(first + 1);
	RETURN NEXT ext.campaign_recover_interrupted(as_of => '2024-01-01 01:00Z');
	RETURN NEXT ext.campaign_check_expired_interactions(as_of => '2024-01-02 01:00Z');
	RETURN NEXT ext.campaign_check_timeout(as_of => '2024-01-04 01:00Z');
	RETURN NEXT ext.campaign_check_sending(as_of => '2024-01-04 01:00Z');
END $$;
SELECT round(10);
-- over and over: the sixth execution of a plan may be a generic one
SELECT count(DISTINCT line) FROM generate_series(2, 9) AS n, round(n * 10) AS line;
SELECT round(100);

--
-- ALTER TABLE
--

ALTER TABLE app.campaigns ADD COLUMN owner text DEFAULT 'x';
ALTER TABLE app.messages ADD COLUMN provider_id text;
SELECT round(110);
ALTER TABLE app.campaigns ALTER COLUMN sent_count TYPE bigint, ALTER COLUMN failed_count TYPE smallint, ALTER COLUMN pending_count TYPE bigint;
SELECT round(120);
SELECT status, sent_count, failed_count, pending_count FROM app.campaigns WHERE id = '00000000-0000-0000-0000-000000000120';
-- a statistics column less, and one more again
ALTER TABLE app.campaigns DROP COLUMN pending_count;
SELECT round(130);
ALTER TABLE app.campaigns ADD COLUMN pending_count bigint;
SELECT round(140);
SELECT pending_count FROM app.campaigns WHERE id = '00000000-0000-0000-0000-000000000140';
-- a limit that each campaign may have of its own
ALTER TABLE app.campaigns ADD COLUMN campaign_timeout interval;
SELECT round(150);
SELECT campaign_with(160, 'pending');
UPDATE app.campaigns SET campaign_timeout = '1 hour' WHERE id = '00000000-0000-0000-0000-000000000160';
SELECT campaign_check_timeout(as_of => '2024-01-01 01:00:01Z');
ALTER TABLE app.campaigns DROP COLUMN campaign_timeout;
SELECT round(170);
-- a column of a type that cannot hold what is written: an error that says so
ALTER TABLE app.campaigns ALTER COLUMN read_count DROP DEFAULT, ALTER COLUMN read_count TYPE boolean USING false;
SELECT judge(170);
ALTER TABLE app.campaigns ALTER COLUMN read_count TYPE integer USING 0, ALTER COLUMN read_count SET DEFAULT 0;
SELECT round(180);

-- indexes come and go
DROP INDEX app.campaigns_open_idx;
CREATE INDEX ON app.messages (campaign_id);
SELECT round(190);
ANALYZE app.campaigns, app.messages;
SELECT round(200);

--
-- Names
--

ALTER SCHEMA app RENAME TO "The App";
ALTER FUNCTION campaign_with(int, text[]) SET search_path = "The App";
SELECT round(210);
ALTER TABLE "The App".messages RENAME TO letters;
CREATE VIEW "The App".messages_1 AS SELECT * FROM "The App".letters;
ALTER TABLE "The App".letters RENAME TO messages;
SELECT round(220);
-- a new schema of the old name, with tables of the old names: not ours
CREATE SCHEMA app;
CREATE TABLE app.campaigns ();
DO $$ BEGIN PERFORM judge(170); EXCEPTION WHEN OTHERS THEN RAISE WARNING '% %', SQLSTATE, SQLERRM; END $$;
DROP SCHEMA app CASCADE;
SELECT judge(170);
ALTER SCHEMA "The App" RENAME TO app;
ALTER FUNCTION campaign_with(int, text[]) SET search_path = app;
SELECT round(230);
-- the extension's own schema
ALTER SCHEMA ext RENAME TO "Ext 2";
SELECT (c).status FROM "Ext 2".campaign_update_status('00000000-0000-0000-0000-000000000170'::uuid) AS c;
SELECT "Ext 2".campaign_check_sending(as_of => '2024-01-01 01:00Z');
SELECT batch_size FROM "Ext 2".campaign_alter('app', 'batch_size', '7');
ALTER SCHEMA "Ext 2" RENAME TO ext;
SELECT round(240);

--
-- Transactions that are rolled back
--

BEGIN;
SELECT mode, interaction_timeout FROM campaign_alter('app', 'interaction_timeout', '1 hour');
SELECT campaign_with(250, 'sent');
SELECT campaign_check_expired_interactions(as_of => '2024-01-01 02:00Z');
ROLLBACK;
SELECT campaign_with(250, 'sent');
SELECT campaign_check_expired_interactions(as_of => '2024-01-01 02:00Z');
SELECT interaction_timeout FROM campaign_source;

SELECT campaign_with(251, 'failed');
BEGIN;
SAVEPOINT a;
SELECT judge(251);
ROLLBACK TO a;
SELECT judge(251);
ROLLBACK TO a;
SELECT mode FROM campaign_alter('app', 'mode', 'paused');
SELECT judge(251);
ROLLBACK TO a;
ALTER TABLE app.campaigns ADD COLUMN temporary int;
SELECT judge(251);
ROLLBACK TO a;
ALTER TABLE app.messages RENAME status TO state;
SELECT judge(251);
ROLLBACK TO a;
SELECT judge(251);
RELEASE a;
SELECT judge(251);
COMMIT;
SELECT count(*) FROM campaign_event WHERE campaign_id = '00000000-0000-0000-0000-000000000251';
-- a savepoint that is released
SELECT campaign_with(252, 'failed');
BEGIN;
SAVEPOINT a;
SAVEPOINT b;
SELECT judge(252);
RELEASE b;
RELEASE a;
COMMIT;
SELECT judge(252);
-- detached and attached in a transaction that never was
BEGIN;
SELECT campaign_detach('app');
DO $$ BEGIN PERFORM judge(252); EXCEPTION WHEN OTHERS THEN RAISE WARNING '% %', SQLSTATE, SQLERRM; END $$;
ROLLBACK;
SELECT judge(252);
BEGIN;
CREATE SCHEMA other;
SELECT (campaign_create_tables('other')).source;
SELECT campaign_check_sending(as_of => '2024-01-01 01:00Z');
ROLLBACK;
SELECT judge(252);
SELECT source FROM campaign_source;
BEGIN;
DROP TABLE app.messages CASCADE;
DO $$ BEGIN PERFORM judge(252); EXCEPTION WHEN OTHERS THEN RAISE WARNING '% %', SQLSTATE, SQLERRM; END $$;
ROLLBACK;
SELECT round(260);

-- prepared statements and cursors of the caller's
PREPARE p (int) AS SELECT judge($1);
SELECT campaign_with(270, 'failed'), campaign_with(271, 'failed');
EXECUTE p (270);
ALTER TABLE app.campaigns ADD COLUMN more int;
EXECUTE p (271);
DEALLOCATE p;
SELECT campaign_with(n, 'failed') FROM generate_series(272, 275) AS n;
BEGIN;
DECLARE c CURSOR FOR SELECT n, judge(n) FROM generate_series(272, 275) AS n;
FETCH 2 FROM c;
SELECT batch_size FROM campaign_alter('app', 'batch_size', '8');
FETCH 2 FROM c;
COMMIT;
DISCARD ALL;
SET search_path = public, ext;
SET client_min_messages = warning;
SET timezone = 'UTC';
SELECT round(280);

--
-- DROP EXTENSION, and CREATE EXTENSION again
--

DROP EXTENSION campaign_autoclose;
CREATE EXTENSION campaign_autoclose SCHEMA ext;
DO $$ BEGIN PERFORM judge(252); EXCEPTION WHEN OTHERS THEN RAISE WARNING '% %', SQLSTATE, SQLERRM; END $$;
DROP SCHEMA app CASCADE;
CREATE SCHEMA app;
SELECT (campaign_create_tables('app')).source;
SELECT round(10);
BEGIN;
DROP EXTENSION campaign_autoclose;
ROLLBACK;
SELECT round(20);
BEGIN;
DROP EXTENSION campaign_autoclose;
CREATE EXTENSION campaign_autoclose SCHEMA ext;
DO $$ BEGIN PERFORM judge(10); EXCEPTION WHEN OTHERS THEN RAISE WARNING '% %', SQLSTATE, SQLERRM; END $$;
ROLLBACK;
SELECT round(30);
DROP EXTENSION campaign_autoclose;
CREATE SCHEMA ext2;
CREATE EXTENSION campaign_autoclose SCHEMA ext2;
SELECT ext2.campaign_check_sending();

--
-- A report on many campaigns plans each statement once, and leaves no trace of
-- how it saw to that.
--

SET search_path = public, ext2;
CREATE TABLE c (id int PRIMARY KEY, status text, created_at timestamptz);
CREATE TABLE m (id int PRIMARY KEY, campaign_id int, contact_id int, status text, message_type text);
CREATE FUNCTION planned() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING '%', current_setting('plan_cache_mode');
	RETURN true;
END $$;
CREATE VIEW few AS SELECT * FROM m WHERE campaign_id <> 1 OR planned();
INSERT INTO c SELECT i, 'sending', '2024-01-01 00:00Z' FROM generate_series(1, 19) AS i;
INSERT INTO m VALUES (1, 1, 1, 'failed', 'message_1');
SET client_min_messages = error;
SELECT (campaign_attach('many', 'c', 'few')).source;
SET client_min_messages = warning;
SELECT count(*) FROM campaign_progress('many', '2024-01-01 01:00Z');
INSERT INTO c VALUES (20, 'sending', '2024-01-01 00:00Z');
SELECT count(*) FROM campaign_progress('many', '2024-01-01 01:00Z');
SELECT count(*) FROM campaign_overdue('many', '2024-01-01 01:00Z');
SELECT count(*) FROM campaign_preview('many', '2024-01-01 01:00Z');
SHOW plan_cache_mode;
