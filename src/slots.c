/*-------------------------------------------------------------------------
 *
 * slots.c
 *		Shared memory: the launcher, the worker slots, the news.
 *
 * One chunk of fixed size, reserved at preload and initialised when the server
 * starts or restarts after a crash, under one LWLock.  Nothing here is needed
 * for a verdict: what is lost costs latency, never correctness.  Where the
 * library was not preloaded, every function does nothing.
 *
 * 1. The launcher's fields are written by the launcher; its latch is set by
 *	  anyone, under the lock in either mode, so that the pointer is valid.
 *
 * 2. A worker slot is one visit of one database by one worker.  A database may
 *	  have several.
 *
 *		free -> starting			launcher, cac_slot_claim()
 *		starting -> running			worker, cac_slot_attach()
 *		running -> lingering		worker, cac_slot_linger()
 *		lingering -> running		worker, cac_slot_begin_cycle()
 *		running, lingering -> exited	worker, when its process exits
 *		starting -> free			launcher, cac_slot_unclaim(): never asked for
 *		any but free -> exited		launcher, cac_slot_lost(): it will never come
 *		exited -> free				launcher, cac_collect()
 *
 *	  The launcher alone takes and frees slots.  A slot outlives the launcher;
 *	  the next one adopts it.  Each use has a generation, and a worker that
 *	  comes too late for its own is sent away.
 *
 *	  Every field of a slot is written under the lock in exclusive mode, and
 *	  read under it in shared mode, with two exceptions: campaigns_done, atomic
 *	  because it changes with every campaign; and what a worker reads of its
 *	  own slot, when only it writes that.
 *
 * 3. Sources.  A running worker has taken one source of its database at most,
 *	  named by its campaigns table, in its slot; and a source has been taken by
 *	  one worker at most.  So no source ever has two workers.  It is given back
 *	  by the worker, or with the slot, whatever ends the process: a slot that is
 *	  free or exited has none.  (The worker also holds a heavyweight lock, which
 *	  keeps out those who are no workers, see sweeps.c.)
 *
 * 4. next_due says of a database when something will be due there that nobody is
 *	  working on; hints apart, which all can see.  It stands in each of its
 *	  slots, with the same value, so that the last worker to leave leaves it
 *	  behind.  Whoever publishes it has made a list of the sources before.  If
 *	  another worker gave back a source since then, or there were news, its list
 *	  may lack something: then what it has to say replaces what stands there only
 *	  if it is earlier.  "changes" counts these.  A moment that is too early costs a
 *	  look for nothing; none is ever too late.
 *
 * 5. News: a database where an extension or a source is new or changed.  The
 *	  wish is kept in backend memory and published when the transaction
 *	  commits.  If there are workers in that database they are told directly:
 *	  by "news" in their slots, for those who have made a list before, and by
 *	  next_due, which becomes "at once".  Otherwise the database's OID goes to
 *	  the launcher.  Nobody looks between the two, since one lock covers both.
 *
 * 6. Hints (hints.c) are steered: whoever puts one has a worker of the database
 *	  woken that lingers, if there is one, or else the launcher, but only if
 *	  they would sleep past its due time.  Both first say until when they mean
 *	  to sleep and then look at the hints, or, as the launcher, say that they are
 *	  awake, look, and then say until when they will sleep; so that a hint is
 *	  either seen or finds somebody to wake.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "settings.h"
#include "slots.h"

#define SHARED_NAME			"campaign_autoclose"

typedef struct WorkerSlot
{
	uint32		generation;
	SlotState	state;
	Oid			dboid;
	pid_t		pid;			/* 0 unless attached */
	Latch	   *latch;			/* NULL unless attached */
	TimestampTz started_at;		/* when it was claimed */
	Oid			campaigns;		/* the source taken; InvalidOid: none */
	NameData	source;			/* its name; empty: none */
	NameData	sweep;			/* what it does there; empty: nothing, or hints */
	int64		campaigns_total;
	pg_atomic_uint64 campaigns_done;
	TimestampTz next_due;		/* when something will be due in its database
								 * that nobody is working on */
	uint32		changes;		/* of what that follows from */
	TimestampTz lingers_for;	/* what it lingers for is due then */
	TimestampTz not_before;		/* when its database may have another visit */
	bool		finished;		/* it has left with its last word */
	bool		listing;		/* it is finding out what is due */
	bool		news;			/* since its latest cycle began */
	bool		failed;
	char		last_error[CAC_MESSAGE_LEN];
} WorkerSlot;

