-- late_interactions: does a reply count that comes after interaction_timeout?
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
\pset format unaligned
\pset fieldsep ' | '
\pset null -
SELECT source, late_interactions FROM campaign_create_tables();

CREATE FUNCTION id(name text) RETURNS uuid LANGUAGE sql IMMUTABLE AS
	$$ SELECT md5(name)::uuid $$;
-- One campaign a case, of one contact who was sent Message 1 at midnight of
-- January 1st, with what came from him, and when.
CREATE PROCEDURE contact(name text, type text, received text, sent timestamptz DEFAULT '2025-01-01 00:00+00')
LANGUAGE sql AS $$
	INSERT INTO campaigns (id, name, status, created_at, started_at)
	VALUES (id(name), name, 'sending', '2025-01-01 00:00+00', '2025-01-01 00:00+00');
	INSERT INTO contacts (id, full_number) VALUES (id(name), name);
	INSERT INTO messages (id, campaign_id, contact_id, status, created_at, sent_at)
	VALUES (id(name), id(name), id(name), 'read', '2025-01-01 00:00+00', sent);
	INSERT INTO interactions (campaign_id, contact_id, interaction_type, received_at)
	SELECT id(name), id(name), type, received::timestamptz WHERE type IS NOT NULL;
$$;
CREATE PROCEDURE contacts() LANGUAGE plpgsql AS $$
BEGIN
	TRUNCATE campaigns, contacts, messages, interactions;
	CALL contact('1 silent', NULL, NULL);
	CALL contact('2 early', 'reply', '2025-01-01 08:00+00');
	CALL contact('3 at the last moment', 'reply', '2025-01-02 00:00+00');
	CALL contact('4 a moment late', 'reply', '2025-01-02 00:00:00.000001+00');
	CALL contact('5 late reaction', 'reaction', '2025-01-02 06:00+00');
	CALL contact('6 late, of no other kind', 'read', '2025-01-01 06:00+00');
	CALL contact('7 unknown when', 'reply', NULL);
	CALL contact('8 sent at an unknown time', 'reply', '2025-01-02 06:00+00', NULL);
	CALL contact('9 early and late', 'reply', '2025-01-01 06:00+00');
	INSERT INTO interactions (campaign_id, contact_id, interaction_type, received_at)
	VALUES (id('9 early and late'), id('9 early and late'), 'reply', '2025-01-02 09:00+00');
END $$;
CREATE VIEW marked AS
SELECT name COLLATE "C" AS name FROM campaigns AS c JOIN messages AS m ON m.campaign_id = c.id
WHERE m.status = 'no_interaction';
ALTER TABLE interactions ALTER received_at DROP NOT NULL;

-- Any reply counts.
CALL contacts();
SELECT messages_checked, messages_marked FROM campaign_check_expired_interactions(as_of => '2025-01-02 12:00+00', dry_run => true);
SELECT messages_checked, messages_marked FROM campaign_check_expired_interactions(as_of => '2025-01-02 12:00+00');
SELECT * FROM marked ORDER BY name;

-- Only one that came in time counts; one of which nobody knows when it came
-- does.
SELECT late_interactions FROM campaign_alter('public', 'late_interactions', 'ignore');
CALL contacts();
SELECT messages_checked, messages_marked FROM campaign_check_expired_interactions(as_of => '2025-01-02 12:00+00', dry_run => true);
SELECT messages_checked, messages_marked FROM campaign_check_expired_interactions(as_of => '2025-01-02 12:00+00');
SELECT * FROM marked ORDER BY name;
-- It is a reply all the same, and counted as one.
SELECT name, status, interaction_count, no_interaction_count FROM campaigns WHERE name LIKE '5%';

-- The 48 hours mark by the same rule, before they close.
CALL contacts();
SELECT messages_marked, campaigns_closed FROM campaign_check_timeout(as_of => '2025-01-03 12:00+00', dry_run => true);
SELECT messages_marked, campaigns_closed FROM campaign_check_timeout(as_of => '2025-01-03 12:00+00');
SELECT * FROM marked ORDER BY name;

-- What runs on its own, in batches.
CALL contacts();
SELECT batch_size FROM campaign_alter('public', 'batch_size', '1');
SET client_min_messages = warning;
BEGIN;
UPDATE campaigns SET started_at = now() - interval '30 hours', created_at = now() - interval '30 hours';
UPDATE messages SET sent_at = sent_at + (now() - interval '30 hours' - timestamptz '2025-01-01 00:00+00'), created_at = now() - interval '30 hours';
UPDATE interactions SET received_at = received_at + (now() - interval '30 hours' - timestamptz '2025-01-01 00:00+00');
COMMIT;
CALL campaign_run_sweeps('public', force => true);
SELECT * FROM marked ORDER BY name;
-- What is remembered of a campaign by the one rule is not believed by the
-- other.  (Nor where a hint waits, so there is to be none.)
SET session_replication_role = replica;
SELECT late_interactions FROM campaign_alter('public', 'late_interactions', 'accept');
CALL contact('late', 'reply', 'now');
UPDATE campaigns SET started_at = now() - interval '30 hours' WHERE name = 'late';
UPDATE messages SET sent_at = now() - interval '30 hours', created_at = now() - interval '30 hours' WHERE id = id('late');
RESET session_replication_role;
CALL campaign_run_sweeps('public', force => true);
SELECT name FROM marked WHERE name = 'late';
SELECT late_interactions FROM campaign_alter('public', 'late_interactions', 'ignore');
CALL campaign_run_sweeps('public', force => true);
SELECT name FROM marked WHERE name = 'late';
RESET client_min_messages;

