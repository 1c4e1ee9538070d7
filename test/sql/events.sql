-- campaign_event: what was done, and why; and the function that is told.
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';


-- The tables belong to a role of their own.
CREATE ROLE regress_autoclose_owner;
CREATE SCHEMA shop AUTHORIZATION regress_autoclose_owner;
SET SESSION AUTHORIZATION regress_autoclose_owner;
SET search_path = shop, public;
SELECT source, mode FROM campaign_create_tables();
RESET SESSION AUTHORIZATION;
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

-- The details of a closing: what was counted, and what it was judged by.
CALL campaign('closes', 'read/sent delivered/delivered failed no_interaction');
INSERT INTO interactions (campaign_id, contact_id, interaction_type)
VALUES (id('closes'), id('1'), 'reply'), (id('closes'), id('2'), 'reaction'), (id('closes'), id('2'), 'read');
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 12:00+00');
SELECT at, source, campaign_id = id('closes')::text AS "the campaign", event, status_from, status_to,
	reason, shadow, jsonb_pretty(details) AS details
FROM campaign_event \gx

-- One event for each thing done, in the transaction that did it.
CALL campaign('silent', 'sent read failed');
BEGIN;
SELECT campaigns_closed FROM campaign_check_expired_interactions(as_of => '2025-01-02 12:00+00');
SELECT event FROM campaign_event WHERE campaign_id = id('silent')::text ORDER BY id;
ROLLBACK;
SELECT count(*) FROM campaign_event WHERE campaign_id = id('silent')::text;
SELECT campaigns_closed FROM campaign_check_expired_interactions(as_of => '2025-01-02 12:00+00');
SELECT event FROM campaign_event WHERE campaign_id = id('silent')::text ORDER BY id;
-- Nothing done, no event.
SELECT campaigns_updated FROM campaign_check_expired_interactions(as_of => '2025-01-02 12:00+00');
SELECT count(*) FROM campaign_event;

-- on_event: a function of the application, called for each event as the owner
-- of the tables, with the event as jsonb, under the source's search_path.
CREATE TABLE told (n serial, by name, path text, event jsonb);
ALTER TABLE told OWNER TO regress_autoclose_owner;
CREATE FUNCTION listen_to(event jsonb) RETURNS void LANGUAGE sql AS $$
	INSERT INTO told (by, path, event) VALUES (current_user, current_setting('search_path'), event)
$$;
SELECT on_event FROM campaign_alter('shop', 'on_event', 'shop.listen_to');
CALL campaign('told', 'sent failed');
SELECT campaigns_closed FROM campaign_check_expired_interactions(as_of => '2025-01-02 13:00+00');
SELECT by, path, event ->> 'event' AS event, event ->> 'source' AS source,
	event ->> 'campaign_id' = id('told')::text AS "the campaign", event ->> 'status_to' AS status_to,
	(event ->> 'at')::timestamptz AS at, event -> 'details' ->> 'sweep' AS sweep
FROM told ORDER BY n;
SELECT told.event = to_jsonb(e) AS "the row as it is"
FROM told JOIN campaign_event AS e ON e.id = (told.event ->> 'id')::bigint;

-- What it raises is recorded, and undoes nothing but what it did itself.
CREATE OR REPLACE FUNCTION listen_to(event jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO told (by, event) VALUES (current_user, event);
	RAISE EXCEPTION 'nobody listens to %', event ->> 'event' USING ERRCODE = 'P0042';
END $$;
CALL campaign('told in vain', 'failed');
SELECT campaigns_closed, campaigns_skipped FROM campaign_check_sending(as_of => '2025-01-02 14:00+00');
SELECT status, completed_at FROM campaigns WHERE name = 'told in vain';
SELECT event, status_to, reason, details - 'sweep' AS details FROM campaign_event
WHERE campaign_id = id('told in vain')::text AND event = 'error';
SELECT event FROM campaign_event WHERE campaign_id = id('told in vain')::text ORDER BY id;
SELECT count(*) AS told FROM told;
-- No function, nobody is called.
SELECT on_event FROM campaign_alter('shop', 'on_event', NULL);
CALL campaign('untold', 'failed');
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2025-01-02 15:00+00');

-- A campaign whose processing raises an error is left as it was; the others
-- are not.
CREATE FUNCTION throw() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'not this one' USING ERRCODE = 'P0043';
END $$;
CREATE TRIGGER throw BEFORE UPDATE ON campaigns
	FOR EACH ROW WHEN (old.name = 'throws') EXECUTE FUNCTION throw();
CALL campaign('throws', 'sent failed', start => '2025-01-02 00:00+00');
CALL campaign('closes as well', 'sent failed', start => '2025-01-02 00:00+00');
SELECT campaigns_checked, campaigns_closed, campaigns_skipped, messages_marked
FROM campaign_check_expired_interactions(as_of => '2025-01-03 12:00+00');
SELECT name, c.status, m.status, error_message FROM campaigns AS c JOIN messages AS m ON m.campaign_id = c.id
WHERE name IN ('throws', 'closes as well') ORDER BY name, m.status;
SELECT at, event, reason, details ->> 'sweep' AS sweep, details ->> 'sqlstate' AS sqlstate,
	details ->> 'failures' AS failures
FROM campaign_event WHERE campaign_id = id('throws')::text;
-- It is tried again after a minute, then after two, doubling to an hour; in
-- the meantime it is skipped.
SELECT campaigns_skipped FROM campaign_check_expired_interactions(as_of => '2025-01-03 12:00:59+00');
SET client_min_messages = error;
SELECT count(*) AS runs, sum(campaigns_skipped) AS skipped
FROM generate_series('2025-01-03 12:01+00'::timestamptz, '2025-01-03 16:00+00', '1 minute') AS minute,
	campaign_check_expired_interactions(as_of => minute);
RESET client_min_messages;
SELECT at, details ->> 'failures' AS failures
FROM campaign_event WHERE campaign_id = id('throws')::text ORDER BY id;
-- Success forgets the failures.
DROP TRIGGER throw ON campaigns;
SELECT campaigns_closed FROM campaign_check_expired_interactions(as_of => '2025-01-03 16:03+00');
SELECT event FROM campaign_event
WHERE campaign_id = id('throws')::text AND at > '2025-01-03 16:00+00' ORDER BY id;
SELECT count(*) FROM campaign_retry;

RESET search_path;
SET client_min_messages = warning;
DROP EXTENSION campaign_autoclose;
DROP OWNED BY regress_autoclose_owner CASCADE;
DROP ROLE regress_autoclose_owner;
