-- The application's own triggers: they run as the owner of the tables, under
-- the source's search_path; what they plant does not outlive them; one that
-- throws keeps back its own campaign and no other.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
SET timezone = 'UTC';
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

CREATE ROLE regress_cac_owner NOSUPERUSER;
CREATE SCHEMA app AUTHORIZATION regress_cac_owner;
SET ROLE regress_cac_owner;
SET search_path = app, public;
SELECT source, search_path FROM campaign_create_tables('app');

-- A journal that only the application's search_path finds.
CREATE TABLE journal (
	id serial,
	what text,
	campaign uuid REFERENCES campaigns DEFERRABLE INITIALLY DEFERRED,
	by name DEFAULT current_user,
	path text DEFAULT current_setting('search_path'),
	setting text
);
INSERT INTO contacts (id, full_number) VALUES ('00000000-0000-0000-0000-0000000000c1', '+33 1');
RESET search_path;

-- Campaigns first..last, each complete at once.
CREATE FUNCTION app.complete_campaigns(first int, last int, since timestamptz) RETURNS void LANGUAGE sql AS $$
	INSERT INTO app.campaigns (id, status, created_at)
	SELECT pg_catalog.format('00000000-0000-0000-0000-%s', pg_catalog.lpad(n::text, 12, '0'))::uuid, 'sending', since
	FROM pg_catalog.generate_series(first, last) AS n;
	INSERT INTO app.messages (campaign_id, contact_id, status, sent_at)
	SELECT id, '00000000-0000-0000-0000-0000000000c1', 'failed', since
	FROM app.campaigns WHERE status = 'sending' AND NOT EXISTS (SELECT FROM app.messages WHERE campaign_id = campaigns.id);
$$;

--
-- A trigger that finds its table by the search_path, one that is deferred, and
-- one that plants settings
--

CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO journal (what, campaign) VALUES (TG_NAME, NEW.id);
	RETURN NULL;
END $$;
CREATE TRIGGER a_note AFTER UPDATE OF status ON app.campaigns
	FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION app.note();
CREATE CONSTRAINT TRIGGER b_deferred AFTER UPDATE ON app.campaigns DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION app.note();

CREATE FUNCTION app.plant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO journal (what, campaign, setting) VALUES (TG_NAME, NEW.id, current_setting('app.planted', true));
	PERFORM set_config('app.planted', 'session', false);
	PERFORM set_config('search_path', 'planted', false);
	PERFORM set_config('statement_timeout', '123456', false);
	PERFORM set_config('campaign_plant.new', 'x', false);
	BEGIN
		PERFORM set_config('role', 'postgres', false);
		INSERT INTO app.journal (what, campaign) VALUES ('became postgres', NEW.id);
	EXCEPTION WHEN OTHERS THEN
		INSERT INTO app.journal (what, campaign) VALUES (SQLERRM, NEW.id);
	END;
	BEGIN
		PERFORM set_config('session_authorization', 'postgres', false);
		INSERT INTO app.journal (what, campaign) VALUES ('became postgres', NEW.id);
	EXCEPTION WHEN OTHERS THEN
		INSERT INTO app.journal (what, campaign) VALUES (SQLERRM, NEW.id);
	END;
	RETURN NULL;
END $$;
-- (the last of them: what it plants holds for the rest of its statement)
CREATE TRIGGER c_plant AFTER UPDATE ON app.campaigns
	FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION app.plant();
SELECT app.complete_campaigns(1, 2, now() - interval '1 hour');
RESET ROLE;

-- CALL, by a superuser: as the owner, in a restricted context
SET app.planted = 'caller';
CALL campaign_run_sweeps('app');
SELECT right(id::text, 1), status FROM app.campaigns ORDER BY 1;
SELECT what, count(*), by, path, setting FROM app.journal GROUP BY what, by, path, setting ORDER BY what;
SELECT session_user = current_user, current_setting('search_path'), current_setting('app.planted'),
	current_setting('statement_timeout'), current_setting('campaign_plant.new', true) IS DISTINCT FROM 'x',
	current_setting('lock_timeout'), current_setting('row_security');
