-- campaign_autoclose: closes messaging campaigns inside the database.
-- ASCII only: the script must load in a database of any encoding.

\echo Use "CREATE EXTENSION campaign_autoclose" to load this file. \quit

-- Each script begins with it: what is to come may need a newer library.
CREATE FUNCTION campaign_announce()
RETURNS void
AS 'MODULE_PATHNAME', 'campaign_announce'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_announce() IS 'refuses a script that needs a newer library; tells the launcher that this database has news; warns where campaign_autoclose is not preloaded';

SELECT campaign_announce();

--
-- Tables.  They are written by the functions below only.
--

CREATE TABLE campaign_source (
	source name PRIMARY KEY,
	campaigns regclass NOT NULL UNIQUE,
	messages regclass NOT NULL UNIQUE,
	interactions regclass,
	contacts regclass,
	columns jsonb NOT NULL DEFAULT '{}',
	labels jsonb NOT NULL DEFAULT '{}',
	mode text NOT NULL DEFAULT 'active' CHECK (mode IN ('active', 'shadow', 'paused')),
	completion_rule text NOT NULL DEFAULT 'contacts' CHECK (completion_rule IN ('contacts', 'messages')),
	interaction_timeout interval NOT NULL DEFAULT '24 hours',
	campaign_timeout interval NOT NULL DEFAULT '48 hours',
	stall_after interval NOT NULL DEFAULT '10 minutes',
	check_delay interval NOT NULL DEFAULT '5 seconds',
	expired_every interval DEFAULT '1 hour',
	timeout_every interval DEFAULT '6 hours',
	sending_every interval DEFAULT '2 minutes',
	interrupted_every interval DEFAULT '5 minutes',
	settle_for interval NOT NULL DEFAULT '24 hours',
	blackout_after interval,
	late_interactions text NOT NULL DEFAULT 'accept' CHECK (late_interactions IN ('accept', 'ignore')),
	history_keep interval NOT NULL DEFAULT '30 days',
	interaction_message text,
	timeout_message text,
	batch_size integer NOT NULL DEFAULT 5000,
	time_zone text,
	search_path text NOT NULL,
	on_event text,
	log_messages boolean NOT NULL DEFAULT false,
	attached_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	attached_names text[] NOT NULL
);

COMMENT ON TABLE campaign_source IS 'one row a source: the tables attached to campaign_autoclose, and the settings they are judged by; changed by campaign_alter()';
COMMENT ON COLUMN campaign_source.source IS 'name of the source';
COMMENT ON COLUMN campaign_source.campaigns IS 'its table of campaigns';
COMMENT ON COLUMN campaign_source.messages IS 'its table of messages';
COMMENT ON COLUMN campaign_source.interactions IS 'its table of interactions; NULL: none';
COMMENT ON COLUMN campaign_source.contacts IS 'its table of contacts; NULL: none';
COMMENT ON COLUMN campaign_source.attached_at IS 'when it was attached';
COMMENT ON COLUMN campaign_source.columns IS 'standard column names that the tables call otherwise';
COMMENT ON COLUMN campaign_source.labels IS 'standard status words that the tables call otherwise';
COMMENT ON COLUMN campaign_source.mode IS 'active: act; shadow: decide and record, but do not act; paused: do nothing';
COMMENT ON COLUMN campaign_source.completion_rule IS 'contacts: every contact''s cycle has ended; messages: no message is pending';
COMMENT ON COLUMN campaign_source.interaction_timeout IS 'how long a contact may stay silent after Message 1';
COMMENT ON COLUMN campaign_source.campaign_timeout IS 'how long a campaign may stay open';
COMMENT ON COLUMN campaign_source.stall_after IS 'how long a campaign with pending messages may send nothing';
COMMENT ON COLUMN campaign_source.check_delay IS 'how long after the change that may have ended it a campaign is judged';
COMMENT ON COLUMN campaign_source.expired_every IS 'how often silent contacts are looked for; NULL: never';
COMMENT ON COLUMN campaign_source.timeout_every IS 'how often campaigns open for too long are looked for; NULL: never';
COMMENT ON COLUMN campaign_source.sending_every IS 'how often every open campaign is judged; NULL: never';
COMMENT ON COLUMN campaign_source.interrupted_every IS 'how often stalled campaigns are looked for; NULL: never';
COMMENT ON COLUMN campaign_source.settle_for IS 'how long after closing the statistics are kept right, and new pending messages reopen';
COMMENT ON COLUMN campaign_source.blackout_after IS 'silence proves nothing once nothing has come in, from any contact, for so long; NULL: it always does';
COMMENT ON COLUMN campaign_source.late_interactions IS 'accept: a reply ends the silence however late it comes; ignore: not after interaction_timeout';
COMMENT ON COLUMN campaign_source.history_keep IS 'how long events and sweep runs are kept';
COMMENT ON COLUMN campaign_source.interaction_message IS 'error message of a contact who stayed silent; NULL: the default, naming the interval';
COMMENT ON COLUMN campaign_source.timeout_message IS 'error message of what was pending at the campaign timeout; NULL: the default, naming the interval';
COMMENT ON COLUMN campaign_source.batch_size IS 'messages marked in one transaction of a worker';
COMMENT ON COLUMN campaign_source.time_zone IS 'zone of timestamps that have none';
COMMENT ON COLUMN campaign_source.search_path IS 'search_path under which the application''s triggers run';
COMMENT ON COLUMN campaign_source.on_event IS 'function of the application, taking jsonb, called for each event';
COMMENT ON COLUMN campaign_source.log_messages IS 'log each marked message with its contact''s name and number';
COMMENT ON COLUMN campaign_source.attached_names IS 'the tables'' names when they were attached or last activated';

