-- Rule "24 hours": who has been silent for interaction_timeout.
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
-- Message 1 of a contact of a campaign.
CREATE VIEW message_1 AS SELECT c.name, m.status, m.error_message, m.campaign_id, m.contact_id
FROM campaigns AS c JOIN messages AS m ON m.campaign_id = c.id AND m.message_type = 'message_1';

-- Marked are those sent before as_of - 24 hours, not those sent at it.  All
-- that follows is judged as of 2025-01-02 00:00.
CALL campaign('stays: sent 24 hours ago', 'sent');
CALL campaign('marked: sent a microsecond earlier', 'sent',
	start => '2024-12-31 23:59:59.999999+00');
CALL campaign('stays: sent an hour ago', 'sent', start => '2025-01-01 23:00+00');

-- Marked is what is in flight: sent, delivered or read.
CALL campaign('marked: delivered', 'delivered', start => '2024-12-31 12:00+00');
CALL campaign('marked: read', 'read', start => '2024-12-31 12:00+00');
CALL campaign('stays: pending', 'pending', start => '2024-12-31 12:00+00');
CALL campaign('stays: failed', 'failed', start => '2024-12-31 12:00+00');

-- A Message 1 that does not tell when it was sent counts from when it was
-- made, or from the campaign's start if that is later.
CALL campaign('marked: no sent_at, made and started before', 'sent', start => '2024-12-31 12:00+00');
CALL campaign('stays: no sent_at, made after', 'sent', start => '2024-12-31 12:00+00');
CALL campaign('stays: no sent_at, made before, started after', 'sent', start => '2024-12-31 12:00+00');
CALL campaign('stays: no sent_at, made before, resumed after', 'sent', start => '2024-12-31 12:00+00');
UPDATE messages SET sent_at = NULL WHERE campaign_id IN (SELECT id FROM campaigns WHERE name ~ 'no sent_at');
UPDATE messages SET created_at = '2025-01-01 12:00+00' WHERE campaign_id = id('stays: no sent_at, made after');
UPDATE campaigns SET started_at = '2025-01-01 12:00+00' WHERE name ~ 'started after';
UPDATE campaigns SET resumed_at = '2025-01-01 12:00+00' WHERE name ~ 'resumed after';
-- sent_at, where there is one, is all that counts.
CALL campaign('marked: sent before, resumed after', 'sent', start => '2024-12-31 12:00+00');
UPDATE campaigns SET resumed_at = '2025-01-01 12:00+00' WHERE name = 'marked: sent before, resumed after';
CALL campaign('stays: made before, sent after', 'sent', start => '2024-12-31 12:00+00');
UPDATE messages SET sent_at = '2025-01-01 12:00+00' WHERE campaign_id = id('stays: made before, sent after');

-- A reply or a reaction ends the silence; that a message was delivered or
-- read does not.
CALL campaign('stays: replied', 'read', start => '2024-12-31 12:00+00');
CALL campaign('stays: reacted', 'read', start => '2024-12-31 12:00+00');
CALL campaign('marked: interaction "read" alone', 'read', start => '2024-12-31 12:00+00');
CALL campaign('marked: interaction "delivered" alone', 'read', start => '2024-12-31 12:00+00');
INSERT INTO interactions (campaign_id, contact_id, interaction_type)
VALUES (id('stays: replied'), id('1'), 'reply'),
	(id('stays: reacted'), id('1'), 'reaction'),
	(id('marked: interaction "read" alone'), id('1'), 'read'),
	(id('marked: interaction "delivered" alone'), id('1'), 'delivered');
-- It is the same contact's, and in the same campaign.
CALL campaign('marked: replied in another campaign', 'read', start => '2024-12-31 12:00+00');
CALL campaign('stays: the other campaign', 'read', start => '2024-12-31 12:00+00');
CALL campaign('marked: another contact replied', 'read', start => '2024-12-31 12:00+00');
INSERT INTO interactions (campaign_id, contact_id, interaction_type)
VALUES (id('stays: the other campaign'), id('1'), 'reply'),
	(id('marked: another contact replied'), id('2'), 'reply');

-- A Message 2, whatever its status, tells that the contact has answered.
CALL campaign('stays: Message 2 pending', 'read/pending', start => '2024-12-31 12:00+00');
CALL campaign('stays: Message 2 failed', 'read/failed read/pending', start => '2024-12-31 12:00+00');
CALL campaign('stays: Message 2 sent', 'read/sent read/pending', start => '2024-12-31 12:00+00');
CALL campaign('stays: Message 2 no_interaction', 'read/no_interaction read/pending',
	start => '2024-12-31 12:00+00');
-- A Message 2 in another campaign does not; a Message 2 is never marked.
CALL campaign('marked: Message 2 in another campaign', 'read', start => '2024-12-31 12:00+00');