SELECT sweep, campaigns_closed, campaigns_skipped, error FROM campaign_sweep_run ORDER BY id;
SELECT * FROM campaign_retry;

-- a function's caller: with the caller's identity, nothing planted either; and
-- what is deferred waits for the caller's commit, or for SET CONSTRAINTS
TRUNCATE app.journal;
SELECT app.complete_campaigns(3, 3, now() - interval '1 hour');
BEGIN;
SET LOCAL app.planted = 'transaction';
SET CONSTRAINTS ALL DEFERRED;
SELECT (campaign_update_status('00000000-0000-0000-0000-000000000003')).status;
SELECT what, by = session_user, path, setting FROM app.journal WHERE what IN ('a_note', 'b_deferred', 'c_plant') ORDER BY id;
SELECT current_user = session_user, current_setting('search_path'), current_setting('app.planted'), current_setting('statement_timeout');
-- the deferred one fires at the commit, under whatever search_path is there: the caller's
SET LOCAL search_path = app;
COMMIT;
SELECT what, by = session_user, path FROM app.journal WHERE what = 'b_deferred';
SELECT current_setting('app.planted');
RESET app.planted;

-- a deferred trigger on messages, fired by marking and by failing
SET ROLE regress_cac_owner;
DROP TRIGGER a_note ON app.campaigns;
DROP TRIGGER b_deferred ON app.campaigns;
DROP TRIGGER c_plant ON app.campaigns;
TRUNCATE app.journal;
CREATE FUNCTION app.note_message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO journal (what, campaign, setting) VALUES (NEW.status, NEW.campaign_id, NEW.error_message);
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER deferred AFTER UPDATE ON app.messages DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION app.note_message();
INSERT INTO app.campaigns (id, status, created_at) VALUES
	('00000000-0000-0000-0000-000000000004', 'sending', now() - interval '30 hours'),
	('00000000-0000-0000-0000-000000000005', 'sending', now() - interval '50 hours');
INSERT INTO app.messages (campaign_id, contact_id, status, sent_at) VALUES
	('00000000-0000-0000-0000-000000000004', '00000000-0000-0000-0000-0000000000c1', 'sent', now() - interval '29 hours'),
	('00000000-0000-0000-0000-000000000005', '00000000-0000-0000-0000-0000000000c1', 'pending', NULL);
RESET ROLE;
CALL campaign_run_sweeps('app', force => true);
SELECT right(id::text, 1), status FROM app.campaigns WHERE id > '00000000-0000-0000-0000-000000000003' ORDER BY 1;
SELECT what, by, path, right(campaign::text, 1) FROM app.journal ORDER BY id;
SELECT * FROM campaign_retry;

