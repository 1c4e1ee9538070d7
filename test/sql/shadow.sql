-- Shadow mode: what would be done is recorded once a change, and compared with
-- what the application's own closer does: campaign_shadow_report().
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';

SELECT * FROM campaign_shadow_report();

CREATE ROLE regress_autoclose_owner;
CREATE ROLE regress_autoclose_reader;
CREATE SCHEMA shop AUTHORIZATION regress_autoclose_owner;
SET ROLE regress_autoclose_owner;
SET search_path = shop, public;
SELECT source FROM campaign_create_tables();
RESET ROLE;
ALTER TABLE messages DROP CONSTRAINT messages_status_check;
ALTER TABLE campaigns ALTER name TYPE text COLLATE "C";
CREATE FUNCTION id(name text) RETURNS uuid LANGUAGE sql IMMUTABLE AS
	$$ SELECT md5(name)::uuid $$;
-- A campaign for each case, with a word for each contact: the status of
-- Message 1 and, after a slash, that of Message 2.
CREATE PROCEDURE campaign(name text, contacts text DEFAULT '', start timestamptz DEFAULT '2025-01-01 00:00+00') LANGUAGE sql AS $$
	INSERT INTO campaigns (id, name, status, created_at, started_at)
	VALUES (id(name), name, 'sending', start, start);
	INSERT INTO contacts (id, full_number)
	SELECT id(n::text), n FROM generate_series(1, 10) AS n ON CONFLICT DO NOTHING;
	INSERT INTO messages (campaign_id, contact_id, message_type, status, created_at, sent_at)
	SELECT id(name), id(n::text), 'message_' || m, s, start, CASE WHEN s <> 'pending' THEN start END
	FROM string_to_table(contacts, ' ') WITH ORDINALITY AS c (word, n),
		string_to_table(word, '/') WITH ORDINALITY AS w (s, m);
$$;
-- What a worker does from one moment to another, every half hour.
CREATE PROCEDURE sweep(since timestamptz, until timestamptz) LANGUAGE plpgsql AS $$
DECLARE
	moment timestamptz;
BEGIN
	FOR moment IN SELECT generate_series(since, until, '30 minutes') LOOP
		PERFORM campaign_check_expired_interactions('shop', moment);
		PERFORM campaign_check_timeout('shop', moment);
		PERFORM campaign_check_sending('shop', moment);
		PERFORM campaign_recover_interrupted('shop', moment);
	END LOOP;
END $$;
CREATE VIEW recorded AS SELECT name, at, event, status_to, reason, details ->> 'messages' AS messages, shadow, campaign_event.id
FROM campaign_event JOIN campaigns ON campaigns.id::text = campaign_id;

-- One that is closed in earnest, before.
CALL campaign('closed by us', 'failed');
SELECT campaigns_closed FROM campaign_check_sending('shop', '2025-01-01 00:10+00');

SELECT mode FROM campaign_alter('shop', 'mode', 'shadow');
UPDATE campaign_source SET attached_at = '2025-01-01 00:00+00', history_keep = '100 years';

--
-- Once a change, over many sweeps
--

