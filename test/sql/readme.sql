-- The README's first session, statement by statement.
-- Its times are relative to now(): a worker, where there is one, looks at the
-- same campaign by the clock, and must find nothing to do.
-- Only in the test:
SET IntervalStyle = 'postgres';
-- As in the document:
CREATE EXTENSION campaign_autoclose;
SELECT source, mode FROM campaign_create_tables();

-- Three contacts, and a campaign that begins now.
INSERT INTO contacts (full_number, first_name)
VALUES ('+33 6 00 00 00 01', 'Alice'), ('+33 6 00 00 00 02', 'Bruno'), ('+33 6 00 00 00 03', 'Chloe');
INSERT INTO campaigns (name, status, started_at)
VALUES ('Spring sale', 'sending', now());

-- Each is to get Message 1.  Alice and Bruno do; Chloe's number does not exist.
INSERT INTO messages (campaign_id, contact_id, message_type)
SELECT campaigns.id, contacts.id, 'message_1' FROM campaigns, contacts;
UPDATE messages SET status = 'delivered', sent_at = now()
WHERE contact_id IN (SELECT id FROM contacts WHERE first_name IN ('Alice', 'Bruno'));
UPDATE messages SET status = 'failed', error_message = 'unknown number'
WHERE contact_id IN (SELECT id FROM contacts WHERE first_name = 'Chloe');

-- Alice replies, and is sent Message 2.
INSERT INTO interactions (campaign_id, contact_id, interaction_type, content)
SELECT campaigns.id, contacts.id, 'reply', 'Yes, please!' FROM campaigns, contacts
WHERE first_name = 'Alice';
INSERT INTO messages (campaign_id, contact_id, message_type, status, sent_at)
SELECT campaigns.id, contacts.id, 'message_2', 'sent', now() FROM campaigns, contacts
WHERE first_name = 'Alice';

-- Nothing is pending, yet the campaign stays open: Bruno may still reply.
SELECT r.status, contacts, contacts_completed
FROM campaigns, campaign_update_status(id, as_of => now() + interval '3 hours') AS r;

-- He does not.  When his 24 hours are over, that completes the campaign.
SELECT campaigns_closed, messages_marked
FROM campaign_check_expired_interactions(as_of => now() + interval '25 hours');

SELECT name, status, date_trunc('hour', completed_at - started_at) AS after,
	sent_count, failed_count, no_interaction_count
FROM campaigns;
SELECT first_name, message_type, status, error_message
FROM messages JOIN contacts ON contacts.id = contact_id ORDER BY first_name, message_type;
SELECT event, status_to, reason FROM campaign_event ORDER BY id;
