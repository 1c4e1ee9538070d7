-- campaign_preview(): what the sweeps that run right after it do, row by row;
-- it writes and locks nothing.
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';

-- No source yet.
SELECT * FROM campaign_preview();
SELECT * FROM campaign_preview('shop');

CREATE SCHEMA shop;
SET search_path = shop, public;
SELECT source, mode FROM campaign_create_tables();
ALTER TABLE messages DROP CONSTRAINT messages_status_check;
ALTER TABLE campaigns ADD COLUMN completion_rule text, ADD COLUMN interaction_timeout interval;
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

-- Campaigns that will have been open for 48 hours by 2025-01-03 00:30.
CALL campaign('late, awaiting', 'sent/pending pending read');
CALL campaign('late, complete', 'read/sent failed');
CALL campaign('late, empty');
CALL campaign('late, failed', 'pending pending');
CALL campaign('late, replied', 'read delivered pending');
INSERT INTO interactions (campaign_id, contact_id, interaction_type) VALUES (id('late, replied'), id('1'), 'reply');
CALL campaign('late, silent', 'sent delivered read read');
CALL campaign('late, unmapped', 'bounced sent');
CALL campaign('late, held back', 'sent pending');
-- And of the day after that.
CALL campaign('day, complete', 'read/sent failed', start => '2025-01-02 00:00+00');
CALL campaign('day, failed', 'failed failed', start => '2025-01-02 00:00+00');
CALL campaign('day, silent', 'sent sent delivered read failed', start => '2025-01-02 00:00+00');
CALL campaign('day, silent, not complete', 'sent delivered pending', start => '2025-01-02 00:00+00');
UPDATE messages SET sent_at = '2025-01-03 00:20+00' WHERE campaign_id = id('day, silent, not complete') AND contact_id = id('2');
CALL campaign('day, replied', 'read read', start => '2025-01-02 00:00+00');
INSERT INTO interactions (campaign_id, contact_id, interaction_type)
VALUES (id('day, replied'), id('1'), 'reaction'), (id('day, replied'), id('2'), 'delivered');
CALL campaign('day, unmapped', 'bounced sent failed', start => '2025-01-02 00:00+00');
CALL campaign('day, empty', start => '2025-01-02 00:00+00');
CALL campaign('day, filling', 'failed failed', start => '2025-01-02 00:00+00');
UPDATE campaigns SET total_recipients = 3 WHERE name = 'day, filling';
CALL campaign('day, filled', 'failed failed', start => '2025-01-02 00:00+00');
UPDATE campaigns SET total_recipients = 2 WHERE name = 'day, filled';
CALL campaign('day, rule messages', 'sent delivered', start => '2025-01-02 12:00+00');
UPDATE campaigns SET completion_rule = 'messages' WHERE name = 'day, rule messages';
CALL campaign('day, own timeout', 'sent failed', start => '2025-01-02 12:00+00');
UPDATE campaigns SET interaction_timeout = '1 hour' WHERE name = 'day, own timeout';
CALL campaign('day, contacts unknown', 'failed', start => '2025-01-02 00:00+00');
INSERT INTO messages (campaign_id, status, sent_at) SELECT id('day, contacts unknown'), 'sent', '2025-01-02 00:00+00' FROM generate_series(1, 2);
CALL campaign('day, inbound', 'failed', start => '2025-01-02 00:00+00');
INSERT INTO messages (campaign_id, message_type, status) VALUES (id('day, inbound'), 'inbound', 'pending');
CALL campaign('day, held back', 'failed', start => '2025-01-02 00:00+00');
-- Others' statuses, with something to do in each if it were open.
CALL campaign('draft', 'sent pending', 'draft');
CALL campaign('paused', 'sent pending', 'paused');
CALL campaign('stopped', 'sent pending', 'failed');
-- Stalled: never asked to resume, asked and to be asked again, asked lately;
-- one that is sending, and one with nothing pending.
CALL campaign('stalled', 'pending pending failed', start => '2025-01-03 00:00+00');
CALL campaign('stalled again', 'pending', start => '2025-01-03 00:00+00');
CALL campaign('stalled lately', 'pending', start => '2025-01-03 00:00+00');
INSERT INTO campaign_state (source, campaign_id, stalls, stalled_at, noted_at)
VALUES ('shop', id('stalled again')::text, 2, '2025-01-03 00:10+00', '2025-01-03 00:10+00'),
	('shop', id('stalled lately')::text, 2, '2025-01-03 00:10:01+00', '2025-01-03 00:10:01+00');
