-- The database that calls.py calls the extension in: sources of all kinds, of
-- two owners, with roles that may read, write or nothing, and relations of every
-- kind.  Run by a superuser, in an empty database.  What starts with "Secret of"
-- is for those alone who may read the table that it names, or are a member of
-- the role that it names.

DO $$
DECLARE
	wanted text;
BEGIN
	FOREACH wanted IN ARRAY ARRAY['fuzz_anna', E'fuzz_b"ert''s; --', 'fuzz_writer', 'fuzz_reader', 'fuzz_stranger'] LOOP
		IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
			EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER', wanted);
		END IF;
		EXECUTE format('GRANT CREATE, TEMPORARY ON DATABASE %I TO %I', current_database(), wanted);
	END LOOP;
END $$;
SET TimeZone = 'UTC';
SET client_min_messages = error;
CREATE SCHEMA "ext @ %s $1";
CREATE EXTENSION campaign_autoclose SCHEMA "ext @ %s $1";
GRANT USAGE ON SCHEMA "ext @ %s $1" TO PUBLIC;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, "ext @ %%s $1"', current_database()); END $$;
SET search_path = public, "ext @ %s $1";

-- Nobody attaches these; nobody may change them.
CREATE TABLE bystander (id int PRIMARY KEY, campaign_id int, contact_id int, status text, created_at timestamptz);
INSERT INTO bystander SELECT n, 1, n, 'sending', '2025-01-01Z' FROM generate_series(1, 5) AS n;
CREATE MATERIALIZED VIEW matview AS SELECT * FROM bystander;
CREATE VIEW "view" AS SELECT * FROM bystander;
CREATE VIEW view_of_nothing AS SELECT count(*) FROM bystander;
CREATE SEQUENCE sequence;
CREATE TYPE composite AS (id int, status text);
CREATE TABLE typed OF composite;
CREATE UNLOGGED TABLE unlogged (LIKE bystander INCLUDING ALL);
CREATE TABLE parent (LIKE bystander);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE no_columns ();
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE "foreign" (id int, status text, created_at timestamptz) SERVER nowhere;

