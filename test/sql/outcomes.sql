-- campaign_outcomes and campaign_funnel: what became of a campaign's contacts.
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
\pset null '-'
SELECT source FROM campaign_create_tables();

-- A campaign that began at 00:00, with a word for each contact: the status of
-- Message 1 and, after a slash, that of Message 2.  Contact n was sent Message
-- 1 n minutes after the start, Message 2 an hour later; what failed did so
-- half an hour after it was sent.
CREATE FUNCTION id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
	$$ SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE PROCEDURE campaign(n int, contacts text, status text DEFAULT 'sending',
	start timestamptz DEFAULT '2025-01-01 00:00+00') LANGUAGE sql AS $$
	INSERT INTO campaigns (id, status, created_at, started_at) VALUES (id(n), status, start, start);
	INSERT INTO contacts (id, full_number, first_name, last_name)
	SELECT id(c), '+33 ' || c, 'Ann', c FROM generate_series(1, 20) AS c ON CONFLICT DO NOTHING;
	INSERT INTO messages (campaign_id, contact_id, message_type, status, created_at, updated_at, sent_at, error_message)
	SELECT id(n), id(c::int), 'message_' || m, s, start, moment + CASE WHEN s IN ('failed', 'no_interaction') THEN interval '30 min' ELSE '0' END,
		CASE WHEN s <> 'pending' THEN moment END, CASE WHEN s IN ('failed', 'no_interaction') THEN s || ' ' || m END
	FROM string_to_table(contacts, ' ') WITH ORDINALITY AS w (word, c),
		string_to_table(word, '/') WITH ORDINALITY AS v (s, m),
		LATERAL (SELECT start + c * interval '1 min' + (m - 1) * interval '1 hour') AS t (moment);
$$;

CALL campaign(1, 'pending sent read read read/pending read/sent read/failed failed no_interaction delivered');
INSERT INTO interactions (campaign_id, contact_id, interaction_type, received_at)
SELECT id(1), id(c), t, '2025-01-01 00:00+00'::timestamptz + h * interval '1 hour'
FROM (VALUES (3, 'read', 1), (4, 'reply', 3), (4, 'reaction', 2), (6, 'reply', 1), (9, 'reply', 30)) AS v (c, t, h);
INSERT INTO messages (campaign_id, status, sent_at, created_at) VALUES (id(1), 'sent', '2025-01-01 00:30+00', '2025-01-01 00:00+00');

-- A row a contact: one in each situation, and one without a contact.
SELECT right(contact_id, 2) AS contact, name, full_number, outcome, at, until, message_1, message_2, error_message
FROM campaign_outcomes(id(1), as_of => '2025-01-01 12:00+00');
-- A day later the silence of those sent by 00:02 is over: to be marked.
SELECT right(contact_id, 2) AS contact, outcome, until FROM campaign_outcomes(id(1), as_of => '2025-01-02 00:02:30+00')
WHERE outcome IN ('awaiting', 'expired');
-- To the microsecond, as the sweep sees it.
SELECT as_of, o.outcome, s.messages_marked
FROM unnest('{2025-01-02 00:02:00+00,2025-01-02 00:02:00.000001+00}'::timestamptz[]) AS as_of,
	campaign_outcomes(id(1), as_of => as_of) AS o, campaign_check_expired_interactions(as_of => as_of, dry_run => true) AS s
WHERE o.contact_id = id(2)::text;
-- They add up to what a judgement counts.
SELECT (SELECT count(*) FROM campaign_outcomes(id(1))) = r.contacts AS contacts,
	(SELECT count(*) FROM campaign_outcomes(id(1)) WHERE outcome NOT IN ('pending', 'awaiting', 'expired', 'replied', 'message_2_pending'))
		= r.contacts_completed AS completed,
	(SELECT count(*) FROM campaign_outcomes(id(1)) WHERE outcome = 'message_2_sent') = r.message_2_sent AS message_2