CALL campaign('sends', 'pending sent', start => '2025-01-03 00:00+00');
UPDATE messages SET sent_at = '2025-01-03 00:25+00' WHERE campaign_id = id('sends') AND status = 'sent';
-- Closed by us before: gets a new pending message; late callbacks; opened
-- again by the application; by the timeout, with a new pending message;
-- longer ago than settle_for.
CALL campaign('closed, reopens', 'failed', start => '2025-01-02 00:00+00');
CALL campaign('closed, callback', 'failed', start => '2025-01-02 00:00+00');
CALL campaign('closed, opened', 'failed', start => '2025-01-02 00:00+00');
CALL campaign('closed, deleted', 'failed', start => '2025-01-02 00:00+00');
CALL campaign('closed, long ago', 'failed', start => '2025-01-01 00:00+00');
CALL campaign('closed, timeout', 'pending', start => '2024-12-01 00:00+00');
SELECT name, u.status FROM campaigns, campaign_update_status(id, as_of => '2025-01-02 00:31+00') AS u
WHERE name IN ('closed, reopens', 'closed, callback', 'closed, opened', 'closed, deleted') ORDER BY name;
SELECT status FROM campaign_update_status(id('closed, long ago'), as_of => '2025-01-02 00:29+00');
SELECT campaigns_closed FROM campaign_check_timeout(as_of => '2025-01-02 12:00+00');
INSERT INTO messages (campaign_id, contact_id)
SELECT id(name), id('9') FROM campaigns WHERE name IN ('closed, reopens', 'closed, timeout', 'closed, long ago');
UPDATE messages SET status = 'delivered' WHERE campaign_id = id('closed, callback');
UPDATE campaigns SET status = 'sending' WHERE name = 'closed, opened';
DELETE FROM campaigns WHERE name = 'closed, deleted';
-- One that a sweep is to leave alone for a while, and one that it is not.
INSERT INTO campaign_retry (source, campaign_id, sweep, failures, retry_at)
SELECT 'shop', id('day, held back')::text, sweep, 3, timestamptz '2025-01-03 00:31+00' FROM unnest('{sending,interrupted}'::text[]) AS sweep
UNION ALL SELECT 'shop', id('late, held back')::text, 'expired', 3, '2025-01-03 00:31+00'
UNION ALL SELECT 'shop', id('day, complete')::text, 'sending', 3, '2025-01-03 00:30+00';

-- A key of a type that the campaigns have no more.
INSERT INTO campaign_state (source, campaign_id, closed_at, closed_as, closed_by, noted_at)
VALUES ('shop', '4711', '2025-01-02 12:00+00', 'completed', 'complete', '2025-01-02 12:00+00');

-- The rows of every table: the application's and the extension's.
CREATE VIEW checksum AS SELECT md5(string_agg(r, E'\n' ORDER BY r COLLATE "C")) AS checksum FROM (
	SELECT t.*::text FROM campaigns AS t UNION ALL SELECT t.*::text FROM messages AS t
	UNION ALL SELECT t.*::text FROM interactions AS t UNION ALL SELECT t.*::text FROM contacts AS t
	UNION ALL SELECT t.*::text FROM campaign_source AS t UNION ALL SELECT t.*::text FROM campaign_event AS t
	UNION ALL SELECT t.*::text FROM campaign_sweep_run AS t UNION ALL SELECT t.*::text FROM campaign_state AS t
	UNION ALL SELECT t.*::text FROM campaign_reopening AS t UNION ALL SELECT t.*::text FROM campaign_retry AS t
	UNION ALL SELECT t.*::text FROM campaign_armed AS t) AS rows (r);
-- What the current transaction holds, but for the right to read, and whether
-- it has written anything.
CREATE VIEW held AS SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS writes,
	(SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()
		AND mode <> 'AccessShareLock' AND locktype <> 'virtualxid') AS locks;
SELECT checksum FROM checksum \gset before_

-- It needs neither a transaction that may write nor READ COMMITTED.
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
SELECT count(*) AS rows FROM campaign_preview('shop', '2025-01-03 00:30+00') \gset serializable_
COMMIT;
BEGIN;
SELECT count(*) AS rows FROM campaign_preview('shop', '2025-01-03 00:30+00') \gset
TABLE held;
COMMIT;
SELECT checksum = :'before_checksum' AS unchanged, :rows = :serializable_rows AS same FROM checksum;

