/*
 * attempt.c
 *		Doing something that may fail, and surviving it: one campaign's
 *		processing, the application's on_event function.
 *
 * What is attempted runs in a subtransaction with an SPI connection of its
 * own, so that its memory goes with it, and under a time limit.
 *
 * The limit is PostgreSQL's own statement timer, which is free in a background
 * worker and in a session whose statement_timeout is 0.  In a session that has
 * set one, that one holds and ours is not used.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "attempt.h"

/*
 * Start the statement timer, if it is ours to use.  Returns when it will fire,
 * DT_NOEND if it will not.
 */
static TimestampTz
start_timer(int timeout_ms)
{
	if (timeout_ms <= 0 || StatementTimeout != 0)
		return DT_NOEND;
	enable_timeout_after(STATEMENT_TIMEOUT, timeout_ms);
	return get_timeout_finish_time(STATEMENT_TIMEOUT);
}

static void
stop_timer(TimestampTz deadline)
{
	if (deadline == DT_NOEND)
		return;
	/* it may have fired too late for what it was to stop */
	if (get_timeout_indicator(STATEMENT_TIMEOUT, true))
		QueryCancelPending = false;
	disable_timeout(STATEMENT_TIMEOUT, false);
}

/*
 * An attempt within an attempt has the timer meanwhile.  Give it back to the
 * outer one, whose time does not run while the inner one does.
 */
static void
restore_timer(TimestampTz deadline, TimestampTz inner_began_at)
{
	if (deadline != DT_NOEND)
		enable_timeout_at(STATEMENT_TIMEOUT,
						  deadline + Max(GetCurrentTimestamp() - inner_began_at, 0));
}

/*
 * Is it the server that cancels the query?  An application's trigger may raise
 * the same SQLSTATE, say for a query that was cancelled elsewhere.
 */
static bool
is_cancellation(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED &&
		error->funcname != NULL &&
		strcmp(error->funcname, "ProcessInterrupts") == 0;
}

/*
 * cac_attempt
 *		Call function(arg) in a subtransaction, for timeout_ms milliseconds at
 *		most (0: no limit).
 *
 * True if it succeeded.  False if it raised an error: its work is undone, and
 * *error is a copy in the caller's memory context.  A cancellation that is not
 * our own time limit's is raised again, as nobody's work should survive it.
 */
bool
cac_attempt(AttemptFunction function, void *arg, int timeout_ms,
			ErrorData **error)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile TimestampTz outer = DT_NOEND;
	TimestampTz began_at = GetCurrentTimestamp();
	TimestampTz deadline;
	volatile bool success = true;

	if (StatementTimeout == 0 && get_timeout_active(STATEMENT_TIMEOUT))
		outer = get_timeout_finish_time(STATEMENT_TIMEOUT);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	deadline = start_timer(timeout_ms);

	PG_TRY();
	{
		SPI_connect();
		PushActiveSnapshot(GetTransactionSnapshot());
		function(arg);
		PopActiveSnapshot();
		SPI_finish();
		stop_timer(deadline);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		stop_timer(deadline);
		MemoryContextSwitchTo(context);
		*error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (is_cancellation(*error) && GetCurrentTimestamp() < deadline)
			ReThrowError(*error);
		success = false;
	}
	PG_END_TRY();

	restore_timer(outer, began_at);
	return success;
}
