/*
 * preflight.c
 *		What would go wrong with a source, found before it does, and the SQL that
 *		mends it.
 *
 * Each check looks at the system catalogs or at the open campaigns, and locks
 * nothing but against DDL.  What mapping.c finds wrong with columns and words
 * comes first; where there is any of that, checks that would need these columns
 * are not made.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "compat.h"
#include "keys.h"
#include "preflight.h"
#include "template.h"
#include "triggers.h"

/* How many examples of a kind are told. */
#define MAX_EXAMPLES	10
/* How many messages are looked at where no campaign is open. */
#define SAMPLE			"10000"

/*
 * cac_find
 *		Add a finding to the check that is being made.
 */
void
cac_find(Preflight *preflight, FindingSeverity severity, int code,
		 char *detail, char *fix)
{
	Finding    *finding = palloc(sizeof(Finding));

	finding->check = preflight->check;
	finding->severity = severity;
	finding->code = code;
	finding->detail = detail;
	finding->fix = fix;
	preflight->findings = lappend(preflight->findings, finding);
}

static void
advise(Preflight *preflight, char *detail, char *fix)
{
	cac_find(preflight, FINDING_ADVICE, 0, detail, fix);
}

/*
 * cac_preflight_query
 *		Run a query that writes nothing; returns how many rows there are in
 *		SPI_tuptable.
 */
uint64
cac_preflight_query(const char *text)
{
	MemoryContext caller = CurrentMemoryContext;
	int			code = SPI_execute(text, true, 0);

	if (code < 0)
		elog(ERROR, "could not execute \"%s\": %s", text,
			 SPI_result_code_string(code));
	MemoryContextSwitchTo(caller);
	return SPI_processed;
}

/*
 * cac_alter_call
 *		The SQL that changes a setting of a source.
 */
char *
cac_alter_call(const Source *source, const char *setting, const char *value)
{
	bool		visible = RelationIsVisible(cac_catalog_relid());

	return psprintf("SELECT %s(%s, '%s', %s);",
					visible ? "campaign_alter" : cac_catalog_text("@.campaign_alter"),
					quote_literal_cstr(source->name), setting, quote_literal_cstr(value));
}

static const char *
own_column(const Source *source, SourceTable table, const char *standard_name)
{
	return cac_source_column(source, table, standard_name)->name;
}

static bool
is_view(Oid relid)
{
	return get_rel_relkind(relid) == RELKIND_VIEW;
}

/* CREATE INDEX, so that nobody has to wait for it where that can be */
static const char *
create_index(Oid relid)
{
	return get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE ?
		"CREATE INDEX" : "CREATE INDEX CONCURRENTLY";
}

static AttrNumber
own_attnum(const Source *source, SourceTable table, const char *standard_name)
{
	const char *name = own_column(source, table, standard_name);

	return name ? get_attnum(source->relid[table], name) : InvalidAttrNumber;
}

/*
 * Is there a fault that leaves no columns to check by?
 */
static bool
columns_at_fault(const Source *source)
{
	ListCell   *lc;

	foreach(lc, source->faults)
		if (strcmp(((SourceFault *) lfirst(lc))->check, "time_zone") != 0)
			return true;
	return source->fault_code != 0 && source->faults == NIL;
}

/* ----------------------------------------------------------------
 *		The tables
 * ----------------------------------------------------------------
 */

/*
 * What mapping.c has noted of the columns, or the labels.
 */
static void
check_faults(Preflight *preflight)
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
static void
check_time_zone(Preflight *preflight)
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

	if (is_view(relid))
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
				 pstrdup(is_view(relid) ? "Have the view show the table's own column, or give it an INSTEAD OF UPDATE trigger." :
						 "Attach another column, or make it one that is not generated.") :
				 psprintf("Do without it, by {\"%s\": {\"%s\": null}} in \"columns\".",
						  cac_table_names[column->table], column->standard_name));
	}
}

