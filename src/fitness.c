/*
 * fitness.c
 *		Are a source's tables fit for it, as the catalogs know them: columns,
 *		keys, rights, indexes, the trigger?
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "citus.h"
#include "compat.h"
#include "keys.h"
#include "preflight.h"
#include "template.h"
#include "table_triggers.h"
#include "views.h"

/* ----------------------------------------------------------------
 *		The tables
 * ----------------------------------------------------------------
 */

/*
 * What mapping.c has noted of the columns, or the labels.
 */
void
cac_check_faults(Preflight *preflight)
{
	ListCell   *lc;

	foreach(lc, preflight->source->faults)
	{
		SourceFault *fault = lfirst(lc);

		if (strcmp(fault->check, preflight->check) == 0)
			cac_find(preflight, FINDING_REFUSE, fault->code,
					 pstrdup(fault->message), pstrdup(fault->hint));
	}
}

/*
 * Timestamps without a zone need to be told theirs, which is a setting: so a
 * source may be attached without.
 */
void
cac_check_time_zone(Preflight *preflight)
{
	const Source *source = preflight->source;
	StringInfoData columns;

	initStringInfo(&columns);
	for (int i = 0; i < source->ncolumns; i++)
	{
		const SourceColumn *column = &source->column[i];

		if (column->name != NULL && column->kind == COLUMN_MOMENT &&
			getBaseType(column->type) == TIMESTAMPOID)
			appendStringInfo(&columns, "%s%s.%s", columns.len > 0 ? ", " : "",
							 source->table[column->table], quote_identifier(column->name));
	}
	if (columns.len > 0 && source->time_zone == NULL)
		cac_find(preflight, FINDING_HOLD, ERRCODE_DATATYPE_MISMATCH,
				 psprintf("there is no time zone to read these columns in: %s", columns.data),
				 psprintf("%s -- or whichever zone the application writes them in",
						  cac_alter_call(source, "time_zone", "UTC")));
}

/*
 * Can a column be updated: not one that is generated, nor one of a view that
 * is computed?
 */
static bool
column_updatable(Oid relid, AttrNumber attno)
{
	Bitmapset  *columns = bms_make_singleton(attno - FirstLowInvalidHeapAttributeNumber);

	if (cac_is_view(relid))
		return (relation_is_updatable(relid, NIL, true, columns) & (1 << CMD_UPDATE)) != 0;
	return get_attgenerated(relid, attno) == '\0';
}

/*
 * A column that is written, but that nobody can write.
 */
static void
check_written_columns(Preflight *preflight)
{
	const Source *source = preflight->source;

	for (int i = 0; i < source->ncolumns; i++)
	{
		const SourceColumn *column = &source->column[i];
		Oid			relid = source->relid[column->table];

		if (column->name == NULL || !cac_column_written(column) ||
			column_updatable(relid, get_attnum(relid, column->name)))
			continue;
		cac_find(preflight, FINDING_REFUSE, ERRCODE_GENERATED_ALWAYS,
				 psprintf("column \"%s\" of %s cannot be updated", column->name,
						  source->table[column->table]),
				 column->need == COLUMN_REQUIRED ?
				 pstrdup(cac_is_view(relid) ? "Have the view show the table's own column, or give it an INSTEAD OF UPDATE trigger." :
						 "Attach another column, or make it one that is not generated.") :
				 psprintf("Do without it, by {\"%s\": {\"%s\": null}} in \"columns\".",
						  cac_table_names[column->table], column->standard_name));
	}
}

void
cac_check_columns(Preflight *preflight)
{
	cac_check_faults(preflight);
	if (!cac_columns_at_fault(preflight->source))
		check_written_columns(preflight);
}

/*
 * Two columns that are compared with each other.
 */
