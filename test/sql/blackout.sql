-- blackout_after: while nothing is heard of anybody, silence proves nothing,
-- and nobody is marked for it.
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
\set VERBOSITY terse
SELECT source, blackout_after FROM campaign_create_tables();

CREATE FUNCTION id(name text) RETURNS uuid LANGUAGE sql IMMUTABLE AS
	$$ SELECT md5(name)::uuid $$;
-- Campaigns that all started at midnight, with a word for each contact: the
-- status of Message 1, which was sent then.
CREATE PROCEDURE campaign(name text, contacts text) LANGUAGE sql AS $$
	INSERT INTO campaigns (id, name, status, created_at, started_at)
	VALUES (id(name), name, 'sending', '2025-01-01 00:00+00', '2025-01-01 00:00+00');
	INSERT INTO contacts (id, full_number)
	SELECT id(n::text), n FROM generate_series(1, 10) AS n ON CONFLICT DO NOTHING;
	INSERT INTO messages (campaign_id, contact_id, status, created_at, updated_at, sent_at)
	SELECT id(name), id(n::text), s, '2025-01-01 00:00+00', '2025-01-01 00:00+00',
		CASE WHEN s <> 'pending' THEN timestamptz '2025-01-01 00:00+00' END
	FROM string_to_table(contacts, ' ') WITH ORDINALITY AS c (s, n);
$$;
CREATE VIEW state AS
SELECT c.name, c.status, string_agg(m.status, ' ' ORDER BY k.full_number) AS messages
FROM campaigns AS c JOIN messages AS m ON m.campaign_id = c.id JOIN contacts AS k ON k.id = m.contact_id
GROUP BY c.id, c.name, c.status;

-- Off, which is the default: silence is silence.
CALL campaign('off', 'sent delivered');
SELECT messages_checked, messages_marked, campaigns_closed
FROM campaign_check_expired_interactions(as_of => '2025-01-02 01:00+00');
SELECT * FROM state ORDER BY name COLLATE "C";
SELECT count(*) FROM campaign_blackout;

-- On: nothing has come in, so nobody is marked.
SELECT blackout_after FROM campaign_alter('public', 'blackout_after', '6 hours');
CALL campaign('first', 'sent delivered failed');
CALL campaign('second', 'read sent');
SELECT messages_checked, messages_marked, campaigns_updated
FROM campaign_check_expired_interactions(as_of => '2025-01-02 01:00+00', dry_run => true);
SELECT count(*) AS events FROM campaign_event WHERE event = 'error';
SELECT messages_checked, messages_marked, campaigns_updated
FROM campaign_check_expired_interactions(as_of => '2025-01-02 01:00+00');
SELECT * FROM state WHERE name <> 'off' ORDER BY name COLLATE "C";
-- It is told of once, with one of the campaigns that it holds.
SELECT messages_checked, messages_marked, campaigns_updated
FROM campaign_check_expired_interactions(as_of => '2025-01-02 02:00+00');
SELECT at, c.name IN ('first', 'second') AS "one of them", event, status_to, reason, details - 'messages' AS details
FROM campaign_event AS e JOIN campaigns AS c ON c.id::text = campaign_id WHERE event = 'error';
SELECT * FROM campaign_blackout;
SELECT check_name, ok, detail, fix FROM campaign_health() WHERE check_name = 'blackout';
-- The other sweeps go on: a campaign is closed that needs nobody's silence.
CALL campaign('failing', 'failed no_interaction');
SELECT campaigns_closed FROM campaign_check_sending(as_of => '2025-01-02 02:00+00');

-- Any of these is a sign of life, if it is late enough; the next sweep marks.
CREATE PROCEDURE trial(what text, sign text) LANGUAGE plpgsql AS $$
DECLARE
	marked bigint;
