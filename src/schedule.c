/*
 * schedule.c
 *		Which sweeps run, of which sources: those that a caller asks for, and
 *		those that are due.
 *
 * When a sweep is due follows from its last run, and when a campaign is to be
 * retried from campaign_retry; nothing is kept in memory.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "attempt.h"
#include "hints.h"
#include "memory.h"
#include "schedule.h"
#include "slots.h"
#include "table_triggers.h"

/* How long the deleting of old history may take, in milliseconds. */
#define FORGETTING_TIME_LIMIT	4000
/*
 * When to look again at a source at fault, at one that has raised an error, and
 * at a sweep run by others.
 */
#define FAULT_DELAY				(5 * USECS_PER_MINUTE)
#define FAILURE_DELAY			USECS_PER_MINUTE
#define BUSY_DELAY				(5 * USECS_PER_SEC)

/* ----------------------------------------------------------------
 *		Sweeps asked for by a function call
 * ----------------------------------------------------------------
 */

/*
 * cac_why_idle
 *		Why a source does nothing, as a message; NULL if it does something.
 */
const char *
cac_why_idle(const Source *source)
{
	if (source->mode == MODE_PAUSED)
		return "is paused";
	if (!source->armed)
		return "was not activated in this database";
	return NULL;
}

/*
 * Say so where there is no source at all, or (42501) none that the caller may
 * sweep.
 */
static void
check_any_source(List *all, List *own, const char *message, const char *hint)
{
	if (all == NIL)
		ereport(NOTICE,
				(errmsg("no source is attached in this database"),
				 errhint("Make the standard tables with campaign_create_tables(), or attach your own with campaign_attach().")));
	else if (own == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg_internal("%s", message), errhint("%s", hint)));
}

/*
 * cac_source_to_sweep
 *		May the sweep go to this source?  A notice says why not.
 *
 * Raises what is wrong with a source that the caller has named.
 */
bool
cac_source_to_sweep(const char *name, bool named, bool dry_run)
{
	Source	   *source = cac_source_open(name);
	const char *idle = cac_why_idle(source);

	if (named)
		cac_source_check(source);
	else if (source->fault_code != 0)
	{
		ereport(WARNING,
				(errcode(source->fault_code),
				 errmsg_internal("%s", source->fault),
				 errhint("%s", source->fault_hint)));
		return false;
	}
	if (idle != NULL && !dry_run)
	{
		ereport(NOTICE,
				(errmsg("source \"%s\" %s, so nothing was done", name, idle),
				 errhint("Activate it with campaign_alter(%s, 'mode', 'active').",
						 quote_literal_cstr(name))));
		return false;
	}
	return true;
}

/*
 * cac_sources_to_sweep
 *		The names of the sources that a caller means: the one that is named, or
 *		(source NULL) every one that the caller may write, or for a dry run read.
 *
 * Raises 42501 if there are sources, but none of that kind.
 */
List *
cac_sources_to_sweep(const char *source, bool dry_run)
{
	List	   *all;
	List	   *own = NIL;
	ListCell   *lc;

	if (source != NULL)
		return list_make1(pstrdup(source));
	all = cac_source_list(false);
	foreach(lc, all)
	{
		Source	   *each = cac_source_open(lfirst(lc));

		/* one whose tables are gone comes along, for its warning */
		if (cac_source_has_rights(each, !dry_run) &&
			(list_length(all) == 1 || cac_source_harmless(each, !dry_run)))
			own = lappend(own, lfirst(lc));
	}
	check_any_source(all, own, "permission denied for the tables of every source",
					 "Call it as the owner of a source's tables, or, naming it, as a role that may write them.");
	return own;
}

/*
 * cac_sweep
 *		Run one sweep in the current transaction, with the caller's rights.
 *
 * source NULL means every source that the caller may write.  as_of DT_NOBEGIN
 * means now.  The counts are added up in *result.  SPI must be connected.
 * Raises 42704 (no such source), what is wrong with the source, and what its
 * tables raise while the candidates are read; errors of single campaigns are
 * warnings.
 */
