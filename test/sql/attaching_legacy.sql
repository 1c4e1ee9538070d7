-- The second example of doc/attaching.md, statement by statement: integer keys,
-- timestamps without zone, CHECK constraints that refuse a word, open campaigns.
-- Only in the test:
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
SET TimeZone = 'UTC';
-- the statement within is none of the document's business
\set SHOW_CONTEXT never
-- As in the document:
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'Europe/Paris';

CREATE TABLE mailings (
	mailing_no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	subject text NOT NULL,
	state varchar(10) NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'running', 'stopped', 'done', 'error')),
	created timestamp NOT NULL DEFAULT localtimestamp,
	started timestamp,
	ended timestamp,
	nb_sent integer,
	nb_failed integer
);
CREATE TABLE people (
	person_no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	mobile text NOT NULL,
	name text
);
CREATE TABLE "Mailing Items" (
	item_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	mailing_no integer NOT NULL REFERENCES mailings,
	person_no integer NOT NULL REFERENCES people,
	step varchar(10) NOT NULL DEFAULT 'opener' CHECK (step IN ('opener', 'follow-up')),
	state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'delivered', 'read', 'error')),
	problem text,
	created timestamp NOT NULL DEFAULT localtimestamp,
	sent timestamp
);
CREATE TABLE answers (
	answer_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	mailing_no integer NOT NULL REFERENCES mailings,
	person_no integer NOT NULL REFERENCES people,
	how text NOT NULL CHECK (how IN ('text', 'emoji'))
);

INSERT INTO people (mobile, name) VALUES ('+33600000001', 'Anne'), ('+33600000002', 'Bertrand'), ('+33600000003', 'Chloe');
INSERT INTO mailings (subject, state, created, started, ended, nb_sent, nb_failed) VALUES
	('Christmas', 'done', localtimestamp - interval '60 days', localtimestamp - interval '60 days', localtimestamp - interval '58 days', 3, 0),
	('New menu', 'running', localtimestamp - interval '1 hour', localtimestamp - interval '1 hour', NULL, NULL, NULL),
	('Tasting', 'running', localtimestamp - interval '30 hours', localtimestamp - interval '30 hours', NULL, NULL, NULL),
	('Spring sale', 'running', localtimestamp - interval '3 days', localtimestamp - interval '3 days', NULL, NULL, NULL);
INSERT INTO "Mailing Items" (mailing_no, person_no, state, created, sent)
SELECT mailing_no, person_no, 'delivered', started, started FROM mailings, people;
UPDATE "Mailing Items" SET state = 'waiting', sent = NULL
WHERE mailing_no = 4 AND person_no = 3;
INSERT INTO answers (mailing_no, person_no, how) VALUES (3, 1, 'text');
INSERT INTO "Mailing Items" (mailing_no, person_no, step, state, sent)
VALUES (3, 1, 'follow-up', 'read', localtimestamp - interval '29 hours');

-- Only in the test:
CREATE FUNCTION traces(VARIADIC tables regclass[]) RETURNS SETOF text LANGUAGE sql STABLE AS $$
	SELECT pg_describe_object(classid, objid, objsubid) FROM pg_depend
	WHERE refclassid = 'pg_class'::regclass AND refobjid = ANY (tables) OR classid = 'pg_class'::regclass AND objid = ANY (tables)
	UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = ANY (tables)
	UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = ANY (tables)
	UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = ANY (tables)
	UNION ALL SELECT concat_ws(' ', oid::regclass, reloptions, relacl, relowner::regrole, relkind, relrowsecurity, relforcerowsecurity, relreplident)
	FROM pg_class WHERE oid = ANY (tables)
	UNION ALL SELECT concat_ws(' ', attrelid::regclass, attname, atttypid::regtype, atttypmod, attnotnull, attstattarget)
	FROM pg_attribute WHERE attrelid = ANY (tables)
$$;
CREATE TABLE before_attaching AS SELECT traces('mailings', 'people', '"Mailing Items"', 'answers') AS trace;
-- As in the document:
SELECT source, mode FROM campaign_attach('mailing', 'mailings', '"Mailing Items"', 'answers', 'people',
	columns => '{
		"campaigns": {"id": "mailing_no", "status": "stat", "created_at": "created", "started_at": "started", "completed_at": "ended",
			"sent_count": "nb_sent", "failed_count": "nb_failed"},
		"messages": {"id": "item_no", "campaign_id": "mailing_no", "contact_id": "person_no", "message_type": "step",
			"status": "state", "error_message": "problem", "created_at": "created", "sent_at": "sent"},
		"interactions": {"campaign_id": "mailing_no", "contact_id": "person_no", "interaction_type": "how"},
		"contacts": {"id": "person_no", "full_number": "mobile", "first_name": "name"}}',
	labels => '{
		"campaigns": {"sending": "running", "complete": "done", "failed": "error"},
		"messages": {"pending": "waiting", "failed": "error"},
		"message_types": {"message_1": "opener", "message_2": "follow-up"},
		"interactions": {"reply": "text", "reaction": "emoji"}}');

