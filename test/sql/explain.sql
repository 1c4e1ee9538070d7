-- campaign_explain(): why a campaign is, or is not, closed, condition by
-- condition, and when it will be.
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

-- What holds a campaign open: everything.  Contacts 1 and 2 are pending, one
-- with a Message 2 too; 3 has a pending Message 2; 4 and 5 are silent, 6 has
-- replied; two messages are in statuses that nobody knows.
ALTER TABLE messages DROP CONSTRAINT messages_status_check;
CALL campaign('everything', 'pending pending/pending read/pending sent delivered read queued parked failed');
UPDATE campaigns SET total_recipients = 12;
UPDATE messages SET sent_at = '2025-01-01 05:00+00' WHERE status = 'delivered';
UPDATE messages SET created_at = '2024-12-31 12:00+00' WHERE contact_id = id('2') AND message_type = 'message_1';
INSERT INTO interactions (campaign_id, contact_id, interaction_type) VALUES (id('everything'), id('6'), 'reply');
SELECT * FROM campaign_explain(id('everything'), as_of => '2025-01-01 06:00+00');

-- Awaiting contacts: with earliest and latest deadline ...
CALL campaign('silent', 'sent delivered read no_interaction failed read/sent');
UPDATE messages SET sent_at = '2025-01-01 03:00+00' WHERE campaign_id = id('silent') AND status = 'delivered';
SELECT * FROM campaign_explain(id('silent'), as_of => '2025-01-01 06:00+00');
-- ... one whose time is up, at the cutoff and after it
SELECT * FROM campaign_explain(id('silent'), as_of => '2025-01-02 00:00+00') WHERE condition IN ('closed', 'nobody awaited');
SELECT * FROM campaign_explain(id('silent'), as_of => '2025-01-02 00:00:01+00') WHERE condition IN ('closed', 'nobody awaited');
-- ... all of them, for so long that the sweep is late
SELECT * FROM campaign_explain(id('silent'), as_of => '2025-01-02 05:00+00') WHERE condition IN ('closed', 'nobody awaited');
-- ... a single one; with two rows of Message 1 the later counts; without
-- sent_at the row's creation or the campaign's start
CALL campaign('one', 'sent failed');
ALTER TABLE messages DROP CONSTRAINT messages_campaign_id_contact_id_message_type_key;
INSERT INTO messages (campaign_id, contact_id, status, created_at, sent_at)
VALUES (id('one'), id('1'), 'read', '2025-01-01 00:00+00', '2025-01-01 02:00+00');
SELECT * FROM campaign_explain(id('one'), as_of => '2025-01-01 06:00+00') WHERE condition = 'nobody awaited';
UPDATE messages SET sent_at = NULL WHERE campaign_id = id('one');
SELECT * FROM campaign_explain(id('one'), as_of => '2025-01-01 06:00+00') WHERE condition = 'nobody awaited';
-- ... a message without a contact is a contact of its own
UPDATE messages SET contact_id = NULL WHERE campaign_id = id('one');
SELECT * FROM campaign_explain(id('one'), as_of => '2025-01-01 06:00+00') WHERE condition IN ('has messages', 'nobody awaited');
-- ... those who have replied are awaited until the campaign's time is up
CALL campaign('replied', 'read');
INSERT INTO interactions (campaign_id, contact_id, interaction_type) VALUES (id('replied'), id('1'), 'reaction');
SELECT * FROM campaign_explain(id('replied'), as_of => '2025-01-01 06:00+00') WHERE condition IN ('closed', 'nobody awaited');

-- What the sweeps then do is what was told.
SELECT campaigns_closed FROM campaign_check_expired_interactions(as_of => '2025-01-02 03:00+00');
SELECT campaigns_closed FROM campaign_check_expired_interactions(as_of => '2025-01-02 03:00:01+00');
SELECT name, status, completed_at FROM campaigns ORDER BY name;

