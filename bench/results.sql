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
