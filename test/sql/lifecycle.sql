-- The life of the extension, of a source's tables and of their owner: moved,
-- renamed, given away, dropped one by one.  Whatever goes, sources and settings
-- are never gone with it unasked, and nothing of ours stands in anybody's way.
SET client_min_messages = warning;
CREATE SCHEMA tools;
CREATE EXTENSION campaign_autoclose SCHEMA tools;
CREATE ROLE regress_cac_anna;
CREATE ROLE regress_cac_bert;
CREATE ROLE regress_cac_carl;
SET search_path = public, tools;
\pset format unaligned
\pset tuples_only on
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN pg_catalog.concat_ws(E'\n', state || ' ' || message, '      ' || nullif(detail, ''), '      ' || nullif(hint, ''));
END $$;

--
-- The extension
--

-- it stays in its schema
SELECT try('ALTER EXTENSION campaign_autoclose SET SCHEMA public');
-- its objects do not go without it
SELECT try('DROP TABLE tools.campaign_event');
SELECT try('DROP FUNCTION tools.campaign_check_sending(name, timestamptz, boolean)');
SELECT try('DROP SCHEMA tools');
SELECT try('CREATE EXTENSION campaign_autoclose SCHEMA public');
-- the schema may be renamed, and then it is found there
CREATE SCHEMA anna AUTHORIZATION regress_cac_anna;
GRANT USAGE ON SCHEMA tools TO PUBLIC;
SET ROLE regress_cac_anna;
SELECT (campaign_create_tables('anna')).source;
RESET ROLE;
INSERT INTO anna.campaigns (name, status, created_at) VALUES ('first', 'sending', '2024-01-01 00:00Z');
INSERT INTO anna.messages (campaign_id, status) SELECT id, 'failed' FROM anna.campaigns;
ALTER SCHEMA tools RENAME TO "New Tools";
SET search_path = public, "New Tools";
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2024-01-01 01:00Z');
SELECT source, event FROM campaign_event;
SELECT * FROM campaign_progress;
INSERT INTO anna.messages (campaign_id, status) SELECT id, 'failed' FROM anna.campaigns;
-- and back
ALTER SCHEMA "New Tools" RENAME TO tools;
SET search_path = public, tools;
SELECT count(*) FROM campaign_event;

--
-- The owner
--

-- who owns campaigns owns the source; a table that is somebody else's then is
-- one that he needs rights on
SET ROLE regress_cac_bert;
SELECT try('SELECT campaign_alter(''anna'', ''settle_for'', ''1 day'')');
\set VERBOSITY terse
CALL campaign_run_sweeps('anna');
SELECT count(*) FROM campaign_event;
RESET ROLE;
ALTER TABLE anna.campaigns OWNER TO regress_cac_bert;
GRANT USAGE ON SCHEMA anna TO regress_cac_bert;
SET ROLE regress_cac_bert;
SELECT (campaign_alter('anna', 'settle_for', '2 days')).settle_for;
SELECT count(*) FROM campaign_event;
SELECT check_name, detail FROM campaign_preflight('anna') WHERE NOT ok;
RESET ROLE;
SET ROLE regress_cac_anna;
SELECT try('SELECT campaign_alter(''anna'', ''settle_for'', ''1 day'')');
SELECT count(*) FROM campaign_event;
RESET ROLE;
-- all of it: whoever gets it, has it
REASSIGN OWNED BY regress_cac_anna, regress_cac_bert TO regress_cac_carl;
SET ROLE regress_cac_carl;
SELECT count(*) FROM campaign_event;
SELECT check_name, detail FROM campaign_preflight('anna') WHERE NOT ok;
INSERT INTO anna.campaigns (name, status) VALUES ('second', 'sending');
INSERT INTO anna.messages (campaign_id, status) SELECT id, 'failed' FROM anna.campaigns WHERE name = 'second';
CALL campaign_run_sweeps('anna', force => true);
SELECT status FROM anna.campaigns WHERE name = 'second';
RESET ROLE;
-- nothing of ours keeps a role that owns nothing any more
DROP OWNED BY regress_cac_anna, regress_cac_bert;
DROP ROLE regress_cac_anna, regress_cac_bert;

