/*-------------------------------------------------------------------------
 *
 * processes.c
 *		The launcher and the workers, as they are shown (campaign_worker).
 *
 * They are those of the whole server, so what shared memory holds of them may
 * come from other databases, in other encodings.  What names a source or its
 * contents is for members of pg_read_all_stats.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "processes.h"
#include "settings.h"

/* Columns of cac_report_processes(). */
#define REPORT_COLUMNS		14

/*
 * A text from shared memory may be another database's, in its encoding.  What
 * is not valid in ours loses whatever is not ASCII: better than a row that a
 * client cannot read.
 */
static char *
readable(char *string)
{
	char	   *c;

	if (!pg_verifymbstr(string, strlen(string), true))
	{
		for (c = string; *c != '\0'; c++)
		{
			if (IS_HIGHBIT_SET(*c))
				*c = '?';
		}
	}
	return string;
}

static Datum
shared_text(char *string)
{
	return CStringGetTextDatum(readable(string));
}

/*
 * cac_report_launcher
 *		How the launcher is; false where the library was not preloaded.
 */
bool
cac_report_launcher(LauncherReport *report)
{
	int			nworkers;

	if (cac_report_slots(report, &nworkers) == NULL)
		return false;
	(void) readable(report->last_error);
	return true;
}

static const char *
launcher_state(const LauncherReport *launcher)
{
	if (launcher == NULL)
		return "not preloaded: no worker will run";
	if (RecoveryInProgress())
		return "standby";
	if (!cac_enabled)
		return "disabled";
	return launcher->pid != 0 ? "running" : "not running";
}

/*
 * One row for the launcher; "launcher" is NULL where the library was not
 * preloaded, and so are the counters of the hints.
 */
static void
report_launcher(ReturnSetInfo *rsinfo, LauncherReport *launcher,
				const HintCounters *hints, bool privileged)
{
	Datum		values[REPORT_COLUMNS];
	bool		nulls[REPORT_COLUMNS];

	memset(nulls, true, sizeof(nulls));
	values[0] = CStringGetTextDatum("launcher");
	values[3] = CStringGetTextDatum(launcher_state(launcher));
	nulls[0] = nulls[3] = false;
	if (launcher != NULL && launcher->pid != 0)
	{
		values[1] = Int32GetDatum((int32) launcher->pid);
		values[8] = TimestampTzGetDatum(launcher->started_at);
		values[9] = TimestampTzGetDatum(launcher->next_wake);
		nulls[1] = nulls[8] = nulls[9] = false;
	}
	if (privileged && launcher != NULL && launcher->last_error[0] != '\0')
	{
		values[10] = shared_text(launcher->last_error);
		nulls[10] = false;
	}
	if (hints)
	{
		values[11] = Int64GetDatum(hints->waiting);
		values[12] = Int64GetDatum(hints->dropped);
		values[13] = Int64GetDatum(hints->served);
		nulls[11] = nulls[12] = nulls[13] = false;
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * One row for one worker.
 */
static void
report_worker(ReturnSetInfo *rsinfo, WorkerReport *worker, bool privileged)
{
	static const char *const state_names[] = {"free", "starting", "running", "lingering", "exited"};
	Datum		values[REPORT_COLUMNS];
	bool		nulls[REPORT_COLUMNS];
	char	   *datname = get_database_name(worker->dboid);
	bool		sweeping = NameStr(worker->sweep)[0] != '\0';

	memset(nulls, false, sizeof(nulls));
	values[0] = CStringGetTextDatum("worker");
	values[1] = Int32GetDatum((int32) worker->pid);
	nulls[1] = worker->pid == 0;
	nulls[2] = datname == NULL;
	if (datname != NULL)
		values[2] = CStringGetTextDatum(datname);
	values[3] = CStringGetTextDatum(state_names[worker->state]);
	nulls[4] = !privileged || NameStr(worker->source)[0] == '\0';
	if (!nulls[4])
		values[4] = shared_text(NameStr(worker->source));
	/* between two sweeps it serves hints, or looks what is due */
	nulls[5] = !privileged || !sweeping;
	if (!nulls[5])
		values[5] = shared_text(NameStr(worker->sweep));
	values[6] = Int64GetDatum(worker->campaigns_done);
	values[7] = Int64GetDatum(worker->campaigns_total);
	nulls[6] = nulls[7] = !sweeping;
	values[8] = TimestampTzGetDatum(worker->started_at);
	values[9] = TimestampTzGetDatum(worker->next_due);
	nulls[9] = worker->next_due == DT_NOBEGIN;
	nulls[10] = !privileged || worker->last_error[0] == '\0';
	if (!nulls[10])
		values[10] = shared_text(worker->last_error);
	nulls[11] = nulls[12] = nulls[13] = true;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * The rows of the view campaign_worker, put in the tuplestore of a result that
 * the caller has prepared with InitMaterializedSRF():
 *
 *	process text, pid int, database text, state text, source text, sweep text,
 *	campaigns_done bigint, campaigns_total bigint, started_at timestamptz,
 *	next_wake_at timestamptz, last_error text, hints_waiting bigint,
 *	hints_dropped bigint, hints_served bigint
 */
void
cac_report_processes(ReturnSetInfo *rsinfo, const HintCounters *hints)
{
	bool		privileged = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
	LauncherReport launcher;
	WorkerReport *workers;
	int			nworkers = 0;

	workers = cac_report_slots(&launcher, &nworkers);
	if (workers == NULL)
	{
		report_launcher(rsinfo, NULL, NULL, privileged);
		return;
	}
	report_launcher(rsinfo, &launcher, hints, privileged);
	for (int i = 0; i < nworkers; i++)
		report_worker(rsinfo, &workers[i], privileged);
}
