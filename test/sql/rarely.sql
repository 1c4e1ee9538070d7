-- Answers that are rarely needed: to tables that raise errors when they are
-- read, to columns that do not tell, to owners who may not use what is theirs.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
\pset format unaligned
\pset fieldsep ' | '
\pset null -
\set VERBOSITY terse
\set SHOW_CONTEXT never

-- The setting that lists databases, and functions that only triggers call.
\set VERBOSITY default
ALTER SYSTEM SET campaign_autoclose.databases = '"shop';
\set VERBOSITY terse
SELECT campaign_source_changed();
SELECT campaign_note_message();

-- Columns of types that cannot hold what they are for.
\set VERBOSITY default
CREATE SCHEMA shop;
CREATE TABLE shop.campaigns (id int PRIMARY KEY, status text, created_at timestamptz, interaction_timeout int);
CREATE TABLE shop.messages (id int PRIMARY KEY, campaign_id int, contact_id int, status text, error_message int);
SELECT campaign_attach('shop', 'shop.campaigns', 'shop.messages');
ALTER TABLE shop.campaigns DROP interaction_timeout;
SELECT campaign_attach('shop', 'shop.campaigns', 'shop.messages');
ALTER TABLE shop.messages DROP error_message;
\set VERBOSITY terse

-- A constraint that asks for other columns when a campaign ends refuses nothing,
-- as far as can be known, if there are values that satisfy it.
CREATE TYPE shop.kind AS ENUM ('mail', 'text');
ALTER TABLE shop.campaigns
	ADD paid boolean, ADD price numeric, ADD name text, ADD sold_at timestamptz, ADD lasts interval,
	ADD tags text[], ADD kind shop.kind, ADD reference uuid, ADD notes json,
	ADD CONSTRAINT ends_sold CHECK (status <> 'completed' OR (paid IS NOT NULL AND price IS NOT NULL AND
		name IS NOT NULL AND sold_at IS NOT NULL AND lasts IS NOT NULL AND tags IS NOT NULL AND
		kind IS NOT NULL AND reference IS NOT NULL)),
	ADD CONSTRAINT ends_noted CHECK (status <> 'completed' OR notes IS NOT NULL);
SELECT mode FROM campaign_attach('shop', 'shop.campaigns', 'shop.messages');
SELECT check_name, ok, detail, fix FROM campaign_preflight('shop') WHERE detail LIKE '%ends_%';
ALTER TABLE shop.campaigns DROP CONSTRAINT ends_noted;
SELECT check_name, ok, detail, fix FROM campaign_preflight('shop') WHERE detail LIKE '%ends_%';
ALTER TABLE shop.campaigns DROP CONSTRAINT ends_sold;

-- An owner from whom the rights on his own tables were taken.
CREATE ROLE regress_rarely_owner;
ALTER TABLE shop.messages OWNER TO regress_rarely_owner;
ALTER TABLE shop.campaigns OWNER TO regress_rarely_owner;
GRANT USAGE ON SCHEMA shop TO regress_rarely_owner;
REVOKE UPDATE ON shop.messages FROM regress_rarely_owner;
REVOKE ALL ON shop.campaigns FROM regress_rarely_owner;
GRANT SELECT (id), UPDATE (status) ON shop.campaigns TO regress_rarely_owner;
SELECT check_name, ok, detail, fix FROM campaign_preflight('shop') WHERE detail LIKE '%regress_rarely_owner%';
GRANT ALL ON shop.campaigns, shop.messages TO regress_rarely_owner;
SELECT check_name, ok, detail, fix FROM campaign_preflight('shop') WHERE detail LIKE '%regress_rarely_owner%';

-- Open campaigns without a Message 1.
ALTER TABLE shop.messages ADD message_type text;
SELECT campaign_detach('shop');
INSERT INTO shop.campaigns (id, status, created_at) VALUES (1, 'sending', '2025-01-01 00:00+00'), (2, 'sending', '2025-01-01 00:00+00');
INSERT INTO shop.messages (id, campaign_id, contact_id, status, message_type)
VALUES (1, 1, 1, 'failed', 'welcome'), (2, 2, 1, 'failed', 'welcome'), (3, 2, 2, 'failed', 'offer');
SELECT mode FROM campaign_attach('shop', 'shop.campaigns', 'shop.messages');
SELECT check_name, ok, detail, fix FROM campaign_preflight('shop') WHERE detail LIKE '%Message 1;%';
SELECT campaign_detach('shop');
ALTER TABLE shop.messages DROP message_type;

