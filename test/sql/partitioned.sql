-- Partitioned messages and interactions: what is not as with plain tables.  That
-- all else is, the suite "partitions" shows, which runs the other tests on them.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

CREATE TABLE campaigns (id int PRIMARY KEY, status text NOT NULL, created_at timestamptz NOT NULL, started_at timestamptz, resumed_at timestamptz,
	completed_at timestamptz, sent_count int, no_interaction_count int);
CREATE INDEX ON campaigns (id) WHERE status = 'sending';
-- by hash of the campaign
CREATE TABLE messages (campaign_id int NOT NULL REFERENCES campaigns, id int, contact_id int, message_type text NOT NULL DEFAULT 'message_1',
	status text NOT NULL, sent_at timestamptz, created_at timestamptz NOT NULL DEFAULT '2025-01-01 00:00Z', note text,
	PRIMARY KEY (campaign_id, id), UNIQUE (campaign_id, contact_id, message_type)) PARTITION BY HASH (campaign_id);
CREATE TABLE messages_0 PARTITION OF messages FOR VALUES WITH (MODULUS 4, REMAINDER 0);
CREATE TABLE messages_1 PARTITION OF messages FOR VALUES WITH (MODULUS 4, REMAINDER 1);
CREATE TABLE messages_2 PARTITION OF messages FOR VALUES WITH (MODULUS 4, REMAINDER 2);
CREATE TABLE messages_3 PARTITION OF messages FOR VALUES WITH (MODULUS 4, REMAINDER 3);
CREATE TABLE interactions (campaign_id int NOT NULL, contact_id int NOT NULL, interaction_type text NOT NULL) PARTITION BY HASH (campaign_id);
CREATE TABLE interactions_0 PARTITION OF interactions FOR VALUES WITH (MODULUS 4, REMAINDER 0);
CREATE TABLE interactions_1 PARTITION OF interactions FOR VALUES WITH (MODULUS 4, REMAINDER 1);
CREATE TABLE interactions_2 PARTITION OF interactions FOR VALUES WITH (MODULUS 4, REMAINDER 2);
CREATE TABLE interactions_3 PARTITION OF interactions FOR VALUES WITH (MODULUS 4, REMAINDER 3);
CREATE INDEX ON interactions (campaign_id, contact_id);
SELECT source, mode FROM campaign_attach('hashed', 'campaigns', 'messages', 'interactions');
SELECT check_name, detail FROM campaign_preflight('hashed') WHERE NOT ok;

-- A campaign with this many contacts, who have this status.
CREATE PROCEDURE campaign(campaign int, contacts int DEFAULT 12, status text DEFAULT 'sent', start timestamptz DEFAULT '2025-01-01 00:00Z') LANGUAGE sql AS $$
	INSERT INTO campaigns (id, status, created_at) VALUES (campaign, 'sending', start);
	INSERT INTO messages (campaign_id, id, contact_id, status, sent_at, created_at)
	SELECT campaign, n, n, campaign.status, CASE WHEN campaign.status <> 'pending' THEN start END, start FROM generate_series(1, contacts) AS n;
$$;

--
-- Each statement reads the one partition of its campaign
--

-- Which partitions a call scans; five of them, so that a plan has come to be a
-- generic one where it may.
CREATE FUNCTION scans() RETURNS TABLE (relname name, n bigint) LANGUAGE sql VOLATILE AS $$
	SELECT relname, coalesce(seq_scan, 0) + coalesce(idx_scan, 0) FROM pg_stat_xact_user_tables
$$;
CREATE FUNCTION home(campaign int) RETURNS text LANGUAGE sql AS $$
	SELECT right(p::text, 1) FROM unnest('{messages_0,messages_1,messages_2,messages_3}'::regclass[]) AS p
	WHERE satisfies_hash_partition('messages'::regclass, 4, right(p::text, 1)::int, campaign)
$$;
CREATE FUNCTION scanned_by(statement text, campaign int) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	before jsonb;
BEGIN
	SELECT jsonb_object_agg(relname, n) INTO before FROM scans();
	FOR i IN 1 .. 7 LOOP
		EXECUTE statement;
	END LOOP;
	RETURN QUERY SELECT CASE WHEN right(relname, 1) = home(campaign) THEN left(relname, -2) || ' of the campaign' ELSE relname || ' of another' END
	FROM scans() WHERE relname ~ '^(messages|interactions)_' AND n > coalesce((before ->> relname)::bigint, 0) ORDER BY 1;
