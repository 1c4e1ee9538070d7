-- Attaching under rough use: names that are SQL, templates and formats themselves,
-- JSON of any form, tables that change afterwards, and SQL that mends each finding.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
SET timezone = 'UTC';
SET DateStyle = 'ISO';
\pset null -
\set SHOW_CONTEXT never
CREATE SCHEMA rough;
SET search_path = rough, public;

-- the SQL that mends what a check has found, as it is given
CREATE VIEW fixes AS
	SELECT s.source, p.check_name, p.detail, p.fix, p.n
	FROM campaign_source AS s, campaign_preflight(s.source) WITH ORDINALITY AS p(check_name, ok, detail, fix, n) WHERE NOT ok;

--
-- Names: quotes, spaces, "@" of our templates, "%" of formats, "$1" of parameters, backslashes, 63 bytes, other scripts
--
CREATE TABLE "ru""ns @m.id@ %s $1 '" (
	"i@d %s" int PRIMARY KEY,
	"st""a@tus $1" text NOT NULL,
	"made' @ \" timestamptz NOT NULL,
	"done@" timestamptz,
	"né%d" int,
	"a@23456789012345678901234567890123456789012345678901234567890é" timestamptz
);
CREATE TABLE "m@ %d" (
	"@" int PRIMARY KEY,
	"c@amp" int,
	"con%stact@m.id@" text,
	"ty@pe" text NOT NULL DEFAULT 'm@1',
	"status@" text NOT NULL,
	"err@" text,
	"s@ent" timestamptz
);
CREATE TABLE "i@" ("c@" int, "k@" text, "t@" text, "r@" timestamptz);
INSERT INTO "ru""ns @m.id@ %s $1 '" VALUES (0, '@', '2026-01-01');
INSERT INTO "m@ %d" VALUES (0, 0, '0', 'm@1', 'unheard @m.id@ of');
SELECT source, mode, campaigns, messages, interactions, attached_names FROM campaign_attach(
	'so''u"r@ce %s \ $1', '"ru""ns @m.id@ %s $1 ''"', '"m@ %d"', '"i@"',
	columns => '{
		"campaigns": {"id": "i@d %s", "status": "st\"a@tus $1", "created_at": "made'' @ \\", "completed_at": "done@", "sent_count": "né%d",
			"updated_at": "a@23456789012345678901234567890123456789012345678901234567890é"},
		"messages": {"id": "@", "campaign_id": "c@amp", "contact_id": "con%stact@m.id@", "message_type": "ty@pe", "status": "status@",
			"error_message": "err@", "sent_at": "s@ent"},
		"interactions": {"campaign_id": "c@", "contact_id": "k@", "interaction_type": "t@", "received_at": "r@"}}',
	labels => '{
		"campaigns": {"sending": "s''en@d\\ing \"x", "completed": "@", "failed": "%s"},
		"messages": {"pending": ["@m.id@", "$1"], "sent": "''''", "delivered": "\\", "no_interaction": "no@", "failed": "f@"},
		"message_types": {"message_1": "m@1", "message_2": "m@2"},
		"interactions": {"reply": "@c.id@", "reaction": "%n"}}');
SELECT check_name, detail, fix FROM fixes ORDER BY n;
SELECT fix FROM fixes WHERE check_name = 'indexes' ORDER BY n \gexec
\pset format unaligned
SELECT replace(fix, 'SELECT', 'SELECT mode FROM') FROM fixes WHERE check_name = 'message statuses' \gexec
SELECT split_part(fix, '; ', 1), replace(split_part(fix, '; ', 2), 'SELECT', 'SELECT mode FROM') FROM fixes WHERE check_name = 'launch' \gexec
\pset format aligned
SELECT check_name, detail, fix FROM fixes ORDER BY n;
INSERT INTO "ru""ns @m.id@ %s $1 '" VALUES (1, 's''en@d\ing "x', '2026-01-03'), (2, 's''en@d\ing "x', '2026-01-01');
INSERT INTO "m@ %d" VALUES (1, 1, 'a', 'm@1', '''''', NULL, '2026-01-02'), (2, 1, 'b', 'm@1', '''''', NULL, '2026-01-02'), (3, 2, 'b', 'm@1', '@m.id@', NULL, NULL);
INSERT INTO "i@" VALUES (1, 'a', '@c.id@', '2026-01-02');
SELECT * FROM campaign_preview(as_of => '2026-01-04');
SELECT messages_marked FROM campaign_check_expired_interactions(as_of => '2026-01-04');
SELECT campaigns_closed FROM campaign_check_timeout(as_of => '2026-01-04');
SELECT "i@d %s", "st""a@tus $1", "done@", "né%d" FROM "ru""ns @m.id@ %s $1 '" ORDER BY 1;
SELECT "@", "status@" FROM "m@ %d" ORDER BY 1;
-- what a name is quoted like in the advice of an error
SELECT campaign_attach('so''u"r@ce %s \ $1', '"ru""ns @m.id@ %s $1 ''"', '"m@ %d"');
SELECT campaign_attach('another', '"ru""ns @m.id@ %s $1 ''"', '"m@ %d"');
ALTER TABLE "m@ %d" RENAME "con%stact@m.id@" TO "contact\""@m.id@";
SELECT campaign_update_status(1);
SELECT campaign_detach('so''u"r@ce %s \ $1');

