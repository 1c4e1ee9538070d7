--
-- Runs the contenders of bench/peers that live in the database, and compares what
-- they leave.
--

-- What was measured here; the script of the measure carries it to the results.
CREATE TABLE IF NOT EXISTS bench.sample (name text, round integer, value float8);

-- A closer's task; nothing comes before the CALL, or its COMMITs would fail.
CREATE PROCEDURE bench.run(contender text, task text) LANGUAGE plpgsql AS $$
BEGIN
	CASE contender || '.' || task
		WHEN 'plpgsql.expired' THEN CALL plpgsql.expired();
		WHEN 'plpgsql.sending' THEN CALL plpgsql.sending();
		WHEN 'set_based.expired' THEN CALL set_based.expired();
		WHEN 'set_based.sending' THEN CALL set_based.sending();
		WHEN 'extension.expired' THEN CALL extension.expired();
		WHEN 'extension.sending' THEN CALL extension.sending();
		WHEN 'per_campaign.expired' THEN CALL per_campaign.expired();
		WHEN 'by_id.expired' THEN CALL by_id.expired();
		WHEN 'by_id.sending' THEN CALL by_id.sending();
		WHEN 'by_id.closing' THEN CALL by_id.closing();
		WHEN 'recount.sending' THEN CALL extension.recount();
	END CASE;
	COMMIT;
END
$$;

-- Samples how long a task takes that finds nothing to close, as "NAME CONTENDER",
-- after one run that is not counted; for no longer than so many seconds, but three
-- times at least.
CREATE PROCEDURE bench.time_task(contender text, task text, name text, rounds integer, seconds float8 DEFAULT 10)
LANGUAGE plpgsql AS $$
DECLARE
	began timestamptz;
	started timestamptz;
	took float8[] := '{}';
BEGIN
	FOR round IN 0 .. rounds LOOP
		EXIT WHEN round > 3 AND clock_timestamp() > began + make_interval(secs => seconds);
		started := clock_timestamp();
		began := coalesce(began, started);
		CALL bench.run(contender, task);
		CONTINUE WHEN round = 0;
		took := took || extract(epoch FROM clock_timestamp() - started)::float8;
	END LOOP;
	INSERT INTO bench.sample SELECT time_task.name || ' ' || contender, t.round, t.value FROM unnest(took) WITH ORDINALITY AS t (value, round);
END
$$;

-- Reads everything into memory, so that no contender finds it colder.
CREATE PROCEDURE bench.warm() LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true);
	PERFORM count(content) FROM messages WHERE id >= '00000000-0000-0000-0000-000000000000';
	PERFORM count(content) FROM messages WHERE campaign_id >= '00000000-0000-0000-0000-000000000000';
	PERFORM count(content) FROM interactions WHERE campaign_id >= '00000000-0000-0000-0000-000000000000';
END
$$;

-- The same for every contender, or they have not done the same.  Not compared:
-- when something was done.
CREATE FUNCTION bench.checksum() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT concat_ws(' ', m.rows, m.sum, c.rows, c.sum, c.closed)
		FROM (SELECT count(*) AS rows, sum(hashtextextended(concat_ws('|', id, status, error_message), 0)::numeric) AS sum
				FROM messages) AS m,
			(SELECT count(*) AS rows, count(*) FILTER (WHERE status <> 'sending' AND completed_at IS NOT NULL) AS closed,
					sum(hashtextextended(concat_ws('|', id, status, completed_at IS NULL, sent_count, success_count, failed_count,
						delivered_count, read_count, no_interaction_count, pending_count, interaction_count), 0)::numeric) AS sum
				FROM campaigns) AS c);
END
$$;