typedef struct SharedState
{
	LWLock	   *lock;

	pid_t		launcher_pid;	/* 0: there is none */
	Latch	   *launcher_latch;
	TimestampTz launcher_started_at;
	TimestampTz launcher_next_wake;
	TimestampTz launcher_heeds; /* it is woken for what is due before this */
	char		launcher_error[CAC_MESSAGE_LEN];
	pg_atomic_uint32 databases_waiting; /* due, and no slot free */
	pg_atomic_uint32 company_wanted;	/* the OID of a database in which is work
										 * for one more worker, and no slot free;
										 * InvalidOid: there is none */

	NewsReport	news;

	int			nslots;
	WorkerSlot	slots[FLEXIBLE_ARRAY_MEMBER];
} SharedState;

static SharedState *shared = NULL;

/* This process's own slot, if it is a worker that has attached. */
static WorkerSlot *my_slot = NULL;

/* Has the current transaction news of its database? */
static bool news_at_commit = false;

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

static void request_shared_memory(void);
static void start_shared_memory(void);
static void launcher_detach(int code, Datum arg);
static void slot_detach(int code, Datum arg);
static void news_xact_callback(XactEvent event, void *arg);

/* ----------------------------------------------------------------
 * Set-up
 * ----------------------------------------------------------------
 */

/*
 * Has the shared memory reserved.  Called once, while libraries are preloaded.
 */
void
cac_reserve_shared_memory(void)
{
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}

/*
 * Was the library preloaded?  If not, nothing runs in the background.
 */
bool
cac_shared_memory_ready(void)
{
	return shared != NULL;
}

static Size
shared_memory_size(void)
{
	return MAXALIGN(add_size(offsetof(SharedState, slots),
							 mul_size(cac_max_workers, sizeof(WorkerSlot))));
}

static void
request_shared_memory(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();

	RequestAddinShmemSpace(shared_memory_size());
	RequestNamedLWLockTranche(SHARED_NAME, 1);
}

/*
 * Also called by the postmaster after a crash, on memory that is new again.
 */
