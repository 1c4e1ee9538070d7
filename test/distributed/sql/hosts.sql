-- The statements of a host: what CALL campaign_run_sweeps() does, as the worker does
-- it, watched.  Of all of them, those alone may go to several shards that list
-- candidates, or ask for the witnesses of many.  Citus tells of such a statement
-- ("multi-task query") whenever it plans one, so plans are discarded before; of one
-- that it refuses there would be a warning.
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SELECT source, mode FROM campaign_create_tables();
CREATE FUNCTION id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
	$$ SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid $$;
INSERT INTO contacts (id, full_number) SELECT id(n), n FROM generate_series(1, 1300) AS n;
CREATE PROCEDURE campaign(n int, age interval, sent int, pending int DEFAULT 0) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO campaigns (id, status, created_at, started_at) VALUES (id(n), 'sending', now() - age, now() - age);
	INSERT INTO messages (campaign_id, contact_id, status, created_at, sent_at)
	SELECT id(n), id(k), CASE WHEN k <= sent THEN 'sent' ELSE 'pending' END, now() - age, CASE WHEN k <= sent THEN now() - age END
	FROM generate_series(1, sent + pending) AS k;
END $$;
-- One sweep at a time.
CREATE PROCEDURE alone(sweep text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM campaign_alter('public', name || '_every', CASE name WHEN sweep THEN '1 day' END)
	FROM unnest('{expired,timeout,sending,interrupted}'::text[]) AS name;
END $$;
-- What has become of a campaign, and the events that tell of it.
CREATE FUNCTION outcome(n int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT format('%s: %s sent, %s read, %s failed, %s silent, %s pending', status, sent_count, read_count, failed_count,
		no_interaction_count, pending_count) FROM campaigns WHERE id = id(n));
END $$;
CREATE FUNCTION events(n int) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat_ws(' ', event, details ->> 'messages'), ', ' ORDER BY id) FROM campaign_event WHERE campaign_id = id(n)::text
$$;
CREATE FUNCTION total(n int) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s in %s', sum((details ->> 'messages')::int), count(*)) FROM campaign_event
	WHERE campaign_id = id(n)::text AND event = 'expired'
$$;
\set watch_all 'SET citus.multi_task_query_log_level = notice; DISCARD PLANS; CALL campaign_run_sweeps(force => true); SET citus.multi_task_query_log_level = off;'
\set watch_due 'SET citus.multi_task_query_log_level = notice; DISCARD PLANS; CALL campaign_run_sweeps(); SET citus.multi_task_query_log_level = off;'

-- With nothing to do, candidates are listed.
CALL alone('expired');
CALL campaign(1, '1 hour', 1);
:watch_all

-- In passes: of 1,000 due messages or more each marks a third, roughly.
CALL campaign(2, '30 hours', 1200);
:watch_all
SELECT total(2), outcome(2);
-- In batches, each resumed where the last one ended; it stays open.
SELECT batch_size FROM campaign_alter('public', 'batch_size', '100');
CALL campaign(3, '30 hours', 1200);
CALL campaign(4, '30 hours', 250, pending => 1);
:watch_all
SELECT total(3), outcome(3);
SELECT events(4);
-- The 48 hours: the silent in batches, then what is pending in batches.
CALL alone('timeout');
CALL campaign(5, '49 hours', 250, pending => 250);
:watch_all
SELECT events(5), outcome(5);

-- Complete, and so closed; one more statement asks for the witnesses of those that
-- are open, once they are known.
CALL alone('sending');
CALL campaign(6, '1 hour', 2);
UPDATE messages SET status = 'failed' WHERE campaign_id = id(6);
:watch_all
SELECT outcome(6);
:watch_all
-- Settling: a late callback is counted, a new pending message reopens.
UPDATE messages SET status = 'read' WHERE campaign_id = id(2) AND contact_id = id(1);
INSERT INTO messages (campaign_id, contact_id) VALUES (id(3), id(1300));
:watch_all
SELECT outcome(2);
SELECT outcome(3);
-- Stalled, one since long, one reopened just now.
CALL alone('interrupted');
CALL campaign(7, '1 hour', 0, pending => 3);
:watch_all
SELECT right(campaign_id, 1), details ->> 'pending' FROM campaign_event WHERE event = 'stalled' ORDER BY campaign_id;

-- A retry goes by the campaign's key: nothing is listed.
CALL alone('expired');
SET citus.enable_unsafe_triggers = on;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON campaigns FOR EACH ROW WHEN (OLD.id = '00000000-0000-0000-0000-000000000008') EXECUTE FUNCTION refuse();
CALL campaign(8, '30 hours', 3);
:watch_all
SELECT events(8), outcome(8);
DROP TRIGGER refuse ON campaigns;
UPDATE campaign_retry SET retry_at = now();
:watch_due
SELECT events(8), outcome(8);

-- Nothing else went wrong, and each campaign had a transaction of its own: what one
-- wrote has the moment of its commit.
SELECT count(*) FROM campaign_event WHERE event = 'error';
SELECT max(campaigns) FROM (SELECT count(DISTINCT campaign_id) AS campaigns FROM campaign_event GROUP BY pg_xact_commit_timestamp(xmin)) AS t;
-- It does tell of a statement that goes to all shards.
SET citus.multi_task_query_log_level = notice;
SELECT count(*) FROM messages WHERE contact_id = id(1300);
