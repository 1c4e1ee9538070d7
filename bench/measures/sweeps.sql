--
-- Times sweeps and, next to them, what a lookup costs at the least.
--

-- Looks up one message of each campaign of a source by its primary key, through SPI;
-- returns how many seconds that took.
CREATE FUNCTION bench.look_up(source name, ids uuid[]) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	key uuid;
	found_status text;
	started timestamptz;
BEGIN
	PERFORM set_config('search_path', format('%I, public', source), true);
	started := clock_timestamp();
	FOREACH key IN ARRAY ids LOOP
		SELECT m.status INTO STRICT found_status FROM messages AS m WHERE m.id = key;
	END LOOP;
	RETURN extract(epoch FROM clock_timestamp() - started);
END
$$;

-- Rounds of one forced sweep over each of the sources, by turns; each followed, where
-- it is told how many contacts a campaign of that source has, by as many lookups as there
-- are campaigns.  The first few make the witnesses known, and are not counted.  A minute
-- must do, but for three rounds at least.
CREATE PROCEDURE bench.time_sweeps(sources name[], rounds integer, contacts bigint[], warming integer DEFAULT 3)
LANGUAGE plpgsql AS $$
DECLARE
	n integer;
	began CONSTANT timestamptz := clock_timestamp();
	started timestamptz;
	swept float8[] := '{}';
	looked_up float8[] := '{}';
	names name[] := '{}';
	numbers integer[] := '{}';
	ids uuid[];
BEGIN
	FOR round IN 1 - warming .. rounds LOOP
		EXIT WHEN round > 3 AND clock_timestamp() > began + interval '1 minute';
		FOR n IN 1 .. cardinality(sources) LOOP
			EXECUTE format('SELECT ARRAY(SELECT bench.id(''message'', (c - 1) * $1 + 1)
				FROM generate_series(1, (SELECT count(*) FROM %I.campaigns)) AS c WHERE $1 IS NOT NULL ORDER BY bench.id(''campaign'', c))', sources[n])
			INTO ids USING contacts[n];
			started := clock_timestamp();
			CALL campaign_run_sweeps(sources[n], force => true);
			IF round >= 1 THEN
				names := names || sources[n];
				numbers := numbers || round;
				swept := swept || extract(epoch FROM clock_timestamp() - started)::float8;
			END IF;
			IF round >= 0 THEN	-- the first are not counted
				looked_up := looked_up || CASE WHEN contacts[n] IS NOT NULL THEN bench.look_up(sources[n], ids) END;
			END IF;
		END LOOP;
	END LOOP;
	FOR n IN 1 .. cardinality(sources) LOOP
		CALL bench.check_sweep(sources[n]);
	END LOOP;
	looked_up := looked_up[cardinality(sources) + 1 :];
	INSERT INTO bench.sample
	SELECT kind || s.name, s.round, s.seconds
	FROM unnest(ARRAY['sweep ', 'lookups ']) AS kind,
		LATERAL unnest(names, numbers, CASE kind WHEN 'sweep ' THEN swept ELSE looked_up END) AS s (name, round, seconds)
	WHERE s.seconds IS NOT NULL;
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

-- What was measured here; bench/run carries it to the results.
CREATE TABLE bench.sample (name text, round integer, value float8);