--
-- JSON of any form, and no tables at all
--
CREATE TABLE c (id int PRIMARY KEY, status text NOT NULL, created_at timestamptz NOT NULL, completed_at timestamptz);
CREATE TABLE m (id int PRIMARY KEY, campaign_id int, contact_id text, message_type text, status text, error_message text, sent_at timestamptz);
SELECT campaign_attach('s', 'c', 'm', columns => '3');
SELECT campaign_attach('s', 'c', 'm', columns => 'null', labels => '"x"');
SELECT campaign_attach('s', 'c', 'm', columns => '{"messages": null, "campaigns": []}', labels => '{"messages": null}');
SELECT campaign_attach('s', 'c', 'm',
	columns => '{"campaigns": {"id": null, "status": null, "created_at": null}, "messages": {"id": null, "campaign_id": null, "contact_id": null, "status": null}}',
	labels => '{"campaigns": {"sending": null, "completed": null, "failed": []}, "messages": {"pending": [], "sent": [null], "failed": [[]]}, "message_types": {"message_1": null}}');
SELECT campaign_attach('s', '-', 'm');
SELECT campaign_attach('s', 'c', '-');
-- one column for two things, of which we write one
SELECT campaign_attach('s', 'c', 'm', columns => '{"campaigns": {"completed_at": "created_at"}}');
-- nothing to say, in other ways
SELECT mode FROM campaign_attach('s', 'c', 'm', '-', NULL, NULL, NULL);
SELECT campaign_detach('s');
-- more words than anybody has
SELECT mode FROM campaign_attach('s', 'c', 'm', labels => (SELECT jsonb_build_object('messages', jsonb_build_object('pending', jsonb_agg('word ' || i))) FROM generate_series(1, 2000) AS i));
INSERT INTO c VALUES (1, 'sending', '2026-01-01');
INSERT INTO m VALUES (1, 1, 'a', 'message_1', 'word 1999');
SELECT status, pending_count FROM campaign_update_status(1, as_of => '2026-01-01');
SELECT campaign_detach('s');
DELETE FROM m;
DELETE FROM c;

--
-- Undone with the transaction, or the savepoint; under an old snapshot
--
BEGIN;
SELECT mode FROM campaign_attach('s', 'c', 'm');
SELECT count(*) FROM campaign_preflight('s');
ROLLBACK;
SELECT * FROM campaign_preflight('s');
BEGIN;
SAVEPOINT before;
SELECT mode FROM campaign_attach('s', 'c', 'm', labels => '{"campaigns": {"sending": "going"}}');
ROLLBACK TO before;
SELECT mode FROM campaign_attach('s', 'c', 'm');
COMMIT;
SELECT labels FROM campaign_source;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'm'::regclass;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT campaign_detach('s');
SELECT mode FROM campaign_attach('s', 'c', 'm');
COMMIT;

--
-- A source that is held, as its table's name is another's now
--
ALTER TABLE m RENAME TO m_old;
CREATE TABLE m (x int);
SELECT check_name, detail, fix FROM fixes ORDER BY n;
SELECT labels FROM campaign_alter('s', 'labels', '{"messages": {"pending": "queued"}}');
SELECT columns -> 'messages' AS messages FROM campaign_alter('s', 'columns', '{"messages": {"error_message": null}}');
SELECT attached_names FROM campaign_alter('s', 'mode', 'active');
DROP TABLE m;
-- tables that are gone keep the names that they had
DROP TABLE m_old;
SELECT mode FROM campaign_alter('s', 'mode', 'active');
SELECT labels FROM campaign_alter('s', 'labels', '{"messages": {"pending": "waiting"}}');
DROP TABLE c;
SELECT check_name, detail, fix FROM fixes ORDER BY n;
SELECT campaign_detach('s');

