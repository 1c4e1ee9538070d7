--
-- The workload: bench.fill() makes campaigns of one shape.
--
-- Keys are made from numbers, so that a client can compute them; being hashes,
-- they are as scattered over the indexes as the gen_random_uuid() of the
-- standard tables.  Message 1s lie campaign by campaign, as a campaign is
-- written when it is made, Message 2s behind all of them.  No trigger fires on the
-- way (session_replication_role).
--
CREATE SCHEMA bench;

CREATE FUNCTION bench.id(kind text, number bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT md5(kind || number::text)::uuid $$;

-- Messages and interactions, of the search_path, are filled without their indexes
-- and constraints, which takes half the time.  Foreign keys come back unvalidated.
CREATE PROCEDURE bench.drop_keys() LANGUAGE plpgsql AS $$
DECLARE
	tables CONSTANT regclass[] := ARRAY['messages', 'interactions'];
	dropped record;
BEGIN
	CREATE TEMPORARY TABLE dropped_key ON COMMIT DROP AS
	SELECT contype = 'f' AS foreign_key, format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS away,
		format('ALTER TABLE %s ADD CONSTRAINT %I %s%s', conrelid::regclass, conname, pg_get_constraintdef(oid),
			CASE contype WHEN 'f' THEN ' NOT VALID' END) AS back
	FROM pg_constraint WHERE conrelid = ANY (tables) AND contype IN ('p', 'u', 'f')
	UNION ALL
	SELECT false, format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
	FROM pg_index AS i WHERE indrelid = ANY (tables)
		AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid AND conrelid = i.indrelid);
	FOR dropped IN SELECT * FROM dropped_key ORDER BY foreign_key DESC LOOP
		EXECUTE dropped.away;
	END LOOP;
END
$$;

CREATE PROCEDURE bench.restore_keys() LANGUAGE plpgsql AS $$
DECLARE
	dropped record;
BEGIN
	PERFORM set_config('maintenance_work_mem', '512MB', true);
	FOR dropped IN SELECT * FROM dropped_key ORDER BY foreign_key LOOP
		EXECUTE dropped.back;
	END LOOP;
	DROP TABLE dropped_key;
END
$$;

-- In each of the campaigns, so many contacts of each kind:
--	silent	were sent Message 1 thirty hours ago, and have not replied
--	replied	were sent it then too, have replied, and were sent Message 2
--	waiting	were sent Message 1 an hour ago
-- A third each of what was sent is sent, delivered and read.
CREATE PROCEDURE bench.fill(schema name, campaigns bigint, silent bigint DEFAULT 0,
	replied bigint DEFAULT 0, waiting bigint DEFAULT 0)
LANGUAGE plpgsql AS $$
DECLARE
	contacts CONSTANT bigint := silent + replied + waiting;
BEGIN
	PERFORM set_config('session_replication_role', 'replica', true),
		set_config('search_path', format('%I, public', schema), true);
	CALL bench.drop_keys();

	INSERT INTO contacts (id, full_number)
	SELECT bench.id('contact', k), '+33' || (600000000 + k)
	FROM generate_series(1, contacts) AS k;

	INSERT INTO campaigns (id, name, status, total_recipients, created_at, started_at)
	SELECT bench.id('campaign', c), 'Campaign ' || c, 'sending', contacts, t.start, t.start
	FROM generate_series(1, campaigns) AS c,
		(SELECT now() - CASE WHEN silent + replied > 0 THEN interval '30 hours' ELSE '1 hour' END) AS t (start);

	INSERT INTO messages (id, campaign_id, contact_id, message_type, content, status, sent_at, created_at)
	SELECT bench.id('message', (c - 1) * contacts + k), bench.id('campaign', c), bench.id('contact', k),
		'message_1', 'Hello! Are you interested?', (ARRAY['sent', 'delivered', 'read'])[1 + k % 3], t.sent, t.sent
	FROM generate_series(1, campaigns) AS c,
		LATERAL generate_series(1, contacts) AS k,
		LATERAL (SELECT now() - CASE WHEN k <= silent + replied THEN interval '30 hours' ELSE '1 hour' END) AS t (sent);

	INSERT INTO messages (id, campaign_id, contact_id, message_type, content, status, sent_at, created_at)
	SELECT bench.id('message', campaigns * contacts + (c - 1) * replied + k - silent),
		bench.id('campaign', c), bench.id('contact', k), 'message_2', 'Here is the brochure.',
		(ARRAY['sent', 'delivered', 'read'])[1 + k % 3], now() - interval '29 hours', now() - interval '29 hours'
	FROM generate_series(1, campaigns) AS c,
		LATERAL generate_series(silent + 1, silent + replied) AS k;

	INSERT INTO interactions (campaign_id, contact_id, interaction_type, content, received_at)
	SELECT bench.id('campaign', c), bench.id('contact', k), 'reply', 'Yes', now() - interval '29 hours'
	FROM generate_series(1, campaigns) AS c,
		LATERAL generate_series(silent + 1, silent + replied) AS k;
	CALL bench.restore_keys();
END
$$;
