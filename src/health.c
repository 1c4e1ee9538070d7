/*
 * health.c
 *		campaign_health(): one row a check, ok or not, and what to do.
 *
 * First the checks of the server and the database, then those of the sources,
 * of which each is made of all sources at once: a check that fails names the
 * first few that fail it.  Whoever asks sees the sources whose history he may
 * read, as row-level security has it; the others are left out.
 *
 * Everything is read from the extension's own tables, the system catalogs and
 * shared memory: no lock on a table of the application's is waited for, and a
 * standby answers too.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "blackout.h"
#include "catalog.h"
#include "health.h"
#include "hints.h"
#include "processes.h"
#include "settings.h"
#include "source.h"

/* How many sources a check names. */
#define MAX_NAMED		3
/* A sweep is late a minute and a tenth of its period after it was due. */
#define LATE_AFTER		USECS_PER_MINUTE
#define LATE_SHARE		10
/* For how long a dropped hint is worth looking at. */
#define HINTS_RECENT	USECS_PER_HOUR

/* What a check of the sources has found. */
typedef struct Findings
{
	int			count;			/* sources that fail it */
	StringInfoData detail;		/* what is wrong with the first of them */
	char	   *fix;			/* of the very first */
} Findings;

/* The last runs of one sweep of a source that went by the clock. */
typedef struct SweepHistory
{
	TimestampTz started_at;		/* DT_NOBEGIN: it never ran */
	bool		finished;
	int64		failures;		/* in a row */
	char	   *error;			/* the last of them; NULL: none */
} SweepHistory;

/* ----------------------------------------------------------------
 *		Rows
 * ----------------------------------------------------------------
 */

static void
report(ReturnSetInfo *rsinfo, const char *check, bool ok, const char *detail,
	   const char *fix)
{
	Datum		values[4];
	bool		nulls[4] = {0};

	values[0] = CStringGetTextDatum(check);
	values[1] = BoolGetDatum(ok);
	values[2] = CStringGetTextDatum(detail);
	nulls[3] = ok || fix == NULL;
	if (!nulls[3])
		values[3] = CStringGetTextDatum(fix);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * "what" is wrong with one more source.
 */
static void
find(Findings *findings, const Source *source, const char *what, char *fix)
{
	if (findings->count++ == 0)
	{
		initStringInfo(&findings->detail);
		findings->fix = fix;
	}
	if (findings->count <= MAX_NAMED)
		appendStringInfo(&findings->detail, "%ssource \"%s\" %s",
						 findings->count > 1 ? "; " : "", source->name, what);
}

static void
report_findings(ReturnSetInfo *rsinfo, const char *check,
				Findings *findings, const char *well)
{
	if (findings->count > MAX_NAMED)
		appendStringInfo(&findings->detail, "; and %d more",
						 findings->count - MAX_NAMED);
	report(rsinfo, check, findings->count == 0,
		   findings->count == 0 ? well : findings->detail.data, findings->fix);
}

/*
 * The statement that changes a setting.
 */
static char *
alter_statement(const Source *source, const char *setting, const char *value)
{
	return psprintf("SELECT campaign_alter(%s, '%s', %s);",
					quote_literal_cstr(source->name), setting,
					value ? quote_literal_cstr(value) : "NULL");
}

/* ----------------------------------------------------------------
 *		The sources
 * ----------------------------------------------------------------
 */

/*
 * May the caller see what became of this source?
 */
static bool
may_see(const Source *source)
{
	if (has_bypassrls_privilege(GetUserId()))
		return true;
	return OidIsValid(source->owner) &&
		has_privs_of_role(GetUserId(), source->owner);
}

/*
 * The names of the sources to look at; *count is how many there are in all.
 */
static List *
visible_sources(const char *name, int *count)
{
	List	   *all = cac_source_list(false);
	List	   *visible = NIL;
	ListCell   *lc;

	if (name != NULL)
	{
		if (!may_see(cac_source_open(name)))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("must be owner of the tables of source \"%s\"", name),
					 errhint("Ask as the owner of its tables, or as a role with BYPASSRLS.")));
		all = list_make1(unconstify(char *, name));
	}
	foreach(lc, all)
	{
		Source	   *source = cac_source_find(lfirst(lc));

		if (source != NULL && may_see(source))
			visible = lappend(visible, lfirst(lc));
	}
	*count = list_length(all);
	return visible;
}

