-- Which status a campaign ends in, when, and which campaigns are left alone.
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

-- A complete campaign is "failed" when some message failed, none is sent,
-- delivered or read, and none is no_interaction; otherwise "completed".
CALL campaign('failed: all failed', 'failed failed failed');
CALL campaign('failed: Message 2 too', 'failed/failed failed');
CALL campaign('completed: all no_interaction', 'no_interaction no_interaction');
CALL campaign('completed: failed and no_interaction', 'failed no_interaction');
CALL campaign('completed: one sent, rest failed', 'sent/failed failed');
CALL campaign('completed: one delivered, rest failed', 'delivered/failed failed');
CALL campaign('completed: one read, rest failed', 'read/failed failed');
CALL campaign('completed: Message 2 alone arrived', 'failed/sent failed');
CALL campaign('completed: all replied', 'read/sent read/read');
CALL campaign('sending: one awaited', 'failed sent');
SELECT name, previous_status, r.status, changed, r.completed_at
FROM campaigns, campaign_update_status(id, as_of => '2025-01-01 12:00+00') AS r
ORDER BY name;
-- The table says the same.
SELECT status, completed_at, count(*) FROM campaigns GROUP BY 1, 2 ORDER BY 1;

-- completed_at is never moved: not when the campaign is judged again, ...
SELECT name, r.status, changed, r.completed_at
FROM campaigns, campaign_update_status(id, as_of => '2025-01-01 18:00+00') AS r
WHERE name ~ '^failed' ORDER BY name;
-- ... and not when a late callback shows another end: the status stays, too.
UPDATE messages SET status = 'delivered'
WHERE campaign_id IN (SELECT id FROM campaigns WHERE name ~ '^failed');
SELECT campaigns_updated, campaigns_closed
FROM campaign_check_sending(as_of => '2025-01-01 20:00+00');
SELECT name, status, completed_at FROM campaigns WHERE name ~ '^failed' ORDER BY name;

-- Every other status is the application's own.  Nothing of such a campaign is
-- changed, whatever its messages and however long ago it began.
DELETE FROM campaigns;
CALL campaign('draft', 'failed sent pending', 'draft');
CALL campaign('scheduled', 'failed sent pending', 'scheduled');
CALL campaign('paused', 'failed sent pending', 'paused');
CALL campaign('cancelled', 'failed sent pending', 'cancelled');
CALL campaign('cancelled, complete', 'failed failed', 'cancelled');
CREATE TABLE campaigns_before AS TABLE campaigns;
CREATE TABLE messages_before AS TABLE messages;
SELECT name, r.status, changed, r.pending_count, r.failed_count, r.completed_at
FROM campaigns, campaign_update_status(id, as_of => '2025-01-09 00:00+00') AS r
ORDER BY name;
SELECT sweep, campaigns_checked, campaigns_updated
FROM campaign_check_expired_interactions(as_of => '2025-01-09 00:00+00');
SELECT sweep, campaigns_checked, campaigns_updated
FROM campaign_check_timeout(as_of => '2025-01-09 00:00+00');
SELECT sweep, campaigns_checked, campaigns_updated
FROM campaign_check_sending(as_of => '2025-01-09 00:00+00');
SELECT sweep, campaigns_checked, campaigns_resumed
FROM campaign_recover_interrupted(as_of => '2025-01-09 00:00+00');
SELECT (SELECT count(*) FROM (TABLE campaigns_before INTERSECT TABLE campaigns) AS c) AS campaigns_unchanged,
	(SELECT count(*) FROM (TABLE messages_before INTERSECT TABLE messages) AS m) AS messages_unchanged;
SELECT count(*) AS events FROM campaign_event WHERE at > '2025-01-02';

-- A terminal campaign that lacks completed_at: no sweep fills it in, ...
CALL campaign('ended by the application: completed', 'read/sent', 'completed');
CALL campaign('ended by the application: failed', 'read/sent', 'failed');
CALL campaign('ended by us, completed_at removed', 'read/sent');
SELECT status FROM campaign_update_status(id('ended by us, completed_at removed'), as_of => '2025-01-01 05:00+00');
UPDATE campaigns SET completed_at = NULL WHERE name ~ 'removed';
SELECT campaigns_updated FROM campaign_check_expired_interactions(as_of => '2025-01-01 06:00+00');
SELECT campaigns_updated FROM campaign_check_timeout(as_of => '2025-01-01 06:00+00');
SELECT campaigns_updated FROM campaign_check_sending(as_of => '2025-01-01 06:00+00');
SELECT campaigns_updated FROM campaign_recover_interrupted(as_of => '2025-01-01 06:00+00');
SELECT name, status, completed_at FROM campaigns WHERE name ~ '^ended' ORDER BY name;
-- ... campaign_update_status() does, once.
SELECT name, r.status, changed, r.completed_at
FROM campaigns, campaign_update_status(id, as_of => '2025-01-01 07:00+00') AS r
WHERE name ~ '^ended' ORDER BY name;
SELECT name, r.completed_at
FROM campaigns, campaign_update_status(id, as_of => '2025-01-01 08:00+00') AS r
WHERE name ~ '^ended' ORDER BY name;
SELECT name, status, completed_at FROM campaigns WHERE name ~ '^ended' ORDER BY name;

-- The whole result.  Contacts: one in each status of Message 1, one answered
-- with a Message 2 that arrived, one with a Message 2 still to be sent.
CALL campaign('all columns', 'sent delivered read/delivered read/pending failed no_interaction');
INSERT INTO interactions (campaign_id, contact_id, interaction_type)
VALUES (id('all columns'), id('3'), 'reply'), (id('all columns'), id('4'), 'reaction'),
	(id('all columns'), id('4'), 'read'), (id('all columns'), id('2'), 'delivered');
SELECT id('all columns');
SELECT * FROM campaign_update_status(id('all columns'), as_of => '2025-01-01 12:00+00') \gx
-- The three who were waited for go their ways, and it closes.
UPDATE messages SET status = 'sent' WHERE campaign_id = id('all columns') AND status = 'pending';
UPDATE messages SET status = 'no_interaction' WHERE campaign_id = id('all columns')
	AND contact_id IN (id('1'), id('2'));
SELECT * FROM campaign_update_status(id('all columns'), as_of => '2025-01-01 13:00+00') \gx