void
cac_sweep(SweepKind kind, const char *source, TimestampTz as_of,
		  bool dry_run, SweepResult *result)
{
	List	   *names = cac_sources_to_sweep(source, dry_run);
	bool		by_clock = as_of == DT_NOBEGIN;
	ListCell   *lc;

	memset(result, 0, sizeof(*result));
	foreach(lc, names)
	{
		SweepRequest request = {.source = lfirst(lc), .kind = kind,
			.by_clock = by_clock, .dry_run = dry_run};

		if (!cac_source_to_sweep(lfirst(lc), source != NULL, dry_run))
			continue;
		request.as_of = by_clock ? GetCurrentTimestamp() : as_of;
		cac_run_sweep(&request, result);
	}
}

/* ----------------------------------------------------------------
 *		Sweeps that are due
 * ----------------------------------------------------------------
 */

/*
 * cac_sweep_due
 *		When a sweep is due next, given its last run.
 *
 * One that was cut short is due at once; so is one that seems to have run in
 * the future, as then the clock was set back.  DT_NOEND: it is off.
 */
TimestampTz
cac_sweep_due(const Source *source, SweepKind kind, const LastRun *last,
			  TimestampTz now)
{
	if (source->every[kind] < 0)
		return DT_NOEND;
	if (last->started_at == DT_NOBEGIN || !last->finished ||
		last->started_at > now)
		return now;
	return cac_after(last->started_at, source->every[kind]);
}

/*
 * cac_source_due
 *		When anything of a source is next due; DT_NOEND: nothing, until somebody
 *		changes that.
 */
TimestampTz
cac_source_due(const Source *source)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due;
	LastRun		last[NUM_SWEEP_KINDS];

	if (cac_why_idle(source) != NULL)
		return DT_NOEND;
	if (source->fault_code != 0)
		return cac_after(now, FAULT_DELAY);
	due = cac_next_retry(source);
	cac_last_runs(source, last);
	for (int kind = SWEEP_EXPIRED; kind < NUM_SWEEP_KINDS; kind++)
	{
		TimestampTz next = cac_sweep_due(source, kind, &last[kind], now);

		due = Min(due, next);
	}
	return due;
}

/*
 * cac_tell_idle
 *		Say why a source does nothing, to the caller or in the log.
 */
void
cac_tell_idle(const Source *source, bool called)
{
	/* who paused it knows; that a copy waits to be activated must be told */
	ereport(called ? NOTICE : source->armed ? DEBUG1 : LOG,
			(errmsg("campaign_autoclose: source \"%s\" %s, and does nothing",
					source->name, cac_why_idle(source)),
			 errhint("Activate it with campaign_alter(%s, 'mode', 'active').",
					 quote_literal_cstr(source->name))));
}

/*
 * Say what a host finds wrong with a source; false if there is nothing to do.
 */
static bool
source_to_run(const Source *source, const SweepHost *host)
{
	if (cac_why_idle(source) != NULL)
		cac_tell_idle(source, host->called);
	else if (source->fault_code != 0)
		ereport(WARNING,
				(errcode(source->fault_code),
				 errmsg_internal("%s", source->fault),
				 errhint("%s", source->fault_hint)));
	else
		return true;
	return false;
}

/*
 * Delete what a source need not remember any longer; AttemptFunction.
 */
static void
forget_old(void *arg)
{
	Source	   *source = cac_source_open(arg);
	TimestampTz now = GetCurrentTimestamp();

	cac_forget_old(source, now);
	cac_forget_history(source, now);
}

/*
 * A sweep looks itself at what hints should have told, once an hour, where some
 * were lost since it last ran, and whenever somebody asks.
 */
static bool
thorough(const LastRun *last, TimestampTz now, bool force)
{
	return force || last->started_at < cac_hints_complete_since() ||
		last->started_at / USECS_PER_HOUR != now / USECS_PER_HOUR;
}

