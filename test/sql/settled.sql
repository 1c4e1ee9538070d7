-- A campaign that no message keeps open is counted in another way where a host
-- closes it than where a caller does: that it comes to the same is shown on twins,
-- of an application's own tables, in which there is whatever can be in them.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
\pset format unaligned
\pset tuples_only on
SET TimeZone = 'UTC';

CREATE PROCEDURE create_source(name text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE SCHEMA %1$I', name);
	EXECUTE format('SET LOCAL search_path = %I, public', name);
	CREATE TABLE mailing (no integer PRIMARY KEY, status text, rule text, recipients int, created_at timestamptz,
		completed_at timestamptz, sent_count int, success_count int, failed_count int, delivered_count int,
		read_count int, no_interaction_count int, pending_count int, interaction_count int);
	CREATE TABLE text_message (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mailing integer, phone text,
		kind text, status text, sent timestamptz, created_at timestamptz);
	CREATE TABLE answer (mailing integer, phone text, kind text, at timestamptz);
	CREATE INDEX ON text_message (mailing, phone);
	CREATE INDEX ON answer (mailing, phone);
	PERFORM FROM campaign_attach(create_source.name, 'mailing', 'text_message', 'answer',
		columns => '{"campaigns": {"id": "no", "completion_rule": "rule", "total_recipients": "recipients"},
			"messages": {"campaign_id": "mailing", "contact_id": "phone", "message_type": "kind", "sent_at": "sent"},
			"interactions": {"campaign_id": "mailing", "contact_id": "phone", "interaction_type": "kind", "received_at": "at"}}',
		labels => '{"messages": {"ignored": "draft"}, "message_types": {"message_1": "1", "message_2": ["2", "3"]}}');
	PERFORM FROM campaign_alter(create_source.name, 'mode', 'active');
END $$;
CALL create_source('host');
CALL create_source('caller');

-- Messages of one contact, as words: the kind, a status, and hours since it was sent.
CREATE TABLE habit (n int GENERATED ALWAYS AS IDENTITY, messages text);
INSERT INTO habit (messages) VALUES ('1:read:30 2:sent:29'), ('1:failed:'), ('1:delivered:40 2:failed:3'),
	('1:no_interaction:50'), ('1:sent:30'), ('1:read:26'), ('1:sent:30 1:sent:31'), ('1:sent:30 1:failed:'),
	('1:read:30 2:read:20 3:sent:10'), ('1:draft:'), ('1:draft: 1:read:40 2:delivered:1'), ('9:pending:'),
	('1:delivered:30 2:no_interaction:2'),
	-- what keeps a campaign open
	('1:sent:3'), ('1:pending:'), ('1:read:30 2:pending:'), ('1:parked:'), ('1::'), ('1:read:30 2:draft:');
CREATE TABLE twin AS
SELECT no, contact, CASE WHEN (no * 31 + contact * 7) % 41 = 0 THEN NULL ELSE '+' || contact END AS phone,
	(SELECT messages FROM habit WHERE habit.n = 1 + CASE WHEN (no * 53 + contact * 17) % 19 = 0
		THEN 13 + (no + contact) % 6
		-- in some there is nothing to mark
		ELSE (no * 7 + contact * contact * 5) % 13 % CASE WHEN no % 5 = 0 THEN 4 ELSE 13 END END) AS messages
FROM generate_series(1, 300) AS no, generate_series(1, 7) AS contact
WHERE contact <= 2 + no % 6;

CREATE PROCEDURE fill(name text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SET LOCAL search_path = %I, public', name);
	INSERT INTO mailing (no, status, rule, recipients, created_at)
	SELECT no, 'sending', CASE WHEN no % 9 = 0 THEN 'messages' END, CASE WHEN no % 4 = 0 THEN 3 + no % 3 END, '2025-01-01'
	FROM generate_series(0, 300) AS no;
	INSERT INTO text_message (mailing, phone, kind, status, sent, created_at)
	SELECT no, phone, split_part(word, ':', 1), nullif(split_part(word, ':', 2), ''),
		timestamptz '2025-01-03' - make_interval(hours => nullif(split_part(word, ':', 3), '')::int), '2025-01-01'
	FROM twin, string_to_table(messages, ' ') AS word ORDER BY no, contact, word;
	INSERT INTO answer
	SELECT no, phone, CASE contact WHEN 1 THEN 'reply' WHEN 2 THEN 'reaction' ELSE 'seen' END, '2025-01-02 23:00'
	FROM twin WHERE (no + contact) % 3 = 0;
	-- of nobody's campaign
	INSERT INTO answer VALUES (NULL, '+4', 'reply', '2025-01-01 19:00');
END $$;
CALL fill('host');
CALL fill('caller');

-- The host looks back from now, so its tables are those of now.
CREATE PROCEDURE advance(name text) LANGUAGE plpgsql AS $$
DECLARE
	later interval := now() - timestamptz '2025-01-03';
BEGIN
	EXECUTE format('SET LOCAL search_path = %I, public', name);
	UPDATE mailing SET created_at = now() - interval '40 hours';
	UPDATE text_message SET sent = sent + later, created_at = created_at + later;
	UPDATE answer SET at = at + later;
END $$;
BEGIN;
CALL advance('host');
CALL advance('caller');
COMMIT;
SELECT FROM campaign_alter('host', 'campaign_timeout', '10 days');
SELECT FROM campaign_alter('caller', 'campaign_timeout', '10 days');
CALL campaign_run_sweeps('host', force => true);
SELECT campaigns_closed > 0, messages_marked > 0 FROM campaign_check_expired_interactions('caller');
SELECT campaigns_closed > 0 FROM campaign_check_sending('caller');
SELECT campaigns_resumed > 0 FROM campaign_recover_interrupted('caller');

CREATE VIEW compared AS
SELECT to_jsonb(h) - 'completed_at' - 'created_at' = to_jsonb(c) - 'completed_at' - 'created_at' AS same, h.status, h.no
FROM host.mailing AS h JOIN caller.mailing AS c USING (no);
SELECT status, same, count(*) > 30 AS many FROM compared GROUP BY 1, 2 ORDER BY 1, 2;
SELECT h, c FROM compared JOIN host.mailing AS h USING (no) JOIN caller.mailing AS c USING (no) WHERE NOT same LIMIT 3;
-- what is told of each that is closed: statistics, contacts and all
CREATE VIEW told AS
SELECT source, campaign_id, event, reason, details - '{completed_at,sent_before}'::text[] AS details FROM campaign_event;
SELECT event, count(*) > 30 AS many, count(*) FILTER (WHERE h.details = c.details AND h.reason = c.reason) = count(*) AS same
FROM (SELECT * FROM told WHERE source = 'host') AS h FULL JOIN (SELECT * FROM told WHERE source = 'caller') AS c USING (campaign_id, event)
GROUP BY event ORDER BY event;
SELECT h.event, h.details, c.details, h.reason, c.reason FROM told AS h JOIN told AS c USING (campaign_id, event)
WHERE h.source = 'host' AND c.source = 'caller' AND NOT (h.details = c.details AND h.reason = c.reason) LIMIT 2;
SELECT details ->> 'sweep' AS sweep, count(*) > 30 AS many FROM told WHERE event = 'closed' AND source = 'host' GROUP BY 1 ORDER BY 1;
-- and it is what there is
SELECT what, count(*) FROM host.mailing, campaign_verify(no, 'host') WHERE status <> 'sending' AND NOT ok GROUP BY what;
