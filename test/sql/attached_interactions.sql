-- Attached tables: interactions that tell no campaign, or have no type; that are
-- a view, or messages themselves; messages without a type.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/include/attached.sql
\set ECHO all

-- Tables whose interactions have these columns.
CREATE PROCEDURE tables(source text, interactions text, columns jsonb DEFAULT '{}', labels jsonb DEFAULT '{}', tells_campaign boolean DEFAULT false) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format($sql$
		CREATE SCHEMA %1$I
			CREATE TABLE campaigns (id int PRIMARY KEY, status text, created_at timestamptz, completed_at timestamptz, sent_count int, no_interaction_count int,
				failed_count int, pending_count int, interaction_count int)
			CREATE TABLE messages (id bigint PRIMARY KEY, campaign_id int, contact_id int, message_type text, status text, error_message text, created_at timestamptz, sent_at timestamptz)
			CREATE TABLE interactions (contact_id int NOT NULL%2$s)
		$sql$, source, interactions);
	PERFORM campaign_attach(source, format('%I.campaigns', source)::regclass, format('%I.messages', source)::regclass, format('%I.interactions', source)::regclass,
		columns => columns, labels => labels);
	INSERT INTO application VALUES (source, format('%I.campaigns', source), format('%I.messages', source), format('%I.interactions', source), '%s', '%s', tells_campaign);
END $$;

-- What becomes of interactions that tell all is what must become of all others.
CALL tables('told', ', campaign_id int NOT NULL, interaction_type text, received_at timestamptz', tells_campaign => true);
CALL live('told');

-- Some tell a campaign, as these do; or none of them does.
CALL tables('may tell', ', campaign_id int, interaction_type text, received_at timestamptz', tells_campaign => true);
CALL live('may tell');
SELECT differences('told', 'may tell');
CALL tables('do not tell', ', campaign_id int, interaction_type text, received_at timestamptz');
CALL live('do not tell');
SELECT differences('told', 'do not tell');
CALL tables('cannot tell', ', interaction_type text, received_at timestamptz', '{"interactions": {"campaign_id": null}}');
CALL live('cannot tell');
SELECT differences('told', 'cannot tell');
-- Without a type each is a reply, so contact 10's counts too.
CALL tables('no type', ', received_at timestamptz', '{"interactions": {"campaign_id": null, "interaction_type": null}}');
CALL live('no type');
SELECT differences('told', 'no type');
-- Nobody knows when: those that tell no campaign cannot be heeded.
CALL tables('no moment', ', campaign_id int, interaction_type text');
CALL live('no moment');
SELECT differences('told', 'no moment');
-- A column that may be null, until it may not: then plans do not look for it.
CALL tables('hardened', ', campaign_id int, interaction_type text, received_at timestamptz', tells_campaign => true);
SELECT add_campaign('hardened', 2, '2025-01-01 00:00Z'), message('hardened', 2, 1, 1, 'sent', '2025-01-01 00:00Z');
INSERT INTO hardened.interactions VALUES (1, NULL, 'reply', '2025-01-01 01:00Z');
SELECT sweep('expired', 'hardened', '2025-01-02 00:00:01Z', true);
DELETE FROM hardened.interactions;
ALTER TABLE hardened.interactions ALTER campaign_id SET NOT NULL;
SELECT sweep('expired', 'hardened', '2025-01-02 00:00:01Z', true);

--
-- Whose silence an interaction without a campaign ends: that of its contact,
-- in campaigns whose Message 1 was sent before it came
--

-- In campaign 1, "contact@hours" of each Message 1 and of each reply; NULL for no
-- contact, or for a moment that is not told.  What is due after 30 hours, what is
-- marked, and how many replies are counted.
CREATE FUNCTION silence(source text, sent text, received text, status text DEFAULT 'sent') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	start timestamptz := '2025-01-01 00:00Z';
	result text;
BEGIN
	EXECUTE (SELECT format('TRUNCATE %s, %s, %s', a.campaigns, a.messages, a.interactions) FROM application AS a WHERE a.source = silence.source);
	PERFORM add_campaign(source, 1, start);
	EXECUTE format('INSERT INTO %I.messages (id, campaign_id, contact_id, message_type, status, created_at, sent_at)'
		' SELECT 100 + n, 1, nullif(split_part(w, ''@'', 1), ''NULL'')::int, ''message_1'', $3, $1 - interval ''1 day'', $1 + nullif(split_part(w, ''@'', 2), ''NULL'')::interval'
		' FROM string_to_table($2, '' '') WITH ORDINALITY AS w (w, n)', source) USING start, sent, status;
	PERFORM interaction(source, 1, nullif(split_part(w, '@', 1), 'NULL')::int, 'reply', start + nullif(split_part(w, '@', 2), 'NULL')::interval)
	FROM string_to_table(received, ' ') AS w;
	result := (SELECT format('%s aged, %s due, %s closed; ', r.messages_checked, r.messages_marked, r.campaigns_closed) FROM campaign_check_expired_interactions(source, start + '30:00:00', true) AS r);
	result := result || (SELECT format('%s marked, %s closed: ', r.messages_marked, r.campaigns_closed) FROM campaign_check_expired_interactions(source, start + '30:00:00') AS r);
	RETURN result || messages(source, 1) || '; ' || (SELECT format('%s interactions, %s', interaction_count, r.status) FROM campaign_update_status(1, source, start + '30:00:00') AS r);
