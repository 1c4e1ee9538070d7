-- How sweeps on behalf of a host mark what has expired: much of it in batches, or
-- in passes, each in a transaction of its own; and what they remember of when the
-- next of a campaign's messages is due.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
\pset format unaligned
\pset tuples_only on
SET TimeZone = 'UTC';
SELECT source, mode, batch_size FROM campaign_create_tables();
ALTER TABLE campaigns ALTER name TYPE text COLLATE "C";

CREATE FUNCTION id(name text) RETURNS uuid LANGUAGE sql IMMUTABLE AS
	$$ SELECT md5(name)::uuid $$;
CREATE FUNCTION id(contact bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
	$$ SELECT lpad(contact::text, 32, '0')::uuid $$;
INSERT INTO contacts (id, full_number) SELECT id(n), n FROM generate_series(1, 2000) AS n;

CREATE PROCEDURE silently(statement text) LANGUAGE plpgsql SET session_replication_role = replica AS
	$$ BEGIN EXECUTE statement; END $$;
CREATE PROCEDURE campaign(name text, age interval DEFAULT '30 hours') LANGUAGE sql AS
	$$ INSERT INTO campaigns (id, name, status, created_at) VALUES (id(name), name, 'sending', now() - age) $$;
-- Messages to the contacts from .. upto, or to none, as a replica writes them:
-- nothing hints at them.
CREATE PROCEDURE messages(name text, "from" int, upto int, status text, age interval DEFAULT '25 hours',
	type text DEFAULT 'message_1', contactless bool DEFAULT false) LANGUAGE plpgsql AS $$
BEGIN
	CALL silently(format($sql$ INSERT INTO messages (campaign_id, contact_id, message_type, status, created_at, sent_at)
		SELECT id(%L), CASE WHEN NOT %L THEN id(n) END, %L, %4$L, now() - %5$L::interval, CASE WHEN %4$L <> 'pending' THEN now() - %5$L::interval END
		FROM generate_series(%6$s, %7$s) AS n $sql$, name, contactless, type, status, age, "from", upto));
END $$;
CREATE PROCEDURE reply(name text, VARIADIC contacts int[]) LANGUAGE sql AS
	$$ INSERT INTO interactions (campaign_id, contact_id, interaction_type) SELECT id(name), id(n), 'reply' FROM unnest(contacts) AS n $$;

-- What a campaign's expired events have marked; the same where only their number
-- and sum are certain; what its messages are like; and its statistics.
CREATE FUNCTION marked(name text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(concat_ws(' ', event, details ->> 'messages'), ', ' ORDER BY id), 'no event')
	FROM campaign_event WHERE campaign_id = id(name)::text AND event IN ('expired', 'closed')
$$;
CREATE FUNCTION total(name text) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s in %s', sum((details ->> 'messages')::int), count(*))
	FROM campaign_event WHERE campaign_id = id(name)::text AND event = 'expired'
$$;
CREATE FUNCTION messages(name text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format('%s %s', n, what), ', ' ORDER BY what COLLATE "C") FROM (SELECT count(*) AS n, concat_ws(' ', status, error_message) AS what
		FROM messages WHERE campaign_id = id(name) GROUP BY 2) AS s
$$;
CREATE FUNCTION state(name text) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s: %s sent, %s failed, %s silent, %s pending, %s interactions', status, sent_count, failed_count,
		no_interaction_count, pending_count, interaction_count)
	FROM campaigns AS c WHERE c.name = state.name
$$;
-- The last run of a sweep, and whether those after it were added to its row.
CREATE FUNCTION run(sweep text DEFAULT 'expired') RETURNS text LANGUAGE sql AS $$
	SELECT format('%s campaigns, %s updated, %s closed, %s skipped; %s messages, %s marked', campaigns_checked, campaigns_updated,
		campaigns_closed, campaigns_skipped, messages_checked, messages_marked)
	FROM campaign_sweep_run AS r WHERE r.sweep = run.sweep ORDER BY id DESC LIMIT 1
$$;
\set sweep 'CALL campaign_run_sweeps(''public'', force => true);'

--
-- Batches
--

SELECT batch_size FROM campaign_alter('public', 'batch_size', '10');
-- All of a campaign's, some of them without a contact: these come first.
CALL campaign('35');
CALL messages('35', 1, 29, 'sent');
CALL messages('35', 1, 6, 'read', contactless => true);
:sweep
SELECT marked('35');
SELECT messages('35');
SELECT state('35');
SELECT run();