-- A contact with two messages: each has a time of its own.
TRUNCATE campaigns, contacts, messages, interactions;
ALTER TABLE messages DROP CONSTRAINT messages_campaign_id_contact_id_message_type_key;
CALL contact('twice', 'reply', '2025-01-02 06:00+00');
INSERT INTO messages (campaign_id, contact_id, status, created_at, sent_at)
VALUES (id('twice'), id('twice'), 'sent', '2025-01-01 12:00+00', '2025-01-01 12:00+00');
SELECT messages_checked, messages_marked FROM campaign_check_expired_interactions(as_of => '2025-01-02 18:00+00', dry_run => true);
SELECT messages_checked, messages_marked, campaigns_closed FROM campaign_check_expired_interactions(as_of => '2025-01-02 18:00+00');
SELECT sent_at, status FROM messages ORDER BY sent_at;

-- A campaign's own timeout.
TRUNCATE campaigns, contacts, messages, interactions;
ALTER TABLE campaigns ADD interaction_timeout interval;
CALL contact('its own', 'reply', '2025-01-01 13:00+00');
CALL contact('the source''s', 'reply', '2025-01-01 13:00+00');
UPDATE campaigns SET interaction_timeout = '12 hours' WHERE name = 'its own';
SELECT messages_marked FROM campaign_check_expired_interactions(as_of => '2025-01-02 12:00+00');
SELECT * FROM marked ORDER BY name;
-- Longer than there is time: nobody is silent for that long, whether replies may
-- be late or not.
UPDATE campaigns SET status = 'sending', completed_at = NULL, interaction_timeout = timeout
FROM (VALUES ('its own', interval '178000000 years'), ('the source''s', interval '299000 years')) AS t (of, timeout)
WHERE name = of;
UPDATE messages SET status = 'read';
SELECT messages_marked, campaigns_skipped FROM campaign_check_expired_interactions(as_of => '2025-01-03 12:00+00');
SELECT late_interactions FROM campaign_alter('public', 'late_interactions', 'accept');
DELETE FROM interactions;
SELECT messages_marked, campaigns_skipped FROM campaign_check_expired_interactions(as_of => '2025-01-03 12:00+00');
SELECT * FROM marked ORDER BY name;
SELECT late_interactions FROM campaign_alter('public', 'late_interactions', 'ignore');

-- A day has 24 hours where the clocks are changed, too.
TRUNCATE campaigns, contacts, messages, interactions;
SET TimeZone = 'Europe/Paris';
CALL contact('in time', 'reply', '2025-03-30 13:00+02', '2025-03-29 12:00+01');
CALL contact('late', 'reply', '2025-03-30 13:00:01+02', '2025-03-29 12:00+01');
SELECT messages_marked FROM campaign_check_expired_interactions(as_of => '2025-03-31 12:00+02');
SELECT * FROM marked ORDER BY name;
SET TimeZone = 'UTC';

-- Interactions that tell no campaign.
TRUNCATE campaigns, contacts, messages, interactions;
ALTER TABLE interactions ALTER campaign_id DROP NOT NULL;
CALL contact('told in time', 'reply', '2025-01-01 13:00+00');
CALL contact('told late', 'reply', '2025-01-02 13:00+00');
CALL contact('untold in time', 'reply', '2025-01-01 13:00+00');
CALL contact('untold late', 'reply', '2025-01-02 13:00+00');
UPDATE interactions SET campaign_id = NULL WHERE contact_id IN (id('untold in time'), id('untold late'));
SELECT messages_marked FROM campaign_check_expired_interactions(as_of => '2025-01-02 18:00+00', dry_run => true);
SELECT messages_marked FROM campaign_check_expired_interactions(as_of => '2025-01-02 18:00+00');
SELECT * FROM marked ORDER BY name;

-- campaign_explain() says by which rule.
CALL contact('explained', 'reply', '2025-01-02 13:00+00');
SELECT condition, detail FROM campaign_explain(id('explained'), as_of => '2025-01-02 18:00+00')
WHERE condition IN ('nobody awaited', 'late_interactions');
SELECT late_interactions FROM campaign_alter('public', 'late_interactions', 'accept');
SELECT condition, detail FROM campaign_explain(id('explained'), as_of => '2025-01-02 18:00+00')
WHERE condition IN ('nobody awaited', 'late_interactions');

-- What it does not take; and not without the column that it needs.
SELECT campaign_alter('public', 'late_interactions', 'perhaps');
SELECT campaign_alter('public', 'late_interactions', NULL);
SELECT late_interactions FROM campaign_alter('public', 'late_interactions', 'ignore');
DELETE FROM interactions WHERE campaign_id IS NULL;
ALTER TABLE interactions ALTER campaign_id SET NOT NULL;
ALTER TABLE interactions RENAME received_at TO came;
SELECT campaign_check_expired_interactions('public');
SELECT late_interactions FROM campaign_alter('public', 'late_interactions', 'accept');
SELECT campaign_alter('public', 'late_interactions', 'ignore');