-- Which sources may act, and in which database: not dumped, so that a
-- restored or copied database does nothing until it is told to.
CREATE TABLE campaign_armed (
	source name,
	database oid,
	PRIMARY KEY (source, database)
);
COMMENT ON TABLE campaign_armed IS 'sources that may act in the database of this OID; campaign_alter(source, ''mode'', ''active'') adds one';

CREATE TABLE campaign_event (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at timestamptz NOT NULL,
	source name NOT NULL,
	campaign_id text NOT NULL,
	event text NOT NULL CHECK (event IN ('closed', 'reopened', 'expired', 'stalled', 'error')),
	status_from text,
	status_to text,
	reason text NOT NULL,
	details jsonb NOT NULL DEFAULT '{}',
	shadow boolean NOT NULL DEFAULT false
);
CREATE INDEX campaign_event_campaign_idx ON campaign_event (source, campaign_id);
CREATE INDEX campaign_event_at_idx ON campaign_event (source, at);
COMMENT ON TABLE campaign_event IS 'what was done to which campaign, when and why; written in the transaction that did it';
COMMENT ON COLUMN campaign_event.at IS 'the moment that the campaign was judged by';
COMMENT ON COLUMN campaign_event.campaign_id IS 'the campaign''s key, as text';
COMMENT ON COLUMN campaign_event.shadow IS 'decided in shadow mode, not done';

CREATE TABLE campaign_sweep_run (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	source name NOT NULL,
	sweep text NOT NULL CHECK (sweep IN ('expired', 'timeout', 'sending', 'interrupted')),
	started_at timestamptz NOT NULL,
	finished_at timestamptz,
	as_of timestamptz,
	runs bigint NOT NULL DEFAULT 1,
	campaigns_checked bigint NOT NULL DEFAULT 0,
	campaigns_updated bigint NOT NULL DEFAULT 0,
	campaigns_closed bigint NOT NULL DEFAULT 0,
	campaigns_resumed bigint NOT NULL DEFAULT 0,
	campaigns_skipped bigint NOT NULL DEFAULT 0,
	messages_checked bigint NOT NULL DEFAULT 0,
	messages_marked bigint NOT NULL DEFAULT 0,
	error text,
	resume jsonb
);
CREATE INDEX campaign_sweep_run_last_idx ON campaign_sweep_run (source, sweep, id);
COMMENT ON TABLE campaign_sweep_run IS 'runs of the sweeps; runs in a row that changed nothing are one row';
COMMENT ON COLUMN campaign_sweep_run.started_at IS 'when the (last) run began';
COMMENT ON COLUMN campaign_sweep_run.finished_at IS 'when the (last) run ended; NULL: it runs, waits, or was cut short';
COMMENT ON COLUMN campaign_sweep_run.as_of IS 'the moment given by a caller; NULL: the clock. Only runs by the clock count for the schedule';
COMMENT ON COLUMN campaign_sweep_run.runs IS 'how many runs the row stands for';
COMMENT ON COLUMN campaign_sweep_run.resume IS 'of a run that made way for other work: how far it had come. NULL: it did not';

