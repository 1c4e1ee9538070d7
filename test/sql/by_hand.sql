-- Rule "By hand": an operator closes or reopens a campaign, and says why.
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
CREATE VIEW events AS SELECT name, at, event, status_from, status_to, reason, details ->> 'sweep' AS sweep,
	details ->> 'failed_by_us' AS failed_by_us, details ->> 'awaiting' AS awaiting
FROM campaign_event AS e JOIN campaigns AS c ON c.id::text = e.campaign_id ORDER BY e.id;
CREATE VIEW rows AS SELECT name, m.message_type, m.status, m.error_message, count(*)
FROM campaigns AS c JOIN messages AS m ON m.campaign_id = c.id
GROUP BY 1, 2, 3, 4 ORDER BY name, 2, 3;
-- What a statement raises: SQLSTATE and message, and the hint below.
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE,
		message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RETURN pg_catalog.concat_ws(E'\n', state || ' ' || message, '      ' || nullif(hint, ''));
END $$;

-- Closing: what is pending fails with the reason, whatever is awaited stays as
-- it is, the statistics are counted.
CALL campaign('midway', 'pending pending/pending read/pending sent delivered failed no_interaction');
SELECT * FROM campaign_close(id('midway'), 'wrong price in the text', as_of => '2025-01-01 09:00+00') \gx
TABLE rows;
SELECT status, completed_at, updated_at, sent_count, success_count, failed_count, delivered_count, read_count,
	no_interaction_count, pending_count, interaction_count FROM campaigns \gx
TABLE events \gx
-- who gave the order
SELECT details ->> 'session_user' = session_user AS session_user,
	details ->> 'current_user' = current_user AS current_user FROM campaign_event;
SELECT closed_at, closed_as, closed_by FROM campaign_state;

-- It is not reopened by itself, ...
INSERT INTO messages (campaign_id, contact_id) VALUES (id('midway'), id('9'));
SELECT campaigns_updated, campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 10:00+00');
SELECT status, changed, pending_count FROM campaign_update_status(id('midway'), as_of => '2025-01-01 10:00+00');
-- ... but its statistics are kept right while it settles, and not after that.
SELECT status, pending_count FROM campaigns;
UPDATE messages SET status = 'read' WHERE status = 'pending';
SELECT campaigns_updated FROM campaign_check_sending(as_of => '2025-01-02 08:59+00');
SELECT read_count, pending_count, completed_at FROM campaigns;
UPDATE messages SET status = 'delivered' WHERE contact_id = id('9');
SELECT campaigns_updated FROM campaign_check_sending(as_of => '2025-01-02 09:01+00');
SELECT read_count, delivered_count FROM campaigns;
DELETE FROM campaigns;

-- The status is that of any complete campaign.
CALL campaign('failed: nothing else', 'pending failed');
CALL campaign('completed: one silent', 'pending no_interaction');
CALL campaign('completed: one sent', 'pending sent');
CALL campaign('completed: empty');
SELECT name, r.status, r.completed_at, total_failed
FROM campaigns AS c, campaign_close(id, 'stop', as_of => '2025-01-01 09:00+00') AS r ORDER BY name;
-- Unknown statuses prevent nothing, and stay; other types are none of ours.
ALTER TABLE messages DROP CONSTRAINT messages_status_check;
CALL campaign('unknown', 'pending queued');
INSERT INTO messages (campaign_id, contact_id, message_type) VALUES (id('unknown'), id('9'), 'inbound');
SELECT status, pending_count, failed_count FROM campaign_close(id('unknown'), 'stop', as_of => '2025-01-01 09:00+00');
SELECT * FROM rows WHERE name = 'unknown';
DELETE FROM campaigns;