static void
check_comparable(Preflight *preflight, SourceTable table, const char *name,
				 SourceTable other_table, const char *other_name)
{
	const Source *source = preflight->source;
	const SourceColumn *column = cac_source_column(source, table, name);
	const SourceColumn *other = cac_source_column(source, other_table, other_name);

	if (column->name == NULL || other->name == NULL ||
		cac_keys_comparable(column->type, other->type))
		return;
	cac_find(preflight, FINDING_REFUSE, ERRCODE_DATATYPE_MISMATCH,
			 psprintf("column \"%s\" of %s has type %s, but column \"%s\" of %s has type %s",
					  column->name, source->table[table], format_type_be(column->type),
					  other->name, source->table[other_table], format_type_be(other->type)),
			 psprintf("ALTER TABLE %s ALTER COLUMN %s TYPE %s USING %s::%s;",
					  source->table[table], quote_identifier(column->name),
					  format_type_be(other->type), quote_identifier(column->name),
					  format_type_be(other->type)));
}

/*
 * A foreign key of the table's campaign that leads elsewhere, while none leads
 * to the campaigns.  What a view of campaigns shows has its key elsewhere; so has
 * a table whose own key references another.
 */
static void
check_foreign_key(Preflight *preflight, SourceTable table)
{
	const Source *source = preflight->source;
	const char *name = cac_own_column(source, table, "campaign_id");
	Oid			campaigns = source->relid[TABLE_CAMPAIGNS];

	if (name == NULL || cac_is_view(campaigns))
		return;
	if (cac_preflight_query(psprintf("WITH known AS (SELECT %u::pg_catalog.oid AS relid UNION"
									 "  SELECT inhparent FROM pg_catalog.pg_inherits WHERE inhrelid OPERATOR(pg_catalog.=) %u UNION"
									 "  SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent OPERATOR(pg_catalog.=) %u UNION"
									 "  SELECT confrelid FROM pg_catalog.pg_constraint WHERE contype OPERATOR(pg_catalog.=) 'f'"
									 "   AND conrelid OPERATOR(pg_catalog.=) %u AND conkey OPERATOR(pg_catalog.=) ARRAY[%d]::pg_catalog.int2[])"
									 " SELECT pg_catalog.min(confrelid::pg_catalog.regclass::pg_catalog.text) FROM pg_catalog.pg_constraint"
									 " WHERE contype OPERATOR(pg_catalog.=) 'f' AND conrelid OPERATOR(pg_catalog.=) %u AND conkey OPERATOR(pg_catalog.=) ARRAY[%d]::pg_catalog.int2[]"
									 " HAVING NOT pg_catalog.bool_or(confrelid OPERATOR(pg_catalog.=) ANY (TABLE known))",
									 campaigns, campaigns, campaigns, campaigns,
									 cac_own_attnum(source, TABLE_CAMPAIGNS, "id"),
									 source->relid[table], cac_own_attnum(source, table, "campaign_id"))) > 0)
		cac_find(preflight, FINDING_REFUSE, ERRCODE_INVALID_PARAMETER_VALUE,
				 psprintf("column \"%s\" of %s references %s, not %s",
						  name, source->table[table], cac_row_text(0, 1),
						  source->table[TABLE_CAMPAIGNS]),
				 pstrdup("Attach tables that belong together."));
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Messages of which none belongs to any campaign.  The first thousand nearly
 * always tell; they may be what is left of campaigns that were deleted.
 */
static void
check_messages_belong(Preflight *preflight)
{
	const Source *source = preflight->source;
	const char *some = "SELECT pg_catalog.count(*), pg_catalog.count(c.*) FROM"
		" (SELECT @m.campaign_id@ AS campaign FROM @messages@ AS m"
		"  WHERE @m.campaign_id@ IS NOT NULL LIMIT 1000) AS m"
		" LEFT JOIN @campaigns@ AS c ON @c.id@ @=@ m.campaign";
	const char *any = "SELECT FROM @campaigns@ AS c"
		" WHERE EXISTS (SELECT FROM @messages@ AS m WHERE @m.campaign_id@ @=@ @c.id@) LIMIT 1";
	bool		strange;

	cac_preflight_query(cac_expand(source, some, NULL));
	strange = cac_row_count(0, 1) > 0 && cac_row_count(0, 2) == 0;
	SPI_freetuptable(SPI_tuptable);
	if (strange && cac_preflight_query(cac_expand(source, any, NULL)) == 0)
		cac_find(preflight, FINDING_REFUSE, ERRCODE_INVALID_PARAMETER_VALUE,
				 psprintf("the messages of %s belong to no campaign of %s",
						  source->table[TABLE_MESSAGES], source->table[TABLE_CAMPAIGNS]),
				 pstrdup("Attach tables that belong together."));
}

/*
 * Do the tables belong together?
 */
void
cac_check_relations(Preflight *preflight)
{
	int			before = list_length(preflight->findings);

	check_comparable(preflight, TABLE_MESSAGES, "campaign_id", TABLE_CAMPAIGNS, "id");
	if (preflight->source->table[TABLE_INTERACTIONS] != NULL)
	{
		check_comparable(preflight, TABLE_INTERACTIONS, "campaign_id", TABLE_CAMPAIGNS, "id");
		check_comparable(preflight, TABLE_INTERACTIONS, "contact_id", TABLE_MESSAGES, "contact_id");
	}
	if (preflight->source->table[TABLE_CONTACTS] != NULL)
		check_comparable(preflight, TABLE_CONTACTS, "id", TABLE_MESSAGES, "contact_id");
	check_foreign_key(preflight, TABLE_MESSAGES);
	if (preflight->source->table[TABLE_INTERACTIONS] != NULL)
		check_foreign_key(preflight, TABLE_INTERACTIONS);
	if (list_length(preflight->findings) == before)
		check_messages_belong(preflight);
}

/* ----------------------------------------------------------------
 *		Rights
 * ----------------------------------------------------------------
 */

static bool
owner_may(const Source *source, SourceTable table, AclMode right)
{
	Oid			relid = source->relid[table];

	return pg_class_aclcheck(relid, source->owner, right) == ACLCHECK_OK ||
		pg_attribute_aclcheck_all(relid, source->owner, right, ACLMASK_ANY) == ACLCHECK_OK;
}

/*
 * May the owner, as whom the worker acts, do what it is there for, and does he
 * see all rows?
 */
void
cac_check_rights(Preflight *preflight)
{
	const Source *source = preflight->source;
	char	   *owner = GetUserNameFromId(source->owner, false);
	int			before = list_length(preflight->findings);

	for (int table = 0; table < NUM_SOURCE_TABLES; table++)
	{
		bool		written = table == TABLE_CAMPAIGNS || table == TABLE_MESSAGES;
		Oid			schema;

		if (source->table[table] == NULL)
			continue;
		schema = get_rel_namespace(source->relid[table]);
		if (!CAC_MAY_USE_SCHEMA(schema, source->owner))
			cac_find(preflight, FINDING_HOLD, ERRCODE_INSUFFICIENT_PRIVILEGE,
					 psprintf("role \"%s\", as whom the worker acts, may not use schema \"%s\" of %s",
							  owner, get_namespace_name(schema), source->table[table]),
					 psprintf("GRANT USAGE ON SCHEMA %s TO %s;",
							  quote_identifier(get_namespace_name(schema)), quote_identifier(owner)));
		if (!owner_may(source, table, ACL_SELECT) ||
			(written && !owner_may(source, table, ACL_UPDATE)))
			cac_find(preflight, FINDING_HOLD, ERRCODE_INSUFFICIENT_PRIVILEGE,
					 psprintf("role \"%s\", as whom the worker acts, may not %s %s",
							  owner, written ? "read and update" : "read",
							  source->table[table]),
					 psprintf("GRANT %s ON %s TO %s;", written ? "SELECT, UPDATE" : "SELECT",
							  source->table[table], quote_identifier(owner)));
		if (check_enable_rls(source->relid[table], source->owner, true) == RLS_ENABLED)
			cac_find(preflight, FINDING_HOLD, ERRCODE_INSUFFICIENT_PRIVILEGE,
					 psprintf("row-level security may hide rows of %s from role \"%s\", as whom the worker acts",
							  source->table[table], owner),
			/* no name in the comment, as it might end it */
					 psprintf("ALTER TABLE %s NO FORCE ROW LEVEL SECURITY; -- or give the role BYPASSRLS",
							  source->table[table]));
	}
	if (!cac_reaches_nodes(source))
		cac_find(preflight, FINDING_HOLD, ERRCODE_INSUFFICIENT_PRIVILEGE,
				 psprintf("role \"%s\", as whom the worker acts, may not log in, as Citus does for it on the other nodes",
						  owner),
				 psprintf("ALTER ROLE %s LOGIN;", quote_identifier(owner)));
	preflight->lacks_rights = list_length(preflight->findings) > before;
}

/* ----------------------------------------------------------------
 *		Indexes
 * ----------------------------------------------------------------
 */

/* CREATE INDEX, so that nobody has to wait for it where that can be */
static const char *
create_index(Oid relid)
{
	return get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE ?
		"CREATE INDEX" : "CREATE INDEX CONCURRENTLY";
}

/*
 * Has the table an index, of all rows, that begins with these two columns, in
 * either order where that does not matter?
 */
static bool
has_index(Oid relid, AttrNumber first, AttrNumber second, bool either_order)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;
	bool		found = false;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;
		AttrNumber	key[2];

		key[0] = form->indkey.values[0];
		key[1] = form->indnkeyatts > 1 ? form->indkey.values[1] : InvalidAttrNumber;
		if (form->indisvalid && RelationGetIndexPredicate(index) == NIL)
			found |= (key[0] == first && (second == InvalidAttrNumber || key[1] == second)) ||
				(either_order && key[0] == second && key[1] == first);
		index_close(index, AccessShareLock);
	}
	relation_close(rel, AccessShareLock);
	return found;
}

