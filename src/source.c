/*
 * source.c
 *		A source: its row of campaign_source, with what the system catalogs say
 *		of its tables, as a C struct.  attach.c writes that row.
 *
 * Every backend keeps the sources that it has used, each in a memory context
 * of its own, with what the system catalogs say of its tables.  A relation
 * cache invalidation of one of the tables (ALTER, DROP, RENAME, a new owner)
 * or of campaign_source itself (cac_catalog_changed()) marks it stale, and so
 * does a change of an enum or of a column's type; the next cac_source_open()
 * builds it anew.
 *
 * A source with which nothing can be done (a table was dropped, a column that
 * is needed is missing, a table's name now belongs to another table) still
 * opens, so that it can be altered and detached; it carries its fault, which
 * cac_source_check() raises.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "common/int.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "citus.h"
#include "compat.h"
#include "source.h"

/* Where our functions are called on a node that has shards. */
#define HINT_WORKER_NODE \
	"This is a worker node of Citus. Call it on the coordinator, by itself: a query of distributed tables calls its functions on the worker nodes."

/* The sources that this backend has used, and of these the ones that a newer
 * one has replaced, which somebody further up may be using still. */
static List *known_sources = NIL;
static List *retired_sources = NIL;

/* Counts whatever may have changed a source. */
uint64		cac_source_changes = 0;

/* Counts all that these callbacks are told, of whatever table or type. */
static uint64 invalidations = 0;

static void
forget_source_relcache(Datum arg, Oid relid)
{
	Oid			catalog = *(Oid *) DatumGetPointer(arg);
	bool		all = relid == InvalidOid || relid == catalog;
	bool		any = all;
	ListCell   *lc;

	invalidations++;
	foreach(lc, known_sources)
	{
		Source	   *source = lfirst(lc);
		bool		concerned = all;

		for (int i = 0; i < NUM_SOURCE_TABLES; i++)
			concerned |= relid == source->relid[i] ||
				cac_is_partition(&source->partitions[i], relid);
		source->stale |= concerned;
		any |= concerned;
	}
	if (any)
		cac_source_changes++;
}

/*
 * A type that a column has was renamed, or moved to another schema.  (Types
 * come and go with every table, so it is not for all of them.)
 */
static void
forget_source_type(Datum arg, int cacheid, uint32 hashvalue)
{
	ListCell   *lc;
	bool		any = hashvalue == 0;

	invalidations++;
	foreach(lc, known_sources)
	{
		Source	   *source = lfirst(lc);
		bool		concerned = hashvalue == 0;

		for (int i = 0; i < source->ntypes && !concerned; i++)
			concerned = source->type_hash[i] == hashvalue;
		source->stale |= concerned;
		any |= concerned;
	}
	if (any)
		cac_source_changes++;
}

static void
forget_source_syscache(Datum arg, int cacheid, uint32 hashvalue)
{
	ListCell   *lc;

	invalidations++;
	foreach(lc, known_sources)
		((Source *) lfirst(lc))->stale = true;
	cac_source_changes++;
}

/*
 * Take the stale sources out of use, all of them, as one that was detached or
 * renamed is never asked for again.  A trigger or an on_event function of the
 * application's may have brought us here from the middle of a statement of such
 * a source, so they are kept until the transaction ends.
 */
static void
retire_stale_sources(void)
{
	MemoryContext old = MemoryContextSwitchTo(CacheMemoryContext);
	ListCell   *lc;

	foreach(lc, known_sources)
	{
		Source	   *source = lfirst(lc);

		if (!source->stale)
			continue;
		retired_sources = lappend(retired_sources, source);
		known_sources = foreach_delete_current(known_sources, lc);
	}
	MemoryContextSwitchTo(old);
}

static void
free_retired_sources(XactEvent event, void *arg)
{
	ListCell   *lc;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	foreach(lc, retired_sources)
	{
		Source	   *source = lfirst(lc);

		for (int i = 0; i < MAX_STATEMENTS; i++)
			if (source->plan[i] != NULL)
				SPI_freeplan(source->plan[i]);
		MemoryContextDelete(source->context);
	}
	list_free(retired_sources);
	retired_sources = NIL;
}