END $$;
CALL tables('silent', ', campaign_id int, interaction_type text, received_at timestamptz');
CALL tables('silent, untold', ', interaction_type text, received_at timestamptz', '{"interactions": {"campaign_id": null}}');
-- After it: not before, nor at the same moment.
SELECT silence('silent', '1@0:00 2@0:00 3@1:00', '1@0:00:01 2@0:00 3@0:30');
SELECT silence('silent, untold', '1@0:00 2@0:00 3@1:00', '1@0:00:01 2@0:00 3@0:30');
-- Of the contact, not of another one.
SELECT silence('silent', '1@0:00 2@0:00', '3@1:00');
-- Where a message does not tell when it was sent, after the campaign's start.
SELECT silence('silent', '1@NULL 2@NULL', '1@0:00:01 2@-1:00');
-- At a moment that is not known it is after nothing.
SELECT silence('silent', '1@0:00', '1@NULL');
-- A message without a contact is nobody's.
SELECT silence('silent', 'NULL@0:00 1@0:00', '1@1:00');
-- Two of one contact: the second may be after the reply, which is counted once.
SELECT silence('silent', '1@0:00 1@2:00', '1@1:00');
SELECT silence('silent', '1@0:00 1@2:00', '1@3:00');
-- Two, of which the second has not expired yet: its contact is still awaited.
SELECT silence('silent', '1@0:00 1@8:00', '1@1:00');
SELECT silence('silent', '1@0:00 1@8:00', '2@1:00');
-- To a message that was not sent nobody replies.
SELECT silence('silent', '1@NULL', '1@1:00', 'pending');
SELECT silence('silent', '1@0:00', '1@1:00', 'failed');
SELECT silence('silent', '1@0:00', '1@1:00', 'no_interaction');
-- Those that tell a campaign do not have to be later than anything.
SELECT silence('told', '1@1:00', '1@0:30');
SELECT silence('may tell', '1@1:00', '1@0:30');
-- One contact in two campaigns: both have his reply, but for one that tells which.
SELECT silence('may tell', '1@0:00 2@0:00 3@0:00', '1@1:00');
SELECT add_campaign('may tell', 5, '2025-01-01 00:00Z');
INSERT INTO "may tell".messages (id, campaign_id, contact_id, message_type, status, sent_at)
SELECT 500 + n, 5, n, 'message_1', 'read', '2025-01-01 00:30Z' FROM generate_series(1, 3) AS n;
INSERT INTO "may tell".interactions VALUES (2, NULL, 'reply', '2025-01-01 02:00Z'), (3, NULL, 'reply', '2025-01-01 00:15Z');
UPDATE "may tell".campaigns SET status = 'sending';
UPDATE "may tell".messages SET status = 'read';
SELECT sweep('expired', 'may tell', '2025-01-02 06:00Z');
SELECT messages('may tell', 1), campaign('may tell', 1);
SELECT messages('may tell', 5), campaign('may tell', 5);

-- That nothing is heard of anybody is not so where something came without a campaign.
SELECT blackout_after FROM campaign_alter('silent', 'blackout_after', '12 hours');
SELECT blackout_after FROM campaign_alter('silent, untold', 'blackout_after', '12 hours');
SELECT silence('silent', '1@0:00 2@0:00', '1@18:00:01'), silence('silent', '1@0:00 2@0:00', '1@18:00');
SELECT silence('silent, untold', '1@0:00 2@0:00', '1@18:00:01'), silence('silent, untold', '1@0:00 2@0:00', '1@18:00');
SELECT silence('silent, untold', '1@0:00 2@0:00', '7@29:00');

-- In batches, too.
DO $$ DECLARE source text; BEGIN FOREACH source IN ARRAY '{told,may tell,do not tell,cannot tell,no type}'::text[] LOOP CALL prepare_batches(source); END LOOP; END $$;
CALL campaign_run_sweeps(force => true);
SELECT source, batches(source) FROM application WHERE batches(source) IS NOT NULL ORDER BY source COLLATE "C";

--
-- Interactions that are no table of their own
--

-- A view over an inbox, that knows of no campaign.
CREATE TABLE inbox (contact_id int, interaction_type text, received_at timestamptz);
CREATE VIEW inbound AS SELECT NULL::int AS campaign_id, contact_id, interaction_type, received_at FROM inbox;
CREATE SCHEMA viewed
	CREATE TABLE campaigns (id int PRIMARY KEY, status text, created_at timestamptz, completed_at timestamptz, sent_count int, no_interaction_count int,
		failed_count int, pending_count int, interaction_count int)
	CREATE TABLE messages (id bigint PRIMARY KEY, campaign_id int, contact_id int, message_type text, status text, error_message text, created_at timestamptz, sent_at timestamptz);