/*
 * Run what is due of one source, which is locked for us.  Returns when it is
 * due again; *in_vain: that is not what the tables say.
 */
static TimestampTz
run_locked_source(const char *name, bool force, const SweepHost *host, bool *in_vain)
{
	Source	   *source = cac_source_open(name);
	LastRun		last[NUM_SWEEP_KINDS];
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next;
	ErrorData  *error;
	bool		due[NUM_SWEEP_KINDS];
	bool		busy = false;
	bool		on = false;
	bool		tidy = host->called;
	bool		hinted;
	SweepResult result = {0};

	hinted = cac_source_hinted(source);
	cac_last_runs(source, last);
	for (int kind = SWEEP_EXPIRED; kind < NUM_SWEEP_KINDS; kind++)
	{
		due[kind] = source->every[kind] >= 0 &&
			(force || cac_sweep_due(source, kind, &last[kind], now) <= now);
		on |= source->every[kind] >= 0;
		tidy |= due[kind];
	}

	for (int kind = SWEEP_EXPIRED; kind < NUM_SWEEP_KINDS; kind++)
	{
		SweepRequest request = {.source = name, .kind = kind, .host = host,
			.by_clock = true};
		SweepEnd	end;

		request.thorough = thorough(&last[kind], now, force || !hinted);
		if (!cac_serve_due_hints(name, host))
			return now;

		/* what was counted just now is not of the future */
		request.as_of = GetCurrentTimestamp();
		if (due[kind])
		{
			end = cac_run_sweep(&request, &result);
			if (end == SWEEP_CUT_SHORT)
				return now;
			busy |= end == SWEEP_BUSY;
		}
		end = cac_retry_campaigns(&request);
		if (end == SWEEP_CUT_SHORT)
			return now;
		busy |= end == SWEEP_BUSY;
	}

	/* with a sweep, if there are any, and not with each hint */
	if ((tidy || !on) && !cac_attempt(forget_old, unconstify(char *, name),
							FORGETTING_TIME_LIMIT, &error))
		ereport(LOG,
				(errmsg("campaign_autoclose: source \"%s\": old history is left for the next time: %s",
						name, error->message)));
	SPI_commit();
	next = cac_source_due(cac_source_open(name));
	/* what is due still was refused: never spin */
	*in_vain = busy || next <= now;
	if (*in_vain)
		next = Max(next, cac_after(now, BUSY_DELAY));
	return next;
}

/*
 * Run what is due of one source, unless another host is at it.  Returns when it
 * is due again; *in_vain: that is not what the tables say.
 *
 * What is due is looked up under the lock, so nothing runs again because two
 * have found it due.  Who forces sweeps wants them run, and waits.
 */
static TimestampTz
run_source(const char *name, bool force, const SweepHost *host, bool *in_vain)
{
	Source	   *source = cac_source_open(name);
	TimestampTz due;

	*in_vain = true;
	if (!source_to_run(source, host))
		return cac_source_due(cac_source_open(name));
	if (!cac_lock_source(source, force))
	{
		ereport(host->called ? NOTICE : DEBUG1,
				(errmsg("the sweeps of source \"%s\" are already running", name)));
		(void) cac_serve_due_hints(name, host);
		return cac_after(GetCurrentTimestamp(), BUSY_DELAY);
	}
	due = run_locked_source(name, force, host, in_vain);
	cac_unlock_source();
	return due;
}

/*
 * After an error that nothing has caught: begin a new transaction, with SPI
 * connected as it was for the host.
 *
 * Whoever raised the error may have left connections and snapshots above the
 * host's.  The abort takes the connections, all of them; the portal of a CALL
 * has to let go of its snapshot first, as it does for SPI_rollback().
 */
static void
abandon_transaction(MemoryContext context)
{
	Snapshot	host_snapshot = ActivePortal ? ActivePortal->portalSnapshot : NULL;

	while (ActiveSnapshotSet() && GetActiveSnapshot() != host_snapshot)
		PopActiveSnapshot();
	ForgetPortalSnapshots();
	AbortCurrentTransaction();
	StartTransactionCommand();
	/* SPI_finish() returns to it, in whatever transaction that will be */
	MemoryContextSwitchTo(context);
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect_ext failed");
}