static void
register_callbacks(void)
{
	static bool registered = false;
	static Oid	catalog_relid = InvalidOid;

	/* once a session, whatever is raised below */
	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget_source_relcache,
									  PointerGetDatum(&catalog_relid));
		CacheRegisterSyscacheCallback(NAMESPACEOID, forget_source_syscache,
									  (Datum) 0);
		CacheRegisterSyscacheCallback(ENUMOID, forget_source_syscache, (Datum) 0);
		/* who has whose privileges */
		CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, forget_source_syscache, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHOID, forget_source_syscache, (Datum) 0);
		CacheRegisterSyscacheCallback(DATABASEOID, forget_source_syscache, (Datum) 0);
		CacheRegisterSyscacheCallback(TYPEOID, forget_source_type, (Datum) 0);
		RegisterXactCallback(free_retired_sources, NULL);
		registered = true;
	}
	/* DROP and CREATE EXTENSION give it another OID */
	catalog_relid = cac_catalog_relid();
}

/*
 * An interval in microseconds, a day being 24 hours and a month 30 days, so
 * that what it means depends on no time zone.  One that is longer than can be
 * counted is the longest that can.
 */
int64
cac_interval_usec(const Interval *interval)
{
	int64		days = (int64) interval->month * DAYS_PER_MONTH + interval->day;
	int64		usec;

	if (pg_mul_s64_overflow(days, USECS_PER_DAY, &usec) ||
		pg_add_s64_overflow(usec, interval->time, &usec))
		return days < 0 ? PG_INT64_MIN : PG_INT64_MAX;
	return usec;
}

/*
 * cac_interval_text
 *		An interval as the error messages show it: 24h, 90min, 45s; palloc'd.
 */
char *
cac_interval_text(int64 usec)
{
	if (usec % USECS_PER_HOUR == 0)
		return psprintf(INT64_FORMAT "h", usec / USECS_PER_HOUR);
	if (usec % USECS_PER_MINUTE == 0)
		return psprintf(INT64_FORMAT "min", usec / USECS_PER_MINUTE);
	return psprintf("%gs", (double) usec / USECS_PER_SEC);
}

/*
 * A UTF-8 text in the database's encoding, or "plain" where that encoding
 * lacks one of its characters.
 */
static char *
text_or_plain(const char *utf8, const char *plain)
{
	int			encoding = GetDatabaseEncoding();
	int			len = strlen(utf8);
	int			size;
	Oid			conversion;
	char	   *result;

	if (encoding == PG_UTF8)
		return pstrdup(utf8);
	if (encoding == PG_SQL_ASCII)
		return pstrdup(plain);
	conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(conversion))
		return pstrdup(plain);

	size = len * MAX_CONVERSION_GROWTH + 1;
	result = palloc(size);
	if (pg_do_encoding_conversion_buf(conversion, PG_UTF8, encoding,
									  (unsigned char *) utf8, len,
									  (unsigned char *) result, size,
									  true) < len)
		return pstrdup(plain);
	return result;
}

/*
 * cac_interaction_message
 *		The error message of a contact who stayed silent, palloc'd: the source's
 *		own, or the default, which names the interval in force.
 */
char *
cac_interaction_message(const Source *source, const CampaignPolicy *policy)
{
	if (source->interaction_message != NULL)
		return pstrdup(source->interaction_message);
	return psprintf("Pas d'interaction dans les %s",
					cac_interval_text(policy->interaction_timeout));
}

/*
 * cac_timeout_message
 *		Likewise, of what was pending when the campaign timed out.
 */
char *
cac_timeout_message(const Source *source, const CampaignPolicy *policy)
{
	const char *hours = cac_interval_text(policy->campaign_timeout);

	if (source->timeout_message != NULL)
		return pstrdup(source->timeout_message);
	return text_or_plain(psprintf("Timeout %s - campagne clôturée automatiquement", hours),
						 psprintf("Timeout %s - campagne cloturee automatiquement", hours));
}

/*
 * Note why nothing can be done with a source.  The first reason is the one that
 * is raised; the others come with it where all that is wrong is asked for.
 */
void
cac_source_set_fault(Source *source, const char *check, int code,
					 char *message, const char *hint)
{
	SourceFault *fault = palloc(sizeof(SourceFault));

	fault->check = check;
	fault->code = code;
	fault->message = message;
	fault->hint = pstrdup(hint);
	source->faults = lappend(source->faults, fault);
	if (source->fault_code == 0)
	{
		source->fault_code = code;
		source->fault = fault->message;
		source->fault_hint = fault->hint;
	}
}

/*
 * The source's owner is that of its campaigns.  Whoever owns another of its
 * tables, and may plant a trigger there, must have the owner's rights: he would
 * get them, as the worker acts as the owner.
 */
