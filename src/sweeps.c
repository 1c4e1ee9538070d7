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
 *
 * A host may stop a sweep between two campaigns, since something else is to be
 * done.  How far it had come is then recorded with the run, and whoever runs
 * the sweep next goes on from there.  So it gets to its end, however often it
 * is stopped.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "portability/instr_time.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "attempt.h"
#include "candidate.h"
#include "counters.h"
#include "keylist.h"
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
#define HINT_FAILED_OFF				USECS_PER_MINUTE	/* where that raised an error */
/* How often a sweep looks for hints meanwhile, in milliseconds, and for how
 * long it serves them before it goes on. */
#define HINTS_EVERY					100
#define HINTS_TURN					300

/* A lock that a host holds for its session, to be released on abort. */
typedef struct SessionLock
{
	LOCKTAG		tag;
	bool		held;
} SessionLock;

static SessionLock source_lock;
static SessionLock sweep_lock;

/* The hints that were taken to be served: up to "committed" they have been. */
typedef struct HintsInHand
{
	HintKey		keys[HINTS_AT_ONCE];
	int			flags[HINTS_AT_ONCE];
	int			count;
	int			committed;
	int			current;
} HintsInHand;

static HintsInHand in_hand;

/* ----------------------------------------------------------------
 *		One run at a time
 * ----------------------------------------------------------------
 */

static void
release(SessionLock *lock)
{
	if (lock->held)
	{
		lock->held = false;
		LockRelease(&lock->tag, ExclusiveLock, true);
	}
}

/*
 * Whoever was to serve hints does not: those that it had not come to, or not
 * committed, wait again.  The one that it was at is lost, lest one that makes
 * every worker fail come again and again.  Called when a transaction is aborted,
 * so nothing here may raise.
 */
static void
give_hints_back(void)
{
	TimestampTz now = GetCurrentTimestamp();

	for (int i = in_hand.committed; i < in_hand.count; i++)
	{
		if (i == in_hand.current)
			cac_hints_lost(pg_popcount32(in_hand.flags[i] & HINT_KINDS));
		else
			cac_hint_put(&in_hand.keys[i], in_hand.flags[i], now);
	}
	in_hand.count = in_hand.committed = 0;
}

static void
clean_up_on_abort(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
	{
		release(&sweep_lock);
		release(&source_lock);
		give_hints_back();
	}
}

/*
 * Before anything is held that is to be given back.
 */
static void
register_cleaning_up(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(clean_up_on_abort, NULL);
	registered = true;
}

/*
 * The lock of a sweep (or, with SWEEP_NONE, of a source): on the source's
 * campaigns table, as an object of campaign_source with the sweep's number, so
 * that it collides with nothing of anybody's.
 */
static LOCKTAG
lock_tag(const Source *source, SweepKind kind)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, cac_catalog_relid(),
					   source->relid[TABLE_CAMPAIGNS], kind);
	return tag;
}

/*
 * Take a lock, for the session where one is given and for the transaction
 * otherwise; false if somebody else has it, and we are not to wait.
 */
