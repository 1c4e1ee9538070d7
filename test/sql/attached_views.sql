-- Attached tables: views in place of campaigns and messages.
\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\i :abs_srcdir/include/attached.sql
\set ECHO all

-- The tables behind, to which the application writes.
CREATE PROCEDURE tables(source text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format($sql$
		CREATE SCHEMA %1$I
			CREATE TABLE campaigns (id int PRIMARY KEY, status text, created_at timestamptz, completed_at timestamptz, sent_count int, no_interaction_count int,
				failed_count int, pending_count int, interaction_count int)
			CREATE TABLE messages (id bigint PRIMARY KEY, campaign_id int, contact_id int, message_type text, status text, error_message text, created_at timestamptz, sent_at timestamptz)
			CREATE TABLE interactions (campaign_id int NOT NULL, contact_id int, interaction_type text, received_at timestamptz)
		$sql$, source);
	INSERT INTO application VALUES (source, format('%I.campaigns', source), format('%I.messages', source), format('%I.interactions', source));
END $$;
CREATE FUNCTION attach(source text, campaigns regclass, messages regclass) RETURNS text LANGUAGE sql AS
	$$ SELECT (campaign_attach(source, campaigns, messages, format('%I.interactions', source)::regclass)).mode $$;

-- What becomes of tables is what must become of views.
CALL tables('tables');
SELECT attach('tables', 'tables.campaigns', 'tables.messages');
CALL live('tables');

-- Views that PostgreSQL updates by itself, one of them over another; with other
-- names, and some rows that they do not show.
CALL tables('simple');
ALTER TABLE simple.campaigns ADD hidden boolean DEFAULT false;
ALTER TABLE simple.messages ADD hidden boolean DEFAULT false;
CREATE VIEW simple.shown AS SELECT id AS no, status AS state, created_at, completed_at, sent_count, no_interaction_count, failed_count, pending_count, interaction_count
FROM simple.campaigns WHERE NOT hidden;
CREATE VIEW simple.shown_messages AS SELECT m.* FROM simple.messages AS m WHERE NOT hidden;
CREATE VIEW simple.shown_twice AS SELECT id AS no, status AS state, campaign_id, contact_id, message_type, error_message, created_at, sent_at FROM simple.shown_messages;
SELECT source, mode FROM campaign_attach('simple', 'simple.shown', 'simple.shown_twice', 'simple.interactions',
	columns => '{"campaigns": {"id": "no", "status": "state"}, "messages": {"id": "no", "status": "state"}}');
SELECT tgname FROM pg_trigger WHERE tgrelid IN ('simple.shown'::regclass, 'simple.shown_twice'::regclass, 'simple.campaigns'::regclass, 'simple.messages'::regclass);
INSERT INTO simple.campaigns (id, status, created_at, hidden) VALUES (9, 'sending', '2025-01-01 00:00Z', true);
INSERT INTO simple.messages (id, campaign_id, contact_id, message_type, status, sent_at, hidden) VALUES (9999, 1, 3, 'message_1', 'sent', '2025-01-01 00:00Z', true);
CALL live('simple');
-- (the hidden message is one of those of the table)
SELECT differences('tables', 'simple');
SELECT status FROM simple.campaigns WHERE id = 9;
-- A view that guards what it shows.
CALL tables('guarded');
CREATE VIEW guarded.shown WITH (security_barrier) AS SELECT * FROM guarded.campaigns WHERE id < 1000;
CREATE VIEW guarded.shown_messages WITH (security_barrier) AS SELECT * FROM guarded.messages WHERE campaign_id < 1000 WITH CASCADED CHECK OPTION;
SELECT attach('guarded', 'guarded.shown', 'guarded.shown_messages');
CALL live('guarded');
SELECT differences('tables', 'guarded');

-- Views that only their INSTEAD OF triggers update: no row of theirs can be locked.
CALL tables('joined');
CREATE TABLE joined.names (id int PRIMARY KEY, name text);
INSERT INTO joined.names SELECT n, 'name ' || n FROM generate_series(1, 50) AS n;
CREATE VIEW joined.shown AS SELECT c.*, count(m.id) AS messages FROM joined.campaigns AS c LEFT JOIN joined.messages AS m ON m.campaign_id = c.id GROUP BY c.id;
CREATE VIEW joined.shown_messages AS SELECT m.*, n.name FROM joined.messages AS m LEFT JOIN joined.names AS n ON n.id = m.contact_id;
CREATE FUNCTION joined.update_campaign() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE joined.campaigns SET (status, completed_at, sent_count, no_interaction_count, failed_count, pending_count, interaction_count) =
		(NEW.status, NEW.completed_at, NEW.sent_count, NEW.no_interaction_count, NEW.failed_count, NEW.pending_count, NEW.interaction_count) WHERE id = OLD.id;
	RETURN NEW;
END $$;
CREATE FUNCTION joined.update_message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.error_message = 'refused' THEN
		RETURN NULL;
	END IF;
	UPDATE joined.messages SET status = NEW.status, error_message = NEW.error_message WHERE id = OLD.id;
	RETURN NEW;
END $$;
CREATE TRIGGER instead INSTEAD OF UPDATE ON joined.shown FOR EACH ROW EXECUTE FUNCTION joined.update_campaign();
CREATE TRIGGER instead INSTEAD OF UPDATE ON joined.shown_messages FOR EACH ROW EXECUTE FUNCTION joined.update_message();
SELECT attach('joined', 'joined.shown', 'joined.shown_messages');
CALL live('joined');
SELECT differences('tables', 'joined');

-- A view of one kind, a table of the other.
CALL tables('mixed');
CREATE VIEW mixed.shown AS SELECT * FROM mixed.campaigns;
SELECT attach('mixed', 'mixed.shown', 'mixed.messages');
CALL live('mixed');
SELECT differences('tables', 'mixed');

-- In batches; and in passes, which is for tables only, so all at once.
DO $$ DECLARE source text; BEGIN FOR source IN SELECT a.source FROM application AS a LOOP CALL prepare_batches(source); END LOOP; END $$;
CALL campaign_run_sweeps(force => true);
SELECT source, batches(source) FROM application ORDER BY source COLLATE "C";
CREATE PROCEDURE prepare_passes(source text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM campaign_alter(source, 'batch_size', '5000');
	PERFORM add_campaign(source, 3, now() - interval '30 hours');
	PERFORM message(source, 3, n, 1, 'sent', now() - interval '25 hours') FROM generate_series(1, 1000) AS n;
END $$;
CALL prepare_passes('simple');
CALL prepare_passes('joined');
CALL campaign_run_sweeps(force => true);
SELECT source, string_agg(concat_ws(' ', event, details ->> 'messages'), ', ' ORDER BY id) FROM campaign_event WHERE campaign_id = '3' GROUP BY 1 ORDER BY 1;

-- What an INSTEAD OF trigger does not do is not done, nor counted, and is tried
-- again; by hand there is an error.
SELECT interaction_message, timeout_message FROM campaign_alter('joined', 'interaction_message', 'refused');
SELECT timeout_message FROM campaign_alter('joined', 'timeout_message', 'refused');
SELECT add_campaign('joined', 20, '2025-01-01 00:00Z');
SELECT message('joined', 20, 1, 1, 'sent', '2025-01-01 00:00Z'), message('joined', 20, 2, 1, 'pending', '2025-01-01 00:00Z');
UPDATE joined.campaigns SET status = 'paused' WHERE id <> 20 AND status = 'sending';
SELECT sweep('expired', 'joined', '2025-01-02 01:00Z');
SELECT sweep('timeout', 'joined', '2025-01-04 01:00Z');
SELECT messages('joined', 20), campaign('joined', 20);
SELECT status FROM campaign_close(20::bigint, 'refused', 'joined');
SELECT timeout_message FROM campaign_alter('joined', 'timeout_message', NULL);
SELECT sweep('timeout', 'joined', '2025-01-04 01:00Z');
SELECT messages('joined', 20), campaign('joined', 20);

-- A view that is replaced by one that can be locked, or no longer.
CREATE OR REPLACE VIEW mixed.shown AS SELECT * FROM mixed.campaigns OFFSET 0;
CREATE FUNCTION mixed.update_campaign() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE mixed.campaigns SET status = NEW.status, completed_at = NEW.completed_at WHERE id = OLD.id;
	RETURN NEW;
END $$;
CREATE TRIGGER instead INSTEAD OF UPDATE ON mixed.shown FOR EACH ROW EXECUTE FUNCTION mixed.update_campaign();
SELECT add_campaign('mixed', 5, '2025-01-01 00:00Z'), message('mixed', 5, 1, 1, 'failed', '2025-01-01 00:00Z');
SELECT judge('mixed', 5, '2025-01-01 01:00Z');
CREATE OR REPLACE VIEW mixed.shown AS SELECT * FROM mixed.campaigns;
DROP TRIGGER instead ON mixed.shown;
SELECT add_campaign('mixed', 6, '2025-01-01 00:00Z'), message('mixed', 6, 1, 1, 'failed', '2025-01-01 00:00Z');
SELECT judge('mixed', 6, '2025-01-01 01:00Z');