END $$;

BEGIN;
-- nothing but one campaign is open, and nothing is as it was afterwards
CALL campaign(1);
INSERT INTO interactions VALUES (1, 1, 'reply');
ANALYZE campaigns, messages, interactions;
SELECT scanned_by('SELECT campaign_update_status(1, as_of => ''2025-01-01 01:00Z'')', 1);
SELECT scanned_by('SELECT campaign_check_sending(as_of => ''2025-01-01 01:00Z'')', 1);
SELECT scanned_by('SELECT campaign_recover_interrupted(as_of => ''2025-01-01 01:00Z'')', 1);
SELECT scanned_by('SELECT campaign_check_expired_interactions(as_of => ''2025-01-03 00:00Z'')', 1);
UPDATE messages SET status = 'pending' WHERE contact_id = 2;
SELECT scanned_by('SELECT campaign_explain(1, as_of => ''2025-01-01 01:00Z'')', 1);
SELECT scanned_by('SELECT campaign_preview(as_of => ''2025-01-04 00:00Z'')', 1);
SELECT scanned_by('SELECT * FROM campaign_progress(''hashed'', ''2025-01-04 00:00Z'')', 1);
SELECT scanned_by('SELECT campaign_check_timeout(as_of => ''2025-01-04 00:00Z'')', 1);
SELECT scanned_by('SELECT campaign_verify(1)', 1);
SELECT scanned_by('SELECT campaign_reopen(1, ''once more'', as_of => ''2025-01-04 00:00Z''), campaign_close(1, ''enough'', as_of => ''2025-01-04 00:00Z'')', 1);
SELECT status, sent_count, no_interaction_count FROM campaigns;
ROLLBACK;

-- So do the statements that only a host executes: by witness, in batches; in tables
-- that are not so small that they had better be read whole.
INSERT INTO campaigns (id, status, created_at) SELECT n, 'completed', '2024-01-01 00:00Z' FROM generate_series(1001, 1040) AS n;
INSERT INTO messages (campaign_id, id, contact_id, status, sent_at) SELECT c, n, n, 'sent', '2024-01-01 00:00Z' FROM generate_series(1001, 1040) AS c, generate_series(1, 500) AS n;
SELECT batch_size FROM campaign_alter('hashed', 'batch_size', '5');
CALL campaign(1, 12, 'sent', now() - interval '30 hours');
CALL campaign(2, 12, 'sent', now() - interval '1 hour');
ANALYZE campaigns, messages, interactions;
SELECT pg_stat_force_next_flush();
SELECT home(1) <> home(2) AS "in two partitions";
CREATE TABLE before AS SELECT relname, seq_scan + idx_scan AS n FROM pg_stat_user_tables WHERE relname ~ '^messages_';
CALL campaign_run_sweeps('hashed', force => true);
CALL campaign_run_sweeps('hashed', force => true);
SELECT pg_stat_force_next_flush();
SELECT CASE right(relname, 1) WHEN home(1) THEN 'of campaign 1' WHEN home(2) THEN 'of campaign 2' ELSE 'of another' END FROM pg_stat_user_tables AS s JOIN before AS b USING (relname)
WHERE seq_scan + idx_scan > n ORDER BY 1;
SELECT campaign_id, event, details -> 'messages' AS messages FROM campaign_event ORDER BY id;
SELECT id, status, sent_count, no_interaction_count FROM campaigns WHERE id < 1000 ORDER BY id;
DELETE FROM messages; DELETE FROM campaigns;

--
-- The trigger of each partition
--