static void
check_modes(ReturnSetInfo *rsinfo, List *names)
{
	Findings	findings = {0};
	ListCell   *lc;

	foreach(lc, names)
	{
		Source	   *source = cac_source_open(lfirst(lc));
		char	   *fix = alter_statement(source, "mode", "active");

		if (source->mode == MODE_PAUSED)
			find(&findings, source, "is paused", fix);
		else if (!source->armed)
			find(&findings, source, "was not activated in this database", fix);
		else if (source->mode == MODE_SHADOW)
			find(&findings, source, "is in shadow mode, and does not act", fix);
	}
	report_findings(rsinfo, "mode", &findings, "every source acts");
}

static void
check_tables(ReturnSetInfo *rsinfo, List *names)
{
	Findings	findings = {0};
	ListCell   *lc;

	foreach(lc, names)
	{
		Source	   *source = cac_source_open(lfirst(lc));

		if (source->fault_code != 0)
			find(&findings, source, psprintf("does nothing: %s", source->fault),
				 source->fault_hint);
	}
	report_findings(rsinfo, "tables", &findings, "every source has the tables that it needs");
}

/*
 * What is wrong with the trigger on a source's messages; NULL if nothing is.
 */
static const char *
trigger_trouble(const Source *source, char **fix)
{
	char		relkind = get_rel_relkind(source->relid[TABLE_MESSAGES]);
	char	   *table;
	char	   *trigger = NULL;

	/* no other kind can have one */
	if (source->distributed ||
		(relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE))
		return NULL;
	table = cac_find_unhinted(source->relid[TABLE_MESSAGES], &trigger);
	if (table == NULL)
		return NULL;
	if (trigger != NULL)
		*fix = psprintf("ALTER TABLE %s ENABLE TRIGGER %s;", table, quote_identifier(trigger));
	else if (strcmp(table, source->table[TABLE_MESSAGES]) == 0)
		*fix = alter_statement(source, "mode", source->mode == MODE_SHADOW ? "shadow" : "active");
	if (strcmp(table, source->table[TABLE_MESSAGES]) != 0)
		return psprintf("has no trigger on %s, a part of its messages, or a disabled one, so campaigns wait for the sweeps",
						table);
	return trigger == NULL ?
		"has no trigger on its messages, so campaigns wait for the sweeps" :
		"has a trigger on its messages that is disabled, so campaigns wait for the sweeps";
}

static void
check_triggers(ReturnSetInfo *rsinfo, List *names)
{
	Findings	findings = {0};
	ListCell   *lc;
	bool		without = false;	/* is there a source that can have none? */

	if (!cac_shared_memory_ready())
	{
		report(rsinfo, "trigger", true, "does nothing, as the library is not preloaded", NULL);
		return;
	}
	foreach(lc, names)
	{
		Source	   *source = cac_source_open(lfirst(lc));
		char	   *fix = NULL;
		const char *trouble = cac_source_heeds_hints(source) ?
			trigger_trouble(source, &fix) : NULL;

		without |= source->distributed;

		if (trouble != NULL)
			find(&findings, source, trouble, fix);
	}
	report_findings(rsinfo, "trigger", &findings,
					without ? "the trigger on messages tells of every change, where there can be one" :
					"the trigger on messages tells of every change");
}

