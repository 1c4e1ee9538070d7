-- CALL campaign_run_sweeps(): what is raised while one source is served stops no
-- other.  The error here is that of a table of the extension itself, and so
-- none of those that a campaign or a sweep survives.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
CREATE SCHEMA a;
CREATE SCHEMA b;
CREATE SCHEMA c;
SELECT (campaign_create_tables(s)).source FROM unnest('{a,b,c}'::name[]) AS s;
\pset format unaligned
\pset tuples_only on
INSERT INTO a.campaigns (name, status, created_at) VALUES ('a', 'sending', '2024-01-01 00:00Z');
INSERT INTO b.campaigns (name, status, created_at) VALUES ('b', 'sending', '2024-01-01 00:00Z');
INSERT INTO c.campaigns (name, status, created_at) VALUES ('c', 'sending', '2024-01-01 00:00Z');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'no run may be recorded' USING ERRCODE = 'P0042';
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON campaign_sweep_run FOR EACH ROW
	WHEN (NEW.source = 'b' AND NEW.sweep = 'timeout') EXECUTE FUNCTION refuse();
CREATE VIEW seen AS SELECT source, sweep, finished_at IS NOT NULL AS finished FROM campaign_sweep_run ORDER BY id;
CREATE VIEW campaigns AS SELECT * FROM a.campaigns UNION ALL TABLE b.campaigns UNION ALL TABLE c.campaigns;

-- the two others are served, and what the one had done before stands
\set VERBOSITY terse
CALL campaign_run_sweeps();
TABLE seen;
SELECT name, status FROM campaigns ORDER BY name;
-- nothing is left locked, and the session goes on as before
SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'object' AND mode = 'ExclusiveLock';
SELECT current_setting('search_path'), current_setting('row_security'), current_user = session_user;

-- its next turn is like the first, and forced
CALL campaign_run_sweeps(force => true);
SELECT source, count(*) FROM seen GROUP BY source ORDER BY source;

-- who names it is told by an error; so is a procedure that calls
CALL campaign_run_sweeps('b');
DO 'BEGIN CALL campaign_run_sweeps(); END';
CALL campaign_run_sweeps('c');

-- what it cannot go on without, it can when that is mended
DROP TRIGGER refuse ON campaign_sweep_run;
CALL campaign_run_sweeps();
SELECT name, status FROM campaigns ORDER BY name;