-- The standard tables.
CREATE SCHEMA shop AUTHORIZATION fuzz_anna;
SET ROLE fuzz_anna;
SELECT FROM campaign_create_tables('shop');
SET search_path = shop, public, "ext @ %s $1";
INSERT INTO contacts (id, full_number, first_name)
SELECT lpad(n::text, 32, '0')::uuid, '+33' || n, 'Secret of shop.contacts' FROM generate_series(1, 4) AS n;
INSERT INTO campaigns (id, name, status, total_recipients, created_at, started_at, completed_at)
SELECT ('c0ffee00-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'Secret of shop.campaigns',
	CASE n WHEN 6 THEN 'completed' WHEN 7 THEN 'failed' WHEN 8 THEN 'paused' WHEN 9 THEN 'draft' ELSE 'sending' END,
	CASE n WHEN 2 THEN 9 ELSE 0 END, '2025-03-01 00:00Z', '2025-03-01 00:00Z', CASE n WHEN 6 THEN '2025-03-01 02:00Z'::timestamptz END
FROM generate_series(1, 10) AS n;
INSERT INTO messages (campaign_id, contact_id, message_type, status, error_message, created_at, sent_at)
SELECT ('c0ffee00-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, lpad(c::text, 32, '0')::uuid, 'message_' || type,
	(ARRAY['failed', 'pending', 'sent', 'delivered', 'read', 'no_interaction', 'sent'])[1 + (n * 3 + c * type) % 7],
	'Secret of shop.messages', '2025-03-01 00:00Z', CASE WHEN (n + c) % 3 > 0 THEN '2025-03-01 00:10Z'::timestamptz END
FROM generate_series(1, 9) AS n, generate_series(1, 3) AS c, generate_series(1, 2) AS type WHERE type = 1 OR (n + c) % 2 = 0;
INSERT INTO interactions (campaign_id, contact_id, interaction_type, content)
SELECT 'c0ffee00-0000-0000-0000-000000000004', lpad('1', 32, '0')::uuid, 'reply', 'Secret of shop.interactions';
CREATE TABLE journal (at timestamptz DEFAULT clock_timestamp(), event jsonb);
CREATE FUNCTION heard(event jsonb) RETURNS void LANGUAGE sql AS 'INSERT INTO journal (event) VALUES ($1)';
SELECT FROM campaign_alter('shop', 'on_event', 'shop.heard');
SELECT FROM campaign_alter('shop', 'log_messages', 'true');
SELECT FROM campaign_alter('shop', 'blackout_after', '10 days');
RESET ROLE;
GRANT USAGE ON SCHEMA shop TO fuzz_reader, fuzz_writer;
GRANT SELECT ON shop.campaigns, shop.messages, shop.interactions TO fuzz_reader, fuzz_writer;
GRANT UPDATE ON shop.campaigns, shop.messages TO fuzz_writer;

-- The same of somebody else, in a schema whose name is meant ill.
CREATE SCHEMA "o'ther""; DROP TABLE x; --" AUTHORIZATION "fuzz_b""ert's; --";
SET ROLE "fuzz_b""ert's; --";
SELECT FROM campaign_create_tables('o''ther"; DROP TABLE x; --');
SET search_path = "o'ther""; DROP TABLE x; --", public, "ext @ %s $1";
INSERT INTO contacts (id, full_number, first_name) SELECT lpad('1', 32, '0')::uuid, '1', 'Secret of fuzz_berts';
INSERT INTO campaigns (id, name, status, created_at)
SELECT ('beef0000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'Secret of fuzz_berts', 'sending', '2025-03-01Z' FROM generate_series(1, 4) AS n;
INSERT INTO messages (campaign_id, contact_id, status, error_message, sent_at)
SELECT ('beef0000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, lpad('1', 32, '0')::uuid,
	(ARRAY['failed', 'read', 'pending'])[n], 'Secret of fuzz_berts', '2025-03-01Z' FROM generate_series(1, 3) AS n;
INSERT INTO interactions (campaign_id, contact_id, interaction_type, content)
SELECT 'beef0000-0000-0000-0000-000000000002', lpad('1', 32, '0')::uuid, 'read', 'Secret of fuzz_berts';
SELECT FROM campaign_update_status('beef0000-0000-0000-0000-000000000001', 'o''ther"; DROP TABLE x; --', '2025-03-01 01:00Z');
RESET ROLE;

-- Names and words that are meant ill; bigint keys; timestamps without a zone.
CREATE SCHEMA "@messages@ %s $1" AUTHORIZATION "fuzz_b""ert's; --";
SET ROLE "fuzz_b""ert's; --";
SET search_path = "@messages@ %s $1", public, "ext @ %s $1";
CREATE TABLE "c'a""@c.id@" ("i'd" bigint PRIMARY KEY, "@m.status@" varchar(30) NOT NULL, "$1" timestamp NOT NULL, "%s" timestamp, "sent"";" int);
CREATE TABLE "m'@$1@\" ("@=@" bigserial PRIMARY KEY, "c;--" int NOT NULL, "to""" text, "@m.status@" varchar(30) NOT NULL, "$2" text, "type'" char(20));
INSERT INTO "c'a""@c.id@" SELECT n, CASE n WHEN 4 THEN 'x'' OR true --' ELSE 'going; "on"' END, '2025-03-01' FROM generate_series(1, 5) AS n;
INSERT INTO "m'@$1@\" ("c;--", "to""", "@m.status@", "type'")
SELECT n, 'to ' || n, (ARRAY['p''', E'f\\', '$1', '@m.id@'])[1 + n % 4], 'one@' FROM generate_series(1, 5) AS n;
SELECT FROM campaign_attach('ill " '' @ %s', '"c''a""@c.id@"', E'"m''@$1@\\"'::regclass,
	columns => '{"campaigns": {"id": "i''d", "status": "@m.status@", "created_at": "$1", "completed_at": "%s", "sent_count": "sent\";"},
		"messages": {"id": "@=@", "campaign_id": "c;--", "contact_id": "to\"", "status": "@m.status@", "error_message": "$2", "message_type": "type''"}}',
	labels => '{"campaigns": {"sending": "going; \"on\"", "completed": "x'' OR true --", "failed": ["$1", "@c.id@"]},
		"messages": {"pending": "p''", "failed": "f\\", "sent": ["$1", "%s"], "read": "@m.id@", "no_interaction": "''; --"},
		"message_types": {"message_1": "one@", "message_2": "two''"}}');
SELECT FROM campaign_alter('ill " '' @ %s', 'time_zone', 'Europe/Paris');
SELECT FROM campaign_alter('ill " '' @ %s', 'interaction_message', '''; DROP TABLE x; -- @m.id@ $1 %s');
SELECT FROM campaign_alter('ill " '' @ %s', 'mode', 'active');
RESET ROLE;

-- Partitions, enums, domains; views, one of them with a trigger.
CREATE SCHEMA kinds AUTHORIZATION fuzz_anna;
SET ROLE fuzz_anna;
SET search_path = kinds, public, "ext @ %s $1";
CREATE TYPE state AS ENUM ('sending', 'completed', 'failed', 'paused');
CREATE DOMAIN word AS text CHECK (VALUE ~ '^[a-z_0-9]+$');
CREATE DOMAIN number AS integer CHECK (VALUE < 1000000);
CREATE TABLE campaigns (id number PRIMARY KEY, status state NOT NULL, created_at timestamptz NOT NULL, started_at timestamptz, completed_at timestamptz,
	total_recipients int, interaction_timeout interval, campaign_timeout interval, completion_rule text, pending_count smallint);
CREATE TABLE messages (id bigserial, campaign_id integer NOT NULL, contact_id bigint, message_type word, status word, error_message varchar(40), sent_at timestamptz,
	created_at timestamptz DEFAULT '2025-03-01Z', updated_at timestamptz, PRIMARY KEY (campaign_id, id)) PARTITION BY LIST (campaign_id);
CREATE TABLE messages_1 PARTITION OF messages FOR VALUES IN (1, 2);
CREATE TABLE messages_2 PARTITION OF messages DEFAULT;
CREATE TABLE replies (campaign_id integer, contact_id bigint, received_at timestamptz);
INSERT INTO campaigns (id, status, created_at, interaction_timeout, campaign_timeout, completion_rule)
SELECT n, 'sending', '2025-03-01Z', CASE n WHEN 3 THEN '1 hour'::interval END, CASE n WHEN 4 THEN '2 hours'::interval END, CASE n WHEN 5 THEN 'messages' END
FROM generate_series(1, 5) AS n;
INSERT INTO messages (campaign_id, contact_id, message_type, status, sent_at)
SELECT c, n, 'message_1', (ARRAY['pending', 'sent', 'read', 'failed'])[1 + (c + n) % 4], '2025-03-01 00:01Z' FROM generate_series(1, 5) AS c, generate_series(1, 3) AS n;
SELECT FROM campaign_attach('kinds', 'campaigns', 'messages', 'replies', labels => '{"message_types": {"message_2": ["message_2", "message_3"]}}');
SELECT FROM campaign_alter('kinds', 'mode', 'active');
SELECT FROM campaign_alter('kinds', 'late_interactions', 'ignore');
CREATE TABLE c (id uuid PRIMARY KEY, status text, created_at timestamptz, completed_at timestamptz);
CREATE TABLE m (id int PRIMARY KEY, campaign_id uuid, contact_id int, message_type text, status text, sent_at timestamptz);
INSERT INTO c SELECT ('cafe0000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'sending', '2025-03-01Z' FROM generate_series(1, 3) AS n;
INSERT INTO m SELECT n, ('cafe0000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 1, 'message_1', (ARRAY['failed', 'sent', 'pending'])[n], '2025-03-01Z' FROM generate_series(1, 3) AS n;
CREATE VIEW campaign_view AS SELECT id, status, created_at, completed_at FROM c;
CREATE VIEW message_view AS SELECT m.* FROM m JOIN c ON c.id = m.campaign_id;
CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE kinds.m SET status = NEW.status WHERE id = OLD.id;
	RETURN NEW;
END $$;
CREATE TRIGGER instead INSTEAD OF UPDATE ON message_view FOR EACH ROW EXECUTE FUNCTION instead();
SELECT FROM campaign_attach('views', 'campaign_view', 'message_view');
SELECT FROM campaign_alter('views', 'mode', 'active');

-- Tables that refuse, an on_event function that fails, a source at fault, one
-- in shadow mode, one under row-level security.
CREATE TABLE refusing_c (id int PRIMARY KEY, status text, created_at timestamptz);
CREATE TABLE refusing_m (id int PRIMARY KEY, campaign_id int, contact_id int, status text);
INSERT INTO refusing_c SELECT n, 'sending', '2025-03-01Z' FROM generate_series(1, 3) AS n;
INSERT INTO refusing_m VALUES (1, 1, 1, 'failed'), (2, 2, 1, 'pending'), (3, 3, 1, 'failed');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.id = 1 THEN
		RAISE 'Secret of fuzz_anna';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON refusing_c FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE FUNCTION failing(event jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'Secret of fuzz_anna'; END $$;
SELECT FROM campaign_attach('refusing', 'refusing_c', 'refusing_m');
SELECT FROM campaign_alter('refusing', 'on_event', 'kinds.failing');
SELECT FROM campaign_alter('refusing', 'mode', 'active');
SELECT FROM campaign_check_timeout('refusing', '2025-03-04Z');
CREATE TABLE lost_c (LIKE refusing_c);
CREATE TABLE lost_m (LIKE refusing_m);
SELECT FROM campaign_attach('lost', 'lost_c', 'lost_m');
DROP TABLE lost_c;
CREATE TABLE shadow_c (LIKE refusing_c);
CREATE TABLE shadow_m (LIKE refusing_m);
INSERT INTO shadow_c SELECT * FROM refusing_c;
INSERT INTO shadow_m SELECT * FROM refusing_m;
SELECT FROM campaign_attach('shadow', 'shadow_c', 'shadow_m');
CREATE TABLE forced_c (LIKE refusing_c);
CREATE TABLE forced_m (LIKE refusing_m);
SELECT FROM campaign_attach('forced', 'forced_c', 'forced_m');
INSERT INTO forced_c SELECT * FROM refusing_c;
INSERT INTO forced_m SELECT * FROM refusing_m;
ALTER TABLE forced_m ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- not attached
CREATE TABLE free_c (LIKE refusing_c INCLUDING ALL);
CREATE TABLE free_m (LIKE refusing_m INCLUDING ALL);
INSERT INTO free_c SELECT * FROM refusing_c;
INSERT INTO free_m SELECT * FROM refusing_m;
RESET ROLE;