CALL campaign('complete', 'read/sent failed');
CALL campaign('silent', 'sent delivered failed');
CALL campaign('silent, one by one', 'sent sent pending');
UPDATE messages SET sent_at = '2025-01-01 06:00+00' WHERE campaign_id = id('silent, one by one') AND contact_id = id('2');
CALL campaign('late', 'sent pending pending');
CALL campaign('stalls twice', 'sent pending');
CALL campaign('gets another message', 'failed');
CALL campaign('resumed', 'pending');
CALL campaign('marked by them', 'sent sent pending');
CREATE TABLE campaigns_before AS TABLE campaigns;
CREATE TABLE messages_before AS TABLE messages;
CALL sweep('2025-01-01 00:30+00', '2025-01-01 12:00+00');
-- Nothing was changed by that.
SELECT count(*) AS changed FROM (TABLE campaigns_before EXCEPT TABLE campaigns) AS c;
SELECT count(*) AS changed FROM (TABLE messages_before EXCEPT TABLE messages) AS m;
-- The application goes on.
UPDATE messages SET sent_at = '2025-01-01 12:10+00', status = 'sent'
WHERE campaign_id = id('stalls twice') AND status = 'sent';
INSERT INTO messages (campaign_id, contact_id) VALUES (id('gets another message'), id('9'));
CALL sweep('2025-01-01 12:30+00', '2025-01-01 18:00+00');
UPDATE messages SET status = 'failed' WHERE campaign_id = id('gets another message') AND status = 'pending';
CALL sweep('2025-01-01 18:30+00', '2025-01-03 12:00+00');
UPDATE campaigns SET resumed_at = '2025-01-03 12:10+00' WHERE name = 'resumed';
-- What they mark, we need not; and then two more are silent.
UPDATE messages SET status = 'no_interaction' WHERE campaign_id = id('marked by them') AND status = 'sent';
UPDATE campaigns SET resumed_at = '2025-01-03 12:10+00' WHERE name = 'marked by them';
CALL sweep('2025-01-03 12:30+00', '2025-01-03 12:30+00');
INSERT INTO messages (campaign_id, contact_id, status, sent_at)
SELECT id('marked by them'), id(n), 'read', '2025-01-03 12:40+00' FROM unnest('{8,9}'::text[]) AS n;
CALL sweep('2025-01-03 13:00+00', '2025-01-06 12:00+00');
SELECT name, at, event, status_to, reason, messages FROM recorded WHERE shadow ORDER BY name, id;
SELECT count(*) AS "in earnest" FROM recorded WHERE NOT shadow;
-- What is remembered, so that it is not recorded again, is kept for as long as
-- the events (by the clock, all of this was long ago).
CALL campaign_run_sweeps('shop', force => true);
SELECT count(*) > 0 AS kept FROM campaign_state WHERE shadow_action IS NOT NULL;
SELECT count(*) AS "closed again" FROM recorded WHERE at > '2025-01-06 12:00+00' AND name IN ('complete', 'silent', 'late');
-- The statistics of a campaign that stays open are the application's business
-- too; once the source is active they are written by the first sweep.
CALL campaign('stays open', 'sent read', now());
CALL campaign_run_sweeps('shop', force => true);
CALL campaign_run_sweeps('shop', force => true);
SELECT sent_count, updated_at < now() AS "left alone" FROM campaigns WHERE name = 'stays open';
SELECT mode FROM campaign_alter('shop', 'mode', 'active');
UPDATE campaigns SET status = 'paused' WHERE name <> 'stays open' AND status = 'sending';
CALL campaign_run_sweeps('shop', force => true);
SELECT status, sent_count FROM campaigns WHERE name = 'stays open';
UPDATE campaigns SET status = 'sending' WHERE status = 'paused';
SELECT mode FROM campaign_alter('shop', 'mode', 'shadow');

--
-- The report
--

DELETE FROM campaigns WHERE name <> 'closed by us';
DELETE FROM campaign_event WHERE shadow;
DELETE FROM campaign_state WHERE shadow_action IS NOT NULL;
-- Both close it: they a day later, or (as they say) before.
CALL campaign('both, they later', 'failed');
CALL campaign('both, they before', 'failed');
CALL campaign('both, another status', 'failed');
CALL campaign('both, they do not say when', 'failed');
-- Only we do.
CALL campaign('us, stuck', 'failed');
CALL campaign('us, reopened by them', 'failed');
CALL campaign('us, cancelled', 'failed');
CALL campaign('us, deleted', 'failed');
-- Neither.
CALL campaign('neither', 'sent');
CALL campaign('neither, closed and got another message', 'failed');
-- Only they do, by 06:00, ...
CALL campaign('them, awaiting', 'sent read/sent failed');
CALL campaign('them, pending', 'pending failed');
CALL campaign('them, empty');
CALL campaign('them, unmapped', 'bounced failed');
CALL campaign('them, filling', 'pending failed');
UPDATE campaigns SET total_recipients = 3 WHERE name = 'them, filling';
CALL campaign('them, closed by us too early', 'failed');
-- ... or before our sweep came by.
CALL campaign('them, sooner', 'pending');
CALL campaign('them, sooner, silent', 'sent', '2024-12-31 07:30+00');
CALL campaign('them, before', 'failed', '2024-12-31 00:00+00');
UPDATE campaigns SET status = 'completed', completed_at = '2024-12-31 23:59+00' WHERE name = 'them, before';
CALL campaign('them, do not say when', 'pending');

CALL sweep('2025-01-01 00:30+00', '2025-01-01 06:00+00');
INSERT INTO messages (campaign_id, contact_id)
SELECT id(name), id('9') FROM campaigns WHERE name IN ('neither, closed and got another message', 'them, closed by us too early');
CALL sweep('2025-01-01 06:30+00', '2025-01-01 07:00+00');
UPDATE messages SET status = 'failed' WHERE campaign_id IN (id('them, sooner'), id('them, filling')) AND status = 'pending';

-- An event of campaigns that had other keys.
INSERT INTO campaign_event (at, source, campaign_id, event, status_to, reason, shadow)
VALUES ('2025-01-01 01:00+00', 'shop', '4711', 'closed', 'completed', 'long ago', true);

