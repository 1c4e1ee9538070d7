-- Every error that a user can cause: its SQLSTATE, its message, its hint; and
-- that nothing was done.
SET client_min_messages = error;
CREATE EXTENSION campaign_autoclose;
RESET client_min_messages;
SET timezone = 'UTC';
\pset format unaligned
\pset tuples_only on

-- What a statement raises: SQLSTATE and message, and the hint below.
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE,
		message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RETURN pg_catalog.concat_ws(E'\n', state || ' ' || message, '      ' || nullif(hint, ''));
END $$;

--
-- No source at all
--

SELECT try($$SELECT campaign_update_status('00000000-0000-0000-0000-000000000001')$$);
SELECT try($$SELECT campaign_update_status('00000000-0000-0000-0000-000000000001', source => 'public')$$);
SELECT try($$SELECT campaign_check_sending('public')$$);
SELECT try($$SELECT campaign_alter('public', 'mode', 'active')$$);
SELECT try($$SELECT campaign_detach('public')$$);
-- every source is none: nothing to do, and no error
SELECT campaign_check_expired_interactions();
CALL campaign_run_sweeps();
CALL campaign_run_sweeps('public');

--
-- campaign_create_tables
--

SELECT try($$SELECT campaign_create_tables('nowhere')$$);
SELECT try($$SELECT campaign_create_tables('No Where"')$$);
SELECT try($$SELECT campaign_create_tables(NULL)$$);
SET search_path = nowhere;
SELECT public.try($$SELECT public.campaign_create_tables()$$);
RESET search_path;

-- a name that exists: nothing is created
CREATE SCHEMA shop;
CREATE TABLE shop.messages (id int);
SELECT try($$SELECT campaign_create_tables('shop')$$);
SELECT relname FROM pg_class WHERE relnamespace = 'shop'::regnamespace ORDER BY 1;
SELECT count(*) FROM campaign_source;
-- a view, an index, a sequence are in the way just so
DROP TABLE shop.messages;
CREATE VIEW shop.interactions AS SELECT 1;
SELECT try($$SELECT campaign_create_tables('shop')$$);
DROP VIEW shop.interactions;
CREATE SEQUENCE shop.campaigns_open_idx;
SELECT try($$SELECT campaign_create_tables('shop')$$);
DROP SEQUENCE shop.campaigns_open_idx;
SELECT count(*) FROM pg_class WHERE relnamespace = 'shop'::regnamespace;

SELECT (campaign_create_tables()).source;
-- once more: the source's name is taken, whatever became of the tables' names
SELECT try($$SELECT campaign_create_tables()$$);
SELECT try($$SELECT campaign_create_tables('public')$$);
ALTER TABLE campaigns RENAME TO c;
SELECT try($$SELECT campaign_create_tables('public')$$);
ALTER TABLE c RENAME TO campaigns;

-- the standard tables of a schema with a name to be quoted
CREATE SCHEMA "Big Shop's; DROP";
SELECT (campaign_create_tables('Big Shop''s; DROP')).source;
SELECT campaigns FROM campaign_source WHERE source = 'Big Shop''s; DROP';
SELECT campaign_detach('Big Shop''s; DROP');
SET client_min_messages = warning;
DROP SCHEMA "Big Shop's; DROP" CASCADE;
RESET client_min_messages;

--
-- Campaign keys
--

SELECT try($$SELECT campaign_update_status('00000000-0000-0000-0000-000000000001')$$);
SELECT try($$SELECT campaign_update_status('00000000-0000-0000-0000-000000000001'::uuid)$$);
SELECT try($$SELECT campaign_update_status(NULL)$$);
SELECT try($$SELECT campaign_update_status(NULL::uuid)$$);
SELECT try($$SELECT campaign_update_status(NULL::bigint)$$);
SELECT try($$SELECT campaign_update_status(1)$$);
SELECT try($$SELECT campaign_update_status(campaign_number => 9000000000)$$);
SELECT try($$SELECT campaign_update_status('')$$);
SELECT try($$SELECT campaign_update_status('one')$$);
SELECT try($$SELECT campaign_update_status(campaign_key => '1; DROP TABLE campaigns')$$);
-- the key in any spelling that uuid takes
INSERT INTO campaigns (id, status) VALUES ('00000000-0000-0000-0000-00000000000a', 'draft');
SELECT (campaign_update_status('{00000000-0000-0000-0000-00000000000A}')).campaign_id;
SELECT try($$SELECT campaign_update_status('00000000-0000-0000-0000-00000000000a', as_of => 'infinity')$$);
SELECT try($$SELECT campaign_update_status('00000000-0000-0000-0000-00000000000a', as_of => '-infinity')$$);
SELECT try($$SELECT campaign_check_sending(as_of => 'infinity', dry_run => true)$$);
SELECT try($$SELECT campaign_check_timeout(as_of => '-infinity')$$);

