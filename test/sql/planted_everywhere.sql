-- Whatever the owner of a source has planted, wherever tables let him, runs as
-- nobody but himself, and gets him nowhere: not by CALL campaign_run_sweeps(),
-- not by what a superuser looks at, not by attaching, and not where his own
-- on_event function is called for somebody else.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\i :abs_srcdir/include/planted.sql
\set ECHO all
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on

-- A superuser attaches the tables, while campaigns are open
SELECT planted.launch(1);
SELECT planted.forget();
SET client_min_messages = error;
SET search_path = planted, pg_catalog, public;
SELECT source, mode FROM public.campaign_attach('planted', 'planted.campaigns', 'planted.messages', 'planted.interactions', 'planted.contacts');
RESET search_path;
SET client_min_messages = warning;
SELECT * FROM planted.ran();

-- likewise views
SELECT planted.forget();
SET ROLE regress_cac_planter;
CREATE VIEW planted.shown AS SELECT id, status, created_at FROM planted.campaigns WHERE planted.spy('interactions_view');
CREATE TABLE planted.shown_messages (id int PRIMARY KEY, campaign_id int, contact_id int, status text);
RESET ROLE;
SET client_min_messages = error;
SELECT source, mode FROM campaign_attach('shown', 'planted.shown', 'planted.shown_messages');
SET client_min_messages = warning;
SELECT * FROM planted.ran();
SELECT campaign_detach('shown');

-- and activates them
SELECT planted.forget();
SELECT on_event FROM campaign_alter('planted', 'on_event', 'planted.hear');
SELECT log_messages FROM campaign_alter('planted', 'log_messages', 'true');
SELECT mode FROM campaign_alter('planted', 'mode', 'shadow');
SELECT * FROM planted.ran();

-- All that there is, in shadow mode and out of it, called by a superuser, but
-- what changes the tables and so is like an UPDATE of his: a new function is
-- called here from its first day.
CREATE FUNCTION call_of(function regprocedure) RETURNS text LANGUAGE sql AS $$
	SELECT format('SELECT count(*) FROM %s(%s)', p.oid::regproc, string_agg(format('%I => %s', name, CASE
			WHEN name = 'source' THEN quote_literal('planted')
			WHEN name = 'dry_run' THEN 'true'
			WHEN name = 'schema' THEN quote_literal('nowhere')
			WHEN name LIKE 'campaign%' AND type <> 'uuid'::regtype THEN quote_literal('2')
			ELSE 'NULL' END), ', ' ORDER BY n) FILTER (WHERE n <= p.pronargs - p.pronargdefaults OR name IN ('source', 'dry_run', 'schema')))
	FROM pg_proc AS p LEFT JOIN LATERAL ROWS FROM (unnest(p.proargnames[1:p.pronargs]), unnest(p.proargtypes)) WITH ORDINALITY AS a (name, type, n) ON true
	WHERE p.oid = function GROUP BY p.oid, p.pronargs, p.pronargdefaults
$$;
CREATE PROCEDURE look() LANGUAGE plpgsql AS $$
DECLARE
	call text;
BEGIN
	FOR call IN SELECT call_of(p.oid) FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
			JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'campaign_autoclose'
		WHERE p.prokind = 'f' AND p.prorettype <> 'trigger'::regtype
			AND p.proname NOT IN ('campaign_update_status', 'campaign_close', 'campaign_reopen', 'campaign_detach')
		UNION ALL
		SELECT format('SELECT count(*) FROM %s', c.oid::regclass) FROM pg_class AS c JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
			JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'campaign_autoclose'
		WHERE c.relkind IN ('r', 'v')
	LOOP
		BEGIN
			EXECUTE call;
		EXCEPTION
			WHEN null_value_not_allowed OR object_not_in_prerequisite_state OR datatype_mismatch OR no_data_found OR undefined_object OR invalid_schema_name
				OR invalid_text_representation THEN NULL;
		END;
	END LOOP;
END $$;
SELECT planted.forget();
CALL look();
SELECT status FROM campaign_update_status(1, 'planted');
SELECT campaigns_closed FROM campaign_check_sending('planted');
SELECT messages_marked FROM campaign_check_expired_interactions('planted');
SELECT campaigns_closed FROM campaign_check_timeout('planted');
SELECT campaigns_resumed FROM campaign_recover_interrupted('planted');
SELECT planted.launch(11);
SELECT * FROM planted.ran();
SELECT mode FROM campaign_alter('planted', 'mode', 'active');
SELECT planted.forget();
CALL look();
SELECT * FROM planted.ran();

