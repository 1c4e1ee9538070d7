--
-- One UPDATE a campaign, with the conditions of the extension's.  What is then to
-- be written to the campaign it is told, see by_id.sql.
--
CREATE SCHEMA per_campaign;

CREATE PROCEDURE per_campaign.expired() LANGUAGE plpgsql AS $$
DECLARE
	campaign record;
BEGIN
	FOR campaign IN SELECT id, coalesce(started_at, created_at) AS start FROM campaigns WHERE status = 'sending' ORDER BY id LOOP
		UPDATE messages AS m
		SET status = 'no_interaction', error_message = 'Pas d''interaction dans les 24h', updated_at = now()
		WHERE m.campaign_id = campaign.id AND m.message_type = 'message_1' AND m.status IN ('sent', 'delivered', 'read')
			AND coalesce(m.sent_at, greatest(m.created_at, campaign.start)) < now() - interval '24 hours'
			AND NOT EXISTS (SELECT FROM messages AS n
				WHERE n.campaign_id = m.campaign_id AND n.contact_id = m.contact_id AND n.message_type = 'message_2')
			AND NOT EXISTS (SELECT FROM interactions AS i
				WHERE i.campaign_id = m.campaign_id AND i.contact_id = m.contact_id AND i.interaction_type IN ('reply', 'reaction'));
	END LOOP;
	CALL by_id.write_outcomes();
END
$$;
