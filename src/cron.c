/*
 * cron.c
 *		The job of pg_cron that runs the sweeps: in place of our own worker, or
 *		beside it.
 *
 * pg_cron keeps its jobs in a table of one database, cron.database_name, and
 * its launcher reads no other.  There the job is made and removed by pg_cron's
 * own functions.  From any other database they are out of reach, and the error
 * names the statement to run there.
 *
 * Everything is done as the caller: a job runs as the role that made it, and
 * pg_cron's row security shows nobody else's.  So a job is known by its name
 * and its role.  What it runs is one statement, the CALL that commits as it
 * goes: a second one would put both into one transaction.
 *
 * Names are resolved under a search_path of pg_catalog alone; where pg_cron's
 * objects are is read from what belongs to the extension, so that nothing of
 * somebody else's is taken for them.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "cron.h"
#include "source.h"

#define CRON_EXTENSION	"pg_cron"
/* Elsewhere than in pg_cron's own database, its name follows. */
#define JOB_NAME		"campaign_autoclose"

/* The caller's job of that name. */
typedef struct CronJob
{
	int64		id;				/* 0: there is none */
	char	   *database;
	bool		fits;			/* would run here, now, on this server */
	bool		elsewhere;		/* is that of another database that exists */
} CronJob;

/* ----------------------------------------------------------------
 *		Where pg_cron is
 * ----------------------------------------------------------------
 */

/*
 * A setting of pg_cron's; NULL where the server has not preloaded it.  What
 * postgresql.conf or a session sets without it is a placeholder.
 */
static const char *
cron_setting(const char *name)
{
	const char *value = GetConfigOption(name, true, false);

	if (value == NULL ||
		(GetConfigOptionFlags(name, true) & GUC_CUSTOM_PLACEHOLDER) != 0)
		return NULL;
	return pstrdup(value);
}

/*
 * Refuse to go on (55000) where pg_cron does not run at all, or (with the
 * statement that does there what is wanted here) keeps its jobs in another
 * database.
 */
static void
require_cron_here(const char *remedy)
{
	const char *home = cron_setting("cron.database_name");
	const char *here = get_database_name(MyDatabaseId);

	if (home == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s is not preloaded", CRON_EXTENSION),
				 errhint("Install %s, add it to shared_preload_libraries in postgresql.conf and restart the server.",
						 CRON_EXTENSION)));
	if (strcmp(home, here) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s keeps its jobs in database \"%s\", out of reach of database \"%s\"",
						CRON_EXTENSION, home, here),
				 errhint("In database \"%s\", run: %s", home, remedy)));
	if (!OidIsValid(get_extension_oid(CRON_EXTENSION, true)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"%s\" is not installed in this database",
						CRON_EXTENSION),
				 errhint("Run CREATE EXTENSION %s, as a superuser.",
						 CRON_EXTENSION)));
}

/*
 * Become ready for statements on pg_cron's objects: as the caller, and seeing
 * what its row security shows the caller.  Undone by cac_leave().
 */
static void
enter_cron(SavedIdentity *saved)
{
	cac_enter(InvalidOid, 0, "pg_catalog, pg_temp", saved);
	(void) set_config_option("row_security", "on",
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

static uint64
execute(const char *statement, CatalogArguments *arguments)
{
	int			code = SPI_execute_with_args(statement, arguments->count,
											 arguments->types, arguments->values,
											 arguments->nulls, false, 0);

	if (code < 0)
		elog(ERROR, "could not execute \"%s\": %s", statement,
			 SPI_result_code_string(code));
	return SPI_processed;
}

static bool
row_boolean(uint64 row, int col)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row],
									  SPI_tuptable->tupdesc, col, &isnull);

	return !isnull && DatumGetBool(value);
}

/*
 * The schema of pg_cron's functions, quoted.  Raises 55000 where they are those
 * of a version too old, 42501 where the caller may not call them.
 */
static char *
cron_schema(void)
{
	static const char *const find =
		"SELECT pg_catalog.quote_ident(n.nspname), pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
		" FROM pg_catalog.pg_extension AS e"
		" JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_extension'::regclass"
		" AND d.refobjid = e.oid AND d.classid = 'pg_catalog.pg_proc'::regclass AND d.deptype = 'e'"
		" JOIN pg_catalog.pg_proc AS p ON p.oid = d.objid"
		" JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace"
		" WHERE e.extname = $1 AND p.proname = 'schedule' AND p.proargtypes = '25 25 25'::oidvector";
	CatalogArguments arguments = {0};
	char	   *schema;

	cac_add_name(&arguments, CRON_EXTENSION);
	if (execute(find, &arguments) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"%s\" is older than version 1.4",
						CRON_EXTENSION),
				 errhint("Run ALTER EXTENSION %s UPDATE.", CRON_EXTENSION)));
	schema = cac_row_text(0, 1);
	if (!row_boolean(0, 2))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for schema %s", schema),
				 errhint("Let a superuser run: GRANT USAGE ON SCHEMA %s TO %s;",
						 schema,
						 quote_identifier(GetUserNameFromId(GetUserId(), false)))));
	return schema;
}

