-- Rule "Reopening": what the extension closed as complete goes on if more is to
-- be sent; what the application ended stays ended.
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
-- The application adds a contact to a campaign.
CREATE PROCEDURE add_pending(campaign text) LANGUAGE sql AS $$
	INSERT INTO messages (campaign_id, contact_id, created_at)
	VALUES (id(campaign), id('9'), '2025-01-01 13:00+00')
$$;

-- Closed as complete; then a pending message appears: the next "sending" sweep
-- opens it again, without completed_at.
CALL campaign('closed as complete', 'read/sent failed');
CALL campaign('closed as complete, nothing new', 'read/sent');
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 12:00+00');
CALL add_pending('closed as complete');
SELECT campaigns_updated, campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 14:00+00');
SELECT name, status, completed_at, pending_count FROM campaigns ORDER BY name;
SELECT at, event, status_from, status_to, reason FROM campaign_event
WHERE campaign_id = id('closed as complete')::text ORDER BY id;
SELECT reopened_at FROM campaign_reopening WHERE campaign_id = id('closed as complete')::text;

-- The reopening is its start: its 48 hours count from there.
SELECT campaigns_closed FROM campaign_check_timeout(as_of => '2025-01-03 14:00+00');
SELECT campaigns_closed FROM campaign_check_timeout(as_of => '2025-01-03 14:00:01+00');
SELECT status, completed_at FROM campaigns WHERE name = 'closed as complete';
-- Closed by timeout now, it stays closed.
CALL campaign('closed by timeout', 'failed pending');
SELECT campaigns_closed FROM campaign_check_timeout(as_of => '2025-01-03 15:00+00');
UPDATE messages SET status = 'pending' WHERE error_message ~ 'Timeout';
SELECT campaigns_updated, campaigns_closed FROM campaign_check_sending(as_of => '2025-01-03 16:00+00');
SELECT name, status, completed_at, pending_count
FROM campaigns WHERE name <> 'closed as complete, nothing new' ORDER BY name;
DELETE FROM campaigns;

-- campaign_update_status() reopens as well.
CALL campaign('by hand of the application', 'failed');
SELECT status, changed, completed_at
FROM campaign_update_status(id('by hand of the application'), as_of => '2025-01-01 12:00+00');
CALL add_pending('by hand of the application');
SELECT previous_status, status, changed, pending_count, completed_at
FROM campaign_update_status(id('by hand of the application'), as_of => '2025-01-01 13:00+00');
-- When the new one is done, it closes again, at that moment.
UPDATE messages SET status = 'failed' WHERE status = 'pending';
SELECT previous_status, status, changed, completed_at
FROM campaign_update_status(id('by hand of the application'), as_of => '2025-01-01 15:00+00');
SELECT at, event, status_to FROM campaign_event
WHERE campaign_id = id('by hand of the application')::text ORDER BY id;

-- So does a Message 2 for one who answers late; until it has left, that
-- contact is awaited.
CALL campaign('late answer', 'no_interaction');
SELECT status FROM campaign_update_status(id('late answer'), as_of => '2025-01-01 12:00+00');
UPDATE messages SET status = 'read' WHERE campaign_id = id('late answer');
INSERT INTO messages (campaign_id, contact_id, message_type) VALUES (id('late answer'), id('1'), 'message_2');
SELECT status, contacts, contacts_completed
FROM campaign_update_status(id('late answer'), as_of => '2025-01-01 13:00+00');
SELECT event, details ->> 'pending' AS pending, details ->> 'awaiting' AS awaiting
FROM campaign_event WHERE campaign_id = id('late answer')::text ORDER BY id;
DELETE FROM campaigns WHERE name = 'late answer';

-- The other sweeps reopen nothing.
UPDATE messages SET status = 'pending' WHERE contact_id = id('9');
SELECT campaigns_updated FROM campaign_check_expired_interactions(as_of => '2025-01-01 16:00+00');
SELECT campaigns_updated FROM campaign_check_timeout(as_of => '2025-01-01 16:00+00');
SELECT campaigns_updated, campaigns_resumed
FROM campaign_recover_interrupted(as_of => '2025-01-01 16:00+00');
SELECT status, completed_at FROM campaigns;
DELETE FROM campaigns;