CREATE TABLE preview AS SELECT p.* FROM campaign_preview('shop', '2025-01-03 00:30+00') WITH ORDINALITY AS p
	(source, campaign_id, sweep, what, count, status_from, status_to, reason, n);
SELECT name, sweep, what, count, status_from, status_to, reason
FROM preview LEFT JOIN campaigns ON campaigns.id = campaign_id::uuid ORDER BY name, n;
-- By campaign, in the order of their keys.
SELECT count(*) AS "out of order" FROM preview AS a JOIN preview AS b ON b.n = a.n + 1
WHERE b.campaign_id::uuid < a.campaign_id::uuid;

-- The property: the sweeps do that, and nothing else.
CREATE TABLE messages_before AS TABLE messages;
CREATE TABLE campaigns_before AS TABLE campaigns;
SELECT coalesce(max(id), 0) AS last FROM campaign_event \gset
SELECT campaigns_closed, campaigns_skipped, messages_marked FROM campaign_check_expired_interactions('shop', '2025-01-03 00:30+00');
SELECT campaigns_closed, campaigns_skipped, messages_marked FROM campaign_check_timeout('shop', '2025-01-03 00:30+00');
SELECT campaigns_closed, campaigns_skipped FROM campaign_check_sending('shop', '2025-01-03 00:30+00');
SELECT campaigns_closed, campaigns_skipped, campaigns_resumed FROM campaign_recover_interrupted('shop', '2025-01-03 00:30+00');
-- ... to the tables of the application, ...
CREATE TEMP VIEW changes AS
	SELECT campaign_id::text, 'messages' AS what, count(*), b.status AS status_from, a.status AS status_to, a.error_message AS reason
	FROM messages AS a JOIN messages_before AS b USING (id, campaign_id) WHERE a.status <> b.status GROUP BY 1, 4, 5, 6
	UNION ALL
	SELECT id::text, 'campaign', NULL, b.status, a.status, NULL
	FROM campaigns AS a JOIN campaigns_before AS b USING (id) WHERE a.status <> b.status;
CREATE TEMP VIEW foretold AS
	SELECT campaign_id, what, count, status_from, status_to, CASE what WHEN 'messages' THEN reason END AS reason
	FROM preview WHERE what IN ('messages', 'campaign');
SELECT count(*) > 0 AS some FROM changes;
(TABLE changes EXCEPT ALL TABLE foretold) UNION ALL (TABLE foretold EXCEPT ALL TABLE changes);
-- ... by the same sweeps, for the same reasons.
CREATE TEMP VIEW events AS
	SELECT campaign_id, event, details ->> 'sweep' AS sweep, (details ->> 'messages')::bigint AS count, status_from, status_to, reason
	FROM campaign_event WHERE id > :last AND event = 'expired'
	UNION ALL
	SELECT campaign_id, event, details ->> 'sweep', NULL, status_from, status_to, reason
	FROM campaign_event WHERE id > :last AND event IN ('closed', 'reopened')
	UNION ALL
	SELECT campaign_id, event, 'interrupted', (details ->> 'pending')::bigint, status_from, status_to, reason
	FROM campaign_event WHERE id > :last AND event = 'stalled';
CREATE TEMP VIEW events_foretold AS
	SELECT campaign_id, 'expired' AS event, sweep, sum(count)::bigint AS count, 'sending' AS status_from, 'sending' AS status_to, reason
	FROM preview WHERE what = 'messages' AND status_to = 'no_interaction' GROUP BY campaign_id, sweep, reason
	UNION ALL
	SELECT campaign_id, CASE status_to WHEN 'sending' THEN 'reopened' ELSE 'closed' END, sweep, count, status_from, status_to, reason
	FROM preview WHERE what = 'campaign'
	UNION ALL
	SELECT campaign_id, what, sweep, count, status_from, status_to, reason FROM preview WHERE what = 'stalled';
SELECT event, count(*) > 0 AS some FROM events GROUP BY event ORDER BY event;
(TABLE events EXCEPT ALL TABLE events_foretold) UNION ALL (TABLE events_foretold EXCEPT ALL TABLE events);
-- Afterwards there is nothing left to do at that moment.
SELECT name, sweep, what FROM campaign_preview('shop', '2025-01-03 00:30+00') JOIN campaigns ON campaigns.id = campaign_id::uuid;

