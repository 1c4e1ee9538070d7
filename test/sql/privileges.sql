-- Whose rights count: a function acts with its caller's, CALL
-- campaign_run_sweeps() with those of the tables' owner; what one owner's
-- sources did is nobody else's to see.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
SET timezone = 'UTC';
\pset format unaligned
\pset tuples_only on

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

-- The SQLSTATE alone, where the words are the server's.
CREATE FUNCTION state(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;

CREATE ROLE regress_cac_anna NOSUPERUSER;
CREATE ROLE regress_cac_bert NOSUPERUSER;
CREATE ROLE regress_cac_reader NOSUPERUSER;
CREATE ROLE regress_cac_writer NOSUPERUSER;
CREATE ROLE regress_cac_half NOSUPERUSER;
CREATE SCHEMA anna AUTHORIZATION regress_cac_anna;
CREATE SCHEMA bert AUTHORIZATION regress_cac_bert;

--
-- A plain role does everything with its own source
--

SET ROLE regress_cac_anna;
SELECT (campaign_create_tables('anna')).source;
SELECT relname, relowner::regrole FROM pg_class
WHERE relnamespace = 'anna'::regnamespace AND NOT relispartition AND relkind IN ('r', 'p') ORDER BY 1;
INSERT INTO anna.contacts (id, full_number)
SELECT ('00000000-0000-0000-0000-0000000000c' || i)::uuid, i FROM generate_series(1, 3) AS i;
-- 1, 2, 3 are complete, 4 awaits a contact, 5 stalls
INSERT INTO anna.campaigns (id, status, created_at)
SELECT ('00000000-0000-0000-0000-00000000000' || i)::uuid, 'sending', '2024-01-01 00:00Z' FROM generate_series(1, 5) AS i;
INSERT INTO anna.messages (campaign_id, contact_id, status, sent_at)
SELECT ('00000000-0000-0000-0000-00000000000' || i)::uuid, '00000000-0000-0000-0000-0000000000c1',
	(ARRAY['failed', 'failed', 'failed', 'sent', 'pending'])[i], '2024-01-01 00:01Z' FROM generate_series(1, 5) AS i;
SELECT campaign_check_sending(as_of => '2024-01-01 01:00Z', dry_run => true);
SELECT (c).status, (c).changed FROM campaign_update_status('00000000-0000-0000-0000-000000000001', as_of => '2024-01-01 01:00Z') AS c;
SELECT campaign_recover_interrupted(as_of => '2024-01-01 01:00Z');
SELECT right(campaign_id, 1), event, status_to FROM campaign_event ORDER BY 1, id;
SELECT batch_size FROM campaign_alter('anna', 'batch_size', '100');
SELECT mode FROM campaign_alter('anna', 'mode', 'paused');
SELECT mode FROM campaign_alter('anna', 'mode', 'active');
-- by the clock, which forgets what is older than history_keep
CALL campaign_run_sweeps();
SELECT right(campaign_id, 1), event, status_to, reason FROM campaign_event ORDER BY 1, id;
SELECT sweep, campaigns_closed FROM campaign_sweep_run WHERE as_of IS NULL ORDER BY id;
RESET ROLE;

SET ROLE regress_cac_bert;
SELECT (campaign_create_tables('bert')).source;
INSERT INTO bert.campaigns (id, status, created_at)
SELECT ('00000000-0000-0000-0000-00000000001' || i)::uuid, 'sending', '2024-01-01 00:00Z' FROM generate_series(1, 3) AS i;
INSERT INTO bert.messages (campaign_id, status)
SELECT ('00000000-0000-0000-0000-00000000001' || i)::uuid, 'failed' FROM generate_series(1, 3) AS i;
RESET ROLE;

--
-- Another role's source: its existence and settings are no secret, its history is
--

SET ROLE regress_cac_bert;
SELECT source FROM campaign_source ORDER BY 1;
SELECT count(*) FROM campaign_event;
SELECT count(*) FROM campaign_sweep_run;
SELECT count(*) FROM campaign_state;
SELECT count(*) FROM campaign_retry;
SELECT try($$SELECT campaign_alter('anna', 'mode', 'paused')$$);
SELECT try($$SELECT campaign_alter('anna', 'on_event', 'bert.f')$$);
SELECT try($$SELECT campaign_detach('anna')$$);
SELECT try($$SELECT campaign_create_tables('anna')$$);
SELECT state($$SELECT campaign_check_sending('anna', '2024-01-01 01:00Z')$$);
SELECT state($$SELECT campaign_check_sending('anna', '2024-01-01 01:00Z', dry_run => true)$$);
SELECT state($$SELECT campaign_update_status('00000000-0000-0000-0000-000000000004', 'anna')$$);
SELECT state($$SELECT campaign_close('00000000-0000-0000-0000-000000000004', 'stop', 'anna')$$);
SELECT state($$SELECT campaign_reopen('00000000-0000-0000-0000-000000000001', 'go on', 'anna')$$);
SELECT state($$SELECT campaign_explain('00000000-0000-0000-0000-000000000004', 'anna')$$);
SELECT state($$SELECT campaign_verify('00000000-0000-0000-0000-000000000001', 'anna')$$);
CALL campaign_run_sweeps('anna');
CALL campaign_run_sweeps('anna', force => true);
-- a sweep of every source: of those that this role may write
SELECT campaign_check_timeout(as_of => '2024-01-01 01:00Z');
SELECT campaign_check_sending(as_of => '2024-01-01 01:00Z');
CALL campaign_run_sweeps();
RESET ROLE;
SELECT DISTINCT source FROM campaign_sweep_run WHERE sweep = 'timeout' AND as_of IS NOT NULL;
SELECT right(id::text, 1), status FROM bert.campaigns ORDER BY 1;

-- the extension's tables are not written by anybody but its functions
SET ROLE regress_cac_anna;
SELECT relname, state(format('INSERT INTO %I DEFAULT VALUES', relname)) AS insert,
	state(format('UPDATE %I SET source = source', relname)) AS update,
	state(format('DELETE FROM %I', relname)) AS delete,
	state(format('TRUNCATE %I', relname)) AS truncate
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1;
RESET ROLE;

--
-- A caller without the rights: refused, and nothing is recorded of it
--

GRANT USAGE ON SCHEMA anna TO regress_cac_reader, regress_cac_writer, regress_cac_half;
GRANT SELECT ON ALL TABLES IN SCHEMA anna TO regress_cac_reader, regress_cac_writer, regress_cac_half;
GRANT UPDATE ON anna.campaigns, anna.messages TO regress_cac_writer;
GRANT UPDATE ON anna.campaigns TO regress_cac_half;
SET ROLE regress_cac_anna;
UPDATE anna.campaigns SET status = 'sending', completed_at = NULL;
UPDATE anna.messages SET status = 'sent' WHERE campaign_id = '00000000-0000-0000-0000-000000000004';
SELECT coalesce(max(id), 0) AS last FROM campaign_event \gset
RESET ROLE;

SET ROLE regress_cac_reader;
SELECT state($$SELECT campaign_update_status('00000000-0000-0000-0000-000000000001', 'anna')$$);
SELECT state($$SELECT campaign_check_expired_interactions('anna', '2030-01-01Z')$$);
SELECT state($$SELECT campaign_check_timeout('anna', '2030-01-01Z')$$);
SELECT state($$SELECT campaign_check_sending('anna', '2030-01-01Z')$$);
SELECT state($$SELECT campaign_recover_interrupted('anna', '2030-01-01Z')$$);
SELECT campaign_check_timeout(as_of => '2030-01-01Z');
SELECT state($$SELECT campaign_close('00000000-0000-0000-0000-000000000004', 'stop', 'anna')$$);
SELECT state($$SELECT campaign_reopen('00000000-0000-0000-0000-000000000001', 'go on', 'anna')$$);
-- to look is allowed
SELECT campaign_check_sending('anna', '2024-01-01 01:00Z', dry_run => true);
SELECT condition, ok, detail FROM campaign_explain('00000000-0000-0000-0000-000000000004', 'anna', '2024-01-01 01:00Z') WHERE NOT ok;
SELECT try($$SELECT campaign_close('00000000-0000-0000-0000-000000000004', 'stop', 'anna')$$);
SET ROLE regress_cac_bert;
SELECT try($$SELECT campaign_explain('00000000-0000-0000-0000-000000000004', 'anna')$$);
SELECT try($$SELECT campaign_verify('00000000-0000-0000-0000-000000000001', 'anna')$$);
SET ROLE regress_cac_half;
SELECT state($$SELECT campaign_check_timeout('anna', '2030-01-01Z')$$);
SELECT state($$SELECT campaign_check_timeout(as_of => '2030-01-01Z')$$);
RESET ROLE;
-- and does not keep a role from its own source
GRANT USAGE ON SCHEMA anna TO regress_cac_bert;
GRANT SELECT, UPDATE ON anna.campaigns TO regress_cac_bert;
SET ROLE regress_cac_bert;
SELECT campaign_check_timeout(as_of => '2030-01-01Z');
RESET ROLE;
REVOKE ALL ON anna.campaigns FROM regress_cac_bert;
SELECT right(id::text, 1), status FROM anna.campaigns ORDER BY 1;
SELECT * FROM campaign_retry;
SELECT count(*) FROM campaign_event WHERE id > :last AND source = 'anna';

-- what an error says is for the owner alone
INSERT INTO campaign_retry (source, campaign_id, sweep, failures, retry_at, sqlstate, error)
VALUES ('anna', '00000000-0000-0000-0000-000000000004', 'sending', 1, '2024-01-01 01:01Z', 'P0001', 'a secret');
SET ROLE regress_cac_reader;
SELECT detail FROM campaign_explain('00000000-0000-0000-0000-000000000004', 'anna', '2024-01-01 01:00Z') WHERE condition = 'no errors';
SET ROLE regress_cac_anna;
SELECT detail FROM campaign_explain('00000000-0000-0000-0000-000000000004', 'anna', '2024-01-01 01:00Z') WHERE condition = 'no errors';
RESET ROLE;
DELETE FROM campaign_retry;

-- one with SELECT and UPDATE may act, though it sees no history
SET ROLE regress_cac_writer;
-- not unasked, as the owner's triggers would run with its rights
SELECT campaign_check_sending(as_of => '2024-01-01 01:00Z');
SELECT campaign_check_sending('anna', '2024-01-01 01:00Z');
SELECT campaign_check_expired_interactions('anna', '2024-01-02 01:00Z');
SELECT count(*) FROM campaign_event;
SELECT state($$SELECT campaign_alter('anna', 'mode', 'paused')$$);
SELECT status FROM campaign_reopen('00000000-0000-0000-0000-000000000004', 'go on', 'anna', '2024-01-02 02:00Z');
SELECT status FROM campaign_close('00000000-0000-0000-0000-000000000004', 'stop', 'anna', '2024-01-02 03:00Z');
CALL campaign_run_sweeps('anna');
RESET ROLE;
SELECT right(campaign_id, 1), event, status_to FROM campaign_event WHERE id > :last AND source = 'anna' ORDER BY 1, id;
-- who it was, whatever role they have taken
SELECT details ->> 'session_user' = session_user, details ->> 'current_user' FROM campaign_event WHERE details ->> 'sweep' = 'hand';
-- to verify it, SELECT is enough
SET ROLE regress_cac_reader;
SELECT count(*) FROM campaign_verify('00000000-0000-0000-0000-000000000004', 'anna') WHERE ok;
RESET ROLE;

--
-- Row-level security: an error, never a verdict from a part of the rows
--

SET ROLE regress_cac_anna;
UPDATE anna.campaigns SET status = 'sending', completed_at = NULL;
UPDATE anna.messages SET status = CASE WHEN campaign_id = '00000000-0000-0000-0000-000000000004' THEN 'sent' ELSE 'failed' END;
SELECT max(id) AS last FROM campaign_event \gset
-- what the writer sees of campaign 4 is complete, but there is more of it
INSERT INTO anna.messages (campaign_id, contact_id, status, sent_at)
VALUES ('00000000-0000-0000-0000-000000000004', '00000000-0000-0000-0000-0000000000c2', 'failed', '2024-01-01 00:01Z');
ALTER TABLE anna.messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY failed_only ON anna.messages USING (status = 'failed');
SET ROLE regress_cac_writer;
SELECT count(*) FROM anna.messages WHERE campaign_id = '00000000-0000-0000-0000-000000000004';
SELECT state($$SELECT campaign_update_status('00000000-0000-0000-0000-000000000004', 'anna', '2024-01-01 01:00Z')$$);
SELECT state($$SELECT campaign_check_sending('anna', '2024-01-01 01:00Z')$$);
SELECT state($$SELECT campaign_check_sending('anna', '2024-01-01 01:00Z', dry_run => true)$$);
SELECT state($$SELECT campaign_check_timeout('anna', '2030-01-01Z')$$);
SELECT state($$SELECT campaign_close('00000000-0000-0000-0000-000000000004', 'stop', 'anna')$$);
SELECT state($$SELECT campaign_explain('00000000-0000-0000-0000-000000000004', 'anna')$$);
SELECT state($$SELECT campaign_verify('00000000-0000-0000-0000-000000000004', 'anna')$$);
-- the session's own setting makes no difference
SET row_security = on;
SELECT state($$SELECT campaign_update_status('00000000-0000-0000-0000-000000000004', 'anna', '2024-01-01 01:00Z')$$);
RESET row_security;
-- the owner is not under it ...
SET ROLE regress_cac_anna;
SELECT (c).status, (c).failed_count, (c).message_1_sent
FROM campaign_update_status('00000000-0000-0000-0000-000000000004', 'anna', '2024-01-01 01:00Z') AS c;
-- ... until it is forced
ALTER TABLE anna.messages FORCE ROW LEVEL SECURITY;
SELECT state($$SELECT campaign_update_status('00000000-0000-0000-0000-000000000004', 'anna', '2024-01-01 01:00Z')$$);
SELECT state($$SELECT campaign_check_sending('anna', '2024-01-01 01:00Z')$$);
RESET ROLE;
-- a superuser's CALL acts as the owner, so it is under it too
SET client_min_messages = error;
CALL campaign_run_sweeps('anna', force => true);
SET client_min_messages = warning;
SELECT right(id::text, 1), status FROM anna.campaigns ORDER BY 1;
SELECT event, count(*) > 0 FROM campaign_event WHERE id > :last AND source = 'anna' GROUP BY 1;
-- (forget what that made of it)
DELETE FROM campaign_retry;
SELECT max(id) AS last FROM campaign_event \gset
SET ROLE regress_cac_anna;
ALTER TABLE anna.messages NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
-- policies on campaigns and on interactions
ALTER TABLE anna.campaigns ENABLE ROW LEVEL SECURITY;
SET ROLE regress_cac_writer;
SELECT state($$SELECT campaign_update_status('00000000-0000-0000-0000-000000000001', 'anna', '2024-01-01 01:00Z')$$);
SELECT state($$SELECT campaign_check_sending('anna', '2024-01-01 01:00Z')$$);
SET ROLE regress_cac_anna;
ALTER TABLE anna.campaigns DISABLE ROW LEVEL SECURITY;
ALTER TABLE anna.interactions ENABLE ROW LEVEL SECURITY;
INSERT INTO anna.interactions (campaign_id, contact_id, interaction_type)
VALUES ('00000000-0000-0000-0000-000000000004', '00000000-0000-0000-0000-0000000000c1', 'reply');
SET ROLE regress_cac_writer;
SELECT state($$SELECT campaign_check_expired_interactions('anna', '2024-01-02 01:00Z')$$);
SET ROLE regress_cac_anna;
ALTER TABLE anna.interactions DISABLE ROW LEVEL SECURITY;
RESET ROLE;
SELECT status FROM anna.messages
WHERE campaign_id = '00000000-0000-0000-0000-000000000004' AND contact_id = '00000000-0000-0000-0000-0000000000c1';
SELECT * FROM campaign_retry;
SELECT count(*) FROM campaign_event WHERE id > :last AND source = 'anna';

--
-- The owner of the tables is who owns them now
--

ALTER TABLE anna.campaigns OWNER TO regress_cac_bert;
SET ROLE regress_cac_anna;
SELECT count(*) FROM campaign_event WHERE source = 'anna';
SELECT try($$SELECT campaign_alter('anna', 'batch_size', '1')$$);
SELECT try($$SELECT campaign_detach('anna')$$);
CALL campaign_run_sweeps('anna');
SET ROLE regress_cac_bert;
SELECT count(*) > 0 FROM campaign_event WHERE source = 'anna';
SELECT batch_size FROM campaign_alter('anna', 'batch_size', '2');
RESET ROLE;
-- a member has the rights of the role that owns them
GRANT regress_cac_bert TO regress_cac_anna;
SET ROLE regress_cac_anna;
SELECT count(*) > 0 FROM campaign_event WHERE source = 'anna';
SELECT batch_size FROM campaign_alter('anna', 'batch_size', '3');
RESET ROLE;
REVOKE regress_cac_bert FROM regress_cac_anna;

--
-- Sources of which all tables are gone
--

SET ROLE regress_cac_bert;
DROP TABLE bert.campaigns, bert.messages, bert.interactions, bert.contacts;
SELECT count(*) FROM campaign_event WHERE source = 'bert';
SELECT try($$SELECT campaign_detach('bert')$$);
RESET ROLE;
SELECT campaign_detach('bert');
SELECT source FROM campaign_source;

-- EXECUTE is everybody's by default, and can be taken away
REVOKE EXECUTE ON FUNCTION campaign_check_sending FROM PUBLIC;
SET ROLE regress_cac_anna;
SELECT try($$SELECT campaign_check_sending()$$);
RESET ROLE;

DROP OWNED BY regress_cac_anna, regress_cac_bert, regress_cac_reader, regress_cac_writer, regress_cac_half CASCADE;
DROP ROLE regress_cac_anna, regress_cac_bert, regress_cac_reader, regress_cac_writer, regress_cac_half;
