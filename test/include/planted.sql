-- An application whose owner, regress_cac_planter, is no superuser and means to
-- become one: code of his is planted wherever tables let him, tells where it ran
-- and as whom, and tries to get on from there.  Run by a superuser in an empty
-- schema public that has the extension.
--
-- Sequences tell, as no rollback undoes that: planted.<place> counts what ran in
-- a place, public.caught what ran as anybody but the planter.

CREATE ROLE regress_cac_planter NOSUPERUSER;
CREATE SEQUENCE public.caught;
GRANT USAGE ON public.caught TO PUBLIC;
CREATE SCHEMA planted AUTHORIZATION regress_cac_planter;
CREATE TABLE planted.boss AS SELECT session_user::text AS name;
ALTER TABLE planted.boss OWNER TO regress_cac_planter;

SET ROLE regress_cac_planter;
SET search_path = planted, pg_catalog, public;
CREATE TABLE attempts (place text, attempt text, state text);
CREATE FUNCTION place() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT pg_catalog.unnest(ARRAY['before', 'after', 'statement', 'deferred', 'when', 'rule', 'policy', 'default', 'generated', 'check',
		'domain', 'index', 'predicate', 'interactions_view', 'contacts_view', 'cast', 'on_event', 'operator', 'function'])
$$;
DO $$
DECLARE
	name text;
BEGIN
	FOR name IN SELECT planted.place() LOOP
		EXECUTE pg_catalog.format('CREATE SEQUENCE planted.%I; GRANT USAGE ON SEQUENCE planted.%I TO PUBLIC', name, name);
	END LOOP;
END $$;

