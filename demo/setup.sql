--
-- A database with campaigns whose hours are compressed into seconds, and the
-- provider that sends them: what surrounds the extension, simulated.
--
\set ON_ERROR_STOP on
SET client_min_messages = warning;

CREATE EXTENSION campaign_autoclose;
SELECT FROM campaign_create_tables();

-- One second stands for one hour.
SELECT FROM (VALUES
	('interaction_timeout', '24 s'),
	('campaign_timeout', '48 s'),
	('stall_after', '5 s'),
	('check_delay', '1 s'),
	('expired_every', '2 s'),
	('timeout_every', '3 s'),
	('sending_every', '1 s'),
	('interrupted_every', '2 s')
) AS compressed (setting, value), campaign_alter('public', setting, value);

CREATE SCHEMA demo;

-- How each campaign will go.  The sender of one that dies does so once this
-- share of its contacts is sent to; it resumes when the extension asks, or
-- never.
CREATE TABLE demo.script (
	position integer PRIMARY KEY,
	name text NOT NULL,
	contacts integer NOT NULL,
	per_second integer NOT NULL,
	fails float8 NOT NULL,
	replies float8 NOT NULL,
	replies_within interval NOT NULL,
	dies_at float8,
	resumes boolean NOT NULL,
	sending boolean NOT NULL DEFAULT true,
	campaign uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO demo.script VALUES
	(1, 'Spring sale', 3000, 300, 0.03, 0.35, '16 s', NULL, false),
	(2, 'Appointment reminder', 1200, 200, 0.02, 1.00, '9 s', NULL, false),
	(3, 'Newsletter', 4000, 500, 0.02, 0.00, '0 s', NULL, false),
	(4, 'Old address list', 800, 400, 1.00, 0.00, '0 s', NULL, false),
	(5, 'Customer survey', 2000, 250, 0.02, 0.50, '12 s', 0.40, true),
	(6, 'Loyalty offer', 2500, 300, 0.02, 0.40, '15 s', 0.50, false);

-- What is still to happen to messages that were sent.
CREATE TABLE demo.step (
	at timestamptz NOT NULL,
	action text NOT NULL CHECK (action IN ('delivered', 'read', 'reply')),
	message uuid NOT NULL
);
CREATE INDEX ON demo.step (action, at);

INSERT INTO contacts (full_number, first_name, last_name)
SELECT '+33 6 ' || lpad(n::text, 8, '0'), 'Contact', n::text
FROM generate_series(1, (SELECT max(contacts) FROM demo.script)) AS n;

-- What follows is run again and again by the provider, each in a transaction
-- of its own.  It waits for nobody's row locks: what is locked comes next time.

-- The senders: pending messages become sent, or fail at once.
CREATE FUNCTION demo.send(seconds float8) RETURNS void LANGUAGE sql AS $$
	WITH batch AS (
		SELECT m.id, m.message_type = 'message_1' AND random() < s.fails AS fails, s.replies, s.replies_within
		FROM demo.script AS s
			JOIN campaigns AS c ON c.id = s.campaign AND c.status = 'sending',
			LATERAL (
				SELECT * FROM messages AS m
				WHERE m.campaign_id = s.campaign AND m.status = 'pending'
				ORDER BY m.message_type DESC
				LIMIT ceil(s.per_second * seconds)
				FOR UPDATE SKIP LOCKED
			) AS m
		WHERE s.sending
	), handed AS (
		UPDATE messages AS m
		SET status = CASE WHEN b.fails THEN 'failed' ELSE 'sent' END,
			error_message = CASE WHEN b.fails THEN 'number not in service' END,
			sent_at = CASE WHEN NOT b.fails THEN now() END,
			updated_at = now()
		FROM batch AS b
		WHERE m.id = b.id
		RETURNING m.id, m.message_type, m.status, b.replies, b.replies_within
	)
	INSERT INTO demo.step (at, action, message)
	SELECT now() + step.after, step.action, h.id
	FROM handed AS h,
		LATERAL (VALUES
			('delivered', 1.0, (0.3 + random()) * interval '1 s'),
			('read', greatest(0.7, h.replies), (1.5 + 2 * random()) * interval '1 s'),
			('reply', CASE h.message_type WHEN 'message_1' THEN h.replies ELSE 0 END,
				interval '2 s' + random() * h.replies_within)
		) AS step (action, chance, after)
	WHERE h.status = 'sent' AND random() < step.chance;
$$;

-- The provider's callbacks.
CREATE FUNCTION demo.call_back(callback text, replaces text[]) RETURNS void LANGUAGE sql AS $$
	WITH due AS (
		SELECT s.ctid AS step, m.id, m.status
		FROM demo.step AS s JOIN messages AS m ON m.id = s.message
		WHERE s.action = callback AND s.at <= now()
		FOR UPDATE OF m SKIP LOCKED
	), over AS (
		DELETE FROM demo.step AS s USING due WHERE s.ctid = due.step
	)
	UPDATE messages AS m
	SET status = callback,
		delivered_at = coalesce(m.delivered_at, now()),
		read_at = CASE callback WHEN 'read' THEN now() END,
		updated_at = now()
	FROM due
	WHERE m.id = due.id AND due.status = ANY (replaces);
$$;

-- The contacts who reply, and the application that prepares their Message 2.
CREATE FUNCTION demo.reply() RETURNS void LANGUAGE sql AS $$
	WITH due AS (
		DELETE FROM demo.step WHERE action = 'reply' AND at <= now() RETURNING message
	), replied AS (
		INSERT INTO interactions (campaign_id, contact_id, message_id, interaction_type, content)
		SELECT m.campaign_id, m.contact_id, m.id, 'reply', 'Yes, please'
		FROM due JOIN messages AS m ON m.id = due.message
		RETURNING campaign_id, contact_id
	)
	INSERT INTO messages (campaign_id, contact_id, message_type, content, status)
	SELECT r.campaign_id, r.contact_id, 'message_2', 'Thank you! Here are the details.', 'pending'
	FROM replied AS r JOIN campaigns AS c ON c.id = r.campaign_id
	WHERE c.status = 'sending'
	ON CONFLICT DO NOTHING;
$$;

-- Senders die, and one is started again when the extension reports it stalled.
CREATE FUNCTION demo.break_and_mend() RETURNS void LANGUAGE sql AS $$
	UPDATE demo.script AS s
	SET sending = false, dies_at = NULL
	WHERE s.contacts * (1 - s.dies_at) >= (
		SELECT count(*) FROM messages AS m
		WHERE m.campaign_id = s.campaign AND m.message_type = 'message_1' AND m.status = 'pending');

	WITH resumed AS (
		UPDATE demo.script AS s
		SET sending = true, resumes = false
		WHERE NOT s.sending AND s.resumes AND EXISTS (
			SELECT FROM campaign_event AS e
			WHERE e.campaign_id = s.campaign::text AND e.event = 'stalled')
		RETURNING s.campaign
	)
	UPDATE campaigns AS c SET resumed_at = now() FROM resumed AS r WHERE c.id = r.campaign;
$$;

CREATE PROCEDURE demo.provider() LANGUAGE plpgsql AS $$
DECLARE
	tick CONSTANT float8 := 0.2;
BEGIN
	LOOP
		PERFORM demo.send(tick);
		COMMIT;
		PERFORM demo.call_back('delivered', '{sent}');
		COMMIT;
		PERFORM demo.call_back('read', '{sent,delivered}');
		COMMIT;
		PERFORM demo.reply();
		COMMIT;
		PERFORM demo.break_and_mend();
		COMMIT;
		PERFORM pg_sleep(tick);
	END LOOP;
END
$$;

-- What demo/run shows.

CREATE FUNCTION demo.hour(at timestamptz) RETURNS integer LANGUAGE sql STABLE AS $$
	SELECT floor(extract(epoch FROM at - min(started_at)))::integer FROM campaigns
$$;

CREATE VIEW demo.progress AS
SELECT s.position, c.name, s.contacts,
	m.to_send,
	s.contacts - m.to_send - m.replied - m.silent - m.failed AS awaited,
	m.replied, m.silent, m.failed,
	CASE WHEN c.status = 'sending' AND e.stalled_at > coalesce(m.last_sent, '-infinity')
		THEN 'stalled' ELSE c.status END AS status,
	c.status <> 'sending' AS closed
FROM demo.script AS s
	JOIN campaigns AS c ON c.id = s.campaign,
	LATERAL (
		SELECT count(*) FILTER (WHERE message_type = 'message_1' AND status = 'pending') AS to_send,
			count(*) FILTER (WHERE message_type = 'message_2' AND status <> 'pending') AS replied,
			count(*) FILTER (WHERE message_type = 'message_1' AND status = 'no_interaction') AS silent,
			count(*) FILTER (WHERE message_type = 'message_1' AND status = 'failed') AS failed,
			max(sent_at) AS last_sent
		FROM messages WHERE campaign_id = s.campaign
	) AS m,
	LATERAL (
		SELECT max(at) AS stalled_at FROM campaign_event
		WHERE campaign_id = s.campaign::text AND event = 'stalled'
	) AS e;

CREATE VIEW demo.events AS
SELECT e.id, demo.hour(e.at) AS hour, s.position, s.name AS campaign, e.event, e.status_to, e.reason
FROM campaign_event AS e JOIN demo.script AS s ON s.campaign::text = e.campaign_id;
