/*
 * sweeps.c
 *		The four periodic tasks, over the campaigns of a source.
 *
 * A sweep reads the keys of its candidates, and hands them to lifecycle.c one
 * by one.  It runs in one of two ways:
 *
 * - within the transaction of a function's caller, with the caller's rights;
 * - on behalf of a host (a worker, or CALL campaign_run_sweeps()), as the owner
 *   of the source's tables, committing as it goes, so that rows are held for
 *   moments only and what was done stays done.
 *
 * In both, each campaign has a subtransaction of its own: one that raises an
 * error is left as it was, noted, and left alone for a while; the others are
 * processed.  A sweep of a source never runs twice at once: it holds a lock
 * for as long as it runs, for the session where it commits as it goes.
 *
 * Nothing is kept in memory from one run to the next.  When a sweep is due
 * follows from its last run, when a campaign is to be retried from
 * campaign_retry.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "attempt.h"
#include "hints.h"
#include "lifecycle.h"
#include "memory.h"
#include "sweeps.h"

/* Campaigns that share one transaction of a host; below the 64 subtransactions
 * that other sessions' snapshots can hold. */
#define CAMPAIGNS_PER_TRANSACTION	32
/* After so many skips in a row, a sweep waits for the campaign's row. */
#define SKIPS_BEFORE_WAITING		3
/* How long one campaign may take a host, in milliseconds; doubled with each
 * failure, so that a very large one gets its turn. */
#define CAMPAIGN_TIME_LIMIT			4000
#define CAMPAIGN_TIME_DOUBLINGS		6
/* When to look again at a source at fault, and at a sweep run by others. */
#define FAULT_DELAY					(5 * USECS_PER_MINUTE)
#define BUSY_DELAY					(5 * USECS_PER_SEC)

/* One sweep of one source. */
typedef struct Sweep
{
	const char *source;			/* its name */
	SweepKind	kind;
	TimestampTz as_of;
	bool		dry_run;
	const SweepHost *host;		/* NULL: in the caller's transaction */
	MemoryContext context;		/* outlives the host's transactions */
	SweepResult *result;

	Datum	   *keys;			/* the candidates, allocated in context */
	int64		nkeys;
	List	   *retries;		/* of CampaignRetry, likewise */
	int			uncommitted;	/* campaigns since the last commit */

	/* the campaign in hand */
	Datum		key;
	CampaignLock lock;
	bool		settling;		/* it is one that we closed lately */
	JudgeOutcome outcome;
} Sweep;

/* The lock that a host holds for its session, to be released on abort. */
static LOCKTAG session_lock;
static bool session_lock_held = false;

/* ----------------------------------------------------------------
 *		One run at a time
 * ----------------------------------------------------------------
 */

static void
unlock_session(void)
{
	if (session_lock_held)
	{
		session_lock_held = false;
		LockRelease(&session_lock, ExclusiveLock, true);
	}
}

static void
unlock_on_abort(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		unlock_session();
}

/*
 * Lock a sweep of a source; false if somebody else is running it.
 *
 * The lock is on the source's campaigns table, as an object of campaign_source
 * with the sweep's number, so that it collides with nothing of anybody's.
 */