static void
read_history(const Source *source, SweepKind sweep, SweepHistory *history)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT r.started_at, r.finished_at, f.failures, f.error"
		" FROM (SELECT l.started_at, l.finished_at FROM @.campaign_sweep_run AS l"
		"  WHERE l.source = $1 AND l.sweep = $2 AND l.as_of IS NULL"
		"  ORDER BY l.id DESC LIMIT 1) AS r,"
		" (SELECT count(*) AS failures, (array_agg(e.error ORDER BY e.id DESC))[1] AS error"
		"  FROM @.campaign_sweep_run AS e"
		"  WHERE e.source = $1 AND e.sweep = $2 AND e.as_of IS NULL AND e.error IS NOT NULL"
		"  AND e.id > coalesce((SELECT g.id FROM @.campaign_sweep_run AS g"
		"   WHERE g.source = $1 AND g.sweep = $2 AND g.as_of IS NULL"
		"   AND g.finished_at IS NOT NULL AND g.error IS NULL ORDER BY g.id DESC LIMIT 1), 0)) AS f");
	CatalogArguments arguments = {0};

	memset(history, 0, sizeof(*history));
	history->started_at = DT_NOBEGIN;
	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, cac_sweep_name(sweep));
	if (cac_catalog_execute(&query, &arguments) > 0)
	{
		history->started_at = cac_row_timestamp(0, 1);
		history->finished = cac_row_timestamp(0, 2) != DT_NOBEGIN;
		history->failures = cac_row_count(0, 3);
		history->error = cac_row_text(0, 4);
	}
	SPI_freetuptable(SPI_tuptable);
}

static TimestampTz
attached_at(const Source *source)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT s.attached_at FROM @.campaign_source AS s WHERE s.source = $1");
	CatalogArguments arguments = {0};
	TimestampTz moment;

	cac_add_name(&arguments, source->name);
	cac_catalog_execute(&query, &arguments);
	moment = cac_row_timestamp(0, 1);
	SPI_freetuptable(SPI_tuptable);
	return moment;
}

/*
 * When a sweep becomes late that began (or, the first of all, was wanted) then.
 */
static TimestampTz
late_from(const Source *source, SweepKind sweep, const SweepHistory *history)
{
	int64		every = source->every[sweep];
	int64		grace = LATE_AFTER + every / LATE_SHARE;

	if (history->started_at == DT_NOBEGIN)
		return cac_after(attached_at(source), grace);
	return cac_after(cac_after(history->started_at, every), grace);
}

/*
 * Did this sweep of every source run in time, and without an error?  Adds to
 * *ran and *late how many did and did not.  Returns what to say where none is
 * wrong: in how many it is off, if in any.
 */
static const char *
check_sweep(List *names, SweepKind sweep, Findings *findings, int *ran,
			int *late)
{
	TimestampTz now = GetCurrentTimestamp();
	int			on = 0;
	int			off = 0;
	ListCell   *lc;

	foreach(lc, names)
	{
		Source	   *source = cac_source_open(lfirst(lc));
		SweepHistory history;

		if (!cac_source_heeds_hints(source))
			continue;
		if (source->every[sweep] < 0)
		{
			off++;
			continue;
		}
		on++;
		read_history(source, sweep, &history);
		if (late_from(source, sweep, &history) < now)
		{
			(*late)++;
			find(findings, source,
				 history.started_at == DT_NOBEGIN ? "was never swept" :
				 psprintf(history.finished ? "was last swept at %s" :
						  "is being swept since %s, or that was cut short",
						  timestamptz_to_str(history.started_at)),
				 pstrdup("See the checks \"launcher\" and \"database\", and last_error in campaign_worker; not to wait: CALL campaign_run_sweeps();"));
		}
		else if (history.failures > 0)
			find(findings, source,
				 psprintf("could not be swept, " INT64_FORMAT " times in a row: %s",
						  history.failures, history.error),
				 pstrdup("Mend what the error names; the next run tells."));
		else if (history.started_at != DT_NOBEGIN)
			(*ran)++;
	}
	if (off == 0)
		return "in time";
	return on == 0 ? "off" : psprintf("in time; off in %d of %d sources", off, on + off);
}

