/*
 * attach.c
 *		Attaching and detaching sources: a row of campaign_source comes and goes.
 *
 * Only the owner of a source's tables may do it (or whoever has the owner's
 * privileges).  What is wrong with the tables is for preflight.c to say.  A trigger on campaign_source tells the other backends and the
 * launcher, which may have to look sooner than it meant to.
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "attach.h"
#include "attempt.h"
#include "citus.h"
#include "compat.h"
#include "preflight.h"
#include "preview.h"
#include "queries.h"
#include "template.h"
#include "table_triggers.h"

/*
 * Refuse callers who do not own the source's tables.  Of a source whose
 * tables are all gone nobody but a superuser can be told to be the owner.
 */
void
cac_check_owner(const Source *source)
{
	if (OidIsValid(source->owner) ?
		!has_privs_of_role(GetUserId(), source->owner) : !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of the tables of source \"%s\"",
						source->name),
				 OidIsValid(source->owner) ?
				 errhint("Ask the owner, role \"%s\".",
						 GetUserNameFromId(source->owner, false)) :
				 errhint("Ask a superuser.")));
}

/*
 * The qualified names of a source's tables, as campaign_source keeps them.
 */
static Datum
table_names(const Oid relid[NUM_SOURCE_TABLES])
{
	Datum		names[NUM_SOURCE_TABLES];
	bool		nulls[NUM_SOURCE_TABLES];
	int			dims[1] = {NUM_SOURCE_TABLES};
	int			lower_bounds[1] = {1};

	for (int i = 0; i < NUM_SOURCE_TABLES; i++)
	{
		char	   *name = OidIsValid(relid[i]) ? get_rel_name(relid[i]) : NULL;

		nulls[i] = (name == NULL);
		if (name != NULL)
			names[i] = CStringGetTextDatum(quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid[i])),
																	  name));
	}
	return PointerGetDatum(construct_md_array(names, nulls, 1, dims, lower_bounds,
											  TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Let a source act in this database.
 */
void
cac_arm(const char *name)
{
	static CatalogQuery query = CATALOG_QUERY(
		"INSERT INTO @.campaign_armed (source, database) VALUES ($1, $2)"
		" ON CONFLICT DO NOTHING");
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, name);
	cac_add_oid(&arguments, MyDatabaseId);
	cac_catalog_execute(&query, &arguments);
}

/*
 * cac_check_source_free
 *		Refuse (42710) a name that a source has already.
 *
 * Whoever makes a source waits here for others that do: of two who want the
 * same name, or the same table, the second is to be told that it is taken.
 */
void
cac_check_source_free(const char *name)
{
	ListCell   *lc;
	List	   *sources;

	LockRelationOid(cac_catalog_relid(), ShareUpdateExclusiveLock);
	sources = cac_source_list(false);
	foreach(lc, sources)
	{
		if (strcmp(lfirst(lc), name) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("source \"%s\" already exists", name),
					 errhint("Forget it first with campaign_detach(%s).",
							 quote_literal_cstr(name))));
	}
}

/* ----------------------------------------------------------------
 *		May these tables be attached?
 * ----------------------------------------------------------------
 */

/*
 * What the user calls a table that he attaches.
 */
static char *
qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name_or_temp(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

static bool
view_updatable(Oid relid)
{
	return (relation_is_updatable(relid, NIL, true, NULL) & (1 << CMD_UPDATE)) != 0;
}

/*
 * Refuse (42809) what cannot serve as this table of a source: campaigns and
 * messages are written, the others are only read.
 */
static void
check_relation_kind(SourceTable table, Oid relid)
{
	bool		written = table == TABLE_CAMPAIGNS || table == TABLE_MESSAGES;
	char		kind = get_rel_relkind(relid);
	const char *why = NULL;
	const char *hint = "Attach a table, a partitioned table or a view.";

	if (get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		why = "it is temporary";
	else if (kind == RELKIND_FOREIGN_TABLE)
		why = "it is a foreign table";
	else if (IsCatalogNamespace(get_rel_namespace(relid)) || IsToastNamespace(get_rel_namespace(relid)))
		why = "it is a system catalog";
	else if (kind == RELKIND_MATVIEW ? written : kind != RELKIND_RELATION &&
			 kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW)
		why = "it is neither a table nor a view";
	else if (kind == RELKIND_VIEW && written && !view_updatable(relid))
	{
		why = "it is a view that cannot be updated";
		hint = "Give it an INSTEAD OF UPDATE trigger, or attach the table below it.";
	}
	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot attach %s: %s", qualified_name(relid), why),
				 errhint("%s", hint)));
}

