/*
 * catalog.c
 *		The extension's own tables, and who we are while we use them.
 *
 * Callers of our functions have no right to write the extension's tables, so
 * that a history cannot be forged.  Statements on them run as the extension's
 * owner, under a search_path that nobody else controls, and are fixed texts:
 * only values come from outside.
 *
 * The extension's schema, owner and version are looked up once and remembered
 * until the relation cache or the namespace cache says that they may have
 * changed; a new generation makes every CatalogQuery prepare itself again.
 * Objects of a version that this library does not serve (version.c) are left
 * alone.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "version.h"

#define EXTENSION_NAME	"campaign_autoclose"

/* What is known of the extension, while "valid". */
static struct
{
	bool		registered;		/* are the callbacks in place? */
	bool		valid;
	uint64		generation;
	Oid			owner;
	Oid			source_relid;	/* campaign_source */
	NameData	schema;
	char		version[64];	/* of its objects */
} extension;

/* Counts whatever may have changed the extension's own tables, or its version. */
uint64		cac_extension_changes = 0;

/*
 * Become "user" (InvalidOid: stay who we are), with these security flags and
 * this search_path, and refuse to read through row-level security.  Everything
 * is undone by cac_leave(), or by the abort of the (sub)transaction.
 */
void
cac_enter(Oid user, int security_flags, const char *search_path,
		  SavedIdentity *saved)
{
	GetUserIdAndSecContext(&saved->user, &saved->security_context);
	saved->guc_level = NewGUCNestLevel();
	if (OidIsValid(user))
		SetUserIdAndSecContext(user, saved->security_context | security_flags);
	(void) set_config_option("search_path", search_path,
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("row_security", "off",
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	/* a plan that looks costly, as of a report over many campaigns, would be
	 * compiled, which takes longer than to execute it */
	(void) set_config_option("jit", "off",
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

void
cac_leave(const SavedIdentity *saved)
{
	AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->user, saved->security_context);
}

/* Do all statements see what the caller's statement sees? */
static bool one_snapshot = false;

/*
 * cac_see_one_snapshot
 *		From now on, statements on our tables and on the application's all see
 *		what the caller's statement sees, and cannot change anything; or
 *		(false), as usual, each sees what is committed when it begins.
 *
 * Returns what it was before, for the caller to restore in any case.
 */
bool
cac_see_one_snapshot(bool one)
{
	bool		before = one_snapshot;

	one_snapshot = one;
	return before;
}

bool
cac_sees_one_snapshot(void)
{
	return one_snapshot;
}

static void
forget_extension_relcache(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == extension.source_relid)
	{
		extension.valid = false;
		cac_extension_changes++;
	}
}

static void
forget_extension_syscache(Datum arg, int cacheid, uint32 hashvalue)
{
	extension.valid = false;
}

/*
 * Read the extension's row of pg_extension; false if there is none.
 */
static bool
find_extension(Oid *schema, Oid *owner, char *version, size_t size)
{
	Oid			oid = get_extension_oid(EXTENSION_NAME, true);
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(oid))
		return false;

	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(oid));
	scan = systable_beginscan(rel, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_extension form = (Form_pg_extension) GETSTRUCT(tuple);

		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_extension_extversion,
										 RelationGetDescr(rel), &isnull);

		*schema = form->extnamespace;
		*owner = form->extowner;
		strlcpy(version, isnull ? "" : TextDatumGetCString(value), size);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return HeapTupleIsValid(tuple);
}

/*
 * Bring "extension" up to date; false if the extension is not installed here.
 */
