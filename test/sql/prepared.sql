-- A transaction that ends a campaign is prepared, and committed when the hint that
-- it left, as it was prepared, has come to nothing: the next sweep that is due
-- closes the campaign.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
\pset format unaligned
\pset tuples_only on
SELECT source, mode FROM campaign_create_tables();
SELECT check_delay FROM campaign_alter('public', 'check_delay', '0');
CREATE FUNCTION served() RETURNS bigint LANGUAGE sql AS
	$$ SELECT hints_served FROM campaign_worker WHERE process = 'launcher' $$;
CREATE FUNCTION state() RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(concat_ws(' ', name, status), ', ' ORDER BY name COLLATE "C") FROM campaigns $$;

INSERT INTO contacts (id, full_number) VALUES (md5('1')::uuid, '1');
INSERT INTO campaigns (id, name, status, created_at, started_at)
SELECT md5(name)::uuid, name, 'sending', now() - interval '1 hour', now() - interval '1 hour' FROM unnest('{committed,"rolled back"}'::text[]) AS name;
INSERT INTO messages (campaign_id, contact_id, status, sent_at) SELECT id, md5('1')::uuid, 'sent', now() - interval '1 hour' FROM campaigns;
-- every sweep runs, and remembers what keeps the campaigns open
CALL campaign_run_sweeps();
SELECT sweep, runs FROM campaign_sweep_run ORDER BY sweep;
SELECT state();

BEGIN;
UPDATE messages SET status = 'failed' WHERE campaign_id = md5('committed')::uuid;
PREPARE TRANSACTION 'regress_cac_committed';
BEGIN;
UPDATE messages SET status = 'failed' WHERE campaign_id = md5('rolled back')::uuid;
PREPARE TRANSACTION 'regress_cac_rolled_back';
SELECT served() AS before \gset
-- check_delay later the hints are served, and neither campaign has ended
CALL campaign_run_sweeps();
SELECT served() - :before >= 2 AS served, state();
COMMIT PREPARED 'regress_cac_committed';
ROLLBACK PREPARED 'regress_cac_rolled_back';
-- nothing tells of that, and no sweep is due
CALL campaign_run_sweeps();
SELECT state();
-- what keeps a campaign open is looked at by the next one that is
UPDATE campaign_sweep_run SET started_at = started_at - interval '2 minutes' WHERE sweep = 'sending';
CALL campaign_run_sweeps();
SELECT sweep, sum(runs) FROM campaign_sweep_run GROUP BY sweep ORDER BY sweep;
SELECT state();
SELECT name, event, status_to, details ->> 'sweep' AS sweep FROM campaign_event AS e JOIN campaigns AS c ON c.id::text = e.campaign_id ORDER BY e.id;

-- What is committed before the hint is served is closed by it.
BEGIN;
UPDATE messages SET status = 'failed' WHERE campaign_id = md5('rolled back')::uuid;
PREPARE TRANSACTION 'regress_cac_in_time';
COMMIT PREPARED 'regress_cac_in_time';
CALL campaign_run_sweeps();
SELECT sweep, sum(runs) FROM campaign_sweep_run GROUP BY sweep ORDER BY sweep;
SELECT state();

SELECT campaign_detach('public');
DROP EXTENSION campaign_autoclose;