static bool
lock_sweep(const Sweep *sweep, const Source *source)
{
	static bool registered = false;
	LOCKTAG		tag;
	bool		for_session = sweep->host != NULL;

	if (!registered)
	{
		RegisterXactCallback(unlock_on_abort, NULL);
		registered = true;
	}
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, cac_catalog_relid(),
					   source->relid[TABLE_CAMPAIGNS], sweep->kind);
	if (LockAcquire(&tag, ExclusiveLock, for_session, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	if (for_session)
	{
		session_lock = tag;
		session_lock_held = true;
	}
	return true;
}

/* ----------------------------------------------------------------
 *		One campaign
 * ----------------------------------------------------------------
 */

static CampaignRetry *
find_retry(const Sweep *sweep, const char *campaign_id)
{
	ListCell   *lc;

	foreach(lc, sweep->retries)
	{
		CampaignRetry *retry = lfirst(lc);

		if (strcmp(retry->campaign_id, campaign_id) == 0)
			return retry;
	}
	return NULL;
}

/*
 * Deferred triggers cannot be queued in a security-restricted context; let
 * them fire at once.  That is for the rest of the transaction, which is ours.
 */
static void
make_constraints_immediate(void)
{
	ConstraintsSetStmt *statement = makeNode(ConstraintsSetStmt);

	statement->constraints = NIL;
	statement->deferred = false;
	AfterTriggerSetState(statement);
}

/*
 * Judge the campaign in hand; AttemptFunction.
 */
static void
judge_candidate(void *arg)
{
	Sweep	   *sweep = arg;
	Source	   *source = cac_source_open(sweep->source);
	JudgeRequest request = {0};

	cac_source_check(source);
	request.sweep = sweep->kind;
	request.as_of = sweep->as_of;
	request.dry_run = sweep->dry_run || !cac_source_acts(source);
	request.shadow = !sweep->dry_run && source->armed && source->mode == MODE_SHADOW;
	request.only_closed = sweep->settling;
	request.as_owner = sweep->host != NULL;
	request.lock = sweep->lock;
	request.batch_size = sweep->host != NULL ? source->batch_size : 0;
	cac_judge_campaign(source, sweep->key, &request, &sweep->outcome);
}

static void
warn_of_failure(const Sweep *sweep, const char *campaign_id,
				const ErrorData *error, const char *hint)
{
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("campaign %s of source \"%s\" could not be processed: %s",
					campaign_id, sweep->source, error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 errhint("%s", hint)));
}

/*
 * Note that the campaign in hand raised an error.
 */
static void
note_failure(Sweep *sweep, const char *campaign_id, CampaignRetry *retry,
			 const ErrorData *error)
{
	CampaignEvent event = {.event = "error", .campaign_id = campaign_id,
		.reason = error->message, .at = sweep->as_of};
	CampaignRetry next = {0};
	Source	   *source = cac_source_open(sweep->source);
	StringInfoData details;

	next.campaign_id = unconstify(char *, campaign_id);
	next.failures = (retry ? retry->failures : 0) + 1;
	next.retry_at = cac_after(sweep->as_of, cac_retry_backoff(next.failures));
	cac_remember_retry(source, sweep->kind, &next, error);

	initStringInfo(&details);
	cac_append_json(&details, "sweep", cac_sweep_name(sweep->kind));
	cac_append_json(&details, "sqlstate", unpack_sql_state(error->sqlerrcode));
	cac_append_json_count(&details, "failures", next.failures);
	cac_append_json(&details, "retry_at", timestamptz_to_str(next.retry_at));
	event.details = psprintf("{%s}", details.data);
	cac_record_event(source, &event);
	cac_progress_error(error->message);

	warn_of_failure(sweep, campaign_id, error,
					psprintf("It was left as it was, and is retried after %s.",
							 timestamptz_to_str(next.retry_at)));
}

/*
 * Note that the campaign in hand was held by somebody else.
 */
static void
note_skip(Sweep *sweep, const char *campaign_id, const CampaignRetry *retry)
{
	CampaignRetry next = {0};

	next.campaign_id = unconstify(char *, campaign_id);
	next.failures = retry ? retry->failures : 0;
	next.skips = (retry ? retry->skips : 0) + 1;
	next.retry_at = DT_NOBEGIN;
	cac_remember_retry(cac_source_open(sweep->source), sweep->kind, &next, NULL);
}

/*
 * Add the campaign in hand to the sweep's result.
 */
static void
add_outcome(Sweep *sweep, bool first_round)
{
	const JudgeOutcome *outcome = &sweep->outcome;
	SweepResult *result = sweep->result;

	if (first_round)
		result->messages_checked += outcome->messages_checked;
	result->messages_marked += outcome->messages_marked;
	if (outcome->more)
		return;
	result->campaigns_updated += outcome->updated;
	result->campaigns_closed += outcome->closed;
	result->campaigns_resumed += outcome->resumed;
	result->campaigns_skipped += outcome->skipped;
}