/*
 * Has the table an index by which its rows in one status are found: one that
 * begins with the status, or is for some statuses only?
 */
static bool
has_status_index(Oid relid, AttrNumber status)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;
	bool		found = false;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Bitmapset  *mentioned = NULL;

		pull_varattnos((Node *) RelationGetIndexPredicate(index), 1, &mentioned);
		found |= index->rd_index->indisvalid &&
			(index->rd_index->indkey.values[0] == status ||
			 bms_is_member(status - FirstLowInvalidHeapAttributeNumber, mentioned));
		index_close(index, AccessShareLock);
	}
	relation_close(rel, AccessShareLock);
	return found;
}

/*
 * Is there an index for the lookups by these columns of a table?
 */
static void
check_index(Preflight *preflight, SourceTable table, const char *first,
			const char *second, const char *third, bool either_order)
{
	const Source *source = preflight->source;
	Oid			relid = source->relid[table];
	AttrNumber	second_attnum = second ? cac_own_attnum(source, table, second) : InvalidAttrNumber;
	StringInfoData columns;

	if (get_rel_relkind(relid) == RELKIND_VIEW ||
		has_index(relid, cac_own_attnum(source, table, first), second_attnum, either_order))
		return;
	initStringInfo(&columns);
	appendStringInfoString(&columns, quote_identifier(cac_own_column(source, table, first)));
	if (second_attnum != InvalidAttrNumber)
		appendStringInfo(&columns, ", %s", quote_identifier(cac_own_column(source, table, second)));
	if (third != NULL && cac_own_column(source, table, third) != NULL)
		appendStringInfo(&columns, ", %s", quote_identifier(cac_own_column(source, table, third)));
	cac_advise(preflight,
		   psprintf("no index of %s begins with (%s), so that each campaign is looked for in all of it",
					source->table[table], columns.data),
		   psprintf("%s ON %s (%s);", create_index(relid), source->table[table], columns.data));
}

