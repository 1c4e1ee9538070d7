-- doc/operations.md: resuming stalled campaigns.  The extension asks; the
-- application's own function queues what its senders take from there.

-- Only in the test:
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SELECT FROM campaign_create_tables();
INSERT INTO campaigns (id, name, status, started_at) VALUES
	('00000000-0000-0000-0000-000000000001', 'spring', 'sending', '2025-01-01 08:00+00'),
	('00000000-0000-0000-0000-000000000002', 'summer', 'sending', '2025-01-01 08:00+00');
INSERT INTO messages (campaign_id, status, created_at, sent_at)
SELECT id, word, started_at, CASE word WHEN 'sent' THEN started_at END
FROM campaigns, unnest('{sent,pending,pending}'::text[]) AS word;
RESET client_min_messages;

-- As in the document:
CREATE TABLE resume_jobs (
	campaign_id uuid PRIMARY KEY REFERENCES campaigns ON DELETE CASCADE,
	requests integer NOT NULL DEFAULT 1,
	requested_at timestamptz NOT NULL
);

CREATE FUNCTION queue_resumption(event jsonb) RETURNS void
LANGUAGE sql AS $$
	INSERT INTO resume_jobs (campaign_id, requested_at)
	SELECT (event ->> 'campaign_id')::uuid, (event ->> 'at')::timestamptz
	WHERE event ->> 'event' = 'stalled'
	ON CONFLICT (campaign_id) DO UPDATE
		SET requests = resume_jobs.requests + 1, requested_at = excluded.requested_at;
$$;

SELECT source, on_event FROM campaign_alter('public', 'on_event', 'public.queue_resumption');

SELECT campaigns_resumed FROM campaign_recover_interrupted(as_of => '2025-01-01 08:15+00');

SELECT name, requests, requested_at
FROM resume_jobs JOIN campaigns ON id = campaign_id ORDER BY name;

WITH job AS (
	DELETE FROM resume_jobs
	WHERE campaign_id = (
		SELECT campaign_id FROM resume_jobs
		ORDER BY requested_at, campaign_id LIMIT 1
		FOR UPDATE SKIP LOCKED)
	RETURNING campaign_id
)
SELECT id, name FROM job JOIN campaigns ON id = campaign_id;

-- Only in the test:
-- The second request, for both; the first job was taken, and is there again.
SELECT campaigns_resumed FROM campaign_recover_interrupted(as_of => '2025-01-01 08:30+00');
SELECT name, requests, requested_at
FROM resume_jobs JOIN campaigns ON id = campaign_id ORDER BY name;
-- Other events queue nothing, and the queue commits with the event or not at
-- all.
DELETE FROM resume_jobs;
BEGIN;
SELECT campaigns_resumed FROM campaign_recover_interrupted(as_of => '2025-01-01 09:30+00');
SELECT count(*) FROM resume_jobs;
ROLLBACK;
SELECT count(*) FROM resume_jobs;
UPDATE messages SET status = 'failed';
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 10:00+00');
SELECT count(*) FROM resume_jobs;
SELECT count(*) FROM campaign_event WHERE event = 'error';