FROM campaign_update_status(id(1), as_of => '2025-01-01 12:00+00') AS r;

-- Who answered what: each stage counts those beyond it too.
SELECT * FROM campaign_funnel(id(1));
-- A reply without a receipt is a reading; delivered_at and read_at tell what a
-- later status has hidden.
CALL campaign(2, 'sent sent no_interaction no_interaction read failed pending');
SELECT stage, contacts, percent FROM campaign_funnel(id(2));
INSERT INTO interactions (campaign_id, contact_id, interaction_type) VALUES (id(2), id(1), 'reaction');
UPDATE messages SET delivered_at = now() WHERE campaign_id = id(2) AND contact_id = id(3);
UPDATE messages SET read_at = now() WHERE campaign_id = id(2) AND contact_id = id(4);
SELECT * FROM campaign_funnel(id(2));
-- The bar: rounded, and never nothing for somebody.
CALL campaign(3, 'sent sent sent');
INSERT INTO messages (campaign_id, status) SELECT id(3), 'sent' FROM generate_series(1, 997);
UPDATE messages SET status = 'delivered' WHERE campaign_id = id(3) AND contact_id IS NULL
	AND id IN (SELECT id FROM messages WHERE campaign_id = id(3) AND contact_id IS NULL LIMIT 512);
UPDATE messages SET status = 'read' WHERE campaign_id = id(3) AND contact_id = id(1);
SELECT stage, contacts, percent, bar, length(bar) FROM campaign_funnel(id(3));
-- more than are read at once
SELECT outcome, count(*) FROM campaign_outcomes(id(3), as_of => '2025-01-01 12:00+00') GROUP BY 1;
INSERT INTO messages (campaign_id, status) SELECT id(3), 'sent' FROM generate_series(1, 1500);
SELECT outcome, count(*) FROM campaign_outcomes(id(3), as_of => '2025-01-01 12:00+00') GROUP BY 1;

-- An empty campaign: no contacts, and a funnel of nobody.
CALL campaign(4, '');
SELECT * FROM campaign_outcomes(id(4));
SELECT * FROM campaign_funnel(id(4));

-- A closed campaign waits for nobody; one in a status of the application's own
-- may go on.
CALL campaign(5, 'sent pending read', 'completed');
INSERT INTO interactions (campaign_id, contact_id, interaction_type, received_at) VALUES (id(5), id(3), 'reply', '2025-01-01 05:00+00');
SELECT right(contact_id, 2) AS contact, outcome, at, until FROM campaign_outcomes(id(5), as_of => '2025-01-01 12:00+00');
CALL campaign(6, 'sent', 'paused');
SELECT outcome, until FROM campaign_outcomes(id(6), as_of => '2025-01-01 12:00+00');

-- A status that is not understood, a type that is none of ours, several rows of
-- a kind.
ALTER TABLE messages DROP CONSTRAINT messages_status_check, DROP CONSTRAINT messages_campaign_id_contact_id_message_type_key;
CALL campaign(7, 'queued read/queued sent failed/pending failed');
INSERT INTO messages (campaign_id, contact_id, message_type, status, created_at)
VALUES (id(7), id(3), 'message_1', 'failed', '2025-01-01 00:00+00'), (id(7), id(5), 'inbound', 'pending', '2025-01-01 00:00+00'), (id(7), id(9), 'inbound', 'read', '2025-01-01 00:00+00');
SELECT right(contact_id, 2) AS contact, outcome, message_1, message_2, error_message FROM campaign_outcomes(id(7), as_of => '2025-01-01 12:00+00');

-- A campaign's own interaction_timeout.
ALTER TABLE campaigns ADD interaction_timeout interval;
UPDATE campaigns SET interaction_timeout = '1 hour' WHERE id = id(6);
SELECT outcome, until FROM campaign_outcomes(id(6), as_of => '2025-01-01 12:00+00');

