/*
 * sweeps.c
 *		One sweep: a periodic task over the campaigns of a source.
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
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "attempt.h"
#include "candidate.h"
#include "lifecycle.h"
#include "memory.h"
#include "slots.h"
#include "sweeps.h"
#include "witness.h"

/* Campaigns that are marked together, pass by pass. */
#define MARKING_GROUP				64
/* Hints that are taken from shared memory at once, and what is put off for how
 * long. */
#define HINTS_AT_ONCE				64
#define HINT_PUT_OFF				USECS_PER_SEC
/* The share of a worker's time that counting open campaigns may take, and how
 * much of it can be saved up, in microseconds. */
#define COUNTING_SHARE				10
#define COUNTING_CREDIT_MAX			USECS_PER_SEC

/* The lock that a host holds for its session, to be released on abort. */
static LOCKTAG session_lock;
static bool session_lock_held = false;

/* How long counting may still take, in microseconds, as of when. */
static int64 counting_credit = COUNTING_CREDIT_MAX / COUNTING_SHARE;
static TimestampTz counting_credit_at = 0;

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

static void
begin_sweep(Sweep *sweep, const SweepRequest *request, SweepResult *result)
{
	memset(sweep, 0, sizeof(*sweep));
	sweep->source = request->source;
	sweep->kind = request->kind;
	sweep->as_of = request->as_of;
	sweep->dry_run = request->dry_run;
	sweep->host = request->host;
	sweep->result = result;
	sweep->context = AllocSetContextCreate(CurrentMemoryContext,
										   "campaign_autoclose sweep",
										   ALLOCSET_DEFAULT_SIZES);
}

/* ----------------------------------------------------------------
 *		Hints
 * ----------------------------------------------------------------
 */

/*
 * May a campaign's statistics be counted now?  Counting them while it is open
 * takes a tenth of a worker's time, and of the campaign's.
 */
static bool
may_count(const Source *source, Datum key, TimestampTz now)
{
	int64		elapsed = Max(now - counting_credit_at, 0);

	counting_credit = Min(counting_credit + elapsed / COUNTING_SHARE,
						  COUNTING_CREDIT_MAX);
	counting_credit_at = now;
	return counting_credit > 0 && now >= cac_count_not_before(source, key);
}

/*
 * Judge the campaign of one hint; count it if its statistics have changed and
 * there is time for it, else put that off.  False where the host wants to stop.
 */
static bool
serve_hint(Sweep *sweep, const HintKey *hint, int flags)
{
	Source	   *source = cac_source_open(sweep->source);
	Datum		key = cac_key_of_hint(source, hint);
	TimestampTz now = GetCurrentTimestamp();
	int			left = 0;
	bool		go_on;

	sweep->as_of = now;
	sweep->count = (flags & HINT_CHANGED) != 0 && may_count(source, key, now);
	cac_note_change(source, key);
	if (flags == HINT_CHANGED && !sweep->count)
	{
		cac_hint_put(hint, HINT_CHANGED,
					 Max(cac_count_not_before(source, key),
						 cac_after(now, HINT_PUT_OFF)));
		return true;
	}
	go_on = cac_process_candidate(sweep, key);
	if (sweep->count)
		counting_credit -= GetCurrentTimestamp() - now;
	else
		left |= flags & HINT_CHANGED;
	if (!go_on || sweep->outcome.skipped)
		left |= flags;
	if (left != 0)
		cac_hint_put(hint, left, cac_after(now, HINT_PUT_OFF));
	return go_on;
}

/*
 * cac_serve_hints
 *		Judge the campaigns of a source of which a hint that has fallen due says
 *		that they are worth a look, *served of them.  False where the host wants
 *		to stop.
 */
