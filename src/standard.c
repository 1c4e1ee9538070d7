/*
 * standard.c
 *		The standard tables.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "standard.h"
#include "template.h"

/*
 * The indexes are the design's three, and one for the foreign key from
 * interactions to messages, without which deleting a campaign would read all
 * interactions once for each of its messages.  No index mentions the status
 * of a message, and the fill factors leave room, so that status updates are
 * heap-only.
 */
static const char *const standard_tables[] = {
	"CREATE TABLE %1$s.campaigns ("
	" id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),"
	" name text,"
	" status text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'scheduled', 'sending', 'paused', 'completed', 'failed', 'cancelled')),"
	" total_recipients integer NOT NULL DEFAULT 0 CHECK (total_recipients >= 0),"
	" sent_count integer NOT NULL DEFAULT 0,"
	" success_count integer NOT NULL DEFAULT 0,"
	" failed_count integer NOT NULL DEFAULT 0,"
	" delivered_count integer NOT NULL DEFAULT 0,"
	" read_count integer NOT NULL DEFAULT 0,"
	" no_interaction_count integer NOT NULL DEFAULT 0,"
	" pending_count integer NOT NULL DEFAULT 0,"
	" interaction_count integer NOT NULL DEFAULT 0,"
	" started_at timestamptz,"
	" resumed_at timestamptz,"
	" completed_at timestamptz,"
	" created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),"
	" updated_at timestamptz NOT NULL DEFAULT pg_catalog.now()"
	") WITH (fillfactor = 50)",
	"CREATE TABLE %1$s.contacts ("
	" id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),"
	" full_number text NOT NULL,"
	" first_name text,"
	" last_name text,"
	" created_at timestamptz NOT NULL DEFAULT pg_catalog.now()"
	")",
	"CREATE TABLE %1$s.messages ("
	" id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),"
	" campaign_id uuid NOT NULL REFERENCES %1$s.campaigns ON DELETE CASCADE,"
	" contact_id uuid REFERENCES %1$s.contacts,"
	" message_type text NOT NULL DEFAULT 'message_1',"
	" content text,"
	" status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sent', 'delivered', 'read', 'failed', 'no_interaction')),"
	" error_message text,"
	" sent_at timestamptz,"
	" delivered_at timestamptz,"
	" read_at timestamptz,"
	" created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),"
	" updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),"
	" UNIQUE (campaign_id, contact_id, message_type)"
	") WITH (fillfactor = 80)",
	"CREATE TABLE %1$s.interactions ("
	" id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),"
	" campaign_id uuid NOT NULL REFERENCES %1$s.campaigns ON DELETE CASCADE,"
	" contact_id uuid NOT NULL REFERENCES %1$s.contacts,"
	" message_id uuid REFERENCES %1$s.messages ON DELETE SET NULL,"
	" interaction_type text NOT NULL CHECK (interaction_type IN ('reply', 'reaction', 'read', 'delivered')),"
	" content text,"
	" received_at timestamptz NOT NULL DEFAULT pg_catalog.now()"
	")",
	"CREATE INDEX campaigns_open_idx ON %1$s.campaigns (id) WHERE status = 'sending'",
	"CREATE INDEX interactions_campaign_contact_idx ON %1$s.interactions (campaign_id, contact_id)",
	"CREATE INDEX interactions_message_idx ON %1$s.interactions (message_id) WHERE message_id IS NOT NULL"
};

/*
 * Adds the remedy where the name of an index is taken.
 */
static void
hint_at_taken_name(void *arg)
{
	if (geterrcode() == ERRCODE_DUPLICATE_TABLE)
		errhint("To use tables that exist, attach them with campaign_attach().");
}

/*
 * cac_create_standard_tables
 *		Create the standard tables in a schema, as the current user.
 *
 * Returns their OIDs.  SPI must be connected, and pg_catalog be the whole
 * search_path.  Raises 42P07 where one of the names is taken.
 */
void
cac_create_standard_tables(const char *schema, Oid relid[NUM_SOURCE_TABLES])
{
	Oid			namespace = get_namespace_oid(schema, false);
	ErrorContextCallback callback;

	for (int i = 0; i < NUM_SOURCE_TABLES; i++)
	{
		if (OidIsValid(get_relname_relid(cac_table_names[i], namespace)))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_TABLE),
					 errmsg("relation \"%s\" already exists in schema \"%s\"",
							cac_table_names[i], schema),
					 errhint("To use tables that exist, attach them with campaign_attach().")));
	}
	callback.callback = hint_at_taken_name;
	callback.arg = NULL;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	for (int i = 0; i < lengthof(standard_tables); i++)
		if (SPI_execute(psprintf(standard_tables[i], quote_identifier(schema)),
						false, 0) < 0)
			elog(ERROR, "could not create the standard tables");
	error_context_stack = callback.previous;
	for (int i = 0; i < NUM_SOURCE_TABLES; i++)
		relid[i] = get_relname_relid(cac_table_names[i], namespace);
}
