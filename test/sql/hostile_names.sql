-- Names and words that mean to be SQL: of a role, schema, table, column, source,
-- enum, status, message, function, and in JSON.  They are taken for what they
-- are, in what is executed and in the SQL that is proposed as a remedy.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
SET timezone = 'UTC';
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on

CREATE TABLE bystander (id int);
CREATE TABLE payload (n int PRIMARY KEY, text text, source name GENERATED ALWAYS AS (left(text, 60)) STORED);
INSERT INTO payload (n, text) VALUES
	(1, $$'; DROP TABLE public.bystander; --$$), (2, $$"; DROP TABLE public.bystander; --$$), (3, $$\'; DROP TABLE public.bystander; --$$),
	(4, E'\n; DROP TABLE public.bystander; --'), (5, $$*/ DROP TABLE public.bystander; /*$$), (6, '$$; DROP TABLE public.bystander; --$$'),
	(7, $$') OR true OR ('' = '$$), (8, '@messages@ @m.id@ @$1@ @=@ @'), (9, '%s%n%1$s %'), (10, '$1 $2 :x'), (11, 'a."b".c, pg_temp'), (12, $${"a": ["b\"}]$$),
	(13, E'\\'), (14, E'\u00e9\u202e\U0001F4A3'), (15, E'\u0001\t\r');

-- The tables of a source in which every name is the payload, as far as names
-- may be the same; what is in them; the source.
CREATE PROCEDURE attach(payload text, name text) LANGUAGE plpgsql AS $$
DECLARE
	names text[] = ARRAY(SELECT left(name, 58) || n FROM generate_series(1, 6) AS n);
	words text[] = ARRAY(SELECT left(payload, 58) || n FROM generate_series(1, 8) AS n);
BEGIN
	EXECUTE format('CREATE ROLE %I NOSUPERUSER', name);
	EXECUTE format('CREATE SCHEMA %I AUTHORIZATION %1$I', name);
	EXECUTE format('SET LOCAL ROLE %I', name);
	PERFORM set_config('search_path', quote_ident(name) || ', public', true);
	EXECUTE format('CREATE TYPE %I AS ENUM (%L, %L, %L)', names[5], words[1], words[2], words[3]);
	EXECUTE format('CREATE TABLE %I (%I bigint PRIMARY KEY, %I %I, %I timestamp, %I timestamp, %I int)', names[1], names[1], names[2], names[5], names[3], names[4], names[6]);
	EXECUTE format('CREATE TABLE %I (%I bigint PRIMARY KEY, %I bigint, %I text, %I text, %I text, %I timestamp)', names[2], names[1], names[2], names[3], names[4], names[5], names[6]);
	EXECUTE format('CREATE TABLE %I (at timestamptz DEFAULT now(), event jsonb)', names[3]);
	EXECUTE format('CREATE FUNCTION %I(event jsonb) RETURNS void LANGUAGE sql AS %L', names[6], format('INSERT INTO %I (event) VALUES ($1)', names[3]));
	EXECUTE format('INSERT INTO %I VALUES (1, %L, %L), (2, %2$L, %3$L), (3, %2$L, %3$L)', names[1], words[1], '2024-01-01');
	EXECUTE format('INSERT INTO %I VALUES (1, 1, %L, %L, NULL, %L), (2, 2, %2$L, %5$L, NULL, NULL), (3, 3, %2$L, %5$L, NULL, NULL)', names[2], payload, words[6], '2024-01-01', words[4]);
	PERFORM campaign_attach(name, quote_ident(names[1])::regclass, quote_ident(names[2])::regclass,
		columns => jsonb_build_object(
			'campaigns', jsonb_build_object('id', names[1], 'status', names[2], 'created_at', names[3], 'completed_at', names[4], 'sent_count', names[6]),
			'messages', jsonb_build_object('id', names[1], 'campaign_id', names[2], 'contact_id', names[3], 'status', names[4], 'error_message', names[5], 'sent_at', names[6])),
		labels => jsonb_build_object(
			'campaigns', jsonb_build_object('sending', words[1], 'completed', words[2], 'failed', jsonb_build_array(words[3], words[4])),
			'messages', jsonb_build_object('pending', words[4], 'failed', words[5], 'sent', jsonb_build_array(words[6], words[7]), 'no_interaction', words[8])));
	PERFORM campaign_alter(name, 'time_zone', 'Europe/Paris');
	PERFORM campaign_alter(name, 'on_event', quote_ident(name) || '.' || quote_ident(names[6]));
	PERFORM campaign_alter(name, 'interaction_message', payload);
	PERFORM campaign_alter(name, 'timeout_message', payload);
	PERFORM campaign_alter(name, 'mode', 'active');
	RESET ROLE;
END $$;
SET client_min_messages = error;
DO $$
DECLARE
	p payload;
BEGIN
	FOR p IN SELECT * FROM payload ORDER BY n LOOP
		CALL attach(p.text, p.source);
	END LOOP;
END $$;
SELECT count(*) FROM campaign_source WHERE mode = 'active';

-- what looks
SELECT n, (SELECT count(*) FROM campaign_progress(source, '2024-01-04Z')), (SELECT count(*) FROM campaign_overdue(source, '2024-01-04Z')),
	(SELECT count(*) > 0 FROM campaign_preview(source, '2024-01-04Z')), (SELECT count(*) > 9 FROM campaign_explain(1, source, '2024-01-04Z')),
	(SELECT string_agg(contact_id, '') = text FROM campaign_outcomes(1, source, '2024-01-04Z')), (SELECT count(*) > 0 FROM campaign_funnel(1, source)),
	(SELECT count(*) > 0 FROM campaign_health(source)), (SELECT count(*) FROM campaign_shadow_report(source))
FROM payload ORDER BY n;

-- The SQL that is proposed does what it says, and nothing else.
ALTER TABLE payload ADD unfit text;
CREATE PROCEDURE mend(source name) LANGUAGE plpgsql AS $$
DECLARE
	remedy text;
BEGIN
	FOR remedy IN SELECT fix FROM campaign_preflight(source) WHERE fix ~ '^(ALTER|CREATE|DROP|GRANT|SELECT) '
		UNION ALL SELECT fix FROM campaign_health(source) WHERE fix ~ '^(ALTER TABLE|SELECT) ' LOOP
		EXECUTE replace(remedy, ' CONCURRENTLY', '');
	END LOOP;
END $$;
DO $$
DECLARE
	p payload;
	relid regclass;
BEGIN
	FOR p IN SELECT * FROM payload ORDER BY n LOOP
		SELECT messages INTO relid FROM campaign_source AS s WHERE s.source = p.source;
		EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I CHECK (%I <> %L)', relid, p.source, left(p.source, 58) || 4, left(p.text, 58) || 8);
		EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER; REVOKE UPDATE ON %1$s FROM %I', relid, p.source);
		EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY, ENABLE ROW LEVEL SECURITY', relid);
		UPDATE payload SET unfit = (SELECT string_agg(check_name, ', ' ORDER BY check_name) FROM campaign_preflight(p.source) WHERE NOT ok) WHERE n = p.n;
		FOR n IN 1 .. 3 LOOP
			CALL mend(p.source);
		END LOOP;
	END LOOP;
END $$;
SELECT unfit, count(*) FROM payload GROUP BY 1;
SELECT n, (SELECT string_agg(check_name, ', ') FROM campaign_preflight(source) WHERE NOT ok) FROM payload ORDER BY n;

-- what acts
DO $$
BEGIN
	-- each campaign by another way
	PERFORM campaign_check_expired_interactions(source, '2024-01-02 12:00Z') FROM payload;
	PERFORM campaign_close(2, text, source, '2024-01-02 13:00Z') FROM payload;
END $$;
SELECT n, (SELECT string_agg(concat_ws(' ', campaign_id, event, reason = btrim(text, E' \t\n\r')), ', ' ORDER BY id) FROM campaign_event AS e WHERE e.source = p.source) FROM payload AS p ORDER BY n;
\set ECHO none
SELECT format('CALL campaign_run_sweeps(%L, force => true)', source) FROM payload ORDER BY n \gexec
\set ECHO all
-- of each message: whose it is, what became of it and why, and of its campaign
CREATE FUNCTION outcome(source name, payload text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	names text[] = ARRAY(SELECT left(source, 58) || n FROM generate_series(1, 6) AS n);
	outcome text;
BEGIN
	EXECUTE format('SELECT string_agg(concat_ws('' '', m.%1$I, right(m.%4$I, 1), m.%5$I = %6$L, right(c.%2$I::text, 1)), '', '' ORDER BY m.%1$I)'
		' || '', told: '' || (SELECT count(*) FROM %7$I.%3$I) FROM %7$I.%2$I AS m JOIN %7$I.%1$I AS c ON c.%1$I = m.%2$I',
		names[1], names[2], names[3], names[4], names[5], payload, source) INTO outcome;
	RETURN outcome;
END $$;
SELECT n, outcome(source, text) FROM payload ORDER BY n;
SELECT count(*) AS "still there" FROM bystander;

DO $$
DECLARE
	p payload;
BEGIN
	FOR p IN SELECT * FROM payload LOOP
		PERFORM campaign_detach(p.source);
		EXECUTE format('DROP OWNED BY %I CASCADE; DROP ROLE %1$I', p.source);
	END LOOP;
END $$;
SELECT count(*) FROM campaign_source;