BEGIN
	EXECUTE sign;
	SELECT messages_marked INTO marked
	FROM campaign_check_expired_interactions(as_of => '2025-01-02 02:00+00');
	RAISE NOTICE '%: % marked, blackout %', what, marked, EXISTS (SELECT FROM campaign_blackout);
	ROLLBACK;
END $$;
CALL trial('nothing', 'SELECT');
CALL trial('interaction', $$INSERT INTO interactions (campaign_id, contact_id, interaction_type, received_at)
	VALUES (id('first'), id('9'), 'read', '2025-01-01 20:00:01+00')$$);
CALL trial('interaction too old', $$INSERT INTO interactions (campaign_id, contact_id, interaction_type, received_at)
	VALUES (id('first'), id('9'), 'reply', '2025-01-01 20:00:00+00')$$);
CALL trial('interaction of a closed campaign', $$INSERT INTO interactions (campaign_id, contact_id, interaction_type, received_at)
	VALUES (id('off'), id('9'), 'reply', '2025-01-02 01:30+00')$$);
CALL trial('delivered_at', $$UPDATE messages SET delivered_at = '2025-01-01 23:00+00'
	WHERE campaign_id = id('second') AND status = 'sent'$$);
CALL trial('read_at', $$UPDATE messages SET read_at = '2025-01-01 23:00+00'
	WHERE campaign_id = id('second') AND contact_id = id('1')$$);
CALL trial('updated_at of what was read', $$UPDATE messages SET updated_at = '2025-01-01 23:00+00'
	WHERE campaign_id = id('second') AND status = 'read'$$);
CALL trial('updated_at of what was sent', $$UPDATE messages SET updated_at = '2025-01-01 23:00+00'
	WHERE campaign_id = id('second') AND status = 'sent'$$);
CALL trial('a draft', $$INSERT INTO campaigns (id, name, status) VALUES (id('draft'), 'draft', 'draft');
	INSERT INTO messages (campaign_id, contact_id, status, read_at) VALUES (id('draft'), id('1'), 'read', '2025-01-02 01:00+00')$$);

-- 48 hours: what was held is not marked, what is pending fails, and the
-- campaign is closed; its event says how many stay unproven.
CALL campaign('at last', 'sent pending read');
SELECT messages_marked, campaigns_closed FROM campaign_check_timeout(as_of => '2025-01-03 01:00+00', dry_run => true);
SELECT messages_marked, campaigns_closed FROM campaign_check_timeout(as_of => '2025-01-03 01:00+00');
SELECT * FROM state WHERE name IN ('first', 'second', 'at last') ORDER BY name COLLATE "C";
SELECT name, status_to, reason, details ->> 'unproven' AS unproven, details ->> 'failed_by_us' AS failed_by_us
FROM campaign_event JOIN campaigns AS c ON c.id::text = campaign_id
WHERE event = 'closed' AND name IN ('first', 'second', 'at last') ORDER BY name COLLATE "C";
SELECT count(*) AS "events of the blackout" FROM campaign_event WHERE event = 'error';

-- It ends with the first sweep that finds a sign, due messages or not; another
-- one is another event.
SELECT count(*) FROM campaign_blackout;
INSERT INTO interactions (campaign_id, contact_id, interaction_type, received_at)
VALUES (id('first'), id('1'), 'reply', '2025-01-03 02:00+00');
SELECT messages_checked FROM campaign_check_expired_interactions(as_of => '2025-01-03 03:00+00', dry_run => true);
SELECT count(*) FROM campaign_blackout;
SELECT messages_checked FROM campaign_check_expired_interactions(as_of => '2025-01-03 03:00+00');
SELECT count(*) FROM campaign_blackout;
SELECT ok, detail FROM campaign_health() WHERE check_name = 'blackout';
CALL campaign('again', 'sent');
SELECT messages_marked FROM campaign_check_expired_interactions(as_of => '2025-01-03 09:00+00');
SELECT at FROM campaign_event WHERE event = 'error' ORDER BY id;
-- To switch it off, or to change it, ends it too.
SELECT blackout_after FROM campaign_alter('public', 'blackout_after', NULL);
SELECT count(*) FROM campaign_blackout;
SELECT messages_marked, campaigns_closed FROM campaign_check_expired_interactions(as_of => '2025-01-03 09:00+00');