-- What is remembered of a campaign while it matters.
CREATE TABLE campaign_state (
	source name,
	campaign_id text,
	closed_at timestamptz,
	closed_as text,
	closed_by text CHECK (closed_by IN ('complete', 'timeout', 'hand')),
	stalls integer NOT NULL DEFAULT 0,
	stalled_at timestamptz,
	failed_by_us bigint NOT NULL DEFAULT 0,
	shadow_mark bigint,
	shadow_action text,
	noted_at timestamptz NOT NULL,
	PRIMARY KEY (source, campaign_id)
);
CREATE INDEX campaign_state_closed_idx ON campaign_state (source, closed_at) WHERE closed_at IS NOT NULL;
COMMENT ON TABLE campaign_state IS 'what is remembered of a campaign: how it was closed, how often it was found stalled';
COMMENT ON COLUMN campaign_state.failed_by_us IS 'pending messages that the 48 hours have failed so far, while the campaign is still open';

-- A campaign's last reopening is its start, so it outlives history and dump.
CREATE TABLE campaign_reopening (
	source name,
	campaign_id text,
	reopened_at timestamptz NOT NULL,
	PRIMARY KEY (source, campaign_id)
);
COMMENT ON TABLE campaign_reopening IS 'last reopening of each campaign that was reopened; a campaign''s start is not before it';

CREATE TABLE campaign_retry (
	source name,
	campaign_id text,
	sweep text,
	failures integer NOT NULL DEFAULT 0,
	skips integer NOT NULL DEFAULT 0,
	retry_at timestamptz,
	sqlstate text,
	error text,
	noted_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	PRIMARY KEY (source, campaign_id, sweep)
);
CREATE INDEX campaign_retry_due_idx ON campaign_retry (source, retry_at) WHERE retry_at IS NOT NULL;
COMMENT ON TABLE campaign_retry IS 'campaigns that could not be processed: errors in a row with the next try, and skips in a row';

CREATE TABLE campaign_blackout (
	source name PRIMARY KEY,
	silent_since timestamptz NOT NULL,
	noticed_at timestamptz NOT NULL
);
COMMENT ON TABLE campaign_blackout IS 'sources of which nothing has been heard for blackout_after, so that nobody is marked as silent';
COMMENT ON COLUMN campaign_blackout.silent_since IS 'no sign of life since then, at least';
COMMENT ON COLUMN campaign_blackout.noticed_at IS 'the moment that the first sweep to hold judged by';

-- Whoever changes a source, be it pg_restore, every backend and the launcher
-- are told.
CREATE FUNCTION campaign_source_changed()
RETURNS trigger
AS 'MODULE_PATHNAME', 'campaign_source_changed'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_source_changed() IS 'tells backends and the launcher that a source has changed';

CREATE TRIGGER campaign_source_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON campaign_source
	FOR EACH STATEMENT EXECUTE FUNCTION campaign_source_changed();
CREATE TRIGGER campaign_source_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON campaign_armed
	FOR EACH STATEMENT EXECUTE FUNCTION campaign_source_changed();

SELECT pg_catalog.pg_extension_config_dump('campaign_source', '');
SELECT pg_catalog.pg_extension_config_dump('campaign_reopening', '');

GRANT SELECT ON campaign_source, campaign_armed, campaign_reopening, campaign_event,
	campaign_sweep_run, campaign_state, campaign_retry, campaign_blackout TO PUBLIC;

-- History is for the owner of the source's tables; what is dumped has no
-- policy, which would break every other role's pg_dump.
ALTER TABLE campaign_event ENABLE ROW LEVEL SECURITY;
ALTER TABLE campaign_sweep_run ENABLE ROW LEVEL SECURITY;
ALTER TABLE campaign_state ENABLE ROW LEVEL SECURITY;
ALTER TABLE campaign_retry ENABLE ROW LEVEL SECURITY;
ALTER TABLE campaign_blackout ENABLE ROW LEVEL SECURITY;

CREATE POLICY source_owner ON campaign_event FOR SELECT USING (EXISTS (
	SELECT FROM campaign_source AS s JOIN pg_catalog.pg_class AS c ON c.oid = s.campaigns
	WHERE s.source = campaign_event.source AND pg_catalog.pg_has_role(c.relowner, 'USAGE')));
CREATE POLICY source_owner ON campaign_sweep_run FOR SELECT USING (EXISTS (
	SELECT FROM campaign_source AS s JOIN pg_catalog.pg_class AS c ON c.oid = s.campaigns
	WHERE s.source = campaign_sweep_run.source AND pg_catalog.pg_has_role(c.relowner, 'USAGE')));
