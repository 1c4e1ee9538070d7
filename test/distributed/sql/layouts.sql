-- How Citus may distribute the tables of a source, and what is said of it
-- otherwise: each refusal comes with the SQL that mends it.
CREATE EXTENSION campaign_autoclose;
SET client_min_messages = warning;
CREATE TABLE campaigns (id bigint PRIMARY KEY, status text NOT NULL, created_at timestamptz NOT NULL, started_at timestamptz, resumed_at timestamptz, completed_at timestamptz);
CREATE INDEX ON campaigns (id) WHERE status = 'sending';
CREATE TABLE messages (id bigint, campaign_id bigint, contact_id bigint, message_type text, status text, created_at timestamptz, sent_at timestamptz);
CREATE INDEX ON messages (campaign_id, contact_id, message_type);
CREATE TABLE interactions (campaign_id bigint, contact_id bigint, interaction_type text, received_at timestamptz);
CREATE INDEX ON interactions (campaign_id, contact_id);
CREATE TABLE contacts (id bigint PRIMARY KEY, full_number text);
CREATE FUNCTION attach() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	what text;
	hint text;
BEGIN
	PERFORM campaign_attach('s', 'campaigns', 'messages', 'interactions', 'contacts');
	RETURN 'attached';
EXCEPTION WHEN object_not_in_prerequisite_state THEN
	GET STACKED DIAGNOSTICS what = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN SQLERRM || E'\n' || what;
END $$;

-- Attached as they are; then messages are distributed, by their id.
SELECT attach();
SELECT create_distributed_table('messages', 'id');
DROP TRIGGER campaign_autoclose ON messages;
SELECT create_distributed_table('messages', 'id');
-- The source is held, and says why.
SELECT campaign_check_sending('s');
SELECT check_name, detail, fix FROM campaign_preflight('s') WHERE NOT ok;
-- To distribute a table leaves it the same one, what else Citus alters makes
-- another: then it has to be attached anew.
SELECT create_distributed_table('public.campaigns', 'id');
SELECT detail, fix FROM campaign_preflight('s') WHERE check_name = 'distribution';
SELECT alter_distributed_table('public.messages', distribution_column => 'campaign_id', colocate_with => 'public.campaigns', cascade_to_colocated => false);
SELECT campaign_check_sending('s');
SELECT campaign_detach('s');
-- So every other fault is refused, and mended, before.
SELECT create_distributed_table('interactions', 'contact_id', colocate_with => 'none');
SELECT create_distributed_table('contacts', 'id', colocate_with => 'none');
SELECT attach();
SELECT alter_distributed_table('public.interactions', distribution_column => 'campaign_id', colocate_with => 'public.campaigns', cascade_to_colocated => false);
SELECT undistribute_table('public.contacts'); SELECT create_reference_table('public.contacts');
SELECT alter_distributed_table('messages', shard_count => 2, cascade_to_colocated => false);
SELECT attach();
SELECT alter_distributed_table('public.messages', distribution_column => 'campaign_id', colocate_with => 'public.campaigns', cascade_to_colocated => false);
SET client_min_messages = notice;
SELECT attach();
SET client_min_messages = warning;
-- There is no trigger, and nothing is wrong with that.
SELECT check_name, detail, fix FROM campaign_preflight('s') WHERE NOT ok;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'messages'::regclass AND NOT tgisinternal;
SELECT mode FROM campaign_alter('s', 'mode', 'active');
SELECT ok, detail FROM campaign_health() WHERE check_name = 'trigger';
SELECT campaigns_checked FROM campaign_check_sending('s');
SELECT campaign_detach('s');

-- Reference tables are for those who belong to no campaign; interactions may be
-- one, which then need not tell their campaign.
SELECT undistribute_table('messages'); SELECT create_reference_table('messages');
SELECT attach();
SELECT undistribute_table('public.messages'); SELECT create_distributed_table('public.messages', 'campaign_id', colocate_with => 'public.campaigns');
SELECT undistribute_table('interactions'); SELECT create_reference_table('interactions');
SELECT attach();
SELECT campaign_detach('s');
-- Views of distributed tables cannot be updated.
CREATE VIEW shown AS SELECT * FROM messages;
SELECT campaign_attach('s', 'campaigns', 'shown', 'interactions', 'contacts');
DROP VIEW shown;
-- Citus connects as the owner of the tables.
CREATE ROLE regress_cac_owner;
ALTER TABLE campaigns OWNER TO regress_cac_owner; ALTER TABLE messages OWNER TO regress_cac_owner;
ALTER TABLE interactions OWNER TO regress_cac_owner; ALTER TABLE contacts OWNER TO regress_cac_owner;
SELECT attach();
SELECT check_name, detail, fix FROM campaign_preflight('s') WHERE check_name = 'rights';
ALTER ROLE regress_cac_owner LOGIN;
SELECT mode FROM campaign_alter('s', 'mode', 'active');
SELECT campaign_detach('s');

-- A distributed schema is one shard.
CREATE SCHEMA tenant;
SELECT citus_schema_distribute('tenant');
CREATE TABLE tenant.campaigns (LIKE campaigns INCLUDING ALL);
CREATE TABLE tenant.messages (LIKE messages INCLUDING ALL);
SELECT source, mode FROM campaign_attach('tenant', 'tenant.campaigns', 'tenant.messages');
SELECT campaign_detach('tenant');
SELECT campaign_attach('mixed', 'tenant.campaigns', 'messages');

-- On a worker node nothing is attached, and a query that runs there says so.
SELECT attach();
INSERT INTO campaigns VALUES (1, 'sending', '2025-01-01');
DO $$
DECLARE
	hint text;
BEGIN
	PERFORM campaign_update_status(id) FROM campaigns;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RAISE WARNING USING MESSAGE = SQLERRM, DETAIL = hint;
END $$;
SELECT (campaign_update_status(1)).status;
SELECT success, result FROM run_command_on_workers('SELECT count(*) FROM campaign_source');
DROP OWNED BY regress_cac_owner CASCADE;
DROP ROLE regress_cac_owner;