static void
check_columns(Preflight *preflight)
{
	check_faults(preflight);
	if (!columns_at_fault(preflight->source))
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
	const char *name = own_column(source, table, "campaign_id");
	Oid			campaigns = source->relid[TABLE_CAMPAIGNS];

	if (name == NULL || is_view(campaigns))
		return;
	if (cac_preflight_query(psprintf("WITH known AS (SELECT %u::pg_catalog.oid AS relid UNION"
									 "  SELECT inhparent FROM pg_catalog.pg_inherits WHERE inhrelid = %u UNION"
									 "  SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = %u UNION"
									 "  SELECT confrelid FROM pg_catalog.pg_constraint WHERE contype = 'f'"
									 "   AND conrelid = %u AND conkey = ARRAY[%d]::pg_catalog.int2[])"
									 " SELECT pg_catalog.min(confrelid::pg_catalog.regclass::pg_catalog.text) FROM pg_catalog.pg_constraint"
									 " WHERE contype = 'f' AND conrelid = %u AND conkey = ARRAY[%d]::pg_catalog.int2[]"
									 " HAVING NOT pg_catalog.bool_or(confrelid IN (TABLE known))",
									 campaigns, campaigns, campaigns, campaigns,
									 own_attnum(source, TABLE_CAMPAIGNS, "id"),
									 source->relid[table], own_attnum(source, table, "campaign_id"))) > 0)
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
static void
check_relations(Preflight *preflight)
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
static void
check_rights(Preflight *preflight)
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
					 psprintf("ALTER TABLE %s NO FORCE ROW LEVEL SECURITY; -- or: ALTER ROLE %s BYPASSRLS;",
							  source->table[table], quote_identifier(owner)));
	}
	preflight->lacks_rights = list_length(preflight->findings) > before;
}

/* ----------------------------------------------------------------
 *		Indexes
 * ----------------------------------------------------------------
 */

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
	AttrNumber	second_attnum = second ? own_attnum(source, table, second) : InvalidAttrNumber;
	StringInfoData columns;

	if (get_rel_relkind(relid) == RELKIND_VIEW ||
		has_index(relid, own_attnum(source, table, first), second_attnum, either_order))
		return;
	initStringInfo(&columns);
	appendStringInfoString(&columns, quote_identifier(own_column(source, table, first)));
	if (second_attnum != InvalidAttrNumber)
		appendStringInfo(&columns, ", %s", quote_identifier(own_column(source, table, second)));
	if (third != NULL && own_column(source, table, third) != NULL)
		appendStringInfo(&columns, ", %s", quote_identifier(own_column(source, table, third)));
	advise(preflight,
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

	if (is_view(relid) || has_status_index(relid, own_attnum(source, TABLE_CAMPAIGNS, "status")))
		return;
	initStringInfo(&words);
	for (int i = 0; i < label->count; i++)
		appendStringInfo(&words, "%s%s = %s", i > 0 ? " OR " : "",
						 quote_identifier(own_column(source, TABLE_CAMPAIGNS, "status")),
						 quote_literal_cstr(label->words[i]));
	advise(preflight,
		   psprintf("no index of %s finds the open campaigns among all", source->table[TABLE_CAMPAIGNS]),
		   psprintf("%s ON %s (%s) WHERE %s;", create_index(relid), source->table[TABLE_CAMPAIGNS],
					quote_identifier(own_column(source, TABLE_CAMPAIGNS, "id")), words.data));
}

static void
check_indexes(Preflight *preflight)
{
	const Source *source = preflight->source;
	SourceTable table = TABLE_INTERACTIONS;

	check_open_index(preflight);
	check_index(preflight, TABLE_MESSAGES, "campaign_id", "contact_id", "message_type", false);
	if (source->table[table] == NULL ||
		source->relid[table] == source->relid[TABLE_MESSAGES])
		return;
	if (own_column(source, table, "campaign_id") != NULL)
		check_index(preflight, table, "campaign_id", "contact_id", NULL, true);
	else
		check_index(preflight, table, "contact_id", NULL, "received_at", false);
}

/* ----------------------------------------------------------------
 *		The open campaigns' messages
 * ----------------------------------------------------------------
 */

/*
 * The rows of SPI_tuptable, of a word and a count, as "word" (count), ...
 */
static char *
counted_words(uint64 rows)
{
	StringInfoData list;

	initStringInfo(&list);
	for (uint64 i = 0; i < rows && i < MAX_EXAMPLES; i++)
	{
		char	   *word = cac_row_text(i, 1);

		appendStringInfo(&list, "%s%s (" INT64_FORMAT ")", i > 0 ? ", " : "",
						 word ? psprintf("\"%s\"", word) : "NULL",
						 cac_row_count(i, 2));
	}
	if (rows > MAX_EXAMPLES)
		appendStringInfoString(&list, ", ...");
	return list.data;
}