/*
 * Refuse (42710) a table that is another source's already, or a part of one, or
 * of which one is a part: both would judge the same rows.
 */
static void
check_relation_free(Oid relid)
{
	static CatalogQuery query = CATALOG_QUERY(
		"WITH RECURSIVE above AS (SELECT $1 AS relid UNION"
		"  SELECT i.inhparent FROM above JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = above.relid),"
		" below AS (SELECT $1 AS relid UNION"
		"  SELECT i.inhrelid FROM below JOIN pg_catalog.pg_inherits AS i ON i.inhparent = below.relid)"
		" SELECT source FROM @.campaign_source"
		" WHERE EXISTS (SELECT FROM (TABLE above UNION TABLE below) AS t WHERE t.relid IN (campaigns, messages))"
		" ORDER BY source LIMIT 1");
	CatalogArguments arguments = {0};

	cac_add_oid(&arguments, relid);
	if (cac_catalog_execute(&query, &arguments) > 0)
	{
		char	   *other = cac_row_text(0, 1);

		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("cannot attach %s: it belongs to source \"%s\"",
						qualified_name(relid), other),
				 errhint("Forget that one first with campaign_detach(%s).",
						 quote_literal_cstr(other))));
	}
}

/*
 * Refuse (42501) somebody else's table.
 */
static void
check_relation_owner(Oid relid)
{
	if (!CAC_OWNS_TABLE(relid, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of %s", qualified_name(relid)),
				 errhint("Only the owner of the tables may attach them.")));
}

static void
check_relations(const Oid relid[NUM_SOURCE_TABLES])
{
	for (int table = 0; table < NUM_SOURCE_TABLES; table++)
	{
		if (!OidIsValid(relid[table]))
			continue;
		if (get_rel_name(relid[table]) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("relation with OID %u does not exist", relid[table])));
		check_relation_owner(relid[table]);
		check_relation_kind(table, relid[table]);
	}
	if (relid[TABLE_CAMPAIGNS] == relid[TABLE_MESSAGES])
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot attach %s as both campaigns and messages",
						qualified_name(relid[TABLE_CAMPAIGNS])),
				 errhint("Attach the table that has a row for each message as messages.")));
	check_relation_free(relid[TABLE_CAMPAIGNS]);
	check_relation_free(relid[TABLE_MESSAGES]);
}

/* ----------------------------------------------------------------
 *		Attaching
 * ----------------------------------------------------------------
 */

static void
insert_source(const AttachRequest *request)
{
	static CatalogQuery query = CATALOG_QUERY(
		"INSERT INTO @.campaign_source (source, campaigns, messages, interactions, contacts,"
		" search_path, attached_names, columns, labels)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING");
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, request->name);
	for (int i = 0; i < NUM_SOURCE_TABLES; i++)
		cac_add_oid(&arguments, request->relid[i]);
	cac_add_text(&arguments, namespace_search_path);
	cac_add_datum(&arguments, TEXTARRAYOID, table_names(request->relid), false);
	cac_add_datum(&arguments, JSONBOID, JsonbPGetDatum(request->columns), false);
	cac_add_datum(&arguments, JSONBOID, JsonbPGetDatum(request->labels), false);
	/* a snapshot that is too old to have seen the other raises 40001 */
	if (cac_catalog_execute(&query, &arguments) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("source \"%s\", or one of its tables, is attached already",
						request->name)));
}

