-- Attached tables: columns that a table does without.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/include/attached.sql
\set ECHO all

-- Tables with these columns besides those that are required.
CREATE PROCEDURE tables(source text, campaign_columns text DEFAULT '', message_columns text DEFAULT '') LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format($sql$
		CREATE SCHEMA %1$I
			CREATE TABLE campaigns (id int PRIMARY KEY, status text, created_at timestamptz%2$s)
			CREATE TABLE messages (id bigint PRIMARY KEY, campaign_id int, contact_id int, status text, message_type text%3$s)
			CREATE TABLE interactions (campaign_id int NOT NULL, contact_id int, interaction_type text)
		$sql$, source, campaign_columns, message_columns);
	PERFORM campaign_attach(source, format('%I.campaigns', source)::regclass, format('%I.messages', source)::regclass, format('%I.interactions', source)::regclass);
	INSERT INTO application VALUES (source, format('%I.campaigns', source), format('%I.messages', source), format('%I.interactions', source));
END $$;

-- All that is read or written,
CALL tables('all', ', started_at timestamptz, resumed_at timestamptz, completed_at timestamptz, updated_at timestamptz, total_recipients int, sent_count int, success_count int, failed_count int,
	delivered_count int, read_count int, no_interaction_count int, pending_count int, interaction_count int', ', error_message text, created_at timestamptz, sent_at timestamptz, updated_at timestamptz');
CALL live('all');
-- ... all but what is only told,
CALL tables('untold', ', started_at timestamptz, resumed_at timestamptz, completed_at timestamptz', ', created_at timestamptz, sent_at timestamptz');
CALL live('untold');
SELECT differences('all', 'untold');
-- ... all but when a campaign was completed, which is remembered for a while,
CALL tables('no end', ', sent_count int, updated_at timestamptz', ', sent_at timestamptz');
CALL live('no end');
SELECT differences('untold', 'no end');
-- ... all but when a message was sent: it counts from when it was made,
CALL tables('made', ', completed_at timestamptz', ', created_at timestamptz');
CALL live('made');
SELECT differences('untold', 'made');
-- ... and nothing at all: from the campaign's start.
CALL tables('bare');
CALL live('bare');
SELECT differences('made', 'bare');

DO $$ DECLARE source text; BEGIN FOR source IN SELECT a.source FROM application AS a LOOP CALL prepare_batches(source); END LOOP; END $$;
CALL campaign_run_sweeps(force => true);
SELECT source, batches(source) FROM application ORDER BY source COLLATE "C";

--
-- Without completed_at, we are the only ones who know when we closed a campaign
--

SELECT add_campaign('bare', n, '2025-02-01 00:00Z'), message('bare', n, 1, 1, 'failed', NULL) FROM generate_series(3, 6) AS n;
SELECT judge('bare', 3, '2025-02-01 01:00Z'), judge('bare', 4, '2025-02-01 01:00Z'), judge('bare', 5, '2025-02-01 01:00Z');
SELECT closed_at, closed_as, closed_by FROM campaign_state WHERE source = 'bare' AND campaign_id IN ('3', '4', '5');
-- Nothing changes by asking again,
SELECT judge('bare', 3, '2025-02-01 01:00:01Z');
SELECT judge('bare', 3, '2025-03-01 00:00Z');
SELECT count(*) FROM campaign_event WHERE source = 'bare' AND campaign_id = '3';
-- ... nor of one that the application has closed itself.
UPDATE bare.campaigns SET status = 'completed' WHERE id = 6;
SELECT judge('bare', 6, '2025-02-01 01:00Z');
-- A new pending message reopens what we closed, for settle_for, and no longer.
SELECT message('bare', n, 2, 1, 'pending', NULL) FROM generate_series(3, 6) AS n;
SELECT judge('bare', 6, '2025-02-01 02:00Z');
SELECT judge('bare', 3, '2025-02-02 01:00Z');
SELECT judge('bare', 4, '2025-02-02 01:00:01Z');
-- Not what somebody has closed as something else.
UPDATE bare.campaigns SET status = 'completed' WHERE id = 5;
SELECT judge('bare', 5, '2025-02-01 02:00Z');
-- It is closed again, at another time.
SELECT message('bare', 3, 2, 1, 'failed', NULL);
SELECT judge('bare', 3, '2025-02-02 03:00Z');
SELECT judge('bare', 3, '2025-02-02 04:00Z');
SELECT string_agg(concat_ws(' ', event, at), ', ' ORDER BY id) FROM campaign_event WHERE source = 'bare' AND campaign_id = '3';
-- Statistics are kept right for as long.
SELECT add_campaign('no end', 3, '2025-02-01 00:00Z'), message('no end', 3, 1, 1, 'failed', NULL);
SELECT judge('no end', 3, '2025-02-01 01:00Z');
UPDATE "no end".messages SET status = 'read' WHERE campaign_id = 3;
SELECT judge('no end', 3, '2025-02-01 02:00Z'), campaign('no end', 3);
SELECT judge('no end', 3, '2025-02-01 03:00Z');
UPDATE "no end".messages SET status = 'failed' WHERE campaign_id = 3;
SELECT judge('no end', 3, '2025-02-02 01:00:01Z'), campaign('no end', 3);
-- By hand.
SELECT status, previous_status, completed_at FROM campaign_reopen(3::bigint, 'again', 'bare');
SELECT status, previous_status, completed_at IS NOT NULL AS completed FROM campaign_close(3::bigint, 'enough', 'bare');
SELECT previous_status, status, changed, completed_at IS NOT NULL AS completed FROM campaign_update_status(3, 'bare');

--
-- updated_at is written with something else, never alone
--

CALL tables('updated', ', updated_at timestamptz', ', updated_at timestamptz');
SELECT add_campaign('updated', 1, '2025-02-01 00:00Z'), message('updated', 1, 1, 1, 'sent', NULL), message('updated', 1, 2, 1, 'pending', NULL);
SELECT judge('updated', 1, '2025-02-01 01:00Z'), judge('updated', 1, '2025-02-01 02:00Z');
SELECT updated_at FROM updated.campaigns;
SELECT sweep('expired', 'updated', '2025-02-02 01:00Z');
SELECT c.updated_at, m.status, m.updated_at FROM updated.campaigns AS c, updated.messages AS m ORDER BY m.id;
SELECT sweep('timeout', 'updated', '2025-02-03 01:00Z');
SELECT c.updated_at, m.status, m.updated_at FROM updated.campaigns AS c, updated.messages AS m ORDER BY m.id;
--
-- Without sent_at, a message was sent when it was made, or last written if that is told
--

SELECT add_campaign('updated', 2, '2025-02-01 00:00Z'), add_campaign('made', 3, '2025-02-01 00:00Z'), add_campaign('bare', 7, '2025-02-01 00:00Z');
SELECT message(s, c, n, 1, CASE n WHEN 1 THEN 'sent' ELSE 'pending' END, '2025-02-01 00:05Z') FROM (VALUES ('updated', 2), ('made', 3), ('bare', 7)) AS v (s, c), generate_series(1, 2) AS n;
UPDATE updated.messages SET updated_at = '2025-02-01 00:06Z' WHERE campaign_id = 2;
CREATE FUNCTION stalled(source text, campaign int, as_of timestamptz) RETURNS text LANGUAGE sql AS $$
	SELECT sweep('interrupted', source, as_of);
	SELECT coalesce(string_agg(concat_ws(' ', at, details ->> 'last_sent'), ', ' ORDER BY id), 'no event') FROM campaign_event AS e
	WHERE e.source = stalled.source AND campaign_id = campaign::text AND event = 'stalled';
$$;
SELECT stalled('updated', 2, '2025-02-01 00:15:59Z');
SELECT stalled('updated', 2, '2025-02-01 00:16:00Z');
SELECT stalled('made', 3, '2025-02-01 00:14:59Z');
SELECT stalled('made', 3, '2025-02-01 00:15:00Z');
SELECT stalled('bare', 7, '2025-02-01 00:09:59Z');
SELECT stalled('bare', 7, '2025-02-01 00:10:00Z');
-- A host asks for a message that was sent lately, and then for that message.
SELECT add_campaign(s, 9, now() - interval '1 hour'), message(s, 9, 1, 1, 'sent', now() - interval '1 minute'), message(s, 9, 2, 1, 'pending', now() - interval '1 hour')
FROM (VALUES ('updated'), ('made'), ('bare')) AS v (s);
UPDATE updated.messages SET updated_at = now() - interval '1 minute' WHERE id = 9011;
CALL campaign_run_sweeps(force => true);
CALL campaign_run_sweeps(force => true);
SELECT source, details ->> 'number' AS number FROM campaign_event WHERE event = 'stalled' AND campaign_id = '9' ORDER BY 1, 2;

-- A column that comes is used, unless "columns" says that there is none.
ALTER TABLE bare.campaigns ADD completed_at timestamptz, ADD pending_count int;
SELECT judge('bare', 3, now()) LIKE 'failed->failed f %', campaign('bare', 3);
SELECT columns -> 'campaigns' FROM campaign_source WHERE source = 'bare';
ALTER TABLE bare.campaigns DROP completed_at, DROP pending_count;
SELECT judge('bare', 3, now()) LIKE 'failed->failed f %', campaign('bare', 3);
