-- A dry run decides and does not act: its counts are those of the run that
-- follows, and it writes and locks nothing.
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
SELECT source, mode FROM campaign_create_tables();

-- Sorted alike everywhere; ids are made from names.
ALTER TABLE campaigns ALTER name TYPE text COLLATE "C";
CREATE FUNCTION id(name text) RETURNS uuid LANGUAGE sql IMMUTABLE AS
	$$ SELECT md5(name)::uuid $$;
-- A campaign for each case, with a word for each contact: the status of
-- Message 1 and, after a slash, that of Message 2.
CREATE PROCEDURE campaign(name text, contacts text DEFAULT '', status text DEFAULT 'sending',
	start timestamptz DEFAULT '2025-01-01 00:00+00') LANGUAGE sql AS $$
	INSERT INTO campaigns (id, name, status, created_at, started_at)
	VALUES (id(name), name, status, start, start);
	INSERT INTO contacts (id, full_number)
	SELECT id(n::text), n FROM generate_series(1, 10) AS n ON CONFLICT DO NOTHING;
	INSERT INTO messages (campaign_id, contact_id, message_type, status, created_at, sent_at)
	SELECT id(name), id(n::text), 'message_' || m, s, start, CASE WHEN s <> 'pending' THEN start END
	FROM string_to_table(contacts, ' ') WITH ORDINALITY AS c (word, n),
		string_to_table(word, '/') WITH ORDINALITY AS w (s, m);
$$;

-- Something for each sweep to do, and to leave.
CALL campaign('complete', 'read/sent failed');
CALL campaign('failed', 'failed failed');
CALL campaign('silent, closes', 'sent read failed');
CALL campaign('silent, stays open', 'sent delivered pending');
CALL campaign('replied', 'read read');
INSERT INTO interactions (campaign_id, contact_id, interaction_type)
SELECT id('replied'), id(n), 'reply' FROM unnest('{1,2}'::text[]) AS n;
CALL campaign('stalled', 'pending pending');
CALL campaign('empty');
CALL campaign('paused', 'sent pending', 'paused');
CALL campaign('draft', 'sent pending', 'draft');
CALL campaign('closed before, statistics late', 'failed');
CALL campaign('closed before, reopens', 'failed');
SELECT name, r.status FROM campaigns AS c, campaign_update_status(id, as_of => '2025-01-01 00:05+00') AS r
WHERE name ~ '^closed before' ORDER BY name;
UPDATE messages SET status = 'delivered' WHERE campaign_id = id('closed before, statistics late');
INSERT INTO messages (campaign_id, contact_id) VALUES (id('closed before, reopens'), id('9'));

-- The rows of every table: the application's and the extension's.
CREATE VIEW checksum AS SELECT md5(string_agg(r, E'\n' ORDER BY r COLLATE "C")) AS checksum FROM (
	SELECT t.*::text FROM campaigns AS t UNION ALL SELECT t.*::text FROM messages AS t
	UNION ALL SELECT t.*::text FROM interactions AS t UNION ALL SELECT t.*::text FROM contacts AS t
	UNION ALL SELECT t.*::text FROM campaign_source AS t UNION ALL SELECT t.*::text FROM campaign_event AS t
	UNION ALL SELECT t.*::text FROM campaign_sweep_run AS t UNION ALL SELECT t.*::text FROM campaign_state AS t
	UNION ALL SELECT t.*::text FROM campaign_reopening AS t UNION ALL SELECT t.*::text FROM campaign_retry AS t
	UNION ALL SELECT t.*::text FROM campaign_armed AS t) AS rows (r);
-- What the current transaction holds, but for the right to read, and whether
-- it has written anything.
CREATE VIEW held AS SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS writes,
	(SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()
		AND mode <> 'AccessShareLock' AND locktype <> 'virtualxid') AS locks;
SELECT checksum FROM checksum \gset before_

-- Sweep by sweep: the dry run, what it left behind, the run.
BEGIN;
SELECT * FROM campaign_recover_interrupted(as_of => '2025-01-01 12:00+00', dry_run => true) \gx
TABLE held;
COMMIT;
SELECT checksum = :'before_checksum' AS unchanged FROM checksum;
SELECT * FROM campaign_recover_interrupted(as_of => '2025-01-01 12:00+00') \gx

CALL campaign('complete by then', 'no_interaction failed');
-- One that we closed, that the application opened again, and that is complete.
CALL campaign('opened again', 'failed');
SELECT status FROM campaign_update_status(id('opened again'), as_of => '2025-01-01 11:00+00');
UPDATE campaigns SET status = 'sending' WHERE name = 'opened again';
SELECT checksum FROM checksum \gset before_
BEGIN;
SELECT * FROM campaign_check_sending(as_of => '2025-01-01 12:00+00', dry_run => true) \gx
TABLE held;
COMMIT;
SELECT checksum = :'before_checksum' AS unchanged FROM checksum;
SELECT * FROM campaign_check_sending(as_of => '2025-01-01 12:00+00') \gx

SELECT checksum FROM checksum \gset before_
BEGIN;
SELECT * FROM campaign_check_expired_interactions(as_of => '2025-01-02 12:00+00', dry_run => true) \gx
TABLE held;
COMMIT;
SELECT checksum = :'before_checksum' AS unchanged FROM checksum;
SELECT * FROM campaign_check_expired_interactions(as_of => '2025-01-02 12:00+00') \gx

SELECT checksum FROM checksum \gset before_
BEGIN;
SELECT * FROM campaign_check_timeout(as_of => '2025-01-03 12:00+00', dry_run => true) \gx
TABLE held;
COMMIT;
SELECT checksum = :'before_checksum' AS unchanged FROM checksum;
SELECT * FROM campaign_check_timeout(as_of => '2025-01-03 12:00+00') \gx

-- All was done.
SELECT name, status, completed_at FROM campaigns ORDER BY name;

-- A dry run needs neither a transaction that may write nor READ COMMITTED.
CALL campaign('one more', 'failed');
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
SELECT campaigns_closed
FROM campaign_check_sending(as_of => '2025-01-01 12:00+00', dry_run => true);
COMMIT;

-- In shadow mode, too, a dry run records nothing.
SELECT mode FROM campaign_alter('public', 'mode', 'shadow');
SELECT checksum FROM checksum \gset before_
BEGIN;
SELECT campaigns_closed
FROM campaign_check_sending(as_of => '2025-01-01 12:00+00', dry_run => true);
TABLE held;
COMMIT;
SELECT checksum = :'before_checksum' AS unchanged FROM checksum;

-- The view does tell one state from another.
UPDATE campaigns SET updated_at = '2025-01-01' WHERE name = 'draft';
SELECT checksum = :'before_checksum' AS unchanged FROM checksum;

-- Nor is it blind to what a transaction writes.
BEGIN;
UPDATE campaigns SET updated_at = '2025-01-02' WHERE name = 'draft';
SELECT writes, locks > 0 AS locks FROM held;
ROLLBACK;