static bool
take(SessionLock *lock, const Source *source, SweepKind kind, bool wait)
{
	LOCKTAG		tag = lock_tag(source, kind);

	register_cleaning_up();
	if (LockAcquire(&tag, ExclusiveLock, lock != NULL, !wait) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	if (lock != NULL)
	{
		lock->tag = tag;
		lock->held = true;
	}
	return true;
}

/*
 * Lock a sweep of a source; false if somebody else is running it.
 */
static bool
lock_sweep(const Sweep *sweep, const Source *source)
{
	return take(sweep->host != NULL ? &sweep_lock : NULL, source, sweep->kind, false);
}

/*
 * cac_lock_source
 *		Lock a source for a host, which runs all that is due of it; false if
 *		another host does that and we are not to wait.
 *
 * Two hosts at work on one source would skip the campaigns that the other has
 * locked, and leave them to a sweep hours later.  Function calls do without
 * this lock.
 */
bool
cac_lock_source(const Source *source, bool wait)
{
	return take(&source_lock, source, SWEEP_NONE, wait);
}

void
cac_unlock_source(void)
{
	release(&source_lock);
}

/*
 * cac_sweep_running
 *		Is another session running this sweep?  On a standby nobody can tell.
 */
bool
cac_sweep_running(const Source *source, SweepKind kind)
{
	LOCKTAG		tag = lock_tag(source, kind);
	int			count;

	(void) GetLockConflicts(&tag, ExclusiveLock, &count);
	return count > 0;
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
	sweep->thorough = request->thorough || !cac_by_witness(sweep);
	sweep->alone = cac_source_open(request->source)->distributed;
	sweep->result = result;
	sweep->context = AllocSetContextCreate(CurrentMemoryContext,
										   "campaign_autoclose sweep",
										   ALLOCSET_DEFAULT_SIZES);
	sweep->candidate_context = AllocSetContextCreate(sweep->context,
													 "campaign_autoclose candidate",
													 ALLOCSET_DEFAULT_SIZES);
}

/* ----------------------------------------------------------------
 *		Hints
 * ----------------------------------------------------------------
 */

/*
 * Which campaigns of the hints in hand does the message that is remembered of
 * them still keep open?  They need no judging.  AttemptFunction.
 *
 * What changes that from now on makes another hint.
 */
static void
verify_hints(void *arg)
{
	Sweep	   *sweep = arg;
	Source	   *source = cac_source_open(sweep->source);
	SavedIdentity saved;
	Datum		keys[HINTS_AT_ONCE];

	cac_source_check(source);
	cac_source_enter(source, true, &saved);
	for (int i = 0; i < in_hand.count; i++)
		keys[i] = cac_key_of_hint(source, &in_hand.keys[i]);
	memset(sweep->held, 0, in_hand.count * sizeof(bool));
	cac_verify_candidates(source, sweep->kind, sweep->as_of, sweep->count_before,
						  true, keys, in_hand.count, sweep->held);
	cac_source_confirm(source);
	cac_leave(&saved);
}

/*
 * Look at all hints in hand at once: which campaigns are kept open, and, if any is
 * left to be judged or counted, which are to be retried.  False if there is no such
 * source any more.
 *
 * Where the looking fails otherwise, all are judged one by one, and the one that is
 * at fault is found.
 */
static bool
look_at_hints(Sweep *sweep)
{
	bool		any_left = false;
	ErrorData  *error;

	sweep->held = MemoryContextAllocZero(sweep->context, in_hand.count * sizeof(bool));
	sweep->as_of = GetCurrentTimestamp();
	if (!cac_attempt_for_sweep(verify_hints, sweep, cac_time_limit(sweep, NULL), &error))
	{
		ereport(DEBUG1,
				(errmsg_internal("the hints of source \"%s\" are served one by one: %s",
								 sweep->source, error->message)));
		memset(sweep->held, 0, in_hand.count * sizeof(bool));
	}
	if (!cac_source_fit(sweep))
		return false;
	for (int i = 0; i < in_hand.count; i++)
		any_left |= !sweep->held[i] || (in_hand.flags[i] & HINT_CHANGED);
	if (any_left)
		sweep->retries = cac_retries(cac_source_open(sweep->source), sweep->kind);
	return true;
}

/*
 * Judge the campaign of one hint, unless a message is known to keep it open;
 * count it if its statistics have changed and there is time for it, else put
 * that off.  False where the host wants to stop.
 */
static bool
serve_hint(Sweep *sweep, const HintKey *hint, int flags)
{
	Source	   *source = cac_source_open(sweep->source);
	Datum		key = cac_key_of_hint(source, hint);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz not_before = cac_count_not_before(source, key, now);
	int64		credit = cac_counting_credit(now, 0);
	instr_time	before;
	instr_time	after;
	int64		elapsed;
	int			left = 0;
	bool		go_on;

	cac_note_key_type(sweep, source);
	sweep->as_of = now;
	sweep->count = (flags & HINT_CHANGED) != 0 && now >= not_before && credit > 0;
	sweep->only_statistics = (flags & HINT_CHECK) == 0;
	sweep->by_hint = true;
	cac_note_change(source, key, flags);
	if ((sweep->only_statistics || sweep->kept_open) && !sweep->count)
	{
		cac_hint_put(hint, flags & HINT_CHANGED,
					 Max(not_before, cac_after(now, Max(HINT_PUT_OFF, -credit * COUNTING_SHARE))));
		return true;
	}

	/* not by the clock, which may be set meanwhile */
	INSTR_TIME_SET_CURRENT(before);
	go_on = cac_process_candidate(sweep, key);
	INSTR_TIME_SET_CURRENT(after);
	INSTR_TIME_SUBTRACT(after, before);
	elapsed = INSTR_TIME_GET_MICROSEC(after);
	if (sweep->count)
		(void) cac_counting_credit(GetCurrentTimestamp(), elapsed);
	else
		left |= flags & HINT_CHANGED;
	if (!go_on || sweep->outcome.skipped)
		left |= flags;
	if (left != 0)
		cac_hint_put(hint, left,
					 cac_after(now, Max(sweep->outcome.failed ? HINT_FAILED_OFF : HINT_PUT_OFF,
										10 * elapsed)));
	return go_on;
}

/*
 * Judge the campaigns of a source of which a hint that has fallen due says
 *		that they are worth a look, *served of them.  False where the host wants
 *		to stop.
 */
static bool
serve_hints(const SweepRequest *request, int64 *served)
{
	Source	   *source = cac_source_open(request->source);
	SweepResult result = {0};
	Sweep		sweep;
	MemoryContext old;
	bool		go_on;

	register_cleaning_up();
	in_hand.committed = 0;
	in_hand.current = -1;
	in_hand.count = cac_hints_take(MyDatabaseId, source->relid[TABLE_CAMPAIGNS],
								   GetCurrentTimestamp(), in_hand.keys,
								   in_hand.flags, HINTS_AT_ONCE);
	*served = in_hand.count;
	if (in_hand.count == 0)
		return true;
	begin_sweep(&sweep, request, &result);
	old = MemoryContextSwitchTo(sweep.context);
	/* what another sweep has done so far is not held for this */
	cac_commit_now(&sweep);
	go_on = look_at_hints(&sweep);

	for (int i = 0; i < in_hand.count && go_on; i++)
	{
		in_hand.current = i;
		sweep.kept_open = sweep.held[i];
		go_on = serve_hint(&sweep, &in_hand.keys[i], in_hand.flags[i]);
		cac_hints_served(pg_popcount32(in_hand.flags[i] & HINT_KINDS));
		if ((in_hand.flags[i] & HINT_CHECK) && !sweep.kept_open)
			cac_commit_now(&sweep);
		else
			cac_commit_if_due(&sweep);
		if (sweep.uncommitted == 0)
			in_hand.committed = i + 1;
	}
	cac_commit_now(&sweep);
	in_hand.committed = in_hand.current + 1;
	in_hand.current = -1;
	give_hints_back();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(sweep.context);
	return go_on;
}

/*
 * cac_serve_due_hints
 *		Serve the hints of a source that have fallen due, for a while.  False
 *		where the host wants to stop.
 */
bool
cac_serve_due_hints(const char *name, const SweepHost *host)
{
	SweepRequest request = {.source = name, .kind = SWEEP_SENDING,
		.by_clock = true, .host = host};
	TimestampTz began_at = GetCurrentTimestamp();
	Source	   *source;
	int64		served = 1;

	if (!cac_shared_memory_ready() || cac_hints_next(MyDatabaseId) > began_at)
		return true;
	source = cac_source_find(name);
	if (source == NULL || !cac_source_heeds_hints(source))
		return true;
	while (served > 0 &&
		   !TimestampDifferenceExceeds(began_at, GetCurrentTimestamp(), HINTS_TURN))
	{
		if (!serve_hints(&request, &served))
			return false;
	}
	return true;
}

/*
 * After a candidate: commit if it is time, and do not keep the hints waiting.
 */
static bool
go_on_after_candidate(Sweep *sweep)
{
	bool		go_on;

	cac_commit_if_due(sweep);
	if (sweep->host == NULL ||
		!TimestampDifferenceExceeds(sweep->hints_served_at, GetCurrentTimestamp(),
									HINTS_EVERY))
		return true;
	go_on = cac_serve_due_hints(sweep->source, sweep->host);
	sweep->hints_served_at = GetCurrentTimestamp();
	return go_on;
}

/* ----------------------------------------------------------------
 *		One sweep
 * ----------------------------------------------------------------
 */

/*
 * Leave out the candidates that the run has done already, before it made way.
 */
static void
go_on_from_position(Sweep *sweep, Source *source)
{
	KeyOrder	order;
	Datum		after;

	if (!sweep->position.open || sweep->position.after == NULL ||
		!cac_key_try_text(source, sweep->position.after, &after))
		return;
	cac_key_order(source, &order);
	while (sweep->ndone < sweep->nkeys &&
		   cac_key_compare(&order, sweep->keys[sweep->ndone], after) <= 0)
		sweep->ndone++;
}

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
	if (sweep->host == NULL && (sweep->dry_run || !cac_source_acts(source)))
		cac_source_enter_to_read(source, &saved);
	else
		cac_source_enter(source, sweep->host != NULL, &saved);
	if ((sweep->kind == SWEEP_EXPIRED || sweep->kind == SWEEP_TIMEOUT) &&
		!sweep->dry_run)
		cac_end_blackout(source, &sweep->blackout, sweep->as_of);
	sweep->keys = cac_open_campaigns(source, sweep->context, &sweep->nkeys);
	cac_note_key_type(sweep, source);
	go_on_from_position(sweep, source);
	if (cac_by_witness(sweep) &&
		(sweep->kind == SWEEP_SENDING || sweep->kind == SWEEP_INTERRUPTED))
	{
		sweep->held = MemoryContextAllocZero(sweep->context,
											 Max(sweep->nkeys, 1) * sizeof(bool));
		if (sweep->kind == SWEEP_SENDING)
			sweep->count_before = cac_count_before(source, sweep->keys,
												   sweep->nkeys, sweep->as_of);
		cac_verify_candidates(source, sweep->kind, sweep->as_of,
							  sweep->count_before, false, sweep->keys + sweep->ndone,
							  sweep->nkeys - sweep->ndone,
							  sweep->held + sweep->ndone);
	}
	cac_source_confirm(source);
	cac_leave(&saved);

	old = MemoryContextSwitchTo(sweep->context);
	sweep->retries = cac_retries(source, sweep->kind);
	MemoryContextSwitchTo(old);
}

