--
-- The floor: which rows are to change, and into what, is known before the clock
-- runs, and nothing is looked for, counted or decided.
--
CREATE SCHEMA by_id;

-- What the campaigns of "keys" come to, once the messages of by_id.due are marked.
CREATE PROCEDURE by_id.learn_outcomes(keys uuid[]) LANGUAGE plpgsql AS $$
BEGIN
	CREATE TABLE by_id.outcome AS
	WITH message AS (
		SELECT m.campaign_id, m.contact_id, m.message_type, CASE WHEN d.id IS NULL THEN m.status ELSE 'no_interaction' END AS status
		FROM messages AS m LEFT JOIN by_id.due AS d ON d.id = m.id
		WHERE m.campaign_id = ANY (keys)
	), followed AS (
		SELECT DISTINCT campaign_id, contact_id FROM message WHERE message_type = 'message_2' AND status <> 'pending'
	)
	SELECT n.*, i.interactions, CASE WHEN n.pending = 0 AND n.awaited = 0 THEN 'completed' ELSE 'sending' END AS final
	FROM (SELECT m.campaign_id,
			count(*) FILTER (WHERE m.status = 'pending') AS pending,
			count(*) FILTER (WHERE m.status IN ('sent', 'delivered', 'read')) AS sent,
			count(*) FILTER (WHERE m.status = 'delivered') AS delivered,
			count(*) FILTER (WHERE m.status = 'read') AS read,
			count(*) FILTER (WHERE m.status = 'failed') AS failed,
			count(*) FILTER (WHERE m.status = 'no_interaction') AS silent,
			count(*) FILTER (WHERE m.message_type = 'message_1' AND m.status IN ('sent', 'delivered', 'read')
				AND f.contact_id IS NULL) AS awaited
		FROM message AS m LEFT JOIN followed AS f ON f.campaign_id = m.campaign_id AND f.contact_id = m.contact_id
		GROUP BY m.campaign_id) AS n
		CROSS JOIN LATERAL (SELECT count(*) AS interactions FROM interactions
			WHERE campaign_id = n.campaign_id AND interaction_type IN ('reply', 'reaction')) AS i;
	ANALYZE by_id.due, by_id.outcome;
END
$$;

-- What the 24-hour sweep has to find out.
CREATE PROCEDURE by_id.learn_expired() LANGUAGE plpgsql AS $$
DECLARE
	keys uuid[];
BEGIN
	CREATE TABLE by_id.due AS
	SELECT m.id, m.campaign_id FROM campaigns AS c JOIN messages AS m ON m.campaign_id = c.id
	WHERE c.status = 'sending' AND m.message_type = 'message_1' AND m.status IN ('sent', 'delivered', 'read')
		AND m.sent_at < now() - interval '24 hours'
		AND NOT EXISTS (SELECT FROM messages AS n
			WHERE n.campaign_id = m.campaign_id AND n.contact_id = m.contact_id AND n.message_type = 'message_2')
		AND NOT EXISTS (SELECT FROM interactions AS i
			WHERE i.campaign_id = m.campaign_id AND i.contact_id = m.contact_id AND i.interaction_type IN ('reply', 'reaction'));
	SELECT array_agg(DISTINCT campaign_id) INTO keys FROM by_id.due;
	CALL by_id.learn_outcomes(keys);
END
$$;

-- What a sweep over campaigns that are all complete has to find out.
CREATE PROCEDURE by_id.learn_complete() LANGUAGE plpgsql AS $$
DECLARE
	keys uuid[];
BEGIN
	CREATE TABLE by_id.due (id uuid);
	SELECT array_agg(id) INTO keys FROM campaigns WHERE status = 'sending';
	CALL by_id.learn_outcomes(keys);
END
$$;

-- What a sweep over campaigns none of which can close has to find out: a message
-- of each that keeps it open.
CREATE PROCEDURE by_id.learn_open() LANGUAGE plpgsql AS $$
BEGIN
	CREATE TABLE awaited AS
	SELECT c.id AS campaign, (SELECT m.id FROM messages AS m WHERE m.campaign_id = c.id
		AND m.sent_at > now() - interval '12 hours' LIMIT 1) AS message
	FROM campaigns AS c WHERE c.status = 'sending';
	ANALYZE awaited;
END
$$;

CREATE PROCEDURE by_id.write_outcomes() LANGUAGE plpgsql AS $$
BEGIN
	UPDATE campaigns AS c SET status = o.final, completed_at = CASE WHEN o.final = 'completed' THEN now() END,
		sent_count = o.sent, success_count = o.sent, failed_count = o.failed + o.silent, delivered_count = o.delivered,
		read_count = o.read, no_interaction_count = o.silent, pending_count = o.pending, interaction_count = o.interactions,
		updated_at = now()
	FROM by_id.outcome AS o WHERE c.id = o.campaign_id;
END
$$;

CREATE PROCEDURE by_id.expired() LANGUAGE plpgsql AS $$
BEGIN
	UPDATE messages AS m
	SET status = 'no_interaction', error_message = 'Pas d''interaction dans les 24h', updated_at = now()
	FROM by_id.due AS d WHERE m.id = d.id;
	CALL by_id.write_outcomes();
END
$$;

-- Closes the campaigns that are known to be complete.
CREATE PROCEDURE by_id.closing() LANGUAGE plpgsql AS $$
BEGIN
	CALL by_id.write_outcomes();
END
$$;

-- Looks whether what kept the campaigns open still does.
CREATE PROCEDURE by_id.sending() LANGUAGE plpgsql AS $$
BEGIN
	PERFORM count(*) FROM awaited AS a JOIN messages AS m ON m.id = a.message WHERE m.status NOT IN ('sent', 'delivered', 'read');
END
$$;