/*
 * Write down which columns the tables lack, so that one that goes missing later
 * is known from one that never was.
 */
static void
write_absent_columns(const AttachRequest *request)
{
	static CatalogQuery query = CATALOG_QUERY(
		"UPDATE @.campaign_source SET columns = columns || pg_catalog.jsonb_build_object("
		" $2, coalesce(columns -> $2, '{}') || $3::pg_catalog.jsonb) WHERE source = $1");

	for (int table = 0; table < NUM_SOURCE_TABLES; table++)
	{
		CatalogArguments arguments = {0};
		char	   *absent;

		if (!OidIsValid(request->relid[table]))
			continue;
		absent = cac_absent_columns(request->relid, request->columns, table);
		if (absent == NULL)
			continue;
		cac_add_name(&arguments, request->name);
		cac_add_text(&arguments, cac_table_names[table]);
		cac_add_text(&arguments, absent);
		cac_catalog_execute(&query, &arguments);
	}
}

static void
write_mode(const char *name, const char *mode)
{
	static CatalogQuery query = CATALOG_QUERY(
		"UPDATE @.campaign_source SET mode = $2 WHERE source = $1");
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, name);
	cac_add_text(&arguments, mode);
	cac_catalog_execute(&query, &arguments);
}

/*
 * Without types of messages there is no Message 2 to wait for.
 */
static void
write_completion_rule(const Source *source)
{
	static CatalogQuery query = CATALOG_QUERY(
		"UPDATE @.campaign_source SET completion_rule = 'messages' WHERE source = $1");
	CatalogArguments arguments = {0};

	if (cac_source_column(source, TABLE_MESSAGES, "message_type")->name != NULL)
		return;
	cac_add_name(&arguments, source->name);
	cac_catalog_execute(&query, &arguments);
}

/*
 * What activating the source would do at this moment, palloc'd.
 */
static char *
describe_activation(Source *source)
{
	PreviewTotals totals;

	if (source->fault_code != 0)
		return pstrdup("What it would do is not known before it is mended.");
	cac_preview_totals(source, GetCurrentTimestamp(), &totals);
	return psprintf("If it were active, it would now close " INT64_FORMAT " of them, mark " INT64_FORMAT
					" messages as silent, and fail " INT64_FORMAT " pending ones.",
					totals.closed, totals.marked, totals.failed);
}

/* How many campaigns are open; AttemptFunction's. */
typedef struct OpenCount
{
	Source	   *source;
	int64		count;
} OpenCount;

static void
count_open(void *arg)
{
	OpenCount  *open = arg;
	SavedIdentity saved;

	cac_source_enter_to_read(open->source, &saved);
	(void) cac_open_campaigns(open->source, CurrentMemoryContext, &open->count);
	cac_leave(&saved);
}

/*
 * Say that the source starts in shadow mode where campaigns are open; false
 * where none is.  Where the owner may not read them, which the findings tell,
 * nobody knows.
 */
static bool
report_open_campaigns(Source *source)
{
	OpenCount	open = {.source = source};
	ErrorData  *error;

	if (!cac_reaches_nodes(source))
		return true;
	if (!cac_attempt(count_open, &open, 0, &error))
	{
		if (error->sqlerrcode != ERRCODE_INSUFFICIENT_PRIVILEGE)
			ReThrowError(error);
		return true;
	}
	if (open.count == 0)
		return false;
	ereport(NOTICE,
			(errmsg("source \"%s\" starts in shadow mode, as " INT64_FORMAT " of its campaigns are open",
					source->name, open.count),
			 errdetail_internal("%s", describe_activation(source)),
			 errhint("SELECT * FROM campaign_preview(%s) shows each change; activate it with campaign_alter(%s, 'mode', 'active').",
					 quote_literal_cstr(source->name), quote_literal_cstr(source->name))));
	return true;
}

/*
 * Where nothing tells a reply, neither an interaction nor a Message 2, silence
 * means nothing: nobody is marked no_interaction, unless "labels" has a word for
 * it.
 */