static void
start_shared_memory(void)
{
	bool		found;

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct(SHARED_NAME, shared_memory_size(), &found);
	if (!found)
	{
		int			i;

		memset(shared, 0, shared_memory_size());
		shared->lock = &GetNamedLWLockTranche(SHARED_NAME)->lock;
		pg_atomic_init_u32(&shared->databases_waiting, 0);
		pg_atomic_init_u32(&shared->company_wanted, InvalidOid);
		shared->nslots = cac_max_workers;
		for (i = 0; i < shared->nslots; i++)
			pg_atomic_init_u64(&shared->slots[i].campaigns_done, 0);
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * Copies a message to its place in shared memory, whole characters only.  The
 * caller holds the lock, so this must not raise.
 */
static void
store_message(char *place, const char *message)
{
	int			len = strlen(message);

	if (len >= CAC_MESSAGE_LEN)
		len = pg_mbcliplen(message, len, CAC_MESSAGE_LEN - 1);
	memcpy(place, message, len);
	place[len] = '\0';
}

/*
 * The caller holds the lock, in either mode.
 */
static void
wake_launcher(void)
{
	if (shared->launcher_latch != NULL)
		SetLatch(shared->launcher_latch);
}

/*
 * Is somebody in this slot, or on his way, who serves that database?  The caller
 * holds the lock.
 */
static bool
serves(const WorkerSlot *slot, Oid dboid)
{
	return slot->dboid == dboid &&
		slot->state != SLOT_FREE && slot->state != SLOT_EXITED;
}

/*
 * Something of that database is due then that nobody is working on: so it is
 * written in all its slots, and those who linger longer are woken.  With "whole"
 * that is all there is; otherwise it is one thing more.  The caller holds the
 * lock.  Returns whether there is any slot of that database.
 */
static bool
write_next_due(Oid dboid, TimestampTz due, bool whole)
{
	bool		served = false;

	for (int i = 0; i < shared->nslots; i++)
	{
		WorkerSlot *slot = &shared->slots[i];

		if (!serves(slot, dboid))
			continue;
		served = true;
		slot->next_due = whole ? due : Min(slot->next_due, due);
		if (slot->state == SLOT_LINGERING && slot->lingers_for > due)
			SetLatch(slot->latch);
	}
	return served;
}

/*
 * The lists may lack something that have been made of what is due in that
 * database, by others than "but" (NULL: by all).  The caller holds the lock.
 */
static void
count_change(Oid dboid, const WorkerSlot *but)
{
	for (int i = 0; i < shared->nslots; i++)
	{
		WorkerSlot *slot = &shared->slots[i];

		if (slot != but && serves(slot, dboid))
			slot->changes++;
	}
}

/*
 * The sources of a database that workers have taken, by their campaigns tables,
 * in an array of CAC_MAX_WORKERS; returns how many.
 */
int
cac_sources_taken(Oid dboid, Oid *campaigns)
{
	int			n = 0;

	if (shared == NULL)
		return 0;

	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < shared->nslots; i++)
	{
		WorkerSlot *slot = &shared->slots[i];

		if (serves(slot, dboid) && OidIsValid(slot->campaigns))
			campaigns[n++] = slot->campaigns;
	}
	LWLockRelease(shared->lock);
	return n;
}

/* ----------------------------------------------------------------
 * News
 * ----------------------------------------------------------------
 */

/*
 * Notes that this database has something that a worker should look at, to be
 * made known when the current transaction commits, and forgotten if it aborts.
 * What a subtransaction noted stands even if that is rolled back: a visit for
 * nothing costs milliseconds.
 */
void
cac_announce_news(void)
{
	static bool registered = false;

	if (shared == NULL)
		return;

	if (!registered)
	{
		RegisterXactCallback(news_xact_callback, NULL);
		registered = true;
	}
	news_at_commit = true;
}

/*
 * Runs after the commit record is written, so nothing here may raise: no
 * memory is allocated, and an LWLock is all that is waited for.
 */
static void
publish_news(void)
{
	NewsReport *news = &shared->news;
	int			i;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	wake_launcher();

	count_change(MyDatabaseId, NULL);
	if (write_next_due(MyDatabaseId, DT_NOBEGIN, false))
	{
		for (i = 0; i < shared->nslots; i++)
		{
			if (serves(&shared->slots[i], MyDatabaseId))
				shared->slots[i].news = true;
		}
		LWLockRelease(shared->lock);
		return;
	}

	for (i = 0; i < news->count; i++)
	{
		if (news->dboids[i] == MyDatabaseId)
			break;
	}
	if (i < CAC_MAX_NEWS)
	{
		news->dboids[i] = MyDatabaseId;
		news->count = Max(news->count, i + 1);
	}
	else
	{
		news->everywhere = true;
	}
	LWLockRelease(shared->lock);
}

/*
 * A prepared transaction is announced when it is prepared, since no callback
 * of ours runs at COMMIT PREPARED, which another session may do.
 */
static void
news_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			if (news_at_commit)
				publish_news();
			news_at_commit = false;
			break;
		case XACT_EVENT_ABORT:
			news_at_commit = false;
			break;
		default:
			break;
	}
}

/* ----------------------------------------------------------------
 * Hints
 * ----------------------------------------------------------------
 */

/*
 * A hint of this database falls due at that moment: wakes whoever has to know
 * and does not.  A worker that lingers will look by itself; so will one that
 * works on the hint's source, that of these campaigns (InvalidOid: of several),
 * and it says what it leaves.  It does not look at others', and one that leaves
 * does not look at all: that is for the launcher.
 *
 * Called after the commit record is written: nothing here may raise.
 */
