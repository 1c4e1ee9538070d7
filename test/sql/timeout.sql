-- Rule "48 hours": a campaign that has been open for campaign_timeout is closed.
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

-- Closed are those that started before as_of - 48 hours, not those that
-- started at it.  All that follows is judged as of 2025-01-03 00:00.
CALL campaign('open: started 48 hours ago', 'sent pending');
CALL campaign('closes: started a microsecond earlier', 'sent pending',
	start => '2024-12-31 23:59:59.999999+00');

-- Started: started_at, or created_at where there is none ...
CALL campaign('closes: created before, no started_at', 'pending', start => '2024-12-31 12:00+00');
UPDATE campaigns SET started_at = NULL WHERE name ~ 'no started_at';
-- ... so one that was drafted three days before its launch is not killed at launch, ...
CALL campaign('open: drafted three days before', 'pending', start => '2024-12-31 00:00+00');
UPDATE campaigns SET started_at = '2025-01-02 23:59+00' WHERE name ~ 'drafted';
-- ... or resumed_at, if that is later; an earlier one changes nothing.
CALL campaign('open: resumed since', 'sent pending', start => '2024-12-31 00:00+00');
UPDATE campaigns SET resumed_at = '2025-01-02 00:00+00' WHERE name ~ 'resumed since';
CALL campaign('open: resumed before it started', 'sent pending', start => '2025-01-02 00:00+00');
CALL campaign('closes: resumed long ago', 'sent pending', start => '2024-12-30 00:00+00');
UPDATE campaigns SET resumed_at = '2024-12-31 00:00+00' WHERE name ~ 'resumed before|resumed long';

-- First its expired messages are marked, then its pending ones fail, and it is
-- closed whatever is still awaited.
CALL campaign('closes: one in each status', 'pending sent delivered read failed no_interaction',
	start => '2024-12-31 12:00+00');
CALL campaign('closes: replied, sent an hour ago, Message 2 pending', 'read sent read/pending',
	start => '2024-12-31 12:00+00');
UPDATE messages SET sent_at = '2025-01-02 23:00+00' WHERE status = 'sent'
	AND campaign_id = id('closes: replied, sent an hour ago, Message 2 pending');
INSERT INTO interactions (campaign_id, contact_id, interaction_type)
VALUES (id('closes: replied, sent an hour ago, Message 2 pending'), id('1'), 'reply');
CALL campaign('closes: still being filled', 'failed', start => '2024-12-31 12:00+00');
UPDATE campaigns SET total_recipients = 10 WHERE name ~ 'filled';
-- All failed: failed.
CALL campaign('closes: all pending', 'pending pending pending', start => '2024-12-31 12:00+00');
-- An empty campaign, open until now: completed.
CALL campaign('closes: empty', start => '2024-12-31 12:00+00');
-- Messages in an unknown status stay as they are and prevent nothing; those
-- of an unknown type are none of ours.
ALTER TABLE messages DROP CONSTRAINT messages_status_check;
CALL campaign('closes: unknown status', 'pending queued queued', start => '2024-12-31 12:00+00');
CALL campaign('closes: unknown type', 'read/sent', start => '2024-12-31 12:00+00');
INSERT INTO messages (campaign_id, contact_id, message_type, status)
VALUES (id('closes: unknown type'), id('1'), 'inbound', 'pending');

-- Only open campaigns.
CALL campaign('untouched: draft', 'sent pending', 'draft', start => '2024-12-25 00:00+00');
CALL campaign('untouched: paused', 'sent pending', 'paused', start => '2024-12-25 00:00+00');
CALL campaign('untouched: completed', 'sent pending', 'completed', start => '2024-12-25 00:00+00');
CALL campaign('untouched: failed', 'sent pending', 'failed', start => '2024-12-25 00:00+00');

SELECT * FROM campaign_check_timeout(as_of => '2025-01-03 00:00+00') \gx
SELECT name, status, completed_at, sent_count AS sent, pending_count AS pending,
	failed_count AS failed, no_interaction_count AS no_interaction
FROM campaigns ORDER BY name;
SELECT name, m.message_type, m.status, m.error_message
FROM campaigns AS c JOIN messages AS m ON m.campaign_id = c.id
WHERE name ~ 'each status|replied|unknown|all pending|long ago'
ORDER BY name, m.status, m.error_message;
SELECT m.status, m.error_message, count(*)
FROM campaigns AS c JOIN messages AS m ON m.campaign_id = c.id
WHERE name ~ '^(open|untouched)' GROUP BY 1, 2 ORDER BY 1;

-- Its events: what expired, and the closing with what was found.
SELECT name, event, status_to, details ->> 'messages' AS messages,
	details ->> 'failed_by_us' AS failed_by_us, details ->> 'unmapped' AS unmapped,
	details ->> 'awaiting' AS awaiting
FROM campaign_event AS e JOIN campaigns AS c ON c.id::text = e.campaign_id ORDER BY name, e.id;
SELECT DISTINCT event, status_from, reason, details ->> 'sweep' AS sweep, at
FROM campaign_event ORDER BY event;

-- A second later its 48 hours are over for the one at the boundary, too; what
-- is closed is not closed again.
SELECT campaigns_closed, messages_marked FROM campaign_check_timeout(as_of => '2025-01-03 00:00:01+00');
SELECT status, completed_at FROM campaigns WHERE name = 'open: started 48 hours ago';
SELECT campaigns_closed FROM campaign_check_timeout(as_of => '2025-01-03 00:00:01+00');

-- Both messages name the interval in force, also where a campaign has one of
-- its own.
DELETE FROM campaigns;
ALTER TABLE campaigns ADD interaction_timeout interval, ADD campaign_timeout interval;
CALL campaign('its own', 'sent pending', start => '2025-01-02 12:00+00');
CALL campaign('its own, not over', 'sent pending', start => '2025-01-02 13:00+00');
CALL campaign('the source''s', 'sent pending', start => '2025-01-02 12:00+00');
UPDATE campaigns SET interaction_timeout = '90 minutes', campaign_timeout = '6 hours'
WHERE name ~ 'own';
SELECT campaigns_closed FROM campaign_check_timeout(as_of => '2025-01-02 18:30+00');
SELECT name, c.status, m.status, m.error_message
FROM campaigns AS c JOIN messages AS m ON m.campaign_id = c.id ORDER BY name, m.status;

-- In batches, each in a transaction of its own: the closing event counts what
-- all of them failed.
DELETE FROM campaigns;
SELECT batch_size FROM campaign_alter('public', 'batch_size', '3');
CALL campaign('in batches', 'sent pending pending pending pending pending pending pending failed');
CALL campaign_run_sweeps(force => true);
SELECT m.status, count(*) FROM messages AS m GROUP BY 1 ORDER BY 1;
SELECT event, details ->> 'failed' AS failed, details ->> 'failed_by_us' AS failed_by_us
FROM campaign_event WHERE campaign_id = id('in batches')::text ORDER BY id;
SELECT failed_by_us FROM campaign_state WHERE campaign_id = id('in batches')::text;
