--
-- What bench/scaling has measured, as lines for doc/scaling.md: the views "price"
-- and "workers".
--

-- Seconds of one round, and of ordinary tables next to it.
CREATE TABLE sample (nodes int, shards int, measure text, plain float8, seconds float8);
-- What is done in them: messages marked, or campaigns.
CREATE TABLE workload (measure text PRIMARY KEY, n int);
-- Bytes of a message: of WAL, and on disk.
CREATE TABLE life (wal float8, disk float8);

-- No nodes: ordinary tables.
CREATE VIEW spread AS
SELECT nodes, shards, measure, percentile_cont('{0.5,0,1}'::float8[]) WITHIN GROUP (ORDER BY n / seconds) AS rates,
	percentile_cont('{0.5,0,1}'::float8[]) WITHIN GROUP (ORDER BY seconds / plain) AS ratios
FROM (SELECT nodes, shards, measure, seconds, plain FROM sample
	UNION ALL SELECT 0, 0, measure, plain, plain FROM sample) AS s
	JOIN workload USING (measure)
GROUP BY 1, 2, 3;

CREATE FUNCTION shown(figure numeric) RETURNS text LANGUAGE sql AS $$
	SELECT trim(to_char(figure, CASE WHEN figure < 9.995 THEN '0.00' WHEN figure < 99.95 THEN '90.0' ELSE '999,999,999,999' END))
$$;

CREATE FUNCTION shown(figures float8[]) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s (%s-%s)', shown(figures[1]::numeric), shown(figures[2]::numeric), shown(figures[3]::numeric))
$$;

CREATE VIEW price AS
WITH line AS (
	SELECT nodes, shards, format('| %s | %s |',
			CASE nodes WHEN 0 THEN 'ordinary' WHEN 1 THEN format('1 worker node, %s shards', shards)
				ELSE format('%s worker nodes, %s shards', nodes, shards) END, string_agg(shown(rates), ' | ' ORDER BY place)) AS rates,
		format('| %s | %s |',
			CASE nodes WHEN 1 THEN format('1 worker node, %s shards', shards)
				ELSE format('%s worker nodes, %s shards', nodes, shards) END, string_agg(shown(ratios), ' | ' ORDER BY place)) AS ratios
	FROM spread JOIN unnest('{marking,judging,closing,counting,expired,interrupted}'::text[]) WITH ORDINALITY AS m (measure, place) USING (measure)
	GROUP BY nodes, shards)
SELECT unnest('{"","| in a second | marking | judging | closing | counting | expired | interrupted |","|---|---|---|---|---|---|---|"}'::text[])
UNION ALL (SELECT rates FROM line ORDER BY nodes, shards)
UNION ALL SELECT unnest('{"","| time, that of ordinary tables being 1 | marking | judging | closing | counting | expired | interrupted |","|---|---|---|---|---|---|---|"}'::text[])
UNION ALL (SELECT ratios FROM line WHERE nodes > 0 ORDER BY nodes, shards);

-- A million campaigns a day, of a thousand contacts of whom nine in ten stay silent,
-- and a million open at a time: what is to be done in a second, as every source is
-- set by default, and with each sweep once an hour and settle_for of an hour.
CREATE VIEW work AS
SELECT *, by_default / one AS default_workers, hourly / one AS hourly_workers
FROM (VALUES
	(1, 'marking the silent', 900e6 / 86400, 900e6 / 86400, 'marking'),
	(2, 'closing campaigns', 1e6 / 86400, 1e6 / 86400, 'closing'),
	(3, '`sending`: is each open campaign kept open still?', 1e6 / 120, 1e6 / 3600, 'judging'),
	(4, '`sending`: counting each that closed within `settle_for`', 1e6 / 120, 1e6 / 24 / 3600, 'counting'),
	(5, '`expired`: is anybody''s time up, in each open campaign?', 1e6 / 3600, 1e6 / 3600, 'expired'),
	(6, '`interrupted`: is each open campaign stalled?', 1e6 / 300, 1e6 / 3600, 'interrupted')) AS w (place, what, by_default, hourly, measure)
	JOIN (SELECT measure, rates[1]::numeric AS one FROM spread WHERE (nodes, shards) = (2, 32)) AS s USING (measure);

-- As many sources, each with a worker, as leave room for twice the average.  A tenth
-- of a worker's time goes into counting open campaigns.
CREATE VIEW advice AS
SELECT 2 * ceil(sum(hourly_workers)) AS sources, 1e6 / (2 * ceil(sum(hourly_workers)) * 0.1 * max(one) FILTER (WHERE measure = 'counting')) / 3600 AS hours
FROM work;

CREATE VIEW workers AS
SELECT unnest('{"| what | a second, by default | a second, hourly | one worker does, in 32 shards on 2 nodes | workers, by default | workers, hourly |","|---|---|---|---|---|---|"}'::text[])
UNION ALL
(SELECT format('| %s | %s | %s | %s (*%s*) | %s | %s |', what, shown(by_default), shown(hourly), shown(one), measure, shown(default_workers), shown(hourly_workers))
FROM work ORDER BY place)
UNION ALL
SELECT format('| all of it | | | | %s | %s |', shown(sum(default_workers)), shown(sum(hourly_workers))) FROM work
UNION ALL
SELECT format(E'\nFor peaks of twice that it takes %s sources, with a worker each, and the statistics of each open campaign are\nthen counted every %s hours.', sources, shown(hours)) FROM advice
UNION ALL
SELECT format(E'\nA message that is inserted, sent, delivered and read leaves %s bytes of WAL, and takes %s on disk\nwith its indexes (25 characters of text, ordinary tables). A billion of them: %s GB of WAL and %s GB of disk.',
	shown(wal::numeric), shown(disk::numeric), shown(wal::numeric), shown(disk::numeric)) FROM life;
