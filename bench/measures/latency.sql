--
-- Campaigns that lack nothing but their last Message 2 to be complete: of the
-- campaigns up to :ending, each contact has replied, and the Message 2 of the
-- last is still pending.  The others have contacts that may reply.
--
BEGIN;
SET LOCAL session_replication_role = replica;

CREATE TABLE bench.ending AS
SELECT bench.id('campaign', c) AS campaign, bench.id('message', :campaigns * :contacts + c * :replied) AS message
FROM generate_series(1, :ending) AS c;

DELETE FROM messages AS m USING bench.ending AS e
WHERE m.campaign_id = e.campaign AND m.sent_at > now() - interval '20 hours';
UPDATE campaigns AS c SET total_recipients = :replied FROM bench.ending AS e WHERE c.id = e.campaign;
UPDATE messages AS m SET status = 'pending', sent_at = NULL FROM bench.ending AS e WHERE m.id = e.message;
COMMIT;

-- Ends them, one after another.
CREATE PROCEDURE bench.end_campaigns(gap float8) LANGUAGE plpgsql AS $$
DECLARE
	keys CONSTANT uuid[] := ARRAY(SELECT message FROM bench.ending);
	key uuid;
BEGIN
	FOREACH key IN ARRAY keys LOOP
		UPDATE messages SET status = 'sent', sent_at = clock_timestamp(), updated_at = clock_timestamp() WHERE id = key;
		COMMIT;
		PERFORM pg_sleep(gap);
	END LOOP;
END
$$;

-- From commit to commit, in milliseconds.  The closing's is that of its event,
-- which is written in the same transaction: the campaign's row may have been
-- written again since.
CREATE VIEW bench.latency AS
SELECT 1000 * extract(epoch FROM pg_xact_commit_timestamp(v.xmin) - pg_xact_commit_timestamp(m.xmin))::float8 AS milliseconds
FROM bench.ending AS e
	JOIN messages AS m ON m.id = e.message
	JOIN campaigns AS c ON c.id = e.campaign AND c.status = 'completed'
	JOIN campaign_event AS v ON v.campaign_id = e.campaign::text AND v.event = 'closed';