/*
 * Contacts of an open campaign with several rows of Message 1.
 */
static void
check_duplicates(Preflight *preflight)
{
	const Source *source = preflight->source;
	const char *select =
		"SELECT @m.campaign_id@ AS campaign, @m.contact_id@ AS contact, pg_catalog.count(*) AS messages"
		" FROM @campaigns@ AS c JOIN @messages@ AS m ON @m.campaign_id@ @=@ @c.id@"
		" WHERE @c.status:sending@ AND @m.message_type:message_1@ AND @m.contact_id@ IS NOT NULL"
		" GROUP BY 1, 2 HAVING pg_catalog.count(*) > 1";
	char	   *expanded = cac_expand(source, select, NULL);

	cac_preflight_query(psprintf("SELECT pg_catalog.count(*) FROM (%s) AS duplicates", expanded));
	if (cac_row_count(0, 1) > 0)
		advise(preflight,
			   psprintf("in open campaigns, " INT64_FORMAT " contacts have more than one Message 1; a contact is finished when all of them are",
						cac_row_count(0, 1)),
			   psprintf("%s; -- and delete what is too much", expanded));
	SPI_freetuptable(SPI_tuptable);
}

/*
 * The words of "pending", and those in the rows of SPI_tuptable, as JSON.
 */
static char *
pending_and(const Source *source, uint64 rows)
{
	const SourceLabel *label = cac_source_label(source, "messages", "pending");
	StringInfoData json;

	initStringInfo(&json);
	for (int i = 0; i < label->count; i++)
	{
		appendStringInfoString(&json, i > 0 ? ", " : "");
		escape_json(&json, label->words[i]);
	}
	for (uint64 i = 0; i < rows; i++)
	{
		char	   *word = cac_row_text(i, 1);

		if (word == NULL)
			continue;
		appendStringInfoString(&json, json.len > 0 ? ", " : "");
		escape_json(&json, word);
	}
	return json.data;
}

/*
 * Messages in statuses that no label maps: of open campaigns or, where there
 * are none of these, among some messages of any.
 */
