-- A Message 2 is followed by a check within 10 seconds.
--
-- The one property that needs the clock, and so the worker: nothing but hints may
-- have it judge a campaign here, as every sweep is off.  The campaigns live through
-- random histories, all in flight together; each of their last Message 2 is sent
-- in a transaction of its own, and late callbacks go on after it, which must not
-- postpone the check.  No campaign is looked at by anybody else.
\set ECHO none
\ir include/campaigns.sql

SELECT no_plan();

CREATE TABLE ended (
	source name, campaign text, plan text[], finished boolean,
	at timestamptz,		-- when the last Message 2 was committed, at the latest
	message int, t trial
);

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
			PERFORM setseed(hashtextextended(concat_ws(' ', 'after Message 2', source, i), current_setting('proof.seed')::bigint) / 2.0 ^ 63);
			finished := i <= cases / 2;
			plan := random_plan('contacts', '{sent,delivered,read,failed,no_interaction}', 0, 6) || CASE WHEN NOT finished THEN ARRAY[pick('{sent,delivered,read}')] END
				|| (pick('{sent,delivered,read}') || '/pending');
			n := cardinality(plan);
			t := begin_trial(source, 'contacts', plan);
			FOR s IN SELECT * FROM history(t.start, plan) LOOP
				t := take_step(t, s);
			END LOOP;
			INSERT INTO ended VALUES (source, t.campaign, plan, finished, NULL, 2 * n + 2, t);
			COMMIT;
		END LOOP;
	END LOOP;
END $$;

-- Each campaign's last Message 2 leaves "pending".
CREATE PROCEDURE end_trials() LANGUAGE plpgsql AS $$
DECLARE
	e ended;
BEGIN
	FOR e IN SELECT * FROM ended ORDER BY md5(campaign) LOOP
		PERFORM set_message(e.t, e.message, word(e.source, 'messages', pick('{sent,delivered,read,failed}')), clock_timestamp());
		COMMIT;
		UPDATE ended SET at = clock_timestamp() WHERE source = e.source AND campaign = e.campaign;
		COMMIT;
	END LOOP;
END $$;

-- Until all are closed that should be, or those that are not are late beyond doubt.
CREATE PROCEDURE wait() LANGUAGE plpgsql AS $$
DECLARE
	e ended;
BEGIN
	WHILE (SELECT bool_or(finished AND status_of(t) = 'sending') AND max(at) > clock_timestamp() - interval '15 seconds' FROM ended) LOOP
		FOR e IN SELECT * FROM ended WHERE chance(0.1) LOOP
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
CALL start_trials(100);
SET session_replication_role = origin;
ALTER SYSTEM SET campaign_autoclose.enabled = on;
SELECT FROM pg_reload_conf();
CALL end_trials();
CALL wait();

SELECT ok(count(*) = 100 AND bool_and(status_of(t) IN ('completed', 'failed') AND (campaign_of(t)).completed_at - at < interval '10 seconds'),
	format('a_message_2_is_followed_by_a_check_within_10_seconds: %s cases, %s closed, at the latest after %s, seed %s', count(*),
		count(*) FILTER (WHERE status_of(t) <> 'sending'), max((campaign_of(t)).completed_at - at), current_setting('proof.seed')))
FROM ended WHERE finished;
SELECT diag(format('%s %s: %s, Message 2 at %s, completed_at %s, plan %s', source, campaign, status_of(t), at, (campaign_of(t)).completed_at, plan))
FROM ended WHERE finished AND (status_of(t) = 'sending' OR (campaign_of(t)).completed_at - at >= interval '10 seconds') LIMIT 5;
SELECT ok(bool_and(status_of(t) = 'sending'), format('... which leaves open the %s campaigns that have one more contact who may still reply', count(*)))
FROM ended WHERE NOT finished;

SELECT * FROM finish();
ALTER SYSTEM RESET campaign_autoclose.enabled;
SELECT FROM pg_reload_conf();
SELECT campaign_detach(source) FROM campaign_source;
