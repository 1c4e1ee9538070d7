-- An application at work in the schema "shop", for pgbench: each call of
-- proof.application() is one transaction of it, chosen by a number from 0 to 99.
-- Like a real one it sends, is called back, gets replies and answers them, fills
-- campaigns in several steps, pauses and resumes; and it may be late with any of
-- that.  It takes no message from pending, or back to it, that another has taken,
-- and waits for nobody's messages.

INSERT INTO shop.contacts (id, full_number)
SELECT lpad(n::text, 32, '0')::uuid, '+33 6 ' || n FROM generate_series(1, 100) AS n;

-- Some campaign: an open one, or of any kind.
CREATE FUNCTION proof.some_campaign(open boolean) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
	chosen uuid;
BEGIN
	IF open THEN
		SELECT id INTO chosen FROM shop.campaigns WHERE status = 'sending' AND id > gen_random_uuid() ORDER BY id LIMIT 1;
	ELSE
		SELECT id INTO chosen FROM shop.campaigns WHERE id > gen_random_uuid() ORDER BY id LIMIT 1;
	END IF;
	RETURN chosen;
END $$;

-- Message 1 to the contacts from one number to another.
CREATE FUNCTION proof.fill(campaign uuid, low integer, high integer) RETURNS void LANGUAGE sql AS $$
	INSERT INTO shop.messages (campaign_id, contact_id, message_type)
	SELECT campaign, lpad(n::text, 32, '0')::uuid, 'message_1' FROM generate_series(low, high) AS n
	ON CONFLICT DO NOTHING
$$;

-- A contact writes, and is to be sent Message 2.
CREATE FUNCTION proof.reply(campaign uuid, contact uuid) RETURNS void LANGUAGE sql AS $$
	INSERT INTO shop.interactions (campaign_id, contact_id, interaction_type)
	VALUES (campaign, contact, CASE WHEN random() < 0.5 THEN 'reply' ELSE 'reaction' END);
	INSERT INTO shop.messages (campaign_id, contact_id, message_type) VALUES (campaign, contact, 'message_2')
	ON CONFLICT DO NOTHING
$$;

CREATE FUNCTION proof.send(campaign uuid, most integer) RETURNS void LANGUAGE sql AS $$
	UPDATE shop.messages SET status = CASE WHEN random() < 0.05 THEN 'failed' ELSE 'sent' END, sent_at = clock_timestamp()
	WHERE id IN (SELECT id FROM shop.messages WHERE campaign_id = campaign AND status = 'pending' LIMIT most FOR UPDATE SKIP LOCKED)
$$;

CREATE FUNCTION proof.application(choice integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	campaign uuid;
	size integer := 2 + 20 * random() * random();
BEGIN
	INSERT INTO proof.moment DEFAULT VALUES;
	IF choice < 8 THEN
		IF (SELECT count(*) < 30 FROM shop.campaigns WHERE status IN ('sending', 'paused')) THEN
			INSERT INTO shop.campaigns (status, started_at, total_recipients)
			VALUES ('sending', clock_timestamp(), CASE WHEN choice < 4 THEN size ELSE 0 END) RETURNING id INTO campaign;
			PERFORM proof.fill(campaign, 1, CASE WHEN choice < 2 THEN size / 2 ELSE size END);
		END IF;
	ELSIF choice < 12 THEN	-- what is missing; or one more, to whatever campaign it may be
		SELECT id INTO campaign FROM shop.campaigns AS c WHERE status = 'sending' AND total_recipients >
			(SELECT count(*) FROM shop.messages WHERE campaign_id = c.id AND message_type = 'message_1') LIMIT 1;
		PERFORM proof.fill(campaign, 1, (SELECT total_recipients FROM shop.campaigns WHERE id = campaign))
		WHERE campaign IS NOT NULL;
		campaign := proof.some_campaign(random() < 0.8);
		PERFORM proof.fill(campaign, size + 30, size + 30) WHERE choice > 9 AND campaign IS NOT NULL;
	ELSIF choice < 40 THEN
		PERFORM proof.send(proof.some_campaign(random() < 0.9), 6);
	ELSIF choice < 65 THEN	-- callbacks, of closed campaigns too
		campaign := proof.some_campaign(random() < 0.8);
		UPDATE shop.messages SET status = CASE WHEN status = 'sent' AND random() < 0.7 THEN 'delivered' ELSE 'read' END
		WHERE id IN (SELECT id FROM shop.messages WHERE campaign_id = campaign AND status IN ('sent', 'delivered')
			ORDER BY random() LIMIT 6 FOR UPDATE SKIP LOCKED);
	ELSIF choice < 93 THEN	-- the last of these too late, perhaps
		campaign := proof.some_campaign(choice < 90);
		PERFORM proof.reply(campaign, contact_id) FROM (
			SELECT contact_id FROM shop.messages
			WHERE campaign_id = campaign AND message_type = 'message_1' AND (choice >= 90 OR status IN ('sent', 'delivered', 'read'))
			ORDER BY random() LIMIT 2) AS m
		ORDER BY contact_id;	-- two at once would wait for each other
	ELSIF choice < 95 THEN
		campaign := proof.some_campaign(true);
		UPDATE shop.campaigns SET status = 'paused' WHERE id = campaign AND status = 'sending';
	ELSE
		UPDATE shop.campaigns SET status = 'sending', resumed_at = clock_timestamp()
		WHERE id = (SELECT id FROM shop.campaigns WHERE status = 'paused' LIMIT 1) AND status = 'paused';
	END IF;
END $$;

-- All that was left to do.
CREATE FUNCTION proof.finish() RETURNS void LANGUAGE sql AS $$
	INSERT INTO proof.moment DEFAULT VALUES;
	UPDATE shop.campaigns SET status = 'sending', resumed_at = clock_timestamp() WHERE status = 'paused';
	SELECT proof.fill(id, 1, total_recipients) FROM shop.campaigns WHERE status = 'sending' AND total_recipients > 0;
	SELECT proof.send(id, 1000) FROM shop.campaigns
$$;
