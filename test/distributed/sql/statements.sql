-- Which statements go to one shard, and which to all of them: with this setting
-- Citus tells whenever it plans one for several shards.
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
\set VERBOSITY terse
SELECT source, mode FROM campaign_create_tables();
SELECT table_name, citus_table_type, distribution_column, shard_count FROM citus_tables ORDER BY table_name::text COLLATE "C";
CREATE FUNCTION id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
	$$ SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid $$;
INSERT INTO contacts (id, full_number) SELECT id(n), n FROM generate_series(1, 20) AS n;
INSERT INTO campaigns (id, status, created_at, started_at)
SELECT id(n), 'sending', '2025-01-01 00:00Z', '2025-01-01 00:00Z' FROM generate_series(1, 8) AS n;
-- of each campaign ten contacts are silent, one has replied, and one is pending in two
INSERT INTO messages (id, campaign_id, contact_id, status, sent_at)
SELECT id(100 * c + k), id(c), id(k), 'sent', '2025-01-01 00:00Z' FROM generate_series(1, 8) AS c, generate_series(1, 11) AS k;
INSERT INTO messages (id, campaign_id, contact_id, status) SELECT id(100 * c + 12), id(c), id(12), 'pending' FROM generate_series(1, 2) AS c;
INSERT INTO interactions (campaign_id, contact_id, interaction_type, received_at)
SELECT id(c), id(11), 'reply', '2025-01-01 01:00Z' FROM generate_series(1, 8) AS c;
-- the campaigns are in several shards
SELECT count(DISTINCT get_shard_id_for_distribution_column('campaigns', id)) > 2 AS several FROM campaigns;

-- One campaign: no statement may go to more than one shard.
SET citus.multi_task_query_log_level = error;
SELECT status, sent_count, interaction_count FROM campaign_update_status(id(1), as_of => '2025-01-01 12:00Z');
SELECT condition FROM campaign_explain(id(1), as_of => '2025-01-01 12:00Z') WHERE NOT ok;
SELECT outcome, count(*) FROM campaign_outcomes(id(1), as_of => '2025-01-01 12:00Z') GROUP BY 1 ORDER BY 1;
SELECT stage, contacts FROM campaign_funnel(id(1));
SELECT status, failed_count FROM campaign_close(id(2), 'by hand', as_of => '2025-01-01 12:00Z');
SELECT count(*) FROM campaign_verify(id(2));
SELECT status FROM campaign_reopen(id(2), 'by hand', as_of => '2025-01-01 12:00Z');

-- A sweep: one statement reads the candidates from all shards.
SET citus.multi_task_query_log_level = notice;
DISCARD PLANS;
SELECT campaigns_checked, campaigns_updated, messages_marked FROM campaign_check_sending(as_of => '2025-01-01 12:00Z');
DISCARD PLANS;
SELECT campaigns_checked, messages_marked FROM campaign_check_expired_interactions(as_of => '2025-01-02 12:00Z', dry_run => true);
DISCARD PLANS;
SELECT campaigns_checked, campaigns_updated, messages_checked, messages_marked FROM campaign_check_expired_interactions(as_of => '2025-01-02 12:00Z');
DISCARD PLANS;
SELECT campaigns_checked, campaigns_resumed FROM campaign_recover_interrupted(as_of => '2025-01-02 12:00Z');
DISCARD PLANS;
SELECT sweep, what, count(*) FROM campaign_preview(as_of => '2025-01-03 12:00Z') GROUP BY 1, 2 ORDER BY 1, 2;
DISCARD PLANS;
SELECT count(*), sum(contacts) FROM campaign_progress(as_of => '2025-01-02 12:00Z');
DISCARD PLANS;
SELECT campaigns_closed, messages_marked FROM campaign_check_timeout(as_of => '2025-01-03 12:00Z');
SELECT status, count(*), sum(no_interaction_count) AS silent, sum(failed_count) AS failed FROM campaigns GROUP BY 1;
-- In a blackout, one more for the signs of life.
SELECT blackout_after FROM campaign_alter('public', 'blackout_after', '6 hours');
INSERT INTO campaigns (id, status, created_at, started_at) VALUES (id(9), 'sending', '2025-01-05 00:00Z', '2025-01-05 00:00Z');
INSERT INTO messages (campaign_id, contact_id, status, sent_at) VALUES (id(9), id(1), 'sent', '2025-01-05 00:00Z');
SET client_min_messages = error;
SELECT campaigns_checked, messages_marked FROM campaign_check_expired_interactions(as_of => '2025-01-06 12:00Z');
RESET client_min_messages;
INSERT INTO interactions (campaign_id, contact_id, interaction_type, received_at) VALUES (id(9), id(2), 'read', '2025-01-06 11:00Z');
DISCARD PLANS;
SELECT campaigns_checked, messages_marked FROM campaign_check_expired_interactions(as_of => '2025-01-06 12:00Z');

--
-- What a host does: each campaign in a transaction of its own
--
INSERT INTO campaigns (id, status, created_at, started_at)
SELECT id(n), 'sending', now() - interval '30 hours', now() - interval '30 hours' FROM generate_series(11, 14) AS n;
INSERT INTO messages (campaign_id, contact_id, status, sent_at)
SELECT id(c), id(k), 'sent', now() - interval '30 hours' FROM generate_series(11, 14) AS c, generate_series(1, 20) AS k;
INSERT INTO interactions (campaign_id, contact_id, interaction_type) VALUES (id(11), id(1), 'reply');
SET citus.multi_task_query_log_level = off;
CALL campaign_run_sweeps(force => true);
-- (what one transaction wrote has the moment of its commit)
SELECT max(campaigns) AS campaigns_in_a_transaction, count(*) >= 4 AS several FROM
	(SELECT count(DISTINCT campaign_id) AS campaigns FROM campaign_event WHERE at > now() - interval '1 hour'
	GROUP BY pg_xact_commit_timestamp(xmin)) AS t;
SELECT right(id::text, 2) AS campaign, status, no_interaction_count, interaction_count FROM campaigns WHERE id IN (id(11), id(12), id(13), id(14)) ORDER BY 1;
-- The witnesses of those that are open, in one statement too.
CALL campaign_run_sweeps(force => true);
SET citus.multi_task_query_log_level = notice;
DISCARD PLANS;
CALL campaign_run_sweeps(force => true);
SET citus.multi_task_query_log_level = off;

--
-- The worker, on the coordinator
--
INSERT INTO campaigns (id, status, created_at, started_at) VALUES (id(20), 'sending', now(), now());
INSERT INTO messages (campaign_id, contact_id, status) VALUES (id(20), id(1), 'failed');
SELECT sending_every FROM campaign_alter('public', 'sending_every', '1 second');
ALTER SYSTEM SET campaign_autoclose.enabled = on;
SELECT pg_reload_conf();
DO $$
BEGIN
	FOR i IN 1 .. 600 LOOP
		EXIT WHEN (SELECT status = 'failed' FROM campaigns WHERE id = '00000000-0000-0000-0000-000000000020');
		COMMIT;
		PERFORM pg_sleep(0.1);
	END LOOP;
END $$;
SELECT status FROM campaigns WHERE id = id(20);
ALTER SYSTEM RESET campaign_autoclose.enabled;
SELECT pg_reload_conf();
-- On the worker nodes there is nothing to do for it.
SELECT success, result FROM run_command_on_workers('SELECT count(*) FROM campaign_source');