bool
cac_serve_hints(const SweepRequest *request, int64 *served)
{
	Source	   *source = cac_source_open(request->source);
	SweepResult result = {0};
	Sweep		sweep;
	MemoryContext old;
	HintKey		hints[HINTS_AT_ONCE];
	int			flags[HINTS_AT_ONCE];
	int			n;
	bool		go_on = true;

	n = cac_hints_take(MyDatabaseId, source->relid[TABLE_CAMPAIGNS],
					   GetCurrentTimestamp(), hints, flags, HINTS_AT_ONCE);
	*served = n;
	if (n == 0)
		return true;
	begin_sweep(&sweep, request, &result);
	old = MemoryContextSwitchTo(sweep.context);
	sweep.retries = cac_retries(source, request->kind);
	MemoryContextSwitchTo(old);
	cac_commit_now(&sweep);

	for (int i = 0; i < n; i++)
	{
		if (go_on)
		{
			go_on = serve_hint(&sweep, &hints[i], flags[i]);
			cac_hints_served(pg_popcount32(flags[i]));
		}
		else
			cac_hint_put(&hints[i], flags[i], GetCurrentTimestamp());
		cac_commit_now(&sweep);
	}
	MemoryContextDelete(sweep.context);
	return go_on;
}

/*
 * A long sweep does not keep the hints waiting.
 */
static bool
serve_hints_meanwhile(const Sweep *sweep)
{
	SweepRequest request = {.source = sweep->source, .kind = SWEEP_SENDING,
		.by_clock = true, .host = sweep->host};

	int64		served;

	if (!cac_by_witness(sweep) || cac_hints_next(MyDatabaseId) > GetCurrentTimestamp())
		return true;
	return cac_serve_hints(&request, &served);
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
	if (cac_by_witness(sweep) &&
		(sweep->kind == SWEEP_SENDING || sweep->kind == SWEEP_INTERRUPTED))
	{
		sweep->held = MemoryContextAllocZero(sweep->context,
											 Max(sweep->nkeys, 1) * sizeof(bool));
		cac_verify_candidates(source, sweep->kind, sweep->as_of, sweep->keys,
							  sweep->nkeys, sweep->held);
	}
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
		if (!cac_process_candidate(sweep, cac_key_from_text(cac_source_open(sweep->source),
														lfirst(lc))))
			return false;
		cac_commit_if_due(sweep);
	}
	sweep->settling = false;
	return true;
}

/*
 * One pass over a group of candidates: those that are not done with.
 */
static bool
process_pass(Sweep *sweep, int64 first, int64 last, bool *done)
{
	for (int64 i = first; i < last; i++)
	{
		if (done[i - first])
			continue;
		if (!cac_process_candidate(sweep, sweep->keys[i]))
			return false;
		done[i - first] = !sweep->outcome.next_pass;
		cac_commit_if_due(sweep);
		if (sweep->uncommitted == 0 && !serve_hints_meanwhile(sweep))
			return false;
	}
	return true;
}

/*
 * The candidates of the 24-hour sweep, in groups, in passes.
 */
static bool
process_in_passes(Sweep *sweep)
{
	for (int64 first = 0; first < sweep->nkeys; first += MARKING_GROUP)
	{
		int64		last = Min(first + MARKING_GROUP, sweep->nkeys);
		bool		done[MARKING_GROUP] = {0};

		sweep->result->campaigns_checked += last - first;
		sweep->in_passes = true;
		for (sweep->pass = 0; sweep->pass < MARKING_PASSES; sweep->pass++)
		{
			if (!process_pass(sweep, first, last, done))
				return false;
			/* so that the next pass finds room in the pages of this one */
			cac_commit_now(sweep);
		}
		cac_progress_done(last);
	}
	return true;
}

static bool
process_one_by_one(Sweep *sweep)
{
	for (int64 i = 0; i < sweep->nkeys; i++)
	{
		sweep->result->campaigns_checked++;
		if (sweep->held != NULL && sweep->held[i])
			continue;
		if (!cac_process_candidate(sweep, sweep->keys[i]))
			return false;
		cac_commit_if_due(sweep);
		cac_progress_done(i + 1);
		if (sweep->uncommitted == 0 && !serve_hints_meanwhile(sweep))
			return false;
	}
	return true;
}