CREATE POLICY source_owner ON campaign_state FOR SELECT USING (EXISTS (
	SELECT FROM campaign_source AS s JOIN pg_catalog.pg_class AS c ON c.oid = s.campaigns
	WHERE s.source = campaign_state.source AND pg_catalog.pg_has_role(c.relowner, 'USAGE')));
CREATE POLICY source_owner ON campaign_retry FOR SELECT USING (EXISTS (
	SELECT FROM campaign_source AS s JOIN pg_catalog.pg_class AS c ON c.oid = s.campaigns
	WHERE s.source = campaign_retry.source AND pg_catalog.pg_has_role(c.relowner, 'USAGE')));
CREATE POLICY source_owner ON campaign_blackout FOR SELECT USING (EXISTS (
	SELECT FROM campaign_source AS s JOIN pg_catalog.pg_class AS c ON c.oid = s.campaigns
	WHERE s.source = campaign_blackout.source AND pg_catalog.pg_has_role(c.relowner, 'USAGE')));

--
-- Set-up
--

CREATE FUNCTION campaign_create_tables(schema name DEFAULT pg_catalog.current_schema())
RETURNS campaign_source
AS 'MODULE_PATHNAME', 'campaign_create_tables'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_create_tables(name) IS 'create the standard tables in a schema and attach them as a source of the schema''s name';

CREATE FUNCTION campaign_attach(source name, campaigns regclass, messages regclass,
	interactions regclass DEFAULT NULL, contacts regclass DEFAULT NULL,
	columns jsonb DEFAULT '{}', labels jsonb DEFAULT '{}')
RETURNS campaign_source
AS 'MODULE_PATHNAME', 'campaign_attach'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_attach(name, regclass, regclass, regclass, regclass, jsonb, jsonb) IS 'attach an application''s own tables as a source';