--
-- Which source
--

SELECT try($$SELECT campaign_update_status('00000000-0000-0000-0000-00000000000a', source => 'nowhere')$$);
SELECT try($$SELECT campaign_check_expired_interactions('nowhere')$$);
SELECT try($$SELECT campaign_check_timeout('nowhere', dry_run => true)$$);
SELECT try($$SELECT campaign_alter('nowhere', 'mode', 'active')$$);
SELECT try($$SELECT campaign_alter(NULL, 'mode', 'active')$$);
SELECT try($$SELECT campaign_detach('nowhere')$$);
SELECT try($$SELECT campaign_detach(NULL)$$);
SELECT (campaign_create_tables('shop')).source;
SELECT try($$SELECT campaign_update_status('00000000-0000-0000-0000-00000000000a')$$);
SELECT (campaign_update_status('00000000-0000-0000-0000-00000000000a', 'public')).source;
SELECT try($$SELECT campaign_update_status('00000000-0000-0000-0000-00000000000a', 'shop')$$);
-- a sweep goes to both
SELECT campaign_check_sending();

--
-- Settings
--

SELECT try($$SELECT campaign_alter('public', 'speed', '1')$$);
SELECT try($$SELECT campaign_alter('public', NULL, '1')$$);
SELECT try($$SELECT campaign_alter('public', '', '1')$$);
-- what is in the row but is no setting
SELECT try($$SELECT campaign_alter('public', 'campaigns', 'shop.campaigns')$$);
SELECT try($$SELECT campaign_alter('public', 'source', 'x')$$);
SELECT try($$SELECT campaign_alter('public', 'MODE', 'active')$$);

-- intervals
SELECT setting, try(format($$SELECT campaign_alter('public', %L, NULL)$$, setting))
FROM unnest('{interaction_timeout,campaign_timeout,stall_after,check_delay,settle_for,history_keep}'::text[]) AS setting;
SELECT try($$SELECT campaign_alter('public', 'interaction_timeout', 'soon')$$);
SELECT try($$SELECT campaign_alter('public', 'interaction_timeout', '')$$);
SELECT try($$SELECT campaign_alter('public', 'interaction_timeout', '0')$$);
SELECT try($$SELECT campaign_alter('public', 'campaign_timeout', '-1 hour')$$);
SELECT try($$SELECT campaign_alter('public', 'stall_after', '1 hour -61 minutes')$$);
SELECT try($$SELECT campaign_alter('public', 'check_delay', '-1 second')$$);
SELECT try($$SELECT campaign_alter('public', 'settle_for', '-1 second')$$);
SELECT try($$SELECT campaign_alter('public', 'history_keep', '0 days')$$);
SELECT try($$SELECT campaign_alter('public', 'expired_every', '0')$$);
SELECT try($$SELECT campaign_alter('public', 'sending_every', '-2 minutes')$$);
SELECT try($$SELECT campaign_alter('public', 'campaign_timeout', '101 years')$$);
SELECT try($$SELECT campaign_alter('public', 'campaign_timeout', '36526 days')$$);
SELECT try($$SELECT campaign_alter('public', 'campaign_timeout', '876601 hours')$$);
SELECT try(format($$SELECT campaign_alter('public', 'campaign_timeout', '%s years')$$, years))
FROM unnest('{10000,9000000,20000000,30000000,100000000,178000000,-9000000,-20000000,-30000000}'::int[]) AS years;
SELECT try($$SELECT campaign_alter('public', 'campaign_timeout', '2000000000 days')$$);
SELECT try($$SELECT campaign_alter('public', 'campaign_timeout', '-178956970 years -8 months')$$);
SELECT try($$SELECT campaign_alter('public', 'campaign_timeout', '99999999999999999999 hours')$$);
-- ... and what they do take
SELECT check_delay, settle_for FROM campaign_alter('public', 'check_delay', '0');
SELECT settle_for FROM campaign_alter('public', 'settle_for', '0');
SELECT expired_every FROM campaign_alter('public', 'expired_every', NULL);
SELECT expired_every FROM campaign_alter('public', 'expired_every', '90 seconds');
SELECT campaign_timeout FROM campaign_alter('public', 'campaign_timeout', '100 years');
-- the least integer has no absolute value
SELECT campaign_alter('public', 'campaign_timeout', '-178956970 years -8 mons');
SELECT campaign_alter('public', 'campaign_timeout', '-2147483648 days -9223372036854775808 us');