-- A message without a contact: nobody can answer it.
CALL campaign('marked: no contact', start => '2024-12-31 12:00+00');
INSERT INTO messages (campaign_id, contact_id, status, sent_at)
VALUES (id('marked: no contact'), NULL, 'sent', '2024-12-31 12:00+00');

-- A message of an unknown type is none of ours.
CALL campaign('stays: unknown type', 'sent', start => '2024-12-31 12:00+00');
UPDATE messages SET message_type = 'inbound' WHERE campaign_id = id('stays: unknown type');

-- Only open campaigns.
CALL campaign('stays: draft', 'sent', 'draft', start => '2024-12-31 12:00+00');
CALL campaign('stays: paused', 'sent', 'paused', start => '2024-12-31 12:00+00');
CALL campaign('stays: completed', 'sent', 'completed', start => '2024-12-31 12:00+00');
CALL campaign('stays: failed campaign', 'sent', 'failed', start => '2024-12-31 12:00+00');

SELECT * FROM campaign_check_expired_interactions(as_of => '2025-01-02 00:00+00') \gx
SELECT name, status, error_message FROM message_1 WHERE name ~ 'marked' ORDER BY name;
SELECT name, status, error_message FROM message_1 WHERE name ~ 'stays' ORDER BY name, status;
SELECT message_type, count(*) AS marked FROM messages WHERE error_message IS NOT NULL GROUP BY 1;

-- In the same pass the statistics are recounted and the campaign is closed, if
-- that completed it.
DELETE FROM campaigns;
CALL campaign('closes', 'sent read failed read/sent', start => '2024-12-31 12:00+00');
CALL campaign('stays open: one pending', 'delivered pending', start => '2024-12-31 12:00+00');
CALL campaign('stays open: one sent later', 'read sent', start => '2024-12-31 12:00+00');
UPDATE messages SET sent_at = '2025-01-01 12:00+00'
WHERE campaign_id = id('stays open: one sent later') AND status = 'sent';
CALL campaign('stays open: one is answering', 'sent read', start => '2024-12-31 12:00+00');
INSERT INTO interactions (campaign_id, contact_id, interaction_type)
VALUES (id('stays open: one is answering'), id('2'), 'reply');
-- One with nothing to mark is left to the "sending" sweep.
CALL campaign('stays open: complete, nothing to mark', 'failed', start => '2024-12-31 12:00+00');
SELECT * FROM campaign_check_expired_interactions(as_of => '2025-01-02 00:00+00') \gx
SELECT name, status, completed_at, sent_count, failed_count, no_interaction_count, pending_count
FROM campaigns ORDER BY name;

-- What was done is told by events: one a marking, one a closing.
SELECT name, event, status_from, status_to, reason, at, details ->> 'sweep' AS sweep,
	details ->> 'messages' AS messages
FROM campaign_event AS e JOIN campaigns AS c ON c.id::text = e.campaign_id ORDER BY name, e.id;
SELECT bool_and((details ->> 'sent_before')::timestamptz = '2025-01-01 00:00+00') AS "sent_before is the cutoff"
FROM campaign_event WHERE event = 'expired';

-- A late callback that turns no_interaction back into read stands until the
-- next sweep: the others leave it alone.
UPDATE messages SET status = 'read', error_message = NULL
WHERE campaign_id = id('stays open: one pending') AND status = 'no_interaction';
SELECT campaigns_updated FROM campaign_check_sending(as_of => '2025-01-02 00:30+00');
SELECT status, error_message FROM message_1 WHERE name = 'stays open: one pending' ORDER BY status;
SELECT campaigns_updated, messages_marked
FROM campaign_check_expired_interactions(as_of => '2025-01-02 01:00+00');
SELECT status, error_message FROM message_1 WHERE name = 'stays open: one pending' ORDER BY status;

-- The campaign of the one who was sent to later closes when that one's time is over.
SELECT campaigns_closed FROM campaign_check_expired_interactions(as_of => '2025-01-02 12:00+00');
SELECT campaigns_closed FROM campaign_check_expired_interactions(as_of => '2025-01-02 12:00:01+00');
SELECT status, completed_at, no_interaction_count
FROM campaigns WHERE name = 'stays open: one sent later';

-- Two rows of one contact: one expired, the other not, so it is still awaited.
ALTER TABLE messages DROP CONSTRAINT messages_campaign_id_contact_id_message_type_key;
CALL campaign('two rows', 'sent', start => '2024-12-31 12:00+00');
INSERT INTO messages (campaign_id, contact_id, status, sent_at)
VALUES (id('two rows'), id('1'), 'sent', '2025-01-01 12:00+00');
SELECT messages_checked, messages_marked, campaigns_closed
FROM campaign_check_expired_interactions(as_of => '2025-01-02 00:00+00');
SELECT status, count(*) FROM message_1 WHERE name = 'two rows' GROUP BY 1 ORDER BY 1;
SELECT status FROM campaigns WHERE name = 'two rows';