-- on_event that writes a table with a deferred constraint: by CALL and by function
SET ROLE regress_cac_owner;
DROP TRIGGER deferred ON app.messages;
TRUNCATE app.journal;
CREATE FUNCTION app.on_event(event jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO journal (what, campaign) VALUES (event->>'event', (event->>'campaign_id')::uuid);
	PERFORM set_config('app.planted', 'by on_event', false);
END $$;
SELECT on_event FROM campaign_alter('app', 'on_event', 'app.on_event');
SELECT app.complete_campaigns(6, 6, now() - interval '1 hour');
RESET ROLE;
CALL campaign_run_sweeps('app', force => true);
SELECT app.complete_campaigns(7, 7, now() - interval '1 hour');
SELECT (campaign_update_status('00000000-0000-0000-0000-000000000007')).status;
SELECT what, by, path, right(campaign::text, 1) FROM app.journal ORDER BY id;
SELECT right(campaign_id, 1), event, reason FROM campaign_event WHERE event = 'error';
SELECT nullif(current_setting('app.planted', true), '');

-- one that fails undoes nothing but itself
SET ROLE regress_cac_owner;
CREATE FUNCTION app.on_event_fails(event jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO journal (what) VALUES ('undone');
	RAISE EXCEPTION 'on_event fails' USING errcode = 'UE001';
END $$;
SELECT on_event FROM campaign_alter('app', 'on_event', 'app.on_event_fails');
SELECT app.complete_campaigns(8, 8, now() - interval '1 hour');
SELECT (campaign_update_status('00000000-0000-0000-0000-000000000008')).status;
SELECT on_event IS NULL FROM campaign_alter('app', 'on_event', NULL);
SELECT count(*) FROM app.journal WHERE what = 'undone';
SELECT right(campaign_id, 1), event, reason, CASE WHEN event = 'error' THEN details END FROM campaign_event
WHERE campaign_id = '00000000-0000-0000-0000-000000000008' ORDER BY id;

--
-- A trigger that throws for one campaign
--

TRUNCATE app.journal, app.messages, app.campaigns, app.interactions;
RESET ROLE;
DELETE FROM campaign_event;
DELETE FROM campaign_state;
DELETE FROM campaign_sweep_run;
SET ROLE regress_cac_owner;
SET search_path = app, public;
CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'not %', right(OLD.id::text, 1)
		USING errcode = 'UE002', detail = 'It is refused.', hint = 'Ask another time.';
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON app.campaigns
	FOR EACH ROW WHEN (OLD.id = '00000000-0000-0000-0000-000000000002') EXECUTE FUNCTION app.refuse();
SELECT app.complete_campaigns(1, 3, '2024-01-01 00:00Z');
SELECT campaign_check_sending(as_of => '2024-01-01 01:00Z', dry_run => true);
\pset tuples_only off
SELECT (s).* FROM campaign_check_sending(as_of => '2024-01-01 01:00:00Z') AS s;
\pset tuples_only on
SELECT right(id::text, 1), status, failed_count, completed_at FROM campaigns ORDER BY id;
SELECT right(campaign_id, 1), sweep, failures, skips, retry_at, sqlstate, error FROM campaign_retry;
SELECT at, right(campaign_id, 1), event, reason, details FROM campaign_event WHERE event = 'error';
SELECT right(campaign_id, 1), event FROM campaign_event WHERE event <> 'error' ORDER BY 1;
-- it is left alone for a minute ...
SELECT campaign_check_sending(as_of => '2024-01-01 01:00:59.999999Z');
SELECT campaign_check_sending(as_of => '2024-01-01 01:00:59.999999Z', dry_run => true);
SELECT failures, retry_at FROM campaign_retry;
-- ... then two, four, ... up to an hour
SET client_min_messages = error;
DO $$
DECLARE
	moment timestamptz = '2024-01-01 01:01:00Z';
	result campaign_sweep_result;
	next timestamptz;
BEGIN
	FOR i IN 2 .. 10 LOOP
		SELECT * INTO result FROM campaign_check_sending(as_of => moment);
		SELECT retry_at INTO next FROM campaign_retry WHERE failures = i;
		INSERT INTO journal (what, setting) VALUES (next - moment, result.campaigns_skipped);
		moment = next;
	END LOOP;
END $$;
SET client_min_messages = warning;
SELECT what, setting FROM journal ORDER BY id;
SELECT failures, retry_at FROM campaign_retry;
SELECT count(*), min(at), max(at) FROM campaign_event WHERE event = 'error';
-- another sweep has its own count
INSERT INTO messages (campaign_id, status, sent_at) VALUES ('00000000-0000-0000-0000-000000000002', 'sent', '2024-01-01 00:00Z');
SELECT campaign_check_expired_interactions(as_of => '2024-01-02 01:00Z');
SELECT sweep, failures, retry_at, sqlstate FROM campaign_retry ORDER BY 1;
-- what it did before it threw is undone with it
SELECT status, error_message FROM messages WHERE campaign_id = '00000000-0000-0000-0000-000000000002' ORDER BY 1;
SELECT count(*) FROM campaign_event WHERE event = 'expired';
-- a caller asks for one campaign, and gets its error
SELECT campaign_update_status('00000000-0000-0000-0000-000000000002', as_of => '2024-01-02 01:00Z');

-- success makes it forgotten
DROP TRIGGER refuse ON app.campaigns;
SELECT campaign_check_expired_interactions(as_of => '2024-01-02 01:00:30Z');
SELECT campaign_check_expired_interactions(as_of => '2024-01-02 01:01:00Z');
SELECT sweep, failures FROM campaign_retry;
SELECT campaign_check_sending(as_of => '2024-01-02 02:00Z');
SELECT right(id::text, 1), status FROM campaigns ORDER BY id;

-- the next failure is a first one again
SELECT app.complete_campaigns(4, 4, '2024-01-01 00:00Z');
CREATE TRIGGER refuse BEFORE UPDATE ON app.campaigns
	FOR EACH ROW WHEN (OLD.status = 'sending' AND OLD.name IS NULL) EXECUTE FUNCTION app.refuse();
SET client_min_messages = error;
SELECT campaign_check_sending(as_of => '2024-01-02 03:00Z');
SELECT campaign_check_sending(as_of => '2024-01-02 03:01Z');
SELECT right(campaign_id, 1), sweep, failures, retry_at FROM campaign_retry WHERE campaign_id LIKE '%4';
ALTER TABLE campaigns DISABLE TRIGGER refuse;
UPDATE campaigns SET name = 'x' WHERE status = 'sending';
ALTER TABLE campaigns ENABLE TRIGGER refuse;
SELECT campaign_check_sending(as_of => '2024-01-02 03:03Z');
UPDATE campaigns SET status = 'sending', completed_at = NULL, name = NULL WHERE id = '00000000-0000-0000-0000-000000000004';
SELECT campaign_check_sending(as_of => '2024-01-02 03:04Z');
SELECT right(campaign_id, 1), sweep, failures, retry_at FROM campaign_retry WHERE campaign_id LIKE '%4';
SET client_min_messages = warning;
RESET ROLE;
RESET search_path;

--
-- Under CALL, by the clock: the others are processed, and what was begun is committed
--

TRUNCATE app.journal, app.messages, app.campaigns, app.interactions;
DELETE FROM campaign_retry;
DELETE FROM campaign_event;
DELETE FROM campaign_state;
DELETE FROM campaign_sweep_run;
SELECT app.complete_campaigns(1, 70, now() - interval '1 hour');
ALTER TABLE app.campaigns DISABLE TRIGGER refuse;
UPDATE app.campaigns SET name = 'x' WHERE right(id::text, 2) <> '40';
ALTER TABLE app.campaigns ENABLE TRIGGER refuse;
SET client_min_messages = error;
CALL campaign_run_sweeps('app');
SET client_min_messages = warning;
SELECT status, count(*) FROM app.campaigns GROUP BY 1 ORDER BY 1;
SELECT right(campaign_id, 2), sweep, failures, sqlstate, error, retry_at > now() FROM campaign_retry ORDER BY 2;
SELECT sweep, campaigns_checked, campaigns_closed, campaigns_skipped, error FROM campaign_sweep_run ORDER BY id;
SELECT event, count(*) FROM campaign_event GROUP BY 1 ORDER BY 1;
-- its retry falls due before the sweep does
UPDATE campaign_retry SET retry_at = now();
ALTER TABLE app.campaigns DISABLE TRIGGER refuse;
CALL campaign_run_sweeps('app');
SELECT status, count(*) FROM app.campaigns GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM campaign_retry;

--
-- A trigger that comes back to the extension
--

CREATE FUNCTION app.come_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM public.campaign_alter('app', 'batch_size', '100');
	PERFORM public.campaign_update_status(NEW.id, 'app');
	PERFORM public.campaign_alter('app', 'interaction_message', repeat('x', 5000));
	PERFORM public.campaign_update_status(NEW.id, 'app');
	RETURN NULL;
END $$;
CREATE TRIGGER come_back AFTER UPDATE ON app.campaigns
	FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION app.come_back();
SELECT app.complete_campaigns(101, 103, now() - interval '1 hour');
SELECT (campaign_update_status('00000000-0000-0000-0000-000000000101')).status;
CALL campaign_run_sweeps('app', force => true);
SELECT status, count(*) FROM app.campaigns WHERE id > '00000000-0000-0000-0000-000000000100' GROUP BY 1;
SELECT right(campaign_id, 3), event, count(*) FROM campaign_event WHERE right(campaign_id, 3) > '100' GROUP BY 1, 2 ORDER BY 1;
SELECT * FROM campaign_retry;

DROP OWNED BY regress_cac_owner CASCADE;
DROP ROLE regress_cac_owner;