-- Only an open campaign can be closed, only a terminal one reopened.
CALL campaign('sending', 'pending');
CALL campaign('completed', 'sent pending', 'completed');
CALL campaign('failed', 'failed pending', 'failed');
CALL campaign('paused', 'pending', 'paused');
CREATE TABLE before AS TABLE messages;
\pset format unaligned
\pset tuples_only on
SELECT name, try(format('SELECT campaign_close(%L, %L)', id, 'stop')) FROM campaigns WHERE status <> 'sending' ORDER BY name;
SELECT name, try(format('SELECT campaign_reopen(%L, %L)', id, 'go on')) FROM campaigns WHERE status ~ 'sending|paused' ORDER BY name;
-- A reason is needed.
SELECT try(format('SELECT campaign_close(%L, NULL)', id('sending')));
SELECT try(format('SELECT campaign_close(%L, %L)', id('sending'), ''));
SELECT try(format('SELECT campaign_reopen(%L, %L)', id('failed'), E' \t\n'));
SELECT try(format('SELECT campaign_reopen(%L, NULL)', id('failed')));
-- As of campaign_update_status().
SELECT try($$SELECT campaign_close(id('none'), 'stop')$$);
SELECT try($$SELECT campaign_reopen(id('none'), 'go on')$$);
SELECT try($$SELECT campaign_close(NULL::uuid, 'stop')$$);
SELECT try($$SELECT campaign_reopen(NULL::text, 'go on')$$);
SELECT try($$SELECT campaign_close(1, 'stop')$$);
SELECT try($$SELECT campaign_close('one', 'stop')$$);
SELECT try($$SELECT campaign_close(id('sending'), 'stop', 'nowhere')$$);
SELECT try($$SELECT campaign_reopen(id('failed'), 'go on', 'nowhere')$$);
SELECT try($$SELECT campaign_close(id('sending'), 'stop', as_of => 'infinity')$$);
SELECT try($$SELECT campaign_reopen(id('failed'), 'go on', as_of => '-infinity')$$);
BEGIN READ ONLY;
SELECT try($$SELECT campaign_close(id('sending'), 'stop')$$);
SELECT try($$SELECT campaign_reopen(id('failed'), 'go on')$$);
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT try($$SELECT campaign_close(id('sending'), 'stop')$$);
SELECT try($$SELECT campaign_reopen(id('failed'), 'go on')$$);
COMMIT;
-- A source that does not act: an operator's order is refused, too.
SELECT mode FROM campaign_alter('public', 'mode', 'shadow');
SELECT try($$SELECT campaign_close(id('sending'), 'stop')$$);
SELECT mode FROM campaign_alter('public', 'mode', 'paused');
SELECT try($$SELECT campaign_reopen(id('failed'), 'go on')$$);
SELECT mode FROM campaign_alter('public', 'mode', 'active');
DELETE FROM campaign_armed;
SELECT try($$SELECT campaign_close(id('sending'), 'stop')$$);
SELECT mode FROM campaign_alter('public', 'mode', 'active');
-- One that is held.
ALTER TABLE messages RENAME sent_at TO sent_on;
SELECT try($$SELECT campaign_close(id('sending'), 'stop')$$);
ALTER TABLE messages RENAME sent_on TO sent_at;
-- Messages that a trigger of the application's sets back.
CREATE FUNCTION set_back() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.status := OLD.status; RETURN NEW; END $$;
CREATE TRIGGER set_back BEFORE UPDATE ON messages FOR EACH ROW WHEN (NEW.status = 'failed') EXECUTE FUNCTION set_back();
SELECT try($$SELECT campaign_close(id('sending'), 'stop')$$);
DROP TRIGGER set_back ON messages;
\pset format aligned
\pset tuples_only off
-- Nothing was done.
SELECT count(*) AS unchanged FROM (TABLE before INTERSECT TABLE messages) AS m;
SELECT name, status, completed_at FROM campaigns ORDER BY name;
SELECT count(*) FROM campaign_event;
DELETE FROM campaigns;

-- What the table lacks is done without.
BEGIN;
DROP VIEW rows;
ALTER TABLE messages DROP COLUMN error_message;
ALTER TABLE campaigns DROP COLUMN failed_count;
CALL campaign('fewer columns', 'pending sent');
SELECT status, changed, failed_count FROM campaign_close(id('fewer columns'), 'stop', as_of => '2025-01-01 09:00+00');
SELECT m.status, count(*) FROM messages AS m GROUP BY 1 ORDER BY 1;
ROLLBACK;