void
cac_steer(Oid dboid, Oid campaigns, TimestampTz due)
{
	bool		looks = false;

	if (shared == NULL)
		return;

	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < shared->nslots; i++)
	{
		WorkerSlot *slot = &shared->slots[i];

		if (!serves(slot, dboid))
			continue;
		if (OidIsValid(campaigns) && slot->campaigns == campaigns)
			looks = true;
		if (slot->state != SLOT_LINGERING)
			continue;
		looks = true;
		if (slot->lingers_for > due)
			SetLatch(slot->latch);
	}
	if (!looks && due < shared->launcher_heeds)
		wake_launcher();
	LWLockRelease(shared->lock);
}

/* ----------------------------------------------------------------
 * The launcher's side
 * ----------------------------------------------------------------
 */

/*
 * Makes the calling process known as the launcher, until it exits.
 */
void
cac_launcher_attach(void)
{
	before_shmem_exit(launcher_detach, (Datum) 0);

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher_pid = MyProcPid;
	shared->launcher_latch = MyLatch;
	shared->launcher_started_at = GetCurrentTimestamp();
	shared->launcher_next_wake = shared->launcher_started_at;
	shared->launcher_heeds = DT_NOBEGIN;
	shared->launcher_error[0] = '\0';
	LWLockRelease(shared->lock);
}

static void
launcher_detach(int code, Datum arg)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher_pid = 0;
	shared->launcher_latch = NULL;
	pg_atomic_write_u32(&shared->databases_waiting, 0);
	pg_atomic_write_u32(&shared->company_wanted, InvalidOid);
	LWLockRelease(shared->lock);
}

/*
 * Says when the launcher will next look by itself, whether a hint may have it
 * look sooner, how many databases are due for which there is no worker, and in
 * which one more worker would have something to do, if in any.  Then workers
 * elsewhere that have nothing to do make room.
 */
void
cac_launcher_publish(TimestampTz next_wake, bool heeds_hints,
					 int databases_waiting, Oid company_wanted)
{
	int			i;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher_next_wake = next_wake;
	shared->launcher_heeds = heeds_hints ? next_wake : DT_NOBEGIN;
	pg_atomic_write_u32(&shared->databases_waiting, databases_waiting);
	pg_atomic_write_u32(&shared->company_wanted, company_wanted);
	for (i = 0; i < shared->nslots; i++)
	{
		if (shared->slots[i].state == SLOT_LINGERING &&
			(databases_waiting > 0 ||
			 (OidIsValid(company_wanted) && company_wanted != shared->slots[i].dboid)))
			SetLatch(shared->slots[i].latch);
	}
	LWLockRelease(shared->lock);
}

/*
 * Sets the error that the launcher shows; an empty one clears it.
 */
void
cac_launcher_error(const char *message)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	store_message(shared->launcher_error, message);
	LWLockRelease(shared->lock);
}

/*
 * Takes a slot for a worker in this database.  False, and nothing is changed, if
 * no slot is free.
 */
bool
cac_slot_claim(Oid dboid, SlotClaim *claim)
{
	WorkerSlot *slot = NULL;
	int			i;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (i = 0; i < shared->nslots && slot == NULL; i++)
	{
		if (shared->slots[i].state == SLOT_FREE)
			slot = &shared->slots[i];
	}

	if (slot != NULL)
	{
		slot->generation++;
		slot->state = SLOT_STARTING;
		slot->dboid = dboid;
		slot->pid = 0;
		slot->latch = NULL;
		slot->started_at = GetCurrentTimestamp();
		slot->campaigns = InvalidOid;
		memset(&slot->source, 0, sizeof(NameData));
		memset(&slot->sweep, 0, sizeof(NameData));
		slot->campaigns_total = 0;
		pg_atomic_write_u64(&slot->campaigns_done, 0);
		slot->next_due = DT_NOEND;
		slot->changes = 0;
		slot->lingers_for = DT_NOEND;
		slot->not_before = DT_NOBEGIN;
		slot->finished = false;
		slot->listing = true;
		slot->news = false;
		slot->failed = false;
		slot->last_error[0] = '\0';

		claim->index = slot - shared->slots;
		claim->generation = slot->generation;
	}
	LWLockRelease(shared->lock);
	return slot != NULL;
}

/*
 * Gives back a slot for which no worker could be had after all.  News that it
 * was given meanwhile are not lost: its database is due as it was.
 */
