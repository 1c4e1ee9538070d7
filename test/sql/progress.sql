-- campaign_progress: how far every open campaign has come, at a moment.
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
\pset null '-'

-- No source, no campaign: no row, and no error.
SELECT * FROM campaign_progress;
CREATE SCHEMA north;
CREATE SCHEMA south;
SELECT source FROM campaign_create_tables('north');
SELECT source FROM campaign_create_tables('south');
SELECT * FROM campaign_progress;

-- A campaign of 20 minutes: a word for each contact, the status of Message 1
-- and, after a slash, that of Message 2; each was sent a minute after the one
-- before it.
CREATE FUNCTION id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
	$$ SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE PROCEDURE campaign(source text, n int, contacts text, status text DEFAULT 'sending',
	start timestamptz DEFAULT '2025-01-01 00:00+00') LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', source || ', public', true);
	INSERT INTO campaigns (id, status, created_at, started_at) VALUES (id(n), status, start, start);
	INSERT INTO contacts (id, full_number) SELECT id(c), c FROM generate_series(1, 20) AS c ON CONFLICT DO NOTHING;
	INSERT INTO messages (campaign_id, contact_id, message_type, status, created_at, updated_at, sent_at)
	SELECT id(n), id(c::int), 'message_' || m, s, start, start, CASE WHEN s <> 'pending' THEN start + c * interval '1 min' END
	FROM string_to_table(contacts, ' ') WITH ORDINALITY AS w (word, c),
		string_to_table(word, '/') WITH ORDINALITY AS v (s, m);
END $$;

-- One contact in each situation: pending, in flight three times, answered,
-- Message 2 pending, Message 2 failed, silent, failed.
CALL campaign('north', 1, 'pending sent delivered read read/sent read/pending read/failed no_interaction failed');
INSERT INTO north.interactions (campaign_id, contact_id, interaction_type)
SELECT id(1), id(c), 'reply' FROM unnest('{4,5,6,7}'::int[]) AS c;
SELECT * FROM campaign_progress('north', '2025-01-01 00:20+00') \gx
-- Whoever has replied (4 and 6) has no deadline any more: the next is that of
-- contact 2, the last that of contact 3.

-- It tells what the rules tell.
SELECT r.contacts = p.contacts AND r.contacts_completed = p.contacts_completed AND r.pending_count = p.pending_count
	AND r.message_1_sent = p.in_flight AND r.message_2_sent = p.message_2_sent
	AND r.no_interaction_count = p.no_interaction_count AND r.failed_count = p.failed_count AS same
FROM campaign_update_status(id(1), 'north', '2025-01-01 00:20+00') AS r,
	campaign_progress('north', '2025-01-01 00:20+00') AS p;

-- The rate is that of the last stall_after (10 minutes): before 00:10, 00:15,
-- 00:18 and 00:19 these are 10, 5, 1 and no messages (two of contact 5, and 7).
SELECT as_of, p.sent_per_minute, p.last_sent_at, p.stalled
FROM unnest('{2025-01-01 00:10+00,2025-01-01 00:15+00,2025-01-01 00:18+00,2025-01-01 00:19+00}'::timestamptz[]) AS as_of,
	campaign_progress('north', as_of) AS p;
-- Shortly after the start it is that since the start, but of a minute at least.
SELECT as_of, p.sent_per_minute
FROM unnest('{2025-01-01 00:00:10+00,2025-01-01 00:01+00,2025-01-01 00:04+00}'::timestamptz[]) AS as_of,
	campaign_progress('north', as_of) AS p;
SELECT stall_after FROM campaign_alter('north', 'stall_after', '4 minutes');
SELECT sent_per_minute, stalled FROM campaign_progress('north', '2025-01-01 00:12+00');
SELECT stall_after FROM campaign_alter('north', 'stall_after', '10 minutes');
-- Stalled is what the sweep "interrupted" finds, to the microsecond.
SELECT as_of, p.stalled, s.campaigns_resumed
FROM unnest('{2025-01-01 00:18:59.999999+00,2025-01-01 00:19+00}'::timestamptz[]) AS as_of,
	campaign_progress('north', as_of) AS p, campaign_recover_interrupted('north', as_of, dry_run => true) AS s;

-- 100 percent are all of them: 2 of 3 are rounded down.
CALL campaign('north', 2, 'failed failed sent');
SELECT contacts_completed, contacts, percent_completed FROM campaign_progress('north', '2025-01-01 00:20+00') WHERE campaign_id = id(2)::text;
UPDATE north.messages SET status = 'failed' WHERE campaign_id = id(2);
SELECT contacts_completed, contacts, percent_completed FROM campaign_progress('north', '2025-01-01 00:20+00') WHERE campaign_id = id(2)::text;
-- Of the contacts it is meant for, where these are more.
UPDATE north.campaigns SET total_recipients = 1000 WHERE id = id(2);
SELECT contacts_completed, contacts, percent_completed FROM campaign_progress('north', '2025-01-01 00:20+00') WHERE campaign_id = id(2)::text;
-- An empty one is nowhere.
CALL campaign('north', 3, '');
SELECT * FROM campaign_progress('north', '2025-01-01 00:20+00') WHERE campaign_id = id(3)::text \gx

-- Messages without a contact are contacts of their own; those of an unknown
-- status are pending, and no reason to ask for resuming; of an unknown type
-- they are none of ours.
ALTER TABLE north.messages DROP CONSTRAINT messages_status_check;
INSERT INTO north.campaigns (id, status, created_at) VALUES (id(4), 'sending', '2025-01-01 00:00+00');
INSERT INTO north.messages (campaign_id, message_type, status, sent_at, created_at)
SELECT id(4), t, s, m, '2025-01-01 00:00+00' FROM (VALUES ('message_1', 'sent', timestamptz '2025-01-01 00:01+00'),
	('message_1', 'read', '2025-01-01 00:02+00'), ('message_1', 'queued', NULL), ('inbound', 'pending', NULL)) AS v (t, s, m);