static void
check_errors(ReturnSetInfo *rsinfo, List *names)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT count(*) OVER (), r.retry_at, r.campaign_id, r.error FROM @.campaign_retry AS r"
		" WHERE r.source = $1 AND r.failures > 0 ORDER BY r.retry_at LIMIT 1");
	Findings	findings = {0};
	ListCell   *lc;

	foreach(lc, names)
	{
		Source	   *source = cac_source_open(lfirst(lc));
		CatalogArguments arguments = {0};

		cac_add_name(&arguments, source->name);
		if (cac_catalog_execute(&query, &arguments) > 0)
			find(&findings, source,
				 psprintf("has " INT64_FORMAT " campaigns in error, tried again from %s on; campaign %s: %s",
						  cac_row_count(0, 1),
						  timestamptz_to_str(cac_row_timestamp(0, 2)),
						  cac_row_text(0, 3), cac_row_text(0, 4)),
				 pstrdup("Mend what the error names; the next try forgets it. All of them: SELECT * FROM campaign_retry WHERE failures > 0;"));
		SPI_freetuptable(SPI_tuptable);
	}
	report_findings(rsinfo, "errors", &findings, "no campaign is in error");
}

static void
check_blackouts(ReturnSetInfo *rsinfo, List *names)
{
	Findings	findings = {0};
	ListCell   *lc;

	foreach(lc, names)
	{
		Source	   *source = cac_source_open(lfirst(lc));
		TimestampTz since;

		if (cac_recall_blackout(source, &since))
			find(&findings, source,
				 psprintf("has heard of nobody since %s, so silent contacts are not marked",
						  timestamptz_to_str(since)),
				 psprintf("See whether the provider's callbacks arrive; marking goes on when one does. To do without: %s",
						  alter_statement(source, "blackout_after", NULL)));
	}
	report_findings(rsinfo, "blackout", &findings, "no source is in a blackout");
}

/* ----------------------------------------------------------------
 *		The server and the database
 * ----------------------------------------------------------------
 */

/*
 * False where the library does not serve the extension in this database, so
 * that nothing else can be told.
 */
static bool
check_version(ReturnSetInfo *rsinfo)
{
	bool		served = false;
	char	   *installed = cac_extension_version(&served);
	bool		same = installed != NULL && strcmp(installed, CAC_VERSION) == 0;

	report(rsinfo, "version", same,
		   same ? "library and extension are " CAC_VERSION :
		   psprintf("the library is %s, the extension %s", CAC_VERSION,
					installed ? installed : "not installed"),
		   "ALTER EXTENSION campaign_autoclose UPDATE; if the library is the older one, restart the server first.");
	return served;
}

/*
 * "swept": somebody runs the sweeps in time, so nobody else is missed.
 */
static void
check_launcher(ReturnSetInfo *rsinfo, bool swept)
{
	LauncherReport launcher;

	if (!cac_report_launcher(&launcher))
		report(rsinfo, "launcher", swept,
			   swept ? "the library is not preloaded; the sweeps are run from outside" :
			   "the library is not preloaded, so nothing runs by itself",
			   "Add shared_preload_libraries = 'campaign_autoclose' to postgresql.conf and restart the server, or have pg_cron run the sweeps: SELECT campaign_schedule_pg_cron();");
	else if (RecoveryInProgress())
		report(rsinfo, "launcher", true, "a standby: it starts with promotion", NULL);
	else if (launcher.pid == 0)
		report(rsinfo, "launcher", false, "the launcher is not running",
			   "The server starts it again within five seconds; if it does not, see the server's log.");
	else if (launcher.last_error[0] != '\0' && cac_enabled)
		report(rsinfo, "launcher", false,
			   has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ?
			   psprintf("it reports: %s", launcher.last_error) : "it reports an error",
			   "See the server's log; a visit that succeeds clears it.");
	else
		report(rsinfo, "launcher", true, "running", NULL);
}