-- The old closer.
UPDATE campaigns SET status = 'completed', completed_at = '2025-01-02 00:00+00' WHERE name IN ('both, they later', 'us, reopened by them');
UPDATE campaigns SET status = 'failed', completed_at = '2025-01-01 00:20+00' WHERE name = 'both, they before';
UPDATE campaigns SET status = 'completed', completed_at = '2025-01-01 08:00+00' WHERE name IN ('both, another status') OR name ~ '^them' AND name <> 'them, before';
UPDATE campaigns SET completed_at = NULL, status = 'failed' WHERE name ~ 'do not say when';
UPDATE campaigns SET status = 'sending', completed_at = NULL WHERE name = 'us, reopened by them';
UPDATE campaigns SET status = 'cancelled', completed_at = '2025-01-01 08:00+00' WHERE name = 'us, cancelled';
DELETE FROM campaigns WHERE name = 'us, deleted';

SELECT coalesce(name, 'us, deleted') AS name, closed_by, ours_at, ours_status, ours_reason, theirs_at, theirs_status, ours_later
FROM campaign_shadow_report('shop') LEFT JOIN campaigns ON campaigns.id::text = campaign_id ORDER BY 1;
-- First what they alone have closed, then what only we would have, then both;
-- each in the order of the keys.
SELECT closed_by, count(*) FROM campaign_shadow_report() WITH ORDINALITY GROUP BY 1 ORDER BY min(ordinality);
SELECT count(*) AS "out of order" FROM (
	SELECT lag(closed_by) OVER w = closed_by AND lag(campaign_id::uuid) OVER w > campaign_id::uuid
	FROM campaign_shadow_report() WITH ORDINALITY WINDOW w AS (ORDER BY ordinality)) AS r (bad) WHERE bad;

-- Nothing is written or locked for it; nor is a mode asked for.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT count(*) FROM campaign_shadow_report('shop');
SELECT count(*) AS locks FROM pg_locks WHERE pid = pg_backend_pid()
	AND mode <> 'AccessShareLock' AND locktype <> 'virtualxid';
COMMIT;

-- In earnest from here on: what we close ourselves is not theirs.
SELECT mode FROM campaign_alter('shop', 'mode', 'active');
SELECT campaigns_closed > 0 AS closed FROM campaign_check_sending('shop', '2025-01-03 00:00+00');
SELECT name, closed_by, ours_at, theirs_at, theirs_status
FROM campaign_shadow_report('shop') JOIN campaigns ON campaigns.id::text = campaign_id WHERE name ~ '^(us|neither|closed)' ORDER BY name;

-- What is older than the source, or its history, is not compared.
UPDATE campaign_source SET attached_at = '2025-01-01 12:00+00';
SELECT name, theirs_at FROM campaign_shadow_report('shop') JOIN campaigns ON campaigns.id::text = campaign_id WHERE closed_by = 'only them' ORDER BY name;
UPDATE campaign_source SET attached_at = '2025-01-01 00:00+00';
SELECT history_keep FROM campaign_alter('shop', 'history_keep', '1 day');
SELECT count(*) FROM campaign_shadow_report('shop') WHERE closed_by = 'only them';
SELECT history_keep FROM campaign_alter('shop', 'history_keep', '100 years');
-- A table that does not tell when a campaign was closed.
UPDATE campaign_source SET columns = columns || jsonb_build_object('campaigns', coalesce(columns -> 'campaigns', '{}') || '{"completed_at": null}');
SELECT closed_by, count(*), count(theirs_at) AS with_moment, count(ours_later) AS with_interval
FROM campaign_shadow_report('shop') WITH ORDINALITY GROUP BY 1 ORDER BY min(ordinality);

-- History is for the owner of the tables.
GRANT USAGE ON SCHEMA shop TO regress_autoclose_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO regress_autoclose_reader;
SET ROLE regress_autoclose_reader;
SELECT * FROM campaign_shadow_report('shop');
SET ROLE regress_autoclose_owner;
SELECT count(*) > 0 AS allowed FROM campaign_shadow_report('shop');
RESET ROLE;
SELECT * FROM campaign_shadow_report('nothing');
CREATE SCHEMA other;
SELECT source FROM campaign_create_tables('other');
SELECT * FROM campaign_shadow_report();
SELECT * FROM campaign_shadow_report('other');
SET client_min_messages = warning;
ALTER TABLE messages DROP COLUMN status CASCADE;
SELECT * FROM campaign_shadow_report('shop');
SELECT campaign_detach('shop');
DROP OWNED BY regress_autoclose_owner, regress_autoclose_reader CASCADE;
DROP ROLE regress_autoclose_owner, regress_autoclose_reader;