static void
check_statuses(Preflight *preflight)
{
	const Source *source = preflight->source;
	const char *of_open = "(SELECT m.* FROM @campaigns@ AS c JOIN @messages@ AS m"
		" ON @m.campaign_id@ @=@ @c.id@ WHERE @c.status:sending@)";
	const char *of_any = "(SELECT m.* FROM @messages@ AS m LIMIT " SAMPLE ")";
	const char *unmapped =
		"SELECT @m.status@::pg_catalog.text, pg_catalog.count(*) FROM %s AS m"
		" WHERE @m.message_type:message_1,message_2@"
		" AND @m.status:pending,sent,delivered,read,failed,no_interaction,ignored@ IS NOT TRUE"
		" GROUP BY 1 ORDER BY 2 DESC, 1";
	uint64		rows;

	rows = cac_preflight_query(cac_expand(source, psprintf(unmapped, of_open), NULL));
	if (rows == 0)
		rows = cac_preflight_query(cac_expand(source, psprintf(unmapped, of_any), NULL));
	if (rows > 0)
		advise(preflight,
			   psprintf("statuses of messages that no label maps count as pending, and keep their campaigns open: %s",
						counted_words(rows)),
			   rows == 1 && cac_row_text(0, 1) == NULL ? NULL :
			   psprintf("%s -- or under the word that they stand for",
						cac_alter_call(source, "labels",
									   psprintf("{\"messages\": {\"pending\": [%s]}}", pending_and(source, rows)))));
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Open campaigns whose messages are of no known type, all of them.
 */
static void
check_types(Preflight *preflight)
{
	const Source *source = preflight->source;
	uint64		rows;

	if (own_column(source, TABLE_MESSAGES, "message_type") == NULL)
		return;
	rows = cac_preflight_query(cac_expand(source,
							"SELECT @m.message_type@::pg_catalog.text, pg_catalog.count(*)"
							" FROM @campaigns@ AS c JOIN @messages@ AS m ON @m.campaign_id@ @=@ @c.id@"
							" WHERE @c.status:sending@ GROUP BY 1"
							" HAVING NOT EXISTS (SELECT FROM @campaigns@ AS c JOIN @messages@ AS m ON @m.campaign_id@ @=@ @c.id@"
							"  WHERE @c.status:sending@ AND @m.message_type:message_1@)"
							" ORDER BY 2 DESC, 1", NULL));
	if (rows > 0)
		advise(preflight,
			   psprintf("no message of an open campaign is a Message 1; their types are: %s",
						counted_words(rows)),
			   cac_alter_call(source, "labels",
							  "{\"message_types\": {\"message_1\": \"...\", \"message_2\": \"...\"}}"));
	SPI_freetuptable(SPI_tuptable);
}

/* ----------------------------------------------------------------
 *		What the rules would want to know
 * ----------------------------------------------------------------
 */

/*
 * The SQL that adds the columns which a table lacks, for the application to
 * write, and says so to the source.  A view has to be given them by hand.
 */
static char *
tell_launch(const Source *source, bool started, bool resumed)
{
	Oid			relid = source->relid[TABLE_CAMPAIGNS];
	const char *columns[] = {started ? "started_at" : NULL, resumed ? "resumed_at" : NULL};
	StringInfoData add;
	StringInfoData mapping;

	initStringInfo(&add);
	initStringInfo(&mapping);
	for (int i = 0; i < lengthof(columns); i++)
	{
		if (columns[i] == NULL)
			continue;
		if (get_attnum(relid, columns[i]) == InvalidAttrNumber)
			appendStringInfo(&add, "%s ADD COLUMN %s timestamptz", add.len > 0 ? "," : "", columns[i]);
		appendStringInfo(&mapping, "%s\"%s\": \"%s\"", mapping.len > 0 ? ", " : "", columns[i], columns[i]);
	}
	if (is_view(relid) && add.len > 0)
		return NULL;
	return psprintf("%s%s", add.len == 0 ? "" :
					psprintf("ALTER TABLE %s%s; ", source->table[TABLE_CAMPAIGNS], add.data),
					cac_alter_call(source, "columns", psprintf("{\"campaigns\": {%s}}", mapping.data)));
}

/*
 * When was a campaign launched, or resumed?
 */
static void
check_launch(Preflight *preflight)
{
	const Source *source = preflight->source;
	const char *table = source->table[TABLE_CAMPAIGNS];
	bool		started = own_column(source, TABLE_CAMPAIGNS, "started_at") != NULL;
	bool		resumed = own_column(source, TABLE_CAMPAIGNS, "resumed_at") != NULL;

	if (started && resumed)
		return;
	advise(preflight,
		   !started && !resumed ?
		   psprintf("%s has neither \"started_at\" nor \"resumed_at\": a campaign that is launched, or resumed, long after it was created times out at once", table) :
		   !started ? psprintf("%s has no \"started_at\": a campaign that is launched long after it was created times out at once", table) :
		   psprintf("%s has no \"resumed_at\": a campaign that is resumed after a long pause times out at once", table),
		   tell_launch(source, !started, !resumed));
}

/*
 * How is it known that a contact has replied?
 */
static void
check_interactions(Preflight *preflight)
{
	const Source *source = preflight->source;
	const char *campaign;

	if (source->table[TABLE_INTERACTIONS] == NULL)
	{
		if (source->policy.completion_rule == COMPLETION_CONTACTS)
			advise(preflight,
				   pstrdup("there is no table of interactions: a reply shows only by its Message 2"),
				   pstrdup("Attach with \"interactions\", a table or view of the replies."));
		return;
	}
	campaign = own_column(source, TABLE_INTERACTIONS, "campaign_id");
	if (campaign != NULL && own_column(source, TABLE_INTERACTIONS, "received_at") == NULL &&
		cac_preflight_query(cac_expand(source, "SELECT FROM @interactions@ AS i WHERE @i.campaign_id@ IS NULL LIMIT 1", NULL)) > 0)
		advise(preflight,
			   psprintf("interactions in %s without a campaign are not matched to any, as it has no \"received_at\"",
						source->table[TABLE_INTERACTIONS]),
			   cac_alter_call(source, "columns", "{\"interactions\": {\"received_at\": \"...\"}}"));
}

/*
 * Do changes of messages hint at the campaigns that they end?
 */
static void
check_trigger(Preflight *preflight)
{
	const Source *source = preflight->source;

	if (is_view(source->relid[TABLE_MESSAGES]))
		advise(preflight,
			   psprintf("%s is a view, which cannot have the trigger: what ends a campaign is found by the next sweep",
						source->table[TABLE_MESSAGES]), NULL);
	else if (!cac_source_words_plain(source, "status") || !cac_source_words_plain(source, "message_type"))
		advise(preflight,
			   psprintf("the trigger on %s cannot read words of this type, or collation: what ends a campaign is found by the next sweep",
						source->table[TABLE_MESSAGES]), NULL);
	else if (!cac_source_hinted(source))
	{
		char	   *trigger = cac_find_message_trigger(source->relid[TABLE_MESSAGES]);

		advise(preflight,
			   psprintf("the trigger \"%s\" on %s is %s: what ends a campaign is found by the next sweep",
						HINT_TRIGGER, source->table[TABLE_MESSAGES],
						trigger == NULL ? "missing" : strcmp(trigger, HINT_TRIGGER) == 0 ? "disabled" : "called otherwise"),
			   trigger == NULL ?
			   cac_alter_call(source, "mode", source->mode == MODE_ACTIVE ? "active" : "shadow") :
			   strcmp(trigger, HINT_TRIGGER) == 0 ?
			   psprintf("ALTER TABLE %s ENABLE TRIGGER %s;", source->table[TABLE_MESSAGES], HINT_TRIGGER) :
			   psprintf("ALTER TRIGGER %s ON %s RENAME TO %s;", quote_identifier(trigger),
						source->table[TABLE_MESSAGES], HINT_TRIGGER));
	}
}

/* ----------------------------------------------------------------
 *		All of it
 * ----------------------------------------------------------------
 */

static const struct
{
	const char *name;
	void		(*check) (Preflight *preflight);
	bool		needs_columns;	/* not made where any of them is at fault, where
								 * the owner may not read the tables, nor where
								 * these do not belong together */
	bool		advises;		/* finds nothing that prevents acting */
}			checks[] = {
	{"tables", check_faults},
	{"columns", check_columns},
	{"labels", check_faults},
	{"time zone", check_time_zone},
	{"rights", check_rights, true},
	{"relations", check_relations, true},
	{"words", cac_check_words, true},
	{"indexes", check_indexes, true, true},
	{"message types", check_types, true, true},
	{"message statuses", check_statuses, true, true},
	{"duplicates", check_duplicates, true, true},
	{"launch", check_launch, true, true},
	{"interactions", check_interactions, true, true},
	{"trigger", check_trigger, true, true}
};

/*
 * The name of the n-th check, NULL behind the last.
 */
const char *
cac_preflight_check(int n)
{
	return n < lengthof(checks) ? checks[n].name : NULL;
}

static Finding *
first_finding(List *findings, FindingSeverity severity)
{
	ListCell   *lc;

	foreach(lc, findings)
		if (((Finding *) lfirst(lc))->severity >= severity)
			return lfirst(lc);
	return NULL;
}

/* Which checks to make */
typedef enum Checks
{
	CHECKS_OF_FITNESS,			/* those without advice */
	CHECKS_TO_ATTACH,			/* all but the trigger, which comes last */
	CHECKS_ALL
} Checks;

static List *
run_checks(Source *source, Checks which)
{
	Preflight	preflight = {.source = source};
	bool		at_fault = columns_at_fault(source);
	bool		as_owner = OidIsValid(source->owner) &&
		has_privs_of_role(GetUserId(), source->owner);
	SavedIdentity saved;

	for (int i = 0; i < lengthof(checks); i++)
	{
		preflight.check = checks[i].name;
		if (at_fault && checks[i].needs_columns)
			continue;
		if ((checks[i].advises && which == CHECKS_OF_FITNESS) ||
			(checks[i].check == check_trigger && which != CHECKS_ALL))
			continue;
		/*
		 * The owner's constraints and views may call functions of his, which
		 * are not for others to run with their rights.  Whoever may read the
		 * tables expects so of views, but not of constraints.
		 */
		cac_source_enter(source, as_owner || (checks[i].check == cac_check_words && OidIsValid(source->owner)), &saved);
		checks[i].check(&preflight);
		cac_leave(&saved);
		if (checks[i].check == check_relations)
			at_fault |= first_finding(preflight.findings, FINDING_REFUSE) != NULL;
		else if (checks[i].check == check_rights && as_owner)
			at_fault |= preflight.lacks_rights;
	}
	return preflight.findings;
}

/*
 * cac_preflight
 *		What is wrong with a source, as a List of Finding, in the order of the
 *		checks.
 *
 * SPI must be connected.  The caller must be able to read the tables.
 */
List *
cac_preflight(Source *source)
{
	return run_checks(source, CHECKS_ALL);
}

/*
 * Findings of a severity, or worse, each with what mends it, as the lines of an
 * error's detail.
 */
static char *
list_findings(List *findings, FindingSeverity severity)
{
	StringInfoData list;
	ListCell   *lc;

	initStringInfo(&list);
	foreach(lc, findings)
	{
		Finding    *finding = lfirst(lc);

		if (finding->severity < severity)
			continue;
		appendStringInfo(&list, "%s- %s", list.len > 0 ? "\n" : "", finding->detail);
		if (finding->fix != NULL)
			appendStringInfo(&list, "\n  %s", finding->fix);
	}
	return list.data;
}

/*
 * cac_report_findings
 *		Refuse to attach a source with which nothing can be done, in one error
 *		with all that is wrong; warn of the rest.  Returns whether it may act.
 */
bool
cac_report_findings(Source *source)
{
	List	   *findings = run_checks(source, CHECKS_TO_ATTACH);
	Finding    *refusal = first_finding(findings, FINDING_REFUSE);
	bool		acts = first_finding(findings, FINDING_HOLD) == NULL;

	if (refusal != NULL)
		ereport(ERROR,
				(errcode(refusal->code),
				 errmsg("cannot attach these tables as source \"%s\"", source->name),
				 errdetail_internal("%s", list_findings(findings, FINDING_REFUSE)),
				 errhint("Nothing was changed.  Mend what is listed, and attach them again.")));
	if (findings != NIL)
		ereport(acts ? NOTICE : WARNING,
				(acts ? errmsg("source \"%s\" could work better", source->name) :
				 errmsg("source \"%s\" cannot act yet", source->name),
				 errdetail_internal("%s", list_findings(findings, acts ? FINDING_ADVICE : FINDING_HOLD)),
				 errhint("SELECT * FROM campaign_preflight(%s) lists all that was found.",
						 quote_literal_cstr(source->name))));
	return acts;
}

/*
 * cac_report_mapping
 *		Refuse "columns" or "labels", as they are now, with which nothing can be
 *		done, in one error with all that is wrong; warn of what keeps the source
 *		from acting.
 *
 * That a table is gone, or that the other of the two does not fit, is neither its
 * fault nor mended by it.
 */
void
cac_report_mapping(Source *source, const char *setting)
{
	List	   *all = run_checks(source, CHECKS_OF_FITNESS);
	List	   *findings = NIL;
	Finding    *refusal;
	ListCell   *lc;

	foreach(lc, all)
	{
		const char *check = ((Finding *) lfirst(lc))->check;

		if (strcmp(check, "tables") != 0 &&
			strcmp(check, strcmp(setting, "columns") == 0 ? "labels" : "columns") != 0)
			findings = lappend(findings, lfirst(lc));
	}
	refusal = first_finding(findings, FINDING_REFUSE);
	if (refusal != NULL)
		ereport(ERROR,
				(errcode(refusal->code),
				 errmsg("cannot change \"%s\" of source \"%s\"", setting, source->name),
				 errdetail_internal("%s", list_findings(findings, FINDING_REFUSE)),
				 errhint("Nothing was changed.  Mend what is listed, and change it again.")));
	if (findings != NIL)
		ereport(WARNING,
				(errmsg("source \"%s\" cannot act yet", source->name),
				 errdetail_internal("%s", list_findings(findings, FINDING_HOLD)),
				 errhint("SELECT * FROM campaign_preflight(%s) lists all that was found.",
						 quote_literal_cstr(source->name))));
}

/*
 * cac_require_fit_to_act
 *		Refuse (55000) to activate a source while something would refuse what it
 *		writes.
 */
void
cac_require_fit_to_act(Source *source)
{
	List	   *findings;

	if (columns_at_fault(source))
		return;					/* so it does nothing, whatever its mode */
	findings = run_checks(source, CHECKS_OF_FITNESS);
	if (first_finding(findings, FINDING_HOLD) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("source \"%s\" cannot act yet", source->name),
				 errdetail_internal("%s", list_findings(findings, FINDING_HOLD)),
				 errhint("SELECT * FROM campaign_preflight(%s) lists all that was found.",
						 quote_literal_cstr(source->name))));
}