-- Interactions of which nobody can tell to which campaign they belong.
CREATE TABLE shop.interactions (contact_id int, campaign_id int, interaction_type text);
ALTER TABLE shop.interactions OWNER TO regress_rarely_owner;
INSERT INTO shop.interactions VALUES (1, 1, 'reply'), (2, NULL, 'reply');
SELECT mode FROM campaign_attach('shop', 'shop.campaigns', 'shop.messages', 'shop.interactions');
SELECT check_name, detail, fix FROM campaign_preflight('shop') WHERE NOT ok;
SELECT campaign_detach('shop');

-- A campaign that does not tell when it started.
SELECT mode FROM campaign_attach('shop', 'shop.campaigns', 'shop.messages');
SELECT mode FROM campaign_alter('shop', 'mode', 'active');
INSERT INTO shop.campaigns (id, status) VALUES (3, 'sending');
INSERT INTO shop.messages VALUES (4, 3, 1, 'pending');
SELECT condition, detail, until FROM campaign_explain(3, as_of => '2025-03-01 00:00+00') WHERE detail LIKE '%started%';
SELECT campaigns_closed FROM campaign_check_timeout('shop', as_of => '2025-03-01 00:00+00');
SELECT id, status FROM shop.campaigns ORDER BY id;

-- One that was closed by a role that somebody had taken.
CREATE ROLE regress_rarely_operator;
GRANT USAGE ON SCHEMA shop TO regress_rarely_operator;
GRANT SELECT, UPDATE ON shop.campaigns, shop.messages TO regress_rarely_operator;
SET ROLE regress_rarely_operator;
SELECT status FROM campaign_close(3, 'never started');
RESET ROLE;
SELECT regexp_replace(replace(detail, session_user, 'session_user'), ' at .*:', ':') AS detail FROM campaign_explain(3) WHERE detail LIKE '%regress_rarely_operator%';

-- Tables that raise errors when they are read: of one campaign, of all of them.
CREATE SCHEMA broken;
CREATE TABLE broken.stored_campaigns (id int PRIMARY KEY, status text, created_at timestamptz);
CREATE TABLE broken.stored_messages (id int PRIMARY KEY, campaign_id int, contact_id int, status text, sent_at timestamptz);
CREATE FUNCTION broken.read(moment timestamptz, campaign int) RETURNS timestamptz LANGUAGE plpgsql AS $$
BEGIN
	IF campaign = ANY (coalesce(nullif(current_setting('broken.campaigns', true), ''), '{}')::int[]) THEN
		RAISE EXCEPTION 'the archive is closed' USING ERRCODE = '58030', DETAIL = 'It opens at eight.';
	END IF;
	RETURN moment;
END $$;
CREATE VIEW broken.campaigns AS
	SELECT id, status, created_at FROM broken.stored_campaigns WHERE broken.read(created_at, 0) IS NOT NULL;
CREATE VIEW broken.messages AS
	SELECT id, campaign_id, contact_id, status, broken.read(sent_at, campaign_id) AS sent_at FROM broken.stored_messages;
SELECT mode FROM campaign_attach('broken', 'broken.campaigns', 'broken.messages');
SELECT mode FROM campaign_alter('broken', 'mode', 'active');
INSERT INTO broken.stored_campaigns SELECT n, 'sending', '2025-01-01 00:00+00' FROM generate_series(1, 3) AS n;
INSERT INTO broken.stored_messages SELECT n, n, 1, 'failed' FROM generate_series(1, 3) AS n;
\set VERBOSITY default
SET broken.campaigns = '{2}';
SELECT campaigns_checked, campaigns_closed, campaigns_skipped
FROM campaign_check_sending('broken', as_of => '2025-01-01 12:00+00', dry_run => true);
SET broken.campaigns = '{0}';
SELECT campaign_check_sending('broken', as_of => '2025-01-01 12:00+00');
CALL campaign_run_sweeps('broken', force => true);
RESET broken.campaigns;
\set VERBOSITY terse
SELECT sweep, campaigns_checked, error FROM campaign_sweep_run WHERE source = 'broken' ORDER BY id;
SELECT campaigns_checked, campaigns_closed, campaigns_skipped
FROM campaign_check_sending('broken', as_of => '2025-01-01 12:00+00');
SELECT campaign_detach('broken');

-- More campaigns in one transaction than it can note: hints are lost, and
-- counted.
SELECT source FROM campaign_create_tables();
SELECT hints_dropped AS before FROM campaign_counters() \gset
BEGIN;
INSERT INTO campaigns (status, created_at) SELECT 'sending', now() - interval '1 hour' FROM generate_series(1, 4100);
INSERT INTO messages (campaign_id, status) SELECT id, 'failed' FROM campaigns;
COMMIT;
SELECT hints_dropped - :before >= 4 AS dropped FROM campaign_counters();

DROP SCHEMA shop, broken CASCADE;
DROP OWNED BY regress_rarely_owner, regress_rarely_operator;
DROP ROLE regress_rarely_owner, regress_rarely_operator;