-- his tables go, the source stays, and says what is missing
SELECT relname FROM pg_class WHERE relnamespace = 'anna'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1;
DROP OWNED BY regress_cac_carl;
DROP ROLE regress_cac_carl;
SELECT source, settle_for FROM campaign_source;
SELECT try('SELECT campaign_check_sending(''anna'')');
SELECT try('SELECT campaign_alter(''anna'', ''settle_for'', ''1 day'')');
SELECT check_name, ok, detail, fix FROM campaign_health() WHERE check_name IN ('sources', 'tables');
SELECT check_name, detail FROM campaign_preflight('anna') WHERE NOT ok;
SELECT campaign_check_sending();
CALL campaign_run_sweeps();
SELECT source, event FROM campaign_event;
SELECT campaign_detach('anna');
SELECT count(*) FROM campaign_event;
SELECT count(*) FROM campaign_source;

--
-- The tables
--

-- one after the other, in the order that their keys allow
CREATE SCHEMA shop;
SELECT (campaign_create_tables('shop')).source;
INSERT INTO shop.campaigns (name, status, created_at) VALUES ('one', 'sending', '2024-01-01 00:00Z');
INSERT INTO shop.messages (campaign_id, status) SELECT id, 'failed' FROM shop.campaigns;
DROP TABLE shop.interactions;
SELECT try('SELECT campaign_check_sending(''shop'')');
DROP TABLE shop.messages;
SELECT try('SELECT campaign_check_sending(''shop'')');
DROP TABLE shop.contacts;
DROP TABLE shop.campaigns;
SELECT try('SELECT campaign_check_sending(''shop'')');
SELECT try('SELECT campaign_create_tables(''shop'')');
SELECT campaign_detach('shop');
SELECT (campaign_create_tables('shop')).mode;
-- the schema as a whole, and restored under the same name
DROP SCHEMA shop CASCADE;
SELECT try('SELECT campaign_check_sending(''shop'')');
SELECT campaign_detach('shop');
CREATE SCHEMA shop;
SELECT (campaign_create_tables('shop')).mode;
-- swapped for tables of the same names: held, whichever was meant
ALTER SCHEMA shop RENAME TO old_shop;
SELECT (campaign_check_sending('shop')).campaigns_checked;
CREATE SCHEMA shop;
CREATE TABLE shop.campaigns (LIKE old_shop.campaigns);
SELECT try('SELECT campaign_check_sending(''shop'')');
DROP TABLE shop.campaigns;
SELECT (campaign_check_sending('shop')).campaigns_checked;

--
-- DROP EXTENSION
--

-- what others have made of its objects is theirs to lose
CREATE VIEW report AS SELECT source, count(*) FROM campaign_event GROUP BY source;
SELECT try('DROP EXTENSION campaign_autoclose');
DROP EXTENSION campaign_autoclose CASCADE;
SELECT to_regclass('report'), count(*) FROM old_shop.campaigns;
SELECT count(*) FROM pg_trigger WHERE tgname = 'campaign_autoclose';
INSERT INTO old_shop.campaigns (status) VALUES ('sending');
INSERT INTO old_shop.messages (campaign_id) SELECT id FROM old_shop.campaigns;
-- what is left of a function that was kept, without the extension, says so each time
CREATE FUNCTION orphan(source name DEFAULT NULL, as_of timestamptz DEFAULT NULL, dry_run boolean DEFAULT false)
	RETURNS int8 AS 'campaign_autoclose', 'campaign_check_sending' LANGUAGE C;
SELECT DISTINCT try('SELECT orphan(''anna'')') FROM generate_series(1, 12);
DROP FUNCTION orphan;
-- once more: nothing is remembered
CREATE EXTENSION campaign_autoclose SCHEMA tools;
SELECT count(*) FROM campaign_source;
SELECT mode FROM campaign_attach('old_shop', 'old_shop.campaigns', 'old_shop.messages', 'old_shop.interactions', 'old_shop.contacts');
DROP EXTENSION campaign_autoclose;
DROP SCHEMA shop, old_shop, tools CASCADE;