-- More without a contact than a batch holds; no remainder; just one batch; one more.
CALL campaign('contactless');
CALL messages('contactless', 1, 25, 'sent', contactless => true);
CALL messages('contactless', 1, 3, 'sent');
CALL campaign('40');
CALL messages('40', 1, 40, 'delivered');
CALL campaign('10');
CALL messages('10', 1, 10, 'sent');
CALL campaign('11');
CALL messages('11', 1, 11, 'sent');
:sweep
SELECT name, marked(name), state(name) FROM campaigns WHERE completed_at = (SELECT max(at) FROM campaign_event WHERE campaign_id = campaigns.id::text) AND name <> '35' ORDER BY name;
SELECT run();

-- Among those who have replied, got a Message 2, or have time yet; in an open
-- campaign that stays open.
CALL campaign('mixed');
CALL messages('mixed', 1, 60, 'sent');
CALL messages('mixed', 61, 70, 'read', age => '23 hours');
CALL messages('mixed', 71, 75, 'pending');
CALL messages('mixed', 76, 80, 'failed');
CALL messages('mixed', 21, 30, 'pending', type => 'message_2');
CALL messages('mixed', 1, 3, 'sent', type => 'message_2');
CALL messages('mixed', 1, 4, 'sent', contactless => true);
CALL reply('mixed', 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 60);
:sweep
SELECT marked('mixed');
SELECT messages('mixed');
SELECT state('mixed');
SELECT run();
-- The right ones, once.
SELECT string_agg(ltrim(right(contact_id::text, 4), '0'), ' ' ORDER BY contact_id)
FROM messages WHERE campaign_id = id('mixed') AND status = 'sent' AND message_type = 'message_1';
:sweep
SELECT marked('mixed'), run();

-- A function marks all at once, whatever batch_size.
CALL campaign('by function');
CALL messages('by function', 1, 35, 'sent');
SELECT campaigns_updated, campaigns_closed, messages_marked FROM campaign_check_expired_interactions();
SELECT marked('by function'), state('by function');

-- A campaign that is paused, or deleted, is left alone.
CALL campaign('paused');
CALL messages('paused', 1, 35, 'sent');
UPDATE campaigns SET status = 'paused' WHERE name = 'paused';
:sweep
SELECT marked('paused'), messages('paused');
DELETE FROM campaigns;
TRUNCATE campaign_event;

-- The 48-hour sweep: what has expired in batches, then what is pending, then it
-- is closed, whatever is still awaited.
SELECT expired_every FROM campaign_alter('public', 'expired_every', NULL);
CALL campaign('48 h', age => '49 hours');
CALL messages('48 h', 1, 25, 'sent');
CALL messages('48 h', 26, 30, 'sent', age => '1 hour');
CALL messages('48 h', 31, 42, 'pending');
CALL messages('48 h', 20, 25, 'pending', type => 'message_2');
CALL messages('48 h', 1, 3, 'read', contactless => true);
CALL reply('48 h', 19);
CALL campaign('48 h, no remainder', age => '49 hours');
CALL messages('48 h, no remainder', 1, 20, 'sent');
CALL campaign('48 h, nothing expired', age => '49 hours');
CALL messages('48 h, nothing expired', 1, 20, 'pending');
CALL messages('48 h, nothing expired', 21, 21, 'sent', age => '1 hour');
:sweep
SELECT run('timeout');
SELECT name, marked(name) FROM campaigns ORDER BY name;
SELECT name, messages(name) FROM campaigns ORDER BY name;
SELECT name, state(name) FROM campaigns ORDER BY name;
SELECT DISTINCT event, reason, details ->> 'sweep' FROM campaign_event ORDER BY 1;
SELECT expired_every FROM campaign_alter('public', 'expired_every', '1 hour');
DELETE FROM campaigns;
TRUNCATE campaign_event;

--
-- Passes: of 1,000 messages or more each marks a third, roughly
--