static void
check_table_owner(Source *source, SourceTable table)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(source->relid[table]));
	Oid			owner;
	char	   *owner_name;

	if (!HeapTupleIsValid(tuple))
	{
		/* dropped this moment, which has us look again */
		cac_source_set_fault(source, "tables", ERRCODE_UNDEFINED_TABLE,
							 psprintf("table %s of source \"%s\" does not exist any more",
									  source->table[table], source->name),
							 "Restore the table and attach it anew, or forget the source with campaign_detach().");
		source->table[table] = NULL;
		return;
	}
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	if (!OidIsValid(source->owner))
		source->owner = owner;
	if (has_privs_of_role(owner, source->owner))
		return;
	owner_name = GetUserNameFromId(source->owner, false);
	cac_source_set_fault(source, "tables", ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						 psprintf("table %s of source \"%s\" belongs to role \"%s\", but its campaigns to role \"%s\"",
								  source->table[table], source->name,
								  GetUserNameFromId(owner, false), owner_name),
						 psprintf("Give all tables to one role, ALTER TABLE %s OWNER TO %s, as what the one plants there would run as the other.",
								  source->table[table], quote_identifier(owner_name)));
}

/*
 * Fill in the tables' current names and their owner.
 */
static void
load_tables(Source *source)
{
	for (int i = 0; i < NUM_SOURCE_TABLES; i++)
	{
		Oid			relid = source->relid[i];
		char	   *name;

		if (!OidIsValid(relid))
			continue;
		name = get_rel_name(relid);
		if (name == NULL)
		{
			cac_source_set_fault(source, "tables", ERRCODE_UNDEFINED_TABLE,
					  psprintf("table %s of source \"%s\" does not exist any more",
							   source->attached_name[i], source->name),
					  "Restore the table and attach it anew, or forget the source with campaign_detach().");
			continue;
		}
		source->table[i] =
			quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									   name);
		if (source->attached_name[i] == NULL ||
			strcmp(source->table[i], source->attached_name[i]) != 0)
			source->renamed = true;
		check_table_owner(source, i);
	}
}

/* Column "col" of the only row of SPI_tuptable, in microseconds; null: -1 */
static int64
row_interval(int col)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0],
									  SPI_tuptable->tupdesc, col, &isnull);

	return isnull ? -1 : cac_interval_usec(DatumGetIntervalP(value));
}

/* Likewise, of type jsonb, palloc'd */
static Jsonb *
row_jsonb(int col)
{
	bool		isnull;

	return DatumGetJsonbPCopy(SPI_getbinval(SPI_tuptable->vals[0],
											SPI_tuptable->tupdesc, col, &isnull));
}

/*
 * Read the row of campaign_source; false if there is none.  Strings are
 * allocated in the source's context, which is current.
 */
static bool
load_row(Source *source)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT s.campaigns::oid, s.messages::oid, s.interactions::oid, s.contacts::oid,"
		" s.attached_names[1], s.attached_names[2], s.attached_names[3], s.attached_names[4],"
		" s.interaction_timeout, s.campaign_timeout, s.stall_after, s.settle_for, s.history_keep, s.check_delay,"
		" s.expired_every, s.timeout_every, s.sending_every, s.interrupted_every,"
		" s.interaction_message, s.timeout_message, s.time_zone, s.search_path, s.on_event,"
		" s.batch_size, s.log_messages, s.mode, s.completion_rule, s.blackout_after, s.late_interactions, a.source IS NOT NULL,"
		" s.columns, s.labels"
		" FROM @.campaign_source AS s"
		" LEFT JOIN @.campaign_armed AS a ON a.source = s.source AND a.database = $2"
		" WHERE s.source = $1");
	CatalogArguments arguments = {0};
	char	   *mode;
	int			col = 1;

	cac_add_name(&arguments, source->name);
	cac_add_oid(&arguments, MyDatabaseId);
	if (cac_catalog_execute(&query, &arguments) == 0)
		return false;

	for (int i = 0; i < NUM_SOURCE_TABLES; i++)
	{
		char	   *oid = cac_row_text(0, col++);

		source->relid[i] = oid ? atooid(oid) : InvalidOid;
	}
	for (int i = 0; i < NUM_SOURCE_TABLES; i++)
		source->attached_name[i] = cac_row_text(0, col++);
	source->policy.interaction_timeout = row_interval(col++);
	source->policy.campaign_timeout = row_interval(col++);
	source->policy.stall_after = row_interval(col++);
	source->policy.settle_for = row_interval(col++);
	source->history_keep = row_interval(col++);
	source->check_delay = row_interval(col++);
	source->every[SWEEP_NONE] = -1;
	source->every[SWEEP_EXPIRED] = row_interval(col++);
	source->every[SWEEP_TIMEOUT] = row_interval(col++);
	source->every[SWEEP_SENDING] = row_interval(col++);
	source->every[SWEEP_INTERRUPTED] = row_interval(col++);
	source->interaction_message = cac_row_text(0, col++);
	source->timeout_message = cac_row_text(0, col++);
	source->time_zone = cac_row_text(0, col++);
	source->search_path = cac_row_text(0, col++);
	source->on_event = cac_row_text(0, col++);
	source->batch_size = pg_strtoint32(cac_row_text(0, col++));
	source->log_messages = strcmp(cac_row_text(0, col++), "t") == 0;
	mode = cac_row_text(0, col++);
	source->mode = strcmp(mode, "active") == 0 ? MODE_ACTIVE :
		strcmp(mode, "shadow") == 0 ? MODE_SHADOW : MODE_PAUSED;
	source->policy.completion_rule = strcmp(cac_row_text(0, col++), "messages") == 0 ?
		COMPLETION_MESSAGES : COMPLETION_CONTACTS;
	source->blackout_after = row_interval(col++);
	source->ignores_late = strcmp(cac_row_text(0, col++), "ignore") == 0;
	source->armed = strcmp(cac_row_text(0, col++), "t") == 0;
	source->columns = row_jsonb(col++);
	source->labels = row_jsonb(col++);
	return true;
}

