-- What the tests of attached tables share: campaigns that live through all
-- rules, whatever the types, columns and words of the tables they are in.
SET client_min_messages = warning;
CREATE EXTENSION campaign_autoclose;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

-- How the application of a source writes a contact: with its messages and, as
-- another table may, with its interactions; and whether these tell a campaign.
CREATE TABLE application (
	source text PRIMARY KEY,
	campaigns regclass, messages regclass, interactions regclass,
	contact text DEFAULT '%s', sender text DEFAULT '%s', tells_campaign boolean DEFAULT true
);

-- A key: "format" with a number in it, or a uuid.
CREATE FUNCTION key(format text, n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
	$$ SELECT CASE format WHEN 'uuid' THEN lpad(n::text, 32, '0')::uuid::text ELSE format(format, n) END $$;

-- One of the first two of the application's words for a standard word.
CREATE FUNCTION word(source text, label_group text, label text, n bigint DEFAULT 0) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT CASE jsonb_typeof(words) WHEN 'array' THEN words ->> (n % least(jsonb_array_length(words), 2))::int WHEN 'string' THEN words #>> '{}' ELSE label END
	FROM (SELECT labels -> label_group -> label AS words FROM campaign_source AS s WHERE s.source = word.source) AS s
$$;

-- A row, of those columns that the table has.
CREATE FUNCTION add_row(relation regclass, columns jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	names text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped AND columns ? attname);
BEGIN
	EXECUTE format('INSERT INTO %1$s (%2$s) SELECT %2$s FROM jsonb_populate_record(NULL::%1$s, $1)', relation, names) USING columns;
END $$;

CREATE FUNCTION add_campaign(source text, campaign int, start timestamptz) RETURNS void LANGUAGE sql AS $$
	SELECT add_row(campaigns, jsonb_build_object('id', campaign, 'status', word(a.source, 'campaigns', 'sending', 1), 'created_at', start))
	FROM application AS a WHERE a.source = add_campaign.source
$$;

-- The application brings a message, which there may be yet or not, to a status.
CREATE FUNCTION message(source text, campaign int, contact bigint, type int, status text, at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	a application := (SELECT a FROM application AS a WHERE a.source = message.source);
	id bigint := campaign * 1000 + contact * 10 + type;
	columns jsonb := jsonb_build_object('id', key(a.contact, id), 'campaign_id', campaign, 'contact_id', key(a.contact, contact),
		'message_type', word(source, 'message_types', 'message_' || type, contact), 'status', word(source, 'messages', status, contact),
		'created_at', at, 'sent_at', CASE WHEN status <> 'pending' THEN at END);
	changes text := (SELECT string_agg(format('%I = %L', key, value), ', ') FROM jsonb_each_text(columns)
		WHERE key IN ('status', 'sent_at') AND key IN (SELECT attname FROM pg_attribute WHERE attrelid = a.messages));
	n int;
BEGIN
	EXECUTE format('UPDATE %s SET %s WHERE id = %L', a.messages, changes, columns ->> 'id');
	GET DIAGNOSTICS n = ROW_COUNT;
	IF n = 0 THEN
		PERFORM add_row(a.messages, columns);
	END IF;
END $$;

CREATE FUNCTION interaction(source text, campaign int, contact bigint, kind text, at timestamptz) RETURNS void LANGUAGE sql AS $$
	SELECT add_row(interactions, jsonb_build_object('campaign_id', CASE WHEN tells_campaign THEN interaction.campaign END, 'contact_id', key(sender, interaction.contact),
		'interaction_type', word(a.source, 'interactions', kind, interaction.contact), 'received_at', at))
	FROM application AS a WHERE a.source = interaction.source AND interactions IS NOT NULL
$$;

-- A campaign as its table has it, and its messages, by what they have become.
CREATE FUNCTION campaign(source text, campaign int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SELECT regexp_replace((to_jsonb(c) - ''{id,created_at,started_at,updated_at,name}''::text[])::text, '' +"'', ''"'', ''g'') FROM %s AS c WHERE id = $1',
		(SELECT a.campaigns FROM application AS a WHERE a.source = campaign.source)) INTO result USING campaign;
	RETURN result;
END $$;
CREATE FUNCTION messages(source text, campaign int, OUT result text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT string_agg(concat_ws('' '', status, contacts, errors), ''; '' ORDER BY status COLLATE "C") FROM'
		' (SELECT rtrim(m ->> ''status'') AS status, string_agg(right(rtrim(m ->> ''id''), 3), '','' ORDER BY m ->> ''id'' COLLATE "C") AS contacts,'
		'  min(m ->> ''error_message'') AS errors FROM (SELECT to_jsonb(m) AS m FROM %s AS m WHERE campaign_id = $1) AS m GROUP BY 1) AS m',
		(SELECT a.messages FROM application AS a WHERE a.source = messages.source)) INTO result USING campaign;
END $$;

-- What a verdict and what a sweep says.
CREATE FUNCTION judge(source text, campaign int, as_of timestamptz) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', previous_status || '->' || status, changed, 'pending', pending_count, 'sent', message_1_sent, message_2_sent, 'silent', no_interaction_count,
		'failed', failed_count, 'interactions', interaction_count, 'contacts', contacts_completed || '/' || contacts, 'completed', completed_at)
	FROM campaign_update_status(campaign, source, as_of) AS r
$$;
CREATE FUNCTION sweep(kind text, source text, as_of timestamptz, dry_run boolean DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r campaign_sweep_result;
BEGIN
	EXECUTE format('SELECT * FROM %I($1, $2, $3)', CASE kind WHEN 'expired' THEN 'campaign_check_expired_interactions'
		WHEN 'interrupted' THEN 'campaign_recover_interrupted' ELSE 'campaign_check_' || kind END) INTO r USING source, as_of, dry_run;
	RETURN format('%s campaigns, %s updated, %s closed, %s resumed, %s skipped; %s messages, %s marked', r.campaigns_checked, r.campaigns_updated, r.campaigns_closed,
		r.campaigns_resumed, r.campaigns_skipped, r.messages_checked, r.messages_marked);
END $$;

-- Campaign 1, from its start on 1 January 2025 at 00:00 to its end.
CREATE FUNCTION life(source text) RETURNS TABLE (line text) LANGUAGE plpgsql AS $$
DECLARE
	start timestamptz := '2025-01-01 00:00Z';
BEGIN
	PERFORM add_campaign(source, 1, start);
	PERFORM message(source, 1, n, 1, s, start) FROM unnest('{read,read,sent,delivered,pending,failed,read,read,pending,read}'::text[]) WITH ORDINALITY AS s (s, n);
	PERFORM interaction(source, 1, 1, 'reply', start + '1 hour');
	PERFORM interaction(source, 1, 2, 'reaction', start + '2 hours');
	PERFORM interaction(source, 1, 10, 'seen', start + '2 hours');
	PERFORM message(source, 1, 8, 2, 'sent', start + '3 hours');
	PERFORM message(source, 1, 7, 2, 'pending', start + '3 hours');
	line := 'at first: ' || judge(source, 1, start + '4 hours'); RETURN NEXT;
	line := 'stalled: ' || sweep('interrupted', source, start + '6 hours'); RETURN NEXT;
	PERFORM message(source, 1, 9, 1, 'sent', start + '23 hours');
	line := 'not expired: ' || sweep('expired', source, start + '24 hours'); RETURN NEXT;
	line := 'would expire: ' || sweep('expired', source, start + '25 hours', true); RETURN NEXT;
	line := 'expired: ' || sweep('expired', source, start + '25 hours'); RETURN NEXT;
	line := 'messages: ' || messages(source, 1); RETURN NEXT;
	line := 'nothing left: ' || sweep('expired', source, start + '25 hours'); RETURN NEXT;
	PERFORM message(source, 1, 5, 1, 'failed', start + '26 hours');
	PERFORM message(source, 1, n, 2, s, start + '26 hours') FROM (VALUES (1, 'read'), (2, 'failed'), (7, 'delivered')) AS v (n, s);
	line := 'stays open: ' || sweep('sending', source, start + '27 hours'); RETURN NEXT;
	line := 'stays open: ' || campaign(source, 1); RETURN NEXT;
	line := 'the last expires: ' || sweep('expired', source, start + '47 hours 1 second'); RETURN NEXT;
	line := 'closed: ' || campaign(source, 1); RETURN NEXT;
	line := 'terminal: ' || judge(source, 1, start + '47 hours 2 seconds'); RETURN NEXT;
	-- new pending messages reopen it
	PERFORM message(source, 1, n, 1, 'pending', start + '48 hours') FROM generate_series(11, 12) AS n;
	line := 'reopened: ' || sweep('sending', source, start + '48 hours'); RETURN NEXT;
	PERFORM message(source, 1, 11, 1, 'read', start + '49 hours');
	line := 'not yet timed out: ' || sweep('timeout', source, start + '96 hours'); RETURN NEXT;
	line := 'would time out: ' || sweep('timeout', source, start + '96 hours 1 second', true); RETURN NEXT;
	line := 'timed out: ' || sweep('timeout', source, start + '96 hours 1 second'); RETURN NEXT;
	line := 'closed: ' || campaign(source, 1); RETURN NEXT;
	line := 'messages: ' || messages(source, 1); RETURN NEXT;
	line := 'terminal: ' || judge(source, 1, start + '97 hours'); RETURN NEXT;
	line := 'events: ' || (SELECT string_agg(concat_ws(' ', event, status_to, details ->> 'messages'), ', ' ORDER BY id) FROM campaign_event AS e WHERE e.source = life.source);
	RETURN NEXT;
END $$;

-- Every source's life; that of a second one is told by what is not as in the first's.
CREATE TABLE lives (source text, n bigint, line text);
CREATE PROCEDURE live(source text) LANGUAGE sql AS $$
	INSERT INTO lives SELECT source, row_number() OVER (), line FROM life(source)
$$;
CREATE FUNCTION life_of(source text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT line FROM lives AS l WHERE l.source = life_of.source ORDER BY n
$$;
CREATE FUNCTION differences(source text, other text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT b.line FROM (SELECT * FROM lives AS l WHERE l.source = differences.source) AS a FULL JOIN (SELECT * FROM lives AS l WHERE l.source = differences.other) AS b USING (n)
	WHERE a.line IS DISTINCT FROM b.line ORDER BY n
$$;

-- Campaign 2, of which a sweep on behalf of a host marks 25 in batches of 10.
CREATE PROCEDURE prepare_batches(source text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM campaign_alter(source, 'batch_size', '10');
	PERFORM add_campaign(source, 2, now() - interval '30 hours');
	PERFORM message(source, 2, n, 1, CASE n % 3 WHEN 0 THEN 'sent' WHEN 1 THEN 'delivered' ELSE 'read' END, now() - interval '25 hours') FROM generate_series(10, 36) AS n;
	PERFORM interaction(source, 2, n, 'reply', now() - interval '20 hours') FROM generate_series(20, 21) AS n;
	PERFORM message(source, 2, 40, 1, 'sent', now() - interval '1 hour');
END $$;
CREATE FUNCTION batches(source text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat_ws(' ', event, details ->> 'messages', reason), ', ' ORDER BY id) || '; ' || messages(batches.source, 2)
	FROM campaign_event AS e WHERE e.source = batches.source AND campaign_id = '2'
$$;

-- What the trigger has hinted at since the last call.
CREATE TABLE hinted (since bigint);
INSERT INTO hinted SELECT hints_waiting FROM campaign_worker WHERE process = 'launcher';
CREATE FUNCTION hinted() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	before bigint := (SELECT since FROM hinted);
	after bigint := (SELECT hints_waiting FROM campaign_worker WHERE process = 'launcher');
BEGIN
	UPDATE hinted SET since = after;
	RETURN CASE after - before WHEN 0 THEN 'nothing' WHEN 1 THEN 'changed' WHEN 2 THEN 'check and changed' ELSE (after - before) || ' hints' END;
END $$;
-- What the trigger hints at when a message of a campaign that nobody has hinted at
-- goes from one status to another; none is "".
CREATE PROCEDURE hint(source text, campaign int, before text, after text, INOUT hint text DEFAULT '') LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('session_replication_role', 'replica', true);
	PERFORM add_campaign(source, campaign, now());
	IF before <> '' THEN
		PERFORM message(source, campaign, 1, 1, before, now());
	END IF;
	COMMIT;
	PERFORM hinted();
	PERFORM message(source, campaign, 1, 1, after, now());
	COMMIT;
	hint := format('%s: %s -> %s: %s', source, before, after, hinted());
END $$;