void
cac_slot_unclaim(const SlotClaim *claim)
{
	WorkerSlot *slot = &shared->slots[claim->index];

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	Assert(slot->generation == claim->generation);
	Assert(slot->state == SLOT_STARTING);
	slot->state = SLOT_FREE;
	LWLockRelease(shared->lock);
}

/*
 * Says that the worker of this claim is gone without having said so, or will
 * not be let in any more.  Nothing happens if it has said so after all.
 */
void
cac_slot_lost(const SlotClaim *claim, const char *message)
{
	WorkerSlot *slot = &shared->slots[claim->index];

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (slot->generation == claim->generation &&
		slot->state != SLOT_FREE && slot->state != SLOT_EXITED)
	{
		slot->generation++;
		slot->state = SLOT_EXITED;
		slot->pid = 0;
		slot->latch = NULL;
		slot->failed = true;
		store_message(slot->last_error, message);
		wake_launcher();
	}
	LWLockRelease(shared->lock);
}

/*
 * Reports every slot to the array (of cac_max_workers) and the news, frees the
 * slots that have been left, and forgets the news: all at one moment, so that
 * what a worker published cannot overrule news that came after it had left.
 * From here to cac_launcher_publish() any hint wakes the launcher.
 */
void
cac_collect(SlotReport *slots, NewsReport *news)
{
	int			i;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (i = 0; i < shared->nslots; i++)
	{
		WorkerSlot *slot = &shared->slots[i];

		slots[i].state = slot->state;
		slots[i].claim.index = i;
		slots[i].claim.generation = slot->generation;
		slots[i].dboid = slot->dboid;
		slots[i].started_at = slot->started_at;
		slots[i].next_due = slot->next_due;
		slots[i].campaigns = slot->campaigns;
		slots[i].ready = slot->state == SLOT_STARTING || slot->listing ||
			slot->state == SLOT_LINGERING;
		slots[i].pid = slot->state == SLOT_RUNNING ? slot->pid : 0;
		slots[i].not_before = slot->not_before;
		slots[i].failed = slot->failed;
		memcpy(slots[i].last_error, slot->last_error, CAC_MESSAGE_LEN);

		if (slot->state == SLOT_EXITED)
			slot->state = SLOT_FREE;
	}

	memcpy(news, &shared->news, sizeof(NewsReport));
	shared->news.count = 0;
	shared->news.everywhere = false;
	shared->launcher_heeds = DT_NOEND;
	LWLockRelease(shared->lock);
}

/* ----------------------------------------------------------------
 * The worker's side
 * ----------------------------------------------------------------
 */

/*
 * Makes the calling process the worker of this claim, until it exits, and
 * tells it its database.  False if it has come too late: it must leave.
 *
 * To be called before the process connects to its database: its exit then
 * comes after the rollback of whatever it was doing, so that the next worker
 * cannot meet this one's transaction.
 */
bool
cac_slot_attach(const SlotClaim *claim, Oid *dboid)
{
	WorkerSlot *slot;

	if (shared == NULL || claim->index < 0 || claim->index >= shared->nslots)
		return false;
	slot = &shared->slots[claim->index];

	before_shmem_exit(slot_detach, (Datum) 0);

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (slot->generation == claim->generation && slot->state == SLOT_STARTING)
	{
		slot->state = SLOT_RUNNING;
		slot->pid = MyProcPid;
		slot->latch = MyLatch;
		*dboid = slot->dboid;
		my_slot = slot;
	}
	LWLockRelease(shared->lock);
	return my_slot != NULL;
}

/*
 * A worker that leaves without cac_slot_finish() has failed, whatever ended it.
 */
static void
slot_detach(int code, Datum arg)
{
	WorkerSlot *slot = my_slot;

	if (slot == NULL)
		return;
	my_slot = NULL;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot->state = SLOT_EXITED;
	slot->pid = 0;
	slot->latch = NULL;
	if (!slot->finished)
	{
		slot->failed = true;
		if (slot->last_error[0] == '\0')
			store_message(slot->last_error, "worker exited early, see the server log");
	}
	wake_launcher();
	LWLockRelease(shared->lock);
}

/*
 * The worker begins to run a cycle: it is about to list what is due.  Returns
 * whether there were news since the last one began.  What comes after *changes
 * may not be in the list, so cac_slot_publish() is to be told.
 */