-- CALL, by a superuser
SELECT planted.forget();
CALL campaign_run_sweeps('planted', force => true);
SELECT planted.state_of(1);
SELECT planted.state_of(11);
SELECT * FROM planted.ran();
-- each attempt, from each place, is refused
SELECT place, state, count(DISTINCT attempt) FROM planted.attempts GROUP BY 1, 2 ORDER BY 1, 2;
SELECT DISTINCT attempt, state FROM planted.attempts WHERE state <> '42501';
SELECT rolsuper FROM pg_roles WHERE rolname LIKE 'regress\_cac\_%';
SELECT current_user = session_user, pg_my_temp_schema() = 0, (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_listening_channels());

-- Where another writes the tables, on_event is the owner's still, and what that
-- one has put into his temporary schema is nobody's but his own.
CREATE ROLE regress_cac_writer NOSUPERUSER;
SET ROLE regress_cac_planter;
SET search_path = planted, pg_catalog, public;
CREATE TABLE planted.heard (by name, event text);
ALTER TABLE planted.campaigns DISABLE ROW LEVEL SECURITY, DISABLE TRIGGER USER;
ALTER TABLE planted.messages DISABLE ROW LEVEL SECURITY, DISABLE TRIGGER USER;
DROP RULE planted ON planted.campaigns;
CREATE FUNCTION planted.listen(event jsonb) RETURNS void LANGUAGE sql AS $$ INSERT INTO heard SELECT current_user, event ->> 'event' $$;
SELECT on_event FROM campaign_alter('planted', 'on_event', 'planted.listen');
GRANT USAGE ON SCHEMA planted TO regress_cac_writer;
GRANT SELECT, UPDATE ON planted.campaigns, planted.messages TO regress_cac_writer;
GRANT SELECT ON planted.interactions, planted.contacts TO regress_cac_writer;
SELECT planted.launch(21);
RESET search_path;
RESET ROLE;
SET ROLE regress_cac_writer;
CREATE TABLE pg_temp.seen (by name);
CREATE TABLE pg_temp.heard (by name, event text);
CREATE FUNCTION pg_temp.trap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO pg_temp.seen VALUES (current_user);
	RETURN NEW;
END $$;
CREATE TRIGGER trap BEFORE INSERT ON pg_temp.heard FOR EACH ROW EXECUTE FUNCTION pg_temp.trap();
GRANT ALL ON pg_temp.heard, pg_temp.seen TO PUBLIC;
SET client_min_messages = error;
SELECT status FROM campaign_update_status(21, 'planted');
SET client_min_messages = warning;
SELECT * FROM pg_temp.seen;
RESET ROLE;
SELECT * FROM planted.heard;
DROP TABLE pg_temp.heard, pg_temp.seen;


-- Tables of two owners: what the one plants on his would run as the other, so
-- the source is held, whoever calls; also if that was right once.
CREATE ROLE regress_cac_other NOSUPERUSER;
GRANT regress_cac_other TO regress_cac_planter;
GRANT USAGE, CREATE ON SCHEMA planted TO regress_cac_other;
GRANT INSERT ON planted.heard TO regress_cac_other;
SELECT planted.launch(31);
SELECT planted.forget();
-- (that one who writes the tables runs what is in them is no news)
SELECT setval('caught', 1, false);
ALTER TABLE planted.campaigns OWNER TO regress_cac_other;
SELECT ok FROM campaign_health('planted') WHERE check_name = 'tables';
REVOKE regress_cac_other FROM regress_cac_planter;
CALL campaign_run_sweeps('planted', force => true);
SELECT status FROM campaign_update_status(31, 'planted');
SELECT detail, fix FROM campaign_health('planted') WHERE check_name = 'tables';
SELECT * FROM planted.ran();
ALTER TABLE planted.campaigns OWNER TO regress_cac_planter;
SELECT ok FROM campaign_health('planted') WHERE check_name = 'tables';
SELECT planted.state_of(31);

SELECT campaign_detach('planted');
SET client_min_messages = error;
DROP SCHEMA planted CASCADE;
DROP FUNCTION call_of;
DROP FUNCTION pg_temp.trap;
DROP PROCEDURE look;
DROP SEQUENCE caught;
DROP OWNED BY regress_cac_planter, regress_cac_writer, regress_cac_other CASCADE;
DROP ROLE regress_cac_planter, regress_cac_writer, regress_cac_other;