-- the others
SELECT setting, try(format($$SELECT campaign_alter('public', %L, NULL)$$, setting))
FROM unnest('{mode,completion_rule,batch_size,search_path,log_messages}'::text[]) AS setting;
SELECT try($$SELECT campaign_alter('public', 'mode', 'Active')$$);
SELECT try($$SELECT campaign_alter('public', 'mode', 'off')$$);
SELECT try($$SELECT campaign_alter('public', 'completion_rule', '')$$);
SELECT try(format($$SELECT campaign_alter('public', 'batch_size', %L)$$, size))
FROM unnest('{"",many,0,-1,1.5,1e3,"5 ",1000001,99999999999999999999}'::text[]) AS size;
SELECT batch_size FROM campaign_alter('public', 'batch_size', '1000000');
SELECT try($$SELECT campaign_alter('public', 'log_messages', 'perhaps')$$);
SELECT try($$SELECT campaign_alter('public', 'log_messages', '')$$);
SELECT log_messages FROM campaign_alter('public', 'log_messages', 'yes');
SELECT try($$SELECT campaign_alter('public', 'time_zone', 'Europe/Atlantis')$$);
SELECT try($$SELECT campaign_alter('public', 'time_zone', '')$$);
SELECT time_zone FROM campaign_alter('public', 'time_zone', 'Europe/Paris');
SELECT time_zone IS NULL FROM campaign_alter('public', 'time_zone', NULL);
SELECT try($$SELECT campaign_alter('public', 'search_path', 'a b')$$);
SELECT try($$SELECT campaign_alter('public', 'search_path', 'a,,b')$$);
SELECT try($$SELECT campaign_alter('public', 'search_path', '"a')$$);
SELECT search_path FROM campaign_alter('public', 'search_path', 'app, "My Schema", public');

-- on_event: a function that takes one jsonb, and can be called
CREATE FUNCTION on_text(text) RETURNS void LANGUAGE sql AS '';
CREATE PROCEDURE on_procedure(jsonb) LANGUAGE sql AS '';
CREATE FUNCTION on_jsonb(jsonb) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION shop.on_shop(jsonb) RETURNS void LANGUAGE sql AS '';
SELECT try($$SELECT campaign_alter('public', 'on_event', 'nothing')$$);
SELECT try($$SELECT campaign_alter('public', 'on_event', 'nowhere.nothing')$$);
SELECT try($$SELECT campaign_alter('public', 'on_event', 'on_text')$$);
SELECT try($$SELECT campaign_alter('public', 'on_event', 'on_procedure')$$);
SELECT try($$SELECT campaign_alter('public', 'on_event', '')$$);
SELECT try($$SELECT campaign_alter('public', 'on_event', 'on_jsonb(jsonb)')$$);
SELECT try($$SELECT campaign_alter('public', 'on_event', 'a.b.c.d')$$);
-- it is called under the source's search_path, so that is where it is looked for
SET search_path = shop, public;
SELECT try($$SELECT campaign_alter('public', 'on_event', 'on_shop')$$);
RESET search_path;
SELECT on_event FROM campaign_alter('public', 'on_event', 'on_jsonb');
SELECT on_event FROM campaign_alter('public', 'on_event', 'shop.on_shop');
SELECT on_event IS NULL FROM campaign_alter('public', 'on_event', NULL);

--
-- Read-only transactions: what acts is refused, what only tells works
--

