-- Partitioned messages and interactions in place of plain ones, for tests that
-- know nothing of it: while a shape is chosen with partitions.shape(), the tables
-- that campaign_create_tables() makes are replaced, before it attaches them, by
-- partitioned ones of the same names, columns, defaults, checks and owner.
--
-- hash		both by hash of the campaign
-- range	both by time, with a default partition
-- nested	messages by time, of which the default partition by hash of the id, so
--			that the rows of every campaign are scattered; interactions by hash of
--			the campaign, of which one partition by type
--
-- A unique key of a partitioned table has the columns that it is partitioned by.
-- So by time, the same message of a contact may be there twice, if not at the same
-- moment; and interactions cannot refer to a message by its id alone.
CREATE SCHEMA partitions;
GRANT USAGE ON SCHEMA partitions TO PUBLIC;

CREATE FUNCTION partitions.chosen() RETURNS text LANGUAGE sql AS 'SELECT NULL';

CREATE FUNCTION partitions.shape(shape text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE OR REPLACE FUNCTION partitions.chosen() RETURNS text LANGUAGE sql AS %L', format('SELECT %L', shape));
END $$;

-- The statements that partition one table; %1$s is the schema.
CREATE FUNCTION partitions.statements(shape text) RETURNS text[] LANGUAGE sql AS $$
	SELECT array_agg(statement ORDER BY n) FROM (VALUES
		(1, NULL, 'ALTER TABLE %1$s.interactions RENAME TO plain_interactions'),
		(2, NULL, 'ALTER TABLE %1$s.messages RENAME TO plain_messages'),
		(3, 'hash', 'CREATE TABLE %1$s.messages (LIKE %1$s.plain_messages INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY HASH (campaign_id)'),
		(3, 'range', 'CREATE TABLE %1$s.messages (LIKE %1$s.plain_messages INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (created_at)'),
		(3, 'nested', 'CREATE TABLE %1$s.messages (LIKE %1$s.plain_messages INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (created_at)'),
		(4, 'hash', 'CREATE TABLE %1$s.interactions (LIKE %1$s.plain_interactions INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY HASH (campaign_id)'),
		(4, 'range', 'CREATE TABLE %1$s.interactions (LIKE %1$s.plain_interactions INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (received_at)'),
		(4, 'nested', 'CREATE TABLE %1$s.interactions (LIKE %1$s.plain_interactions INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY HASH (campaign_id)'),
		(5, NULL, 'DROP TABLE %1$s.plain_interactions, %1$s.plain_messages'),
		(6, 'hash', 'CREATE TABLE %1$s.messages_h0 PARTITION OF %1$s.messages FOR VALUES WITH (MODULUS 3, REMAINDER 0) WITH (fillfactor = 80)'),
		(7, 'hash', 'CREATE TABLE %1$s.messages_h1 PARTITION OF %1$s.messages FOR VALUES WITH (MODULUS 3, REMAINDER 1) WITH (fillfactor = 80)'),
		(8, 'hash', 'CREATE TABLE %1$s.messages_h2 PARTITION OF %1$s.messages FOR VALUES WITH (MODULUS 3, REMAINDER 2) WITH (fillfactor = 80)'),
		(9, 'hash', 'CREATE TABLE %1$s.interactions_0 PARTITION OF %1$s.interactions FOR VALUES WITH (MODULUS 2, REMAINDER 0)'),
		(10, 'hash', 'CREATE TABLE %1$s.interactions_1 PARTITION OF %1$s.interactions FOR VALUES WITH (MODULUS 2, REMAINDER 1)'),
		(6, 'range', 'CREATE TABLE %1$s.messages_old PARTITION OF %1$s.messages FOR VALUES FROM (MINVALUE) TO (''2025-01-01 00:30+00'') WITH (fillfactor = 80)'),
		(7, 'range', 'CREATE TABLE %1$s.messages_new PARTITION OF %1$s.messages FOR VALUES FROM (''2025-01-01 00:30+00'') TO (''2025-03-30 00:00+00'') WITH (fillfactor = 80)'),
		(8, 'range', 'CREATE TABLE %1$s.messages_rest PARTITION OF %1$s.messages DEFAULT WITH (fillfactor = 80)'),
		(9, 'range', 'CREATE TABLE %1$s.interactions_old PARTITION OF %1$s.interactions FOR VALUES FROM (MINVALUE) TO (''2025-01-01 12:00+00'')'),
		(10, 'range', 'CREATE TABLE %1$s.interactions_rest PARTITION OF %1$s.interactions DEFAULT'),
		(6, 'nested', 'CREATE TABLE %1$s.messages_some PARTITION OF %1$s.messages FOR VALUES FROM (''2025-01-01 06:00+00'') TO (''2025-01-02 00:00+00'') WITH (fillfactor = 80)'),
		(7, 'nested', 'CREATE TABLE %1$s.messages_rest PARTITION OF %1$s.messages DEFAULT PARTITION BY HASH (id)'),
		(8, 'nested', 'CREATE TABLE %1$s.messages_rest_0 PARTITION OF %1$s.messages_rest FOR VALUES WITH (MODULUS 2, REMAINDER 0) WITH (fillfactor = 80)'),
		(9, 'nested', 'CREATE TABLE %1$s.messages_rest_1 PARTITION OF %1$s.messages_rest FOR VALUES WITH (MODULUS 2, REMAINDER 1) WITH (fillfactor = 80)'),
		(10, 'nested', 'CREATE TABLE %1$s.interactions_0 PARTITION OF %1$s.interactions FOR VALUES WITH (MODULUS 2, REMAINDER 0)'),
		(11, 'nested', 'CREATE TABLE %1$s.interactions_1 PARTITION OF %1$s.interactions FOR VALUES WITH (MODULUS 2, REMAINDER 1) PARTITION BY LIST (interaction_type)'),
		(12, 'nested', 'CREATE TABLE %1$s.interactions_1_reply PARTITION OF %1$s.interactions_1 FOR VALUES IN (''reply'')'),
		(13, 'nested', 'CREATE TABLE %1$s.interactions_1_rest PARTITION OF %1$s.interactions_1 DEFAULT'),
		(20, 'hash', 'ALTER TABLE %1$s.messages ADD PRIMARY KEY (campaign_id, id), ADD CONSTRAINT messages_campaign_id_contact_id_message_type_key UNIQUE (campaign_id, contact_id, message_type)'),
		(20, 'range', 'ALTER TABLE %1$s.messages ADD PRIMARY KEY (id, created_at), ADD CONSTRAINT messages_campaign_id_contact_id_message_type_key UNIQUE (campaign_id, contact_id, message_type, created_at)'),
		(20, 'nested', 'ALTER TABLE %1$s.messages ADD PRIMARY KEY (id, created_at), ADD CONSTRAINT messages_campaign_id_contact_id_message_type_key UNIQUE (campaign_id, contact_id, message_type, created_at, id)'),
		(22, NULL, 'ALTER TABLE %1$s.messages ADD FOREIGN KEY (campaign_id) REFERENCES %1$s.campaigns ON DELETE CASCADE, ADD FOREIGN KEY (contact_id) REFERENCES %1$s.contacts'),
		(23, NULL, 'ALTER TABLE %1$s.interactions ADD FOREIGN KEY (campaign_id) REFERENCES %1$s.campaigns ON DELETE CASCADE, ADD FOREIGN KEY (contact_id) REFERENCES %1$s.contacts'),
		(24, 'hash', 'ALTER TABLE %1$s.interactions ADD FOREIGN KEY (campaign_id, message_id) REFERENCES %1$s.messages (campaign_id, id) ON DELETE SET NULL (message_id)'),
		(25, NULL, 'CREATE INDEX interactions_campaign_contact_idx ON %1$s.interactions (campaign_id, contact_id)'),
		(26, NULL, 'CREATE INDEX interactions_message_idx ON %1$s.interactions (message_id) WHERE message_id IS NOT NULL')
	) AS v (n, of_shape, statement) WHERE coalesce(of_shape, shape) = shape
$$;

-- The last thing that campaign_create_tables() makes is an index.
CREATE FUNCTION partitions.reshape() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
	schema text;
	statement text;
BEGIN
	SELECT quote_ident(schema_name) INTO schema FROM pg_event_trigger_ddl_commands()
	WHERE object_identity LIKE '%interactions_message_idx' AND partitions.chosen() IS NOT NULL;
	-- not again for the new ones
	IF schema IS NULL OR (SELECT relkind <> 'r' FROM pg_class WHERE oid = to_regclass(schema || '.messages')) THEN
		RETURN;
	END IF;
	FOREACH statement IN ARRAY partitions.statements(partitions.chosen()) LOOP
		EXECUTE format(statement, schema);
	END LOOP;
END $$;
CREATE EVENT TRIGGER partitions ON ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION partitions.reshape();