--
-- Changing "columns" and "labels" is checked like attaching
--
CREATE TABLE c (id int PRIMARY KEY, status text NOT NULL CHECK (status <> 'refused'), created_at timestamptz NOT NULL);
CREATE TABLE m (id int PRIMARY KEY, campaign_id int REFERENCES c, contact_id text, message_type text, status text, sent_at timestamp, number int);
CREATE TABLE i (campaign_id int, contact_id text, number point);
SELECT mode FROM campaign_attach('s', 'c', 'm', 'i', columns => '{"interactions": {"interaction_type": null}}');
-- without a time zone, too
SELECT labels FROM campaign_alter('s', 'labels', '{"campaigns": {"failed": "refused"}}');
SELECT campaign_alter('s', 'columns', '{"interactions": {"contact_id": "number"}}');
SELECT campaign_alter('s', 'columns', '{"messages": {"contact_id": "number"}}');
SELECT labels FROM campaign_alter('s', 'labels', '{"campaigns": {"failed": "failed"}}');
SELECT columns -> 'messages' AS messages FROM campaign_alter('s', 'columns', '{"messages": {"sent_at": null}}');
SELECT mode FROM campaign_alter('s', 'mode', 'active');
SELECT campaign_detach('s');

--
-- Keys that lead elsewhere, and yet belong
--
CREATE TABLE base (id int PRIMARY KEY, status text, created_at timestamptz, secret int);
CREATE TABLE mb (id int PRIMARY KEY, campaign_id int REFERENCES base, contact_id text, message_type text, status text);
CREATE VIEW shown AS SELECT id, status, created_at FROM base;
SELECT mode FROM campaign_attach('s', 'shown', 'mb');
SELECT check_name, fix FROM fixes WHERE check_name = 'launch';
SELECT campaign_detach('s');
CREATE TABLE runs (id int PRIMARY KEY REFERENCES base, status text, created_at timestamptz);
SELECT mode FROM campaign_attach('s', 'runs', 'mb');
SELECT campaign_detach('s');
CREATE TABLE other (id int PRIMARY KEY, status text, created_at timestamptz);
SELECT campaign_attach('s', 'other', 'mb');
-- the campaigns of the first thousand messages were deleted since
ALTER TABLE mb DROP CONSTRAINT mb_campaign_id_fkey;
INSERT INTO mb SELECT i, 7, i, 'message_1', 'sent' FROM generate_series(1, 1000) AS i;
INSERT INTO mb VALUES (1001, 8, 1, 'message_1', 'sent');
INSERT INTO other VALUES (8, 'completed', '2026-01-01');
SELECT mode FROM campaign_attach('s', 'other', 'mb');
SELECT campaign_detach('s');

--
-- Words: a short column that the trigger depends on, domains over domains, constraints of all kinds
--
CREATE TABLE cl (id int PRIMARY KEY, status text NOT NULL, created_at timestamptz NOT NULL);
CREATE TABLE ml (id int PRIMARY KEY, campaign_id int, contact_id text, message_type text, status char(9));
SELECT mode FROM campaign_attach('short', 'cl', 'ml');
SELECT detail, fix FROM fixes WHERE check_name = 'words' ORDER BY n;
\pset format unaligned
SELECT split_part(fix, '; ', 1), split_part(fix, '; ', 2), replace(split_part(fix, '; ', 3), 'SELECT', 'SELECT mode FROM') FROM fixes WHERE check_name = 'words' \gexec
\pset format aligned
SELECT detail, fix FROM fixes WHERE check_name IN ('words', 'trigger') ORDER BY n;
SELECT mode FROM campaign_alter('short', 'mode', 'active');
SELECT campaign_detach('short');

CREATE DOMAIN word AS text CONSTRAINT "a word" CHECK (VALUE IN ('sending', 'completed', 'x')) CONSTRAINT len CHECK (length(VALUE) < 8);
CREATE DOMAIN "State word" AS word CONSTRAINT known CHECK (VALUE <> 'failed');
ALTER DOMAIN "State word" ADD CONSTRAINT later CHECK (VALUE <> 'completed') NOT VALID;
CREATE TABLE cd (id int PRIMARY KEY, status "State word" NOT NULL, created_at timestamptz NOT NULL);
SELECT mode FROM campaign_attach('domains', 'cd', 'ml');
-- each word is refused by one after the other
SELECT detail, fix FROM fixes WHERE check_name = 'words' ORDER BY n;
SELECT fix FROM fixes WHERE check_name = 'words' ORDER BY n \gexec
SELECT detail, fix FROM fixes WHERE check_name = 'words' ORDER BY n;
SELECT fix FROM fixes WHERE check_name = 'words' ORDER BY n \gexec
SELECT detail, fix FROM fixes WHERE check_name = 'words' ORDER BY n;
SELECT campaign_detach('domains');