bool
cac_slot_begin_cycle(uint32 *changes)
{
	bool		news;

	Assert(my_slot != NULL);

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_slot->state = SLOT_RUNNING;
	my_slot->listing = true;
	news = my_slot->news;
	my_slot->news = false;
	*changes = my_slot->changes;
	LWLockRelease(shared->lock);
	return news;
}

/*
 * The worker lingers, for something that is due then.
 */
void
cac_slot_linger(TimestampTz until_due)
{
	Assert(my_slot != NULL);

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_slot->state = SLOT_LINGERING;
	my_slot->lingers_for = until_due;
	LWLockRelease(shared->lock);
}

/*
 * Takes a source of this database, which is then this worker's alone.  False if
 * another worker has it.
 */
bool
cac_slot_take_source(Oid campaigns, const char *name)
{
	bool		taken = false;

	Assert(my_slot != NULL);
	Assert(!OidIsValid(my_slot->campaigns));

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nslots && !taken; i++)
		taken = serves(&shared->slots[i], my_slot->dboid) &&
			shared->slots[i].campaigns == campaigns;
	if (!taken)
	{
		my_slot->campaigns = campaigns;
		strlcpy(NameStr(my_slot->source), name, NAMEDATALEN);
	}
	LWLockRelease(shared->lock);
	return !taken;
}

/*
 * Gives it back, if it has one.  The worker knows, the others do not, when it is
 * due again.
 */
void
cac_slot_leave_source(void)
{
	Assert(my_slot != NULL);

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (OidIsValid(my_slot->campaigns))
		count_change(my_slot->dboid, my_slot);
	my_slot->campaigns = InvalidOid;
	NameStr(my_slot->source)[0] = '\0';
	LWLockRelease(shared->lock);
}

/*
 * Could the launcher send another worker, if perhaps one that lingers makes
 * room?  The caller holds the lock.
 */
static bool
is_room(void)
{
	for (int i = 0; i < shared->nslots; i++)
	{
		if (shared->slots[i].state == SLOT_FREE ||
			shared->slots[i].state == SLOT_LINGERING)
			return true;
	}
	return false;
}

/*
 * Something will be due then in this database that nobody is working on, as far
 * as a list shows that was made when there were so many changes; and hint_due
 * is when a hint is.
 */
void
cac_slot_publish(TimestampTz next_due, TimestampTz hint_due, uint32 changes)
{
	Assert(my_slot != NULL);

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	write_next_due(my_slot->dboid, next_due, changes == my_slot->changes);
	my_slot->listing = false;
	/* between sources it lingers, and will look; and when it leaves, it tells */
	if (OidIsValid(my_slot->campaigns) &&
		Min(my_slot->next_due, hint_due) < shared->launcher_heeds && is_room())
		wake_launcher();
	LWLockRelease(shared->lock);
}

/*
 * Something is due that the worker leaves undone.
 */
void
cac_slot_publish_at_once(void)
{
	Assert(my_slot != NULL);

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	write_next_due(my_slot->dboid, GetCurrentTimestamp(), false);
	LWLockRelease(shared->lock);
}

/*
 * When something will be due that nobody is working on, by the last who said.
 */
TimestampTz
cac_slot_next_due(void)
{
	TimestampTz next_due;

	Assert(my_slot != NULL);

	LWLockAcquire(shared->lock, LW_SHARED);
	next_due = my_slot->next_due;
	LWLockRelease(shared->lock);
	return next_due;
}

/*
 * Is there a worker in this database that came before this one?
 */
bool
cac_slot_is_company(void)
{
	bool		company = false;

	Assert(my_slot != NULL);

	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < shared->nslots && !company; i++)
	{
		WorkerSlot *slot = &shared->slots[i];

		company = slot != my_slot && serves(slot, my_slot->dboid) &&
			(slot->started_at < my_slot->started_at ||
			 (slot->started_at == my_slot->started_at && slot < my_slot));
	}
	LWLockRelease(shared->lock);
	return company;
}

/*
 * The worker's last word: when at the earliest its database may have another
 * visit, whatever is due.  The caller then exits; only then is the slot given
 * up.
 */
