-- campaign_schedule_pg_cron() where the server has not preloaded pg_cron,
-- whether its files are installed or not.  Everything else about it is in
-- test/t/006_pg_cron.pl and test/t/013_pg_cron_jobs.pl, which preload it.
SELECT current_setting('cron.database_name', true) IS NOT NULL AS preloaded \gset
\if :preloaded
\quit
\endif
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
SELECT source FROM campaign_create_tables();
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

SELECT try('SELECT campaign_schedule_pg_cron()');
SELECT try($$SELECT campaign_schedule_pg_cron('no schedule at all')$$);
SELECT try('SELECT campaign_unschedule_pg_cron()');

-- a setting alone is no pg_cron
SELECT set_config('cron.database_name', current_database(), false) = current_database();
SELECT try('SELECT campaign_schedule_pg_cron()');
SELECT try('SELECT campaign_unschedule_pg_cron()');
RESET cron.database_name;

SELECT try('SELECT campaign_schedule_pg_cron(NULL)');
SELECT try('SELECT campaign_schedule_pg_cron(schedule => NULL)');

-- a role that cannot log in cannot run a job, wherever pg_cron is
CREATE ROLE "regress_cac_no login";
SET ROLE "regress_cac_no login";
SELECT try('SELECT campaign_schedule_pg_cron()');
SELECT try('SELECT campaign_unschedule_pg_cron()');
RESET ROLE;
DROP ROLE "regress_cac_no login";

BEGIN READ ONLY;
SELECT try('SELECT campaign_schedule_pg_cron()');
SELECT try('SELECT campaign_unschedule_pg_cron()');
COMMIT;
