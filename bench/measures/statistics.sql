--
-- Follows what the statistics of campaigns say of messages that fail.
--

CREATE TABLE bench.change (schema name, campaign uuid, failures bigint, made_at timestamptz, seen_at timestamptz);

-- Lets one more message of a campaign fail, and writes down how many there are.
CREATE PROCEDURE bench.fail_one(schema name, number bigint) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO %I.messages (campaign_id, status) VALUES (bench.id(''campaign'', $1), ''failed'')', schema)
	USING number;
	EXECUTE format('INSERT INTO bench.change SELECT $1, m.campaign_id, count(*), clock_timestamp()
		FROM %I.messages AS m WHERE m.campaign_id = bench.id(''campaign'', $2) AND m.status = ''failed'' GROUP BY 2', schema)
	USING schema, number;
	COMMIT;
END
$$;

-- Writes down which of them have been counted.
CREATE PROCEDURE bench.look(schema name) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('UPDATE bench.change AS h SET seen_at = clock_timestamp() FROM %I.campaigns AS c
		WHERE h.schema = $1 AND h.seen_at IS NULL AND c.id = h.campaign AND c.failed_count >= h.failures', schema)
	USING schema;
	COMMIT;
END
$$;

-- For so many seconds: a message fails every half second in one small campaign after
-- another, and in the large one whenever the last has been counted.
CREATE PROCEDURE bench.follow(seconds integer) LANGUAGE plpgsql AS $$
DECLARE
	began CONSTANT timestamptz := clock_timestamp();
	campaigns CONSTANT bigint := (SELECT count(*) FROM small.campaigns);
BEGIN
	FOR round IN 0 .. 2 * seconds LOOP
		EXIT WHEN clock_timestamp() > began + make_interval(secs => seconds);
		-- what is made at the end would not be seen
		IF clock_timestamp() < began + make_interval(secs => seconds - 12) THEN
			CALL bench.fail_one('small', 1 + round % campaigns);
		END IF;
		IF NOT EXISTS (SELECT FROM bench.change WHERE schema = 'large' AND seen_at IS NULL) THEN
			CALL bench.fail_one('large', 1);
		END IF;
		FOR i IN 1 .. 5 LOOP
			CALL bench.look('small');
			CALL bench.look('large');
			PERFORM pg_sleep(0.1);
		END LOOP;
	END LOOP;
END
$$;