/*
 * The campaigns that we closed lately: their statistics are kept right, and a
 * new pending message reopens them.  Hints tell of both; where they do, this is
 * for those that were lost.
 */
static bool
process_settling(Sweep *sweep)
{
	MemoryContext old = MemoryContextSwitchTo(sweep->context);
	List	   *settling = cac_settling_campaigns(cac_source_open(sweep->source),
												  sweep->as_of,
												  sweep->position.after);
	ListCell   *lc;

	MemoryContextSwitchTo(old);
	sweep->settling = true;
	foreach(lc, settling)
	{
		if (!cac_process_known_candidate(sweep, lfirst(lc)))
			return false;
		sweep->position.after = lfirst(lc);
		if (!go_on_after_candidate(sweep))
			return false;
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
		if (!go_on_after_candidate(sweep))
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
	int64		begin = sweep->ndone;

	while (sweep->ndone < sweep->nkeys)
	{
		int64		first = sweep->ndone;
		int64		last = Min(first + MARKING_GROUP, sweep->nkeys);
		bool		done[MARKING_GROUP] = {0};
		bool		go_on = true;

		/* a run that was stopped among these does them one by one, so that they
		 * come to an end even if it is stopped again and again */
		sweep->in_passes = !sweep->resumed || first > begin;
		for (sweep->pass = 0; go_on && sweep->pass < (sweep->in_passes ? MARKING_PASSES : 1); sweep->pass++)
		{
			go_on = process_pass(sweep, first, last, done);
			/* so that the next pass finds room in the pages of this one */
			if (go_on)
				cac_commit_now(sweep);
		}
		while (sweep->ndone < last && (go_on || done[sweep->ndone - first]))
		{
			sweep->result->campaigns_checked++;
			sweep->ndone++;
		}
		if (!go_on)
			return false;
		cac_progress_done(last);
	}
	return true;
}

static bool
process_one_by_one(Sweep *sweep)
{
	while (sweep->ndone < sweep->nkeys)
	{
		bool		held = sweep->held != NULL && sweep->held[sweep->ndone];

		if (!held && !cac_process_candidate(sweep, sweep->keys[sweep->ndone]))
			return false;
		sweep->result->campaigns_checked++;
		sweep->ndone++;
		if (held)
			continue;
		if (!go_on_after_candidate(sweep))
			return false;
		cac_progress_done(sweep->ndone);
	}
	return true;
}

/*
 * Forget the campaigns that are open no more.
 */
static void
forget_others(const Sweep *sweep)
{
	Source	   *source = cac_source_find(sweep->source);

	if (source != NULL && source->fault_code == 0 &&
		sweep->campaigns == source->relid[TABLE_CAMPAIGNS] &&
		sweep->key_type == cac_key_type(source))
		cac_prune_tracked(source, sweep->keys, sweep->nkeys);
}

static bool
process_candidates(Sweep *sweep)
{
	cac_progress_begin(cac_sweep_name(sweep->kind), sweep->nkeys);
	cac_progress_done(sweep->ndone);
	if (sweep->kind == SWEEP_EXPIRED && sweep->host != NULL)
		return process_in_passes(sweep);
	if (!process_one_by_one(sweep))
		return false;
	if (cac_by_witness(sweep) && sweep->kind == SWEEP_SENDING)
		forget_others(sweep);
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
	if (!cac_attempt_for_sweep(find_candidates, sweep,
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
	if (sweep->host != NULL && sweep->host->listed != NULL)
		sweep->host->listed();
	if (sweep->alone)
		cac_commit_now(sweep);	/* they were read from all nodes */
	/* new pending messages first: a campaign reopened here is open already */
	if (!sweep->position.open)
	{
		/* a run that was at these goes on with them */
		if (sweep->kind == SWEEP_SENDING && (sweep->thorough || sweep->resumed) &&
			!process_settling(sweep))
			return false;
		sweep->position.open = true;
		sweep->position.after = NULL;
	}
	return process_candidates(sweep);
}

/*
 * Begin a run, or go on with one that made way; returns its id.
 */
static int64
begin_run(Sweep *sweep, const SweepRequest *request, TimestampTz *started_at)
{
	Source	   *source = cac_source_open(request->source);
	MemoryContext old = MemoryContextSwitchTo(sweep->context);
	SuspendedRun run;
	bool		suspended;

	suspended = request->host != NULL && request->by_clock &&
		cac_suspended_run(source, request->kind, *started_at, &run);
	MemoryContextSwitchTo(old);
	if (!suspended)
		return cac_record_run_start(source, request->kind, *started_at,
									request->by_clock ? DT_NOBEGIN : request->as_of);
	*started_at = run.started_at;
	sweep->resumed = true;
	sweep->position = run.position;
	*sweep->result = run.result;
	return run.id;
}

/*
 * Record how far the run has come, so that it can go on from there, unless it
 * stopped because the source is not what it was.
 */
static void
suspend_run(Sweep *sweep, int64 run)
{
	Source	   *source = cac_source_find(sweep->source);

	if (source == NULL || source->fault_code != 0 ||
		(sweep->ndone > 0 && cac_key_type_changed(sweep, source)))
		return;
	if (sweep->position.open && sweep->ndone > 0)
		sweep->position.after = cac_key_text(source, sweep->keys[sweep->ndone - 1]);
	cac_record_run_suspended(run, &sweep->position, sweep->result);
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
 *		Run one sweep of one source, adding its counts to *total.  With a host,
 *		one that made way for other work is gone on with.
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
		run = begin_run(&sweep, request, &started_at);
	cac_commit_now(&sweep);

	finished = perform(&sweep, &message);
	if (finished && recorded)
	{
		cac_count_up(COUNTER_SWEEPS, 1);
		cac_count_up(COUNTER_ERRORS, message != NULL);
		cac_record_run_end(cac_source_open(request->source), request->kind, run,
						   started_at, &result, message);
	}
	cac_commit_now(&sweep);
	if (!finished && request->host != NULL)
	{
		suspend_run(&sweep, run);
		cac_commit_now(&sweep);
	}
	cac_progress_end();
	release(&sweep_lock);
	add_result(total, &result);
	MemoryContextDelete(sweep.context);
	return finished ? SWEEP_DONE : SWEEP_CUT_SHORT;
}

/*
 * cac_retry_campaigns
 *		Process the campaigns of a sweep that are to be retried now.
 */
SweepEnd
cac_retry_campaigns(const SweepRequest *request)
{
	Source	   *source = cac_source_open(request->source);
	MemoryContext old;
	SweepResult result = {0};
	Sweep		sweep;
	ListCell   *lc;
	SweepEnd	end = SWEEP_DONE;

	begin_sweep(&sweep, request, &result);
	old = MemoryContextSwitchTo(sweep.context);
	sweep.retries = cac_retries(source, request->kind);
	MemoryContextSwitchTo(old);

	foreach(lc, sweep.retries)
	{
		CampaignRetry *retry = lfirst(lc);
		bool		go_on;

		if (end != SWEEP_DONE)
			break;
		if (retry->retry_at == DT_NOBEGIN || retry->retry_at > request->as_of)
			continue;
		source = cac_source_open(request->source);
		if (!sweep_lock.held && !lock_sweep(&sweep, source))
		{
			end = SWEEP_BUSY;
			break;
		}
		go_on = cac_process_known_candidate(&sweep, retry->campaign_id);
		cac_commit_now(&sweep);
		if (!go_on)
			end = SWEEP_CUT_SHORT;
	}
	release(&sweep_lock);
	MemoryContextDelete(sweep.context);
	return end;
}
