-- campaign_verify(): what has changed since a campaign was closed.
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
SELECT source, mode FROM campaign_create_tables();

-- Sorted alike everywhere; ids are made from names.
ALTER TABLE campaigns ALTER name TYPE text COLLATE "C";
CREATE FUNCTION id(name text) RETURNS uuid LANGUAGE sql IMMUTABLE AS
	$$ SELECT md5(name)::uuid $$;
-- A campaign for each case, with a word for each contact: the status of
-- Message 1 and, after a slash, that of Message 2.
CREATE PROCEDURE campaign(name text, contacts text DEFAULT '', status text DEFAULT 'sending',
	start timestamptz DEFAULT '2025-01-01 00:00+00') LANGUAGE sql AS $$
	INSERT INTO campaigns (id, name, status, created_at, started_at)
	VALUES (id(name), name, status, start, start);
	INSERT INTO contacts (id, full_number)
	SELECT id(n::text), n FROM generate_series(1, 10) AS n ON CONFLICT DO NOTHING;
	INSERT INTO messages (campaign_id, contact_id, message_type, status, created_at, sent_at)
	SELECT id(name), id(n::text), 'message_' || m, s, start, CASE WHEN s <> 'pending' THEN start END
	FROM string_to_table(contacts, ' ') WITH ORDINALITY AS c (word, n),
		string_to_table(word, '/') WITH ORDINALITY AS w (s, m);
$$;
-- What a statement raises: SQLSTATE and message, and the hint below.
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE,
		message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RETURN pg_catalog.concat_ws(E'\n', state || ' ' || message, '      ' || nullif(hint, ''));
END $$;

-- The closing event holds what it was judged by: reason, rule, thresholds, the
-- whole tally, the moment.
CALL campaign('closed', 'read/sent delivered/failed no_interaction failed');
INSERT INTO interactions (campaign_id, contact_id, interaction_type) VALUES (id('closed'), id('1'), 'reply');
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 12:00+00');
SELECT at, status_to, reason, jsonb_pretty(details) AS details FROM campaign_event \gx
-- Nothing has changed.
SELECT * FROM campaign_verify(id('closed'));

-- Callbacks arrive, a reply comes, a message is deleted.
UPDATE messages SET status = 'read' WHERE status = 'delivered';
UPDATE messages SET status = 'delivered' WHERE status = 'no_interaction';
DELETE FROM messages WHERE contact_id = id('4');
INSERT INTO interactions (campaign_id, contact_id, interaction_type) VALUES (id('closed'), id('2'), 'reaction');
SELECT * FROM campaign_verify(id('closed')) WHERE NOT ok;
-- Something else becomes of the campaign itself.
UPDATE campaigns SET status = 'failed', completed_at = '2025-01-01 11:59:59+00';
SELECT * FROM campaign_verify(id('closed')::text, 'public') WHERE what IN ('status', 'completed_at');
-- Which are not as they were?
CALL campaign('another', 'failed');
CALL campaign('a third', 'failed');
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 13:00+00');
INSERT INTO messages (campaign_id, contact_id) VALUES (id('another'), id('9'));
SELECT name, v.* FROM campaigns AS c JOIN campaign_event AS e ON e.campaign_id = c.id::text AND e.event = 'closed',
	campaign_verify(c.id) AS v WHERE NOT ok AND name <> 'closed' ORDER BY name;
-- Reopened: compared with its last closing.
SELECT status FROM campaign_update_status(id('another'), as_of => '2025-01-01 14:00+00');
SELECT * FROM campaign_verify(id('another')) WHERE NOT ok;
UPDATE messages SET status = 'failed' WHERE status = 'pending';
SELECT status FROM campaign_update_status(id('another'), as_of => '2025-01-01 15:00+00');
SELECT * FROM campaign_verify(id('another')) WHERE NOT ok;
-- By timeout, and by hand.
CALL campaign('by timeout', 'sent pending');
SELECT campaigns_closed FROM campaign_check_timeout(as_of => '2025-01-04 00:00+00');
SELECT count(*) FROM campaign_verify(id('by timeout')) WHERE NOT ok;
CALL campaign('by hand', 'sent pending');
SELECT status FROM campaign_close(id('by hand'), 'stop', as_of => '2025-01-01 12:00+00');
SELECT count(*) FROM campaign_verify(id('by hand')) WHERE NOT ok;

-- A column that keeps less than the moment, ...
ALTER TABLE campaigns ALTER completed_at TYPE timestamptz(0);
CALL campaign('to the second', 'failed');
SELECT status FROM campaign_update_status(id('to the second'), as_of => '2025-01-01 12:00:00.25+00');
SELECT * FROM campaign_verify(id('to the second')) WHERE what = 'completed_at';
-- ... in any time zone and date style
SET TimeZone = 'Asia/Kolkata';
SET DateStyle = 'SQL, DMY';
SELECT * FROM campaign_verify(id('to the second')) WHERE what = 'completed_at';
SELECT condition, detail FROM campaign_explain(id('to the second'), as_of => '2025-01-01 12:00+00') WHERE condition = 'closed by';
RESET DateStyle;
SET TimeZone = 'UTC';
-- What shadow mode only recorded is no closing.
CALL campaign('shadow', 'failed');
SELECT mode FROM campaign_alter('public', 'mode', 'shadow');
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2025-01-01 12:00+00');
SELECT event, shadow FROM campaign_event WHERE campaign_id = id('shadow')::text;
\pset format unaligned
\pset tuples_only on
SELECT try($$SELECT campaign_verify(id('shadow'))$$);
-- It tells on any source, and changes nothing.
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
SELECT count(*) FROM campaign_verify(id('by hand')) WHERE ok;
COMMIT;

CALL campaign('ended by the application', 'failed', 'failed');
SELECT try($$SELECT campaign_verify(id('ended by the application'))$$);
SELECT try($$SELECT campaign_verify(id('none'))$$);
SELECT try($$SELECT campaign_verify(NULL::bigint)$$);
SELECT try($$SELECT campaign_verify(campaign_number => 1)$$);
SELECT try($$SELECT campaign_verify('one')$$);
SELECT try($$SELECT campaign_verify(id('closed'), 'nowhere')$$);
DROP TABLE interactions;
SELECT try($$SELECT campaign_verify(id('closed'))$$);
