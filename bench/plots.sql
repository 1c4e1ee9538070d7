--
-- What a picture shows, for gnuplot: for each contender of a contest a block that
-- begins with its name and its colour.
--	cost	size, median, least, greatest
--	share	value, and the percentage of all values that are no greater
--
\pset tuples_only on
\pset format unaligned
SELECT format(E'"%s" %s\n%s\n\n', label, (SELECT colour FROM contender AS c WHERE c.label = point.label), string_agg(line, E'\n' ORDER BY x, line))
FROM (
	SELECT place, label, size::float8 AS x, concat_ws(' ', size, value, low, high) AS line
	FROM result WHERE contest = :'contest'
	UNION ALL
	SELECT c.position, c.label, s.value, concat_ws(' ', s.value, 100 * cume_dist() OVER (PARTITION BY c.name ORDER BY s.value))
	FROM contest AS k
		JOIN sample AS s ON s.measure = k.measure AND split_part(s.name, ' ', 1) = k.name
		JOIN contender AS c ON c.name = split_part(s.name, ' ', 3)
	WHERE k.name = :'contest' AND k.kind = 'share'
) AS point
GROUP BY place, label ORDER BY place;