static void
commit_now(Sweep *sweep)
{
	if (sweep->host != NULL)
		SPI_commit();
	sweep->uncommitted = 0;
}

static bool
may_go_on(const Sweep *sweep)
{
	CHECK_FOR_INTERRUPTS();
	return sweep->host == NULL || sweep->host->go_on();
}

/*
 * Process one candidate, in as many rounds as it has batches.  False where the
 * host wants to stop.
 */
static bool
process_candidate(Sweep *sweep, Datum key)
{
	char	   *campaign_id = cac_key_text(cac_source_open(sweep->source), key);
	CampaignRetry *retry = find_retry(sweep, campaign_id);
	int			doublings = Min(retry ? retry->failures : 0, CAMPAIGN_TIME_DOUBLINGS);
	int			time_limit = sweep->host ? CAMPAIGN_TIME_LIMIT << doublings : 0;
	bool		first_round = true;
	ErrorData  *error;

	/* a later time comes from a caller's as_of, and is not to be waited for */
	if (retry != NULL && retry->retry_at > sweep->as_of &&
		retry->retry_at <= cac_after(sweep->as_of, cac_retry_backoff(retry->failures)))
	{
		sweep->result->campaigns_skipped++;
		return true;
	}
	sweep->key = key;
	sweep->lock = retry != NULL && retry->skips >= SKIPS_BEFORE_WAITING ?
		LOCK_WAIT : LOCK_SKIP;
	do
	{
		if (!may_go_on(sweep))
			return false;
		if (sweep->host != NULL)
			make_constraints_immediate();
		if (!cac_attempt(judge_candidate, sweep, time_limit, &error))
		{
			sweep->result->campaigns_skipped++;
			if (sweep->dry_run)
				warn_of_failure(sweep, campaign_id, error,
								"The sweep would leave it as it is, and retry it later.");
			else
				note_failure(sweep, campaign_id, retry, error);
			return true;
		}
		add_outcome(sweep, first_round);
		first_round = false;
		if (sweep->outcome.more)
			commit_now(sweep);
	} while (sweep->outcome.more);

	if (sweep->dry_run)
		return true;
	if (sweep->outcome.skipped)
		note_skip(sweep, campaign_id, retry);
	else if (retry != NULL)
		cac_forget_retry(cac_source_open(sweep->source), sweep->kind, campaign_id);
	return true;
}

/* ----------------------------------------------------------------
 *		One sweep
 * ----------------------------------------------------------------
 */

/*
 * Find the sweep's candidates; AttemptFunction.
 */
static void
find_candidates(void *arg)
{
	Sweep	   *sweep = arg;
	Source	   *source = cac_source_open(sweep->source);
	MemoryContext old;
	SavedIdentity saved;

	cac_source_check(source);
	cac_source_enter(source, sweep->host != NULL, &saved);
	sweep->keys = cac_open_campaigns(source, sweep->context, &sweep->nkeys);
	cac_leave(&saved);

	old = MemoryContextSwitchTo(sweep->context);
	sweep->retries = cac_retries(source, sweep->kind);
	MemoryContextSwitchTo(old);
}

/*
 * The campaigns that we closed lately: their statistics are kept right, and a
 * new pending message reopens them.
 */
static bool
process_settling(Sweep *sweep)
{
	MemoryContext old = MemoryContextSwitchTo(sweep->context);
	List	   *settling = cac_settling_campaigns(cac_source_open(sweep->source),
												  sweep->as_of);
	ListCell   *lc;

	MemoryContextSwitchTo(old);
	sweep->settling = true;
	foreach(lc, settling)
	{
		if (!process_candidate(sweep, cac_key_from_text(cac_source_open(sweep->source),
														lfirst(lc))))
			return false;
		if (++sweep->uncommitted >= CAMPAIGNS_PER_TRANSACTION)
			commit_now(sweep);
	}
	sweep->settling = false;
	return true;
}

