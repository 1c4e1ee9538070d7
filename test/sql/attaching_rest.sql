-- The first example of doc/attaching.md, statement by statement: uuid keys, enum
-- statuses, row-level security, inbound messages without a campaign, named
-- arguments as a REST front end passes them.
-- Only in the test:
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
SET TimeZone = 'UTC';
-- the statement within is none of the document's business
\set SHOW_CONTEXT never
-- As in the document:
CREATE EXTENSION campaign_autoclose;

CREATE ROLE authenticated NOLOGIN;
CREATE ROLE service_role NOLOGIN BYPASSRLS;
CREATE SCHEMA auth;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
	$$ SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;
GRANT USAGE ON SCHEMA auth TO authenticated, service_role;

CREATE TYPE campaign_status AS ENUM ('draft', 'scheduled', 'sending', 'paused', 'completed', 'failed');
CREATE TYPE message_status AS ENUM ('queued', 'sent', 'delivered', 'read', 'failed');
CREATE TYPE message_kind AS ENUM ('first', 'follow_up');
CREATE TYPE inbound_kind AS ENUM ('text', 'button', 'emoji', 'receipt');

CREATE TABLE campaigns (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	user_id uuid NOT NULL,
	title text NOT NULL,
	state campaign_status NOT NULL DEFAULT 'draft',
	audience integer NOT NULL DEFAULT 0,
	sent_count integer NOT NULL DEFAULT 0,
	failed_count integer NOT NULL DEFAULT 0,
	interaction_count integer NOT NULL DEFAULT 0,
	launched_at timestamptz,
	finished_at timestamptz,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE contacts (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	user_id uuid NOT NULL,
	phone text NOT NULL,
	name text
);
CREATE TABLE messages (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	campaign_id uuid NOT NULL REFERENCES campaigns ON DELETE CASCADE,
	contact_id uuid NOT NULL REFERENCES contacts,
	kind message_kind NOT NULL DEFAULT 'first',
	state message_status NOT NULL DEFAULT 'queued',
	error text,
	sent_at timestamptz,
	created_at timestamptz NOT NULL DEFAULT now(),
	UNIQUE (campaign_id, contact_id, kind)
);
CREATE TABLE inbound_messages (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	contact_id uuid NOT NULL REFERENCES contacts,
	campaign_id uuid REFERENCES campaigns ON DELETE CASCADE,
	kind inbound_kind NOT NULL DEFAULT 'text',
	body text,
	received_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE campaigns ENABLE ROW LEVEL SECURITY;
ALTER TABLE contacts ENABLE ROW LEVEL SECURITY;
ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE inbound_messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON campaigns USING (user_id = auth.uid());
CREATE POLICY own ON contacts USING (user_id = auth.uid());
CREATE POLICY own ON messages USING (EXISTS (SELECT FROM campaigns AS c WHERE c.id = campaign_id));
CREATE POLICY own ON inbound_messages USING (EXISTS (SELECT FROM contacts AS c WHERE c.id = contact_id));
GRANT ALL ON campaigns, contacts, messages, inbound_messages TO authenticated, service_role;

INSERT INTO contacts (id, user_id, phone, name) VALUES
	('a1a1a1a1-0000-4000-8000-000000000001', '11111111-0000-4000-8000-000000000001', '+33600000001', 'Alice'),
	('a1a1a1a1-0000-4000-8000-000000000002', '11111111-0000-4000-8000-000000000001', '+33600000002', 'Bruno'),
	('a1a1a1a1-0000-4000-8000-000000000003', '11111111-0000-4000-8000-000000000001', '+33600000003', 'Chloe');
INSERT INTO campaigns (id, user_id, title, audience)
VALUES ('c1c1c1c1-0000-4000-8000-000000000001', '11111111-0000-4000-8000-000000000001', 'Spring sale', 3);

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
CREATE TABLE before_attaching AS SELECT traces('campaigns', 'contacts', 'messages', 'inbound_messages') AS trace;
-- As in the document:
SELECT source, mode FROM campaign_attach('shop', 'campaigns', 'messages', 'inbound_messages', 'contacts',
	columns => '{
		"campaigns": {"status": "state", "total_recipients": "audience", "started_at": "launched_at", "completed_at": "finished_at"},
		"messages": {"message_type": "kind", "status": "state", "error_message": "error"},
		"interactions": {"interaction_type": "kind"},
		"contacts": {"full_number": "phone", "first_name": "name"}}',
	labels => '{
		"messages": {"pending": "queued"},
		"message_types": {"message_1": "first", "message_2": "follow_up"},
		"interactions": {"reply": ["text", "button"], "reaction": "emoji"}}');

SELECT check_name, detail, fix FROM campaign_preflight('shop') WHERE NOT ok \gx (format=unaligned)

ALTER TYPE public.message_status ADD VALUE 'no_interaction';
CREATE INDEX CONCURRENTLY ON public.campaigns (id) WHERE state = 'sending';
CREATE INDEX CONCURRENTLY ON public.inbound_messages (campaign_id, contact_id);
SELECT check_name, detail FROM campaign_preflight('shop') WHERE NOT ok;

SELECT count(*) FROM campaign_preview('shop');
SELECT source, mode FROM campaign_alter('shop', 'mode', 'active');

INSERT INTO messages (campaign_id, contact_id)
SELECT 'c1c1c1c1-0000-4000-8000-000000000001', id FROM contacts;
UPDATE campaigns SET state = 'sending', launched_at = now() WHERE id = 'c1c1c1c1-0000-4000-8000-000000000001';
UPDATE messages SET state = 'delivered', sent_at = now()
WHERE contact_id IN (SELECT id FROM contacts WHERE name IN ('Alice', 'Bruno'));
UPDATE messages SET state = 'failed', error = 'unknown number'
WHERE contact_id IN (SELECT id FROM contacts WHERE name = 'Chloe');

INSERT INTO inbound_messages (contact_id, kind, body, received_at)
SELECT id, 'text', 'Yes, please!', now() + interval '1 hour' FROM contacts WHERE name = 'Alice';
INSERT INTO inbound_messages (contact_id, kind, received_at)
SELECT id, 'receipt', now() + interval '1 hour' FROM contacts WHERE name = 'Bruno';

SET ROLE authenticated;
SELECT status FROM campaign_update_status(campaign => 'c1c1c1c1-0000-4000-8000-000000000001');
RESET ROLE;

SET ROLE service_role;
SELECT status, sent_count, total_failed, interaction_count, contacts, contacts_completed
FROM campaign_update_status(campaign => 'c1c1c1c1-0000-4000-8000-000000000001', as_of => now() + interval '3 hours');

SELECT campaigns_closed, messages_marked
FROM campaign_check_expired_interactions(source => 'shop', as_of => now() + interval '25 hours');
RESET ROLE;
SELECT name, kind, state, error FROM messages JOIN contacts ON contacts.id = contact_id ORDER BY name, kind;

INSERT INTO messages (campaign_id, contact_id, kind, state, sent_at)
SELECT 'c1c1c1c1-0000-4000-8000-000000000001', id, 'follow_up', 'sent', now() + interval '26 hours'
FROM contacts WHERE name = 'Alice';
SET ROLE service_role;
SELECT previous_status, status, changed
FROM campaign_update_status(campaign => 'c1c1c1c1-0000-4000-8000-000000000001', as_of => now() + interval '26 hours');
RESET ROLE;
SELECT title, state, sent_count, failed_count, interaction_count, date_trunc('hour', finished_at - launched_at) AS after
FROM campaigns;
SELECT event, status_to, reason FROM campaign_event WHERE NOT shadow ORDER BY id;

CREATE FUNCTION refresh_campaign(campaign uuid) RETURNS text
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
	SELECT r.status FROM campaigns AS c, campaign_update_status(c.id) AS r
	WHERE c.id = refresh_campaign.campaign AND c.user_id = auth.uid()
$$;
SET ROLE authenticated;
SET request.jwt.claim.sub = '11111111-0000-4000-8000-000000000001';
SELECT refresh_campaign(campaign => 'c1c1c1c1-0000-4000-8000-000000000001');
SET request.jwt.claim.sub = '22222222-0000-4000-8000-000000000002';
SELECT refresh_campaign(campaign => 'c1c1c1c1-0000-4000-8000-000000000001');
RESET ROLE;

SELECT campaign_detach('shop');
SELECT tgrelid::regclass, tgname FROM pg_trigger
WHERE tgrelid IN ('campaigns'::regclass, 'messages'::regclass) AND NOT tgisinternal;
SELECT count(*) FROM campaign_source;
-- Only in the test:
-- what is not as it was before attaching: what was mended by hand
SELECT traces('campaigns', 'contacts', 'messages', 'inbound_messages') COLLATE "C" AS trace EXCEPT ALL TABLE before_attaching ORDER BY 1;
TABLE before_attaching EXCEPT ALL SELECT traces('campaigns', 'contacts', 'messages', 'inbound_messages') COLLATE "C" ORDER BY 1;
SELECT count(*) AS "events, runs, state" FROM (SELECT source FROM campaign_event UNION ALL SELECT source FROM campaign_sweep_run
	UNION ALL SELECT source FROM campaign_state UNION ALL SELECT source FROM campaign_retry UNION ALL SELECT source FROM campaign_reopening
	UNION ALL SELECT source FROM campaign_armed UNION ALL SELECT source FROM campaign_source) AS kept;
DROP OWNED BY authenticated, service_role;
DROP ROLE authenticated, service_role;
