/*
 * sweep_status.c
 *		Whether the sweeps run: of each sweep of each source, its last run, what
 *		it did, and when the next is due (campaign_sweep_status).
 *
 * It tells what campaign_sweep_run tells, and to the same people: the owners
 * of the sources' tables.  So it is told of sources at fault too.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "arguments.h"
#include "reports.h"
#include "schedule.h"

PG_FUNCTION_INFO_V1(campaign_sweep_status);

/* What is recorded of the runs of a sweep that went by the clock. */
typedef struct SweepHistory
{
	LastRun		last;			/* the one that began last */
	bool		suspended;		/* it made way, or goes on after it had */
	TimestampTz ended_at;		/* the last one that ended, DT_NOBEGIN: none: */
	TimestampTz began_at;
	int64		runs;			/* how many its row stands for */
	SweepResult result;
	char	   *error;			/* palloc'd, or NULL */
	int64		failures;		/* runs in a row that failed or were cut short,
								 * or go on and never made way */
} SweepHistory;

static void
read_history(const Source *source, SweepKind sweep, SweepHistory *history)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT last.started_at, last.finished_at, last.resume IS NOT NULL, ended.started_at, ended.finished_at, ended.runs,"
		" ended.campaigns_checked, ended.campaigns_updated, ended.campaigns_closed,"
		" ended.campaigns_resumed, ended.campaigns_skipped, ended.messages_checked,"
		" ended.messages_marked, ended.error,"
		" (SELECT count(*) FROM @.campaign_sweep_run AS r"
		"  WHERE r.source = $1 AND r.sweep = $2 AND r.as_of IS NULL AND r.resume IS NULL AND r.id > coalesce("
		"   (SELECT max(g.id) FROM @.campaign_sweep_run AS g WHERE g.source = $1 AND g.sweep = $2"
		"    AND g.as_of IS NULL AND g.finished_at IS NOT NULL AND g.error IS NULL), 0))"
		" FROM (SELECT r.* FROM @.campaign_sweep_run AS r"
		"  WHERE r.source = $1 AND r.sweep = $2 AND r.as_of IS NULL"
		"  ORDER BY r.id DESC LIMIT 1) AS last"
		" LEFT JOIN LATERAL (SELECT r.* FROM @.campaign_sweep_run AS r"
		"  WHERE r.source = $1 AND r.sweep = $2 AND r.as_of IS NULL AND r.finished_at IS NOT NULL"
		"  ORDER BY r.id DESC LIMIT 1) AS ended ON true");
	CatalogArguments arguments = {0};
	int			col = 1;

	memset(history, 0, sizeof(*history));
	history->last.started_at = history->began_at = history->ended_at = DT_NOBEGIN;
	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, cac_sweep_name(sweep));
	if (cac_catalog_execute(&query, &arguments) > 0)
	{
		history->last.started_at = cac_row_timestamp(0, col++);
		history->last.finished = cac_row_timestamp(0, col++) != DT_NOBEGIN;
		history->suspended = cac_row_bool(0, col++);
		history->began_at = cac_row_timestamp(0, col++);
		history->ended_at = cac_row_timestamp(0, col++);
		history->runs = cac_row_count(0, col++);
		history->result.campaigns_checked = cac_row_count(0, col++);
		history->result.campaigns_updated = cac_row_count(0, col++);
		history->result.campaigns_closed = cac_row_count(0, col++);
		history->result.campaigns_resumed = cac_row_count(0, col++);
		history->result.campaigns_skipped = cac_row_count(0, col++);
		history->result.messages_checked = cac_row_count(0, col++);
		history->result.messages_marked = cac_row_count(0, col++);
		history->error = cac_row_text(0, col++);
		history->failures = cac_row_count(0, col++);
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * What the last run has come to.  A run whose end is not recorded goes on, or
 * waits, or was cut short: the lock tells, but not on a standby.
 */
static const char *
run_state(const SweepHistory *history, bool running)
{
	if (running)
		return "running";
	if (history->last.started_at == DT_NOBEGIN)
		return "never ran";
	if (!history->last.finished)
		return history->suspended ? "waiting" : "cut short";
	return history->error ? "failed" : "done";
}

/*
 * When the sweep will run next; DT_NOBEGIN: not before somebody changes that.
 */
static TimestampTz
next_run(const Source *source, SweepKind sweep, const SweepHistory *history,
		 bool running, TimestampTz as_of)
{
	LastRun		last = history->last;

	if (source->every[sweep] < 0 || source->fault_code != 0 ||
		cac_why_idle(source) != NULL)
		return DT_NOBEGIN;
	last.finished |= running;
	return cac_sweep_due(source, sweep, &last, as_of);
}

static void
report_sweep(const Source *source, SweepKind sweep, TimestampTz as_of,
			 ReturnSetInfo *rsinfo)
{
	SweepHistory history;
	const SweepResult *result = &history.result;
	Datum		values[18];
	bool		nulls[18] = {0};
	NameData	name;
	bool		begun;
	bool		running;
	int			n = 0;

	read_history(source, sweep, &history);
	begun = history.last.started_at != DT_NOBEGIN && !history.last.finished;
	running = RecoveryInProgress() ? begun : cac_sweep_running(source, sweep);
	namestrcpy(&name, source->name);
	values[n++] = NameGetDatum(&name);
	values[n++] = CStringGetTextDatum(cac_sweep_name(sweep));
	values[n] = cac_duration_column(0, source->every[sweep], &nulls[n]);
	nulls[n] = source->every[sweep] < 0;
	n++;
	values[n++] = CStringGetTextDatum(run_state(&history, running));
	values[n] = cac_timestamp_column(history.last.started_at, &nulls[n]);
	n++;
	values[n] = cac_timestamp_column(history.ended_at, &nulls[n]);
	n++;
	values[n] = cac_duration_column(history.began_at, history.ended_at, &nulls[n]);
	n++;
	for (int i = n; i < n + 8; i++)
		nulls[i] = history.ended_at == DT_NOBEGIN;
	values[n++] = Int64GetDatum(history.runs);
	values[n++] = Int64GetDatum(result->campaigns_checked);
	values[n++] = Int64GetDatum(result->campaigns_updated);
	values[n++] = Int64GetDatum(result->campaigns_closed);
	values[n++] = Int64GetDatum(result->campaigns_resumed);
	values[n++] = Int64GetDatum(result->campaigns_skipped);
	values[n++] = Int64GetDatum(result->messages_checked);
	values[n++] = Int64GetDatum(result->messages_marked);
	/* the one that goes on has not failed yet */
	values[n++] = Int64GetDatum(history.failures - (begun && running && !history.suspended));
	values[n] = cac_timestamp_column(next_run(source, sweep, &history, running, as_of),
									 &nulls[n]);
	n++;
	values[n] = cac_text_column(source->fault_code != 0 ? source->fault : history.error,
								&nulls[n]);
	n++;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * campaign_sweep_status(source name DEFAULT NULL,
 *		as_of timestamptz DEFAULT NULL)
 *		-> the rows of the view campaign_sweep_status
 */
Datum
campaign_sweep_status(PG_FUNCTION_ARGS)
{
	char	   *name = cac_name_argument(fcinfo, 0);
	TimestampTz as_of = cac_as_of_argument(fcinfo, 1);
	List	   *names;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	if (as_of == DT_NOBEGIN)
		as_of = GetCurrentTimestamp();
	cac_connect_spi();
	names = name ? list_make1(name) : cac_source_list(false);
	foreach(lc, names)
	{
		Source	   *source = name ? cac_source_open(name) :
			cac_source_find(lfirst(lc));

		if (source == NULL)
			continue;
		if (!cac_sees_history(source))
		{
			if (name == NULL)
				continue;
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("must be owner of the tables of source \"%s\"", name),
					 errhint("Its history is for the owner of its tables, and for roles with BYPASSRLS.")));
		}
		for (int sweep = SWEEP_EXPIRED; sweep < NUM_SWEEP_KINDS; sweep++)
			report_sweep(source, sweep, as_of, (ReturnSetInfo *) fcinfo->resultinfo);
	}
	SPI_finish();
	return (Datum) 0;
}
