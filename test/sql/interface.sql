-- The extension's objects, as other programs see them: what there is, how
-- functions are declared, what is dumped, what the standard tables look like.
SET client_min_messages = error;
CREATE SCHEMA "Closer";
CREATE EXTENSION campaign_autoclose SCHEMA "Closer";
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
SET search_path = "Closer";

-- the extension's functions, with the names and defaults of their arguments
SELECT p.oid::regprocedure::text COLLATE "C", pg_get_function_arguments(p.oid), p.prorettype::regtype,
	CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END,
	CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END,
	CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END
FROM pg_proc AS p WHERE p.pronamespace = '"Closer"'::regnamespace ORDER BY 1;
-- none is a back door: SECURITY DEFINER, a setting of its own, leakproof, strict (which would swallow a NULL campaign)
SELECT p.oid::regprocedure FROM pg_proc AS p WHERE p.pronamespace = '"Closer"'::regnamespace
AND (p.prosecdef OR p.proconfig IS NOT NULL OR p.proleakproof OR p.proisstrict);
-- arguments after the first have names and defaults
SELECT p.oid::regprocedure FROM pg_proc AS p WHERE p.pronamespace = '"Closer"'::regnamespace
AND p.pronargs > 0 AND (p.proargnames IS NULL OR '' = ANY (p.proargnames[1:p.pronargs])
	OR p.pronargs - p.pronargdefaults > 1 AND p.proname NOT IN ('campaign_alter', 'campaign_attach', 'campaign_close', 'campaign_reopen'));
-- volatile functions act, so no parallel worker may call them
SELECT p.oid::regprocedure FROM pg_proc AS p WHERE p.pronamespace = '"Closer"'::regnamespace
AND p.provolatile = 'v' AND p.proparallel = 's';

-- every object that people see has a comment
SELECT pg_describe_object(d.classid, d.objid, 0) COLLATE "C"
FROM pg_depend AS d JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
WHERE e.extname = 'campaign_autoclose'
AND (d.classid = 'pg_proc'::regclass OR d.classid = 'pg_class'::regclass
	AND (SELECT relkind IN ('r', 'v') FROM pg_class WHERE oid = d.objid)
	OR d.classid = 'pg_type'::regclass AND (SELECT typtype = 'c' AND relkind = 'c' FROM pg_type AS t JOIN pg_class AS c ON c.oid = t.typrelid WHERE t.oid = d.objid))
AND obj_description(d.objid, CASE d.classid WHEN 'pg_proc'::regclass THEN 'pg_proc' WHEN 'pg_class'::regclass THEN 'pg_class' ELSE 'pg_type' END) IS NULL
ORDER BY 1;
-- every column of campaign_source too
SELECT attname FROM pg_attribute WHERE attrelid = 'campaign_source'::regclass AND attnum > 0 AND NOT attisdropped
AND col_description(attrelid, attnum) IS NULL ORDER BY attnum;

-- everything is in the schema that CREATE EXTENSION named
SELECT pg_describe_object(d.classid, d.objid, 0)
FROM pg_depend AS d JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
WHERE e.extname = 'campaign_autoclose'
AND (pg_identify_object(d.classid, d.objid, 0)).schema IS DISTINCT FROM '"Closer"'
AND (pg_identify_object(d.classid, d.objid, 0)).schema IS DISTINCT FROM 'Closer'
ORDER BY 1;
SELECT extrelocatable FROM pg_extension WHERE extname = 'campaign_autoclose';

-- tables, and which of them are dumped, in whole
SELECT relname, CASE WHEN relrowsecurity THEN 'row security' END,
	CASE WHEN c.oid = ANY (extconfig) THEN 'dumped' END,
	(SELECT condition FROM unnest(extconfig, extcondition) AS x (rel, condition) WHERE rel = c.oid) AS condition
FROM pg_class AS c, pg_extension AS e
WHERE e.extname = 'campaign_autoclose' AND c.relnamespace = '"Closer"'::regnamespace AND c.relkind = 'r' ORDER BY 1;
SELECT cardinality(extconfig) FROM pg_extension WHERE extname = 'campaign_autoclose';
-- PUBLIC may read them, and nothing more
SELECT relname, grantee::regrole, string_agg(privilege_type, ', ' ORDER BY privilege_type)
FROM pg_class AS c, aclexplode(c.relacl) AS a
WHERE c.relnamespace = '"Closer"'::regnamespace AND c.relkind IN ('r', 'v') AND a.grantee = 0 GROUP BY 1, 2 ORDER BY 1;

-- results
SELECT t.typname, string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
FROM pg_type AS t JOIN pg_attribute AS a ON a.attrelid = t.typrelid AND a.attnum > 0
WHERE t.typname IN ('campaign_result', 'campaign_sweep_result') GROUP BY 1 ORDER BY 1;
SELECT attname, format_type(atttypid, atttypmod), pg_get_expr(adbin, adrelid)
FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE attrelid = 'campaign_source'::regclass AND attnum > 0 ORDER BY attnum;
SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
FROM pg_attribute WHERE attrelid = 'campaign_event'::regclass AND attnum > 0;

--
-- The standard tables
--

CREATE SCHEMA shop;
SELECT (campaign_create_tables('shop')).source;
SET search_path = shop;
\pset tuples_only off
\d campaigns
\d contacts
\d messages
\d interactions
\pset tuples_only on
SELECT relname, reloptions FROM pg_class WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r' ORDER BY 1;
-- no index on messages mentions a status: status updates are heap-only
SELECT i.indexrelid::regclass FROM pg_index AS i
WHERE i.indrelid = 'messages'::regclass AND pg_get_indexdef(i.indexrelid) LIKE '%status%';
INSERT INTO campaigns (id) VALUES ('00000000-0000-0000-0000-000000000001');
INSERT INTO messages (campaign_id) SELECT id FROM campaigns;
BEGIN;
UPDATE messages SET status = 'sent', sent_at = now();
UPDATE messages SET status = 'delivered', delivered_at = now();
UPDATE messages SET status = 'read', read_at = now();
SELECT pg_stat_get_xact_tuples_updated('messages'::regclass), pg_stat_get_xact_tuples_hot_updated('messages'::regclass);
COMMIT;
-- they are the application's: DROP EXTENSION leaves them
SELECT count(*) FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND objid IN ('campaigns'::regclass, 'messages'::regclass);
SET client_min_messages = error;
DROP EXTENSION campaign_autoclose;
RESET client_min_messages;
SELECT count(*) FROM messages;
SELECT relname FROM pg_class WHERE relnamespace = '"Closer"'::regnamespace;
