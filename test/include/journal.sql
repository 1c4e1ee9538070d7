-- A journal of what happens to a source's rows, whoever does it, kept by triggers
-- of its own.  invariants.sql judges by it.  Run with the source's schema first
-- in search_path; the standard tables are there.
--
-- The journal knows no clock.  Changes are numbered, each while the row (and of a
-- message that the extension marks, its campaign) is locked; and what could be
-- seen when is told by snapshots.

CREATE SCHEMA proof;

-- A snapshot, and the number of a transaction that took it before it had one:
-- INSERT INTO proof.moment DEFAULT VALUES is the first thing that it does.  So
-- whoever has a higher number began to lock, and to read after that, later than
-- the snapshot was taken.
CREATE TABLE proof.moment (
	transaction xid8 PRIMARY KEY DEFAULT pg_current_xact_id(),
	snapshot pg_snapshot NOT NULL DEFAULT pg_current_snapshot()
);

CREATE SEQUENCE proof.change;

CREATE TABLE proof.message_change (
	change bigint PRIMARY KEY DEFAULT nextval('proof.change'),
	transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
	source name NOT NULL,
	campaign_id uuid NOT NULL,
	message_id uuid NOT NULL,
	contact_id uuid,
	message_type text NOT NULL,
	status text NOT NULL,
	sent_at timestamptz
);
CREATE INDEX ON proof.message_change (campaign_id);

CREATE TABLE proof.campaign_change (
	change bigint PRIMARY KEY DEFAULT nextval('proof.change'),
	transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
	snapshot pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
	source name NOT NULL,
	campaign_id uuid NOT NULL,
	status_from text,
	status text NOT NULL,
	completed_at timestamptz,
	start timestamptz NOT NULL,
	total_recipients integer NOT NULL
);
CREATE INDEX ON proof.campaign_change (campaign_id);

CREATE TABLE proof.interaction (
	transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
	campaign_id uuid NOT NULL,
	contact_id uuid NOT NULL
);
CREATE INDEX ON proof.interaction (campaign_id, contact_id);

-- What on_event was called for.
CREATE TABLE proof.told (event_id bigint NOT NULL);

CREATE FUNCTION proof.note_message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'INSERT' OR OLD.status <> NEW.status THEN
		INSERT INTO proof.message_change (source, campaign_id, message_id, contact_id, message_type, status, sent_at)
		VALUES (TG_TABLE_SCHEMA, NEW.campaign_id, NEW.id, NEW.contact_id, NEW.message_type, NEW.status, NEW.sent_at);
	END IF;
	RETURN NULL;
END $$;

CREATE FUNCTION proof.note_campaign() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'INSERT' OR OLD.status <> NEW.status THEN
		INSERT INTO proof.campaign_change (source, campaign_id, status_from, status, completed_at, start, total_recipients)
		VALUES (TG_TABLE_SCHEMA, NEW.id, CASE WHEN TG_OP = 'UPDATE' THEN OLD.status END, NEW.status, NEW.completed_at,
			greatest(coalesce(NEW.started_at, NEW.created_at), NEW.resumed_at), NEW.total_recipients);
	END IF;
	RETURN NULL;
END $$;

CREATE FUNCTION proof.note_interaction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO proof.interaction (campaign_id, contact_id) VALUES (NEW.campaign_id, NEW.contact_id);
	RETURN NULL;
END $$;

CREATE FUNCTION proof.tell(event jsonb) RETURNS void
LANGUAGE sql AS $$ INSERT INTO proof.told VALUES ((event ->> 'id')::bigint) $$;

CREATE TRIGGER journal AFTER INSERT OR UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION proof.note_message();
CREATE TRIGGER journal AFTER INSERT OR UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION proof.note_campaign();
CREATE TRIGGER journal AFTER INSERT ON interactions FOR EACH ROW EXECUTE FUNCTION proof.note_interaction();
SELECT FROM campaign_alter(current_schema(), 'on_event', 'proof.tell');
