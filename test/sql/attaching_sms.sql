-- The third example of doc/attaching.md, statement by statement: one message a
-- contact, a provider's statuses, no interactions, phone numbers as contacts.
-- Only in the test:
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
SET TimeZone = 'UTC';
-- the statement within is none of the document's business
\set SHOW_CONTEXT never
-- As in the document:
CREATE EXTENSION campaign_autoclose;
CREATE SCHEMA sms;
CREATE TABLE sms.blasts (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	body text NOT NULL,
	status text NOT NULL DEFAULT 'draft',
	sent_count integer NOT NULL DEFAULT 0,
	delivered_count integer NOT NULL DEFAULT 0,
	failed_count integer NOT NULL DEFAULT 0,
	pending_count integer NOT NULL DEFAULT 0,
	created_at timestamptz NOT NULL DEFAULT now(),
	launched_at timestamptz,
	completed_at timestamptz
);
CREATE TABLE sms.outbox (
	sid text PRIMARY KEY,
	blast_id bigint NOT NULL REFERENCES sms.blasts,
	"to" text NOT NULL,
	status text NOT NULL DEFAULT 'queued',
	error_message text,
	created_at timestamptz NOT NULL DEFAULT now(),
	sent_at timestamptz,
	UNIQUE (blast_id, "to")
);

INSERT INTO sms.blasts (body, status, created_at, launched_at, completed_at)
VALUES ('We have moved', 'done', now() - interval '7 days', now() - interval '7 days', now() - interval '7 days');
INSERT INTO sms.outbox (sid, blast_id, "to", status) VALUES
	('SM01', 1, '+33600000001', 'delivered'), ('SM02', 1, '+33600000002', 'undelivered'), ('SM03', 1, '+33600000003', 'bounced');

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
CREATE TABLE before_attaching AS SELECT traces('sms.blasts', 'sms.outbox') AS trace;
-- As in the document:
SELECT source, mode, completion_rule FROM campaign_attach('sms', 'sms.blasts', 'sms.outbox',
	columns => '{
		"campaigns": {"started_at": "launched_at"},
		"messages": {"id": "sid", "campaign_id": "blast_id", "contact_id": "to"}}',
	labels => '{
		"campaigns": {"sending": "live", "completed": "done"},
		"messages": {"pending": ["queued", "accepted"], "failed": ["failed", "undelivered", "bounced"], "read": null}}');
SELECT check_name, detail, fix FROM campaign_preflight('sms') WHERE NOT ok \gx (format=unaligned)

CREATE INDEX CONCURRENTLY ON sms.blasts (id) WHERE status = 'live';

INSERT INTO sms.blasts (body, status, launched_at) VALUES ('Spring sale', 'live', now());
INSERT INTO sms.outbox (sid, blast_id, "to") VALUES
	('SM11', 2, '+33600000001'), ('SM12', 2, '+33600000002'), ('SM13', 2, '+33600000003'), ('SM14', 2, '+33600000004');
UPDATE sms.outbox SET status = 'delivered', sent_at = now() WHERE sid = 'SM11';
UPDATE sms.outbox SET status = 'undelivered', sent_at = now() WHERE sid = 'SM12';
UPDATE sms.outbox SET status = 'canceled' WHERE sid = 'SM13';
UPDATE sms.outbox SET status = 'accepted' WHERE sid = 'SM14';
SELECT status, pending_count, sent_count, failed_count
FROM campaign_update_status(campaign_number => 2, source => 'sms', as_of => now() + interval '1 minute');

SELECT detail, fix FROM campaign_preflight('sms') WHERE NOT ok AND check_name = 'message statuses' \gx (format=unaligned)

SELECT labels -> 'messages' AS messages
FROM campaign_alter('sms', 'labels', '{"messages": {"ignored": "canceled"}}');
SELECT status, pending_count, sent_count, failed_count
FROM campaign_update_status(campaign_number => 2, source => 'sms', as_of => now() + interval '1 minute');
SELECT check_name, detail FROM campaign_preflight('sms') WHERE NOT ok;

UPDATE sms.outbox SET status = 'sent', sent_at = now() WHERE sid = 'SM14';
SELECT previous_status, status, pending_count, sent_count, failed_count
FROM campaign_update_status(campaign_number => 2, source => 'sms', as_of => now() + interval '2 minutes');

UPDATE sms.outbox SET status = 'delivered' WHERE sid = 'SM14';
SELECT changed, status, delivered_count
FROM campaign_update_status(campaign_number => 2, source => 'sms', as_of => now() + interval '1 hour');
SELECT id, status, sent_count, delivered_count, failed_count, pending_count FROM sms.blasts WHERE id = 2;

INSERT INTO sms.blasts (body, status, launched_at) VALUES ('Summer sale', 'live', now());
INSERT INTO sms.outbox (sid, blast_id, "to", status) VALUES
	('SM21', 3, '+33600000001', 'bounced'), ('SM22', 3, '+33600000002', 'undelivered');
SELECT status, failed_count FROM campaign_update_status(campaign_number => 3, source => 'sms');

INSERT INTO sms.blasts (body, status, launched_at) VALUES ('Autumn sale', 'live', now());
INSERT INTO sms.outbox (sid, blast_id, "to") VALUES ('SM31', 4, '+33600000001'), ('SM32', 4, '+33600000002');
UPDATE sms.outbox SET status = 'delivered', sent_at = now() WHERE sid = 'SM31';
SELECT campaigns_resumed FROM campaign_recover_interrupted('sms', as_of => now() + interval '11 minutes');
SELECT campaigns_closed, messages_marked FROM campaign_check_timeout('sms', as_of => now() + interval '49 hours');
SELECT sid, status, error_message FROM sms.outbox WHERE blast_id = 4 ORDER BY sid;
SELECT campaign_id, event, status_to, reason FROM campaign_event ORDER BY id;

SELECT campaign_detach('sms');
SELECT tgrelid::regclass, tgname FROM pg_trigger
WHERE tgrelid IN ('sms.blasts'::regclass, 'sms.outbox'::regclass) AND NOT tgisinternal;
-- Only in the test:
-- what is not as it was before attaching: what was mended by hand
SELECT traces('sms.blasts', 'sms.outbox') COLLATE "C" AS trace EXCEPT ALL TABLE before_attaching ORDER BY 1;
TABLE before_attaching EXCEPT ALL SELECT traces('sms.blasts', 'sms.outbox') COLLATE "C" ORDER BY 1;
SELECT count(*) AS "events, runs, state" FROM (SELECT source FROM campaign_event UNION ALL SELECT source FROM campaign_sweep_run
	UNION ALL SELECT source FROM campaign_state UNION ALL SELECT source FROM campaign_retry UNION ALL SELECT source FROM campaign_reopening
	UNION ALL SELECT source FROM campaign_armed UNION ALL SELECT source FROM campaign_source) AS kept;