CREATE VIEW clones AS SELECT tgrelid::regclass AS "on", tgenabled, tgparentid <> 0 AS clone FROM pg_trigger WHERE tgname = 'campaign_autoclose' ORDER BY 1;
SELECT * FROM clones;
CREATE FUNCTION hinted() RETURNS bigint LANGUAGE sql AS $$ SELECT hints_waiting FROM campaign_worker WHERE process = 'launcher' $$;
-- What comes in later has one too; what is taken out has none any more.
CREATE TABLE messages_late (LIKE messages_0 INCLUDING ALL);
ALTER TABLE messages DETACH PARTITION messages_3;
SELECT * FROM clones;
ALTER TABLE messages ATTACH PARTITION messages_late FOR VALUES WITH (MODULUS 4, REMAINDER 3);
SELECT * FROM clones;
SELECT home(n) = '3' FROM generate_series(1, 20) AS n WHERE satisfies_hash_partition('messages'::regclass, 4, 3, n) LIMIT 1;
SELECT n AS late FROM generate_series(1, 20) AS n WHERE satisfies_hash_partition('messages'::regclass, 4, 3, n) LIMIT 1 \gset
SELECT hinted() AS hinted \gset
CALL campaign(:late, 1);
UPDATE messages_late SET status = 'failed';
SELECT hinted() - :hinted AS "hints of the new partition";
-- One that was taken out is nobody's.
SELECT hinted() AS hinted \gset
INSERT INTO messages_3 (campaign_id, id, contact_id, status) VALUES (:late, 9, 9, 'failed');
SELECT hinted() - :hinted AS "of the one that is out";
DROP TABLE messages_3;
-- A row that is moved by an UPDATE of its key is out of one campaign and in
-- another: both are worth a look.
SELECT n AS other FROM generate_series(1, 20) AS n WHERE satisfies_hash_partition('messages'::regclass, 4, 0, n) LIMIT 1 \gset
CALL campaign(:other, 0);
SELECT hinted() AS hinted \gset
UPDATE messages SET campaign_id = :other WHERE campaign_id = :late;
SELECT hinted() > :hinted AS "of a row that was moved";
SELECT status, changed FROM campaign_update_status(:other, as_of => '2025-01-01 01:00Z');

-- Disabled on one partition, it tells of the others only; that is no reliance.
SELECT check_name, ok, detail, fix FROM campaign_preflight('hashed') WHERE check_name = 'trigger';
SELECT ok, detail, fix FROM campaign_health('hashed') WHERE check_name = 'trigger';
ALTER TABLE messages_2 DISABLE TRIGGER campaign_autoclose;
SELECT check_name, ok, detail, fix FROM campaign_preflight('hashed') WHERE check_name = 'trigger';
SELECT ok, detail, fix FROM campaign_health('hashed') WHERE check_name = 'trigger';
ALTER TABLE messages_2 ENABLE TRIGGER campaign_autoclose;
SELECT ok, detail, fix FROM campaign_health('hashed') WHERE check_name = 'trigger';
-- of all of them, it is said of the table
ALTER TABLE messages DISABLE TRIGGER campaign_autoclose;
SELECT ok, detail, fix FROM campaign_health('hashed') WHERE check_name = 'trigger';
ALTER TABLE messages ENABLE TRIGGER campaign_autoclose;
SELECT ok, detail, fix FROM campaign_preflight('hashed') WHERE check_name = 'trigger';
DELETE FROM messages; DELETE FROM campaigns;

-- A campaign of which a partition's own trigger may raise an error is not marked
-- in passes, as it must be left as it was.
SELECT batch_size FROM campaign_alter('hashed', 'batch_size', '5000');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
CALL campaign(:other, 1200, 'sent', now() - interval '30 hours');
CALL campaign_run_sweeps('hashed', force => true);
SELECT details -> 'messages' > '100' AS "in passes" FROM campaign_event WHERE event = 'expired' AND campaign_id = :'other' ORDER BY id;
UPDATE messages SET status = 'sent';
UPDATE campaigns SET status = 'sending', completed_at = NULL;
CREATE TRIGGER refuse BEFORE UPDATE ON messages_0 FOR EACH ROW WHEN (OLD.id = 1200) EXECUTE FUNCTION refuse();
SET client_min_messages = error;
CALL campaign_run_sweeps('hashed', force => true);
SET client_min_messages = warning;
SELECT status, count(*) FROM messages GROUP BY 1;
DROP TRIGGER refuse ON messages_0;
DELETE FROM messages; DELETE FROM campaigns;

--
-- Partitions that are detached and attached
--

SELECT campaign_detach('hashed');
DROP TABLE messages, interactions;
CREATE TABLE messages (id int, campaign_id int NOT NULL, contact_id int, message_type text NOT NULL DEFAULT 'message_1', status text NOT NULL,
	sent_at timestamptz, created_at timestamptz NOT NULL DEFAULT '2025-01-01 00:00Z', PRIMARY KEY (id, created_at, message_type)) PARTITION BY RANGE (created_at);
