--
-- The task queue's logic moved into the database: a PL/pgSQL loop for pg_cron to
-- call.  Still one query at a time, but none of them crosses a connection, and
-- what belongs to one campaign is one transaction.
--
CREATE SCHEMA plpgsql;

-- Count a campaign's messages, write the counts, and close it if it is complete.
CREATE PROCEDURE plpgsql.update_campaign_status(campaign uuid) LANGUAGE plpgsql AS $$
DECLARE
	n record;
	awaited bigint;
	interactions bigint;
	final text;
BEGIN
	SELECT count(*) FILTER (WHERE status = 'pending') AS pending,
		count(*) FILTER (WHERE status IN ('sent', 'delivered', 'read')) AS sent,
		count(*) FILTER (WHERE status = 'delivered') AS delivered,
		count(*) FILTER (WHERE status = 'read') AS read,
		count(*) FILTER (WHERE status = 'failed') AS failed,
		count(*) FILTER (WHERE status = 'no_interaction') AS silent,
		count(*) FILTER (WHERE message_type = 'message_1') AS first
	INTO n FROM messages WHERE campaign_id = campaign;
	SELECT count(*) INTO awaited FROM messages AS m
	WHERE m.campaign_id = campaign AND m.message_type = 'message_1' AND m.status IN ('sent', 'delivered', 'read')
		AND NOT EXISTS (SELECT FROM messages AS f WHERE f.campaign_id = m.campaign_id
			AND f.contact_id = m.contact_id AND f.message_type = 'message_2' AND f.status <> 'pending');
	SELECT count(*) INTO interactions FROM interactions
	WHERE campaign_id = campaign AND interaction_type IN ('reply', 'reaction');
	IF n.pending = 0 AND awaited = 0 AND n.first > 0 THEN
		final := CASE WHEN n.failed > 0 AND n.sent = 0 AND n.silent = 0 THEN 'failed' ELSE 'completed' END;
	END IF;
	UPDATE campaigns SET
		status = CASE WHEN n.first >= total_recipients THEN coalesce(final, status) ELSE status END,
		completed_at = CASE WHEN n.first >= total_recipients AND final IS NOT NULL THEN now() END,
		sent_count = n.sent, success_count = n.sent, failed_count = n.failed + n.silent, delivered_count = n.delivered,
		read_count = n.read, no_interaction_count = n.silent, pending_count = n.pending, interaction_count = interactions,
		updated_at = now()
	WHERE id = campaign AND status = 'sending';
END
$$;

-- Mark the messages whose contacts have been silent for 24 hours.
CREATE PROCEDURE plpgsql.expired() LANGUAGE plpgsql AS $$
DECLARE
	campaign uuid;
	message record;
	marked boolean;
BEGIN
	FOR campaign IN SELECT id FROM campaigns WHERE status = 'sending' LOOP
		marked := false;
		FOR message IN
			SELECT id, contact_id FROM messages
			WHERE campaign_id = campaign AND message_type = 'message_1' AND status IN ('sent', 'delivered', 'read')
				AND sent_at < now() - interval '24 hours'
		LOOP
			CONTINUE WHEN EXISTS (SELECT FROM messages
				WHERE campaign_id = campaign AND contact_id = message.contact_id AND message_type = 'message_2');
			CONTINUE WHEN EXISTS (SELECT FROM interactions
				WHERE campaign_id = campaign AND contact_id = message.contact_id AND interaction_type IN ('reply', 'reaction'));
			UPDATE messages SET status = 'no_interaction', error_message = 'Pas d''interaction dans les 24h', updated_at = now()
			WHERE id = message.id;
			marked := true;
		END LOOP;
		IF marked THEN
			CALL plpgsql.update_campaign_status(campaign);
		END IF;
		COMMIT;
	END LOOP;
END
$$;

-- Judge every open campaign.
CREATE PROCEDURE plpgsql.sending() LANGUAGE plpgsql AS $$
DECLARE
	campaign uuid;
BEGIN
	FOR campaign IN SELECT id FROM campaigns WHERE status = 'sending' LOOP
		CALL plpgsql.update_campaign_status(campaign);
		COMMIT;
	END LOOP;
END
$$;