static bool
process_candidates(Sweep *sweep)
{
	cac_progress_begin(sweep->source, cac_sweep_name(sweep->kind), sweep->nkeys);
	for (int64 i = 0; i < sweep->nkeys; i++)
	{
		sweep->result->campaigns_checked++;
		if (!process_candidate(sweep, sweep->keys[i]))
			return false;
		if (++sweep->uncommitted >= CAMPAIGNS_PER_TRANSACTION)
			commit_now(sweep);
		cac_progress_done(i + 1);
	}
	return true;
}

/*
 * Find and process the candidates.  False where the host wants to stop;
 * *message is why the candidates could not be read, NULL if they could.
 */
static bool
perform(Sweep *sweep, char **message)
{
	ErrorData  *error;

	*message = NULL;
	if (!cac_attempt(find_candidates, sweep,
					 sweep->host ? CAMPAIGN_TIME_LIMIT << CAMPAIGN_TIME_DOUBLINGS : 0,
					 &error))
	{
		if (sweep->host == NULL)
			ReThrowError(error);
		*message = error->message;
		cac_progress_error(error->message);
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("sweep \"%s\" of source \"%s\" failed: %s",
						cac_sweep_name(sweep->kind), sweep->source,
						error->message)));
		return true;
	}
	/* new pending messages first: a campaign reopened here is open already */
	if (sweep->kind == SWEEP_SENDING && !process_settling(sweep))
		return false;
	return process_candidates(sweep);
}

typedef enum SweepEnd
{
	SWEEP_DONE,
	SWEEP_CUT_SHORT,			/* the host wants to stop */
	SWEEP_BUSY					/* somebody else is running it */
} SweepEnd;

/*
 * Run one sweep of one source, whose name etc. are filled in.  by_clock: as_of
 * is the present, so the run counts for the schedule.
 */
static SweepEnd
run_sweep(Sweep *sweep, bool by_clock)
{
	Source	   *source = cac_source_open(sweep->source);
	TimestampTz started_at = GetCurrentTimestamp();
	MemoryContext parent = CurrentMemoryContext;
	bool		recorded = !sweep->dry_run;
	SweepResult before = *sweep->result;
	SweepResult result = {0};
	SweepResult *total = sweep->result;
	int64		run = 0;
	char	   *message;
	bool		finished;

	if (sweep->host == NULL)
	{
		cac_source_check(source);
		cac_source_check_rights(source, recorded && cac_source_acts(source));
	}
	if (recorded && !lock_sweep(sweep, source))
	{
		ereport(NOTICE,
				(errmsg("sweep \"%s\" of source \"%s\" is already running",
						cac_sweep_name(sweep->kind), sweep->source)));
		return SWEEP_BUSY;
	}
	sweep->context = AllocSetContextCreate(parent, "campaign_autoclose sweep",
										   ALLOCSET_DEFAULT_SIZES);
	if (recorded)
		run = cac_record_run_start(source, sweep->kind, started_at,
								   by_clock ? DT_NOBEGIN : sweep->as_of);
	commit_now(sweep);

	sweep->result = &result;
	finished = perform(sweep, &message);
	if (finished && recorded)
		cac_record_run_end(cac_source_open(sweep->source), sweep->kind, run,
						   started_at, &result, message);
	commit_now(sweep);
	cac_progress_end();
	unlock_session();

	*total = before;
	total->campaigns_checked += result.campaigns_checked;
	total->campaigns_updated += result.campaigns_updated;
	total->campaigns_closed += result.campaigns_closed;
	total->campaigns_resumed += result.campaigns_resumed;
	total->campaigns_skipped += result.campaigns_skipped;
	total->messages_checked += result.messages_checked;
	total->messages_marked += result.messages_marked;
	sweep->result = total;
	MemoryContextSwitchTo(parent);
	MemoryContextDelete(sweep->context);
	return finished ? SWEEP_DONE : SWEEP_CUT_SHORT;
}

