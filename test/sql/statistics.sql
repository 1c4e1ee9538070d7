-- Rule "Statistics": always recounted, and kept right while a campaign settles.
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
CREATE VIEW statistics AS SELECT name, status, completed_at, sent_count AS sent,
	success_count AS success, delivered_count AS delivered, read_count AS read,
	failed_count AS failed, pending_count AS pending,
	no_interaction_count AS no_interaction, interaction_count AS interactions
FROM campaigns;

-- Every column.  Message 1: one in each status; Message 2: read, failed, pending.
CALL campaign('all', 'pending sent delivered read/read read/failed read/pending failed no_interaction');
INSERT INTO interactions (campaign_id, contact_id, interaction_type)
SELECT id('all'), id(n::text), t
FROM (VALUES (4, 'reply'), (4, 'reaction'), (5, 'reply'), (6, 'reaction'),
	(4, 'read'), (3, 'delivered')) AS v (n, t);
SELECT campaigns_updated FROM campaign_check_sending(as_of => '2025-01-01 12:00+00');
SELECT * FROM statistics \gx

-- What is right is not written again.
SELECT campaigns_updated FROM campaign_check_sending(as_of => '2025-01-01 12:01+00');
SELECT updated_at FROM campaigns;

-- Recounted, never incremented: whatever drifted is put right.
UPDATE campaigns SET sent_count = 99, success_count = 0, delivered_count = -1, read_count = 99,
	failed_count = 99, pending_count = 0, no_interaction_count = 99, interaction_count = 99;
SELECT campaigns_updated FROM campaign_check_sending(as_of => '2025-01-01 12:02+00');
SELECT * FROM statistics \gx
UPDATE campaigns SET interaction_count = 99;
SELECT interaction_count FROM campaign_update_status(id('all'), as_of => '2025-01-01 12:03+00');
SELECT interactions FROM statistics;

-- Closing writes them, too.
DELETE FROM campaigns;
CALL campaign('closed', 'sent/sent read/delivered failed');
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 12:00+00');
SELECT * FROM statistics \gx

-- A late callback: the statistics follow, status and completed_at do not, ...
UPDATE messages SET status = 'read' WHERE status IN ('sent', 'delivered');
SELECT campaigns_updated, campaigns_closed
FROM campaign_check_sending(as_of => '2025-01-02 11:00+00');
SELECT * FROM statistics \gx
-- ... even if now all failed.
UPDATE messages SET status = 'failed';
SELECT status, changed, completed_at
FROM campaign_update_status(id('closed'), as_of => '2025-01-02 11:30+00');
SELECT * FROM statistics \gx

-- A reply that comes late is counted.
INSERT INTO interactions (campaign_id, contact_id, interaction_type)
VALUES (id('closed'), id('1'), 'reply');
SELECT campaigns_updated FROM campaign_check_sending(as_of => '2025-01-02 11:45+00');
SELECT interactions FROM statistics;

-- Once settle_for is over (24 hours after closing), nothing changes any more.
CREATE TABLE before AS SELECT * FROM campaigns;
UPDATE messages SET status = 'delivered';
SELECT campaigns_updated FROM campaign_check_sending(as_of => '2025-01-02 12:00:01+00');
SELECT status, changed FROM campaign_update_status(id('closed'), as_of => '2025-01-02 12:00:01+00');
SELECT count(*) AS unchanged FROM (TABLE before INTERSECT TABLE campaigns) AS same;

-- settle_for decides, not the 24 hours.
SELECT settle_for FROM campaign_alter('public', 'settle_for', '3 days');
SELECT campaigns_updated FROM campaign_check_sending(as_of => '2025-01-04 11:00+00');
SELECT delivered, failed, status, completed_at FROM statistics;

-- One closed by timeout settles as well.
CALL campaign('closed by timeout', 'sent pending');
SELECT campaigns_closed FROM campaign_check_timeout(as_of => '2025-01-03 00:00:01+00');
SELECT sent, failed, no_interaction FROM statistics WHERE name = 'closed by timeout';
UPDATE messages SET status = 'read' WHERE campaign_id = id('closed by timeout');
SELECT campaigns_updated FROM campaign_check_sending(as_of => '2025-01-03 01:00+00');
SELECT status, completed_at, sent, failed, no_interaction
FROM statistics WHERE name = 'closed by timeout';

-- Each is written where the table has the column.
DELETE FROM campaigns;
DROP VIEW statistics;
ALTER TABLE campaigns DROP sent_count, DROP pending_count, DROP no_interaction_count,
	DROP interaction_count, DROP updated_at;
CALL campaign('fewer columns', 'read/sent failed no_interaction');
SELECT status, sent_count, pending_count, no_interaction_count, interaction_count
FROM campaign_update_status(id('fewer columns'), as_of => '2025-01-01 12:00+00');
SELECT status, success_count, delivered_count, read_count, failed_count FROM campaigns;
UPDATE messages SET status = 'delivered' WHERE status = 'sent';
SELECT campaigns_updated FROM campaign_check_sending(as_of => '2025-01-01 13:00+00');
SELECT status, success_count, delivered_count, read_count, failed_count FROM campaigns;
SELECT campaigns_updated FROM campaign_check_sending(as_of => '2025-01-01 14:00+00');
