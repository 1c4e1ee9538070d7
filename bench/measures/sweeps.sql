--
-- Times sweeps and, next to them, what a lookup costs at the least.
--

-- Rounds of one forced sweep over each of the sources, by turns.  The first
-- few make the witnesses known, and are not counted.  A minute must do, but for
-- three rounds at least.
CREATE PROCEDURE bench.time_sweeps(sources name[], rounds integer, warming integer DEFAULT 3)
LANGUAGE plpgsql AS $$
DECLARE
	source name;
	began CONSTANT timestamptz := clock_timestamp();
	started timestamptz;
	seconds float8[] := '{}';
	names name[] := '{}';
	numbers integer[] := '{}';
BEGIN
	FOR round IN 1 - warming .. rounds LOOP
		EXIT WHEN round > 3 AND clock_timestamp() > began + interval '1 minute';
		FOREACH source IN ARRAY sources LOOP
			started := clock_timestamp();
			CALL campaign_run_sweeps(source, force => true);
			CONTINUE WHEN round < 1;
			names := names || source;
			numbers := numbers || round;
			seconds := seconds || extract(epoch FROM clock_timestamp() - started)::float8;
		END LOOP;
	END LOOP;
	FOREACH source IN ARRAY sources LOOP
		CALL bench.check_sweep(source);
	END LOOP;
	INSERT INTO bench.sample SELECT 'sweep ' || s.name, s.round, s.seconds FROM unnest(names, numbers, seconds) AS s (name, round, seconds);
END
$$;

-- A sweep that skipped campaigns has cost little, and says nothing.
CREATE PROCEDURE bench.check_sweep(source name)
LANGUAGE plpgsql AS $$
DECLARE
	run campaign_sweep_run;
	campaigns bigint;
	open_campaigns bigint;
	failure text;
BEGIN
	EXECUTE format('SELECT count(*), count(*) FILTER (WHERE status = ''sending'') FROM %I.campaigns', source) INTO campaigns, open_campaigns;
	SELECT * INTO STRICT run FROM campaign_sweep_run AS r WHERE r.source = check_sweep.source AND sweep = 'sending' ORDER BY id DESC LIMIT 1;
	SELECT format('%s failed: %s', campaign_id, reason) INTO failure
	FROM campaign_event AS e WHERE e.source = check_sweep.source AND event = 'error' ORDER BY id DESC LIMIT 1;
	IF failure IS NOT NULL OR open_campaigns <> campaigns OR run.campaigns_checked <> campaigns OR run.campaigns_skipped <> 0 THEN
		RAISE EXCEPTION 'the sweep over "%" judged % of % campaigns, skipped %, left % open%', source,
			run.campaigns_checked, campaigns, run.campaigns_skipped, open_campaigns, coalesce('; ' || failure, '');
	END IF;
END
$$;

-- A primary-key lookup through SPI for one message of each campaign of a source.
CREATE PROCEDURE bench.time_lookups(schema name, campaigns bigint, contacts bigint, rounds integer)
LANGUAGE plpgsql AS $$
DECLARE
	ids CONSTANT uuid[] := ARRAY(SELECT bench.id('message', (c - 1) * contacts + 1) FROM generate_series(1, campaigns) AS c ORDER BY bench.id('campaign', c));
	key uuid;
	found_status text;
	started timestamptz;
BEGIN
	PERFORM set_config('search_path', format('%I, public', schema), true);
	FOR round IN 0 .. rounds LOOP
		started := clock_timestamp();
		FOREACH key IN ARRAY ids LOOP
			SELECT m.status INTO STRICT found_status FROM messages AS m WHERE m.id = key;
		END LOOP;
		CONTINUE WHEN round < 1;
		INSERT INTO bench.sample VALUES ('lookups ' || schema, round, extract(epoch FROM clock_timestamp() - started));
	END LOOP;
END
$$;

-- What was measured here; bench/run carries it to the results.
CREATE TABLE bench.sample (name text, round integer, value float8);
