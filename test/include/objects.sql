-- What an extension consists of: one row a property of each of its objects, in
-- words, without OIDs, so that two installations can be compared.  The order of
-- columns counts, the gaps that dropped ones leave do not.
-- :extension is its name.
WITH member AS (
	SELECT d.classid, d.objid, (pg_identify_object(d.classid, d.objid, 0)).identity AS name
	FROM pg_depend AS d
		JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
	WHERE e.extname = :'extension' AND d.deptype = 'e'
), relation AS (
	SELECT c.*, m.name FROM member AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
), property (name, property, value) AS (
	SELECT name, 'is', (pg_identify_object(classid, objid, 0)).type FROM member
	UNION ALL
	SELECT name, 'comment', obj_description(objid, classid::regclass::text::name) FROM member
	UNION ALL
	SELECT m.name, 'function', concat_ws(' ', pg_get_functiondef(p.oid), p.prosrc, p.probin, p.proacl)
	FROM member AS m JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
	UNION ALL
	SELECT name, 'relation', concat_ws(' ', relkind, relpersistence, reloptions, relacl, relrowsecurity, relforcerowsecurity, relreplident)
	FROM relation
	UNION ALL
	SELECT name, 'view', pg_get_viewdef(oid) FROM relation WHERE relkind = 'v'
	UNION ALL
	SELECT r.name, 'column ' || row_number() OVER (PARTITION BY r.oid ORDER BY a.attnum),
		concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attacl,
			nullif(a.attcollation, 0)::regcollation, pg_get_expr(d.adbin, d.adrelid), col_description(r.oid, a.attnum))
	FROM relation AS r JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
		LEFT JOIN pg_attrdef AS d ON d.adrelid = r.oid AND d.adnum = a.attnum
	UNION ALL
	SELECT r.name, 'constraint ' || c.conname, pg_get_constraintdef(c.oid) || coalesce(obj_description(c.oid, 'pg_constraint'), '')
	FROM relation AS r JOIN pg_constraint AS c ON c.conrelid = r.oid
	UNION ALL
	SELECT r.name, 'index', pg_get_indexdef(i.indexrelid) || coalesce(obj_description(i.indexrelid, 'pg_class'), '')
	FROM relation AS r JOIN pg_index AS i ON i.indrelid = r.oid
	UNION ALL
	SELECT r.name, 'trigger', concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled)
	FROM relation AS r JOIN pg_trigger AS t ON t.tgrelid = r.oid AND NOT t.tgisinternal
	UNION ALL
	SELECT r.name, 'policy ' || p.polname, concat_ws(' ', p.polcmd, p.polpermissive, p.polroles::regrole[],
			pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
	FROM relation AS r JOIN pg_policy AS p ON p.polrelid = r.oid
	UNION ALL
	SELECT r.name, 'dumped', condition
	FROM relation AS r, pg_extension AS e, unnest(e.extconfig, e.extcondition) AS dumped (oid, condition)
	WHERE e.extname = :'extension' AND dumped.oid = r.oid
	UNION ALL
	SELECT extname, 'extension', concat_ws(' ', extversion, extrelocatable, extnamespace::regnamespace)
	FROM pg_extension WHERE extname = :'extension'
)
SELECT line FROM (SELECT name || ': ' || property || ': ' || coalesce(value, '') AS line FROM property) AS described
ORDER BY line COLLATE "C";