/*
 * Note by which hashes the types of the columns are known to the type cache, so
 * that forget_source_type() can tell them.
 */
static void
load_type_hashes(Source *source)
{
	for (int i = 0; i < source->ncolumns; i++)
	{
		Oid			type = source->column[i].type;
		Oid			base;

		if (source->column[i].name == NULL || type < FirstNormalObjectId)
			continue;
		base = getBaseType(type);
		source->type_hash[source->ntypes++] =
			GetSysCacheHashValue1(TYPEOID, ObjectIdGetDatum(type));
		if (base != type && base >= FirstNormalObjectId)
			source->type_hash[source->ntypes++] =
				GetSysCacheHashValue1(TYPEOID, ObjectIdGetDatum(base));
	}
}

/*
 * Build a source from the catalogs; NULL if there is none of that name.
 */
static Source *
load_source(const char *name)
{
	MemoryContext context;
	MemoryContext old;
	Source	   *source;

	/* Out of an error's way until it is complete. */
	context = AllocSetContextCreate(CurrentMemoryContext,
									"campaign_autoclose source",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	source = palloc0(sizeof(Source));
	source->context = context;
	source->name = pstrdup(name);

	/* SPI_getvalue's strings follow the current context */
	if (!load_row(source))
	{
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
		return NULL;
	}
	load_tables(source);
	cac_load_columns(source);
	cac_load_distribution(source);
	load_type_hashes(source);
	cac_load_labels(source);

	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, CacheMemoryContext);
	return source;
}

/*
 * A table that was renamed keeps working, unless its old name now belongs to
 * another table: then nobody can tell which of the two is meant.
 */
static void
check_names(Source *source)
{
	for (int i = 0; i < NUM_SOURCE_TABLES; i++)
	{
		List	   *names;
		Oid			now;

		if (source->table[i] == NULL || source->attached_name[i] == NULL ||
			strcmp(source->table[i], source->attached_name[i]) == 0)
			continue;
		names = CAC_QUALIFIED_NAMES(source->attached_name[i]);
		now = RangeVarGetRelid(makeRangeVarFromNameList(names), NoLock, true);
		if (OidIsValid(now) && now != source->relid[i])
		{
			MemoryContext old = MemoryContextSwitchTo(source->context);

			cac_source_set_fault(source, "tables", ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
								 psprintf("source \"%s\" is held: the name %s now belongs to another table than the one attached",
										  source->name, source->attached_name[i]),
								 psprintf("To go on with %s, call campaign_alter(%s, 'mode', 'active'); otherwise detach the source.",
										  source->table[i], quote_literal_cstr(source->name)));
			MemoryContextSwitchTo(old);
			source->stale = true;	/* to be looked at again */
			return;
		}
	}
}

/*
 * cac_source_find
 *		The source of that name, as it is now; NULL where there is none.
 *
 * SPI must be connected.  The result is good until the transaction ends.  A
 * source at fault is returned.
 */
Source *
cac_source_find(const char *name)
{
	Source	   *source = NULL;
	ListCell   *lc;

	register_callbacks();
	foreach(lc, known_sources)
	{
		if (strcmp(((Source *) lfirst(lc))->name, name) == 0)
			source = lfirst(lc);
	}
	if (source == NULL || source->stale)
	{
		uint64		before = invalidations;
		MemoryContext old;

		retire_stale_sources();
		source = load_source(name);
		if (source == NULL)
			return NULL;
		/* it may be half of what was and half of what is */
		if (invalidations != before)
		{
			source->stale = true;
			cac_source_changes++;
		}
		/* an old snapshot's source is nothing for the next transaction */
		if (IsolationUsesXactSnapshot())
			source->stale = true;
		old = MemoryContextSwitchTo(CacheMemoryContext);
		known_sources = lappend(known_sources, source);
		MemoryContextSwitchTo(old);
	}
	if (source->renamed)
		check_names(source);
	return source;
}