SELECT batch_size FROM campaign_alter('public', 'batch_size', '5000');
CALL campaign('passes');
CALL messages('passes', 1, 1500, 'sent');
CALL campaign('few');
CALL messages('few', 1, 999, 'sent');
CALL campaign('passes, mixed');
CALL messages('passes, mixed', 1, 1400, 'read');
CALL messages('passes, mixed', 1401, 1500, 'sent', age => '1 hour');
CALL messages('passes, mixed', 1, 20, 'sent', contactless => true);
CALL messages('passes, mixed', 1, 100, 'pending', type => 'message_2');
CALL messages('passes, mixed', 101, 110, 'failed', type => 'message_2');
INSERT INTO interactions (campaign_id, contact_id, interaction_type) SELECT id('passes, mixed'), id(n), 'reaction' FROM generate_series(111, 300) AS n;
INSERT INTO interactions (campaign_id, contact_id, interaction_type) SELECT id('passes, mixed'), id(n), 'read' FROM generate_series(301, 400) AS n;
:sweep
SELECT run();
SELECT total('passes'), messages('passes'), state('passes');
SELECT marked('few'), state('few');
SELECT total('passes, mixed'), messages('passes, mixed'), state('passes, mixed');
-- Those and no others.
SELECT count(*), count(*) FILTER (WHERE contact_id BETWEEN id(301) AND id(1400)), count(*) FILTER (WHERE contact_id IS NULL)
FROM messages WHERE campaign_id = id('passes, mixed') AND status = 'no_interaction';
SELECT bool_and(updated_at = at) FROM messages AS m, LATERAL (SELECT max(at) AS at FROM campaign_event WHERE campaign_id = m.campaign_id::text
	AND event = 'expired') AS e WHERE status = 'no_interaction';
SELECT marked('passes, mixed') AS before \gset
:sweep
SELECT marked('passes, mixed') = :'before', run();
-- What somebody had locked is passed over, and marked in the last pass: then
-- the campaign is judged, by the same sweep.
CALL campaign('held before');
CALL messages('held before', 1, 1100, 'sent');
CALL campaign('held before, and stays open');
CALL messages('held before, and stays open', 1, 1100, 'sent');
CALL messages('held before, and stays open', 1101, 1102, 'sent', age => '1 hour');
CALL campaign('stays open');
CALL messages('stays open', 1, 1100, 'sent');
CALL messages('stays open', 1101, 1102, 'sent', age => '1 hour');
DO $$ BEGIN
	PERFORM FROM messages WHERE campaign_id IN (id('held before'), id('held before, and stays open')) AND contact_id <= id(30) FOR KEY SHARE;
END $$;
:sweep
SELECT run();
SELECT total(name), state(name) FROM unnest('{held before,"held before, and stays open",stays open}'::text[]) AS name;
SELECT details ->> 'sweep' FROM campaign_event WHERE event = 'closed' AND campaign_id = id('held before')::text;
-- More than three batches: in batches.
SELECT batch_size FROM campaign_alter('public', 'batch_size', '400');
CALL campaign('batches');
CALL messages('batches', 1, 1201, 'sent');
CALL campaign('three batches');
CALL messages('three batches', 1, 1200, 'sent');
:sweep
SELECT marked('batches'), total('three batches');
SELECT batch_size FROM campaign_alter('public', 'batch_size', '5000');
-- Where the marked messages are logged.
SELECT log_messages FROM campaign_alter('public', 'log_messages', 'true');
CALL campaign('logged');
CALL messages('logged', 1, 1100, 'sent');
:sweep
SELECT total('logged'), state('logged');
SELECT log_messages FROM campaign_alter('public', 'log_messages', 'false');

-- A trigger of the application's might raise an error in the last pass: one
-- transaction, and a campaign that raises it is left as it was.
CREATE FUNCTION app_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD.campaign_id = id('refused') AND OLD.contact_id = id(7) THEN
		RAISE 'not this one';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER app BEFORE UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION app_trigger();
CALL campaign('trigger');
CALL messages('trigger', 1, 1500, 'sent');
CALL campaign('refused');
CALL messages('refused', 1, 1500, 'sent');
SET client_min_messages = error;
:sweep
SET client_min_messages = warning;
SELECT total('trigger'), state('trigger');
SELECT messages('refused'), state('refused');
SELECT event, reason FROM campaign_event WHERE campaign_id = id('refused')::text;
DROP TRIGGER app ON messages;
-- One on campaigns may as well.
CREATE FUNCTION no_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER app BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION no_trigger();
CALL campaign('trigger on campaigns');
CALL messages('trigger on campaigns', 1, 1500, 'sent');
:sweep
SELECT total('trigger on campaigns'), state('trigger on campaigns');
DROP TRIGGER app ON campaigns;
DELETE FROM campaigns;
TRUNCATE campaign_event;