/* ----------------------------------------------------------------
 *		Sweeps asked for by a function call
 * ----------------------------------------------------------------
 */

/*
 * Why a source does nothing, as a message; NULL if it does something.
 */
static const char *
why_idle(const Source *source)
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
check_any_source(List *all, List *own, const char *message)
{
	if (all == NIL)
		ereport(NOTICE,
				(errmsg("no source is attached in this database"),
				 errhint("Make the standard tables with campaign_create_tables().")));
	else if (own == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg_internal("%s", message)));
}

/*
 * May the sweep go to this source?  A notice says why not.
 */
static bool
source_to_sweep(const char *name, bool named, bool dry_run)
{
	Source	   *source = cac_source_open(name);
	const char *idle = why_idle(source);

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
				 errhint("Activate it with campaign_alter('%s', 'mode', 'active').",
						 name)));
		return false;
	}
	return true;
}

/*
 * Of every source, those that the caller may write: 42501 if there are
 * sources, but none of that kind.
 */
static List *
sources_to_sweep(void)
{
	List	   *all = cac_source_list(false);
	List	   *own = NIL;
	ListCell   *lc;

	foreach(lc, all)
	{
		Source	   *source = cac_source_open(lfirst(lc));
		bool		missing = false;

		/* one whose table is gone comes along, for its warning */
		if (pg_class_aclcheck_ext(source->relid[TABLE_CAMPAIGNS], GetUserId(),
								  ACL_UPDATE, &missing) == ACLCHECK_OK || missing)
			own = lappend(own, lfirst(lc));
	}
	check_any_source(all, own, "permission denied for the tables of every source");
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
	List	   *names = source ? list_make1(unconstify(char *, source)) :
		sources_to_sweep();
	bool		by_clock = as_of == DT_NOBEGIN;
	ListCell   *lc;

	memset(result, 0, sizeof(*result));
	foreach(lc, names)
	{
		Sweep		sweep = {0};

		if (!source_to_sweep(lfirst(lc), source != NULL, dry_run))
			continue;
		sweep.source = lfirst(lc);
		sweep.kind = kind;
		sweep.as_of = by_clock ? GetCurrentTimestamp() : as_of;
		sweep.dry_run = dry_run;
		sweep.result = result;
		run_sweep(&sweep, by_clock);
	}
}

/* ----------------------------------------------------------------
 *		Sweeps that are due
 * ----------------------------------------------------------------
 */

/*
 * When a sweep is due next, given its last run.  One that was cut short is due
 * at once; so is one that seems to have run in the future, as then the clock
 * was set back.
 */