static void
check_database(ReturnSetInfo *rsinfo, bool swept)
{
	const char *trouble = NULL;
	const char *fix = NULL;

	if (!cac_shared_memory_ready())
		return;
	if (!cac_enabled)
	{
		trouble = "campaign_autoclose.enabled is off";
		fix = "ALTER SYSTEM SET campaign_autoclose.enabled = on; SELECT pg_reload_conf();";
	}
	else if (!cac_database_listed(get_database_name(MyDatabaseId)))
	{
		trouble = "this database is not among campaign_autoclose.databases";
		fix = "Add it there and reload the configuration, or empty the setting.";
	}
	if (trouble == NULL || RecoveryInProgress())
		report(rsinfo, "database", true,
			   trouble ? "a standby: no worker comes here" : "workers come here", NULL);
	else
		report(rsinfo, "database", swept,
			   swept ? psprintf("%s; the sweeps are run from outside", trouble) :
			   psprintf("%s, so no worker comes here", trouble), fix);
}

static void
check_hints(ReturnSetInfo *rsinfo)
{
	HintCounters hints;
	TimestampTz lost_at = cac_hints_complete_since();
	bool		ok;

	if (!cac_hint_counters(&hints))
		return;
	ok = hints.dropped == 0 ||
		lost_at < cac_before(GetCurrentTimestamp(), HINTS_RECENT);
	report(rsinfo, "hints", ok,
		   ok ? "there is room for them" :
		   psprintf(INT64_FORMAT " hints were dropped since the server started, the last at %s; the sweeps make up for them",
					hints.dropped, timestamptz_to_str(lost_at)),
		   "Raise campaign_autoclose.tracked_campaigns, or change fewer campaigns in one transaction.");
}

/*
 * cac_report_health
 *		Put the rows of campaign_health() into the tuplestore of a result that
 *		the caller has prepared with InitMaterializedSRF().
 *
 * SPI must be connected.  source NULL means all that the caller may see.
 * Raises 42704 and 42501 for one that is named.
 */
void
cac_report_health(ReturnSetInfo *rsinfo, const char *source)
{
	int			count;
	List	   *names;
	Findings	sweeps[NUM_SWEEP_KINDS] = {0};
	const char *well[NUM_SWEEP_KINDS];
	int			ran = 0;
	int			late = 0;

	if (!check_version(rsinfo))
		return;
	names = visible_sources(source, &count);
	for (int kind = SWEEP_EXPIRED; kind < NUM_SWEEP_KINDS; kind++)
		well[kind] = check_sweep(names, kind, &sweeps[kind], &ran, &late);

	check_launcher(rsinfo, ran > 0 && late == 0);
	check_database(rsinfo, ran > 0 && late == 0);
	check_hints(rsinfo);
	if (count == 0)
		report(rsinfo, "sources", false, "no source is attached in this database",
			   "SELECT campaign_create_tables(); or campaign_attach() for tables that exist.");
	else if (names == NIL)
		report(rsinfo, "sources", false,
			   psprintf("none of %d is the caller's to see, so nothing is known of them", count),
			   "Ask as the owner of a source's tables, or as a role with BYPASSRLS.");
	else
		report(rsinfo, "sources", true,
			   psprintf("%d of %d", list_length(names), count), NULL);
	if (names == NIL)
		return;
	check_tables(rsinfo, names);
	check_modes(rsinfo, names);
	check_triggers(rsinfo, names);
	for (int kind = SWEEP_EXPIRED; kind < NUM_SWEEP_KINDS; kind++)
		report_findings(rsinfo, psprintf("sweep %s", cac_sweep_name(kind)),
						&sweeps[kind], well[kind]);
	check_errors(rsinfo, names);
	check_blackouts(rsinfo, names);
}