SELECT contacts, contacts_completed, pending_count, in_flight, awaiting, awaiting_message_2, next_deadline, last_deadline, stalled
FROM campaign_progress('north', '2025-01-01 00:20+00') WHERE campaign_id = id(4)::text \gx

-- Open campaigns only.
CALL campaign('north', 5, 'pending', 'paused');
CALL campaign('north', 6, 'pending', 'draft');
CALL campaign('north', 7, 'failed', 'completed');
SELECT campaign_id FROM campaign_progress('north', '2025-01-01 00:20+00') ORDER BY 1;

-- Started: as the rules say.  A campaign's own intervals count.
ALTER TABLE south.campaigns ADD interaction_timeout interval, ADD campaign_timeout interval;
CALL campaign('south', 1, 'sent');
CALL campaign('south', 2, 'sent');
CALL campaign('south', 3, 'sent');
UPDATE south.campaigns SET started_at = NULL WHERE id = id(1);
UPDATE south.campaigns SET resumed_at = '2025-01-01 06:00+00' WHERE id = id(2);
UPDATE south.campaigns SET interaction_timeout = '1 hour', campaign_timeout = '2 hours' WHERE id = id(3);
SELECT campaign_id, started_at, next_deadline, closes_by FROM campaign_progress('south', '2025-01-01 00:20+00') ORDER BY 1;
-- No sent_at: since created_at or the start, whichever is later.
UPDATE south.messages SET sent_at = NULL;
SELECT campaign_id, next_deadline, last_sent_at FROM campaign_progress('south', '2025-01-01 00:20+00') ORDER BY 1;

-- Both sources, whatever their mode; the view, now.
SELECT mode FROM campaign_alter('south', 'mode', 'paused');
SELECT source, count(*) FROM campaign_progress(as_of => '2025-01-01 00:20+00') GROUP BY 1 ORDER BY 1;
SELECT source, count(*), count(*) FILTER (WHERE stalled) AS stalled, count(*) FILTER (WHERE sent_per_minute > 0) AS sending
FROM campaign_progress GROUP BY 1 ORDER BY 1;
SELECT mode FROM campaign_alter('south', 'mode', 'active');

-- Columns that can be done without.
ALTER TABLE south.messages DROP COLUMN updated_at, DROP COLUMN error_message;
SELECT count(*) FROM campaign_progress('south', '2025-01-01 00:20+00');
SELECT campaign_detach('south');

-- It writes and locks nothing, at any isolation level.
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
SELECT count(*) FROM campaign_progress;
SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS writes;
SELECT DISTINCT mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation';
COMMIT;

-- Errors: no such source, no such moment.
SELECT * FROM campaign_progress('nowhere');
SELECT * FROM campaign_progress(as_of => 'infinity');

--
-- Rights
--

CREATE ROLE regress_cac_reader NOSUPERUSER;
CREATE ROLE regress_cac_stranger NOSUPERUSER;
GRANT USAGE ON SCHEMA north TO regress_cac_reader;
GRANT SELECT ON north.campaigns, north.messages, north.interactions TO regress_cac_reader;
SET search_path = north, public;
CREATE SCHEMA west;
SELECT source FROM campaign_create_tables('west');
INSERT INTO west.campaigns (id, status) VALUES (id(1), 'sending');
-- the view shows the sources that the caller may read
SET ROLE regress_cac_reader;
SELECT source, count(*) FROM campaign_progress GROUP BY 1;
SELECT * FROM campaign_progress('west');
SET ROLE regress_cac_stranger;
SELECT source, count(*) FROM campaign_progress GROUP BY 1;
RESET ROLE;
-- a right on some columns is a right that shows only when it is used
GRANT USAGE ON SCHEMA west TO regress_cac_reader;
GRANT SELECT (id, status) ON west.campaigns TO regress_cac_reader;
GRANT SELECT ON west.messages, west.interactions TO regress_cac_reader;
SET ROLE regress_cac_reader;
SELECT source, count(*) FROM campaign_progress GROUP BY 1;
RESET ROLE;
-- row-level security: all rows, or none
ALTER TABLE north.messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON north.messages USING (status = 'sent');
SET ROLE regress_cac_reader;
SET row_security = on;
SELECT source, count(*) FROM campaign_progress GROUP BY 1;
SELECT * FROM campaign_progress('north');
RESET row_security;
RESET ROLE;
-- a source at fault is left out, and named is an error
SELECT source, count(*) FROM campaign_progress GROUP BY 1 ORDER BY 1;
ALTER TABLE west.campaigns RENAME COLUMN started_at TO begun_at;
SELECT source, count(*) FROM campaign_progress GROUP BY 1 ORDER BY 1;
\set VERBOSITY sqlstate
SELECT * FROM campaign_progress('west');
\set VERBOSITY default
ALTER TABLE west.campaigns RENAME COLUMN begun_at TO started_at;
-- what else a source's tables raise is a warning, and costs the others nothing
SELECT time_zone FROM campaign_alter('west', 'time_zone', 'Pacific/Honolulu');
ALTER TABLE west.messages ALTER sent_at TYPE timestamp;
INSERT INTO west.messages (campaign_id, status, sent_at) VALUES (id(1), 'sent', '294276-12-31 23:59:59');
SELECT source, count(*) FROM campaign_progress GROUP BY 1 ORDER BY 1;
\set SHOW_CONTEXT never
SELECT * FROM campaign_progress('west');

DROP OWNED BY regress_cac_reader, regress_cac_stranger;
DROP ROLE regress_cac_reader, regress_cac_stranger;