static void
write_no_silence(const Source *source)
{
	static CatalogQuery query = CATALOG_QUERY(
		"UPDATE @.campaign_source SET labels = labels || pg_catalog.jsonb_build_object("
		" 'messages', coalesce(labels -> 'messages', '{}') || '{\"no_interaction\": null}')"
		" WHERE source = $1 AND NOT coalesce(labels -> 'messages' ? 'no_interaction', false)");
	CatalogArguments arguments = {0};

	if (source->table[TABLE_INTERACTIONS] != NULL ||
		cac_source_column(source, TABLE_MESSAGES, "message_type")->name != NULL)
		return;
	cac_add_name(&arguments, source->name);
	cac_catalog_execute(&query, &arguments);
}

/*
 * cac_attach_standard
 *		Make a source of the standard tables, active and armed.
 *
 * SPI must be connected.  Raises 42710 where the name is taken.
 */
void
cac_attach_standard(const AttachRequest *request)
{
	cac_check_source_free(request->name);
	insert_source(request);
	cac_arm(request->name);
	cac_create_message_trigger(cac_source_open(request->name));
}

/*
 * cac_attach
 *		Make a source of an application's tables.
 *
 * It acts at once where no campaign is open; otherwise, or where something
 * would refuse what it writes, it starts in shadow mode.  The trigger comes
 * last, as it locks out whoever writes messages until the transaction ends.
 *
 * SPI must be connected.  Raises 42710 (the name, or a table, is taken), 42501
 * (somebody else's table), 42809 (not a table that can be attached), and what
 * is wrong with the tables, all of it in one error.
 */
void
cac_attach(const AttachRequest *request)
{
	Source	   *source;
	bool		acts;

	cac_check_source_free(request->name);
	check_relations(request->relid);
	insert_source(request);
	write_absent_columns(request);
	write_completion_rule(cac_source_open(request->name));
	write_no_silence(cac_source_open(request->name));
	write_mode(request->name, "shadow");
	cac_arm(request->name);

	source = cac_source_open(request->name);
	acts = cac_report_findings(source);
	if (report_open_campaigns(source))
		acts = false;
	if (acts)
		write_mode(request->name, "active");
	if (source->distributed)
		ereport(NOTICE,
				(errmsg("what ends a campaign of source \"%s\" is found by the sweeps", source->name),
				 errdetail("Citus has no triggers on distributed tables, so there are no hints."),
				 errhint("How soon is set by \"sending_every\": see campaign_alter().")));
	/* a table restored without data has one, of a source that is not */
	cac_renew_message_trigger(cac_source_open(request->name));
}

/*
 * Take the tables' present names for the right ones.  One that is gone keeps the
 * name that it had.
 */
void
cac_accept_names(const Source *source)
{
	static CatalogQuery query = CATALOG_QUERY(
		"UPDATE @.campaign_source SET attached_names ="
		" (SELECT pg_catalog.array_agg(coalesce(t.now, t.before) ORDER BY t.n)"
		"  FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest(attached_names)) WITH ORDINALITY AS t(now, before, n))"
		" WHERE source = $1");
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, source->name);
	cac_add_datum(&arguments, TEXTARRAYOID, table_names(source->relid), false);
	cac_catalog_execute(&query, &arguments);
}

/*
 * cac_detach
 *		Forget a source, with its history: a source of the same name may be
 *		somebody else's.
 *
 * SPI must be connected.  Raises 42704, 42501.
 */
void
cac_detach(const char *name)
{
	static CatalogQuery queries[] = {
		CATALOG_QUERY("DELETE FROM @.campaign_source WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_armed WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_event WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_sweep_run WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_state WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_reopening WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_retry WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_blackout WHERE source = $1")
	};
	CatalogArguments arguments = {0};
	Source	   *source = cac_source_open(name);

	cac_check_owner(source);
	cac_drop_message_trigger(source);
	cac_add_name(&arguments, name);
	for (int i = 0; i < lengthof(queries); i++)
		cac_catalog_execute(&queries[i], &arguments);
}
