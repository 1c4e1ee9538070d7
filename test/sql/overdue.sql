-- campaign_overdue: what should have been closed and has not, since when, and
-- what is in the way.
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
\pset null '-'
SELECT source FROM campaign_create_tables();

-- A campaign that began at 00:00, with a word for each contact: the status of
-- Message 1 and, after a slash, that of Message 2.  Everything was sent, and
-- last changed, at 00:00.
ALTER TABLE campaigns ALTER name TYPE text COLLATE "C";
CREATE FUNCTION id(name text) RETURNS uuid LANGUAGE sql IMMUTABLE AS
	$$ SELECT md5(name)::uuid $$;
CREATE PROCEDURE campaign(name text, contacts text DEFAULT '', status text DEFAULT 'sending',
	start timestamptz DEFAULT '2025-01-01 00:00+00') LANGUAGE sql AS $$
	INSERT INTO campaigns (id, name, status, created_at, started_at)
	VALUES (id(name), name, status, start, start);
	INSERT INTO contacts (id, full_number)
	SELECT id(n::text), n FROM generate_series(1, 10) AS n ON CONFLICT DO NOTHING;
	INSERT INTO messages (campaign_id, contact_id, message_type, status, created_at, updated_at, sent_at)
	SELECT id(name), id(n::text), 'message_' || m, s, start, start, CASE WHEN s <> 'pending' THEN start END
	FROM string_to_table(contacts, ' ') WITH ORDINALITY AS c (word, n),
		string_to_table(word, '/') WITH ORDINALITY AS w (s, m);
$$;
CREATE FUNCTION overdue(as_of timestamptz) RETURNS TABLE (name text, reason text, sweep text, since timestamptz,
	lag interval, expected_by timestamptz, obstacle text) LANGUAGE sql AS $$
	SELECT name, o.reason, sweep, since, lag, expected_by, obstacle
	FROM campaign_overdue(as_of => as_of) AS o JOIN campaigns AS c ON c.id::text = o.campaign_id
	ORDER BY name
$$;

CALL campaign('complete', 'failed read/sent');
CALL campaign('silent', 'read sent failed');
CALL campaign('replied', 'read sent');
INSERT INTO interactions (campaign_id, contact_id, interaction_type) VALUES (id('replied'), id('1'), 'reply');
CALL campaign('pending', 'pending sent');
CALL campaign('empty');
CALL campaign('paused', 'failed', 'paused');
CALL campaign('closed', 'failed', 'completed');

-- Complete: since check_delay (5 seconds) after the last change.
SELECT * FROM overdue('2025-01-01 00:00:04.999999+00');
SELECT * FROM campaign_overdue(as_of => '2025-01-01 00:00:05+00') \gx
SELECT * FROM overdue('2025-01-01 00:00:05+00');
-- The last change: of whatever tells, the latest.
UPDATE messages SET updated_at = '2025-01-01 00:10+00' WHERE campaign_id = id('complete') AND message_type = 'message_2';
SELECT since FROM overdue('2025-01-01 01:00+00');
UPDATE messages SET updated_at = '2025-01-01 00:00+00', sent_at = '2025-01-01 00:20+00' WHERE updated_at > created_at;
SELECT since FROM overdue('2025-01-01 01:00+00');
UPDATE campaigns SET resumed_at = '2025-01-01 00:30+00' WHERE name = 'complete';
SELECT since, lag, expected_by FROM overdue('2025-01-01 01:00+00');

-- Silent: since its last contact's 24 hours are over, to be marked by the next
-- sweep.  One that has replied, or is pending, keeps the others open.
SELECT name FROM overdue('2025-01-02 00:00+00') WHERE name <> 'complete';
SELECT * FROM overdue('2025-01-02 00:00:00.000001+00') WHERE name <> 'complete';
UPDATE messages SET sent_at = '2025-01-01 02:00+00' WHERE campaign_id = id('silent') AND contact_id = id('1');
SELECT name FROM overdue('2025-01-02 01:00+00') WHERE name <> 'complete';
SELECT * FROM overdue('2025-01-02 03:00+00') WHERE name <> 'complete';

-- 48 hours after the start: whatever is open, the earlier reason where there
-- are two.
SELECT * FROM overdue('2025-01-03 00:00+00') WHERE sweep = 'timeout';
SELECT * FROM overdue('2025-01-03 07:00+00');