SELECT source, interactions, mode FROM campaign_attach('viewed', 'viewed.campaigns', 'viewed.messages', 'inbound');
INSERT INTO application VALUES ('viewed', 'viewed.campaigns', 'viewed.messages', 'inbox');
CALL live('viewed');
SELECT differences('told', 'viewed');
SELECT campaign_detach('viewed');
-- One that has been materialized.
TRUNCATE viewed.campaigns, viewed.messages, inbox;
CREATE MATERIALIZED VIEW replies AS SELECT contact_id, received_at FROM inbound WHERE interaction_type <> 'seen';
SELECT source, interactions, mode FROM campaign_attach('viewed', 'viewed.campaigns', 'viewed.messages', 'replies');
SELECT add_campaign('viewed', 1, '2025-01-01 00:00Z');
SELECT message('viewed', 1, n, 1, 'read', '2025-01-01 00:00Z') FROM generate_series(1, 3) AS n;
INSERT INTO inbox VALUES (1, 'reply', '2025-01-01 02:00Z'), (2, 'seen', '2025-01-01 02:00Z');
SELECT sweep('expired', 'viewed', '2025-01-02 00:00:01Z', true);
REFRESH MATERIALIZED VIEW replies;
SELECT sweep('expired', 'viewed', '2025-01-02 00:00:01Z', true);

-- What comes in is in the table of messages, and in no tally.
CREATE SCHEMA together
	CREATE TABLE campaigns (id int PRIMARY KEY, status text, created_at timestamptz, completed_at timestamptz, sent_count int, no_interaction_count int,
		failed_count int, pending_count int, interaction_count int)
	CREATE TABLE messages (id bigint DEFAULT (random() * 1e15)::bigint PRIMARY KEY, campaign_id int, contact_id int, message_type text, status text, error_message text, created_at timestamptz, sent_at timestamptz)
	CREATE VIEW inbound AS SELECT contact_id, message_type AS interaction_type, created_at AS received_at FROM messages;
SELECT source, mode FROM campaign_attach('together', 'together.campaigns', 'together.messages', 'together.messages', columns => '{"interactions": {"interaction_type": "message_type", "received_at": "created_at"}}');
INSERT INTO application VALUES ('together', 'together.campaigns', 'together.messages', 'together.inbound');
CALL live('together');
SELECT differences('told', 'together');
SELECT message_type, campaign_id, status, count(*) FROM together.messages WHERE message_type NOT LIKE 'message%' GROUP BY 1, 2, 3 ORDER BY 1;

--
-- Messages without a type: all are a Message 1
--

CREATE SCHEMA sms
	CREATE TABLE campaigns (id int PRIMARY KEY, status text, created_at timestamptz, completed_at timestamptz, sent_count int, no_interaction_count int,
		failed_count int, pending_count int, interaction_count int)
	CREATE TABLE messages (id text PRIMARY KEY, campaign_id int, contact_id text, status text, error_message text, created_at timestamptz, sent_at timestamptz)
	CREATE TABLE interactions (campaign_id int, contact_id text);
SELECT source, mode, completion_rule FROM campaign_attach('sms', 'sms.campaigns', 'sms.messages', 'sms.interactions');
INSERT INTO application VALUES ('sms', 'sms.campaigns', 'sms.messages', 'sms.interactions', '+33 %s', '+33 %s');
SELECT add_campaign('sms', n, '2025-01-01 00:00Z') FROM generate_series(1, 2) AS n;
SELECT message('sms', c, n, 1, s, '2025-01-01 00:00Z') FROM (VALUES (1, 'sent'), (2, 'read'), (3, 'pending')) AS v (n, s), generate_series(1, 2) AS c;
SELECT judge('sms', 1, '2025-01-01 01:00Z');
SELECT message('sms', 1, 3, 1, 'sent', '2025-01-01 02:00Z');
-- The rule "messages": what is sent is done with.
SELECT sweep('sending', 'sms', '2025-01-01 03:00Z');
SELECT campaign('sms', 1);
-- What is still open is marked if nobody replies to it.
SELECT interaction('sms', 2, 2, 'reply', NULL);
SELECT sweep('expired', 'sms', '2025-01-02 03:00Z');
SELECT messages('sms', 2), campaign('sms', 2);
SELECT sweep('timeout', 'sms', '2025-01-03 03:00Z');
SELECT messages('sms', 2), campaign('sms', 2);
-- Each contact may be waited for all the same.
SELECT completion_rule FROM campaign_alter('sms', 'completion_rule', 'contacts');
SELECT add_campaign('sms', 3, '2025-01-01 00:00Z'), message('sms', 3, 1, 1, 'sent', '2025-01-01 00:00Z'), message('sms', 3, 2, 1, 'failed', '2025-01-01 00:00Z');
SELECT sweep('sending', 'sms', '2025-01-02 00:00Z');
SELECT sweep('expired', 'sms', '2025-01-02 00:00:01Z');
SELECT messages('sms', 3), campaign('sms', 3);
-- The trigger knows that, too.
SELECT completion_rule FROM campaign_alter('sms', 'completion_rule', 'messages');
CALL hint('sms', 11, '', 'pending');
CALL hint('sms', 12, 'pending', 'sent');
CALL hint('sms', 13, 'sent', 'read');
