--
-- here(NULL::campaigns) has the rows of campaigns, on the coordinator: what a query
-- does with them is done there too, and not on the worker nodes.
--
CREATE FUNCTION here(anyelement) RETURNS SETOF anyelement LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT * FROM %s', pg_typeof($1));
END $$;