-- It is what the sweeps would close.
SELECT (SELECT count(*) FROM overdue(as_of)) AS overdue,
	(campaign_check_timeout(as_of => as_of, dry_run => true)).campaigns_closed AS timeout,
	(campaign_check_expired_interactions(as_of => as_of, dry_run => true)).campaigns_closed AS expired,
	(campaign_check_sending(as_of => as_of, dry_run => true)).campaigns_closed AS sending
FROM unnest('{2025-01-01 00:30:05+00,2025-01-02 01:00+00,2025-01-02 03:00+00,2025-01-03 07:00+00}'::timestamptz[]) AS as_of;

-- What is in the way.
SELECT sending_every FROM campaign_alter('public', 'sending_every', NULL);
SELECT name, expected_by, obstacle FROM overdue('2025-01-02 03:00+00');
SELECT sending_every FROM campaign_alter('public', 'sending_every', '2 minutes');
SELECT mode FROM campaign_alter('public', 'mode', 'shadow');
SELECT name, expected_by, obstacle FROM overdue('2025-01-02 03:00+00');
SELECT mode FROM campaign_alter('public', 'mode', 'paused');
SELECT name, expected_by, obstacle FROM overdue('2025-01-02 03:00+00');
SELECT mode FROM campaign_alter('public', 'mode', 'active');
DELETE FROM campaign_armed;
SELECT name, expected_by, obstacle FROM overdue('2025-01-02 03:00+00');
SELECT mode FROM campaign_alter('public', 'mode', 'active');
-- an error, twice
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON campaigns FOR EACH ROW WHEN (old.name = 'complete') EXECUTE FUNCTION refuse();
SET client_min_messages = error;
SELECT campaigns_skipped FROM campaign_check_sending(as_of => '2025-01-01 01:00+00');
SELECT campaigns_skipped FROM campaign_check_sending(as_of => '2025-01-01 01:01+00');
RESET client_min_messages;
SELECT name, obstacle, retry_at FROM campaign_overdue(as_of => '2025-01-01 01:02+00') JOIN campaigns ON id::text = campaign_id;
-- which is the owner's to know
CREATE ROLE regress_cac_reader NOSUPERUSER;
GRANT SELECT ON campaigns, messages, interactions TO regress_cac_reader;
SET ROLE regress_cac_reader;
SELECT name, obstacle, retry_at FROM campaign_overdue(as_of => '2025-01-01 01:02+00') JOIN campaigns ON id::text = campaign_id;
RESET ROLE;
REVOKE SELECT ON messages FROM regress_cac_reader;
SET ROLE regress_cac_reader;
SELECT count(*) FROM campaign_overdue;
SELECT * FROM campaign_overdue('public');
RESET ROLE;
DROP OWNED BY regress_cac_reader;
DROP ROLE regress_cac_reader;

-- Once it is closed, it is not.
DROP TRIGGER refuse ON campaigns;
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 01:05+00');
SELECT name FROM overdue('2025-01-01 01:05+00');

-- By the rule "messages" silence does not matter.
SELECT completion_rule FROM campaign_alter('public', 'completion_rule', 'messages');
SELECT name, reason, sweep, since FROM overdue('2025-01-01 02:00:05+00');
SELECT completion_rule FROM campaign_alter('public', 'completion_rule', 'contacts');

-- The view is about now, where all of it has been overdue for years; of all
-- sources, with what cannot be read left out.
CREATE SCHEMA other;
SELECT source FROM campaign_create_tables('other');
INSERT INTO other.campaigns (id, status, created_at) VALUES (id('other'), 'sending', '2025-01-01 00:00+00');
SELECT source, count(*), min(lag) > interval '1 month' AS long FROM campaign_overdue GROUP BY 1 ORDER BY 1;
ALTER TABLE messages RENAME COLUMN sent_at TO gone_at;
SELECT source, count(*) FROM campaign_overdue GROUP BY 1 ORDER BY 1;
ALTER TABLE messages RENAME COLUMN gone_at TO sent_at;
-- Read-only, above READ COMMITTED.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT source, count(*) FROM campaign_overdue GROUP BY 1 ORDER BY 1;
COMMIT;
SELECT * FROM campaign_overdue('nowhere');
SELECT * FROM campaign_overdue(as_of => '-infinity');
