-- Random campaigns, and the running of properties over them.
--
-- A property is a function of a trial: it makes a random campaign that fulfils
-- its premise, has it judged, and returns what is wrong; null if it holds.
-- holds() tries it on tables of two kinds: the standard ones, and an
-- application's own with other names, keys and words.  What is drawn depends on
-- the seed, the property, the rule, the source and the number of the case alone,
-- so that CAMPAIGN_SEED=... (test/run --seed) repeats all of them.
--
-- What becomes of a campaign's contacts is a plan: a word a contact, the last
-- status of Message 1 and, after a slash, that of Message 2.  "~" in front: the
-- message has no contact.  A plan lives through a random history: callbacks come
-- one after the other, contact by contact in their order, all contacts mixed.

\getenv seed CAMPAIGN_SEED
\if :{?seed}
\else
	SELECT (random() * 1000000000)::int AS seed \gset
\endif
SET proof.seed = :seed;
SET TimeZone = 'UTC';
SET search_path = public;

--
-- The sources
--

CREATE SCHEMA standard;
SELECT FROM campaign_create_tables('standard');
INSERT INTO standard.contacts (id, full_number) SELECT md5(n::text)::uuid, n::text FROM generate_series(1, 60) AS n;

CREATE SCHEMA shop
	CREATE TABLE blasts (
		no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, phase varchar(12) NOT NULL, planned smallint, made_at timestamptz NOT NULL,
		launched_at timestamptz, done_at timestamptz, n_gone bigint, n_failed int, n_arrived int, n_seen int, n_silent int, n_queued int, n_answers int,
		silence interval, patience interval, rule text)
	CREATE TABLE texts (
		no bigint PRIMARY KEY, blast bigint, phone text, kind text, state varchar(20), why text, made_at timestamptz, gone_at timestamptz)
	CREATE TABLE answers (blast bigint NOT NULL, phone varchar(20), what text, at timestamptz)
	CREATE INDEX ON texts (blast, phone)
	CREATE INDEX ON answers (blast, phone);
SELECT FROM campaign_attach('shop', 'shop.blasts', 'shop.texts', 'shop.answers', columns => '{
	"campaigns": {"id": "no", "status": "phase", "total_recipients": "planned", "created_at": "made_at", "started_at": "launched_at",
		"completed_at": "done_at", "sent_count": "n_gone", "failed_count": "n_failed", "delivered_count": "n_arrived", "read_count": "n_seen",
		"no_interaction_count": "n_silent", "pending_count": "n_queued", "interaction_count": "n_answers",
		"interaction_timeout": "silence", "campaign_timeout": "patience", "completion_rule": "rule"},
	"messages": {"id": "no", "campaign_id": "blast", "contact_id": "phone", "message_type": "kind", "status": "state",
		"error_message": "why", "created_at": "made_at", "sent_at": "gone_at"},
	"interactions": {"campaign_id": "blast", "contact_id": "phone", "interaction_type": "what", "received_at": "at"}}',
	labels => '{
	"campaigns": {"sending": ["running", "resumed"], "completed": ["done", "archived"], "failed": "broken"},
	"messages": {"pending": ["queued", "accepted"], "sent": ["gone", "on its way"], "delivered": "arrived", "read": ["seen", "opened"],
		"failed": ["bounced", "refused"], "no_interaction": ["silent"], "ignored": "inbound"},
	"message_types": {"message_1": ["invitation", "invitation_fr"], "message_2": "brochure"},
	"interactions": {"reply": ["text", "button"], "reaction": "like"}}');

-- The words of a source, and what they stand for.  "inbound" is no message to
-- the rules, and "seen" no interaction.
CREATE TABLE word (source name, kind text, label text, word text);
INSERT INTO word SELECT 'standard', kind, label, label
FROM (VALUES ('campaigns', '{sending,completed,failed}'::text[]), ('messages', '{pending,sent,delivered,read,failed,no_interaction}'),
	('message_types', '{message_1,message_2,inbound}'), ('interactions', '{reply,reaction}')) AS v (kind, labels), unnest(labels) AS label;