-- Its time is up.
SELECT * FROM campaign_explain(id('everything'), as_of => '2025-01-03 06:00:01+00') WHERE NOT ok;
-- Empty; complete; no sweep to close it.
CALL campaign('empty');
SELECT * FROM campaign_explain(id('empty'), as_of => '2025-01-01 06:00+00');
CALL campaign('complete', 'read/sent failed');
SELECT * FROM campaign_explain(id('complete'), as_of => '2025-01-01 06:00+00') WHERE condition IN ('closed', 'nobody awaited');
SELECT timeout_every FROM campaign_alter('public', 'timeout_every', NULL);
SELECT * FROM campaign_explain(id('empty'), as_of => '2025-01-04 06:00+00') WHERE NOT ok;
SELECT expired_every FROM campaign_alter('public', 'expired_every', NULL);
CALL campaign('nobody looks', 'sent');
SELECT * FROM campaign_explain(id('nobody looks'), as_of => '2025-01-04 06:00+00') WHERE NOT ok;
-- ... not even at one that is complete
SELECT sending_every FROM campaign_alter('public', 'sending_every', NULL);
SELECT interrupted_every FROM campaign_alter('public', 'interrupted_every', NULL);
SELECT detail, until FROM campaign_explain(id('complete'), as_of => '2025-01-01 06:00+00') WHERE condition = 'closed';
SELECT sending_every FROM campaign_alter('public', 'sending_every', '2 minutes');
SELECT interrupted_every FROM campaign_alter('public', 'interrupted_every', '5 minutes');
SELECT timeout_every FROM campaign_alter('public', 'timeout_every', '6 hours');
SELECT expired_every FROM campaign_alter('public', 'expired_every', '1 hour');

-- Stalled, asked to resume, sending again; and when the next request is due.
CALL campaign('stalled', 'pending read/sent');
SELECT * FROM campaign_explain(id('stalled'), as_of => '2025-01-01 00:09+00') WHERE condition = 'not stalled';
SELECT * FROM campaign_explain(id('stalled'), as_of => '2025-01-01 00:10+00') WHERE condition = 'not stalled';
BEGIN;
SELECT campaigns_resumed > 0 FROM campaign_recover_interrupted(as_of => '2025-01-01 00:10+00');
SELECT campaigns_resumed > 0 FROM campaign_recover_interrupted(as_of => '2025-01-01 00:20+00');
SELECT * FROM campaign_explain(id('stalled'), as_of => '2025-01-01 00:21+00') WHERE condition = 'not stalled';
UPDATE messages SET sent_at = '2025-01-01 00:22+00' WHERE campaign_id = id('stalled') AND message_type = 'message_2';
SELECT * FROM campaign_explain(id('stalled'), as_of => '2025-01-01 00:23+00') WHERE condition = 'not stalled';
ROLLBACK;

-- Where its start comes from.
CALL campaign('started', 'pending');
SELECT detail FROM campaign_explain(id('started'), as_of => '2025-01-01 06:00+00') LIMIT 1;
UPDATE campaigns SET started_at = NULL WHERE name = 'started';
SELECT detail FROM campaign_explain(id('started'), as_of => '2025-01-01 06:00+00') LIMIT 1;
UPDATE campaigns SET resumed_at = '2025-01-01 01:00+00' WHERE name = 'started';
SELECT detail FROM campaign_explain(id('started'), as_of => '2025-01-01 06:00+00') LIMIT 1;
SELECT status FROM campaign_close(id('started'), 'stop', as_of => '2025-01-01 02:00+00');
UPDATE messages SET status = 'pending' WHERE campaign_id = id('started');
SELECT status FROM campaign_reopen(id('started'), 'go on', as_of => '2025-01-01 03:00+00');
SELECT detail, until FROM campaign_explain(id('started'), as_of => '2025-01-01 06:00+00') LIMIT 1;