/*
 * What a host runs of one source; the arguments and the result are those of
 * run_source().
 */
typedef TimestampTz (*SourceRun) (const char *name, bool force,
								  const SweepHost *host, bool *in_vain);

/*
 * Run it, and survive what it raises, so that the other sources are served.
 * What it had not committed is undone; it is tried again a minute later.  A
 * cancellation is raised again, as it is meant for all of them.
 */
static TimestampTz
survive(SourceRun run, const char *name, bool force, const SweepHost *host,
		bool *in_vain)
{
	MemoryContext context = CurrentMemoryContext;
	volatile TimestampTz due = DT_NOEND;

	PG_TRY();
	{
		due = run(name, force, host, in_vain);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		FlushErrorState();
		abandon_transaction(context);
		cac_progress_end();
		cac_progress_error(error->message);
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("source \"%s\" could not be served: %s", name,
						error->message)));
		due = cac_after(GetCurrentTimestamp(), FAILURE_DELAY);
		*in_vain = true;
		MemoryContextSwitchTo(context);
	}
	PG_END_TRY();
	return due;
}

/*
 * cac_serve_source
 *		Run what is due of one source, for a worker, committing as it goes.
 *
 * The worker is in a transaction and connected to SPI non-atomically.  Returns
 * when the source is due again; *in_vain: that is not what the tables say, but
 * when it is worth another try.  What it raises is a warning.
 */
TimestampTz
cac_serve_source(const char *name, const SweepHost *host, bool *in_vain)
{
	return survive(run_source, name, false, host, in_vain);
}

/*
 * Serve the hints of one source.  Returns when a campaign is to be retried, as one
 * may have failed.
 */
static TimestampTz
run_hints(const char *name, bool force, const SweepHost *host, bool *in_vain)
{
	Source	   *source;

	(void) cac_serve_due_hints(name, host);
	source = cac_source_find(name);
	return source != NULL ? cac_next_retry(source) : DT_NOEND;
}

/*
 * cac_serve_source_hints
 *		Likewise nothing but its hints, where nothing else is due until "due".
 */
TimestampTz
cac_serve_source_hints(const char *name, const SweepHost *host,
					   TimestampTz due, bool *in_vain)
{
	return Min(due, survive(run_hints, name, false, host, in_vain));
}

/*
 * cac_run_due_sweeps
 *		Run whatever is due in this database, committing as it goes, for somebody
 *		who calls for it.
 *
 * source NULL means every source whose tables the current user owns; "force"
 * runs all sweeps that are not switched off, due or not.  The caller is in a
 * transaction and connected to SPI non-atomically.  Raises 42704 (no such
 * source), 42501 (it is, or all are, somebody else's); what one source raises is
 * a warning, unless it is the only one meant or somebody else's SPI connection
 * is below the host's.
 */
void
cac_run_due_sweeps(const char *source, bool force, const SweepHost *host)
{
	List	   *names;
	bool		found = source == NULL;
	bool		in_vain;
	ListCell   *lc;

	cac_source_recheck();
	names = cac_source_list(true);
	if (source == NULL)
		check_any_source(cac_source_list(false), names,
						 "must be owner of the tables of a source",
						 "Call it as the owner of a source's tables, whom it acts as.");
	foreach(lc, names)
	{
		if (source != NULL && strcmp(source, lfirst(lc)) != 0)
			continue;
		found = true;
		/* who names a source wants to hear of it */
		if (source != NULL || !host->outermost)
			run_source(lfirst(lc), force, host, &in_vain);
		else
			survive(run_source, lfirst(lc), force, host, &in_vain);
	}
	if (!found)
	{
		cac_source_open(source);	/* raises where there is no such source */
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of the tables of source \"%s\"", source),
				 errhint("Call it as the owner of its tables, whom it acts as.")));
	}
}
