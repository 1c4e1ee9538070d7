-- campaign_health(): each check turns red, and green again.  Those that need
-- processes are in test/t.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET client_min_messages = notice;
\pset format unaligned
\pset fieldsep ' | '
\pset null -

-- What is red; moments are not shown.
CREATE FUNCTION red(source name DEFAULT NULL) RETURNS TABLE (check_name text, detail text, fix text) LANGUAGE sql AS $$
	SELECT check_name, regexp_replace(detail, '\d{4}-\d\d-\d\d \S+', 'MOMENT', 'g'), fix
	FROM campaign_health($1) WHERE NOT ok AND check_name NOT IN ('launcher', 'database', 'hints')
$$;

-- No source.
SELECT * FROM red();
SELECT source FROM campaign_create_tables();
-- All of them, in order, of a source that was made just now.  (The server of
-- these tests runs no worker.)
SELECT check_name, ok, detail FROM campaign_health() WHERE check_name NOT IN ('version', 'launcher', 'database', 'hints');
SELECT check_name FROM campaign_health();
SELECT check_name, detail FROM campaign_health() WHERE check_name = 'version' AND detail NOT LIKE '%' || (SELECT extversion FROM pg_extension WHERE extname = 'campaign_autoclose') || '%';

-- Library and extension are of one version.
SELECT extversion FROM pg_extension WHERE extname = 'campaign_autoclose' \gset
UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'campaign_autoclose';
SELECT check_name, replace(detail, :'extversion', 'VERSION') AS detail, fix FROM red();
UPDATE pg_extension SET extversion = :'extversion' WHERE extname = 'campaign_autoclose';
SELECT * FROM red();

-- The sources act.
SELECT mode FROM campaign_alter('public', 'mode', 'paused');
SELECT * FROM red();
SELECT mode FROM campaign_alter('public', 'mode', 'shadow');
SELECT * FROM red();
SELECT mode FROM campaign_alter('public', 'mode', 'active');
SELECT * FROM red();
DELETE FROM campaign_armed;
SELECT * FROM red();
SELECT mode FROM campaign_alter('public', 'mode', 'active');
SELECT * FROM red();

-- Nothing is wrong with their tables.
ALTER TABLE messages RENAME sent_at TO zzz;
SELECT * FROM red();
ALTER TABLE messages RENAME zzz TO sent_at;
SELECT * FROM red();
ALTER TABLE messages RENAME TO letters;
CREATE TABLE messages (id int);
SELECT * FROM red();
DROP TABLE messages;
ALTER TABLE letters RENAME TO messages;
SELECT * FROM red();

-- The trigger tells of changes.
ALTER TABLE messages DISABLE TRIGGER campaign_autoclose;
SELECT * FROM red();
ALTER TABLE messages ENABLE REPLICA TRIGGER campaign_autoclose;
SELECT check_name FROM red();
ALTER TABLE messages ENABLE TRIGGER campaign_autoclose;
SELECT * FROM red();
DROP TRIGGER campaign_autoclose ON messages;
SELECT * FROM red();
SELECT mode FROM campaign_alter('public', 'mode', 'active');
SELECT * FROM red();

