-- The session of doc/migrating.md, statement by statement: two closers side by
-- side, and the change from one to the other.
-- Only in the test:
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
SET TimeZone = 'UTC';
-- the statement within is none of the document's business
\set SHOW_CONTEXT never
-- As in the document:
CREATE EXTENSION campaign_autoclose;

CREATE TABLE campaigns (
	id integer PRIMARY KEY,
	name text NOT NULL,
	status text NOT NULL DEFAULT 'draft',
	total_recipients integer NOT NULL DEFAULT 0,
	sent_count integer NOT NULL DEFAULT 0,
	success_count integer NOT NULL DEFAULT 0,
	failed_count integer NOT NULL DEFAULT 0,
	interaction_count integer NOT NULL DEFAULT 0,
	started_at timestamptz,
	completed_at timestamptz,
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON campaigns (id) WHERE status = 'sending';
CREATE TABLE contacts (
	id integer PRIMARY KEY,
	full_number text NOT NULL,
	first_name text
);
CREATE TABLE messages (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	campaign_id integer NOT NULL REFERENCES campaigns,
	contact_id integer NOT NULL REFERENCES contacts,
	message_type text NOT NULL DEFAULT 'message_1',
	status text NOT NULL DEFAULT 'pending',
	error_message text,
	sent_at timestamptz,
	created_at timestamptz NOT NULL DEFAULT now(),
	UNIQUE (campaign_id, contact_id, message_type)
);
CREATE TABLE interactions (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	campaign_id integer NOT NULL REFERENCES campaigns,
	contact_id integer NOT NULL REFERENCES contacts,
	interaction_type text NOT NULL,
	received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON interactions (campaign_id, contact_id);

INSERT INTO contacts VALUES (1, '+33600000001', 'Alice'), (2, '+33600000002', 'Bruno');
INSERT INTO campaigns (id, name, status, total_recipients, created_at, started_at) VALUES
	(1, 'Welcome', 'sending', 2, now() - interval '30 hours', now() - interval '30 hours'),
	(2, 'Spring sale', 'sending', 2, now() - interval '1 hour', now() - interval '1 hour'),
	(3, 'Survey', 'sending', 2, now() - interval '3 days', now() - interval '3 days');
INSERT INTO messages (campaign_id, contact_id, message_type, status, sent_at) VALUES
	(1, 1, 'message_1', 'read', now() - interval '30 hours'),
	(1, 1, 'message_2', 'sent', now() - interval '28 hours'),
	(1, 2, 'message_1', 'no_interaction', now() - interval '30 hours'),
	(2, 1, 'message_1', 'failed', NULL),
	(2, 2, 'message_1', 'delivered', now() - interval '1 hour'),
	(3, 1, 'message_1', 'read', now() - interval '3 days'),
	(3, 2, 'message_1', 'read', now() - interval '3 days');
INSERT INTO interactions (campaign_id, contact_id, interaction_type) VALUES
	(1, 1, 'reply'), (3, 1, 'reply'), (3, 2, 'reaction');

SELECT source, mode FROM campaign_attach('app', 'campaigns', 'messages', 'interactions', 'contacts');
SELECT check_name, detail, fix FROM campaign_preflight('app') WHERE NOT ok \gx (format=unaligned)

SELECT campaign_id, sweep, what, status_from, status_to, reason FROM campaign_preview('app');

SELECT campaigns_checked, campaigns_closed FROM campaign_check_sending('app');
SELECT campaigns_checked, campaigns_closed FROM campaign_check_timeout('app');

UPDATE campaigns SET status = 'completed', completed_at = now(), sent_count = 2, success_count = 2, failed_count = 1
WHERE id = 1;
UPDATE campaigns SET status = 'completed', completed_at = now(), sent_count = 1, success_count = 1, failed_count = 1
WHERE id = 2;

SELECT campaign_id, closed_by, ours_status, ours_reason, theirs_status FROM campaign_shadow_report('app');

SELECT event, status_from, status_to, reason, details ->> 'contacts' AS contacts, details ->> 'awaiting' AS awaiting
FROM campaign_event WHERE source = 'app' AND campaign_id = '3' ORDER BY id;

SELECT closed_by, ours_reason, count(*) FROM campaign_shadow_report('app') GROUP BY 1, 2 ORDER BY 1, 2;

SELECT source, mode FROM campaign_alter('app', 'mode', 'active');

CALL campaign_run_sweeps('app', force => true);
SELECT id, name, status, sent_count, failed_count, interaction_count FROM campaigns ORDER BY id;
SELECT campaign_id, event, status_to, reason FROM campaign_event WHERE NOT shadow ORDER BY id;

SELECT source, mode FROM campaign_alter('app', 'mode', 'paused');

SELECT campaign_detach('app');