static void
check_open_index(Preflight *preflight)
{
	const Source *source = preflight->source;
	Oid			relid = source->relid[TABLE_CAMPAIGNS];
	const SourceLabel *label = cac_source_label(source, "campaigns", "sending");
	StringInfoData words;

	if (cac_is_view(relid) || has_status_index(relid, cac_own_attnum(source, TABLE_CAMPAIGNS, "status")))
		return;
	initStringInfo(&words);
	for (int i = 0; i < label->count; i++)
		appendStringInfo(&words, "%s%s = %s", i > 0 ? " OR " : "",
						 quote_identifier(cac_own_column(source, TABLE_CAMPAIGNS, "status")),
						 quote_literal_cstr(label->words[i]));
	cac_advise(preflight,
		   psprintf("no index of %s finds the open campaigns among all", source->table[TABLE_CAMPAIGNS]),
		   psprintf("%s ON %s (%s) WHERE %s;", create_index(relid), source->table[TABLE_CAMPAIGNS],
					quote_identifier(cac_own_column(source, TABLE_CAMPAIGNS, "id")), words.data));
}

void
cac_check_indexes(Preflight *preflight)
{
	const Source *source = preflight->source;
	SourceTable table = TABLE_INTERACTIONS;

	check_open_index(preflight);
	check_index(preflight, TABLE_MESSAGES, "campaign_id", "contact_id", "message_type", false);
	if (source->table[table] == NULL ||
		source->relid[table] == source->relid[TABLE_MESSAGES])
		return;
	if (cac_own_column(source, table, "campaign_id") != NULL)
		check_index(preflight, table, "campaign_id", "contact_id", NULL, true);
	else
		check_index(preflight, table, "contact_id", NULL, "received_at", false);
}