-- The sweeps ran in time.  One that never ran is late a minute and a tenth of
-- its period after attaching; paused, none is.
UPDATE campaign_source SET attached_at = now() - interval '3 minutes';
SELECT * FROM red();
SELECT mode FROM campaign_alter('public', 'mode', 'paused');
SELECT check_name FROM red();
SELECT mode FROM campaign_alter('public', 'mode', 'active');
CALL campaign_run_sweeps('public');
SELECT check_name FROM red();
UPDATE campaign_source SET attached_at = now() - interval '1 day';
SELECT * FROM red();
-- late: twice the period
UPDATE campaign_sweep_run SET started_at = started_at - interval '5 minutes' WHERE sweep = 'sending';
SELECT * FROM red();
-- what was run for another moment is no run
SELECT sweep FROM campaign_check_sending(as_of => now() - interval '1 s');
SELECT check_name FROM red();
-- off
SELECT sending_every FROM campaign_alter('public', 'sending_every', NULL);
SELECT * FROM red();
SELECT check_name, detail FROM campaign_health() WHERE check_name LIKE 'sweep s%';
BEGIN;
CREATE SCHEMA other;
SELECT source FROM campaign_create_tables('other');
SELECT check_name, detail FROM campaign_health() WHERE check_name LIKE 'sweep s%';
ROLLBACK;
SELECT sending_every FROM campaign_alter('public', 'sending_every', '2 minutes');
SELECT sweep FROM campaign_check_sending();
SELECT * FROM red();
-- cut short, or running for longer than that
UPDATE campaign_sweep_run SET started_at = started_at - interval '2 hours', finished_at = NULL WHERE sweep = 'expired';
SELECT * FROM red();
SELECT sweep FROM campaign_check_expired_interactions();
SELECT * FROM red();

-- A sweep that could not even begin.
INSERT INTO campaign_sweep_run (source, sweep, started_at, finished_at, error)
SELECT 'public', 'timeout', now(), now(), 'no ' || n FROM generate_series(1, 3) AS n;
SELECT * FROM red();
SELECT sweep FROM campaign_check_timeout();
SELECT * FROM red();

-- A campaign that raises errors.
CREATE FUNCTION throw() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$;
CREATE TRIGGER throw BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION throw();
INSERT INTO campaigns (id, status, started_at) VALUES ('00000000-0000-0000-0000-000000000001', 'sending', now());
INSERT INTO messages (campaign_id, status) VALUES ('00000000-0000-0000-0000-000000000001', 'failed');
SET client_min_messages = error;
SELECT campaigns_skipped FROM campaign_check_sending();
RESET client_min_messages;
SELECT * FROM red();
DROP TRIGGER throw ON campaigns;
SELECT campaigns_closed FROM campaign_check_sending(as_of => now() + interval '2 minutes');
SELECT * FROM red();

-- (The check "blackout" is in blackout.sql.)

-- With several sources, the first three that fail a check are named.
SET client_min_messages = warning;
SELECT format('CREATE SCHEMA tenant_%s', n) FROM generate_series(1, 5) AS n \gexec
SELECT count(*) FROM generate_series(1, 5) AS n, campaign_create_tables(('tenant_' || n)::name) AS t;
SELECT count(*) FROM generate_series(1, 5) AS n, campaign_alter(('tenant_' || n)::name, 'mode', 'paused') AS t;
SELECT * FROM red();
SELECT * FROM red('public');
SELECT check_name, detail FROM campaign_health('tenant_4') WHERE check_name IN ('sources', 'mode');
SELECT * FROM campaign_health('nowhere');

-- Nobody sees a source that is not his.
CREATE ROLE regress_autoclose_tenant;
CREATE ROLE regress_autoclose_monitor BYPASSRLS;
ALTER TABLE tenant_2.campaigns OWNER TO regress_autoclose_tenant;
SET ROLE regress_autoclose_tenant;
SELECT check_name, detail FROM campaign_health() WHERE check_name IN ('sources', 'mode');
SELECT check_name, detail FROM campaign_health('tenant_2') WHERE check_name = 'mode';
SELECT * FROM campaign_health('tenant_3');
SELECT source, active FROM campaign_metrics;
SET ROLE regress_autoclose_monitor;
SELECT check_name, detail FROM campaign_health() WHERE check_name IN ('sources', 'mode');
SELECT count(*) FROM campaign_metrics;
RESET ROLE;
-- Of whom nothing can be told, nothing is told to be well.
CREATE ROLE regress_autoclose_nobody;
SET ROLE regress_autoclose_nobody;
SELECT check_name, ok, detail, fix FROM campaign_health() WHERE check_name NOT IN ('version', 'launcher', 'database', 'hints');
SELECT count(*) FROM campaign_metrics;
SELECT count(*) FROM campaign_counters();
RESET ROLE;