INSERT INTO word SELECT source, g.key, l.key, w.word
FROM campaign_source, jsonb_each(labels) AS g, jsonb_each(g.value) AS l,
	jsonb_array_elements_text(CASE jsonb_typeof(l.value) WHEN 'array' THEN l.value ELSE jsonb_build_array(l.value) END) AS w (word)
WHERE source = 'shop';
INSERT INTO word VALUES ('standard', 'interactions', 'seen', 'read'), ('standard', 'interactions', 'seen', 'delivered'), ('shop', 'interactions', 'seen', 'seen');

-- The same as an object that is at hand: {source: {kind: {label: [word, ...]}}}.
SELECT jsonb_object_agg(source, kinds) AS words FROM (
	SELECT source, jsonb_object_agg(kind, labels) AS kinds FROM (
		SELECT source, kind, jsonb_object_agg(label, words) AS labels FROM (
			SELECT source, kind, label, jsonb_agg(word ORDER BY word COLLATE "C") AS words FROM word GROUP BY 1, 2, 3) AS w
		GROUP BY 1, 2) AS w
	GROUP BY 1) AS w \gset

--
-- Drawing
--

CREATE FUNCTION chance(probability float8) RETURNS boolean LANGUAGE sql VOLATILE AS $$ SELECT random() < probability $$;
CREATE FUNCTION any_number(low int, high int) RETURNS int LANGUAGE sql VOLATILE AS $$ SELECT low + floor(random() * (high - low + 1))::int $$;
CREATE FUNCTION pick(choices text[]) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT choices[any_number(1, cardinality(choices))] $$;
SELECT format($f$
	CREATE FUNCTION word(source name, kind text, label text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
	DECLARE
		words CONSTANT jsonb := %L::jsonb -> source::text -> kind -> label;
	BEGIN
		RETURN words ->> any_number(0, jsonb_array_length(words) - 1);
	END $$ $f$, :'words') \gexec
CREATE FUNCTION label(source name, kind text, word text) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT w.label FROM word AS w WHERE w.source = label.source AND w.kind = label.kind AND w.word = label.word
$$;

-- low to high contacts whose Message 1 ends in one of these states.  Under rule
-- "contacts" every Message 1 in flight is answered: its contact has a Message 2
-- that has left "pending".
CREATE FUNCTION random_plan(rule text, states text[], low int DEFAULT 1, high int DEFAULT 8) RETURNS text[] LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	result text[] := '{}';
	state text;
BEGIN
	FOR n IN 1 .. any_number(low, high) LOOP
		state := pick(states);
		IF state = ANY ('{sent,delivered,read}') AND (rule = 'contacts' OR chance(0.3)) THEN
			state := state || '/' || pick('{sent,delivered,read,failed}');
		ELSIF state !~ '/' AND chance(0.1) THEN
			state := '~' || state;
		END IF;
		result := result || state;
	END LOOP;
	RETURN result;
END $$;

-- A plan in another order.
CREATE FUNCTION shuffle(plan text[]) RETURNS text[] LANGUAGE sql VOLATILE AS
	$$ SELECT array_agg(word ORDER BY place) FROM (SELECT word, random() AS place FROM unnest(plan) AS word) AS p $$;

-- The statuses of a plan's messages.
CREATE FUNCTION statuses(plan text[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS
	$$ SELECT array_agg(status) FROM unnest(plan) AS word, string_to_table(ltrim(word, '~'), '/') AS status $$;

--
-- A trial
--

CREATE TYPE trial AS (
	source name, rule text, campaign text, start timestamptz,
	plan text[],		-- what its contacts are to come to
	replies int,		-- replies and reactions that came in
	at timestamptz,		-- of the latest step
	silence interval	-- interaction_timeout in force
);
CREATE TYPE campaign_row AS (status text, completed_at timestamptz, sent_count bigint, success_count bigint, failed_count bigint,
	delivered_count bigint, read_count bigint, no_interaction_count bigint, pending_count bigint, interaction_count bigint);

-- What an application does next: a message comes to a status, or (message null)
-- a contact replies.
CREATE TYPE step AS (at timestamptz, message int, contact int, type text, status text);

-- The callbacks on a message's way from "pending" to its last status.
CREATE FUNCTION way(status text) RETURNS text[] LANGUAGE sql VOLATILE AS $$
	SELECT CASE status
		WHEN 'pending' THEN '{}'
		WHEN 'sent' THEN '{sent}'
		WHEN 'delivered' THEN CASE WHEN chance(0.8) THEN '{sent,delivered}' ELSE '{delivered}' END
		WHEN 'read' THEN CASE WHEN chance(0.6) THEN '{sent,delivered,read}' WHEN chance(0.5) THEN '{sent,read}' ELSE '{read,sent,read}' END
		WHEN 'failed' THEN CASE WHEN chance(0.6) THEN '{failed}' ELSE '{sent,failed}' END
		WHEN 'no_interaction' THEN CASE WHEN chance(0.5) THEN '{sent,no_interaction}' ELSE '{sent,delivered,read,no_interaction}' END
	END::text[]
$$;

-- The history of a plan, in its order.  Each contact's steps are some time, up
-- to the given pace, apart.
CREATE FUNCTION history(start timestamptz, plan text[], pace interval DEFAULT '20 minutes') RETURNS SETOF step LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	steps step[] := '{}';
	states text[];
	at timestamptz;
	status text;
BEGIN
	FOR n IN 1 .. cardinality(plan) LOOP
		states := string_to_array(ltrim(plan[n], '~'), '/');
		at := start;
		FOR m IN 1 .. cardinality(states) LOOP
			-- Message 1 is there from the start; Message 2 comes with a reply, mostly
			IF m > 1 THEN
				at := at + random() * pace;
				IF chance(0.8) THEN
					steps := steps || (at, NULL, n, NULL, pick('{reply,reply,reaction}'))::step;
				END IF;
				at := at + random() * pace;
			END IF;
			steps := steps || (at, 2 * n + m, CASE WHEN plan[n] !~ '^~' THEN n END, 'message_' || m, 'pending')::step;
			FOREACH status IN ARRAY way(states[m]) LOOP
				at := at + random() * pace;
				steps := steps || (at, 2 * n + m, n, 'message_' || m, status)::step;
			END LOOP;
			IF chance(0.1) THEN
				steps := steps || (at + random() * pace, NULL, n, NULL, 'seen')::step;
			END IF;
		END LOOP;
	END LOOP;
	RETURN QUERY SELECT * FROM unnest(steps) AS s ORDER BY s.at, s.message, s.status = 'pending' DESC;
END $$;

-- A new campaign, open, of which it is told for how many contacts it is, or not.
CREATE FUNCTION begin_trial(source name, rule text, plan text[]) RETURNS trial LANGUAGE plpgsql AS $$
DECLARE
	t trial;
	of_source campaign_source := (SELECT s FROM campaign_source AS s WHERE s.source = begin_trial.source);
	recipients int := CASE WHEN chance(0.3) THEN any_number(1, cardinality(plan)) END;
	made_at timestamptz;
BEGIN
	t.source := source;
	t.rule := rule;
	t.plan := plan;
	t.replies := 0;
	t.start := '2025-01-01 00:00Z'::timestamptz + random() * interval '300 days';
	t.at := t.start;
	t.silence := of_source.interaction_timeout;
	made_at := t.start - random() * interval '2 days';
	IF source = 'standard' THEN
		INSERT INTO standard.campaigns (status, total_recipients, created_at, started_at)
		VALUES ('sending', coalesce(recipients, 0), made_at, t.start) RETURNING id INTO t.campaign;
	ELSE
		t.silence := CASE WHEN chance(0.5) THEN random() * interval '40 hours' + interval '1 hour' END;
		INSERT INTO shop.blasts (phase, planned, made_at, launched_at, rule, silence, patience)
		VALUES (word(source, 'campaigns', 'sending'), recipients, made_at, t.start, nullif(rule, of_source.completion_rule), t.silence,
			CASE WHEN chance(0.5) THEN random() * interval '40 hours' + interval '1 hour' END) RETURNING no INTO t.campaign;
		t.silence := coalesce(t.silence, of_source.interaction_timeout);
	END IF;
	PERFORM set_config('proof.plan', plan::text, false), set_config('proof.campaign', t.campaign, false), set_config('proof.looks', '', false);
	RETURN t;
END $$;

-- The application adds a message, or brings it to a status.
CREATE FUNCTION add_message(t trial, n int, contact int, type text, status text, at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF t.source = 'standard' THEN
		INSERT INTO standard.messages (id, campaign_id, contact_id, message_type, status, created_at)
		VALUES (md5(t.campaign || n)::uuid, t.campaign::uuid, md5(contact::text)::uuid, type, status, at);
	ELSE
		INSERT INTO shop.texts (no, blast, phone, kind, state, made_at) VALUES (t.campaign::bigint * 1000 + n, t.campaign::bigint, contact, type, status, at);
	END IF;
END $$;
CREATE FUNCTION set_message(t trial, n int, status text, at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF t.source = 'standard' THEN
		UPDATE standard.messages AS m SET status = set_message.status, sent_at = coalesce(m.sent_at, at) WHERE id = md5(t.campaign || n)::uuid;
	ELSE
		UPDATE shop.texts AS m SET state = set_message.status, gone_at = coalesce(m.gone_at, at) WHERE no = t.campaign::bigint * 1000 + n;
	END IF;
END $$;

-- The application does what the step says.
CREATE FUNCTION take_step(INOUT t trial, s step) LANGUAGE plpgsql AS $$
BEGIN
	t.at := s.at;
	IF s.message IS NOT NULL AND s.status = 'pending' THEN
		PERFORM add_message(t, s.message, s.contact, word(t.source, 'message_types', s.type), word(t.source, 'messages', s.status), s.at);
	ELSIF s.message IS NOT NULL THEN
		PERFORM set_message(t, s.message, word(t.source, 'messages', s.status), CASE WHEN s.status <> 'failed' THEN s.at END);
	ELSIF t.source = 'standard' THEN
		INSERT INTO standard.interactions (campaign_id, contact_id, interaction_type, received_at)
		VALUES (t.campaign::uuid, md5(s.contact::text)::uuid, word(t.source, 'interactions', s.status), s.at);
	ELSE
		INSERT INTO shop.answers (blast, phone, what, at) VALUES (t.campaign::bigint, s.contact, word(t.source, 'interactions', s.status), s.at);
	END IF;
	t.replies := t.replies + (s.message IS NULL AND s.status IN ('reply', 'reaction'))::int;
END $$;

-- A message that came in, which no rule concerns.
CREATE FUNCTION add_inbound(t trial) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM add_message(t, 999, 60, coalesce(word(t.source, 'message_types', 'inbound'), word(t.source, 'message_types', 'message_1')),
		coalesce(word(t.source, 'messages', 'ignored'), pick('{pending,read,failed}')), t.at);
END $$;

-- As the table has it, its status being the standard word for it.
CREATE FUNCTION campaign_of(t trial) RETURNS campaign_row LANGUAGE plpgsql AS $$
DECLARE
	c campaign_row;
BEGIN
	IF t.source = 'standard' THEN
		SELECT status, completed_at, sent_count, success_count, failed_count, delivered_count, read_count, no_interaction_count, pending_count, interaction_count
		INTO c FROM standard.campaigns WHERE id = t.campaign::uuid;
	ELSE
		SELECT phase, done_at, n_gone, NULL::bigint, n_failed, n_arrived, n_seen, n_silent, n_queued, n_answers
		INTO c FROM shop.blasts WHERE no = t.campaign::bigint;
	END IF;
	c.status := label(t.source, 'campaigns', c.status);
	RETURN c;
END $$;
CREATE FUNCTION status_of(t trial) RETURNS text LANGUAGE sql AS $$ SELECT (campaign_of(t)).status $$;

-- Its messages, in standard words; "ignored" and "inbound" are none.
CREATE FUNCTION messages_of(t trial) RETURNS TABLE (contact text, type text, status text, created_at timestamptz, sent_at timestamptz) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	IF t.source = 'standard' THEN
		RETURN QUERY SELECT m.contact_id::text, message_type, status, created_at, sent_at FROM standard.messages AS m
			WHERE campaign_id = t.campaign::uuid AND message_type <> 'inbound' ORDER BY id;
	ELSE
		RETURN QUERY SELECT phone, label(t.source, 'message_types', kind), label(t.source, 'messages', state), made_at, gone_at FROM shop.texts
			WHERE blast = t.campaign::bigint AND state <> 'inbound' ORDER BY no;
	END IF;
END $$;
CREATE FUNCTION pending_of(t trial) RETURNS bigint LANGUAGE sql AS
	$$ SELECT count(*) FROM messages_of(t) WHERE status = 'pending' $$;

-- Has the campaign looked at as of a moment, by a call or a sweep; returns by which.
CREATE FUNCTION look(t trial, how text, as_of timestamptz) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	CASE how
		WHEN 'status' THEN PERFORM campaign_update_status(t.campaign, t.source, as_of);
		WHEN 'sending' THEN PERFORM campaign_check_sending(t.source, as_of);
		WHEN 'interrupted' THEN PERFORM campaign_recover_interrupted(t.source, as_of);
		WHEN 'expired' THEN PERFORM campaign_check_expired_interactions(t.source, as_of);
		WHEN 'timeout' THEN PERFORM campaign_check_timeout(t.source, as_of);
	END CASE;
	PERFORM set_config('proof.looks', concat_ws(', ', nullif(current_setting('proof.looks'), ''), how || ' at ' || as_of), false);
	RETURN how;
END $$;

-- Lives through the plan.  While a message is pending the campaign is looked at
-- now and then (by default), and must stay open: if it does not, that is what is wrong.
CREATE FUNCTION live(INOUT t trial, OUT wrong text, looks float8 DEFAULT 0.06) LANGUAGE plpgsql AS $$
DECLARE
	s step;
	how text;
BEGIN
	FOR s IN SELECT * FROM history(t.start, t.plan) LOOP
		t := take_step(t, s);
		IF wrong IS NULL AND chance(looks) AND pending_of(t) > 0 THEN
			how := look(t, pick('{status,sending,interrupted}'), t.at);
			IF status_of(t) <> 'sending' THEN
				wrong := format('%s by "%s" while %s messages are pending', status_of(t), how, pending_of(t));
			END IF;
		END IF;
	END LOOP;
	IF chance(0.3) THEN
		PERFORM add_inbound(t);
	END IF;
END $$;

-- A plan's campaign, having lived through it.
CREATE FUNCTION lived(source name, rule text, plan text[], OUT t trial, OUT wrong text) LANGUAGE plpgsql AS $$
DECLARE
	l record;
BEGIN
	SELECT * INTO l FROM live(begin_trial(source, rule, plan));
	t := l.t;
	wrong := l.wrong;
END $$;

-- The verdict on it, in some way, some time later, is this status; else what is wrong.
CREATE FUNCTION comes_to(t trial, status text, ways text[] DEFAULT '{status,sending,interrupted}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	how text := look(t, pick(ways), t.at + random() * interval '1 hour');
BEGIN
	IF status_of(t) IS DISTINCT FROM status THEN
		RETURN format('%s by "%s", expected %s', status_of(t), how, status);
	END IF;
	RETURN NULL;
END $$;

--
-- The running of properties
--

CREATE FUNCTION describe(property text, rule text, source name, n int, wrong text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	t trial;
	c text;
	m record;
BEGIN
	t.source := source;
	t.campaign := current_setting('proof.campaign');
	RETURN NEXT diag(format('seed %s, %s, rule %s, source %s, case %s: %s', current_setting('proof.seed'), property, rule, source, n, wrong));
	RETURN NEXT diag('plan: ' || array_to_string(current_setting('proof.plan')::text[], ' '));
	RETURN NEXT diag('looked at: ' || current_setting('proof.looks'));
	RETURN NEXT diag('campaign: ' || row_to_json(campaign_of(t))::text);
	FOR m IN SELECT row_to_json(r)::text AS row FROM messages_of(t) AS r LOOP
		RETURN NEXT diag('message: ' || m.row);
	END LOOP;
END $$;

-- A campaign is gone, with what the extension remembers of it: a sweep of a moment
-- before its closing would take it for one that settles.
CREATE PROCEDURE forget(source name, campaign text) LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM campaign_state AS s WHERE s.source = forget.source AND s.campaign_id = campaign;
	DELETE FROM campaign_event AS e WHERE e.source = forget.source AND e.campaign_id = campaign;
	IF source = 'standard' THEN
		DELETE FROM standard.campaigns WHERE id = campaign::uuid;
	ELSE
		DELETE FROM shop.texts WHERE blast = campaign::bigint;
		DELETE FROM shop.answers WHERE blast = campaign::bigint;
		DELETE FROM shop.blasts WHERE no = campaign::bigint;
	END IF;
END $$;

CREATE TABLE tap (n serial, line text);

-- Tries a property on both sources, each case in a transaction of its own, and
-- leaves the outcome in tap.  Of the cases that fail, that with the shortest plan
-- is shown.
CREATE PROCEDURE holds(property text, rule text DEFAULT 'contacts', cases int DEFAULT 100) LANGUAGE plpgsql AS $$
DECLARE
	source name;
	wrong text;
	failures int;
	shown text[];
	shortest int;
BEGIN
	FOREACH source IN ARRAY '{standard,shop}'::name[] LOOP
		failures := 0;
		shortest := NULL;
		PERFORM setseed(hashtextextended(concat_ws(' ', property, rule, source), current_setting('proof.seed')::bigint) / 2.0 ^ 63);
		-- a campaign of the shop's may have a rule of its own
		PERFORM campaign_alter(source, 'completion_rule', CASE WHEN source = 'shop' AND chance(0.5) THEN
			CASE rule WHEN 'contacts' THEN 'messages' ELSE 'contacts' END ELSE rule END);
		PERFORM campaign_alter(source, 'interaction_timeout', any_number(1, 72) || ' hours');
		PERFORM campaign_alter(source, 'campaign_timeout', any_number(24, 96) || ' hours');
		FOR n IN 1 .. cases LOOP
			PERFORM setseed(hashtextextended(concat_ws(' ', property, rule, source, n), current_setting('proof.seed')::bigint) / 2.0 ^ 63);
			BEGIN
				EXECUTE format('SELECT %I($1, $2)', property) INTO wrong USING source, rule;
			EXCEPTION WHEN OTHERS THEN
				wrong := SQLSTATE || ' ' || SQLERRM;
			END;
			IF wrong IS NOT NULL THEN
				failures := failures + 1;
				IF shortest IS NULL OR cardinality(current_setting('proof.plan')::text[]) < shortest THEN
					shortest := cardinality(current_setting('proof.plan')::text[]);
					shown := ARRAY(SELECT describe(property, rule, source, n, wrong));
				END IF;
			END IF;
			CALL forget(source, current_setting('proof.campaign'));
			COMMIT;
		END LOOP;
		INSERT INTO tap (line) VALUES (ok(failures = 0, format('%s, rule %s, source %s: %s cases, seed %s', property, rule, source, cases, current_setting('proof.seed'))));
		IF failures > 0 THEN
			INSERT INTO tap (line) SELECT unnest(diag(format('%s of %s cases fail; the shortest:', failures, cases)) || shown);
		END IF;
	END LOOP;
END $$;

-- What is in tap now.
CREATE FUNCTION tap() RETURNS SETOF text LANGUAGE sql AS $$
	WITH t AS (DELETE FROM tap RETURNING *) SELECT line FROM t ORDER BY n
$$;

-- Each property begins without the rows that those before it have left behind.
CREATE TABLE vacuum (statement text);
INSERT INTO vacuum SELECT 'VACUUM ' || string_agg(format('%I.%I', schemaname, relname), ', ') FROM pg_stat_user_tables;