SELECT source, mode FROM campaign_attach('mailing', 'mailings', '"Mailing Items"', 'answers', 'people',
	columns => '{
		"campaigns": {"id": "mailing_no", "status": "state", "created_at": "created", "started_at": "started", "completed_at": "ended",
			"sent_count": "nb_sent", "failed_count": "nb_failed"},
		"messages": {"id": "item_no", "campaign_id": "mailing_no", "contact_id": "person_no", "message_type": "step",
			"status": "state", "error_message": "problem", "created_at": "created", "sent_at": "sent"},
		"interactions": {"campaign_id": "mailing_no", "contact_id": "person_no", "interaction_type": "how"},
		"contacts": {"id": "person_no", "full_number": "mobile", "first_name": "name"}}',
	labels => '{
		"campaigns": {"sending": "running", "completed": "done", "failed": "error"},
		"messages": {"pending": "waiting", "failed": "error"},
		"message_types": {"message_1": "opener", "message_2": "follow-up"},
		"interactions": {"reply": "text", "reaction": "emoji"}}');

SELECT check_name, detail, fix FROM campaign_preflight('mailing') WHERE NOT ok \gx (format=unaligned)

SELECT mode FROM campaign_alter('mailing', 'mode', 'active');

SELECT time_zone FROM campaign_alter('mailing', 'time_zone', 'Europe/Paris');
SELECT fix FROM campaign_preflight('mailing') WHERE NOT ok AND check_name IN ('words', 'indexes') \gexec
SELECT check_name, detail FROM campaign_preflight('mailing') WHERE NOT ok;

SELECT campaign_id, sweep, what, count, status_from, status_to, reason FROM campaign_preview('mailing');

SELECT campaign_id, sweep, what, count, status_from, status_to
FROM campaign_preview('mailing', as_of => now() + interval '2 days');

SELECT campaigns_closed, messages_marked FROM campaign_check_timeout('mailing');
SELECT mailing_no, subject, state FROM mailings ORDER BY mailing_no;
SELECT campaign_id, event, status_from, status_to, reason, shadow FROM campaign_event WHERE campaign_id = '4' ORDER BY id;

SELECT source, mode FROM campaign_alter('mailing', 'mode', 'active');
CALL campaign_run_sweeps('mailing', force => true);
SELECT mailing_no, subject, state, nb_sent, nb_failed FROM mailings WHERE mailing_no > 2 ORDER BY mailing_no;
SELECT mailing_no, name, step, state, problem FROM "Mailing Items" JOIN people USING (person_no)
WHERE state NOT IN ('delivered', 'read') ORDER BY mailing_no, person_no;
SELECT campaign_id, event, status_from, status_to, reason FROM campaign_event WHERE NOT shadow ORDER BY campaign_id, id;

SELECT mailing_no, localtimestamp - ended < interval '1 hour' AS "just ended" FROM mailings WHERE mailing_no > 2 ORDER BY mailing_no;

SELECT status, contacts, contacts_completed FROM campaign_update_status(campaign_number => 2);
SELECT campaigns_closed, messages_marked FROM campaign_check_expired_interactions(as_of => now() + interval '25 hours');
SELECT subject, state, nb_sent, nb_failed FROM mailings WHERE mailing_no = 2;

SELECT campaign_detach('mailing');
SELECT tgrelid::regclass, tgname FROM pg_trigger
WHERE tgrelid IN ('mailings'::regclass, '"Mailing Items"'::regclass) AND NOT tgisinternal;
-- Only in the test:
-- what is not as it was before attaching: what was mended by hand
SELECT traces('mailings', 'people', '"Mailing Items"', 'answers') COLLATE "C" AS trace EXCEPT ALL TABLE before_attaching ORDER BY 1;
TABLE before_attaching EXCEPT ALL SELECT traces('mailings', 'people', '"Mailing Items"', 'answers') COLLATE "C" ORDER BY 1;
SELECT count(*) AS "events, runs, state" FROM (SELECT source FROM campaign_event UNION ALL SELECT source FROM campaign_sweep_run
	UNION ALL SELECT source FROM campaign_state UNION ALL SELECT source FROM campaign_retry UNION ALL SELECT source FROM campaign_reopening
	UNION ALL SELECT source FROM campaign_armed UNION ALL SELECT source FROM campaign_source) AS kept;