-- Its policy, and where each value comes from.
SELECT stall_after FROM campaign_alter('public', 'stall_after', '90 seconds');
SELECT interaction_timeout FROM campaign_alter('public', 'interaction_timeout', '12 hours');
ALTER TABLE campaigns ADD campaign_timeout interval, ADD completion_rule text;
CALL campaign('its own', 'sent pending');
UPDATE campaigns SET campaign_timeout = '90 minutes', completion_rule = 'messages' WHERE name = 'its own';
UPDATE campaigns SET campaign_timeout = '0', completion_rule = 'none' WHERE name = 'stalled';
SELECT * FROM campaign_explain(id('its own'), as_of => '2025-01-01 01:00+00') WHERE ok IS NULL OR condition IN ('closed', 'nobody awaited', 'within its time');
SELECT * FROM campaign_explain(id('stalled'), as_of => '2025-01-01 01:00+00') WHERE ok IS NULL;
SELECT stall_after FROM campaign_alter('public', 'stall_after', '10 minutes');
SELECT interaction_timeout FROM campaign_alter('public', 'interaction_timeout', '24 hours');

-- Errors, and the next retry.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not on Sundays'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON campaigns FOR EACH ROW WHEN (OLD.name = 'complete') EXECUTE FUNCTION refuse();
SELECT campaigns_skipped FROM campaign_check_sending(as_of => '2025-01-01 06:00+00');
SELECT campaigns_skipped FROM campaign_check_sending(as_of => '2025-01-01 06:01+00');
SELECT * FROM campaign_explain(id('complete'), as_of => '2025-01-01 06:01+00') WHERE NOT ok;
UPDATE campaign_retry SET retry_at = '2025-01-01 07:00+00';
SELECT condition, until FROM campaign_explain(id('complete'), as_of => '2025-01-01 06:01+00') WHERE NOT ok;
UPDATE campaign_retry SET sweep = 'interrupted';
SELECT condition, until FROM campaign_explain(id('complete'), as_of => '2025-01-01 06:01+00') WHERE NOT ok;
UPDATE campaign_retry SET sweep = 'sending';
UPDATE campaign_retry SET failures = 0, skips = 2, retry_at = NULL, sqlstate = NULL, error = NULL;
SELECT * FROM campaign_explain(id('complete'), as_of => '2025-01-01 06:01+00') WHERE condition = 'no errors';
DROP TRIGGER refuse ON campaigns;
DELETE FROM campaign_retry;

-- Closed: when, why, by which rule, on which counts.
SELECT previous_status, status FROM campaign_update_status(id('complete'), as_of => '2025-01-01 07:00+00');
SELECT * FROM campaign_explain(id('complete'), as_of => '2025-01-01 08:00+00');
SELECT * FROM campaign_explain(id('complete'), as_of => '2025-01-02 07:00:01+00') WHERE condition LIKE 'settle%';
SELECT * FROM campaign_explain(id('silent'), as_of => '2025-01-02 08:00+00') WHERE condition LIKE 'closed%';
SELECT campaigns_closed > 0 FROM campaign_check_timeout(as_of => '2025-01-03 08:00+00');
SELECT * FROM campaign_explain(id('everything'), as_of => '2025-01-03 08:00+00');
CALL campaign('by hand', 'pending');
SELECT status FROM campaign_close(id('by hand'), 'the customer has withdrawn', as_of => '2025-01-01 07:00+00');
SELECT condition, ok, replace(detail, '"' || session_user || '"', 'somebody') AS detail, until
FROM campaign_explain(id('by hand'), as_of => '2025-01-01 08:00+00');
-- ... by the application; after us; without completed_at
CALL campaign('by the application', 'sent pending', 'failed');
SELECT * FROM campaign_explain(id('by the application'), as_of => '2025-01-01 08:00+00');
UPDATE campaigns SET status = 'failed' WHERE name = 'complete';
SELECT * FROM campaign_explain(id('complete'), as_of => '2025-01-01 08:00+00') WHERE condition LIKE 'closed%';
SELECT status FROM campaign_reopen(id('by hand'), 'not yet', as_of => '2025-01-01 09:00+00');
UPDATE campaigns SET status = 'completed' WHERE name = 'by hand';
SELECT * FROM campaign_explain(id('by hand'), as_of => '2025-01-01 09:00+00') WHERE condition LIKE 'closed%';

