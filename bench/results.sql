--
-- Where the figures of a run are kept, in a database of their own, and how they
-- are judged.
--

-- Rounds are numbered so that what was measured side by side is compared side
-- by side.
CREATE TABLE sample (measure text, name text, round integer, value float8, PRIMARY KEY (measure, name, round));

-- A criterion is about a percentile, over the rounds, of one sample or of the
-- ratio of two.  No bound: it is only shown.
CREATE TABLE criterion (
	position integer GENERATED ALWAYS AS IDENTITY,
	measure text,
	label text,
	name text,
	per text,
	percentile float8,
	comparison text CHECK (comparison IN ('<', '<=', '>=')),
	bound float8,
	unit text
);

CREATE FUNCTION digits(value float8) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN value IS NULL THEN '-'
		ELSE round(value::numeric, greatest(0, least(6, 2 - floor(log(greatest(abs(value), 1e-6)::numeric))::integer)))::text END
$$;

-- A contest shows the contenders side by side: the samples named
-- "CONTEST SIZE CONTENDER".  What they cost by size, or ("share") which percentage
-- of the values is no greater than which.
CREATE TABLE contest (
	position integer GENERATED ALWAYS AS IDENTITY,
	measure text,
	name text,
	kind text CHECK (kind IN ('cost', 'share')),
	title text,
	sizes text,
	unit text
);

CREATE TABLE contender (position integer, name text PRIMARY KEY, label text, colour text);
INSERT INTO contender VALUES
	(1, 'task_queue', 'task queue', '#d55e00'),
	(2, 'plpgsql', 'PL/pgSQL loop', '#e69f00'),
	(3, 'set_based', 'set-based SQL', '#0072b2'),
	(4, 'per_campaign', 'one UPDATE a campaign', '#cc79a7'),
	(5, 'recount', 'campaign_update_status()', '#56b4e9'),
	(6, 'extension', 'the extension', '#009e73'),
	(7, 'by_id', 'the floor', '#999999');

-- Ratios are those of rounds that were measured side by side.
CREATE VIEW result AS
WITH sampled AS (
	SELECT k.position, k.measure, k.name AS contest, split_part(s.name, ' ', 2)::bigint AS size, c.position AS place, c.name, c.label, k.unit, s.round, s.value
	FROM contest AS k
		JOIN sample AS s ON s.measure = k.measure AND split_part(s.name, ' ', 1) = k.name
		JOIN contender AS c ON c.name = split_part(s.name, ' ', 3)
	WHERE k.kind = 'cost'
)
SELECT s.position, s.measure, s.contest, s.size, s.place, s.name, s.label, s.unit, count(*) AS rounds,
	percentile_cont(0.5) WITHIN GROUP (ORDER BY s.value) AS value, min(s.value) AS low, max(s.value) AS high,
	percentile_cont(0.5) WITHIN GROUP (ORDER BY s.value / nullif(f.value, 0)) AS to_floor,
	percentile_cont(0.5) WITHIN GROUP (ORDER BY s.value / nullif(e.value, 0)) AS to_extension
FROM sampled AS s
	LEFT JOIN sampled AS f ON f.position = s.position AND f.size = s.size AND f.round = s.round AND f.name = 'by_id'
	LEFT JOIN sampled AS e ON e.position = s.position AND e.size = s.size AND e.round = s.round AND e.name = 'extension'
GROUP BY s.position, s.measure, s.contest, s.size, s.place, s.name, s.label, s.unit;

CREATE VIEW shown_result AS
SELECT r.position, r.measure, r.contest, r.place, r.size AS "number", to_char(r.size, 'FM999,999,999') AS size, r.label, r.rounds,
	digits(r.value) || r.unit || CASE WHEN r.rounds > 1 THEN format(' (%s-%s)', digits(r.low), digits(r.high)) ELSE '' END AS shown,
	coalesce(digits(r.to_floor), '') AS to_floor, coalesce(digits(r.to_extension), '') AS to_extension
FROM result AS r;

CREATE VIEW verdict AS
SELECT c.position, c.measure, c.label, v.value, v.low, v.high, v.rounds,
	digits(v.value) || c.unit
		|| CASE WHEN c.percentile = 0.5 AND v.rounds > 1 THEN format(' (%s-%s)', digits(v.low), digits(v.high)) ELSE '' END AS shown,
	coalesce(c.comparison || ' ' || c.bound || c.unit, '') AS "limit",
	CASE WHEN c.bound IS NULL THEN ''
		WHEN v.value IS NULL THEN 'NOT MEASURED'
		WHEN CASE c.comparison WHEN '<' THEN v.value < c.bound WHEN '<=' THEN v.value <= c.bound ELSE v.value >= c.bound END THEN 'ok'
		ELSE 'MISSED' END AS ok
FROM criterion AS c, LATERAL (
	SELECT percentile_cont(c.percentile) WITHIN GROUP (ORDER BY s.value / coalesce(p.value, 1)) AS value,
		min(s.value / coalesce(p.value, 1)) AS low, max(s.value / coalesce(p.value, 1)) AS high, count(*) AS rounds
	FROM sample AS s LEFT JOIN sample AS p ON p.measure = s.measure AND p.name = c.per AND p.round = s.round
	WHERE s.measure = c.measure AND s.name = c.name AND (c.per IS NULL OR p.value <> 0)
) AS v;
