-- A role without any right on a source's tables sees and changes nothing of it:
-- by every function, procedure, trigger function, view and table that there is.
-- They are taken from the catalogs, so a new one has to be decided on here.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
SET timezone = 'UTC';
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on

CREATE ROLE regress_cac_owner NOSUPERUSER;
CREATE ROLE regress_cac_stranger NOSUPERUSER;
CREATE ROLE regress_cac_half NOSUPERUSER;
CREATE SCHEMA victim AUTHORIZATION regress_cac_owner;
SET ROLE regress_cac_owner;
SELECT source FROM campaign_create_tables('victim');
-- each value that a stranger might meet has a secret in it
INSERT INTO victim.contacts (id, full_number, first_name) VALUES ('00000000-0000-0000-0000-0000000000c1', 'secret number', 'secret name');
INSERT INTO victim.campaigns (id, name, status, created_at, updated_at)
SELECT format('5ec5e700-0000-0000-0000-00000000000%s', n)::uuid, 'secret', 'sending', '2024-01-01 00:00Z', '2024-01-01 00:00Z' FROM generate_series(1, 5) AS n;
INSERT INTO victim.messages (campaign_id, contact_id, status, error_message, sent_at, updated_at)
SELECT format('5ec5e700-0000-0000-0000-00000000000%s', n)::uuid, '00000000-0000-0000-0000-0000000000c1',
	(ARRAY['failed', 'failed', 'sent', 'pending', 'failed'])[n], 'secret', '2024-01-01 00:01Z', '2024-01-01 00:01Z' FROM generate_series(1, 5) AS n;
INSERT INTO victim.interactions (campaign_id, contact_id, interaction_type, content)
VALUES ('5ec5e700-0000-0000-0000-000000000004', '00000000-0000-0000-0000-0000000000c1', 'reply', 'secret');
CREATE FUNCTION victim.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.id::text LIKE '%2' THEN
		RAISE 'secret of a trigger';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON victim.campaigns FOR EACH ROW EXECUTE FUNCTION victim.refuse();
CREATE FUNCTION victim.secret(jsonb) RETURNS void LANGUAGE sql AS '';
SELECT status FROM campaign_update_status('5ec5e700-0000-0000-0000-000000000001', as_of => '2024-01-01 01:00Z');
SET client_min_messages = error;
CALL campaign_run_sweeps('victim');
SET client_min_messages = warning;
RESET ROLE;
SELECT count(*) FROM campaign_retry WHERE error LIKE 'secret%';

-- All that there is of the source, by which a change would be noticed.
CREATE FUNCTION fingerprint() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	whole text = '';
	part text;
	relid regclass;