-- A key as text; what is no campaign.
SELECT count(*) FROM campaign_outcomes(id(1)::text);
SELECT count(*) FROM campaign_outcomes(campaign_key => id(1)::text, source => 'public', as_of => '2025-01-01 12:00+00');
SELECT count(*) FROM campaign_funnel(campaign_key => id(1)::text);
SELECT * FROM campaign_outcomes(id(99));
SELECT * FROM campaign_funnel(id(99));
SELECT * FROM campaign_outcomes(NULL::uuid);
SELECT * FROM campaign_funnel(NULL::text);
SELECT * FROM campaign_outcomes('not a key'::text);
SELECT * FROM campaign_outcomes(1);
SELECT * FROM campaign_funnel(1);
SELECT * FROM campaign_outcomes(id(1), 'nowhere');
SELECT * FROM campaign_outcomes(id(1), as_of => 'infinity');

-- Read-only, above READ COMMITTED; nothing is written or locked.
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
SELECT count(*) FROM campaign_outcomes(id(1));
SELECT count(*) FROM campaign_funnel(id(1));
SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS writes;
SELECT DISTINCT mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation';
COMMIT;

--
-- Rights: names and numbers for those who may read them
--

CREATE ROLE regress_cac_counter NOSUPERUSER;
GRANT SELECT ON campaigns, messages TO regress_cac_counter;
SET ROLE regress_cac_counter;
SELECT * FROM campaign_outcomes(id(6));
SELECT * FROM campaign_funnel(id(6));
RESET ROLE;
GRANT SELECT ON interactions TO regress_cac_counter;
SET ROLE regress_cac_counter;
SELECT name, full_number, outcome FROM campaign_outcomes(id(6));
RESET ROLE;
GRANT SELECT (id, full_number) ON contacts TO regress_cac_counter;
SET ROLE regress_cac_counter;
SELECT name, full_number, outcome FROM campaign_outcomes(id(6));
RESET ROLE;
GRANT SELECT (id, full_number, first_name, last_name) ON contacts TO regress_cac_counter;
SET ROLE regress_cac_counter;
SELECT name, full_number, outcome FROM campaign_outcomes(id(6));
RESET ROLE;
ALTER TABLE contacts ENABLE ROW LEVEL SECURITY;
SET ROLE regress_cac_counter;
SELECT name, full_number, outcome FROM campaign_outcomes(id(6));
RESET ROLE;
-- row-level security on messages: all rows, or none
ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
SET ROLE regress_cac_counter;
SELECT * FROM campaign_outcomes(id(6));
RESET ROLE;
DROP OWNED BY regress_cac_counter;
DROP ROLE regress_cac_counter;

-- Columns of contacts that can be done without.
ALTER TABLE contacts DROP COLUMN full_number, DROP COLUMN first_name;
SELECT name, full_number FROM campaign_outcomes(id(6));
ALTER TABLE contacts DROP COLUMN last_name;
SELECT name, full_number FROM campaign_outcomes(id(6));
ALTER TABLE messages DROP COLUMN error_message, DROP COLUMN updated_at, DROP COLUMN delivered_at, DROP COLUMN read_at;
ALTER TABLE interactions DROP COLUMN received_at;
SELECT right(contact_id, 2) AS contact, outcome, at, error_message FROM campaign_outcomes(id(1), as_of => '2025-01-01 12:00+00');
SELECT stage, contacts FROM campaign_funnel(id(2));

-- Of two sources one has to be named.
CREATE SCHEMA other;
SELECT source FROM campaign_create_tables('other');
SELECT * FROM campaign_outcomes(id(1));
SELECT * FROM campaign_funnel(id(1));
SELECT count(*) FROM campaign_outcomes(id(1), 'public');
SELECT * FROM campaign_funnel(id(1), 'other');
-- A table gone.
DROP TABLE other.contacts CASCADE;
SELECT * FROM campaign_outcomes(id(1), 'other');