-- Reopening: whoever closed it, it is open again, and starts at that moment.
CALL campaign('by the rules', 'read/sent pending');
UPDATE messages SET status = 'failed' WHERE status = 'pending';
SELECT status FROM campaign_update_status(id('by the rules'), as_of => '2025-01-01 09:00+00');
CALL campaign('by timeout', 'read/pending', start => '2024-12-25 00:00+00');
SELECT campaigns_closed FROM campaign_check_timeout(as_of => '2025-01-01 09:00+00');
CALL campaign('by hand', 'read/pending');
SELECT status FROM campaign_close(id('by hand'), 'stop', as_of => '2025-01-01 09:00+00');
CALL campaign('by the application', 'read pending', 'failed');
UPDATE campaigns SET completed_at = '2025-01-01 09:00+00' WHERE name ~ 'application';
UPDATE messages SET status = 'pending', error_message = NULL WHERE status = 'failed' AND message_type = 'message_2';
SELECT name, previous_status, r.status, changed, r.pending_count, r.completed_at
FROM campaigns AS c, campaign_reopen(id, 'the rest is to be sent', as_of => '2025-01-03 09:00+00') AS r ORDER BY name;
SELECT name, status, completed_at, pending_count, updated_at FROM campaigns ORDER BY name;
SELECT name, event, status_from, status_to, reason, sweep FROM events WHERE event = 'reopened' ORDER BY name;
SELECT name, reopened_at FROM campaign_reopening JOIN campaigns ON id::text = campaign_id ORDER BY name;
SELECT DISTINCT closed_at, closed_as, closed_by FROM campaign_state;
-- Nothing sends: stalled, from the reopening on.
SELECT campaigns_resumed FROM campaign_recover_interrupted(as_of => '2025-01-03 09:09+00');
SELECT campaigns_resumed FROM campaign_recover_interrupted(as_of => '2025-01-03 09:10+00');
-- Its 48 hours begin again; it may be closed as complete again, and then
-- reopened by itself.
SELECT campaigns_closed FROM campaign_check_timeout(as_of => '2025-01-05 09:00+00');
UPDATE messages SET status = 'sent' WHERE status = 'pending' AND campaign_id = id('by hand');
SELECT status FROM campaign_update_status(id('by hand'), as_of => '2025-01-05 09:00+00');
INSERT INTO messages (campaign_id, contact_id) VALUES (id('by hand'), id('9'));
SELECT status FROM campaign_update_status(id('by hand'), as_of => '2025-01-05 10:00+00');
SELECT campaigns_closed FROM campaign_check_timeout(as_of => '2025-01-05 09:00:01+00');
SELECT name, at, event, reason FROM events WHERE at >= '2025-01-05' ORDER BY name, at;
DELETE FROM campaigns;

-- One that is complete as it is: the next sweep would close it, so its messages
-- belong into the same transaction.
CALL campaign('done', 'read/sent');
SELECT status FROM campaign_close(id('done'), 'stop', as_of => '2025-01-01 09:00+00');
SELECT status FROM campaign_reopen(id('done'), 'more to come', as_of => '2025-01-01 10:00+00');
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 10:02+00');
BEGIN;
INSERT INTO messages (campaign_id, contact_id) VALUES (id('done'), id('9'));
SELECT status FROM campaign_reopen(id('done'), 'more to come', as_of => '2025-01-01 11:00+00');
COMMIT;
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 11:02+00');
SELECT status FROM campaigns;

-- The event is the application's to hear of.
CREATE TABLE heard (event jsonb);
CREATE FUNCTION hear(jsonb) RETURNS void LANGUAGE sql AS 'INSERT INTO heard VALUES ($1)';
SELECT on_event FROM campaign_alter('public', 'on_event', 'hear');
SELECT status FROM campaign_close(campaign_key => id('done')::text, reason => '  not needed any more ', as_of => '2025-01-01 12:00+00');
SELECT event ->> 'event' AS event, event ->> 'reason' AS reason FROM heard;
SELECT error_message FROM messages WHERE error_message IS NOT NULL;
-- and is gone with its transaction
BEGIN;
SELECT status FROM campaign_reopen(id('done'), 'changed my mind');
ROLLBACK;
SELECT status FROM campaigns;
SELECT count(*) FROM heard;