-- Any mode will do, and a source that was not activated here.
CALL campaign('one more', 'pending sent', start => '2025-01-03 00:00+00');
SELECT mode FROM campaign_alter('shop', 'mode', 'shadow');
SELECT sweep, what, count FROM campaign_preview('shop', '2025-01-03 00:30+00');
SELECT mode FROM campaign_alter('shop', 'mode', 'paused');
SELECT sweep, what, count FROM campaign_preview('shop', '2025-01-03 00:30+00');
SELECT mode FROM campaign_alter('shop', 'mode', 'active');
DELETE FROM campaign_armed;
SELECT sweep, what, count FROM campaign_preview(as_of => '2025-01-03 00:30+00');
SELECT count(*) > 0 AS "the present moment" FROM campaign_preview();
SELECT * FROM campaign_preview('shop', 'infinity');
SELECT * FROM campaign_preview('nothing', '2025-01-03 00:30+00');

-- While nothing is heard of anybody, nobody would be marked.
UPDATE messages SET updated_at = '2025-01-03 00:00+00';
UPDATE interactions SET received_at = '2025-01-03 00:00+00';
SELECT blackout_after FROM campaign_alter('shop', 'blackout_after', '1 hour');
SELECT sweep, what, count FROM campaign_preview('shop', '2025-01-04 00:30+00')
WHERE campaign_id = id('one more')::text OR status_to = 'no_interaction';
SELECT blackout_after FROM campaign_alter('shop', 'blackout_after', NULL);
SELECT sweep, what, count FROM campaign_preview('shop', '2025-01-04 00:30+00') WHERE campaign_id = id('one more')::text;

-- Several words for a status, and a campaign that cannot be judged: it does not
-- hide the others.
CREATE SCHEMA odd;
SELECT source FROM campaign_create_tables('odd');
ALTER TABLE odd.messages DROP CONSTRAINT messages_status_check;
SET client_min_messages = error;
DROP TRIGGER campaign_autoclose ON odd.messages;
RESET client_min_messages;
ALTER TABLE odd.messages ALTER sent_at TYPE timestamp;
SELECT time_zone FROM campaign_alter('odd', 'time_zone', 'America/New_York');
UPDATE campaign_source SET labels = '{"messages": {"pending": ["pending", "queued"], "delivered": ["delivered", "arrived"]}}' WHERE source = 'odd';
INSERT INTO odd.campaigns (id, name, status, created_at)
SELECT id(name), name, 'sending', '2025-01-01 00:00+00' FROM unnest('{a,b,c}'::text[]) AS name;
INSERT INTO odd.contacts (id, full_number) SELECT id(n::text), n FROM generate_series(1, 3) AS n;
INSERT INTO odd.messages (campaign_id, contact_id, status, sent_at, created_at)
SELECT id(name), id(n::text), status, sent_at, '2025-01-01 00:00+00' FROM (VALUES
	('a', 1, 'queued', NULL), ('a', 2, 'arrived', timestamp '2025-01-01 00:00'), ('a', 3, 'delivered', timestamp '2025-01-01 00:00'),
	('b', 1, 'sent', timestamp '294276-12-31 23:59'),
	('c', 1, 'failed', NULL)) AS m (name, n, status, sent_at);
SELECT name, sweep, what, count, status_from, status_to, reason
FROM campaign_preview('odd', '2025-01-02 12:00+00') AS p LEFT JOIN odd.campaigns ON campaigns.id = p.campaign_id::uuid ORDER BY name;
-- All sources, in the order of their names.
SELECT source, count(*), count(*) FILTER (WHERE what = 'error') AS errors
FROM campaign_preview(as_of => '2025-01-02 12:00+00') WITH ORDINALITY GROUP BY source ORDER BY min(ordinality);
-- What is wrong with a source: an error where it is named, else a warning.
ALTER TABLE odd.messages DROP COLUMN status CASCADE;
SELECT * FROM campaign_preview('odd', '2025-01-03 00:30+00');
SELECT source, sweep, what, count FROM campaign_preview(as_of => '2025-01-03 00:30+00');