/* ----------------------------------------------------------------
 *		The job
 * ----------------------------------------------------------------
 */

static char *
job_command(void)
{
	return cac_catalog_text("CALL @.campaign_run_sweeps()");
}

/*
 * What a superuser runs in pg_cron's database to have this one served.
 *
 * Before version 1.5 the name of a job is cut to the length of a name, so that
 * two databases might come to share one; the OID takes the place of a name that
 * is too long.
 */
static char *
schedule_from_elsewhere(const char *schedule)
{
	const char *here = get_database_name(MyDatabaseId);
	char	   *job = psprintf("%s %s", JOB_NAME, here);
	const char *role = superuser() ? "" :
		psprintf(", %s", quote_literal_cstr(GetUserNameFromId(GetUserId(), false)));

	if (strlen(job) >= NAMEDATALEN)
		job = psprintf("%s %u", JOB_NAME, MyDatabaseId);
	return psprintf("SELECT cron.schedule_in_database(%s, %s, %s, %s%s);",
					quote_literal_cstr(job), quote_literal_cstr(schedule),
					quote_literal_cstr(job_command()), quote_literal_cstr(here),
					role);
}

static char *
unschedule_from_elsewhere(void)
{
	return psprintf("SELECT cron.unschedule(jobid) FROM cron.job WHERE database = %s AND command LIKE '%%campaign_run_sweeps(%%';",
					quote_literal_cstr(get_database_name(MyDatabaseId)));
}

/*
 * A job whose role cannot log in fails each time, in both of pg_cron's modes.
 * So it is refused (28000), as pg_cron itself does for a role that is named.
 */
static void
require_login(void)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	bool		may_log_in;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for role %u", GetUserId());
	may_log_in = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	if (!may_log_in)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("role \"%s\" cannot log in, and so cannot run a job of %s",
						GetUserNameFromId(GetUserId(), false), CRON_EXTENSION),
				 errhint("Call it as a role that may log in and is a member of \"%s\".",
						 GetUserNameFromId(GetUserId(), false))));
}

/*
 * The caller's job.  pg_cron stores the host and port to connect to, and the
 * database by name, so a job may have been left behind by a change of these.
 */
static CronJob
find_job(const char *schema)
{
	CatalogArguments arguments = {0};
	CronJob		job = {0};
	const char *host = cron_setting("cron.host");

	cac_add_text(&arguments, JOB_NAME);
	cac_add_text(&arguments, host);
	cac_add_integer(&arguments, PostPortNumber);
	if (execute(psprintf("SELECT j.jobid, j.database,"
						 " j.database = pg_catalog.current_database()"
						 " AND j.active AND j.nodename = $2 AND j.nodeport = $3,"
						 " j.database <> pg_catalog.current_database()"
						 " AND EXISTS (SELECT FROM pg_catalog.pg_database AS d WHERE d.datname = j.database)"
						 " FROM %s.job AS j"
						 " WHERE j.jobname::text = $1 AND j.username = CURRENT_USER",
						 schema), &arguments) == 0)
		return job;
	job.id = cac_row_count(0, 1);
	job.database = cac_row_text(0, 2);
	job.fits = row_boolean(0, 3);
	job.elsewhere = row_boolean(0, 4);
	return job;
}

static void
remove_job(const char *schema, const CronJob *job)
{
	CatalogArguments arguments = {0};

	cac_add_count(&arguments, job->id);
	(void) execute(psprintf("SELECT %s.unschedule($1)", schema), &arguments);
}

/*
 * Adds the remedy to what pg_cron says of a schedule, or of a superuser's job.
 */
static void
hint_at_refusal(void *arg)
{
	if (geterrcode() == ERRCODE_INVALID_PARAMETER_VALUE)
		errhint("Use five fields as cron does, '* * * * *' for every minute; from %s 1.5 on also '30 seconds'.",
				CRON_EXTENSION);
	else if (geterrcode() == ERRCODE_INSUFFICIENT_PRIVILEGE)
		errhint("Call it as the role that owns the tables of the sources.");
}