-- (cheap, so that it is asked before anything else)
CREATE FUNCTION spy(place text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 SET search_path = pg_catalog AS $$
BEGIN
	PERFORM nextval(format('planted.%I', place));
	IF current_user <> 'regress_cac_planter' THEN
		PERFORM nextval('public.caught');
		RAISE WARNING 'what is planted in "%" runs as another', place;
	END IF;
	RETURN true;
END $$;
CREATE FUNCTION spied(place text, value text) RETURNS text IMMUTABLE LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
	PERFORM planted.spy(place);
	RETURN value;
END $$;

-- What might get him further; no SET of its own, which would forbid the rest.
CREATE FUNCTION attempt(place text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	boss text;
	attempt text;
	state text;
BEGIN
	SELECT pg_catalog.quote_ident(b.name) INTO boss FROM planted.boss AS b;
	FOREACH attempt IN ARRAY pg_catalog.string_to_array(pg_catalog.replace($a$SET ROLE boss
		RESET ROLE
		SET SESSION AUTHORIZATION boss
		RESET SESSION AUTHORIZATION
		SELECT pg_catalog.set_config('role', 'none', false)
		ALTER ROLE regress_cac_planter SUPERUSER
		CREATE ROLE regress_cac_more SUPERUSER
		GRANT pg_execute_server_program TO regress_cac_planter
		COPY (SELECT 1) TO PROGRAM 'true'
		SELECT pg_catalog.pg_read_file('PG_VERSION')
		SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())
		CREATE FUNCTION planted.c() RETURNS int LANGUAGE internal AS 'pg_backend_pid'
		SET session_replication_role = replica
		CREATE TEMPORARY TABLE planted (id int)
		DECLARE planted CURSOR WITH HOLD FOR SELECT 1
		LISTEN planted
		PREPARE planted AS SELECT 1
		DISCARD TEMP
		INSERT INTO public.campaign_event (at, source, campaign_id, event, reason) VALUES (now(), 'x', 'x', 'closed', 'x')
		UPDATE public.campaign_source SET on_event = NULL
		DELETE FROM public.campaign_armed$a$, 'boss', boss), E'\n')
	LOOP
		BEGIN
			EXECUTE attempt;
			state := 'done';
		EXCEPTION WHEN OTHERS THEN
			state := SQLSTATE;
		END;
		INSERT INTO planted.attempts VALUES (place, pg_catalog.btrim(attempt, E'\t'), state);
	END LOOP;
END $$;

CREATE TYPE message_state AS ENUM ('pending', 'sent', 'delivered', 'read', 'failed', 'no_interaction');
CREATE FUNCTION spied(message_state) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT planted.spied('cast', (pg_catalog.enum_out($1))::pg_catalog.cstring::pg_catalog.text) $$;
CREATE CAST (message_state AS text) WITH FUNCTION spied(message_state) AS IMPLICIT;
CREATE DOMAIN campaign_state AS text CHECK (planted.spied('domain', VALUE) IN ('sending', 'completed', 'failed'));

CREATE TABLE campaigns (id int PRIMARY KEY, status campaign_state NOT NULL, created_at timestamptz NOT NULL, completed_at timestamptz, sent_count int,
	twice text DEFAULT planted.spied('default', 'x'), shout text GENERATED ALWAYS AS (planted.spied('generated', status)) STORED,
	CHECK (planted.spied('check', status) IS NOT NULL));
CREATE TABLE messages (id int PRIMARY KEY, campaign_id int REFERENCES campaigns, contact_id int, message_type text DEFAULT 'message_1', status message_state, error_message text,
	sent_at timestamptz, updated_at timestamptz);
CREATE INDEX ON campaigns (planted.spied('index', status));
CREATE INDEX ON messages (id) WHERE planted.spied('predicate', message_type) = 'message_1';
CREATE TABLE replies (campaign_id int, contact_id int, interaction_type text, received_at timestamptz);
CREATE VIEW interactions AS SELECT * FROM replies WHERE planted.spy('interactions_view');
CREATE VIEW contacts AS SELECT 1 AS id, 'x'::text AS full_number, 'y'::text AS first_name WHERE planted.spy('contacts_view');
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM planted.spy(TG_ARGV[0]);
	PERFORM planted.attempt(TG_ARGV[0]);
	RETURN NEW;
END $$;
CREATE TRIGGER a BEFORE UPDATE ON campaigns FOR EACH ROW WHEN (planted.spied('when', NEW.status) IS NOT NULL) EXECUTE FUNCTION fire('before');
CREATE TRIGGER b AFTER UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION fire('after');
CREATE TRIGGER c AFTER UPDATE ON campaigns FOR EACH STATEMENT EXECUTE FUNCTION fire('statement');
CREATE CONSTRAINT TRIGGER d AFTER UPDATE ON campaigns DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fire('deferred');
CREATE CONSTRAINT TRIGGER e AFTER UPDATE ON messages DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fire('deferred');
CREATE TABLE ruled (ok boolean);
CREATE RULE planted AS ON UPDATE TO campaigns DO ALSO INSERT INTO ruled SELECT planted.spy('rule');
ALTER TABLE campaigns ENABLE ROW LEVEL SECURITY;
ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY planted ON campaigns USING (planted.spy('policy'));
CREATE POLICY planted ON messages USING (planted.spy('policy'));
CREATE FUNCTION hear(event jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM planted.spy('on_event');
	PERFORM planted.attempt('on_event');
END $$;

-- Four campaigns, for each of the sweeps to find one by the clock: complete,
-- expired, timed out, stalled.
CREATE FUNCTION launch(first int) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
	INSERT INTO planted.campaigns (id, status, created_at, twice)
	SELECT first + n, 'sending', now() - CASE n WHEN 2 THEN interval '60 hours' ELSE interval '30 hours' END, '' FROM generate_series(0, 3) AS n;
	INSERT INTO planted.messages (id, campaign_id, contact_id, status, sent_at)
	SELECT first + n, first + n, 1, (ARRAY['failed', 'sent', 'pending', 'pending'])[1 + n]::planted.message_state, now() - interval '30 hours'
	FROM generate_series(0, 3) AS n;
	INSERT INTO planted.replies SELECT first + n, 2, 'reply', now() FROM generate_series(0, 3) AS n
$$;
CREATE FUNCTION forget() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
	SELECT setval(format('planted.%I', p), 1, false) FROM planted.place() AS p;
	DELETE FROM planted.attempts
$$;
-- What ran since then, and what of it as somebody else.
CREATE FUNCTION ran() RETURNS TABLE (places text, caught bigint) LANGUAGE sql SET search_path = pg_catalog AS $$
	SELECT string_agg(sequencename, ' ' ORDER BY sequencename COLLATE "C") FILTER (WHERE schemaname = 'planted' AND last_value IS NOT NULL),
		max(last_value) FILTER (WHERE schemaname = 'public' AND sequencename = 'caught')
	FROM pg_sequences
$$;
-- How the campaigns are, with their messages.
CREATE FUNCTION state_of(first int) RETURNS SETOF text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
	SELECT format('%s: %s, %s', c.id - first, c.status, m.status) FROM planted.campaigns AS c JOIN planted.messages AS m ON m.campaign_id = c.id
	WHERE c.id BETWEEN first AND first + 3 ORDER BY c.id
$$;

-- Last, as what is above is not to use them: operators and functions that come
-- before the server's in the search_path.
SET search_path = pg_catalog;
DO $$
DECLARE
	type text;
	name text;
BEGIN
	FOREACH type IN ARRAY ARRAY['text', 'integer', 'bigint', 'smallint', 'timestamptz', 'interval', 'oid', 'name', '"char"', 'boolean', 'planted.message_state'] LOOP
		EXECUTE format('CREATE FUNCTION planted.planted_operator(%s, %1$s) RETURNS boolean LANGUAGE sql AS %L', type, 'SELECT planted.spy(''operator'')');
		FOREACH name IN ARRAY ARRAY['=', '<>', '<', '<=', '>', '>=', '||', '+', '-'] LOOP
			EXECUTE format('CREATE OPERATOR planted.%s (LEFTARG = %s, RIGHTARG = %2$s, FUNCTION = planted.planted_operator)', name, type);
		END LOOP;
	END LOOP;
	FOREACH name IN ARRAY ARRAY['now() RETURNS timestamptz', 'clock_timestamp() RETURNS timestamptz', 'max(timestamptz) RETURNS timestamptz', 'count(anyelement) RETURNS bigint',
		'sum(bigint) RETURNS bigint', 'timezone(text, timestamptz) RETURNS timestamptz', 'unnest(anyarray) RETURNS SETOF int', 'concat_ws(text, text, text) RETURNS text',
		'to_jsonb(anyelement) RETURNS jsonb', 'quote_literal(text) RETURNS text', 'min(timestamptz) RETURNS timestamptz', 'round(numeric, int) RETURNS numeric',
		'pg_notify(text, text) RETURNS void', 'generate_series(int, int) RETURNS SETOF int'] LOOP
		EXECUTE format('CREATE FUNCTION planted.%s LANGUAGE plpgsql AS %L', name, 'BEGIN PERFORM planted.spy(''function''); RETURN' ||
			CASE WHEN name ~ 'SETOF|void' THEN '' ELSE ' NULL' END || '; END');
	END LOOP;
END $$;
RESET ROLE;
RESET search_path;