CREATE FUNCTION explode(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'never mind'; END $$;
CREATE TABLE cc (
	id int PRIMARY KEY,
	status text NOT NULL,
	created_at timestamptz NOT NULL,
	started_at timestamptz,
	completed_at timestamptz,
	kind text,
	CONSTRAINT launched CHECK (status <> 'sending' OR started_at IS NOT NULL),	-- not refused: we do not know
	CONSTRAINT typed CHECK (status <> 'completed' OR kind IS NOT NULL),
	CONSTRAINT "Done" CHECK ((status = 'completed') = (completed_at IS NOT NULL)),
	CONSTRAINT alone CHECK (status <> 'failed') NO INHERIT,
	CONSTRAINT explosive CHECK (status = 'completed' OR explode(kind))
);
INSERT INTO cc SELECT 1, 'completed', '2026-01-01', NULL, '2026-01-01', 'x';
ALTER TABLE cc ADD CONSTRAINT later CHECK (status <> 'completed') NOT VALID;
CREATE TABLE mc (id int, campaign_id int, contact_id text, message_type text, status text, error_message text,
	CONSTRAINT known CHECK (status IN ('pending', 'sent'))) PARTITION BY LIST (campaign_id);
-- the columns of a partition may be in another order
CREATE TABLE mc1 (junk int, status text, id int, campaign_id int, contact_id text, message_type text, error_message text,
	CONSTRAINT known CHECK (status IN ('pending', 'sent')), CONSTRAINT "o""wn" CHECK (status <> 'failed'));
ALTER TABLE mc1 DROP COLUMN junk;
ALTER TABLE mc ATTACH PARTITION mc1 FOR VALUES IN (1);
SELECT mode FROM campaign_attach('constraints', 'cc', 'mc');
SELECT detail, fix FROM fixes WHERE check_name IN ('words', 'indexes') ORDER BY n;
SELECT fix FROM fixes WHERE check_name IN ('words', 'indexes') ORDER BY n \gexec
SELECT detail, fix FROM fixes WHERE check_name IN ('words', 'indexes') ORDER BY n;
SELECT conrelid::regclass, conname, connoinherit, convalidated, coninhcount FROM pg_constraint
	WHERE conrelid IN ('cc'::regclass, 'mc'::regclass, 'mc1'::regclass) AND contype = 'c' AND conname IN ('known', 'o"wn', 'alone', 'later') ORDER BY conrelid::regclass::text, conname;

--
-- Views: what the tables below them refuse; not what an INSTEAD OF trigger may do
--
CREATE TABLE below (no int PRIMARY KEY, state text NOT NULL CONSTRAINT states CHECK (state IN ('sending', 'over')), made timestamptz NOT NULL, kind text);
CREATE VIEW above AS SELECT no AS id, state AS status, made AS created_at FROM below WHERE kind = 'x' WITH CHECK OPTION;
CREATE TABLE m_below (id int PRIMARY KEY, campaign_id int, contact_id int, message_type text, state varchar(5));
CREATE VIEW m_between AS SELECT message_type, state AS status, id, campaign_id, contact_id FROM m_below;
CREATE VIEW m_above AS SELECT * FROM m_between WHERE status <> 'failed' WITH LOCAL CHECK OPTION;
SELECT mode FROM campaign_attach('views', 'above', 'm_above');
SELECT detail, fix FROM fixes WHERE check_name = 'words' ORDER BY n;
SELECT campaign_detach('views');
CREATE FUNCTION write_below() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER write INSTEAD OF UPDATE ON above FOR EACH ROW EXECUTE FUNCTION write_below();
CREATE TRIGGER write INSTEAD OF UPDATE ON m_above FOR EACH ROW EXECUTE FUNCTION write_below();
SELECT mode FROM campaign_attach('views', 'above', 'm_above');
SELECT detail, fix FROM fixes WHERE check_name = 'words' ORDER BY n;
SELECT campaign_detach('views');

--
-- Partitions: each has the trigger as long as it is one; none can be attached besides
--
SELECT campaign_attach('part', 'cl', 'mc1');
ALTER TABLE mc DETACH PARTITION mc1;
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgname = 'campaign_autoclose' ORDER BY 1;
ALTER TABLE mc ATTACH PARTITION mc1 FOR VALUES IN (1);
CREATE TABLE mc2 PARTITION OF mc FOR VALUES IN (2);
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgname = 'campaign_autoclose' ORDER BY 1;
SELECT campaign_detach('constraints');
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgname = 'campaign_autoclose' ORDER BY 1;
SELECT mode FROM campaign_attach('part', 'cl', 'mc1');
SELECT campaign_attach('whole', 'cc', 'mc');
-- a partition's own trouble that is its parent's
ALTER TABLE mc ADD CONSTRAINT inherited CHECK (status <> 'no_interaction');
SELECT fix FROM fixes WHERE check_name = 'words' ORDER BY n \gexec
SELECT detail, fix FROM fixes WHERE check_name = 'words' ORDER BY n;
SELECT campaign_detach('part');

--
-- The trigger: gone, disabled, under another name
--
SELECT mode FROM campaign_attach('s', 'cl', 'ml');
ALTER TABLE ml DISABLE TRIGGER campaign_autoclose;
SELECT detail, fix FROM fixes WHERE check_name = 'trigger';
SELECT fix FROM fixes WHERE check_name = 'trigger' \gexec
ALTER TRIGGER campaign_autoclose ON ml RENAME TO "My Trigger";
SELECT count(*) FROM fixes WHERE check_name = 'trigger';
ALTER TABLE ml DISABLE TRIGGER "My Trigger";
SELECT detail, fix FROM fixes WHERE check_name = 'trigger';
SELECT fix FROM fixes WHERE check_name = 'trigger' \gexec
DROP TRIGGER "My Trigger" ON ml;
SELECT detail, fix FROM fixes WHERE check_name = 'trigger';
SELECT replace(fix, 'SELECT', 'SELECT mode FROM') FROM fixes WHERE check_name = 'trigger' \gexec
SELECT count(*) FROM fixes WHERE check_name = 'trigger';
SELECT campaign_detach('s');

--
-- Rights: the owner may not even use the schema; a member of the owner may attach
--
CREATE ROLE rough_owner;
CREATE ROLE rough_member IN ROLE rough_owner;
CREATE ROLE rough_reader;
CREATE SCHEMA closed;
CREATE TABLE closed.c (LIKE cl INCLUDING ALL);
CREATE TABLE closed.m (LIKE ml INCLUDING ALL);
ALTER TABLE closed.c OWNER TO rough_owner;
ALTER TABLE closed.m OWNER TO rough_owner;
SELECT mode FROM campaign_attach('closed', 'closed.c', 'closed.m');
SELECT detail, fix FROM fixes WHERE check_name = 'rights';
SELECT fix FROM fixes WHERE check_name = 'rights' \gexec
SELECT detail, fix FROM fixes WHERE check_name = 'rights';
-- functions in constraints run with the owner's rights, whoever asks
CREATE FUNCTION tell(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'here is %', current_user; RETURN true; END $$;
ALTER TABLE closed.c ADD CONSTRAINT tells CHECK (tell(status));
GRANT USAGE ON SCHEMA rough TO rough_owner, rough_reader;
GRANT USAGE ON SCHEMA closed TO rough_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA closed TO rough_reader;
SELECT count(*) FROM campaign_preflight('closed') WHERE check_name = 'words' AND ok;
SET ROLE rough_reader;
SELECT count(*) FROM campaign_preflight('closed') WHERE check_name = 'words' AND ok;
RESET ROLE;
ALTER TABLE closed.c DROP CONSTRAINT tells;
SET ROLE rough_member;
SELECT campaign_detach('closed');
SELECT mode FROM campaign_attach('closed', 'closed.c', 'closed.m');
SELECT campaign_detach('closed');
RESET ROLE;
DROP SCHEMA closed CASCADE;

--
-- The extension in a schema that is on nobody's path
--
DROP VIEW fixes;
DROP EXTENSION campaign_autoclose;
SELECT tgname FROM pg_trigger WHERE tgname = 'campaign_autoclose';
CREATE SCHEMA "Ext@ %s";
CREATE EXTENSION campaign_autoclose SCHEMA "Ext@ %s";
SELECT mode FROM "Ext@ %s".campaign_attach('s', 'cl', 'ml');
\pset format unaligned
SELECT split_part(fix, '; ', 1), replace(split_part(fix, '; ', 2), 'SELECT', 'SELECT mode FROM') FROM "Ext@ %s".campaign_preflight('s') WHERE check_name = 'launch' \gexec
\pset format aligned
SELECT ok, detail, fix FROM "Ext@ %s".campaign_preflight('s') WHERE check_name = 'launch';
DROP EXTENSION campaign_autoclose;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'ml'::regclass;

SET client_min_messages = warning;
DROP SCHEMA rough CASCADE;
DROP SCHEMA "Ext@ %s";
DROP OWNED BY rough_owner, rough_member, rough_reader;
DROP ROLE rough_owner, rough_member, rough_reader;