void
cac_slot_finish(TimestampTz not_before)
{
	Assert(my_slot != NULL);

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_slot->not_before = not_before;
	my_slot->finished = true;
	LWLockRelease(shared->lock);
}

/*
 * Is a database due for which there is no worker?
 */
bool
cac_databases_waiting(void)
{
	return shared != NULL && pg_atomic_read_u32(&shared->databases_waiting) > 0;
}

/*
 * Could another worker do something in another database, for which there is no
 * slot?
 */
bool
cac_room_wanted(void)
{
	Oid			wanted_by;

	if (shared == NULL)
		return false;
	wanted_by = pg_atomic_read_u32(&shared->company_wanted);
	return cac_databases_waiting() ||
		(OidIsValid(wanted_by) && wanted_by != MyDatabaseId);
}

/* ----------------------------------------------------------------
 * Progress: what a worker is doing.  In any other process, nothing happens.
 * ----------------------------------------------------------------
 */

/*
 * A sweep of the source begins, with so many campaigns to look at.
 */
void
cac_progress_begin(const char *sweep, int64 total)
{
	if (my_slot == NULL)
		return;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	strlcpy(NameStr(my_slot->sweep), sweep, NAMEDATALEN);
	my_slot->campaigns_total = total;
	pg_atomic_write_u64(&my_slot->campaigns_done, 0);
	LWLockRelease(shared->lock);
}

/*
 * So many of them have been looked at, all told.
 */
void
cac_progress_done(int64 done)
{
	if (my_slot != NULL)
		pg_atomic_write_u64(&my_slot->campaigns_done, (uint64) done);
}

void
cac_progress_end(void)
{
	if (my_slot == NULL)
		return;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	NameStr(my_slot->sweep)[0] = '\0';
	my_slot->campaigns_total = 0;
	pg_atomic_write_u64(&my_slot->campaigns_done, 0);
	LWLockRelease(shared->lock);
}

/*
 * Something went wrong.  The visit may go on all the same; the message stays
 * until its end, or the next one, and says why the visit failed if it did.
 */
void
cac_progress_error(const char *message)
{
	if (my_slot == NULL)
		return;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	store_message(my_slot->last_error, message);
	LWLockRelease(shared->lock);
}

/* ----------------------------------------------------------------
 * Reports
 * ----------------------------------------------------------------
 */

/*
 * cac_report_slots
 *		How the launcher is and, as a palloc'd array, the slots in use: all of it
 *		at one moment.  Messages and names are in the encodings of the databases
 *		that they came from.
 *
 * NULL, and nothing is changed, where the library was not preloaded.
 */
WorkerReport *
cac_report_slots(LauncherReport *launcher, int *nworkers)
{
	WorkerReport *workers;
	int			n = 0;
	int			i;

	if (shared == NULL)
		return NULL;
	workers = palloc0(cac_max_workers * sizeof(WorkerReport));

	LWLockAcquire(shared->lock, LW_SHARED);
	launcher->pid = shared->launcher_pid;
	launcher->started_at = shared->launcher_started_at;
	launcher->next_wake = shared->launcher_next_wake;
	memcpy(launcher->last_error, shared->launcher_error, CAC_MESSAGE_LEN);
	for (i = 0; i < shared->nslots; i++)
	{
		WorkerSlot *slot = &shared->slots[i];
		WorkerReport *worker = &workers[n];

		if (slot->state == SLOT_FREE)
			continue;
		worker->state = slot->state;
		worker->dboid = slot->dboid;
		worker->pid = slot->pid;
		worker->started_at = slot->started_at;
		worker->source = slot->source;
		worker->sweep = slot->sweep;
		worker->campaigns_total = slot->campaigns_total;
		worker->campaigns_done = (int64) pg_atomic_read_u64(&slot->campaigns_done);
		/* while it runs, nobody knows yet */
		worker->next_due = slot->state == SLOT_LINGERING ? slot->lingers_for :
			slot->finished ? slot->next_due : DT_NOBEGIN;
		memcpy(worker->last_error, slot->last_error, CAC_MESSAGE_LEN);
		n++;
	}
	LWLockRelease(shared->lock);
	*nworkers = n;
	return workers;
}
