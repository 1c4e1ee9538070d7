-- What is remembered of open campaigns: a message that keeps one open spares it
-- from being counted, and is looked up each time, so that one which is gone, or
-- wrong, costs time and never a verdict.  Sweeps on behalf of a host alone go by
-- it.  Nearly all is written as a replica's would, so that no hint helps.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
\pset format unaligned
\pset tuples_only on
SET TimeZone = 'UTC';
SELECT source, mode FROM campaign_create_tables();
ALTER TABLE campaigns ALTER name TYPE text COLLATE "C";
ALTER TABLE messages DROP CONSTRAINT messages_status_check;

CREATE FUNCTION id(name text) RETURNS uuid LANGUAGE sql IMMUTABLE AS
	$$ SELECT md5(name)::uuid $$;
-- Contacts in the order of their numbers: a witness is looked for from the last.
CREATE FUNCTION id(contact bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
	$$ SELECT lpad(contact::text, 32, '0')::uuid $$;
INSERT INTO contacts (id, full_number) SELECT id(n), n FROM generate_series(1, 20) AS n;

CREATE PROCEDURE silently(statement text) LANGUAGE plpgsql SET session_replication_role = replica AS
	$$ BEGIN EXECUTE statement; END $$;
-- A campaign with a word for each contact: the status of Message 1 and, after a
-- slash, that of Message 2; "-" before it makes it a message without a contact.
CREATE PROCEDURE campaign(name text, contacts text DEFAULT '', age interval DEFAULT '1 hour', recipients int DEFAULT 0,
	schema text DEFAULT 'public') LANGUAGE plpgsql AS $$
BEGIN
	CALL silently(format($sql$
		INSERT INTO %5$I.campaigns (id, name, status, created_at, started_at, total_recipients)
		VALUES (id(%1$L), %1$L, 'sending', now() - greatest(%3$L, interval '1 hour'), now() - greatest(%3$L, interval '1 hour'), %4$s);
		INSERT INTO %5$I.messages (campaign_id, contact_id, message_type, status, created_at, sent_at)
		SELECT id(%1$L), CASE WHEN word NOT LIKE '-%%' THEN id(n) END, 'message_' || m, ltrim(s, '-'),
			now() - interval %3$L, CASE WHEN ltrim(s, '-') <> 'pending' THEN now() - interval %3$L END
		FROM string_to_table(%2$L, ' ') WITH ORDINALITY AS c (word, n),
			string_to_table(word, '/') WITH ORDINALITY AS w (s, m)
	$sql$, name, contacts, age, recipients, schema));
END $$;
-- What becomes of Message 1 to a contact (NULL: of those without one), silently.
CREATE PROCEDURE becomes(name text, contact bigint, status text) LANGUAGE plpgsql AS $$
BEGIN
	CALL silently(format('UPDATE messages SET status = %L WHERE campaign_id = id(%L) AND contact_id IS NOT DISTINCT FROM %L AND message_type = ''message_1''',
		status, name, id(contact)));
END $$;
CREATE FUNCTION state(name text) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s: %s %s sent %s failed %s pending', c.name, status, sent_count, failed_count, pending_count)
	FROM campaigns AS c WHERE c.name = state.name
$$;
CREATE FUNCTION events(name text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(event, ' ' ORDER BY e.id), 'no event')
	FROM campaign_event AS e JOIN campaigns AS c ON c.id::text = e.campaign_id WHERE c.name = events.name
$$;
\set sweep 'CALL campaign_run_sweeps(''public'', force => true);'

--
-- A campaign with a witness is not counted
--

CALL campaign('kept', 'sent sent sent sent');
:sweep
SELECT state('kept');
UPDATE campaigns SET sent_count = 99 WHERE name = 'kept';
:sweep
SELECT state('kept');
SELECT status, changed, sent_count FROM campaign_update_status(id('kept'));
SELECT state('kept');

-- The witness is deleted: the next one is found, and there is still no counting.
UPDATE campaigns SET sent_count = 99 WHERE name = 'kept';
CALL silently('DELETE FROM messages WHERE campaign_id = id(''kept'') AND contact_id = id(4)');
:sweep
SELECT state('kept');
-- Its status changes.
CALL becomes('kept', 3, 'failed');
:sweep
SELECT state('kept');
-- One behind it is a witness (again), of those before it none is left.
CALL becomes('kept', 3, 'read');
CALL becomes('kept', 2, 'no_interaction');
CALL becomes('kept', 1, 'failed');
:sweep
SELECT state('kept');
-- The last one goes: closed by the same CALL, and counted.
CALL becomes('kept', 3, 'failed');
:sweep
SELECT state('kept'), events('kept');

-- A contact who has got Message 2 is no witness; Message 2 that is pending is one.
CALL campaign('replied', 'read/sent read/pending read/failed');
:sweep
SELECT status FROM campaign_update_status(id('replied'));
UPDATE campaigns SET sent_count = 99 WHERE name = 'replied';
:sweep
SELECT state('replied');
CALL silently('UPDATE messages SET status = ''sent'' WHERE campaign_id = id(''replied'') AND status = ''pending''');
:sweep
SELECT state('replied'), events('replied');
-- Neither was this one for long: its contact gets Message 2.
CALL campaign('answered', 'sent read');
:sweep
CALL silently('INSERT INTO messages (campaign_id, contact_id, message_type, status) SELECT id(''answered''), id(n), ''message_2'', ''pending'' FROM generate_series(1, 2) AS n');
:sweep
SELECT state('answered');
CALL silently('UPDATE messages SET status = ''sent'' WHERE campaign_id = id(''answered'') AND message_type = ''message_2''');
:sweep
SELECT state('answered');

-- All messages gone: it is empty, and stays open.
CALL campaign('emptied', 'sent sent');
:sweep
CALL silently('DELETE FROM messages WHERE campaign_id = id(''emptied'')');
:sweep
SELECT state('emptied'), events('emptied');

--
-- Messages of other kinds
--

-- Without a contact each is a contact of its own.
CALL campaign('contactless', 'failed -sent failed -read read/read');
:sweep
SELECT status FROM campaign_update_status(id('contactless'));
UPDATE campaigns SET sent_count = 99 WHERE name = 'contactless';
:sweep
SELECT state('contactless');
CALL silently('UPDATE messages SET status = ''failed'' WHERE campaign_id = id(''contactless'') AND status = ''sent''');
:sweep
SELECT state('contactless');
CALL becomes('contactless', NULL, 'failed');
:sweep
SELECT state('contactless'), events('contactless');

-- A status that no label maps keeps it open; a type that none maps does not.
CALL campaign('odd', 'failed odd failed', age => '0');
CALL campaign('inbound', 'failed failed');
CALL silently('INSERT INTO messages (campaign_id, message_type, status) VALUES (id(''inbound''), ''inbound'', ''pending''), (id(''inbound''), ''inbound'', ''odd'')');
:sweep
SELECT status, pending_count FROM campaign_update_status(id('odd'));
SELECT state('odd'), state('inbound');
UPDATE campaigns SET pending_count = 99 WHERE name = 'odd';
:sweep
SELECT state('odd');
CALL becomes('odd', 2, 'failed');
:sweep
SELECT state('odd'), events('odd');

-- A witness that is of another campaign now, or of another type.
CALL campaign('taken', 'failed sent');
CALL campaign('taker', 'failed');
CALL campaign('retyped', 'failed sent');
:sweep
SELECT state('taken'), state('taker'), state('retyped');
CALL silently('UPDATE messages SET campaign_id = id(''taker'') WHERE campaign_id = id(''taken'') AND status = ''sent''');
CALL silently('UPDATE messages SET message_type = ''inbound'' WHERE campaign_id = id(''retyped'') AND status = ''sent''');
:sweep
SELECT state('taken'), state('taker'), state('retyped');

--
-- Open without a witness
--

CALL campaign('filling', 'failed failed', recipients => 3);
CALL campaign('empty');
:sweep
:sweep
SELECT state('filling'), events('filling');
SELECT state('empty'), events('empty');
CALL silently('INSERT INTO messages (campaign_id, contact_id, status) VALUES (id(''filling''), id(9), ''failed''), (id(''empty''), id(9), ''failed'')');
:sweep
SELECT state('filling'), state('empty');

--
-- The campaign itself changes
--

-- Paused, and everything ends meanwhile.
CALL campaign('paused', 'sent sent');
CALL campaign('paused and kept', 'sent sent');
:sweep
UPDATE campaigns SET status = 'paused', sent_count = 99 WHERE name LIKE 'paused%';
CALL becomes('paused', 1, 'failed');
CALL becomes('paused', 2, 'failed');
:sweep
SELECT state('paused'), events('paused');
UPDATE campaigns SET status = 'sending' WHERE name LIKE 'paused%';
:sweep
SELECT state('paused'), events('paused');
SELECT state('paused and kept'), events('paused and kept');

-- Its rule changes, there and back; its witness is awaited by one alone.
ALTER TABLE campaigns ADD completion_rule text;
CALL campaign('rule', 'read sent');
CALL campaign('rule there and back', 'read sent');
:sweep
UPDATE campaigns SET completion_rule = 'contacts' WHERE name LIKE 'rule%';
:sweep
SELECT state('rule'), state('rule there and back');
UPDATE campaigns SET completion_rule = 'messages' WHERE name LIKE 'rule%';
UPDATE campaigns SET completion_rule = 'contacts' WHERE name = 'rule there and back';
:sweep
SELECT state('rule'), events('rule'), state('rule there and back');
-- The other way: what is pending is witness to both.
CALL campaign('strict', 'pending sent');
UPDATE campaigns SET completion_rule = 'messages' WHERE name = 'strict';
:sweep
UPDATE campaigns SET completion_rule = 'contacts' WHERE name = 'strict';
CALL becomes('strict', 1, 'sent');
:sweep
SELECT state('strict');
ALTER TABLE campaigns DROP completion_rule;
-- That of the source.
SELECT name FROM campaigns WHERE status = 'sending' ORDER BY name;
SELECT completion_rule FROM campaign_alter('public', 'completion_rule', 'messages');
:sweep
SELECT name FROM campaigns WHERE status = 'sending' ORDER BY name;
SELECT completion_rule FROM campaign_alter('public', 'completion_rule', 'contacts');
DELETE FROM campaigns;

-- Deleted, and its key used again for another: nothing of the first one counts.
SELECT check_delay FROM campaign_alter('public', 'check_delay', '0');
CALL campaign('reused', 'sent sent pending');
CALL campaign('reused in time', 'sent sent');
:sweep
DELETE FROM campaigns;
CALL campaign('reused', 'failed failed');
CALL campaign('reused in time', 'sent read/pending', age => '30 hours');
:sweep
SELECT state('reused'), events('reused');
SELECT state('reused in time'), events('reused in time');
-- Likewise between two sweeps that saw it was gone.
CALL silently('DELETE FROM campaigns; DELETE FROM messages');
:sweep
CALL campaign('reused in time', 'sent', age => '30 hours');
:sweep
SELECT state('reused in time');
SELECT check_delay FROM campaign_alter('public', 'check_delay', '5 s');
DELETE FROM campaigns;
TRUNCATE campaign_event;

--
-- Two sources with the same keys
--

CREATE SCHEMA other;
SELECT source, mode FROM campaign_create_tables('other');
CALL campaign('twin', 'sent');
CALL campaign('twin', 'failed sent', schema => 'other');
CALL campaign_run_sweeps(force => true);
CALL becomes('twin', 1, 'failed');
CALL campaign_run_sweeps(force => true);
SELECT tableoid::regclass, status FROM campaigns UNION ALL SELECT tableoid::regclass, status FROM other.campaigns;
CALL silently('UPDATE other.messages SET status = ''failed''');
CALL campaign_run_sweeps(force => true);
SELECT status FROM other.campaigns;
DROP SCHEMA other CASCADE;
SELECT campaign_detach('other');
DELETE FROM campaigns;

-- Integer keys; and ids of messages that are too long to be remembered.
CREATE SCHEMA numbers;
SELECT source, mode FROM campaign_create_tables('numbers');
DROP TABLE numbers.interactions, numbers.contacts CASCADE;
ALTER TABLE numbers.messages DROP CONSTRAINT messages_campaign_id_fkey, ALTER campaign_id TYPE int USING 0,
	ALTER id DROP DEFAULT, ALTER id TYPE text, ALTER contact_id TYPE text;
ALTER TABLE numbers.campaigns ALTER id DROP DEFAULT, ALTER id TYPE int USING 0;
UPDATE campaign_source SET interactions = NULL, contacts = NULL WHERE source = 'numbers';
SELECT mode FROM campaign_alter('numbers', 'mode', 'active');
CALL silently($$ INSERT INTO numbers.campaigns (id, status) VALUES (-1, 'sending'), (0, 'sending'), (2147483647, 'sending');
	INSERT INTO numbers.messages (id, campaign_id, contact_id, status, sent_at) SELECT c || repeat('x', 100 * n) || n, c, n, 'sent', now()
	FROM unnest('{-1,0,2147483647}'::int[]) AS c, generate_series(0, 2) AS n $$);
CALL campaign_run_sweeps('numbers', force => true);
CALL silently('UPDATE numbers.messages SET status = ''failed'' WHERE contact_id <> ''1'' OR campaign_id = 0');
CALL campaign_run_sweeps('numbers', force => true);
SELECT id, status FROM numbers.campaigns ORDER BY id;
CALL silently('UPDATE numbers.messages SET status = ''failed''');
CALL campaign_run_sweeps('numbers', force => true);
SELECT id, status FROM numbers.campaigns ORDER BY id;
SELECT campaign_detach('numbers');

--
-- The interrupted sweep's witness: the latest message known sent
--

CALL campaign('going on', 'sent sent pending', age => '0');
CALL campaign('stalls', 'sent sent pending', age => '0');
CALL campaign('loses what was sent', 'sent sent pending', age => '0');
UPDATE campaigns SET started_at = now() - interval '1 hour';
:sweep
SELECT events('going on'), events('stalls'), events('loses what was sent');
CALL silently('UPDATE messages SET sent_at = now() - interval ''11 minutes'' WHERE campaign_id = id(''stalls'') AND status = ''sent''');
CALL silently('DELETE FROM messages WHERE campaign_id = id(''loses what was sent'') AND status = ''sent''');
CALL silently('UPDATE messages SET sent_at = now() - interval ''11 minutes'' WHERE campaign_id = id(''going on'') AND contact_id = id(2)');
:sweep
SELECT events('going on'), events('stalls'), events('loses what was sent');
-- Nothing was pending; then something is.
CALL campaign('nothing pending', 'sent sent', age => '20 minutes');
SELECT check_delay FROM campaign_alter('public', 'check_delay', '0');
:sweep
INSERT INTO messages (campaign_id, contact_id, status) VALUES (id('nothing pending'), id(3), 'pending');
:sweep
SELECT events('nothing pending');
SELECT check_delay FROM campaign_alter('public', 'check_delay', '5 s');
DELETE FROM campaigns;

--
-- Functions count, whatever is remembered
--

CALL campaign('by function', 'sent sent');
:sweep
UPDATE campaigns SET sent_count = 99;
:sweep
SELECT state('by function');
SELECT campaigns_checked, campaigns_updated FROM campaign_check_sending(dry_run => true);
SELECT campaigns_checked, campaigns_updated FROM campaign_check_sending();
SELECT state('by function');
CALL silently('UPDATE messages SET sent_at = now() - interval ''30 hours'' WHERE contact_id = id(1)');
SELECT messages_checked, messages_marked FROM campaign_check_expired_interactions(dry_run => true);
SELECT messages_checked, messages_marked FROM campaign_check_expired_interactions();
SELECT state('by function');
CALL becomes('by function', 2, 'pending');
SELECT campaigns_resumed FROM campaign_recover_interrupted();
-- What they find out is not remembered either, nor do they close what is open.
CALL becomes('by function', 2, 'failed');
SELECT status, changed FROM campaign_update_status(id('by function'), as_of => now() - interval '1 day');
SELECT state('by function');
DELETE FROM campaigns;

--
-- The trigger is disabled, or is not there: nobody tells what has changed
--

SELECT check_delay FROM campaign_alter('public', 'check_delay', '1 hour');
ALTER TABLE messages DISABLE TRIGGER campaign_autoclose;
CALL campaign('untold', 'sent sent');
UPDATE messages SET status = 'read' WHERE contact_id = id(1);
:sweep
SELECT state('untold'), read_count FROM campaigns;
-- Closing still happens at once,
UPDATE messages SET status = 'failed';
:sweep
SELECT state('untold'), events('untold');
-- and so does marking: nothing is believed about when the next is due.
CALL campaign('untold and expired', 'sent sent pending');
:sweep
UPDATE messages SET sent_at = now() - interval '25 hours' WHERE campaign_id = id('untold and expired');
:sweep
SELECT state('untold and expired'), events('untold and expired');
-- What was counted lately waits: 5 minutes, or ten times as long as it takes.
UPDATE campaigns SET sent_count = 99 WHERE name = 'untold and expired';
:sweep
SELECT state('untold and expired');
ALTER TABLE messages ENABLE TRIGGER campaign_autoclose;
DROP TRIGGER campaign_autoclose ON messages;
CALL campaign('never told', 'sent pending', age => '0');
UPDATE messages SET status = 'delivered' WHERE campaign_id = id('never told') AND status = 'sent';
:sweep
SELECT state('never told'), delivered_count FROM campaigns WHERE name = 'never told';
UPDATE messages SET status = 'failed' WHERE campaign_id = id('never told');
:sweep
SELECT state('never told'), events('never told');

--
-- A caller's as_of
--

-- What a function counted by a moment of its caller's puts off no counting.
SELECT check_delay FROM campaign_alter('public', 'check_delay', '1 hour');
CALL campaign('foreseen', 'sent pending', age => '0');
SELECT status, sent_count FROM campaign_update_status(id('foreseen'), as_of => now() + interval '1 hour');
CALL becomes('foreseen', 2, 'failed');
:sweep
SELECT state('foreseen');