-- More campaigns than are marked together, one of them large.
DO $$
BEGIN
	FOR n IN 1 .. 150 LOOP
		CALL campaign('many ' || n);
		CALL messages('many ' || n, 1, CASE n WHEN 75 THEN 1000 ELSE 3 END, 'sent');
	END LOOP;
END $$;
:sweep
SELECT run();
SELECT total, count(*) FROM campaigns, LATERAL total(name) WHERE status = 'completed' GROUP BY 1 ORDER BY 1;
DELETE FROM campaigns;
TRUNCATE campaign_event;

-- Ids of other types; contacts whose ids are too long to resume from.
CREATE SCHEMA ids;
SELECT source FROM campaign_create_tables('ids');
DROP TABLE ids.interactions, ids.contacts CASCADE;
UPDATE campaign_source SET interactions = NULL, contacts = NULL WHERE source = 'ids';
CREATE PROCEDURE sweep_ids(message_id text, contact_id text) LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM ids.campaigns;
	EXECUTE format('ALTER TABLE ids.messages ALTER id DROP DEFAULT, ALTER id TYPE %1$s USING (id::text)::%1$s, ALTER contact_id TYPE %2$s USING (contact_id::text)::%2$s',
		message_id, contact_id);
	INSERT INTO ids.campaigns (id, name, status, created_at)
	VALUES (id('passes of ' || message_id), '', 'sending', now() - interval '30 hours'), (id('batches of ' || message_id), '', 'sending', now() - interval '30 hours');
	CALL silently(format($sql$ INSERT INTO ids.messages (id, campaign_id, contact_id, status, sent_at)
		SELECT n::text::%s, id(c || ' of %1$s'), (repeat('0', %s) || n)::%s, 'sent', now() - interval '25 hours'
		FROM (VALUES ('passes', 1, 1000), ('batches', 1001, 1016)) AS v (c, first, last), generate_series(first, last) AS n $sql$,
		message_id, CASE WHEN contact_id = 'text' THEN 70 ELSE 0 END, contact_id));
	PERFORM campaign_alter('ids', 'mode', 'active');
END $$;
CALL sweep_ids('text', 'text');
SELECT batch_size FROM campaign_alter('ids', 'batch_size', '337');
CALL campaign_run_sweeps('ids', force => true);
SELECT total('passes of text'), total('batches of text'), count(*) FROM ids.campaigns WHERE status = 'completed';
CALL sweep_ids('bigint', 'int');
CALL campaign_run_sweeps('ids', force => true);
SELECT total('passes of bigint'), count(*) FROM ids.campaigns WHERE status = 'completed';
CALL sweep_ids('int', 'bigint');
CALL campaign_run_sweeps('ids', force => true);
SELECT total('passes of int'), count(*) FROM ids.campaigns WHERE status = 'completed';
SELECT batch_size FROM campaign_alter('ids', 'batch_size', '5');
CALL sweep_ids('numeric', 'text');
CALL campaign_run_sweeps('ids', force => true);
SELECT total('passes of numeric'), marked('batches of numeric'), count(*) FROM ids.campaigns WHERE status = 'completed';
TRUNCATE campaign_event;
CALL sweep_ids('int', 'int');
CALL campaign_run_sweeps('ids', force => true);
SELECT marked('batches of int'), count(*) FROM ids.campaigns WHERE status = 'completed';
-- Without statistics an open campaign that was marked is one that was updated.
ALTER TABLE ids.campaigns DROP sent_count, DROP success_count, DROP failed_count, DROP delivered_count, DROP read_count,
	DROP no_interaction_count, DROP pending_count, DROP interaction_count;
SELECT batch_size FROM campaign_alter('ids', 'batch_size', '5000');
CALL sweep_ids('int', 'int');
TRUNCATE campaign_event;
INSERT INTO ids.messages (id, campaign_id, contact_id, status, sent_at) VALUES (5001, id('passes of int'), 5001, 'sent', now());
CALL campaign_run_sweeps('ids', force => true);
SELECT run(), total('passes of int');
SELECT campaign_detach('ids');
TRUNCATE campaign_event;

--
-- When the next is due is remembered
--

SELECT check_delay FROM campaign_alter('public', 'check_delay', '0');
-- Marked are those who are due; what they leave is read once more, as some might
-- have been held; then nothing is, though one has expired, and replied.
CALL campaign('waits');
CALL messages('waits', 1, 2, 'sent', age => '1 hour');
CALL messages('waits', 3, 3, 'sent');
CALL messages('waits', 4, 4, 'sent');
CALL reply('waits', 3);
:sweep
SELECT run();
:sweep
SELECT run();
:sweep
SELECT run();
SELECT marked('waits');

