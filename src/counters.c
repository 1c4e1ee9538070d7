/*-------------------------------------------------------------------------
 *
 * counters.c
 *		Shared memory: what was done since the server started.
 *
 * Each counter is an atomic of its own, in all databases together, for those
 * who watch the server.  What a transaction did is kept in backend memory and
 * added when it commits, so that nothing is counted that was rolled back; of
 * what a savepoint rolled back alone, that is not true.  Nothing is counted
 * where the library was not preloaded.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "counters.h"

#define SHARED_NAME			"campaign_autoclose counters"

typedef struct SharedCounters
{
	pg_atomic_uint64 counts[NUM_COUNTERS];
} SharedCounters;

static SharedCounters *shared = NULL;

/* What the current transaction has done. */
static int64 uncommitted[NUM_COUNTERS];

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

static void
request_counters(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(SharedCounters)));
}

/*
 * Also called by the postmaster after a crash, on memory that is new again.
 */
static void
start_counters(void)
{
	bool		found;

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct(SHARED_NAME, sizeof(SharedCounters), &found);
	if (!found)
	{
		for (int i = 0; i < NUM_COUNTERS; i++)
			pg_atomic_init_u64(&shared->counts[i], 0);
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * Has the counters reserved.  Called once, while libraries are preloaded.
 */
void
cac_reserve_counters(void)
{
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_counters;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_counters;
}

/*
 * Runs after the commit record is written: nothing here may raise.
 */
static void
counters_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			for (int i = 0; i < NUM_COUNTERS; i++)
				if (uncommitted[i] != 0)
					pg_atomic_fetch_add_u64(&shared->counts[i], uncommitted[i]);
			memset(uncommitted, 0, sizeof(uncommitted));
			break;
		case XACT_EVENT_ABORT:
			memset(uncommitted, 0, sizeof(uncommitted));
			break;
		default:
			break;
	}
}

/*
 * cac_count_up
 *		The current transaction did something n times.
 */
void
cac_count_up(Counter counter, int64 n)
{
	static bool registered = false;

	if (shared == NULL)
		return;
	if (!registered)
	{
		RegisterXactCallback(counters_xact_callback, NULL);
		registered = true;
	}
	uncommitted[counter] += n;
}

/*
 * cac_read_counters
 *		What was committed since the server started; false where nobody counts.
 */
bool
cac_read_counters(int64 counts[NUM_COUNTERS])
{
	if (shared == NULL)
		return false;
	for (int i = 0; i < NUM_COUNTERS; i++)
		counts[i] = (int64) pg_atomic_read_u64(&shared->counts[i]);
	return true;
}