-- Nothing is heard of anybody: whose time is up is not marked, so it is not
-- known when; but there are the 48 hours.
SELECT blackout_after FROM campaign_alter('public', 'blackout_after', '1 hour');
CALL campaign('unheard', 'sent sent');
UPDATE messages SET updated_at = '2025-01-01 00:00+00';
UPDATE interactions SET received_at = '2025-01-01 00:00+00';
SELECT * FROM campaign_explain(id('unheard'), as_of => '2025-01-01 23:00+00') WHERE NOT ok;
SELECT * FROM campaign_explain(id('unheard'), as_of => '2025-01-02 01:00+00') WHERE NOT ok;
SELECT blackout_after FROM campaign_alter('public', 'blackout_after', NULL);
SELECT * FROM campaign_explain(id('unheard'), as_of => '2025-01-02 01:00+00') WHERE NOT ok;

-- The application's own statuses.
CALL campaign('paused', 'sent pending', 'paused');
SELECT * FROM campaign_explain(id('paused'), as_of => '2025-01-01 08:00+00');

-- A source that does not act, or is held.
CALL campaign('open', 'sent');
CALL campaign('done', 'failed');
SELECT mode FROM campaign_alter('public', 'mode', 'shadow');
SELECT * FROM campaign_explain(id('open'), as_of => '2025-01-01 06:00+00') WHERE condition IN ('closed', 'source acts');
SELECT detail, until FROM campaign_explain(id('done'), as_of => '2025-01-01 06:00+00') WHERE condition = 'closed';
SELECT mode FROM campaign_alter('public', 'mode', 'paused');
SELECT * FROM campaign_explain(id('open'), as_of => '2025-01-01 06:00+00') WHERE condition IN ('closed', 'source acts');
SELECT mode FROM campaign_alter('public', 'mode', 'active');
DELETE FROM campaign_armed;
SELECT * FROM campaign_explain(id('open'), as_of => '2025-01-01 06:00+00') WHERE condition IN ('closed', 'source acts');
SELECT mode FROM campaign_alter('public', 'mode', 'active');
ALTER TABLE messages RENAME sent_at TO sent_on;
SELECT * FROM campaign_explain(id('open'), as_of => '2025-01-01 06:00+00');
ALTER TABLE messages RENAME sent_on TO sent_at;

-- What it tells of fits together, within the caller's statement and in one
-- transaction; it locks and changes nothing.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT count(*) FROM campaign_explain(id('stalled'));
SELECT DISTINCT mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'
AND relation IN ('campaigns'::regclass, 'messages'::regclass);
COMMIT;
BEGIN READ ONLY;
SELECT count(*) FROM campaign_explain(id('everything')::text);
COMMIT;

WITH sent AS (UPDATE messages SET status = 'failed' WHERE campaign_id = id('open') RETURNING id)
SELECT changed, condition, detail FROM (SELECT count(*) AS changed FROM sent) AS s,
	LATERAL campaign_explain(id('open'), as_of => timestamptz '2025-01-01 06:00+00' + changed * interval '0') WHERE condition IN ('closed', 'nobody awaited');
SELECT detail FROM campaign_explain(id('open'), as_of => '2025-01-01 06:00+00') WHERE condition = 'closed';

\pset format unaligned
\pset tuples_only on
SELECT try($$SELECT campaign_explain(id('none'))$$);
SELECT try($$SELECT campaign_explain(NULL::uuid)$$);
SELECT try($$SELECT campaign_explain(NULL::text)$$);
SELECT try($$SELECT campaign_explain(1)$$);
SELECT try($$SELECT campaign_explain('one')$$);
SELECT try($$SELECT campaign_explain(id('one'), 'nowhere')$$);
SELECT try($$SELECT campaign_explain(id('one'), as_of => 'infinity')$$);
DROP TABLE interactions, messages CASCADE;
SELECT condition, ok, detail FROM campaign_explain(id('one'));
SELECT campaign_detach('public');
SELECT try($$SELECT campaign_explain(id('one'))$$);