SELECT campaign_detach('shop');
SET client_min_messages = warning;
DROP SCHEMA shop CASCADE;
RESET client_min_messages;
SELECT mode FROM campaign_alter('public', 'campaign_timeout', '48 hours');
INSERT INTO campaigns (id, status, created_at) VALUES ('00000000-0000-0000-0000-00000000000b', 'sending', '2024-01-01 00:00Z');
BEGIN READ ONLY;
SELECT try($$SELECT campaign_update_status('00000000-0000-0000-0000-00000000000b')$$);
SELECT try($$SELECT campaign_check_expired_interactions()$$);
SELECT try($$SELECT campaign_check_timeout()$$);
SELECT try($$SELECT campaign_check_sending()$$);
SELECT try($$SELECT campaign_recover_interrupted()$$);
SELECT try($$CALL campaign_run_sweeps()$$);
SELECT try($$SELECT campaign_create_tables()$$);
SELECT try($$SELECT campaign_alter('public', 'mode', 'active')$$);
SELECT try($$SELECT campaign_detach('public')$$);
SELECT campaign_check_expired_interactions(dry_run => true, as_of => '2024-01-04Z');
SELECT campaign_check_timeout(dry_run => true, as_of => '2024-01-04Z');
SELECT campaign_check_sending(dry_run => true, as_of => '2024-01-04Z');
SELECT campaign_recover_interrupted(dry_run => true, as_of => '2024-01-04Z');
COMMIT;

-- as by a caller that makes every transaction read-only
SET default_transaction_read_only = on;
CALL campaign_run_sweeps();
RESET default_transaction_read_only;

--
-- Isolation levels above READ COMMITTED
--

BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT try($$SELECT campaign_update_status('00000000-0000-0000-0000-00000000000b')$$);
SELECT try($$SELECT campaign_check_expired_interactions()$$);
SELECT try($$SELECT campaign_check_timeout()$$);
SELECT try($$SELECT campaign_check_sending()$$);
SELECT try($$SELECT campaign_recover_interrupted()$$);
SELECT try($$CALL campaign_run_sweeps()$$);
SELECT campaign_check_timeout(dry_run => true, as_of => '2024-01-04Z');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT try($$SELECT campaign_update_status('00000000-0000-0000-0000-00000000000b')$$);
SELECT try($$SELECT campaign_check_timeout()$$);
COMMIT;
SET default_transaction_isolation = 'repeatable read';
CALL campaign_run_sweeps();
RESET default_transaction_isolation;
-- the statement's own level is what counts
BEGIN ISOLATION LEVEL READ UNCOMMITTED;
SELECT (campaign_update_status('00000000-0000-0000-0000-00000000000b')).status;
COMMIT;

--
-- campaign_run_sweeps commits as it goes
--

BEGIN;
CALL campaign_run_sweeps();
ROLLBACK;
SELECT try('CALL campaign_run_sweeps()');
CALL campaign_run_sweeps('nowhere');
-- within a block that catches errors no commit is possible: an error that is
-- caught leaves no lock behind
DO $$
BEGIN
	CALL campaign_run_sweeps(force => true);
EXCEPTION WHEN OTHERS THEN
	RAISE NOTICE '% %', SQLSTATE, SQLERRM;
END $$;
SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'object' AND mode = 'ExclusiveLock';
-- a DO block on its own is no transaction block
DO $$ BEGIN CALL campaign_run_sweeps(); END $$;
-- it closed the campaign of 2024, by its 48 hours
SELECT status, completed_at > now() - interval '1 hour' FROM campaigns WHERE id = '00000000-0000-0000-0000-00000000000b';

--
-- Tables that changed
--

INSERT INTO campaigns (id, status, created_at) VALUES ('00000000-0000-0000-0000-00000000000c', 'sending', '2024-01-01 00:00Z');
INSERT INTO contacts (id, full_number) VALUES ('00000000-0000-0000-0000-0000000000c1', '+33');
INSERT INTO messages (campaign_id, contact_id, status, sent_at)
VALUES ('00000000-0000-0000-0000-00000000000c', '00000000-0000-0000-0000-0000000000c1', 'sent', '2024-01-01 01:00Z');

