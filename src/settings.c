/*-------------------------------------------------------------------------
 *
 * settings.c
 *		The server's settings: whether, where and with how many workers.
 *
 * What concerns one source is a column of campaign_source; a parameter is here
 * only where it is the whole server's.  They are defined in every process that
 * loads the library, so that SHOW and ALTER SYSTEM work with no preload too,
 * although only the launcher and the workers act on them.
 *
 * The list of databases is parsed once, in its check hook, into one flat chunk
 * that the server keeps with the value; the assign hook only stores the
 * pointer.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "compat.h"
#include "settings.h"

/* Parsed form of campaign_autoclose.databases.  No name: every database. */
typedef struct DatabaseNames
{
	int			count;
	NameData	names[FLEXIBLE_ARRAY_MEMBER];
} DatabaseNames;

bool		cac_enabled = true;
char	   *cac_databases = NULL;
int			cac_max_workers = 3;
int			cac_tracked_campaigns = 16384;

static DatabaseNames *database_names = NULL;

static bool check_databases(char **newval, void **extra, GucSource source);
static void assign_databases(const char *newval, void *extra);

/*
 * Defines every parameter.  Called once, from _PG_init().
 */
void
cac_define_settings(void)
{
	DefineCustomBoolVariable(CAC_GUC_PREFIX ".enabled",
							 "Runs the periodic sweeps in the background.",
							 "When off, no worker is started and those running stop at the next campaign.",
							 &cac_enabled,
							 true,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);

	DefineCustomStringVariable(CAC_GUC_PREFIX ".databases",
							   "Lists the databases that background workers serve.",
							   "When empty, every database that has the extension is served.",
							   &cac_databases,
							   "",
							   PGC_SIGHUP,
							   GUC_LIST_INPUT,
							   check_databases, assign_databases, NULL);

	/*
	 * The next two size shared memory, so they cannot change while the server
	 * runs.  But the server refuses, fatally, to define such a parameter in a
	 * library that was not preloaded; there they mean nothing, and are defined
	 * only so that a value in the configuration file raises no warning.
	 */
	DefineCustomIntVariable(CAC_GUC_PREFIX ".max_workers",
							"Sets the number of databases, or sources of a database, served at once.",
							"Each takes a background worker process while it works.",
							&cac_max_workers,
							3,
							1, CAC_MAX_WORKERS,
							process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable(CAC_GUC_PREFIX ".tracked_campaigns",
							"Sets the number of campaigns that are kept in shared memory.",
							"What finds no room there is found by the next sweep. Each takes about 290 bytes.",
							&cac_tracked_campaigns,
							16384,
							16, 4194304,
							process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP,
							0,
							NULL, NULL, NULL);

	MarkGUCPrefixReserved(CAC_GUC_PREFIX);
}

/*
 * May workers serve the database of this name?  Names are compared as they are
 * stored in pg_database; the list folds what is not quoted, as SQL does.
 */
bool
cac_database_listed(const char *datname)
{
	int			i;

	if (database_names == NULL || database_names->count == 0)
		return true;

	for (i = 0; i < database_names->count; i++)
	{
		if (strcmp(NameStr(database_names->names[i]), datname) == 0)
			return true;
	}
	return false;
}

static bool
check_databases(char **newval, void **extra, GucSource source)
{
	char	   *raw = pstrdup(*newval);
	List	   *names = NIL;
	ListCell   *lc;
	DatabaseNames *parsed;

	if (!SplitIdentifierString(raw, ',', &names))
	{
		GUC_check_errdetail("List syntax is invalid.");
		GUC_check_errhint("Separate names with commas, and double-quote those with capitals or spaces.");
		pfree(raw);
		list_free(names);
		return false;
	}

	parsed = CAC_GUC_ALLOC(offsetof(DatabaseNames, names) +
						   list_length(names) * sizeof(NameData));
	if (parsed != NULL)
	{
		parsed->count = 0;
		foreach(lc, names)
			namestrcpy(&parsed->names[parsed->count++], (char *) lfirst(lc));
		*extra = parsed;
	}

	pfree(raw);
	list_free(names);
	return parsed != NULL;
}

static void
assign_databases(const char *newval, void *extra)
{
	database_names = (DatabaseNames *) extra;
}