-- An application's own tables: integer keys in their order, be the campaigns
-- open or closed lately, and its own words.
CREATE SCHEMA own;
CREATE TABLE own.mailings (no integer PRIMARY KEY, state text, made timestamptz NOT NULL);
CREATE TABLE own.posts (id bigserial PRIMARY KEY, mailing integer, person text, state text, made timestamptz NOT NULL);
SET client_min_messages = error;
SELECT source FROM campaign_attach('own', 'own.mailings', 'own.posts',
	columns => '{"campaigns": {"id": "no", "status": "state", "created_at": "made"},
		"messages": {"campaign_id": "mailing", "contact_id": "person", "status": "state", "created_at": "made"}}',
	labels => '{"campaigns": {"sending": "going", "completed": "done", "failed": "lost"},
		"messages": {"pending": ["queued", "accepted"], "sent": ["out"], "failed": ["bounced", "refused"]}}');
RESET client_min_messages;
INSERT INTO own.mailings SELECT n, 'going', '2025-01-01 00:00+00' FROM unnest('{1,2,9,10,100}'::integer[]) AS n;
INSERT INTO own.posts (mailing, person, state, made) VALUES
	(1, 'a', 'bounced', '2025-01-01 00:00+00'), (2, 'a', 'queued', '2025-01-01 00:00+00'), (2, 'b', 'accepted', '2025-01-01 00:00+00'),
	(9, 'a', 'refused', '2025-01-01 00:00+00'), (10, 'a', 'out', '2025-01-01 00:00+00'), (100, 'a', 'bounced', '2025-01-01 00:00+00');
SELECT mode FROM campaign_alter('own', 'mode', 'active');
SELECT status FROM campaign_update_status(9, 'own', '2025-01-01 01:00+00');
INSERT INTO own.posts (mailing, person, state, made) VALUES (9, 'b', 'queued', '2025-01-01 00:00+00');
SELECT campaign_id, sweep, what, count, status_from, status_to FROM campaign_preview('own', '2025-01-01 12:00+00');
SELECT campaign_id, sweep, what, count, status_from, status_to FROM campaign_preview('own', '2025-01-03 12:00+00');

-- The right to read will do, and is needed.
CREATE ROLE regress_autoclose_reader;
CREATE ROLE regress_autoclose_nobody;
GRANT USAGE ON SCHEMA shop TO regress_autoclose_reader, regress_autoclose_nobody;
GRANT SELECT ON campaigns, messages, interactions TO regress_autoclose_reader;
SET ROLE regress_autoclose_reader;
SELECT source, sweep, what, count FROM campaign_preview(as_of => '2025-01-03 00:30+00');
SET ROLE regress_autoclose_nobody;
SELECT * FROM campaign_preview('shop', '2025-01-03 00:30+00');
SELECT * FROM campaign_preview(as_of => '2025-01-03 00:30+00');
RESET ROLE;
-- Row-level security that hides rows is an error, never a partial answer.
ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY none ON messages USING (false);
SET ROLE regress_autoclose_reader;
SELECT * FROM campaign_preview('shop', '2025-01-03 00:30+00');
RESET ROLE;
SELECT sweep, what, count FROM campaign_preview('shop', '2025-01-03 00:30+00');
DROP OWNED BY regress_autoclose_reader, regress_autoclose_nobody;
DROP ROLE regress_autoclose_reader, regress_autoclose_nobody;

-- Where no column tells when a message was sent, a marked one tells it no more:
-- the campaign has then sent nothing for long.
CREATE TABLE plain_campaigns (id int PRIMARY KEY, status text, created_at timestamptz);
CREATE TABLE plain_messages (id int PRIMARY KEY, campaign_id int, contact_id int, status text, message_type text, created_at timestamptz, updated_at timestamptz);
SELECT source FROM campaign_attach('plain', 'plain_campaigns', 'plain_messages');
INSERT INTO plain_campaigns VALUES (1, 'sending', '2025-03-01 00:00+00');
INSERT INTO plain_messages VALUES (1, 1, 1, 'pending', 'message_1', '2025-03-01 00:00+00', '2025-03-01 00:00+00'),
	(2, 1, 2, 'read', 'message_1', '2025-03-01 00:00+00', '2025-03-02 00:59+00'),
	(3, 1, 3, 'sent', 'message_1', '2025-03-02 00:45+00', '2025-03-02 00:45+00');
SELECT campaign_id, sweep, what, count FROM campaign_preview('plain', as_of => '2025-03-02 01:00+00');
SELECT campaigns_resumed, messages_marked FROM campaign_check_expired_interactions('plain', as_of => '2025-03-02 01:00+00');
SELECT campaigns_resumed, messages_marked FROM campaign_recover_interrupted('plain', as_of => '2025-03-02 01:00+00');
