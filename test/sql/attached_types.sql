-- Attached tables: keys of any type that can be compared, statuses and types of
-- messages in text, varchar, character, enums and domains, and several words for
-- one of the rules'.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/include/attached.sql
\set ECHO all

-- Tables with these types; as there are no campaigns yet the source is active.
CREATE PROCEDURE tables(source text, message_id text, contact_id text, sender_id text, status text, type text, kind text, contact text DEFAULT '%s', sender text DEFAULT NULL,
	labels jsonb DEFAULT '{}') LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format($sql$
		CREATE SCHEMA %1$I
			CREATE TABLE campaigns (id bigint PRIMARY KEY, status %5$s NOT NULL, created_at timestamptz, completed_at timestamptz, sent_count int, no_interaction_count int,
				failed_count int, pending_count int, interaction_count int)
			CREATE TABLE messages (id %2$s PRIMARY KEY, campaign_id int NOT NULL, contact_id %3$s, message_type %6$s, status %5$s, error_message text, created_at timestamptz,
				sent_at timestamptz, UNIQUE (campaign_id, contact_id, message_type))
			CREATE TABLE interactions (campaign_id bigint NOT NULL, contact_id %4$s, interaction_type %7$s, received_at timestamptz)
			CREATE INDEX ON interactions (campaign_id, contact_id)
			CREATE TABLE contacts (id %4$s, full_number text)
		$sql$, source, message_id, contact_id, sender_id, status, type, kind);
	PERFORM campaign_attach(source, format('%I.campaigns', source)::regclass, format('%I.messages', source)::regclass, format('%I.interactions', source)::regclass,
		format('%I.contacts', source)::regclass, '{}', labels);
	INSERT INTO application VALUES (source, format('%I.campaigns', source), format('%I.messages', source), format('%I.interactions', source), contact, coalesce(sender, contact));
END $$;

-- What becomes of plain types is what must become of all others.
CALL tables('plain', 'bigint', 'bigint', 'bigint', 'text', 'text', 'text');
CALL live('plain');
SELECT life_of('plain');

-- Two integers of different width, as the campaigns' keys are too.
CALL tables('integers', 'int', 'int', 'bigint', 'text', 'text', 'text');
CALL live('integers');
SELECT differences('plain', 'integers');

CALL tables('uuids', 'uuid', 'uuid', 'uuid', 'varchar', 'varchar(20)', 'varchar(10)', 'uuid');
CALL live('uuids');
SELECT differences('plain', 'uuids');

-- Text and varchar are of one family; here with collations that do not agree.
CALL tables('texts', 'text', 'varchar(20) COLLATE "C"', 'text COLLATE "POSIX"', 'varchar(20)', 'text', 'text', 'contact %s');
CALL live('texts');
SELECT differences('plain', 'texts');

-- What is equal is for the type to say: here letters of either case,
CREATE SCHEMA elsewhere;
CREATE EXTENSION citext SCHEMA elsewhere;
CALL tables('citexts', 'elsewhere.citext', 'elsewhere.citext', 'elsewhere.citext', 'elsewhere.citext', 'elsewhere.citext', 'elsewhere.citext', 'Contact %s', 'CONTACT %s',
	'{"campaigns": {"sending": ["Sending", "SENDING"]}, "messages": {"sent": "Sent"}, "message_types": {"message_1": "MESSAGE_1"}, "interactions": {"reply": "Reply"}}');
CALL live('citexts');
SELECT differences('plain', 'citexts');
-- ... numbers with and without decimals,
CALL tables('numerics', 'numeric', 'numeric', 'numeric(12, 2)', 'text', 'text', 'text', '%s', '%s.00');
CALL live('numerics');
SELECT differences('plain', 'numerics');
-- ... and what is padded with blanks.
CALL tables('padded', 'char(20)', 'char(12)', 'char(15)', 'char(16)', 'char(16)', 'char(16)', 'contact %s');
CALL live('padded');
SELECT differences('plain', 'padded');

-- Domains, also over enums, which PostgreSQL does not take for enums.
CREATE TYPE status AS ENUM ('sending', 'completed', 'pending', 'sent', 'delivered', 'read', 'failed', 'no_interaction');
CREATE TYPE type AS ENUM ('message_1', 'message_2');
CREATE DOMAIN number AS bigint CHECK (value > 0);
CREATE DOMAIN status_domain AS status CHECK (value IS NOT NULL);
CREATE DOMAIN type_domain AS type;
CREATE DOMAIN kind AS varchar(10) CHECK (value IN ('reply', 'reaction', 'seen'));
CALL tables('domains', 'number', 'number', 'bigint', 'status_domain', 'type_domain', 'kind');
CALL live('domains');
SELECT differences('plain', 'domains');

