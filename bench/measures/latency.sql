--
-- Campaigns that lack nothing but one change to be complete.  Of the campaigns up
-- to :ending all contacts have replied.  In half of them the Message 2 of the last
-- is still pending, in the other half it has never been sent, and the last Message 1
-- may still fail.  The others have contacts that may reply.
--
BEGIN;
SET LOCAL session_replication_role = replica;

CREATE TABLE bench.ending AS
SELECT bench.id('campaign', c) AS campaign, bench.id('message', :campaigns * :contacts + c * :replied) AS message_2,
	bench.id('message', (c - 1) * :contacts + :replied) AS message_1,
	CASE WHEN c % 2 = 0 THEN 'message_2' ELSE :'other' END AS way, c AS number
FROM generate_series(1, :ending) AS c;

DELETE FROM messages AS m USING bench.ending AS e
WHERE m.campaign_id = e.campaign AND m.sent_at > now() - interval '20 hours';
UPDATE campaigns AS c SET total_recipients = :replied FROM bench.ending AS e WHERE c.id = e.campaign;
UPDATE messages AS m SET status = 'pending', sent_at = NULL FROM bench.ending AS e WHERE m.id = e.message_2 AND e.way = 'message_2';
DELETE FROM messages AS m USING bench.ending AS e WHERE m.id = e.message_2 AND e.way = 'failed';
COMMIT;

-- Ends them, one after another.  An application that has a task queue also puts the
-- campaign of a Message 2 there: the notification stands for that.
CREATE PROCEDURE bench.end_campaigns(gap float8) LANGUAGE plpgsql AS $$
DECLARE
	campaigns CONSTANT bench.ending[] := ARRAY(SELECT e FROM bench.ending AS e ORDER BY number);
	ended bench.ending;
BEGIN
	FOREACH ended IN ARRAY campaigns LOOP
		IF ended.way = 'message_2' THEN
			UPDATE messages SET status = 'sent', sent_at = clock_timestamp(), updated_at = clock_timestamp() WHERE id = ended.message_2;
			PERFORM pg_notify('task', ended.campaign::text);
		ELSE
			UPDATE messages SET status = 'failed', updated_at = clock_timestamp() WHERE id = ended.message_1;
		END IF;
		COMMIT;
		PERFORM pg_sleep(gap);
	END LOOP;
END
$$;

-- From commit to commit, in milliseconds.  The closing's is that of the extension's
-- event, which is written in the same transaction, as it may have written the
-- campaign again since; the others do not.
CREATE VIEW bench.latency AS
SELECT e.way, 1000 * extract(epoch FROM pg_xact_commit_timestamp(coalesce(v.xmin, c.xmin)) - pg_xact_commit_timestamp(m.xmin))::float8 AS milliseconds
FROM bench.ending AS e
	JOIN messages AS m ON m.id = CASE e.way WHEN 'message_2' THEN e.message_2 ELSE e.message_1 END
	JOIN campaigns AS c ON c.id = e.campaign AND c.status = 'completed'
	LEFT JOIN campaign_event AS v ON v.campaign_id = e.campaign::text AND v.event = 'closed';