static bool
load_extension(void)
{
	Oid			schema;
	Oid			owner;
	Oid			relid;
	char	   *schema_name;

	if (extension.valid)
		return true;
	if (!extension.registered)
	{
		CacheRegisterRelcacheCallback(forget_extension_relcache, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, forget_extension_syscache,
									  (Datum) 0);
		extension.registered = true;
	}

	if (!find_extension(&schema, &owner, extension.version,
						sizeof(extension.version)))
		return false;
	relid = get_relname_relid("campaign_source", schema);
	schema_name = get_namespace_name(schema);
	if (!OidIsValid(relid) || schema_name == NULL)
		return false;

	if (relid != extension.source_relid || owner != extension.owner ||
		strcmp(schema_name, NameStr(extension.schema)) != 0)
		extension.generation++;
	extension.source_relid = relid;
	extension.owner = owner;
	namestrcpy(&extension.schema, schema_name);
	/* one that is not served may be updated at any moment */
	extension.valid = cac_objects_age(extension.version) == OBJECTS_SERVED;
	return true;
}

static void
require_extension(void)
{
	if (!load_extension())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"%s\" is not installed in this database",
						EXTENSION_NAME),
				 errhint("Run CREATE EXTENSION %s.", EXTENSION_NAME)));
	if (!extension.valid)
		cac_refuse_objects(extension.version);
}

/*
 * Is the extension installed in this database, in a version that this library
 * serves?  Needs a transaction.
 */
bool
cac_extension_exists(void)
{
	return load_extension() && extension.valid;
}

/*
 * cac_extension_version
 *		The version of the extension's objects in this database, palloc'd, and
 *		whether this library serves them; NULL where there are none.
 */
char *
cac_extension_version(bool *served)
{
	/* as it is now, whatever we have been told of */
	extension.valid = false;
	if (!load_extension())
		return NULL;
	*served = extension.valid;
	return pstrdup(extension.version);
}

/*
 * cac_extension_changed
 *		A script of the extension's is running: refuse it if it is of a newer
 *		version than the library, and tell every session, at commit, to look at
 *		the extension anew.
 *
 * (One that is older is on its way to ours.)
 */
void
cac_extension_changed(void)
{
	Oid			schema;
	Oid			owner;
	Oid			relid;
	char		version[lengthof(extension.version)];

	if (!find_extension(&schema, &owner, version, sizeof(version)))
		return;
	if (cac_objects_age(version) == OBJECTS_NEWER)
		cac_refuse_objects(version);
	relid = get_relname_relid("campaign_source", schema);
	if (OidIsValid(relid))
		CacheInvalidateRelcacheByRelid(relid);
	extension.valid = false;
}

/*
 * The OID of campaign_source, whose relcache invalidation tells every backend
 * that some source has changed.
 */
Oid
cac_catalog_relid(void)
{
	require_extension();
	return extension.source_relid;
}

/*
 * cac_catalog_lock_nowait
 *		Lock, for reading, what a source is read from; false if that would have
 *		to wait for somebody.
 */
bool
cac_catalog_lock_nowait(void)
{
	Oid			armed;

	require_extension();
	armed = get_relname_relid("campaign_armed",
							  get_rel_namespace(extension.source_relid));
	return OidIsValid(armed) &&
		ConditionalLockRelationOid(extension.source_relid, AccessShareLock) &&
		ConditionalLockRelationOid(armed, AccessShareLock);
}

/*
 * Tell every backend, at commit, that a source has changed.
 */
void
cac_catalog_changed(void)
{
	CacheInvalidateRelcacheByRelid(cac_catalog_relid());
	CommandCounterIncrement();
}

/*
 * A statement's text with "@" replaced by the extension's schema, palloc'd.
 */
char *
cac_catalog_text(const char *text)
{
	StringInfoData buf;
	const char *schema;

	require_extension();
	schema = quote_identifier(NameStr(extension.schema));
	initStringInfo(&buf);
	for (const char *p = text; *p; p++)
	{
		if (*p == '@')
			appendStringInfoString(&buf, schema);
		else
			appendStringInfoChar(&buf, *p);
	}
	return buf.data;
}

/* ----------------------------------------------------------------
 *		Arguments and results
 * ----------------------------------------------------------------
 */