-- Several words for one of the rules', of which the enum may lack some; and
-- a status that no contact's message may have: nothing is ever "read" here.
CREATE TYPE word AS ENUM ('draft', 'running', 'resumed', 'done', 'broken', 'queued', 'accepted', 'sent', 'delivered', 'undelivered', 'bounced', 'silent', 'first', 'follow-up');
CREATE TYPE "an @odd 'kind" AS ENUM ('text', 'photo', 'like', 'seen');
CALL tables('words', 'bigint', 'bigint', 'bigint', 'word', 'word', '"an @odd ''kind"', labels =>
	'{"campaigns": {"sending": ["running", "resumed"], "completed": "done", "failed": ["broken", "cancelled"]},
	"messages": {"pending": ["queued", "accepted", "scheduled"], "read": ["delivered"], "delivered": null, "failed": ["undelivered", "bounced", "rejected"], "no_interaction": "silent", "ignored": "draft"},
	"message_types": {"message_1": "first", "message_2": "follow-up"}, "interactions": {"reply": ["text", "photo", "voice"], "reaction": ["like"]}}');
CALL live('words');
SELECT life_of('words');

-- Batches, resumed from contact to contact, in the order of their type.
DO $$ DECLARE source text; BEGIN FOR source IN SELECT a.source FROM application AS a LOOP CALL prepare_batches(source); END LOOP; END $$;
CALL campaign_run_sweeps(force => true);
SELECT batches('plain');
SELECT source, batches(source) FROM application WHERE batches(source) IS DISTINCT FROM batches('plain') ORDER BY source;

-- A contact's name for the log is one of those that there are: what is mapped to
-- the id of contacts, a telephone number say, may be there twice.
INSERT INTO plain.contacts VALUES (1, '+33 1'), (1, '+33 2');
SELECT log_messages FROM campaign_alter('plain', 'log_messages', 'true');
SELECT add_campaign('plain', 30, '2025-01-01 00:00Z'), message('plain', 30, 1, 1, 'sent', '2025-01-01 00:00Z');
SELECT campaigns_skipped, messages_marked FROM campaign_check_expired_interactions('plain', '2025-01-02 01:00Z');
SELECT log_messages FROM campaign_alter('plain', 'log_messages', 'false');

-- The trigger reads the same words, but not those of a type of which it does
-- not know what is equal: then the sweeps do without.
CREATE PROCEDURE hints(source text, INOUT insert text DEFAULT '', INOUT send text DEFAULT '', INOUT fail text DEFAULT '') LANGUAGE plpgsql AS $$
BEGIN
	CALL hint(source, 11, '', 'pending', insert);
	CALL hint(source, 12, 'pending', 'sent', send);
	CALL hint(source, 13, 'sent', 'failed', fail);
END $$;
CALL hints('plain');
CALL hints('uuids');
CALL hints('padded');
CALL hints('domains');
CALL hints('words');
CALL hints('citexts');

--
-- What becomes of an enum is noticed, also by plans that are kept
--

CREATE FUNCTION tally(source text) RETURNS text LANGUAGE sql AS
	$$ SELECT format('%s: %s pending, %s sent, %s failed', status, pending_count, sent_count, failed_count) FROM campaign_update_status(4, source) $$;
DELETE FROM words.campaigns;
SELECT add_campaign('words', 4, now());
INSERT INTO words.messages (id, campaign_id, contact_id, message_type, status)
SELECT row_number() OVER (), 4, row_number() OVER (), 'first', s::word FROM unnest('{queued,accepted,sent,bounced,undelivered,draft}'::text[]) AS s;
SELECT tally('words');
-- A word that a label names, and that the enum gets only now.
ALTER TYPE word ADD VALUE 'scheduled';
INSERT INTO words.messages VALUES (7, 4, 7, 'first', 'scheduled');
SELECT tally('words');
ALTER TYPE word ADD VALUE 'rejected';
CALL hint('words', 21, 'pending', 'rejected');
-- A word that no label names counts as pending; it comes back.
ALTER TYPE word RENAME VALUE 'sent' TO 'gone';
SELECT tally('words');
ALTER TYPE word RENAME VALUE 'gone' TO 'sent';
SELECT tally('words');
-- The status of the campaign itself.
ALTER TYPE word RENAME VALUE 'resumed' TO 'rushing';
SELECT campaigns_checked FROM campaign_check_sending('words');
ALTER TYPE word RENAME VALUE 'rushing' TO 'resumed';
SELECT campaigns_checked FROM campaign_check_sending('words');
-- The type itself is renamed, and moved; that of the keys is moved.
ALTER TYPE word RENAME TO "Word";
SELECT tally('words');
ALTER TYPE "Word" SET SCHEMA elsewhere;
SELECT tally('words');
ALTER DOMAIN type_domain RENAME TO kind_of_message;
ALTER TYPE status SET SCHEMA elsewhere;
SELECT judge('domains', 1, '2025-01-05 00:00:01Z');
SELECT judge('citexts', 1, '2025-01-05 00:00:01Z');
ALTER EXTENSION citext SET SCHEMA public;
SELECT judge('citexts', 1, '2025-01-05 00:00:01Z');
