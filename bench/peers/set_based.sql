--
-- What a good DBA writes: two statements for all campaigns at once, and the
-- indexes that make them fast: partial ones, of what is in flight and of what is
-- pending.  They mention the status, so no update of a status can be
-- heap-only any more.
--
CREATE SCHEMA set_based;

CREATE PROCEDURE set_based.create_indexes() LANGUAGE plpgsql AS $$
BEGIN
	CREATE INDEX messages_in_flight_idx ON messages (campaign_id, sent_at)
		WHERE message_type = 'message_1' AND status IN ('sent', 'delivered', 'read');
	CREATE INDEX messages_pending_idx ON messages (campaign_id) WHERE status = 'pending';
	ANALYZE messages;
END
$$;

-- Write the statistics of some campaigns, and close those that are complete.
CREATE PROCEDURE set_based.recount(keys uuid[]) LANGUAGE plpgsql AS $$
BEGIN
	UPDATE campaigns AS c SET
		status = CASE WHEN NOT n.complete THEN c.status WHEN n.failed > 0 AND n.sent = 0 AND n.silent = 0 THEN 'failed' ELSE 'completed' END,
		completed_at = CASE WHEN n.complete THEN now() END,
		sent_count = n.sent, success_count = n.sent, failed_count = n.failed + n.silent, delivered_count = n.delivered,
		read_count = n.read, no_interaction_count = n.silent, pending_count = n.pending, interaction_count = n.interactions,
		updated_at = now()
	FROM (
		SELECT m.*, i.interactions, m.pending = 0 AND m.first >= k.total_recipients AND NOT EXISTS (
				SELECT FROM messages AS a
				WHERE a.campaign_id = k.id AND a.message_type = 'message_1' AND a.status IN ('sent', 'delivered', 'read')
					AND NOT EXISTS (SELECT FROM messages AS f WHERE f.campaign_id = a.campaign_id
						AND f.contact_id = a.contact_id AND f.message_type = 'message_2' AND f.status <> 'pending')) AS complete
		FROM campaigns AS k
			JOIN (SELECT campaign_id,
					count(*) FILTER (WHERE status = 'pending') AS pending,
					count(*) FILTER (WHERE status IN ('sent', 'delivered', 'read')) AS sent,
					count(*) FILTER (WHERE status = 'delivered') AS delivered,
					count(*) FILTER (WHERE status = 'read') AS read,
					count(*) FILTER (WHERE status = 'failed') AS failed,
					count(*) FILTER (WHERE status = 'no_interaction') AS silent,
					count(*) FILTER (WHERE message_type = 'message_1') AS first
				FROM messages WHERE campaign_id = ANY (keys) GROUP BY campaign_id) AS m ON m.campaign_id = k.id
			CROSS JOIN LATERAL (SELECT count(*) AS interactions FROM interactions
				WHERE campaign_id = k.id AND interaction_type IN ('reply', 'reaction')) AS i
		WHERE k.id = ANY (keys)
	) AS n
	WHERE c.id = n.campaign_id AND c.status = 'sending';
END
$$;

-- Mark the messages whose contacts have been silent for 24 hours, in one statement.
CREATE PROCEDURE set_based.expired() LANGUAGE plpgsql AS $$
DECLARE
	marked uuid[];
BEGIN
	WITH marked AS (
		UPDATE messages AS m SET status = 'no_interaction', error_message = 'Pas d''interaction dans les 24h', updated_at = now()
		FROM campaigns AS c
		WHERE c.status = 'sending' AND m.campaign_id = c.id
			AND m.message_type = 'message_1' AND m.status IN ('sent', 'delivered', 'read')
			AND m.sent_at < now() - interval '24 hours'
			AND NOT EXISTS (SELECT FROM messages AS n
				WHERE n.campaign_id = m.campaign_id AND n.contact_id = m.contact_id AND n.message_type = 'message_2')
			AND NOT EXISTS (SELECT FROM interactions AS i
				WHERE i.campaign_id = m.campaign_id AND i.contact_id = m.contact_id AND i.interaction_type IN ('reply', 'reaction'))
		RETURNING m.campaign_id
	)
	SELECT array_agg(DISTINCT campaign_id) INTO marked FROM marked;
	IF marked IS NOT NULL THEN
		CALL set_based.recount(marked);
	END IF;
END
$$;

-- Judge every open campaign: which are complete is asked of the indexes, and only
-- those are counted.  The last message sent is the likeliest to be awaited still.
-- (Scalar subqueries: of NOT EXISTS the planner would make a join of all messages.)
CREATE PROCEDURE set_based.sending() LANGUAGE plpgsql AS $$
DECLARE
	complete uuid[];
BEGIN
	SELECT array_agg(c.id) INTO complete FROM campaigns AS c
	WHERE c.status = 'sending'
		AND (SELECT true FROM messages AS m WHERE m.campaign_id = c.id AND m.status = 'pending' LIMIT 1) IS NULL
		AND (SELECT true FROM messages AS m
			WHERE m.campaign_id = c.id AND m.message_type = 'message_1' AND m.status IN ('sent', 'delivered', 'read')
				AND NOT EXISTS (SELECT FROM messages AS f WHERE f.campaign_id = m.campaign_id
					AND f.contact_id = m.contact_id AND f.message_type = 'message_2' AND f.status <> 'pending')
			ORDER BY m.sent_at DESC LIMIT 1) IS NULL
		AND (SELECT true FROM messages AS m WHERE m.campaign_id = c.id LIMIT 1);
	IF complete IS NOT NULL THEN
		CALL set_based.recount(complete);
	END IF;
END
$$;