-- A message that was sent, but not by way of pending, does not reopen.
CALL campaign('one sent', 'failed');
SELECT status FROM campaign_update_status(id('one sent'), as_of => '2025-01-01 12:00+00');
INSERT INTO messages (campaign_id, contact_id, status) VALUES (id('one sent'), id('9'), 'sent');
SELECT status, changed FROM campaign_update_status(id('one sent'), as_of => '2025-01-01 13:00+00');
DELETE FROM campaigns;

-- Once settle_for (24 hours) is over, it stays closed.
CALL campaign('in time', 'failed');
CALL campaign('too late', 'failed');
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 12:00+00');
CALL add_pending('in time');
SELECT campaigns_updated FROM campaign_check_sending(as_of => '2025-01-02 11:59:59+00');
CALL add_pending('too late');
SELECT campaigns_updated, campaigns_closed FROM campaign_check_sending(as_of => '2025-01-02 12:00:01+00');
SELECT status, changed FROM campaign_update_status(id('too late'), as_of => '2025-01-02 12:00:01+00');
SELECT name, status FROM campaigns ORDER BY name;
DELETE FROM campaigns;

-- What the application itself ended is its own, whatever is pending.
CALL campaign('ended as completed', 'read/sent pending', 'completed');
CALL campaign('ended as failed', 'read/sent pending', 'failed');
CALL campaign('ended as failed, at a time', 'read/sent pending', 'failed');
UPDATE campaigns SET completed_at = '2025-01-01 11:00+00' WHERE name ~ 'at a time';
-- So is one that we closed, if it has changed the status since.
CALL campaign('we completed, it failed', 'read/sent');
CALL campaign('we failed, it completed', 'failed');
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 12:00+00');
UPDATE campaigns SET status = CASE status WHEN 'failed' THEN 'completed' ELSE 'failed' END
WHERE name ~ '^we';
CALL add_pending('we completed, it failed');
CALL add_pending('we failed, it completed');
SELECT campaigns_updated FROM campaign_check_sending(as_of => '2025-01-01 14:00+00');
SELECT name, c.status AS was, r.status, changed
FROM campaigns AS c, campaign_update_status(id, as_of => '2025-01-01 14:00+00') AS r ORDER BY name;
DELETE FROM campaigns;

-- And one that we closed, that it opened again, and that it then stopped with
-- the very status that we had written: a sweep saw it open in between, ...
CALL campaign('seen open in between', 'failed');
-- ... or nobody did, but completed_at is no longer ours.
CALL campaign('stopped without completed_at', 'failed');
CALL campaign('stopped at a time of its own', 'failed');
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 12:00+00');
UPDATE campaigns SET status = 'sending' WHERE name = 'seen open in between';
CALL add_pending('seen open in between');
CALL add_pending('stopped without completed_at');
CALL add_pending('stopped at a time of its own');
SELECT status, changed
FROM campaign_update_status(id('seen open in between'), as_of => '2025-01-01 13:01+00');
UPDATE campaigns SET status = 'failed' WHERE name = 'seen open in between';
UPDATE campaigns SET completed_at = NULL WHERE name = 'stopped without completed_at';
UPDATE campaigns SET completed_at = '2025-01-01 13:02+00' WHERE name = 'stopped at a time of its own';
SELECT campaigns_checked FROM campaign_check_sending(as_of => '2025-01-01 14:00+00');
SELECT name, status FROM campaigns ORDER BY name;
DELETE FROM campaigns;

-- A reopening outlives the history that tells of it.
CALL campaign('reopened', 'failed');
SELECT status FROM campaign_update_status(id('reopened'), as_of => '2025-01-01 12:00+00');
CALL add_pending('reopened');
SELECT status FROM campaign_update_status(id('reopened'), as_of => '2025-01-01 13:00+00');
UPDATE campaigns SET status = 'paused';
CALL campaign_run_sweeps();
SELECT count(*) AS events FROM campaign_event WHERE campaign_id = id('reopened')::text;
UPDATE campaigns SET status = 'sending';
SELECT campaigns_closed FROM campaign_check_timeout(as_of => '2025-01-03 13:00+00');
SELECT campaigns_closed FROM campaign_check_timeout(as_of => '2025-01-03 13:00:01+00');