/*
 * cac_source_open
 *		Likewise; raises 42704 where there is none.
 */
Source *
cac_source_open(const char *name)
{
	Source	   *source = cac_source_find(name);

	if (source == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("source \"%s\" does not exist", name),
				 cac_on_worker_node() ? errhint(HINT_WORKER_NODE) :
				 errhint("The table campaign_source lists the sources; campaign_create_tables() or campaign_attach() makes one.")));
	return source;
}

/*
 * cac_source_recheck
 *		Look at every source anew when it is next opened.
 *
 * For a worker that was told of news: these go out with a commit, a moment
 * before the invalidation messages of that commit.
 */
void
cac_source_recheck(void)
{
	forget_source_syscache((Datum) 0, 0, 0);
}

/*
 * Raise what is wrong with a source, if anything is.
 */
void
cac_source_check(const Source *source)
{
	if (source->fault_code != 0)
		ereport(ERROR,
				(errcode(source->fault_code),
				 errmsg_internal("%s", source->fault),
				 errhint("%s", source->fault_hint)));
}

/*
 * cac_source_confirm
 *		Raise if the tables that were just read and written may not have been
 *		the source's.
 *
 * A statement that had to wait for somebody's ALTER, RENAME or DROP is made for
 * what the names mean afterwards, and somebody may have detached the source
 * meanwhile.  Asked before anything of it is committed.
 */
void
cac_source_confirm(const Source *source)
{
	Source	   *now;

	if (!source->stale || IsolationUsesXactSnapshot())
		return;
	now = cac_source_open(source->name);
	cac_source_check(now);
	for (int i = 0; i < NUM_SOURCE_TABLES; i++)
		if (now->relid[i] != source->relid[i])
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("source \"%s\" has got other tables",
							source->name),
					 errhint("Try again: it goes by the new ones.")));
}

/*
 * May anything be done to the application's tables on behalf of this source?
 */
bool
cac_source_acts(const Source *source)
{
	return source->mode == MODE_ACTIVE && source->armed;
}

/*
 * Are silent contacts marked at all?  Not where the application has no word for
 * it.
 */
bool
cac_source_marks(const Source *source)
{
	return cac_source_label(source, "messages", "no_interaction")->count > 0;
}

/*
 * Does anybody look at the hints of this source?
 */
bool
cac_source_heeds_hints(const Source *source)
{
	return source->mode != MODE_PAUSED && source->armed && source->fault_code == 0;
}

/*
 * Names of all sources, or of those whose tables the current user owns (or
 * has the privileges of the owner), as a List of palloc'd C strings.
 */
List *
cac_source_list(bool only_own)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT s.source, c.relowner FROM @.campaign_source AS s"
		" LEFT JOIN pg_catalog.pg_class AS c ON c.oid = s.campaigns"
		" ORDER BY s.source");
	CatalogArguments arguments = {0};
	List	   *result = NIL;
	uint64		nrows = cac_catalog_execute(&query, &arguments);
	SPITupleTable *rows = SPI_tuptable;

	for (uint64 i = 0; i < nrows; i++)
	{
		bool		isnull;
		Oid			owner = DatumGetObjectId(SPI_getbinval(rows->vals[i],
														   rows->tupdesc, 2,
														   &isnull));

		if (only_own && (isnull ? !superuser() :
						 !has_privs_of_role(GetUserId(), owner)))
			continue;
		result = lappend(result, SPI_getvalue(rows->vals[i], rows->tupdesc, 1));
	}
	SPI_freetuptable(rows);
	return result;
}

/*
 * cac_source_choose
 *		The source that a caller means: the one named, or the only one.
 */
char *
cac_source_choose(const char *name)
{
	List	   *sources;

	if (name != NULL)
		return pstrdup(name);
	sources = cac_source_list(false);
	if (sources == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no source is attached in this database"),
				 cac_on_worker_node() ? errhint(HINT_WORKER_NODE) :
				 errhint("Make the standard tables with campaign_create_tables(), or attach your own with campaign_attach().")));
	if (list_length(sources) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the source must be named, as this database has %d of them",
						list_length(sources)),
				 errhint("Pass it as the argument \"source\"; the table campaign_source lists them.")));
	return linitial(sources);
}
