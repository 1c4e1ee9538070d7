-- What the audit and the plan of the application that this extension comes from
-- ask of the closing of campaigns, under their own names, and one thing that we
-- add; see doc/requirements.md.  Those that take an unanswered Message 1 for final
-- hold so under rule "messages"; under rule "contacts" they hold of campaigns of
-- which every Message 1 in flight is answered.
\set ECHO none
\ir include/campaigns.sql

SELECT no_plan();

--
-- The audit's ten
--

CREATE FUNCTION test_all_final_states_results_in_completed(source name, rule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	c := lived(source, rule, shuffle(random_plan(rule, '{sent,delivered,read,failed,no_interaction}', 0)
		|| random_plan(rule, '{sent,delivered,read,no_interaction}', 1, 1)));
	RETURN coalesce(c.wrong, comes_to(c.t, 'completed'));
END $$;

CREATE FUNCTION test_pending_messages_prevent_completion(source name, rule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	c := lived(source, rule, shuffle(random_plan(rule, '{sent,delivered,read,failed,no_interaction}', 0)
		|| random_plan(rule, '{pending,sent/pending,delivered/pending,read/pending}', 1, 3)));
	RETURN coalesce(c.wrong, comes_to(c.t, 'sending', '{status,sending,interrupted,expired}'));
END $$;

CREATE FUNCTION test_all_failed_results_in_failed_status(source name, rule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	c := lived(source, rule, random_plan(rule, '{failed}'));
	RETURN coalesce(c.wrong, comes_to(c.t, 'failed'));
END $$;

-- Whether the application has marked them, or the sweep does.
CREATE FUNCTION test_no_interaction_is_final_state(source name, rule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c record;
	silent text[] := CASE WHEN chance(0.5) THEN '{no_interaction}' ELSE '{sent,delivered,read}' END;
BEGIN
	c := lived(source, rule, shuffle(random_plan('messages', '{no_interaction,failed}', 0) || ARRAY[pick(silent), pick(silent), pick(silent)]));
	IF silent = '{no_interaction}' THEN
		RETURN coalesce(c.wrong, comes_to(c.t, 'completed'));
	END IF;
	PERFORM look(c.t, 'expired', (c.t).at + (c.t).silence + interval '1 second');
	IF (SELECT count(*) FROM messages_of(c.t) AS m WHERE m.status NOT IN ('no_interaction', 'failed')) > 0 THEN
		RETURN coalesce(c.wrong, 'the sweep has not marked every silent contact');
	END IF;
	IF status_of(c.t) <> 'completed' THEN
		RETURN coalesce(c.wrong, status_of(c.t) || ' when all silent contacts were marked');
	END IF;
	RETURN c.wrong;
END $$;

CREATE FUNCTION test_mixed_final_states_results_in_completed(source name, rule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	c := lived(source, rule, shuffle(random_plan(rule, '{sent,delivered,read}', 1, 3) || random_plan(rule, '{failed}', 1, 3)
		|| random_plan(rule, '{no_interaction}', 1, 3)));
	RETURN coalesce(c.wrong, comes_to(c.t, 'completed'));
END $$;

-- What the rules ask the columns to hold of messages in these statuses; null if they do.
CREATE FUNCTION wrong_statistics(c campaign_row, statuses text[], replies int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	expected campaign_row;
BEGIN
	SELECT c.status, c.completed_at, count(*) FILTER (WHERE s IN ('sent', 'delivered', 'read')), count(*) FILTER (WHERE s IN ('sent', 'delivered', 'read')),
		count(*) FILTER (WHERE s IN ('failed', 'no_interaction')), count(*) FILTER (WHERE s = 'delivered'), count(*) FILTER (WHERE s = 'read'),
		count(*) FILTER (WHERE s = 'no_interaction'), count(*) FILTER (WHERE s = 'pending'), replies
	INTO expected FROM unnest(statuses) AS s;
	-- the shop has no such column
	c.success_count := coalesce(c.success_count, expected.success_count);
	IF c IS DISTINCT FROM expected THEN
		RETURN format('statistics %s, expected %s', c, expected);
	END IF;
	RETURN NULL;
END $$;

-- As the campaign is left by its history, and again after late callbacks.
CREATE FUNCTION test_statistics_correctly_calculated(source name, rule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c record;
	r campaign_result;
	wrong text;
	n int;
BEGIN
	c := lived(source, rule, random_plan('messages', '{pending,sent,delivered,read,failed,no_interaction,read/pending,sent/failed}'));
	PERFORM look(c.t, pick('{status,sending}'), (c.t).at);
	wrong := wrong_statistics(campaign_of(c.t), statuses((c.t).plan), (c.t).replies);
	n := any_number(1, cardinality((c.t).plan));
	PERFORM take_step(c.t, ((c.t).at, 2 * n + 1, n, 'message_1', pick('{sent,delivered,read,failed,no_interaction}'))::step);
	r := campaign_update_status((c.t).campaign, source, (c.t).at + random() * interval '20 hours');
	RETURN coalesce(c.wrong, wrong,
		wrong_statistics(campaign_of(c.t), ARRAY(SELECT m.status FROM messages_of(c.t) AS m), (c.t).replies),
		wrong_statistics((label(source, 'campaigns', r.status), r.completed_at, r.sent_count, r.success_count, r.total_failed, r.delivered_count, r.read_count,
			r.no_interaction_count, r.pending_count, r.interaction_count)::campaign_row,
			ARRAY(SELECT m.status FROM messages_of(c.t) AS m), (c.t).replies),
		CASE WHEN r.failed_count <> r.total_failed - r.no_interaction_count THEN 'failed_count is not of failed messages alone' END,
		CASE WHEN r.contacts <> cardinality((c.t).plan) THEN format('%s contacts', r.contacts) END);
END $$;

CREATE FUNCTION test_statistics_sum_equals_total_messages(source name, rule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c record;
	r campaign_row;
BEGIN
	c := lived(source, rule, random_plan('messages', '{pending,sent,delivered,read,failed,no_interaction,read/pending,sent/failed}'));
	PERFORM look(c.t, pick('{status,sending}'), (c.t).at);
	r := campaign_of(c.t);
	RETURN coalesce(c.wrong, CASE WHEN r.sent_count + r.failed_count + r.pending_count <> cardinality(statuses((c.t).plan))
		THEN format('%s sent, %s failed, %s pending of %s messages', r.sent_count, r.failed_count, r.pending_count, cardinality(statuses((c.t).plan))) END);
END $$;

-- Looked at after every step.
CREATE FUNCTION test_status_remains_sending_while_pending_exists(source name, rule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	states text[] := '{sent,delivered,read,failed,no_interaction}';
BEGIN
	RETURN wrong FROM live(begin_trial(source, rule, shuffle(random_plan(rule, states, 1, 3)
		|| CASE WHEN chance(0.5) THEN random_plan(rule, states || '{pending,read/pending}', 1, 2) END)), 1);
END $$;

CREATE FUNCTION test_status_transitions_to_completed_when_all_done(source name, rule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c record;
	r campaign_result;
	wrong text;
BEGIN
	c := lived(source, rule, shuffle(random_plan(rule, '{sent,delivered,read,failed,no_interaction}', 0)
		|| random_plan(rule, '{sent,delivered,read,no_interaction}', 1, 1)));
	IF status_of(c.t) <> 'sending' THEN
		RETURN coalesce(c.wrong, status_of(c.t) || ' before it was judged');
	END IF;
	IF chance(0.5) THEN
		r := campaign_update_status((c.t).campaign, source, (c.t).at);
		IF label(source, 'campaigns', r.previous_status) <> 'sending' OR label(source, 'campaigns', r.status) <> 'completed' OR NOT r.changed THEN
			wrong := format('the call says %s', r);
		END IF;
	ELSE
		PERFORM look(c.t, pick('{sending,interrupted}'), (c.t).at);
	END IF;
	IF (SELECT count(*) FROM campaign_event AS e WHERE e.source = (c.t).source AND e.campaign_id = (c.t).campaign AND e.event = 'closed'
		AND label(e.source, 'campaigns', e.status_from) = 'sending' AND label(e.source, 'campaigns', e.status_to) = 'completed') <> 1 THEN
		wrong := coalesce(wrong, 'there is not one event of its closing');
	END IF;
	RETURN coalesce(c.wrong, wrong, CASE WHEN status_of(c.t) <> 'completed' THEN status_of(c.t) || ' when all was done' END);
END $$;

CREATE FUNCTION test_interrupted_campaign_with_no_pending_is_completed(source name, rule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	c := lived(source, rule, shuffle(random_plan(rule, '{sent,delivered,read,failed,no_interaction}', 0)
		|| random_plan(rule, '{sent,delivered,read,no_interaction}', 1, 1)));
	PERFORM look(c.t, 'interrupted', (c.t).at + random() * interval '1 hour');
	RETURN coalesce(c.wrong, CASE WHEN status_of(c.t) <> 'completed' THEN status_of(c.t) || ' after the interrupted sweep' END);
END $$;

--
-- The plan's three
--

-- No contact's cycle is unfinished, and nothing else keeps it open: closed; with
-- one contact who is not, open.
CREATE FUNCTION property_1_completion_when_all_contacts_finished(source name, rule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	plan text[] := random_plan(rule, '{sent,delivered,read,failed,no_interaction}', 0);
	n int := any_number(0, cardinality(plan));
	unfinished text := pick('{sent,delivered,read}');
	c record;
	wrong text;
BEGIN
	plan := plan[1 : n] || unfinished || plan[n + 1 :];
	c := lived(source, rule, plan);
	wrong := coalesce(c.wrong, comes_to(c.t, 'sending'));
	-- contact n + 1 finishes
	PERFORM take_step(c.t, ((c.t).at + interval '1 hour', 2 * (n + 1) + 1, n + 1, 'message_1', 'no_interaction')::step);
	RETURN coalesce(wrong, comes_to(c.t, 'completed'));
END $$;

-- One pending message, of either type, is enough; when it has left, it is closed.
CREATE FUNCTION property_2_pending_messages_prevent_completion(source name, rule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	plan text[] := random_plan(rule, '{sent,delivered,read,failed,no_interaction}', 0);
	n int := any_number(0, cardinality(plan));
	pending text := pick('{pending,sent/pending,delivered/pending,read/pending}');
	c record;
	wrong text;
BEGIN
	plan := plan[1 : n] || pending || plan[n + 1 :];
	c := lived(source, rule, plan);
	wrong := coalesce(c.wrong, comes_to(c.t, 'sending', '{status,sending,interrupted,expired}'));
	PERFORM take_step(c.t, ((c.t).at + interval '1 hour', 2 * (n + 1) + CASE pending WHEN 'pending' THEN 1 ELSE 2 END, n + 1, NULL, 'no_interaction')::step);
	-- all that the sweep did not mark has ended, and what it did has too
	RETURN coalesce(wrong, comes_to(c.t, 'completed'));
END $$;

-- Null while it is open, the moment of the verdict when it closes, whatever it is
-- closed as, and not moved by anything that looks at it later.
CREATE FUNCTION property_3_completed_timestamp_set_on_completion(source name, rule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c record;
	closed_at timestamptz;
	later timestamptz;
BEGIN
	c := lived(source, rule, random_plan(rule, '{sent,delivered,read,failed,no_interaction}'));
	IF (campaign_of(c.t)).completed_at IS NOT NULL THEN
		RETURN 'completed_at is set while it is open';
	END IF;
	closed_at := (c.t).at + random() * interval '1 hour';
	later := closed_at;
	PERFORM look(c.t, pick('{status,sending,interrupted}'), closed_at);
	IF status_of(c.t) NOT IN ('completed', 'failed') OR (campaign_of(c.t)).completed_at IS DISTINCT FROM closed_at THEN
		RETURN coalesce(c.wrong, format('%s with completed_at %s, expected %s', status_of(c.t), (campaign_of(c.t)).completed_at, closed_at));
	END IF;
	FOR i IN 1 .. 3 LOOP
		later := later + random() * interval '30 hours';
		PERFORM look(c.t, pick('{status,sending,interrupted,expired,timeout}'), later);
		IF (campaign_of(c.t)).completed_at IS DISTINCT FROM closed_at THEN
			RETURN format('completed_at was moved from %s to %s', closed_at, (campaign_of(c.t)).completed_at);
		END IF;
	END LOOP;
	RETURN c.wrong;
END $$;

--
-- Ours: whatever happens in whatever order, a campaign that rule "contacts" closes
-- (not the 48 hours) leaves nobody who may still reply.
--

CREATE TABLE closings (source name, n bigint);

CREATE FUNCTION unfinished(t trial) RETURNS text LANGUAGE sql AS $$
	WITH m AS (SELECT coalesce(contact, 'nobody ' || row_number() OVER ()) AS contact, contact IS NULL AS nobody, type, status FROM messages_of(t))
	SELECT 'closed with unfinished contact ' || min(contact) FROM (
		SELECT contact FROM m GROUP BY contact
		HAVING NOT bool_or(type = 'message_2' AND status IN ('sent', 'delivered', 'read', 'failed') OR status IN ('no_interaction', 'failed'))
			OR bool_or(status = 'pending')
			OR bool_or(type = 'message_1' AND status IN ('sent', 'delivered', 'read'))
				AND NOT bool_or(type = 'message_2' AND status IN ('sent', 'delivered', 'read', 'failed', 'no_interaction'))) AS u
	HAVING count(*) > 0
$$;

CREATE FUNCTION closed_by_contacts_leaves_no_contact_unfinished(source name, rule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	t trial;
	s step;
	pace interval := random() * interval '12 hours';
	as_of timestamptz;
	closings bigint := 0;
	events bigint;
	reason text;
	wrong text;
BEGIN
	t := begin_trial(source, rule, random_plan('messages', '{sent,delivered,read,failed,no_interaction,sent/sent,read/read,read/failed,delivered/delivered}', 1, 6));
	FOR s IN SELECT * FROM history(t.start, t.plan, pace)
		UNION ALL SELECT t.start + pace * 10 + t.silence * n / 2, NULL, 60, NULL, 'seen' FROM generate_series(1, 4) AS n
	LOOP
		t := take_step(t, s);
		CONTINUE WHEN s.contact <> 60 AND chance(0.6);
		as_of := t.at + random() * pace;
		SELECT count(*) INTO events FROM campaign_event AS e WHERE e.source = t.source AND e.campaign_id = t.campaign AND e.event = 'closed';
		PERFORM look(t, pick(CASE WHEN chance(0.01) THEN '{timeout}' ELSE '{status,sending,interrupted,expired,expired,expired}' END::text[]), as_of);
		SELECT e.reason INTO reason FROM campaign_event AS e
		WHERE e.source = t.source AND e.campaign_id = t.campaign AND e.event = 'closed' ORDER BY e.id OFFSET events;
		IF reason = $r$every contact's cycle has ended$r$ THEN
			closings := closings + 1;
			wrong := coalesce(wrong, unfinished(t));
		END IF;
	END LOOP;
	INSERT INTO closings VALUES (source, closings);
	RETURN wrong;
END $$;

--
-- Now
--

SELECT format('CALL holds(%L, %L)', property, rule), 'SELECT tap()', vacuum.statement
FROM unnest('{test_all_final_states_results_in_completed,test_pending_messages_prevent_completion,test_all_failed_results_in_failed_status,
	test_no_interaction_is_final_state,test_mixed_final_states_results_in_completed,test_statistics_correctly_calculated,
	test_statistics_sum_equals_total_messages,test_status_remains_sending_while_pending_exists,test_status_transitions_to_completed_when_all_done,
	test_interrupted_campaign_with_no_pending_is_completed}'::text[]) WITH ORDINALITY AS p (property, n), unnest('{messages,contacts}'::text[]) AS rule, vacuum
ORDER BY n, rule DESC \gexec

SELECT format('CALL holds(%L)', property), 'SELECT tap()', vacuum.statement
FROM unnest('{property_1_completion_when_all_contacts_finished,property_2_pending_messages_prevent_completion,
	property_3_completed_timestamp_set_on_completion}'::text[]) WITH ORDINALITY AS p (property, n), vacuum ORDER BY n \gexec

CALL holds('closed_by_contacts_leaves_no_contact_unfinished', cases => 150);
SELECT tap();
SELECT cmp_ok(count(*) FILTER (WHERE n > 0), '>=', 100::bigint, source || ': at least 100 of these campaigns were closed by rule contacts')
FROM closings GROUP BY source ORDER BY source;

SELECT * FROM finish();

-- with their hints
SELECT campaign_detach(source) FROM campaign_source;