-- A shorter interaction_timeout holds at once; so does one of the campaign's own.
SELECT interaction_timeout FROM campaign_alter('public', 'interaction_timeout', '30 minutes');
CALL messages('waits', 5, 5, 'sent', age => '20 minutes');
:sweep
SELECT run();
SELECT marked('waits'), state('waits');
ALTER TABLE campaigns ADD interaction_timeout interval;
UPDATE campaigns SET interaction_timeout = '10 minutes';
:sweep
SELECT run();
SELECT marked('waits'), state('waits');
-- A longer one too.
SELECT interaction_timeout FROM campaign_alter('public', 'interaction_timeout', '24 hours');
ALTER TABLE campaigns DROP interaction_timeout;
CALL reply('waits', 3);
:sweep
SELECT run(), messages('waits');
DELETE FROM campaigns;

-- All pending when it was looked at first; then sent, and a day goes by.
CALL campaign('begins');
CALL messages('begins', 1, 3, 'pending');
:sweep
:sweep
SELECT run();
UPDATE messages SET status = 'sent', sent_at = now() - interval '25 hours' WHERE campaign_id = id('begins');
:sweep
SELECT run();
SELECT marked('begins'), state('begins');

-- Likewise where no column tells when a message was sent.
CALL campaign('begins untimed');
CALL messages('begins untimed', 1, 3, 'pending', age => '26 hours');
:sweep
UPDATE messages SET status = 'sent' WHERE campaign_id = id('begins untimed');
:sweep
SELECT marked('begins untimed'), state('begins untimed');

-- A late callback stands until the next sweep.
CALL campaign('late');
CALL messages('late', 1, 3, 'sent');
CALL messages('late', 4, 4, 'pending');
:sweep
:sweep
SELECT marked('late'), state('late'), run();
UPDATE messages SET status = 'read' WHERE campaign_id = id('late') AND contact_id IN (id(1), id(2));
CALL reply('late', 2);
:sweep
SELECT marked('late'), messages('late');
SELECT run();
-- It completes the campaign when nothing else is left of it.
UPDATE messages SET status = 'failed' WHERE campaign_id = id('late') AND status = 'pending';
UPDATE messages SET status = 'delivered' WHERE campaign_id = id('late') AND contact_id = id(3);
DELETE FROM messages WHERE campaign_id = id('late') AND contact_id = id(2);
:sweep
SELECT marked('late'), state('late');

-- A message arrives that is old already.
CALL campaign('arrives');
CALL messages('arrives', 1, 1, 'sent', age => '1 hour');
:sweep
INSERT INTO messages (campaign_id, contact_id, status, sent_at) VALUES (id('arrives'), id(2), 'sent', now() - interval '25 hours');
:sweep
SELECT marked('arrives');
DELETE FROM campaigns;

-- What becomes of those who have answered, or may still do so, makes nothing
-- expire; that their Message 2 is gone may.
CALL campaign('traffic');
CALL messages('traffic', 1, 2, 'sent');
CALL messages('traffic', 3, 3, 'sent', age => '1 hour');
CALL reply('traffic', 1, 2);
:sweep
SELECT run();
INSERT INTO messages (campaign_id, contact_id, message_type, status)
	SELECT id('traffic'), id(n), 'message_2', 'pending' FROM generate_series(1, 2) AS n;
UPDATE messages SET status = 'sent' WHERE message_type = 'message_2' AND contact_id = id(1);
UPDATE messages SET status = 'read' WHERE contact_id = id(3);
:sweep
SELECT run();
DELETE FROM interactions WHERE contact_id = id(2);
DELETE FROM messages WHERE message_type = 'message_2' AND contact_id = id(2);
:sweep
SELECT marked('traffic'), run();
DELETE FROM campaigns;

-- A Message 2 that is deleted leaves its contact silent.
CALL campaign('withdrawn');
CALL messages('withdrawn', 1, 2, 'sent');
CALL messages('withdrawn', 1, 1, 'pending', type => 'message_2');
:sweep
SELECT marked('withdrawn');
DELETE FROM messages WHERE message_type = 'message_2';
:sweep
SELECT marked('withdrawn'), state('withdrawn');
