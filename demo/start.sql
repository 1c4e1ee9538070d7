--
-- Starts the campaigns, all at once.
--
\set ON_ERROR_STOP on
BEGIN;

INSERT INTO campaigns (id, name, status, total_recipients, started_at)
SELECT campaign, name, 'sending', contacts, now() FROM demo.script;

INSERT INTO messages (campaign_id, contact_id, message_type, content, status)
SELECT s.campaign, c.id, 'message_1', 'Hello! ' || s.name || ': are you interested?', 'pending'
FROM demo.script AS s,
	LATERAL (SELECT id FROM contacts ORDER BY full_number LIMIT s.contacts) AS c;

COMMIT;
ANALYZE;
