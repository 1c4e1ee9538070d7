-- Rule "Interrupted": a campaign that has stopped sending is asked to resume.
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
-- The moments, of every minute of an interval, at which a sweep asks to resume.
CREATE FUNCTION asked(since timestamptz, until timestamptz) RETURNS SETOF timestamptz LANGUAGE sql AS $$
	SELECT minute FROM generate_series(since, until, '1 minute') AS minute,
		campaign_recover_interrupted(as_of => minute) AS r
	WHERE r.campaigns_resumed > 0
$$;

-- Nothing sent for stall_after (10 minutes), counted from the start: stalled.
CALL campaign('never sent', 'pending pending pending');
CREATE TABLE before AS TABLE campaigns;
SELECT campaigns_resumed FROM campaign_recover_interrupted(as_of => '2025-01-01 00:09:59+00');
SELECT * FROM campaign_recover_interrupted(as_of => '2025-01-01 00:10+00') \gx
-- An event asks the application to resume; the campaign stays as it is.
SELECT event, status_from, status_to, reason, details ->> 'number' AS number,
	details ->> 'pending' AS pending, details ->> 'last_sent' AS last_sent
FROM campaign_event \gx
SELECT count(*) AS unchanged FROM (TABLE before INTERSECT TABLE campaigns) AS same;
DELETE FROM campaigns;

-- The request is repeated 10, 20 and 40 minutes after the one before, then
-- every hour, and numbered.
CALL campaign('stalled', 'pending pending pending');
SELECT asked('2025-01-01 00:00+00', '2025-01-01 05:59+00');
SELECT at, details ->> 'number' AS number
FROM campaign_event WHERE campaign_id = id('stalled')::text ORDER BY id;

-- A message sent begins the numbering anew, 10 minutes later.
UPDATE messages SET status = 'sent', sent_at = '2025-01-01 06:00+00'
WHERE campaign_id = id('stalled') AND contact_id = id('1');
SELECT asked('2025-01-01 06:00+00', '2025-01-01 07:00+00');
SELECT at, details ->> 'number' AS number, details ->> 'pending' AS pending,
	(details ->> 'last_sent')::timestamptz AS last_sent
FROM campaign_event WHERE campaign_id = id('stalled')::text AND at >= '2025-01-01 06:00+00' ORDER BY id;

-- So does resuming: the start is later than the last message sent.
UPDATE campaigns SET resumed_at = '2025-01-01 07:30+00' WHERE name = 'stalled';
SELECT asked('2025-01-01 07:01+00', '2025-01-01 08:00+00');
SELECT at, details ->> 'number' AS number
FROM campaign_event WHERE campaign_id = id('stalled')::text AND at >= '2025-01-01 07:00+00' ORDER BY id;

-- One that goes on sending is never asked.
DELETE FROM campaigns;
CALL campaign('sending', 'sent pending');
UPDATE messages SET sent_at = '2025-01-01 12:00+00' WHERE status = 'sent';
SELECT campaigns_resumed FROM campaign_recover_interrupted(as_of => '2025-01-01 12:09:59+00');
-- A message that failed was not sent.
UPDATE messages SET status = 'failed', sent_at = NULL WHERE status = 'sent';
SELECT campaigns_resumed FROM campaign_recover_interrupted(as_of => '2025-01-01 12:09:59+00');
DELETE FROM campaigns;

-- Message 2 counts as any other: what is pending, and what was sent.
CALL campaign('Message 2 pending', 'read/pending');
CALL campaign('Message 2 sent lately', 'read/sent pending');
UPDATE messages SET sent_at = '2025-01-01 11:55+00'
WHERE campaign_id = id('Message 2 sent lately') AND message_type = 'message_2';
-- Only open campaigns.
CALL campaign('paused', 'sent pending', 'paused');
CALL campaign('draft', 'pending', 'draft');
CALL campaign('stopped', 'sent pending', 'failed');
SELECT asked('2025-01-01 12:00+00', '2025-01-01 12:04+00');
SELECT name FROM campaigns JOIN campaign_event ON campaign_id = campaigns.id::text;
DELETE FROM campaigns;

-- One with nothing pending is judged, and closed if complete.
CALL campaign('closes', 'failed read/sent');
CALL campaign('open: awaiting', 'failed sent');
CALL campaign('open: empty');
SELECT campaigns_checked, campaigns_updated, campaigns_closed, campaigns_resumed
FROM campaign_recover_interrupted(as_of => '2025-01-01 12:00+00');
SELECT name, status, completed_at, failed_count FROM campaigns ORDER BY name;
SELECT name, event, reason, details ->> 'sweep' AS sweep
FROM campaigns JOIN campaign_event ON campaign_id = campaigns.id::text;
DELETE FROM campaigns;

-- stall_after decides: longer than an hour, it is also the longest pause.
SELECT stall_after FROM campaign_alter('public', 'stall_after', '90 minutes');
CALL campaign('patient', 'pending');
SELECT asked('2025-01-01 00:00+00', '2025-01-01 06:00+00');