static int64
make_job(const char *schema, const char *schedule)
{
	CatalogArguments arguments = {0};
	ErrorContextCallback callback;

	cac_add_text(&arguments, JOB_NAME);
	cac_add_text(&arguments, schedule);
	cac_add_text(&arguments, job_command());
	callback.callback = hint_at_refusal;
	callback.arg = NULL;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	(void) execute(psprintf("SELECT %s.schedule($1, $2, $3)", schema), &arguments);
	error_context_stack = callback.previous;
	return cac_row_count(0, 1);
}

/*
 * Say which sources the job leaves out: it runs those whose tables its role
 * owns.
 */
static void
warn_of_sources(void)
{
	const char *role = GetUserNameFromId(GetUserId(), false);
	int			all = list_length(cac_source_list(false));
	int			own = list_length(cac_source_list(true));

	if (own == 0 && all > 0)
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" owns the tables of no source, so its job will fail",
						role),
				 errhint("Schedule it as the owner of the tables, or as a superuser.")));
	else if (own < all)
		ereport(NOTICE,
				(errmsg("the job runs %d of %d sources: those whose tables role \"%s\" owns",
						own, all, role),
				 errhint("The owners of the others can schedule jobs of their own.")));
}

/*
 * cac_cron_schedule
 *		Have pg_cron run the sweeps of this database as the current user, by
 *		this schedule.  Returns the id of the job: the one that is there
 *		already, where it would still run.
 *
 * SPI must be connected.  Raises 55000 where pg_cron is not to be had here,
 * 28000 where the role cannot log in, 42501 where it may not use pg_cron, 42710
 * where its job of that name is another database's, 22023 what is no schedule.
 */
int64
cac_cron_schedule(const char *schedule)
{
	SavedIdentity saved;
	CronJob		job;
	char	   *schema;
	int64		id;

	require_login();
	require_cron_here(schedule_from_elsewhere(schedule));
	enter_cron(&saved);
	schema = cron_schema();
	job = find_job(schema);
	if (job.elsewhere)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("job \"%s\" of %s runs in database \"%s\"",
						JOB_NAME, CRON_EXTENSION, job.database),
				 errhint("Call campaign_schedule_pg_cron() there for the statement that schedules it under a name of its own, and remove this one: SELECT %s.unschedule(" INT64_FORMAT ");",
						 schema, job.id)));
	/* pg_cron changes a job's schedule and command, and nothing else */
	if (job.id != 0 && !job.fits)
		remove_job(schema, &job);
	id = make_job(schema, schedule);
	cac_leave(&saved);
	warn_of_sources();
	return id;
}

/*
 * Tell of other jobs that the caller can see and that run our sweeps here:
 * those of other roles (to a superuser), and those under other names.
 */
static void
tell_of_others(const char *schema)
{
	CatalogArguments arguments = {0};
	uint64		nrows;

	cac_add_text(&arguments, "%campaign\\_run\\_sweeps(%");
	nrows = execute(psprintf("SELECT j.jobid, j.username FROM %s.job AS j"
							 " WHERE j.database = pg_catalog.current_database()"
							 " AND j.command LIKE $1 ORDER BY j.jobid",
							 schema), &arguments);
	for (uint64 i = 0; i < nrows; i++)
		ereport(NOTICE,
				(errmsg("job " INT64_FORMAT " of role \"%s\" still runs the sweeps of this database",
						cac_row_count(i, 1), cac_row_text(i, 2)),
				 errhint("To remove it: SELECT %s.unschedule(" INT64_FORMAT ");",
						 schema, cac_row_count(i, 1))));
}

/*
 * cac_cron_unschedule
 *		Remove the current user's job; false, with a notice, if there is none.
 *
 * SPI must be connected.  Raises 55000 and 42501 as cac_cron_schedule() does.
 */
bool
cac_cron_unschedule(void)
{
	SavedIdentity saved;
	CronJob		job;
	char	   *schema;
	bool		found;

	require_cron_here(unschedule_from_elsewhere());
	enter_cron(&saved);
	schema = cron_schema();
	job = find_job(schema);
	found = job.id != 0 && !job.elsewhere;
	if (found)
		remove_job(schema, &job);
	else
		ereport(NOTICE,
				(errmsg("role \"%s\" has no job \"%s\" of %s in this database",
						GetUserNameFromId(GetUserId(), false), JOB_NAME,
						CRON_EXTENSION)));
	tell_of_others(schema);
	cac_leave(&saved);
	return found;
}
