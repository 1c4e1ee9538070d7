--
-- Behind the install script, in test/citus: campaign_create_tables() makes the
-- standard tables as doc/scaling.md distributes them, so that tests which know
-- nothing of it run on shards.
--
ALTER FUNCTION campaign_create_tables(name) RENAME TO campaign_create_plain_tables;

CREATE FUNCTION campaign_create_tables(schema name DEFAULT current_schema()) RETURNS campaign_source
LANGUAGE plpgsql SET client_min_messages = warning SET citus.multi_shard_modify_mode = sequential AS $$
DECLARE
	result @extschema@.campaign_source;
	before text := current_setting('search_path');
BEGIN
	PERFORM @extschema@.campaign_create_plain_tables(schema);
	IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
		SELECT * INTO result FROM @extschema@.campaign_source WHERE source = schema;
		RETURN result;
	END IF;
	PERFORM set_config('search_path', format('%I, %s', schema, before), true);
	-- what doc/scaling.md says
	ALTER TABLE interactions DROP CONSTRAINT interactions_message_id_fkey,
		DROP CONSTRAINT interactions_campaign_id_fkey, DROP CONSTRAINT interactions_contact_id_fkey,
		DROP CONSTRAINT interactions_pkey, ADD PRIMARY KEY (campaign_id, id);
	ALTER TABLE messages DROP CONSTRAINT messages_campaign_id_fkey, DROP CONSTRAINT messages_contact_id_fkey,
		DROP CONSTRAINT messages_pkey, ADD PRIMARY KEY (campaign_id, id);
	DROP TRIGGER campaign_autoclose ON messages;
	PERFORM create_reference_table('contacts');
	PERFORM create_distributed_table('campaigns', 'id');
	PERFORM create_distributed_table('messages', 'campaign_id', colocate_with => 'campaigns');
	PERFORM create_distributed_table('interactions', 'campaign_id', colocate_with => 'campaigns');
	ALTER TABLE messages ADD FOREIGN KEY (campaign_id) REFERENCES campaigns ON DELETE CASCADE;
	ALTER TABLE messages ADD FOREIGN KEY (contact_id) REFERENCES contacts;
	ALTER TABLE interactions ADD FOREIGN KEY (campaign_id) REFERENCES campaigns ON DELETE CASCADE;
	ALTER TABLE interactions ADD FOREIGN KEY (contact_id) REFERENCES contacts;
	ALTER TABLE interactions ADD FOREIGN KEY (campaign_id, message_id) REFERENCES messages (campaign_id, id);
	PERFORM set_config('search_path', before, true);
	SELECT * INTO result FROM @extschema@.campaign_source WHERE source = schema;
	RETURN result;
END $$;
