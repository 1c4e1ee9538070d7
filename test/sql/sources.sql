-- Sources: several in one database, their settings and modes.
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';

-- No source yet: sweeps find nothing, one campaign cannot be found.
SELECT * FROM campaign_check_sending(as_of => '2025-01-01 12:00+00') \gx
SELECT status FROM campaign_update_status('11111111-1111-1111-1111-111111111111'::uuid);

-- The tables in two schemas: two sources, named after these.
CREATE SCHEMA north;
CREATE SCHEMA south;
SELECT source, campaigns, messages, interactions, contacts, mode
FROM campaign_create_tables('north');
SET search_path = south, public;
SELECT source, campaigns, messages, interactions, contacts, mode, search_path
FROM campaign_create_tables();
SET search_path = public;
-- What every setting is to begin with.
SELECT setting, value FROM campaign_source AS s, jsonb_each(to_jsonb(s)) AS j (setting, value)
WHERE source = 'north' AND setting !~ '^(attached|columns|labels)' ORDER BY setting COLLATE "C";

-- Campaigns in either.
CREATE FUNCTION id(name text) RETURNS uuid LANGUAGE sql IMMUTABLE AS
	$$ SELECT md5(name)::uuid $$;
-- A campaign with a contact for each word, the status of Message 1.
CREATE PROCEDURE campaign(source text, name text, contacts text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', source || ', public', true);
	INSERT INTO campaigns (id, name, status, created_at, started_at)
	VALUES (id(name), name, 'sending', '2025-01-01 00:00+00', '2025-01-01 00:00+00');
	INSERT INTO contacts (id, full_number)
	SELECT id(n::text), n FROM generate_series(1, 10) AS n ON CONFLICT DO NOTHING;
	INSERT INTO messages (campaign_id, contact_id, status, sent_at)
	SELECT id(name), id(n::text), status, CASE WHEN status <> 'pending' THEN timestamptz '2025-01-01 00:00+00' END
	FROM string_to_table(contacts, ' ') WITH ORDINALITY AS c (status, n);
END $$;
CREATE VIEW everything AS
	SELECT 'north' AS source, c.name COLLATE "C" AS name, c.status, c.completed_at, m.status AS message, m.error_message
	FROM north.campaigns AS c LEFT JOIN north.messages AS m ON m.campaign_id = c.id
	UNION ALL
	SELECT 'south', c.name, c.status, c.completed_at, m.status, m.error_message
	FROM south.campaigns AS c LEFT JOIN south.messages AS m ON m.campaign_id = c.id
	ORDER BY 1, 2, 5;

-- With two sources, a campaign's has to be named.
CALL campaign('north', 'first', 'failed');
CALL campaign('south', 'first', 'no_interaction');
SELECT status FROM campaign_update_status(id('first'), as_of => '2025-01-01 12:00+00');
SELECT source, status FROM campaign_update_status(id('first'), 'north', '2025-01-01 12:00+00');
TABLE everything;

-- A sweep goes over the source that is named ...
CALL campaign('north', 'second', 'failed');
CALL campaign('south', 'second', 'failed');
SELECT campaigns_checked, campaigns_closed FROM campaign_check_sending('south', '2025-01-01 13:00+00');
TABLE everything;
-- ... or over all of them, and adds up the counts.
CALL campaign('south', 'third', 'sent pending');
SELECT campaigns_checked, campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 14:00+00');
TABLE everything;
SELECT source, sweep, campaigns_checked FROM campaign_sweep_run ORDER BY id;
SELECT source, event, at FROM campaign_event ORDER BY id;

-- A setting is one source's.  The messages name the interval in force.
DELETE FROM north.campaigns;
DELETE FROM south.campaigns;
SELECT source, interaction_timeout FROM campaign_alter('north', 'interaction_timeout', '36 hours');
SELECT source, campaign_timeout FROM campaign_alter('north', 'campaign_timeout', '3 days');
CALL campaign('north', 'a', 'sent pending');
CALL campaign('south', 'a', 'sent pending');
SELECT messages_marked FROM campaign_check_expired_interactions(as_of => '2025-01-02 00:00:01+00');
TABLE everything;
SELECT messages_marked FROM campaign_check_expired_interactions(as_of => '2025-01-02 12:00:01+00');
SELECT campaigns_closed, messages_marked FROM campaign_check_timeout(as_of => '2025-01-03 00:00:01+00');
SELECT campaigns_closed, messages_marked FROM campaign_check_timeout(as_of => '2025-01-04 00:00:01+00');
TABLE everything;

-- Own texts are written as they are; NULL brings back the default.
SELECT interaction_message FROM campaign_alter('north', 'interaction_message', 'No answer.');
SELECT timeout_message FROM campaign_alter('north', 'timeout_message', 'Time''s up: 100 % "done"');
CALL campaign('north', 'b', 'sent pending');
SELECT campaigns_closed FROM campaign_check_timeout('north', '2025-01-04 00:00:01+00');
SELECT interaction_message FROM campaign_alter('north', 'interaction_message', NULL);
SELECT campaign_timeout FROM campaign_alter('north', 'campaign_timeout', '90 minutes');
SELECT interaction_timeout FROM campaign_alter('north', 'interaction_timeout', '45 seconds');
SELECT timeout_message FROM campaign_alter('north', 'timeout_message', NULL);
CALL campaign('north', 'c', 'sent pending');
SELECT campaigns_closed FROM campaign_check_timeout('north', '2025-01-01 01:30:01+00');
SELECT name, message, error_message FROM everything WHERE source = 'north' AND name > 'a';

-- campaign_alter() returns the source as it is now.
CREATE TABLE altered AS SELECT * FROM campaign_alter('north', 'batch_size', '100');
SELECT source, batch_size, interaction_timeout, campaign_timeout FROM altered;
SELECT count(*) AS "the new row" FROM (TABLE altered INTERSECT TABLE campaign_source) AS same;

-- Mode paused: nothing is done, and it says so; a dry run still tells.
DELETE FROM north.campaigns;
DELETE FROM south.campaigns;
SELECT source, mode FROM campaign_alter('north', 'mode', 'paused');
CALL campaign('north', 'd', 'failed');
CALL campaign('south', 'd', 'failed');
SELECT campaigns_closed FROM campaign_check_sending('north', '2025-01-01 12:00+00', dry_run => true);
SELECT campaigns_checked, campaigns_closed FROM campaign_check_sending('north', '2025-01-01 12:00+00');
SELECT previous_status, status, changed, failed_count, completed_at
FROM campaign_update_status(id('d'), 'north', '2025-01-01 12:00+00');
CALL campaign_run_sweeps('north', force => true);
-- The other source is not concerned.
SELECT campaigns_checked, campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 12:00+00');
TABLE everything;

-- Mode shadow: what would be done is recorded and not done.
DELETE FROM north.campaigns;
SELECT source, mode FROM campaign_alter('north', 'mode', 'shadow');
SELECT interaction_timeout FROM campaign_alter('north', 'interaction_timeout', '24 hours');
SELECT campaign_timeout FROM campaign_alter('north', 'campaign_timeout', '48 hours');
TRUNCATE campaign_event, campaign_sweep_run;
CALL campaign('north', 'complete', 'failed');
CALL campaign('north', 'silent', 'sent sent pending');
CALL campaign('north', 'open', 'pending');
UPDATE north.messages SET sent_at = '2025-01-02 01:00+00'
WHERE campaign_id = id('silent') AND contact_id = id('2');
UPDATE north.campaigns SET started_at = '2025-01-02 01:50+00' WHERE name = 'open';
CREATE TABLE campaigns_before AS TABLE north.campaigns;
CREATE TABLE messages_before AS TABLE north.messages;
CREATE VIEW shadow AS SELECT name, event, status_from, status_to, reason, at, details ->> 'messages' AS messages,
	details ->> 'number' AS number
FROM campaign_event JOIN north.campaigns ON campaigns.id::text = campaign_id WHERE shadow;
SELECT campaigns_checked, campaigns_closed FROM campaign_check_sending('north', '2025-01-01 12:00+00');
SELECT campaigns_closed, messages_marked FROM campaign_check_expired_interactions('north', '2025-01-02 01:30+00');
SELECT campaigns_resumed FROM campaign_recover_interrupted('north', '2025-01-02 01:30+00');
SELECT * FROM shadow ORDER BY at, event;
-- Once a change: the same again is not recorded again, whichever sweep comes by.
SELECT campaigns_closed FROM campaign_check_sending('north', '2025-01-02 01:40+00');
SELECT messages_marked FROM campaign_check_expired_interactions('north', '2025-01-02 01:40+00');
SELECT campaigns_resumed FROM campaign_recover_interrupted('north', '2025-01-02 01:40+00');
SELECT previous_status, status, changed
FROM campaign_update_status(id('complete'), 'north', '2025-01-02 01:40+00');
SELECT count(*) FROM shadow;
-- A change is: one more is silent.
SELECT messages_marked FROM campaign_check_expired_interactions('north', '2025-01-03 01:30+00');
SELECT name, event, at, messages FROM shadow ORDER BY at, event OFFSET 3;
-- Nothing of the application's was changed, and nobody was notified: every
-- event is a shadow.
SELECT count(*) AS campaigns_unchanged FROM (TABLE campaigns_before INTERSECT TABLE north.campaigns) AS c;
SELECT count(*) AS messages_unchanged FROM (TABLE messages_before INTERSECT TABLE north.messages) AS m;
SELECT bool_and(shadow) FROM campaign_event;

-- Activated, it acts.
SELECT source, mode FROM campaign_alter('north', 'mode', 'active');
SELECT campaigns_closed, messages_marked FROM campaign_check_expired_interactions('north', '2025-01-02 01:50+00');
SELECT campaigns_closed FROM campaign_check_sending('north', '2025-01-02 01:50+00');
SELECT source, name, status, message FROM everything WHERE source = 'north';

-- Detached, a source is forgotten with its history; its tables stay.
SELECT campaign_detach('north');
SELECT source FROM campaign_source;
SELECT (SELECT count(*) FROM campaign_armed WHERE source = 'north') AS armed,
	(SELECT count(*) FROM campaign_event WHERE source = 'north') AS events,
	(SELECT count(*) FROM campaign_sweep_run WHERE source = 'north') AS runs,
	(SELECT count(*) FROM campaign_state WHERE source = 'north') AS states;
SELECT count(*) FROM north.campaigns;
UPDATE north.campaigns SET status = 'sending';
SELECT campaigns_checked FROM campaign_check_sending(as_of => '2025-01-03 12:00+00');
SELECT campaigns_checked FROM campaign_check_sending('north', '2025-01-03 12:00+00');
-- The other one is the only one now.
SELECT source, status FROM campaign_update_status(id('d'), as_of => '2025-01-03 12:00+00');
