--
-- What the extension's marking is compared with.  Each sets the same columns of
-- the same rows.
--

-- The floor: the rows are known, and nothing is looked for.
CREATE TABLE bench.due AS
SELECT m.id FROM messages AS m
WHERE m.message_type = 'message_1' AND m.sent_at < now() - interval '24 hours'
	AND NOT EXISTS (SELECT FROM interactions AS i WHERE i.campaign_id = m.campaign_id AND i.contact_id = m.contact_id);

CREATE PROCEDURE bench.mark_by_id() LANGUAGE plpgsql AS $$
BEGIN
	UPDATE messages AS m
	SET status = 'no_interaction', error_message = 'Pas d''interaction dans les 24h', updated_at = now()
	FROM bench.due AS d WHERE m.id = d.id;
END
$$;

-- One UPDATE a campaign, with the conditions of the extension's.
CREATE PROCEDURE bench.mark_by_campaign() LANGUAGE plpgsql AS $$
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
END
$$;

-- Reads everything into memory, so that no contender finds it colder.
CREATE PROCEDURE bench.warm() LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true);
	PERFORM count(content) FROM messages WHERE id >= '00000000-0000-0000-0000-000000000000';
	PERFORM count(content) FROM messages WHERE campaign_id >= '00000000-0000-0000-0000-000000000000';
	PERFORM count(content) FROM interactions WHERE campaign_id >= '00000000-0000-0000-0000-000000000000';
END
$$;

-- The same for every contender, or they have not done the same.
CREATE FUNCTION bench.checksum() RETURNS text LANGUAGE sql AS $$
	SELECT count(*) || ' ' || sum(hashtextextended(concat_ws('|', id, status, error_message), 0)::numeric) FROM messages
$$;