static TimestampTz
sweep_due(const Source *source, SweepKind kind, const LastRun *last,
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
 * Process the campaigns of a sweep that are to be retried now.
 */
static bool
run_retries(Sweep *sweep)
{
	Source	   *source = cac_source_open(sweep->source);
	MemoryContext parent = CurrentMemoryContext;
	ListCell   *lc;
	bool		go_on = true;

	sweep->context = AllocSetContextCreate(parent, "campaign_autoclose retries",
										   ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(sweep->context);
	sweep->retries = cac_retries(source, sweep->kind);
	MemoryContextSwitchTo(parent);

	foreach(lc, sweep->retries)
	{
		CampaignRetry *retry = lfirst(lc);

		if (retry->retry_at == DT_NOBEGIN || retry->retry_at > sweep->as_of)
			continue;
		if (!session_lock_held &&
			!lock_sweep(sweep, cac_source_open(sweep->source)))
			break;
		go_on = process_candidate(sweep,
								  cac_key_from_text(cac_source_open(sweep->source),
													retry->campaign_id));
		commit_now(sweep);
		if (!go_on)
			break;
	}
	unlock_session();
	MemoryContextDelete(sweep->context);
	return go_on;
}

/*
 * When anything of a source is next due.
 */
static TimestampTz
source_due(const char *name)
{
	Source	   *source = cac_source_open(name);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due;
	LastRun		last[NUM_SWEEP_KINDS];

	if (why_idle(source) != NULL)
		return DT_NOEND;
	if (source->fault_code != 0)
		return cac_after(now, FAULT_DELAY);
	due = cac_next_retry(source);
	cac_last_runs(source, last);
	for (int kind = SWEEP_EXPIRED; kind < NUM_SWEEP_KINDS; kind++)
	{
		TimestampTz next = sweep_due(source, kind, &last[kind], now);

		due = Min(due, next);
	}
	return due;
}

/*
 * Say what a host finds wrong with a source; false if there is nothing to do.
 */
static bool
source_to_run(const Source *source, const SweepHost *host)
{
	const char *idle = why_idle(source);

	if (idle != NULL)
		ereport(host->called ? NOTICE : LOG,
				(errmsg("campaign_autoclose: source \"%s\" %s, and does nothing",
						source->name, idle),
				 errhint("Activate it with campaign_alter('%s', 'mode', 'active').",
						 source->name)));
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
 * Run what is due of one source.  Returns when it is due again.
 */
static TimestampTz
run_source(const char *name, bool force, const SweepHost *host)
{
	Source	   *source = cac_source_open(name);
	LastRun		last[NUM_SWEEP_KINDS];
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next;
	ErrorData  *error;
	bool		due[NUM_SWEEP_KINDS];
	bool		busy = false;
	SweepResult result = {0};

	if (!source_to_run(source, host))
		return source_due(name);

	cac_last_runs(source, last);
	for (int kind = SWEEP_EXPIRED; kind < NUM_SWEEP_KINDS; kind++)
		due[kind] = source->every[kind] >= 0 &&
			(force || sweep_due(source, kind, &last[kind], now) <= now);

	for (int kind = SWEEP_EXPIRED; kind < NUM_SWEEP_KINDS; kind++)
	{
		Sweep		sweep = {.source = name, .kind = kind, .host = host,
			.as_of = GetCurrentTimestamp(), .result = &result};

		if (due[kind])
		{
			SweepEnd	end = run_sweep(&sweep, true);

			if (end == SWEEP_CUT_SHORT)
				return now;
			busy |= end == SWEEP_BUSY;
		}
		if (!run_retries(&sweep))
			return now;
	}

	if (!cac_attempt(forget_old, unconstify(char *, name), CAMPAIGN_TIME_LIMIT,
					 &error))
		ereport(LOG,
				(errmsg("campaign_autoclose: source \"%s\": old history is left for the next time: %s",
						name, error->message)));
	SPI_commit();
	next = source_due(name);
	return busy ? Max(next, cac_after(now, BUSY_DELAY)) : next;
}

/*
 * cac_run_due_sweeps
 *		Run whatever is due in this database, committing as it goes.
 *
 * source NULL means every source whose tables the current user owns; "force"
 * runs all sweeps that are not switched off, due or not.  The caller is in a
 * transaction and connected to SPI non-atomically.  Returns the moment when
 * something will next be due here; DT_NOEND: nothing, until a source changes.
 * Raises 42704 (no such source), 42501 (it is, or all are, somebody else's).
 */
TimestampTz
cac_run_due_sweeps(const char *source, bool force, const SweepHost *host)
{
	List	   *names = cac_source_list(true);
	TimestampTz due = DT_NOEND;
	bool		found = source == NULL;
	ListCell   *lc;

	if (source == NULL && host->called)
		check_any_source(cac_source_list(false), names,
						 "must be owner of the tables of a source");
	foreach(lc, names)
	{
		TimestampTz source_due_at;

		if (source != NULL && strcmp(source, lfirst(lc)) != 0)
			continue;
		found = true;
		source_due_at = run_source(lfirst(lc), force, host);
		due = Min(due, source_due_at);
		if (!host->go_on())
			break;
	}
	if (!found)
	{
		cac_source_open(source);	/* raises where there is no such source */
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of the tables of source \"%s\"", source)));
	}
	return due;
}