-- campaign_metrics
SELECT source, active, open_campaigns, failing_campaigns, skipped_campaigns, blackout, failing_sweeps, sweep_lag_seconds
FROM campaign_metrics WHERE source IN ('public', 'tenant_1');
INSERT INTO campaigns (status, started_at) SELECT 'sending', now() FROM generate_series(1, 3);
SELECT campaigns_checked FROM campaign_check_sending('public');
INSERT INTO campaign_retry (source, campaign_id, sweep, failures, skips)
VALUES ('public', '1', 'sending', 1, 0), ('public', '2', 'sending', 0, 2), ('public', '3', 'sending', 2, 1);
INSERT INTO campaign_blackout VALUES ('public', now(), now());
INSERT INTO campaign_sweep_run (source, sweep, started_at, finished_at, error) VALUES ('public', 'timeout', now(), now(), 'no');
UPDATE campaign_sweep_run SET started_at = now() - interval '3 hours' WHERE sweep = 'expired';
SELECT source, active, open_campaigns, failing_campaigns, skipped_campaigns, blackout, failing_sweeps, sweep_lag_seconds BETWEEN 7200 AND 7300 AS lag
FROM campaign_metrics WHERE source = 'public';

-- The counters of the server count what is committed.
SELECT source FROM campaign_alter('public', 'blackout_after', NULL);
SELECT count(*) FROM campaign_counters();
CREATE TEMP TABLE before AS SELECT * FROM campaign_counters();
CREATE FUNCTION counted() RETURNS text LANGUAGE sql AS $$
	SELECT format('%s sweeps, %s closed, %s reopened, %s stalled, %s marked, %s errors', n.sweeps - b.sweeps,
		n.campaigns_closed - b.campaigns_closed, n.campaigns_reopened - b.campaigns_reopened,
		n.campaigns_stalled - b.campaigns_stalled, n.messages_marked - b.messages_marked, n.errors - b.errors)
	FROM campaign_counters() AS n, before AS b $$;
UPDATE campaigns SET status = 'cancelled';
INSERT INTO campaigns (id, name, status, started_at)
SELECT ('00000000-0000-0000-0000-00000000001' || n)::uuid, name, 'sending', now() - age
FROM (VALUES (1, 'silent', interval '30 hours'), (2, 'overdue', '50 hours'), (3, 'stalled', '1 hour')) AS c (n, name, age);
INSERT INTO messages (campaign_id, status, created_at, sent_at)
SELECT c.id, m.status, c.started_at, CASE WHEN m.status = 'sent' THEN c.started_at END
FROM campaigns AS c JOIN (VALUES ('silent', 'sent'), ('silent', 'sent'), ('overdue', 'pending'), ('stalled', 'pending')) AS m (name, status) USING (name);
SET client_min_messages = error;
BEGIN;
SELECT campaigns_closed FROM campaign_check_expired_interactions('public');
ROLLBACK;
SELECT counted();
SELECT campaigns_closed FROM campaign_check_expired_interactions('public');
SELECT counted();
SELECT campaigns_closed FROM campaign_check_timeout('public');
SELECT campaigns_resumed FROM campaign_recover_interrupted('public');
SELECT counted();
INSERT INTO messages (campaign_id, status) SELECT id, 'pending' FROM campaigns WHERE name = 'silent';
SELECT status FROM campaign_update_status('00000000-0000-0000-0000-000000000011', 'public');
SELECT counted();
SELECT campaigns_closed FROM campaign_check_timeout('public', dry_run => true, as_of => now() + interval '1 week');
CREATE TRIGGER throw BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION throw();
SELECT campaigns_closed, campaigns_skipped FROM campaign_check_timeout('public', as_of => now() + interval '1 week');
SELECT counted();

DROP SCHEMA tenant_2 CASCADE;
DROP ROLE regress_autoclose_tenant, regress_autoclose_monitor, regress_autoclose_nobody;