CREATE INDEX ON messages (campaign_id, contact_id, message_type);
CREATE TABLE january PARTITION OF messages FOR VALUES FROM ('2025-01-01') TO ('2025-02-01');
CREATE TABLE february PARTITION OF messages FOR VALUES FROM ('2025-02-01') TO ('2025-03-01') PARTITION BY LIST (message_type);
CREATE TABLE february_1 PARTITION OF february FOR VALUES IN ('message_1');
CREATE TABLE february_rest PARTITION OF february DEFAULT;
CREATE TABLE rest PARTITION OF messages DEFAULT;
SELECT source, mode FROM campaign_attach('ranged', 'campaigns', 'messages', labels => '{"messages": {"no_interaction": "no_interaction"}}');
SELECT check_name, detail FROM campaign_preflight('ranged') WHERE NOT ok;
SELECT * FROM clones;

-- rows of one campaign in four partitions
INSERT INTO campaigns (id, status, created_at) VALUES (1, 'sending', '2025-01-31 00:00Z');
INSERT INTO messages (id, campaign_id, contact_id, message_type, status, sent_at, created_at) VALUES
	(1, 1, 1, 'message_1', 'sent', '2025-01-31 00:00Z', '2025-01-31 00:00Z'), (2, 1, 2, 'message_1', 'sent', '2025-02-01 00:00Z', '2025-02-01 00:00Z'),
	(3, 1, 2, 'message_2', 'pending', NULL, '2025-02-01 01:00Z'), (4, 1, 3, 'message_1', 'sent', '2025-01-31 00:00Z', '2024-12-31 00:00Z');
SELECT messages_marked FROM campaign_check_expired_interactions(as_of => '2025-02-01 01:00Z');
SELECT tableoid::regclass, id, status FROM messages ORDER BY id;
-- What is detached is not there; what is left decides.
SELECT status, pending_count, contacts FROM campaign_update_status(1, as_of => '2025-02-01 02:00Z');
ALTER TABLE messages DETACH PARTITION february;
SELECT status, pending_count, contacts FROM campaign_update_status(1, as_of => '2025-02-01 02:00Z');
-- What is attached is found by a call, as after any change that no trigger tells of.
ALTER TABLE messages ATTACH PARTITION february FOR VALUES FROM ('2025-02-01') TO ('2025-03-01');
SELECT campaigns_updated FROM campaign_check_sending(as_of => '2025-02-01 03:00Z');
SELECT status, pending_count, contacts FROM campaign_update_status(1, as_of => '2025-02-01 03:00Z');
SELECT event, status_to FROM campaign_event WHERE source = 'ranged' ORDER BY id;
-- A message that is moved to another partition, by a change of its moment
UPDATE messages SET created_at = '2025-03-01 00:00Z', status = 'failed' WHERE id = 3;
SELECT tableoid::regclass, id, status FROM messages ORDER BY id;
SELECT campaigns_closed, messages_marked FROM campaign_check_expired_interactions(as_of => '2025-02-02 00:00:01Z');
SELECT status, sent_count, no_interaction_count FROM campaigns;

-- A partition cannot be a source's too.
ALTER TABLE messages DETACH PARTITION february;
CREATE TABLE more (LIKE campaigns INCLUDING ALL);
SELECT source, mode FROM campaign_attach('part', 'more', 'february');
SELECT campaign_detach('part');
ALTER TABLE messages ATTACH PARTITION february FOR VALUES FROM ('2025-02-01') TO ('2025-03-01');
\set VERBOSITY terse
SELECT source, mode FROM campaign_attach('part', 'more', 'february');
\set VERBOSITY default

-- The children of a table that is inherited from have no clones: nothing relies on
-- hints there.
CREATE TABLE parent (id int PRIMARY KEY, campaign_id int, contact_id int, status text);
CREATE TABLE child () INHERITS (parent);
CREATE INDEX ON parent (campaign_id, contact_id);
SELECT source, mode FROM campaign_attach('inherited', 'more', 'parent');
SELECT ok, detail, fix FROM campaign_preflight('inherited') WHERE check_name = 'trigger';
SELECT ok, detail, fix FROM campaign_health('inherited') WHERE check_name = 'trigger';
INSERT INTO more (id, status, created_at) VALUES (1, 'sending', '2025-01-01 00:00Z');
INSERT INTO child VALUES (1, 1, 1, 'failed');
SELECT status, failed_count FROM campaign_update_status(1, 'inherited', '2025-01-01 01:00Z');
