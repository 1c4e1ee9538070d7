-- campaign_sweep_status: each sweep of each source, its last run, the next one.
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
\pset null '-'
SELECT * FROM campaign_sweep_status;
CREATE ROLE regress_cac_anna NOSUPERUSER;
CREATE ROLE regress_cac_bert NOSUPERUSER;
CREATE SCHEMA anna AUTHORIZATION regress_cac_anna;
CREATE SCHEMA bert AUTHORIZATION regress_cac_bert;
SET ROLE regress_cac_anna;
SELECT source FROM campaign_create_tables('anna');
SET ROLE regress_cac_bert;
SELECT source FROM campaign_create_tables('bert');
RESET ROLE;

-- Nothing ran yet: all of it is due at once.
SELECT source, sweep, every, state, started_at, finished_at, failures, next_run_at, error
FROM campaign_sweep_status(as_of => '2025-01-01 12:00+00');

-- A run as the worker records it; the others at the same time, so that each
-- state can be seen.
CREATE PROCEDURE run(sweep text, started_at timestamptz, took interval, closed bigint DEFAULT 0, error text DEFAULT NULL,
	as_of timestamptz DEFAULT NULL, runs bigint DEFAULT 1) LANGUAGE sql AS $$
	INSERT INTO campaign_sweep_run (source, sweep, started_at, finished_at, as_of, runs, campaigns_checked, campaigns_updated,
		campaigns_closed, campaigns_resumed, campaigns_skipped, messages_checked, messages_marked, error)
	VALUES ('anna', sweep, started_at, started_at + took, as_of, runs, 10, closed + 1, closed, 2, 3, 40, 50, error);
$$;
CALL run('expired', '2025-01-01 11:30+00', '1.5 s', closed => 4);
CALL run('timeout', '2025-01-01 06:00+00', '2 s', runs => 7);
CALL run('timeout', '2025-01-01 11:00+00', '3 s', error => 'no such thing');
CALL run('sending', '2025-01-01 11:56+00', '20 ms', closed => 1);
CALL run('sending', '2025-01-01 11:58+00', NULL);
SELECT * FROM campaign_sweep_status('anna', '2025-01-01 12:00+00') WHERE sweep = 'expired' \gx
SELECT sweep, state, started_at, finished_at, duration, runs, campaigns_closed AS closed, failures, next_run_at, error
FROM campaign_sweep_status('anna', '2025-01-01 12:00+00');

-- Failures in a row: a run cut short is one; a success ends them.  A run with a
-- moment of its own counts neither way.
CALL run('sending', '2025-01-01 11:58:01+00', '1 s', error => 'locked');
CALL run('sending', '2025-01-01 11:59+00', '1 s', error => 'locked');
CALL run('sending', '2025-01-01 11:59:10+00', '1 s', as_of => '2025-01-05 00:00+00');
CALL run('timeout', '2025-01-01 11:59:20+00', '1 s', error => 'by hand', as_of => '2025-01-05 00:00+00');
SELECT sweep, state, started_at, finished_at, failures, next_run_at, error FROM campaign_sweep_status('anna', '2025-01-01 12:00+00');
CALL run('sending', '2025-01-01 11:59:30+00', '1 s');
CALL run('timeout', '2025-01-01 11:59:40+00', '1 s', closed => 9);
SELECT sweep, state, finished_at, campaigns_closed AS closed, failures, next_run_at, error FROM campaign_sweep_status('anna', '2025-01-01 12:00+00');
-- How late a sweep is: what was due and did not run.
SELECT sweep, timestamptz '2025-01-01 14:00+00' - next_run_at AS late FROM campaign_sweep_status('anna', '2025-01-01 14:00+00')
WHERE next_run_at < '2025-01-01 14:00+00';
-- A clock that was set back.
SELECT sweep, next_run_at FROM campaign_sweep_status('anna', '2025-01-01 06:30+00');

-- Off, paused, not activated: nothing is next.
SELECT timeout_every FROM campaign_alter('anna', 'timeout_every', NULL);
SELECT sweep, every, state, next_run_at FROM campaign_sweep_status('anna', '2025-01-01 12:00+00');
SELECT mode FROM campaign_alter('anna', 'mode', 'shadow');
SELECT sweep, state, next_run_at FROM campaign_sweep_status('anna', '2025-01-01 12:00+00');
SELECT mode FROM campaign_alter('anna', 'mode', 'paused');
SELECT sweep, state, next_run_at FROM campaign_sweep_status('anna', '2025-01-01 12:00+00');
SELECT mode FROM campaign_alter('anna', 'mode', 'active');
DELETE FROM campaign_armed WHERE source = 'anna';
SELECT sweep, state, next_run_at FROM campaign_sweep_status('anna', '2025-01-01 12:00+00');
SELECT mode FROM campaign_alter('anna', 'mode', 'active');
-- At fault: what is wrong.
ALTER TABLE anna.messages RENAME COLUMN sent_at TO gone_at;
SELECT sweep, state, next_run_at, error IS NOT NULL AS error FROM campaign_sweep_status('anna', '2025-01-01 12:00+00');
ALTER TABLE anna.messages RENAME COLUMN gone_at TO sent_at;

-- The view, after a real run.
CALL campaign_run_sweeps('bert', force => true);
SELECT source, sweep, state, finished_at >= started_at AS ended, duration = finished_at - started_at AS duration, campaigns_checked AS checked,
	next_run_at = started_at + every AS next, failures
FROM campaign_sweep_status WHERE source = 'bert';
-- A sweep of one's own transaction is over when it is looked at.
BEGIN;
SELECT campaigns_checked FROM campaign_check_sending('bert');
SELECT sweep, state FROM campaign_sweep_status('bert') WHERE sweep = 'sending';
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
SELECT count(*) FROM campaign_sweep_status;
COMMIT;

-- It is for the owner, as the history is.
SET ROLE regress_cac_anna;
SELECT source, count(*) FROM campaign_sweep_status GROUP BY 1;
SELECT * FROM campaign_sweep_status('bert');
SELECT * FROM campaign_sweep_status('nowhere');
SELECT * FROM campaign_sweep_status(as_of => 'infinity');
RESET ROLE;
CREATE ROLE regress_cac_monitor BYPASSRLS;
SET ROLE regress_cac_monitor;
SELECT source, count(*) FROM campaign_sweep_status GROUP BY 1 ORDER BY 1;
RESET ROLE;
DROP TABLE bert.campaigns, bert.messages, bert.interactions, bert.contacts;
SELECT DISTINCT source, error FROM campaign_sweep_status('bert');
SET ROLE regress_cac_bert;
SELECT count(*) FROM campaign_sweep_status;
RESET ROLE;
SET client_min_messages = warning;
DROP OWNED BY regress_cac_anna, regress_cac_bert CASCADE;
DROP ROLE regress_cac_anna, regress_cac_bert, regress_cac_monitor;
