/*
 * patience.c
 *		Waiting for rows that the application holds, at our own risk.
 *
 * We lock a campaign first and its messages afterwards.  The application may go
 * the other way: a callback updates its message, and then a counter of the
 * campaign.  Where two such meet, each waits for the other, and PostgreSQL
 * cancels the one that is the first to look for a deadlock, deadlock_timeout
 * after it has begun to wait.  That has to be us, since we come back:
 *
 * - while we are at work, deadlock_timeout is short (cac_source_enter()), so we
 *	 notice at once where it is our wait that closes the circle;
 * - what may take longer is a row of short waits, each of which looks anew, as
 *	 otherwise it would be the application that closes it later, and notices.
 *
 * All of them together last for lock_timeout at most, as one would.
 */
#include "postgres.h"

#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "attempt.h"
#include "patience.h"

/* One wait, in milliseconds: below the second after which others look, and long
 * enough for our turn to come where many wait for a row that is held briefly. */
#define ONE_WAIT		700

typedef struct PendingToFail
{
	Source	   *source;
	Datum		key;
	const char *message;
	TimestampTz as_of;
	int64		limit;
	int64		failed;			/* how many were */
} PendingToFail;

typedef struct CampaignToLock
{
	Source	   *source;
	Datum		key;
} CampaignToLock;

/*
 * Did the server give up waiting for a lock?  A trigger of the application's may
 * raise the same SQLSTATE.
 */
static bool
waited_in_vain(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE &&
		error->funcname != NULL &&
		strcmp(error->funcname, "ProcessInterrupts") == 0;
}

/*
 * Call function(arg), waiting for no lock longer than this.
 */
static bool
attempt_within(int wait, AttemptFunction function, void *arg, ErrorData **error)
{
	int			guc_level = NewGUCNestLevel();
	char		text[16];
	bool		success;

	snprintf(text, sizeof(text), "%d", wait);
	(void) set_config_option("lock_timeout", text, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	success = cac_attempt(function, arg, 0, error);
	AtEOXact_GUC(true, guc_level);
	return success;
}

/*
 * Call function(arg) until it has not had to wait for long, or lock_timeout is
 * over; raises whatever it raises.
 */
static void
persevere(AttemptFunction function, void *arg)
{
	TimestampTz began_at = GetCurrentTimestamp();
	int			limit = LockTimeout;
	ErrorData  *error;

	for (;;)
	{
		long		elapsed = TimestampDifferenceMilliseconds(began_at,
															  GetCurrentTimestamp());
		bool		last = limit > 0 && limit - elapsed <= ONE_WAIT;
		int			wait = last ? Max(limit - (int) elapsed, 1) : ONE_WAIT;
		TimestampTz tried_at = GetCurrentTimestamp();

		if (attempt_within(wait, function, arg, &error))
			return;
		/* one that came sooner is of a limit that the application has set itself */
		if (last || !waited_in_vain(error) ||
			!TimestampDifferenceExceeds(tried_at, GetCurrentTimestamp(), wait - 1))
			ReThrowError(error);
		FreeErrorData(error);
	}
}

static void
fail_pending(void *arg)
{
	PendingToFail *pending = arg;

	pending->failed = cac_fail_pending(pending->source, pending->key,
									   pending->message, pending->as_of,
									   pending->limit);
}

/*
 * cac_fail_held_pending
 *		cac_fail_pending(), patiently.
 */
int64
cac_fail_held_pending(Source *source, Datum key, const char *message,
					  TimestampTz as_of, int64 limit)
{
	PendingToFail pending = {.source = source, .key = key, .message = message,
	.as_of = as_of, .limit = limit};

	persevere(fail_pending, &pending);
	return pending.failed;
}

static void
lock_campaign(void *arg)
{
	CampaignToLock *campaign = arg;
	CampaignRow row;

	(void) cac_read_campaign(campaign->source, campaign->key, LOCK_WAIT, &row);
}

/*
 * cac_lock_campaign
 *		cac_read_campaign() with LOCK_WAIT, patiently.
 *
 * Mostly nobody holds it, and that is seen first; what was waited for is read
 * again, as what the waiting read has gone with its subtransaction's memory.
 */
bool
cac_lock_campaign(Source *source, Datum key, CampaignRow *row)
{
	CampaignToLock campaign = {.source = source, .key = key};

	if (cac_read_campaign(source, key, LOCK_SKIP, row))
		return true;
	persevere(lock_campaign, &campaign);
	return cac_read_campaign(source, key, LOCK_WAIT, row);
}
