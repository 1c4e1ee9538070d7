-- Rule "Completion": what closes a campaign, and what keeps it open.
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

-- Nothing is pending and nobody awaited: closed.
CALL campaign('closes: all cycles ended', 'read/sent failed no_interaction');
-- A pending message keeps it open.
CALL campaign('open: one pending', 'read/sent failed pending');
-- So does one contact who was sent Message 1 and may still reply.
CALL campaign('open: awaiting, sent', 'read/sent sent');
CALL campaign('open: awaiting, delivered', 'read/sent delivered');
CALL campaign('open: awaiting, read', 'read/sent read');
-- A contact's cycle ends when Message 2 leaves pending, wherever it goes.
CALL campaign('closes: Message 2 sent', 'sent/sent');
CALL campaign('closes: Message 2 delivered', 'delivered/delivered');
CALL campaign('closes: Message 2 read', 'read/read');
CALL campaign('closes: Message 2 failed', 'read/failed');
CALL campaign('open: Message 2 pending', 'read/pending read/sent');

-- Contacts are judged one by one: the failure of one does not stand in for
-- another who may still reply, although the sums are equal.
CALL campaign('open: five failed, five awaiting',
	'failed failed failed failed failed sent sent sent sent sent');
-- Nor does a second row of one contact.
ALTER TABLE messages DROP CONSTRAINT messages_campaign_id_contact_id_message_type_key;
CALL campaign('open: one twice no_interaction, one awaiting', 'no_interaction sent');
CALL campaign('open: one with two Message 2, one awaiting', 'read/sent read');
CALL campaign('closes: two rows of one contact', 'read/sent');
INSERT INTO messages (campaign_id, contact_id, message_type, status)
SELECT id(name), id('1'), message_type, status
FROM (VALUES ('open: one twice no_interaction, one awaiting', 'message_1', 'no_interaction'),
	('open: one with two Message 2, one awaiting', 'message_2', 'sent'),
	('closes: two rows of one contact', 'message_1', 'sent')) AS v (name, message_type, status);

-- A message without a contact is a contact of its own.
CALL campaign('open: Message 1 without contact');
CALL campaign('open: Message 2 without contact stands in for nobody');
CALL campaign('closes: no contacts, failed and no_interaction');
INSERT INTO messages (campaign_id, message_type, status)
SELECT id(name), message_type, status
FROM (VALUES ('open: Message 1 without contact', 'message_1', 'sent'),
	('open: Message 2 without contact stands in for nobody', 'message_1', 'sent'),
	('open: Message 2 without contact stands in for nobody', 'message_2', 'sent'),
	('closes: no contacts, failed and no_interaction', 'message_1', 'failed'),
	('closes: no contacts, failed and no_interaction', 'message_1', 'no_interaction'))
	AS v (name, message_type, status);

-- One with fewer Message 1 rows than total_recipients is still being filled.
CALL campaign('open: two rows of three', 'failed read/sent');
CALL campaign('open: Message 2 rows do not fill it', 'read/sent read/sent');
CALL campaign('closes: three rows of three', 'failed read/sent failed');
CALL campaign('closes: more rows than recipients', 'failed read/sent failed failed');
UPDATE campaigns SET total_recipients = 3
WHERE name ~ 'rows of three|fill it|more rows';

-- An empty campaign stays open.
CALL campaign('open: empty');

-- A message in a status that nobody told us of counts as pending.
ALTER TABLE messages DROP CONSTRAINT messages_status_check;
CALL campaign('open: unknown status', 'failed queued');
CALL campaign('open: unknown status of Message 2', 'read/queued');

-- A message of an unknown type is in no tally: neither does it keep open ...
CALL campaign('closes: inbound message pending', 'read/sent');
-- ... nor is it a message that ends anything.
CALL campaign('open: inbound messages alone');
INSERT INTO messages (campaign_id, contact_id, message_type, status)
VALUES (id('closes: inbound message pending'), id('1'), 'inbound', 'pending'),
	(id('open: inbound messages alone'), id('1'), 'inbound', 'read');

SELECT * FROM campaign_check_sending(as_of => '2025-01-01 12:00+00') \gx
SELECT name, status, pending_count, sent_count FROM campaigns ORDER BY name;

-- How many contacts' cycles have ended, of how many.
SELECT name, contacts, contacts_completed
FROM campaigns, campaign_update_status(id, as_of => '2025-01-01 12:00+00')
WHERE name ~ 'without contact|two rows of one|unknown status|Message 2 pending|five failed'
ORDER BY name;

-- What kept a campaign open ends, and it closes.
UPDATE messages SET status = 'failed' WHERE status IN ('pending', 'queued', 'sent')
	AND campaign_id IN (SELECT id FROM campaigns WHERE status = 'sending');
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 13:00+00');
SELECT name, status FROM campaigns
WHERE completed_at IS NULL OR completed_at > '2025-01-01 12:00+00' ORDER BY name;

-- Rule "messages", for campaigns without follow-up: at least one message and
-- none pending.  Who may still reply does not matter.
DELETE FROM campaigns;
SELECT completion_rule FROM campaign_alter('public', 'completion_rule', 'messages');
CALL campaign('closes, rule messages: sent', 'sent delivered read failed');
CALL campaign('closes, rule messages: all failed', 'failed failed');
CALL campaign('open, rule messages: one pending', 'sent pending');
CALL campaign('open, rule messages: Message 2 pending', 'read/pending');
CALL campaign('open, rule messages: unknown status', 'sent queued');
CALL campaign('open, rule messages: empty');
SELECT campaigns_checked, campaigns_closed
FROM campaign_check_sending(as_of => '2025-01-01 12:00+00');
SELECT name, status FROM campaigns ORDER BY name;
SELECT name, reason
FROM campaign_event AS e JOIN campaigns AS c ON c.id::text = e.campaign_id ORDER BY name;

-- Under the default rule again, a new one with the same messages stays open.
SELECT completion_rule FROM campaign_alter('public', 'completion_rule', 'contacts');
CALL campaign('open, rule contacts: sent', 'sent delivered read failed');
SELECT status, changed
FROM campaign_update_status(id('open, rule contacts: sent'), as_of => '2025-01-01 12:00+00');

-- A campaigns table with a column of that name has the last word.
ALTER TABLE campaigns ADD completion_rule text;
CALL campaign('closes, rule of its own', 'sent delivered');
UPDATE campaigns SET completion_rule = 'messages' WHERE name = 'closes, rule of its own';
SELECT campaigns_checked, campaigns_closed
FROM campaign_check_sending(as_of => '2025-01-01 12:00+00');
SELECT name, status, completion_rule FROM campaigns WHERE name ~ 'rule (contacts|of)' ORDER BY name;
