-- A Message 2 is followed by a check within 10 seconds.
--
-- The one property that needs the clock, and so the worker: nothing but hints may
-- have it judge a campaign here, as every sweep is off.  The campaigns live through
-- random histories, all in flight together; each of their last Message 2 is sent
-- in a transaction of its own, and late callbacks go on after it, which must not
-- postpone the check.  No campaign is looked at by anybody else.
--
-- Everything that is drawn follows from the seed, whoever is faster: the
-- histories, the order in which they end, and the late callbacks, of which there
-- are as many rounds as there is time for.  The first test prints a hash of the
-- others, which is the same each time.
\set ECHO none
\ir include/campaigns.sql

SELECT no_plan();

-- What was drawn, in its order; but for late callbacks.
CREATE TABLE drawn (number serial, what text);

CREATE TABLE ended (
	number serial, source name, campaign text, plan text[], finished boolean,
	at timestamptz,		-- when the last Message 2 was committed, at the latest
	message int, t trial
);

-- From here on is drawn what belongs to this.
CREATE FUNCTION draw_for(what text) RETURNS void LANGUAGE sql VOLATILE AS $$
	SELECT setseed(hashtextextended('after Message 2 ' || what, current_setting('proof.seed')::bigint) / 2.0 ^ 63)
$$;

-- Half of the campaigns have one contact more, who may still reply.
CREATE PROCEDURE start_trials(cases int) LANGUAGE plpgsql AS $$
DECLARE
	source name;
	t trial;
	plan text[];
	s step;
	n int;
	finished boolean;
BEGIN
	FOREACH source IN ARRAY '{standard,shop}'::name[] LOOP
		FOR i IN 1 .. cases LOOP
			PERFORM draw_for(concat_ws(' ', source, i));
			finished := i <= cases / 2;
			plan := random_plan('contacts', '{sent,delivered,read,failed,no_interaction}', 0, 6) || CASE WHEN NOT finished THEN ARRAY[pick('{sent,delivered,read}')] END
				|| (pick('{sent,delivered,read}') || '/pending');
			n := cardinality(plan);
			t := begin_trial(source, 'contacts', plan);
			FOR s IN SELECT * FROM history(t.start, plan) LOOP
				t := take_step(t, s);
				INSERT INTO drawn (what) VALUES (s::text);
			END LOOP;
			INSERT INTO ended (source, campaign, plan, finished, message, t) VALUES (source, t.campaign, plan, finished, 2 * n + 2, t);
			COMMIT;
		END LOOP;
	END LOOP;
END $$;

-- Each campaign's last Message 2 leaves "pending".
CREATE PROCEDURE end_trials() LANGUAGE plpgsql AS $$
DECLARE
	e ended;
	status text;
BEGIN
	FOR e IN SELECT * FROM ended ORDER BY hashtextextended(number::text, current_setting('proof.seed')::bigint), number LOOP
		PERFORM draw_for('end of ' || e.number);
		status := word(e.source, 'messages', pick('{sent,delivered,read,failed}'));
		PERFORM set_message(e.t, e.message, status, clock_timestamp());
		INSERT INTO drawn (what) VALUES (concat_ws(' ', e.number, status));
		COMMIT;
		UPDATE ended SET at = clock_timestamp() WHERE source = e.source AND campaign = e.campaign;
		COMMIT;
	END LOOP;
END $$;

-- Until all are closed that should be, or those that are not are late beyond doubt.
CREATE PROCEDURE wait() LANGUAGE plpgsql AS $$
DECLARE
	e ended;
	round int := 0;
BEGIN
	WHILE (SELECT bool_or(finished AND status_of(t) = 'sending') AND max(at) > clock_timestamp() - interval '15 seconds' FROM ended) LOOP
		round := round + 1;
		PERFORM draw_for('round ' || round);
		FOR e IN SELECT * FROM ended ORDER BY number LOOP
			CONTINUE WHEN NOT chance(0.1);
			PERFORM set_message(e.t, e.message, word(e.source, 'messages', pick('{sent,delivered,read,failed}')), clock_timestamp());
			COMMIT;
		END LOOP;
		PERFORM pg_sleep(0.1);
		COMMIT;
	END LOOP;
END $$;

SELECT FROM campaign_source, unnest('{expired,timeout,sending,interrupted}'::text[]) AS sweep, campaign_alter(source, sweep || '_every', NULL);
-- These histories hint at nothing: only what ends them does.
SET session_replication_role = replica;
CALL start_trials(200);
SET session_replication_role = origin;
ALTER SYSTEM SET campaign_autoclose.enabled = on;
SELECT FROM pg_reload_conf();
CALL end_trials();
CALL wait();

SELECT ok(count(*) = 200 AND bool_and(status_of(t) IN ('completed', 'failed') AND (campaign_of(t)).completed_at - at < interval '10 seconds'),
	format('a_message_2_is_followed_by_a_check_within_10_seconds: %s cases, %s closed, at the latest after %s, seed %s, drawn %s', count(*),
		count(*) FILTER (WHERE status_of(t) <> 'sending'), max((campaign_of(t)).completed_at - at), current_setting('proof.seed'),
		(SELECT md5(string_agg(what, ',' ORDER BY number)) FROM drawn)))
FROM ended WHERE finished;
SELECT diag(format('%s %s: %s, Message 2 at %s, completed_at %s, plan %s', source, campaign, status_of(t), at, (campaign_of(t)).completed_at, plan))
FROM ended WHERE finished AND (status_of(t) = 'sending' OR (campaign_of(t)).completed_at - at >= interval '10 seconds') LIMIT 5;
SELECT ok(bool_and(status_of(t) = 'sending'), format('... which leaves open the %s campaigns that have one more contact who may still reply', count(*)))
FROM ended WHERE NOT finished;

SELECT * FROM finish();
ALTER SYSTEM RESET campaign_autoclose.enabled;
SELECT FROM pg_reload_conf();
SELECT campaign_detach(source) FROM campaign_source;