-- renamed: the same table
ALTER TABLE messages RENAME TO texts;
CREATE SCHEMA app;
ALTER TABLE campaigns SET SCHEMA app;
SELECT (c).status, (c).message_1_sent
FROM campaign_update_status('00000000-0000-0000-0000-00000000000c', as_of => '2024-01-01 02:00Z') AS c;

-- its old name now belongs to another table: held
CREATE TABLE messages (LIKE texts INCLUDING ALL);
SELECT try($$SELECT campaign_update_status('00000000-0000-0000-0000-00000000000c', as_of => '2024-01-01 02:00Z')$$);
SELECT try($$SELECT campaign_check_sending('public', '2024-01-01 02:00Z')$$);
SELECT try($$SELECT campaign_check_sending('public', '2024-01-01 02:00Z', dry_run => true)$$);
-- one source's trouble is a warning to all the others
SELECT campaign_check_sending(as_of => '2024-01-01 02:00Z');
CALL campaign_run_sweeps('public', force => true);
SELECT status FROM app.campaigns WHERE id = '00000000-0000-0000-0000-00000000000c';
-- held until the operator says that the renamed one is meant; pausing says no such thing
SELECT mode FROM campaign_alter('public', 'mode', 'paused');
SELECT try($$SELECT campaign_check_sending('public', '2024-01-01 02:00Z')$$);
SELECT mode FROM campaign_alter('public', 'mode', 'active');
SELECT campaigns, messages, attached_names FROM campaign_source;
SELECT (c).status, (c).message_1_sent
FROM campaign_update_status('00000000-0000-0000-0000-00000000000c', as_of => '2024-01-01 02:00Z') AS c;
-- or until the other table goes away
ALTER TABLE texts RENAME TO letters;
CREATE VIEW texts AS SELECT * FROM letters;
SELECT try($$SELECT campaign_check_sending('public', '2024-01-01 02:00Z')$$);
DROP VIEW texts;
SELECT campaign_check_sending('public', '2024-01-01 02:00Z');
DROP TABLE messages;
ALTER TABLE letters RENAME TO messages;
ALTER TABLE app.campaigns SET SCHEMA public;

-- a column that is needed is gone, or called otherwise
ALTER TABLE messages RENAME status TO state;
SELECT try($$SELECT campaign_update_status('00000000-0000-0000-0000-00000000000c')$$);
SELECT try($$SELECT campaign_check_timeout('public')$$);
SELECT campaign_check_timeout();
CALL campaign_run_sweeps();
ALTER TABLE messages RENAME state TO status;
-- one that the rules read when the table was made: doing without it would
-- judge by something else
ALTER TABLE messages RENAME message_type TO kind;
SELECT try($$SELECT campaign_check_timeout('public')$$);
ALTER TABLE messages RENAME kind TO message_type;
ALTER TABLE messages RENAME sent_at TO sent_on;
SELECT try($$SELECT campaign_check_timeout('public')$$);
ALTER TABLE messages RENAME sent_on TO sent_at;
ALTER TABLE interactions RENAME contact_id TO who;
SELECT try($$SELECT campaign_check_expired_interactions('public')$$);
ALTER TABLE interactions RENAME who TO contact_id;
-- a statistics column is done without
ALTER TABLE campaigns DROP COLUMN read_count;
SELECT (c).status, (c).message_1_sent
FROM campaign_update_status('00000000-0000-0000-0000-00000000000c', as_of => '2024-01-01 02:00Z') AS c;

-- dropped tables
DROP TABLE interactions;
SELECT try($$SELECT campaign_check_expired_interactions('public')$$);
DROP TABLE messages;
SELECT try($$SELECT campaign_update_status('00000000-0000-0000-0000-00000000000c')$$);
SELECT try($$SELECT campaign_check_sending('public')$$);
SELECT try($$SELECT campaign_check_sending('public', dry_run => true)$$);
SELECT campaign_check_sending();
CALL campaign_run_sweeps();
SELECT status FROM campaigns WHERE id = '00000000-0000-0000-0000-00000000000c';
DROP TABLE campaigns, contacts;
SELECT try($$SELECT campaign_check_sending('public')$$);
SELECT try($$SELECT campaign_create_tables()$$);
-- the way out that the hint names
SELECT campaign_detach('public');
SELECT (campaign_create_tables()).source;
SELECT campaign_check_sending();
