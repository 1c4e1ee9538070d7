-- Twins: random campaigns, what random applications do to them while time goes by, and
-- CALL campaign_run_sweeps() in between, in ordinary tables and in those of Citus.
-- Both must come to the same rows and the same events.  test/citus draws a seed,
-- prints it, and takes it by --seed.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
\pset format unaligned
\pset tuples_only on
CREATE SCHEMA plain;
CREATE SCHEMA shards;
SELECT source, mode FROM campaign_create_plain_tables('plain');
SELECT source, mode FROM campaign_create_tables('shards');
-- (neither is to have hints)
DROP TRIGGER campaign_autoclose ON plain.messages;

CREATE PROCEDURE on_both(statement text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format(statement, 'plain');
	EXECUTE format(statement, 'shards');
END $$;
CREATE FUNCTION pick(choices int, VARIADIC what text[]) RETURNS int LANGUAGE sql STABLE AS $$
	SELECT ('x' || left(md5(array_to_string(coalesce(current_setting('test.seed', true), '') || what, ' ')), 7))::bit(28)::int % choices
$$;
CREATE FUNCTION pick_word(choices text[], VARIADIC what text[]) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT choices[1 + pick(cardinality(choices), VARIADIC what)]
$$;
INSERT INTO plain.contacts (id, full_number) SELECT md5(n::text)::uuid, n FROM generate_series(1, 12) AS n;
INSERT INTO shards.contacts TABLE plain.contacts;

-- Time goes by, also for what is remembered.  (Citus plans no UPDATE with what is not
-- immutable, as a time with its zone less an interval is not.)
CREATE FUNCTION less(moment text, hours interval) RETURNS text LANGUAGE sql AS $$
	SELECT format('%1$I = (%1$I AT TIME ZONE ''UTC'' - %2$L::interval) AT TIME ZONE ''UTC''', moment, hours)
$$;
CREATE PROCEDURE wait(hours interval) LANGUAGE plpgsql AS $$
BEGIN
	CALL on_both('UPDATE %I.campaigns SET ' || concat_ws(', ', less('created_at', hours), less('started_at', hours), less('completed_at', hours)));
	CALL on_both('UPDATE %I.messages SET ' || concat_ws(', ', less('created_at', hours), less('sent_at', hours)));
	CALL on_both('UPDATE %I.interactions SET ' || less('received_at', hours));
	UPDATE campaign_state SET closed_at = closed_at - hours, stalled_at = stalled_at - hours;
	UPDATE campaign_reopening SET reopened_at = reopened_at - hours;
END $$;

CREATE TABLE new_message (LIKE plain.messages);
CREATE TABLE new_interaction (LIKE plain.interactions);
CREATE PROCEDURE begin_campaign(name text) LANGUAGE plpgsql AS $$
DECLARE
	campaign uuid := md5(name);
	start timestamptz := now() - make_interval(hours => pick(60, name, 'age'), mins => 30);
	words text[] := CASE pick(3, name, 'words') WHEN 0 THEN '{sent,delivered,read}'
		WHEN 1 THEN '{sent,read,failed,no_interaction}' ELSE '{pending,sent,delivered,read,failed,no_interaction}' END;
BEGIN
	CALL on_both(format('INSERT INTO %%I.campaigns (id, name, status, total_recipients, created_at, started_at) VALUES (%L, %L, %L, %L, %L, %L)',
		campaign, name, pick_word('{sending,sending,sending,sending,paused}', name, 'status'), pick(6, name, 'recipients'), start, start));
	TRUNCATE new_message, new_interaction;
	INSERT INTO new_message (id, campaign_id, contact_id, message_type, status, created_at, updated_at, sent_at)
	SELECT md5(concat_ws(' ', name, k, type))::uuid, campaign, md5(k::text)::uuid, type, word, start, start,
		CASE WHEN word <> 'pending' THEN start + make_interval(hours => pick(5, name, k::text, 'sent')) END
	FROM generate_series(1, pick(13, name, 'contacts')) AS k,
		LATERAL unnest(ARRAY['message_1', CASE pick(3, name, k::text, 'two') WHEN 0 THEN 'message_2' END]) AS type,
		LATERAL pick_word(words, name, k::text, type) AS word
	WHERE type IS NOT NULL;
	INSERT INTO new_interaction (id, campaign_id, contact_id, interaction_type, received_at)
	SELECT md5(id::text)::uuid, campaign, contact_id, pick_word('{reply,reaction,read}', id::text, 'kind'), start + interval '1 hour'
	FROM new_message WHERE message_type = 'message_1' AND pick(3, id::text, 'replies') = 0;
	CALL on_both('INSERT INTO %I.messages (id, campaign_id, contact_id, message_type, status, created_at, updated_at, sent_at)
		SELECT id, campaign_id, contact_id, message_type, status, created_at, updated_at, sent_at FROM new_message');
	CALL on_both('INSERT INTO %I.interactions (id, campaign_id, contact_id, interaction_type, received_at)
		SELECT id, campaign_id, contact_id, interaction_type, received_at FROM new_interaction');
END $$;

CREATE SEQUENCE rounds;
CREATE PROCEDURE next_round() LANGUAGE plpgsql AS $$
DECLARE
	round text := nextval('rounds');
	name text;
	message record;
	campaign record;
BEGIN
	CALL wait(make_interval(hours => pick(4, round, 'hours') * pick(9, round, 'more hours')));
	FOR message IN SELECT id, campaign_id, pick_word('{pending,sent,delivered,read,failed,failed}', round, id::text, 'word') AS word
		FROM plain.messages WHERE pick(6, round, id::text, 'callback') = 0 ORDER BY id
	LOOP
		CALL on_both(format('UPDATE %%I.messages SET status = %L, error_message = NULL, sent_at = %s WHERE campaign_id = %L AND id = %L', message.word,
			CASE message.word WHEN 'pending' THEN 'NULL' ELSE format('coalesce(sent_at, %L)', now()) END, message.campaign_id, message.id));
	END LOOP;
	FOR message IN SELECT id, campaign_id FROM plain.messages WHERE pick(40, round, id::text, 'deleted') = 0 ORDER BY id LOOP
		CALL on_both(format('DELETE FROM %%I.messages WHERE campaign_id = %L AND id = %L', message.campaign_id, message.id));
	END LOOP;
	FOR message IN SELECT min(m.id::text) AS id, campaign_id FROM plain.messages AS m JOIN plain.campaigns AS c ON c.id = campaign_id
		WHERE c.status IN ('completed', 'failed') AND pick(3, round, c.id::text, 'goes on') = 0 GROUP BY campaign_id ORDER BY campaign_id
	LOOP
		CALL on_both(format('UPDATE %%I.messages SET status = ''pending'', error_message = NULL, sent_at = NULL WHERE campaign_id = %L AND id = %L',
			message.campaign_id, message.id));
	END LOOP;
	FOR campaign IN SELECT id, status FROM plain.campaigns WHERE pick(12, round, id::text, 'order') = 0 ORDER BY id LOOP
		CALL on_both(format('UPDATE %%I.campaigns SET status = %L, completed_at = NULL WHERE id = %L',
			CASE campaign.status WHEN 'sending' THEN 'paused' ELSE 'sending' END, campaign.id));
	END LOOP;
	FOR n IN 1 .. 6 LOOP
		CALL begin_campaign(concat('campaign ', n, ' of round ', round));
	END LOOP;
	FOREACH name IN ARRAY '{plain,shards}'::text[] LOOP
		PERFORM campaign_alter(name, 'batch_size', pick_word('{1,2,5,5000}', round, 'batch_size'));
		PERFORM campaign_alter(name, 'completion_rule', pick_word('{contacts,contacts,contacts,messages}', round, 'rule'));
		PERFORM campaign_alter(name, sweep || '_every', CASE WHEN pick(4, round, sweep) > 0 THEN '1 day' END)
		FROM unnest('{expired,timeout,sending,interrupted}'::text[]) AS sweep;
	END LOOP;
END $$;

-- All but the moments, of which the clock gives each its own.
SET citus.enable_ddl_propagation = off;
CREATE VIEW plain_rows AS
SELECT concat_ws(' ', 'campaign', id, status, sent_count, success_count, delivered_count, read_count, failed_count, no_interaction_count,
	pending_count, interaction_count, completed_at IS NULL) AS line FROM plain.campaigns
UNION ALL SELECT concat_ws(' ', 'message', id, status, error_message) FROM plain.messages;
CREATE VIEW shards_rows AS
SELECT concat_ws(' ', 'campaign', id, status, sent_count, success_count, delivered_count, read_count, failed_count, no_interaction_count,
	pending_count, interaction_count, completed_at IS NULL) AS line FROM here(NULL::shards.campaigns)
UNION ALL SELECT concat_ws(' ', 'message', id, status, error_message) FROM here(NULL::shards.messages);
CREATE VIEW events AS
SELECT source, concat_ws(' ', 'event', row_number() OVER (PARTITION BY source, campaign_id ORDER BY id), campaign_id, event, status_from, status_to, reason,
	details - '{start,last_sent,completed_at,sent_before,closed_at,reopened_at}'::text[]) AS line FROM campaign_event;
CREATE VIEW differences AS
WITH plain AS (TABLE plain_rows UNION ALL SELECT line FROM events WHERE source = 'plain'),
	shards AS (TABLE shards_rows UNION ALL SELECT line FROM events WHERE source = 'shards')
SELECT 'ordinary' AS tables, line FROM (TABLE plain EXCEPT TABLE shards) AS p
UNION ALL SELECT 'distributed', line FROM (TABLE shards EXCEPT TABLE plain) AS s ORDER BY 2;

RESET citus.enable_ddl_propagation;

\set round 'CALL next_round(); CALL campaign_run_sweeps(''plain'', force => true); CALL campaign_run_sweeps(''shards'', force => true); TABLE differences;'
:round
:round
:round
:round
:round
:round
:round
:round
:round
:round
:round
:round
-- Much of it was done, some of it in batches, and nothing went wrong.
SELECT DISTINCT event FROM campaign_event WHERE source = 'shards' ORDER BY 1;
SELECT sum((details ->> 'messages')::int) > 20 AS many, count(*) > count(DISTINCT campaign_id) AS in_batches
FROM campaign_event WHERE source = 'shards' AND event = 'expired';
