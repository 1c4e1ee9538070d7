--
-- The workload: what the tables of an application hold after ten days.
--
-- Campaigns were started at regular intervals over the ten days, and each is
-- sent over four hours.  Of a hundred contacts about
--	 5	could not be reached: Message 1 has failed
--	25	reply, each after up to 20 hours, and are sent Message 2 two minutes later
--	 5	react with an emoji, likewise; but in every seventh campaign the
--		application leaves these without an answer
--	65	stay silent; a tenth of them open the message, which is an interaction
--		but no reply
-- and a hundredth of the Message 2s fail.  What has been sent is sent, delivered
-- or read, a third each.
--
-- Campaigns that began more than 48 hours ago are closed, as they should be.
-- Those that began more than 24 hours ago have silent contacts who are to be
-- marked: those who expired in the course of a day.  Some of the others are still
-- being sent.  Twenty-four hours ago sending paused for two hours, so that whoever
-- looks within these finds the same messages expired.
--
-- As in fill.sql, keys are hashes of numbers, Message 1s lie campaign by campaign,
-- and Message 2s behind all of them.
--
CREATE PROCEDURE bench.generate(campaigns bigint, contacts bigint) LANGUAGE plpgsql AS $$
DECLARE
	history CONSTANT interval := '10 days';
	sending CONSTANT interval := '4 hours';
	done CONSTANT timestamptz := now() - interval '48 hours';
	paused CONSTANT timestamptz := now() - interval '24 hours';
BEGIN
	PERFORM set_config('session_replication_role', 'replica', true);
	CALL bench.drop_keys();

	INSERT INTO contacts (id, full_number)
	SELECT bench.id('contact', k), '+33' || (600000000 + k) FROM generate_series(1, contacts) AS k;

	INSERT INTO campaigns (id, name, status, total_recipients, created_at, started_at)
	SELECT bench.id('campaign', c), 'Campaign ' || c, 'sending', contacts, t.start, t.start
	FROM generate_series(1, campaigns) AS c, LATERAL (SELECT now() - history * ((c - 0.5) / campaigns)) AS t (start);

	-- what becomes of each contact, by a number that is drawn from the keys
	CREATE TEMPORARY TABLE fate ON COMMIT DROP AS
	SELECT c, k, start <= done AS over, s.sent, d.draw,
		CASE WHEN d.draw % 100 BETWEEN 5 AND 34 THEN s.sent + interval '1 minute' * (1 + d.draw / 100 % 1200) END AS replied
	FROM generate_series(1, campaigns) AS c,
		LATERAL (SELECT now() - history * ((c - 0.5) / campaigns)) AS t (start),
		LATERAL generate_series(1, contacts) AS k,
		LATERAL (SELECT start + sending * ((k - 1.0) / contacts)) AS p (planned),
		LATERAL (SELECT CASE WHEN planned > paused THEN planned + interval '2 hours' ELSE planned END) AS s (sent),
		LATERAL (SELECT abs(hashint8(c * 1000000007 + k)::bigint)) AS d (draw);

	INSERT INTO messages (id, campaign_id, contact_id, message_type, content, status, error_message, sent_at, created_at)
	SELECT bench.id('message', (c - 1) * contacts + k), bench.id('campaign', c), bench.id('contact', k),
		'message_1', 'Hello! Are you interested?', f.status,
		CASE f.status WHEN 'failed' THEN 'Unknown number' WHEN 'no_interaction' THEN 'Pas d''interaction dans les 24h' END,
		CASE WHEN f.status NOT IN ('pending', 'failed') THEN sent END, least(sent, now())
	FROM fate, LATERAL (SELECT CASE
			WHEN sent > now() THEN 'pending'
			WHEN draw % 100 < 5 THEN 'failed'
			WHEN over AND replied IS NULL THEN 'no_interaction'
			ELSE (ARRAY['sent', 'delivered', 'read'])[1 + draw / 7 % 3] END) AS f (status);

	INSERT INTO messages (id, campaign_id, contact_id, message_type, content, status, error_message, sent_at, created_at)
	SELECT bench.id('message', (campaigns + c) * contacts + k), bench.id('campaign', c), bench.id('contact', k),
		'message_2', 'Here is the brochure.', f.status, CASE f.status WHEN 'failed' THEN 'Blocked' END,
		CASE f.status WHEN 'failed' THEN NULL ELSE replied + interval '2 minutes' END, replied
	FROM fate, LATERAL (SELECT CASE
			WHEN draw / 100 % 100 = 0 THEN 'failed'
			ELSE (ARRAY['sent', 'delivered', 'read'])[1 + draw / 11 % 3] END) AS f (status)
	WHERE replied + interval '2 minutes' < now() AND NOT (c % 7 = 0 AND draw % 100 >= 30);

	INSERT INTO interactions (campaign_id, contact_id, interaction_type, content, received_at)
	SELECT bench.id('campaign', c), bench.id('contact', k), i.type, CASE i.type WHEN 'reply' THEN 'Yes' END, i.at
	FROM fate, LATERAL (SELECT
			CASE WHEN replied IS NULL THEN 'read' WHEN draw % 100 < 30 THEN 'reply' ELSE 'reaction' END,
			coalesce(replied, sent + interval '1 hour')) AS i (type, at)
	WHERE i.at < now() AND (replied IS NOT NULL OR draw % 100 BETWEEN 35 AND 41);

	CALL bench.restore_keys();
	UPDATE campaigns AS c SET status = 'completed', completed_at = c.started_at + interval '28 hours',
		sent_count = n.sent, success_count = n.sent, failed_count = n.failed + n.silent, delivered_count = n.delivered,
		read_count = n.read, no_interaction_count = n.silent,
		interaction_count = (SELECT count(*) FROM interactions AS i WHERE i.campaign_id = c.id AND i.interaction_type <> 'read')
	FROM (SELECT campaign_id,
			count(*) FILTER (WHERE status IN ('sent', 'delivered', 'read')) AS sent,
			count(*) FILTER (WHERE status = 'delivered') AS delivered,
			count(*) FILTER (WHERE status = 'read') AS read,
			count(*) FILTER (WHERE status = 'failed') AS failed,
			count(*) FILTER (WHERE status = 'no_interaction') AS silent
		FROM messages GROUP BY campaign_id) AS n
	WHERE c.id = n.campaign_id AND c.started_at <= done;
END
$$;