-- In shadow mode it is recorded as anything else is, and told to nobody.
SELECT mode FROM campaign_alter('public', 'mode', 'shadow');
SELECT blackout_after FROM campaign_alter('public', 'blackout_after', '6 hours');
CALL campaign('shadow', 'sent');
SELECT messages_marked FROM campaign_check_expired_interactions(as_of => '2025-01-04 09:00+00');
SELECT name, shadow FROM campaign_event AS e JOIN campaigns AS c ON c.id::text = campaign_id
WHERE event = 'error' ORDER BY e.id DESC LIMIT 1;
SELECT mode FROM campaign_alter('public', 'mode', 'active');
SELECT count(*) FROM campaign_blackout;

-- What runs on its own, in batches and passes, holds no less.
UPDATE campaigns SET status = 'cancelled' WHERE status = 'sending';
DELETE FROM campaign_event;
INSERT INTO campaigns (id, name, status, started_at)
SELECT id(name), name, 'sending', now() - hours * interval '1 hour'
FROM (VALUES ('young', 30), ('old', 50)) AS c (name, hours);
INSERT INTO messages (campaign_id, contact_id, status, created_at, updated_at, sent_at)
SELECT c.id, id(n::text), CASE WHEN n < 4 THEN 'sent' WHEN c.name = 'old' THEN 'pending' ELSE 'delivered' END,
	c.started_at, c.started_at, c.started_at
FROM campaigns AS c, generate_series(1, 7) AS n WHERE c.name IN ('young', 'old');
SELECT batch_size FROM campaign_alter('public', 'batch_size', '2');
SET client_min_messages = error;
CALL campaign_run_sweeps('public', force => true);
RESET client_min_messages;
SELECT * FROM state WHERE name IN ('young', 'old') ORDER BY name COLLATE "C";
SELECT name, event, details ->> 'unproven' AS unproven FROM campaign_event JOIN campaigns AS c ON c.id::text = campaign_id
WHERE event <> 'stalled' ORDER BY name COLLATE "C", event;
UPDATE messages SET read_at = now() WHERE campaign_id = id('young') AND contact_id = id('1');
SET client_min_messages = error;
CALL campaign_run_sweeps('public', force => true);
RESET client_min_messages;
SELECT * FROM state WHERE name = 'young' ORDER BY name COLLATE "C";

-- Without a column that tells when something came in, it cannot be set ...
SELECT blackout_after FROM campaign_alter('public', 'blackout_after', NULL);
ALTER TABLE interactions DROP received_at;
ALTER TABLE messages DROP delivered_at, DROP read_at;
SELECT blackout_after FROM campaign_alter('public', 'blackout_after', '1 day');
SELECT blackout_after FROM campaign_alter('public', 'blackout_after', NULL);
ALTER TABLE messages RENAME updated_at TO touched_at;
\set VERBOSITY default
SELECT blackout_after FROM campaign_alter('public', 'blackout_after', '1 day');
-- ... and a source that has lost all of them is held.
ALTER TABLE messages RENAME touched_at TO updated_at;
SELECT blackout_after FROM campaign_alter('public', 'blackout_after', '1 day');
ALTER TABLE messages RENAME updated_at TO touched_at;
SELECT messages_marked FROM campaign_check_expired_interactions('public', '2025-01-04 09:00+00');
SELECT blackout_after FROM campaign_alter('public', 'blackout_after', NULL);
SELECT messages_marked FROM campaign_check_expired_interactions('public', '2025-01-04 09:00+00');

-- What it does not take.
SELECT campaign_alter('public', 'blackout_after', '0');
SELECT campaign_alter('public', 'blackout_after', 'soon');