static bool
process_candidates(Sweep *sweep)
{
	cac_progress_begin(sweep->source, cac_sweep_name(sweep->kind), sweep->nkeys);
	if (sweep->kind == SWEEP_EXPIRED && sweep->host != NULL)
		return process_in_passes(sweep);
	if (!process_one_by_one(sweep))
		return false;
	if (cac_by_witness(sweep) && sweep->kind == SWEEP_SENDING)
		cac_prune_tracked(cac_source_open(sweep->source), sweep->keys, sweep->nkeys);
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
					 cac_time_limit(sweep, NULL), &error))
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

static void
add_result(SweepResult *total, const SweepResult *result)
{
	total->campaigns_checked += result->campaigns_checked;
	total->campaigns_updated += result->campaigns_updated;
	total->campaigns_closed += result->campaigns_closed;
	total->campaigns_resumed += result->campaigns_resumed;
	total->campaigns_skipped += result->campaigns_skipped;
	total->messages_checked += result->messages_checked;
	total->messages_marked += result->messages_marked;
}

/*
 * cac_run_sweep
 *		Run one sweep of one source, adding its counts to *total.
 *
 * SPI must be connected, non-atomically where there is a host.  Raises what is
 * wrong with the source and, without a host, what its tables raise while the
 * candidates are read; errors of single campaigns are warnings.
 */
SweepEnd
cac_run_sweep(const SweepRequest *request, SweepResult *total)
{
	Source	   *source = cac_source_open(request->source);
	TimestampTz started_at = GetCurrentTimestamp();
	bool		recorded = !request->dry_run;
	SweepResult result = {0};
	Sweep		sweep;
	int64		run = 0;
	char	   *message;
	bool		finished;

	if (request->host == NULL)
	{
		cac_source_check(source);
		cac_source_check_rights(source, recorded && cac_source_acts(source));
	}
	begin_sweep(&sweep, request, &result);
	if (recorded && !lock_sweep(&sweep, source))
	{
		ereport(NOTICE,
				(errmsg("sweep \"%s\" of source \"%s\" is already running",
						cac_sweep_name(request->kind), request->source)));
		return SWEEP_BUSY;
	}
	if (recorded)
		run = cac_record_run_start(source, request->kind, started_at,
								   request->by_clock ? DT_NOBEGIN : request->as_of);
	cac_commit_now(&sweep);

	finished = perform(&sweep, &message);
	if (finished && recorded)
		cac_record_run_end(cac_source_open(request->source), request->kind, run,
						   started_at, &result, message);
	cac_commit_now(&sweep);
	cac_progress_end();
	unlock_session();
	add_result(total, &result);
	MemoryContextDelete(sweep.context);
	return finished ? SWEEP_DONE : SWEEP_CUT_SHORT;
}

/*
 * cac_retry_campaigns
 *		Process the campaigns of a sweep that are to be retried now.  False
 *		where the host wants to stop.
 */
bool
cac_retry_campaigns(const SweepRequest *request)
{
	Source	   *source = cac_source_open(request->source);
	MemoryContext old;
	SweepResult result = {0};
	Sweep		sweep;
	ListCell   *lc;
	bool		go_on = true;

	begin_sweep(&sweep, request, &result);
	old = MemoryContextSwitchTo(sweep.context);
	sweep.retries = cac_retries(source, request->kind);
	MemoryContextSwitchTo(old);

	foreach(lc, sweep.retries)
	{
		CampaignRetry *retry = lfirst(lc);

		if (retry->retry_at == DT_NOBEGIN || retry->retry_at > request->as_of)
			continue;
		source = cac_source_open(request->source);
		if (!session_lock_held && !lock_sweep(&sweep, source))
			break;
		go_on = cac_process_candidate(&sweep,
								  cac_key_from_text(source, retry->campaign_id));
		cac_commit_now(&sweep);
		if (!go_on)
			break;
	}
	unlock_session();
	MemoryContextDelete(sweep.context);
	return go_on;
}