CREATE FUNCTION campaign_preflight(source name DEFAULT NULL,
	OUT check_name text, OUT ok boolean, OUT detail text, OUT fix text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'campaign_preflight'
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 20;
COMMENT ON FUNCTION campaign_preflight(name) IS 'what would go wrong with a source, and the SQL that mends it';

CREATE FUNCTION campaign_alter(source name, setting text, value text)
RETURNS campaign_source
AS 'MODULE_PATHNAME', 'campaign_alter'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_alter(name, text, text) IS 'change a setting of a source; returns its new row';

CREATE FUNCTION campaign_detach(source name)
RETURNS void
AS 'MODULE_PATHNAME', 'campaign_detach'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_detach(name) IS 'forget a source with its history; its tables stay as they are';

CREATE FUNCTION campaign_note_message()
RETURNS trigger
AS 'MODULE_PATHNAME', 'campaign_note_message'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_note_message() IS 'trigger on the messages of the source named by its argument: has the worker look at what they complete';

--
-- Work
--

CREATE TYPE campaign_result AS (
	source name,
	campaign_id text,
	previous_status text,
	status text,
	changed boolean,
	pending_count bigint,
	message_1_sent bigint,
	message_2_sent bigint,
	sent_count bigint,
	delivered_count bigint,
	read_count bigint,
	no_interaction_count bigint,
	failed_count bigint,
	total_failed bigint,
	success_count bigint,
	interaction_count bigint,
	contacts bigint,
	contacts_completed bigint,
	completed_at timestamptz
);
COMMENT ON TYPE campaign_result IS 'one campaign, and what was done to it';

CREATE FUNCTION campaign_update_status(campaign uuid, source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS campaign_result
AS 'MODULE_PATHNAME', 'campaign_update_status'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_update_status(uuid, name, timestamptz) IS 'judge one campaign: recount its statistics, close it if it is complete';

CREATE FUNCTION campaign_update_status(campaign_number bigint, source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS campaign_result
AS 'MODULE_PATHNAME', 'campaign_update_status'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_update_status(bigint, name, timestamptz) IS 'judge one campaign: recount its statistics, close it if it is complete';

CREATE FUNCTION campaign_update_status(campaign_key text, source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS campaign_result
AS 'MODULE_PATHNAME', 'campaign_update_status'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_update_status(text, name, timestamptz) IS 'judge one campaign: recount its statistics, close it if it is complete';

CREATE TYPE campaign_sweep_result AS (
	sweep text,
	campaigns_checked bigint,
	campaigns_updated bigint,
	campaigns_closed bigint,
	campaigns_resumed bigint,
	campaigns_skipped bigint,
	messages_checked bigint,
	messages_marked bigint
);
COMMENT ON TYPE campaign_sweep_result IS 'what a sweep found and did';

CREATE FUNCTION campaign_check_expired_interactions(source name DEFAULT NULL, as_of timestamptz DEFAULT NULL, dry_run boolean DEFAULT false)
RETURNS campaign_sweep_result
AS 'MODULE_PATHNAME', 'campaign_check_expired_interactions'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_check_expired_interactions(name, timestamptz, boolean) IS 'mark contacts silent for interaction_timeout as no_interaction, and close the campaigns which that completes';

CREATE FUNCTION campaign_check_timeout(source name DEFAULT NULL, as_of timestamptz DEFAULT NULL, dry_run boolean DEFAULT false)
RETURNS campaign_sweep_result
AS 'MODULE_PATHNAME', 'campaign_check_timeout'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_check_timeout(name, timestamptz, boolean) IS 'close campaigns that have been open for campaign_timeout, failing what is pending';

CREATE FUNCTION campaign_check_sending(source name DEFAULT NULL, as_of timestamptz DEFAULT NULL, dry_run boolean DEFAULT false)
RETURNS campaign_sweep_result
AS 'MODULE_PATHNAME', 'campaign_check_sending'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_check_sending(name, timestamptz, boolean) IS 'judge every open campaign, and close those that are complete';

CREATE FUNCTION campaign_recover_interrupted(source name DEFAULT NULL, as_of timestamptz DEFAULT NULL, dry_run boolean DEFAULT false)
RETURNS campaign_sweep_result
AS 'MODULE_PATHNAME', 'campaign_recover_interrupted'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_recover_interrupted(name, timestamptz, boolean) IS 'ask the application to resume campaigns with pending messages that have sent none for stall_after';

CREATE PROCEDURE campaign_run_sweeps(source name DEFAULT NULL, force boolean DEFAULT false)
AS 'MODULE_PATHNAME', 'campaign_run_sweeps'
LANGUAGE C;
COMMENT ON PROCEDURE campaign_run_sweeps(name, boolean) IS 'run the sweeps that are due (force: all of them), committing as it goes';

--
-- Operators
--

CREATE FUNCTION campaign_close(campaign uuid, reason text, source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS campaign_result
AS 'MODULE_PATHNAME', 'campaign_close'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_close(uuid, text, name, timestamptz) IS 'close one open campaign by hand, failing what is pending with the reason';

CREATE FUNCTION campaign_close(campaign_number bigint, reason text, source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS campaign_result
AS 'MODULE_PATHNAME', 'campaign_close'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_close(bigint, text, name, timestamptz) IS 'close one open campaign by hand, failing what is pending with the reason';

CREATE FUNCTION campaign_close(campaign_key text, reason text, source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS campaign_result
AS 'MODULE_PATHNAME', 'campaign_close'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_close(text, text, name, timestamptz) IS 'close one open campaign by hand, failing what is pending with the reason';

CREATE FUNCTION campaign_reopen(campaign uuid, reason text, source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS campaign_result
AS 'MODULE_PATHNAME', 'campaign_reopen'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_reopen(uuid, text, name, timestamptz) IS 'reopen one closed campaign by hand';

CREATE FUNCTION campaign_reopen(campaign_number bigint, reason text, source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS campaign_result
AS 'MODULE_PATHNAME', 'campaign_reopen'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_reopen(bigint, text, name, timestamptz) IS 'reopen one closed campaign by hand';

CREATE FUNCTION campaign_reopen(campaign_key text, reason text, source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS campaign_result
AS 'MODULE_PATHNAME', 'campaign_reopen'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_reopen(text, text, name, timestamptz) IS 'reopen one closed campaign by hand';

CREATE FUNCTION campaign_preview(source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (
	source name,
	campaign_id text,
	sweep text,
	what text,
	count bigint,
	status_from text,
	status_to text,
	reason text)
AS 'MODULE_PATHNAME', 'campaign_preview'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_preview(name, timestamptz) IS 'every change that the sweeps would make at that moment, without making it';

CREATE FUNCTION campaign_shadow_report(source name DEFAULT NULL)
RETURNS TABLE (
	campaign_id text,
	closed_by text,
	ours_at timestamptz,
	ours_status text,
	ours_reason text,
	theirs_at timestamptz,
	theirs_status text,
	ours_later interval)
AS 'MODULE_PATHNAME', 'campaign_shadow_report'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_shadow_report(name) IS 'compare the campaigns that shadow mode would have closed with those that were closed';

CREATE FUNCTION campaign_explain(campaign uuid, source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (condition text, ok boolean, detail text, until timestamptz)
AS 'MODULE_PATHNAME', 'campaign_explain'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 15;
COMMENT ON FUNCTION campaign_explain(uuid, name, timestamptz) IS 'why one campaign is or is not closed, condition by condition, and when it will be at the latest';

CREATE FUNCTION campaign_explain(campaign_number bigint, source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (condition text, ok boolean, detail text, until timestamptz)
AS 'MODULE_PATHNAME', 'campaign_explain'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 15;
COMMENT ON FUNCTION campaign_explain(bigint, name, timestamptz) IS 'why one campaign is or is not closed, condition by condition, and when it will be at the latest';

CREATE FUNCTION campaign_explain(campaign_key text, source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (condition text, ok boolean, detail text, until timestamptz)
AS 'MODULE_PATHNAME', 'campaign_explain'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 15;
COMMENT ON FUNCTION campaign_explain(text, name, timestamptz) IS 'why one campaign is or is not closed, condition by condition, and when it will be at the latest';

CREATE FUNCTION campaign_verify(campaign uuid, source name DEFAULT NULL)
RETURNS TABLE (what text, at_closing text, now text, ok boolean)
AS 'MODULE_PATHNAME', 'campaign_verify'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 17;
COMMENT ON FUNCTION campaign_verify(uuid, name) IS 'count one closed campaign anew, and compare with what its closing event holds';

CREATE FUNCTION campaign_verify(campaign_number bigint, source name DEFAULT NULL)
RETURNS TABLE (what text, at_closing text, now text, ok boolean)
AS 'MODULE_PATHNAME', 'campaign_verify'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 17;
COMMENT ON FUNCTION campaign_verify(bigint, name) IS 'count one closed campaign anew, and compare with what its closing event holds';

CREATE FUNCTION campaign_verify(campaign_key text, source name DEFAULT NULL)
RETURNS TABLE (what text, at_closing text, now text, ok boolean)
AS 'MODULE_PATHNAME', 'campaign_verify'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 17;
COMMENT ON FUNCTION campaign_verify(text, name) IS 'count one closed campaign anew, and compare with what its closing event holds';

-- What operators watch: read with the caller's rights, nothing written or
-- locked.

CREATE FUNCTION campaign_progress(source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (
	source name,
	campaign_id text,
	status text,
	started_at timestamptz,
	contacts bigint,
	contacts_completed bigint,
	percent_completed numeric,
	pending_count bigint,
	in_flight bigint,
	message_2_sent bigint,
	no_interaction_count bigint,
	failed_count bigint,
	awaiting bigint,
	awaiting_message_2 bigint,
	next_deadline timestamptz,
	last_deadline timestamptz,
	closes_by timestamptz,
	sent_per_minute numeric,
	last_sent_at timestamptz,
	stalled boolean)
AS 'MODULE_PATHNAME', 'campaign_progress'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_progress(name, timestamptz) IS 'how far every open campaign has come at a moment';

CREATE VIEW campaign_progress AS SELECT * FROM campaign_progress();
COMMENT ON VIEW campaign_progress IS 'how far every open campaign has come';
GRANT SELECT ON campaign_progress TO PUBLIC;

CREATE FUNCTION campaign_overdue(source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (
	source name,
	campaign_id text,
	status text,
	reason text,
	sweep text,
	since timestamptz,
	lag interval,
	expected_by timestamptz,
	obstacle text,
	retry_at timestamptz)
AS 'MODULE_PATHNAME', 'campaign_overdue'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_overdue(name, timestamptz) IS 'open campaigns that should have been closed at a moment';

CREATE VIEW campaign_overdue AS SELECT * FROM campaign_overdue();
COMMENT ON VIEW campaign_overdue IS 'open campaigns that should have been closed';
GRANT SELECT ON campaign_overdue TO PUBLIC;

CREATE FUNCTION campaign_sweep_status(source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (
	source name,
	sweep text,
	every interval,
	state text,
	started_at timestamptz,
	finished_at timestamptz,
	duration interval,
	runs bigint,
	campaigns_checked bigint,
	campaigns_updated bigint,
	campaigns_closed bigint,
	campaigns_resumed bigint,
	campaigns_skipped bigint,
	messages_checked bigint,
	messages_marked bigint,
	failures bigint,
	next_run_at timestamptz,
	error text)
AS 'MODULE_PATHNAME', 'campaign_sweep_status'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_sweep_status(name, timestamptz) IS 'the last run of each sweep by the clock, and when the next is due';

CREATE VIEW campaign_sweep_status AS SELECT * FROM campaign_sweep_status();
COMMENT ON VIEW campaign_sweep_status IS 'the last run of each sweep by the clock, and when the next is due';
GRANT SELECT ON campaign_sweep_status TO PUBLIC;

CREATE FUNCTION campaign_outcomes(campaign uuid, source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (contact_id text, name text, full_number text, outcome text, at timestamptz, until timestamptz, message_1 text, message_2 text, error_message text)
AS 'MODULE_PATHNAME', 'campaign_outcomes'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION campaign_outcomes(uuid, name, timestamptz) IS 'what became of each contact of a campaign';

CREATE FUNCTION campaign_outcomes(campaign_number bigint, source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (contact_id text, name text, full_number text, outcome text, at timestamptz, until timestamptz, message_1 text, message_2 text, error_message text)
AS 'MODULE_PATHNAME', 'campaign_outcomes'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION campaign_outcomes(bigint, name, timestamptz) IS 'what became of each contact of a campaign';

CREATE FUNCTION campaign_outcomes(campaign_key text, source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (contact_id text, name text, full_number text, outcome text, at timestamptz, until timestamptz, message_1 text, message_2 text, error_message text)
AS 'MODULE_PATHNAME', 'campaign_outcomes'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION campaign_outcomes(text, name, timestamptz) IS 'what became of each contact of a campaign';

CREATE FUNCTION campaign_funnel(campaign uuid, source name DEFAULT NULL)
RETURNS TABLE (stage text, contacts bigint, percent numeric, bar text)
AS 'MODULE_PATHNAME', 'campaign_funnel'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 5;
COMMENT ON FUNCTION campaign_funnel(uuid, name) IS 'how many contacts of a campaign came how far, with bars';

CREATE FUNCTION campaign_funnel(campaign_number bigint, source name DEFAULT NULL)
RETURNS TABLE (stage text, contacts bigint, percent numeric, bar text)
AS 'MODULE_PATHNAME', 'campaign_funnel'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 5;
COMMENT ON FUNCTION campaign_funnel(bigint, name) IS 'how many contacts of a campaign came how far, with bars';

CREATE FUNCTION campaign_funnel(campaign_key text, source name DEFAULT NULL)
RETURNS TABLE (stage text, contacts bigint, percent numeric, bar text)
AS 'MODULE_PATHNAME', 'campaign_funnel'
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 5;
COMMENT ON FUNCTION campaign_funnel(text, name) IS 'how many contacts of a campaign came how far, with bars';

CREATE FUNCTION campaign_worker_status(
	OUT process text,
	OUT pid integer,
	OUT database text,
	OUT state text,
	OUT source text,
	OUT sweep text,
	OUT campaigns_done bigint,
	OUT campaigns_total bigint,
	OUT started_at timestamptz,
	OUT next_wake_at timestamptz,
	OUT last_error text,
	OUT hints_waiting bigint,
	OUT hints_dropped bigint,
	OUT hints_served bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'campaign_worker_status'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION campaign_worker_status() IS 'the rows of the view campaign_worker';

CREATE VIEW campaign_worker AS SELECT * FROM campaign_worker_status();
COMMENT ON VIEW campaign_worker IS 'the launcher and the workers of the whole server, as they are now';
GRANT SELECT ON campaign_worker TO PUBLIC;

CREATE FUNCTION campaign_health(
	source name DEFAULT NULL,
	OUT check_name text,
	OUT ok boolean,
	OUT detail text,
	OUT fix text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'campaign_health'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_health(name) IS 'is the closer alive, and does it do what it should: one row a check, with what to do';

CREATE FUNCTION campaign_counters(
	OUT sweeps bigint,
	OUT campaigns_closed bigint,
	OUT campaigns_reopened bigint,
	OUT campaigns_stalled bigint,
	OUT messages_marked bigint,
	OUT errors bigint,
	OUT hints_waiting bigint,
	OUT hints_dropped bigint,
	OUT hints_served bigint)
AS 'MODULE_PATHNAME', 'campaign_counters'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION campaign_counters() IS 'what was done in the whole server since it started; nulls where campaign_autoclose is not preloaded';

-- One row a source, all of it cheap: only the extension's own tables are read,
-- as the caller, so that row-level security leaves him what is his.
CREATE VIEW campaign_metrics WITH (security_invoker = true) AS
SELECT s.source,
	(s.mode = 'active' AND a.source IS NOT NULL)::integer AS active,
	coalesce(sending.campaigns_checked, 0) AS open_campaigns,
	coalesce(retry.failing, 0) AS failing_campaigns,
	coalesce(retry.skipped, 0) AS skipped_campaigns,
	(b.source IS NOT NULL)::integer AS blackout,
	coalesce(sweeps.failing, 0) AS failing_sweeps,
	coalesce(sweeps.lag, 0) AS sweep_lag_seconds
FROM campaign_source AS s
	LEFT JOIN campaign_armed AS a ON a.source = s.source
		AND a.database = (SELECT d.oid FROM pg_catalog.pg_database AS d
			WHERE d.datname = pg_catalog.current_database())
	LEFT JOIN campaign_blackout AS b ON b.source = s.source
	LEFT JOIN LATERAL (
		SELECT r.campaigns_checked FROM campaign_sweep_run AS r
		WHERE r.source = s.source AND r.sweep = 'sending' AND r.as_of IS NULL
			AND r.finished_at IS NOT NULL
		ORDER BY r.id DESC LIMIT 1
	) AS sending ON true
	LEFT JOIN LATERAL (
		SELECT pg_catalog.count(*) FILTER (WHERE r.failures > 0) AS failing,
			pg_catalog.count(*) FILTER (WHERE r.skips > 0) AS skipped
		FROM campaign_retry AS r WHERE r.source = s.source
	) AS retry ON true
	LEFT JOIN LATERAL (
		SELECT pg_catalog.count(*) FILTER (WHERE last.error IS NOT NULL) AS failing,
			pg_catalog.max(greatest(0, extract(epoch FROM pg_catalog.clock_timestamp()
				- coalesce(last.started_at + e.every, s.attached_at))))::double precision AS lag
		FROM (VALUES ('expired', s.expired_every), ('timeout', s.timeout_every),
				('sending', s.sending_every), ('interrupted', s.interrupted_every)) AS e (sweep, every)
			LEFT JOIN LATERAL (
				SELECT r.started_at, r.error FROM campaign_sweep_run AS r
				WHERE r.source = s.source AND r.sweep = e.sweep AND r.as_of IS NULL
				ORDER BY r.id DESC LIMIT 1
			) AS last ON true
		WHERE e.every IS NOT NULL AND s.mode <> 'paused' AND a.source IS NOT NULL
	) AS sweeps ON true
WHERE EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = s.campaigns
		AND pg_catalog.pg_has_role(c.relowner, 'USAGE'))
	OR (SELECT r.rolsuper OR r.rolbypassrls FROM pg_catalog.pg_roles AS r
		WHERE r.rolname = current_user);
COMMENT ON VIEW campaign_metrics IS 'one row a source, for monitoring: numbers alone, and cheap to read';
COMMENT ON COLUMN campaign_metrics.active IS '1: it acts in this database';
COMMENT ON COLUMN campaign_metrics.open_campaigns IS 'open campaigns that the last sending sweep found';
COMMENT ON COLUMN campaign_metrics.failing_campaigns IS 'campaigns in error, to be retried';
COMMENT ON COLUMN campaign_metrics.skipped_campaigns IS 'campaigns whose rows somebody else held when they were last looked at';
COMMENT ON COLUMN campaign_metrics.blackout IS '1: nothing is heard of anybody, so nobody is marked as silent';
COMMENT ON COLUMN campaign_metrics.failing_sweeps IS 'sweeps whose last run could not even list the campaigns';
COMMENT ON COLUMN campaign_metrics.sweep_lag_seconds IS 'how long the most overdue sweep has been due; it runs as long as it is above 0 for seconds only';
GRANT SELECT ON campaign_metrics TO PUBLIC;

CREATE FUNCTION campaign_schedule_pg_cron(schedule text DEFAULT '* * * * *')
RETURNS bigint
AS 'MODULE_PATHNAME', 'campaign_schedule_pg_cron'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_schedule_pg_cron(text) IS 'have pg_cron run the sweeps that are due, as the current user; returns the id of its job';

CREATE FUNCTION campaign_unschedule_pg_cron()
RETURNS boolean
AS 'MODULE_PATHNAME', 'campaign_unschedule_pg_cron'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION campaign_unschedule_pg_cron() IS 'remove the job of campaign_schedule_pg_cron(); false where there is none';