/* ----------------------------------------------------------------
 *		The trigger
 * ----------------------------------------------------------------
 */

/*
 * The trigger is missing or disabled, on the table or on a partition.
 */
static void
advise_on_trigger(Preflight *preflight)
{
	const Source *source = preflight->source;
	char	   *trigger = NULL;
	char	   *table = cac_find_unhinted(source->relid[TABLE_MESSAGES], &trigger);
	char	   *fix = NULL;

	if (table == NULL)
		return;
	if (trigger != NULL)
		fix = psprintf("ALTER TABLE %s ENABLE TRIGGER %s;", table, quote_identifier(trigger));
	else if (strcmp(table, source->table[TABLE_MESSAGES]) == 0)
		fix = cac_alter_call(source, "mode", source->mode == MODE_ACTIVE ? "active" : "shadow");
	cac_advise(preflight,
			   psprintf("the trigger \"%s\" on %s is %s: what ends a campaign is found by the next sweep",
						trigger ? trigger : HINT_TRIGGER, table,
						trigger ? "disabled" : "missing"), fix);
}

/*
 * Do changes of messages hint at the campaigns that they end?
 */
void
cac_check_trigger(Preflight *preflight)
{
	const Source *source = preflight->source;

	if (cac_is_view(source->relid[TABLE_MESSAGES]))
		cac_advise(preflight,
			   psprintf("%s is a view, which cannot have the trigger: what ends a campaign is found by the next sweep",
						source->table[TABLE_MESSAGES]), NULL);
	else if (source->distributed)
		cac_advise(preflight,
			   psprintf("Citus distributes %s, and has no triggers on such tables: what ends a campaign is found by the next sweep",
						source->table[TABLE_MESSAGES]), NULL);
	else if (!cac_source_words_plain(source, "status") || !cac_source_words_plain(source, "message_type"))
		cac_advise(preflight,
			   psprintf("the trigger on %s cannot read words of this type, or collation: what ends a campaign is found by the next sweep",
						source->table[TABLE_MESSAGES]), NULL);
	else if (!cac_source_hinted(source))
		advise_on_trigger(preflight);
}