BEGIN
	FOR relid IN SELECT c.oid FROM pg_class AS c WHERE c.relkind = 'r' AND c.relnamespace IN ('public'::regnamespace, 'victim'::regnamespace) ORDER BY 1 LOOP
		EXECUTE format('SELECT coalesce(string_agg(concat(ctid, t), chr(10) ORDER BY t::text), '''') FROM %s AS t', relid) INTO part;
		whole = whole || part;
	END LOOP;
	RETURN md5(whole || (SELECT string_agg(concat(tgname, tgenabled, relowner, relacl, relname), ',' ORDER BY c.oid, tgname)
		FROM pg_class AS c LEFT JOIN pg_trigger AS t ON t.tgrelid = c.oid WHERE relnamespace = 'victim'::regnamespace));
END $$;

-- A call of a function of the extension's, about the source.
CREATE FUNCTION call_of(function regprocedure) RETURNS text LANGUAGE sql AS $$
	SELECT format(CASE WHEN p.prokind = 'p' THEN 'CALL %s(%s)' ELSE 'SELECT * FROM %s(%s)' END, p.oid::regproc, string_agg(format('%I => %s', name, CASE
			WHEN name IN ('source', 'schema') THEN quote_literal('victim')
			WHEN name IN ('campaigns', 'messages', 'interactions', 'contacts') THEN quote_literal('victim.' || name)
			WHEN name LIKE 'campaign%' AND type = 'bigint'::regtype THEN '1'
			WHEN name LIKE 'campaign%' THEN quote_literal('5ec5e700-0000-0000-0000-000000000001')
			WHEN name = 'setting' THEN quote_literal('on_event')
			WHEN name = 'value' THEN quote_literal('victim.secret')
			WHEN name = 'as_of' THEN quote_literal('2024-01-04 00:00Z')
			WHEN type = 'boolean'::regtype THEN 'false'
			WHEN type = 'jsonb'::regtype THEN quote_literal('{}')
			WHEN name = 'schedule' THEN quote_literal('* * * * *')
			ELSE quote_literal('x') END), ', ' ORDER BY n) FILTER (WHERE name IS NOT NULL))
	FROM pg_proc AS p LEFT JOIN LATERAL ROWS FROM (unnest(p.proargnames[1:p.pronargs]), unnest(p.proargtypes)) WITH ORDINALITY AS a (name, type, n) ON true
	WHERE p.oid = function GROUP BY p.oid
$$;

-- What a call gives whoever makes it: rows, nothing, or the error, and a secret if one is in it.
CREATE FUNCTION gives(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	row record;
	told text = '';
BEGIN
	FOR row IN EXECUTE call LOOP
		told = told || row::text;
	END LOOP;
	RETURN CASE WHEN told = '' THEN 'nothing' ELSE 'rows' END || CASE WHEN told ~* 'secret|5ec5e7' THEN ', A SECRET: ' || told ELSE '' END;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || CASE WHEN SQLERRM ~* 'secret|5ec5e700.*[2-9]$' THEN ', A SECRET: ' || SQLERRM ELSE '' END;
END $$;

CREATE TABLE calls AS
SELECT p.oid::regprocedure::text COLLATE "C" AS what, call_of(p.oid::regprocedure) AS call
FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'campaign_autoclose';
-- (the cron functions are those of 013_pg_cron_jobs.pl)
DELETE FROM calls WHERE what LIKE '%pg_cron%';
INSERT INTO calls SELECT c.oid::regclass::text COLLATE "C", format('SELECT * FROM %s', c.oid::regclass)
FROM pg_class AS c JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
	JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'campaign_autoclose' WHERE c.relkind IN ('r', 'v', 'm');
GRANT SELECT ON calls TO PUBLIC;
CREATE TEMP TABLE prints AS SELECT fingerprint() AS print;

-- No right at all.
SET client_min_messages = error;
SET ROLE regress_cac_stranger;
SELECT what, gives(call) FROM calls WHERE call LIKE 'SELECT %' ORDER BY what;
SELECT call FROM calls WHERE call NOT LIKE 'SELECT %' ORDER BY what \gexec
RESET ROLE;
SELECT print = fingerprint() AS "all is as it was" FROM prints;
-- with no source named
SET ROLE regress_cac_stranger;
SELECT what, gives(regexp_replace(call, '(, source => ''victim'')|(source => ''victim''(, )?)', '')) FROM calls WHERE call LIKE 'SELECT %source => ''victim''%' AND what !~ 'attach|detach|alter' ORDER BY what;
RESET ROLE;
SELECT print = fingerprint() AS "all is as it was" FROM prints;

-- May read campaigns, and nothing else: the messages are not told by a detour.
GRANT USAGE ON SCHEMA victim TO regress_cac_half;
GRANT SELECT, UPDATE ON victim.campaigns TO regress_cac_half;
UPDATE prints SET print = fingerprint();
SET ROLE regress_cac_half;
SELECT what, gives(call) FROM calls WHERE call LIKE 'SELECT %(%' ORDER BY what;
RESET ROLE;
SELECT print = fingerprint() AS "all is as it was" FROM prints;

-- Triggers that name somebody else's source, on tables of one's own; and the
-- source's name for a source of one's own.
CREATE SCHEMA own AUTHORIZATION regress_cac_stranger;
SET ROLE regress_cac_stranger;
CREATE TABLE own.m (id int, campaign_id uuid, contact_id int, message_type text, status text);
CREATE TABLE own.c (id uuid, status text, created_at timestamptz);
SELECT hints_waiting FROM campaign_counters() \gset
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON own.m FOR EACH ROW EXECUTE FUNCTION campaign_note_message('victim');
INSERT INTO own.m VALUES (1, '5ec5e700-0000-0000-0000-000000000005', 1, 'message_1', 'pending');
UPDATE own.m SET status = 'failed';
SELECT gives($$SELECT * FROM campaign_attach('victim', 'own.c', 'own.m')$$);
SELECT gives($$SELECT * FROM campaign_attach('mine', 'own.c', 'victim.messages')$$);
SELECT gives($$SELECT * FROM campaign_attach('mine', 'own.c', 'own.m', 'victim.interactions')$$);
SELECT gives($$SELECT * FROM campaign_attach('mine', 'own.c', 'own.m', contacts => 'victim.contacts')$$);
SELECT hints_waiting - :hints_waiting AS "more hints" FROM campaign_counters();
RESET ROLE;

SELECT campaign_detach('victim');
DROP OWNED BY regress_cac_owner, regress_cac_stranger, regress_cac_half CASCADE;
DROP FUNCTION fingerprint, call_of, gives;
DROP TABLE calls, prints;
DROP ROLE regress_cac_owner, regress_cac_stranger, regress_cac_half;