void
cac_add_datum(CatalogArguments *arguments, Oid type, Datum value, bool isnull)
{
	Assert(arguments->count < MAX_CATALOG_ARGUMENTS);
	arguments->types[arguments->count] = type;
	arguments->values[arguments->count] = value;
	arguments->nulls[arguments->count] = isnull ? 'n' : ' ';
	arguments->count++;
}

void
cac_add_name(CatalogArguments *arguments, const char *name)
{
	Name		copy = palloc(sizeof(NameData));

	namestrcpy(copy, name);
	cac_add_datum(arguments, NAMEOID, NameGetDatum(copy), false);
}

/* NULL is the null value */
void
cac_add_text(CatalogArguments *arguments, const char *text)
{
	cac_add_datum(arguments, TEXTOID,
				  text ? CStringGetTextDatum(text) : (Datum) 0, text == NULL);
}

/* DT_NOBEGIN is the null value */
void
cac_add_timestamp(CatalogArguments *arguments, TimestampTz moment)
{
	cac_add_datum(arguments, TIMESTAMPTZOID, TimestampTzGetDatum(moment),
				  moment == DT_NOBEGIN);
}

void
cac_add_integer(CatalogArguments *arguments, int32 number)
{
	cac_add_datum(arguments, INT4OID, Int32GetDatum(number), false);
}

void
cac_add_count(CatalogArguments *arguments, int64 number)
{
	cac_add_datum(arguments, INT8OID, Int64GetDatum(number), false);
}

void
cac_add_oid(CatalogArguments *arguments, Oid oid)
{
	cac_add_datum(arguments, OIDOID, ObjectIdGetDatum(oid), !OidIsValid(oid));
}

/*
 * A column of a row of SPI_tuptable; null is DT_NOBEGIN.
 */
TimestampTz
cac_row_timestamp(uint64 row, int col)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row],
									  SPI_tuptable->tupdesc, col, &isnull);

	return isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
}

/* Likewise, of type bigint; null is 0 */
int64
cac_row_count(uint64 row, int col)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row],
									  SPI_tuptable->tupdesc, col, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

/* Likewise, of type boolean; null is false */
bool
cac_row_bool(uint64 row, int col)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row],
									  SPI_tuptable->tupdesc, col, &isnull);

	return !isnull && DatumGetBool(value);
}

/* Likewise, of any type, as palloc'd text; null is NULL */
char *
cac_row_text(uint64 row, int col)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, col);
}

/*
 * cac_catalog_execute
 *		Run a statement on the extension's own tables, as the extension's owner.
 *
 * SPI must be connected.  Results are left in SPI_tuptable; returns
 * SPI_processed.  Errors are those of the statement.
 */
uint64
cac_catalog_execute(CatalogQuery *query, CatalogArguments *arguments)
{
	MemoryContext caller = CurrentMemoryContext;
	SavedIdentity saved;
	bool		pushed = false;
	int			code;

	require_extension();
	cac_enter(extension.owner, SECURITY_LOCAL_USERID_CHANGE,
			  "pg_catalog, pg_temp", &saved);
	/* a plan made while a table was empty has to do when a sweep has filled it */
	(void) set_config_option("enable_seqscan", "off",
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);

	if (query->plan != NULL && query->generation != extension.generation)
	{
		SPI_freeplan(query->plan);
		query->plan = NULL;
	}
	if (query->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(cac_catalog_text(query->text),
									   arguments->count, arguments->types);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", query->text,
				 SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		query->plan = plan;
		query->generation = extension.generation;
	}
	/* a worker that commits as it goes has no portal to provide a snapshot */
	if (!ActiveSnapshotSet())
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		pushed = true;
	}
	code = SPI_execute_plan(query->plan, arguments->values, arguments->nulls,
							one_snapshot, 0);
	if (pushed)
		PopActiveSnapshot();
	if (code < 0)
		elog(ERROR, "could not execute \"%s\": %s", query->text,
			 SPI_result_code_string(code));

	cac_leave(&saved);
	/* SPI leaves its own context behind; callers expect theirs */
	MemoryContextSwitchTo(caller);
	return SPI_processed;
}
