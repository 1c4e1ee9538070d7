/*-------------------------------------------------------------------------
 *
 * hints.c
 *		Shared memory: the tracked campaigns, and the hints to look at them.
 *
 * A table of fixed size (campaign_autoclose.tracked_campaigns), reserved at
 * preload, lost when the server restarts, under one LWLock.  Nothing in it is
 * needed for a verdict: what is lost costs time, never correctness.  Where the
 * library was not preloaded, every function does nothing.
 *
 * An entry is one campaign, of any source of any database, and stays while it
 * has either of two things:
 *
 * 1. Hints: per kind, when it is due.  A second hint of a kind does not put
 *	  off the first.  Whoever makes one due sooner than it was also sees to it
 *	  that somebody is awake then, by cac_steer().  HINT_EXPIRY is no kind of
 *	  its own: it says more of a HINT_CHANGED, and waits with it.  The entries
 *	  with hints are listed in a dense array with all that a search for due ones
 *	  reads.
 *
 * 2. Memory: what the sweeps remember of an open campaign, such as the message
 *	  that keeps it open.
 *
 * When the table is full, a new hint takes the place of the memory that was
 * renewed longest ago and has no hint; if there is none, the hint is dropped,
 * and counted.  New memory takes no entry from anybody.
 *
 * Since hints are put after the commit record is written, nothing here
 * allocates, and under the lock nothing raises.  That is also why this is not
 * a dynahash, whose size is approximate besides.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "port/pg_bitutils.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "hints.h"
#include "settings.h"

#define SHARED_NAME			"campaign_autoclose hints"

/* How much of the share of the time that counting open campaigns may take can be
 * saved up, in microseconds: enough for one of a few million messages, so that
 * the small ones do not have to wait for what that has taken. */
#define COUNTING_CREDIT_MAX	(3 * USECS_PER_SEC)
/* And how much can be owed, whatever one count has taken. */
#define COUNTING_DEBT_MAX	(10 * USECS_PER_SEC)

/* The kinds of hints, as indexes of the due times. */
#define NUM_FLAGS			2
#define FLAG(i)				(1 << (i))	/* 0: HINT_CHECK, 1: HINT_CHANGED */

typedef struct HintEntry
{
	HintKey		key;
	struct HintEntry *next;		/* in its bucket, or in the free list */
	dlist_node	idle;			/* in the list of those without a hint */
	int			pending;		/* place in the array of hints; -1: no hint */
	bool		tracked;		/* it has memory */
	TrackedCampaign campaign;
} HintEntry;

/* The hints of one campaign. */
typedef struct PendingHints
{
	Oid			dboid;
	Oid			campaigns;
	TimestampTz due[NUM_FLAGS]; /* DT_NOEND: no such hint */
	bool		expiry;			/* the one of a change has HINT_EXPIRY */
	HintEntry  *entry;
} PendingHints;

typedef struct SharedHints
{
	LWLock	   *lock;
	int			size;			/* entries */
	uint32		mask;			/* buckets - 1 */

	HintEntry  *free;			/* entries without hints or memory */
	dlist_head	idle;			/* those with memory alone; latest last */
	int			npending;
	int64		waiting;		/* single hints */
	int64		credit;			/* see cac_counting_credit() */
	TimestampTz credit_at;
	pg_atomic_uint64 complete_since;	/* no hint was lost since; a TimestampTz */
	pg_atomic_uint64 dropped;
	pg_atomic_uint64 served;
	pg_atomic_uint64 drops;		/* counts what voids the known hints of others */

	PendingHints *pending;		/* [size] */
	HintEntry **buckets;		/* [mask + 1] */
	HintEntry  *entries;		/* [size] */
} SharedHints;

static SharedHints *shared = NULL;

/* What this process lately put, or found waiting. */
typedef struct KnownHints
{
	HintKey		key;
	TimestampTz due[NUM_FLAGS]; /* 0: not known to wait */
	bool		expiry;			/* the one of a change has HINT_EXPIRY */
} KnownHints;

/* By the campaign's hash, in pairs of which the one used last comes first. */
#define KNOWN_PAIRS		512		/* a power of two */
/* Several times what a commit may be overtaken by, rounding included. */
#define KNOWN_MARGIN	USECS_PER_SEC

static KnownHints known_hints[KNOWN_PAIRS][2];
static uint64 known_since_drops = 0;

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

static void request_hints(void);
static void start_hints(void);

/* ----------------------------------------------------------------
 * Set-up
 * ----------------------------------------------------------------
 */

/*
 * Has the table reserved.  Called once, while libraries are preloaded.
 */
void
cac_reserve_hints(void)
{
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_hints;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_hints;
}

bool
cac_hints_ready(void)
{
	return shared != NULL;
}

static uint32
bucket_count(void)
{
	return pg_nextpower2_32(cac_tracked_campaigns);
}

static Size
hints_size(void)
{
	Size		size = MAXALIGN(sizeof(SharedHints));

	size = add_size(size, MAXALIGN(mul_size(cac_tracked_campaigns, sizeof(PendingHints))));
	size = add_size(size, MAXALIGN(mul_size(bucket_count(), sizeof(HintEntry *))));
	return add_size(size, mul_size(cac_tracked_campaigns, sizeof(HintEntry)));
}

static void
request_hints(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();

	RequestAddinShmemSpace(hints_size());
	RequestNamedLWLockTranche(SHARED_NAME, 1);
}

static void
initialise_hints(void)
{
	char	   *place = (char *) shared + MAXALIGN(sizeof(SharedHints));
	int			i;

	memset(shared, 0, hints_size());
	shared->lock = &GetNamedLWLockTranche(SHARED_NAME)->lock;
	shared->size = cac_tracked_campaigns;
	pg_atomic_init_u64(&shared->complete_since, (uint64) GetCurrentTimestamp());
	shared->mask = bucket_count() - 1;
	dlist_init(&shared->idle);
	pg_atomic_init_u64(&shared->dropped, 0);
	pg_atomic_init_u64(&shared->served, 0);
	pg_atomic_init_u64(&shared->drops, 0);

	shared->pending = (PendingHints *) place;
	place += MAXALIGN(shared->size * sizeof(PendingHints));
	shared->buckets = (HintEntry **) place;
	place += MAXALIGN(bucket_count() * sizeof(HintEntry *));
	shared->entries = (HintEntry *) place;
	for (i = shared->size - 1; i >= 0; i--)
	{
		shared->entries[i].pending = -1;
		shared->entries[i].next = shared->free;
		shared->free = &shared->entries[i];
	}
}

/*
 * Also called by the postmaster after a crash, on memory that is new again.
 */
static void
start_hints(void)
{
	bool		found;

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct(SHARED_NAME, hints_size(), &found);
	if (!found)
		initialise_hints();
	LWLockRelease(AddinShmemInitLock);
}

/* ----------------------------------------------------------------
 * Entries.  The caller holds the lock, and to change any, in exclusive mode.
 * ----------------------------------------------------------------
 */

static HintEntry **
bucket_of(const HintKey *key)
{
	return &shared->buckets[cac_hint_hash(key) & shared->mask];
}

static HintEntry *
find_entry(const HintKey *key)
{
	HintEntry  *entry = *bucket_of(key);

	while (entry != NULL && memcmp(&entry->key, key, sizeof(HintKey)) != 0)
		entry = entry->next;
	return entry;
}

static void
free_entry(HintEntry *entry)
{
	HintEntry **place = bucket_of(&entry->key);

	Assert(entry->pending < 0 && !entry->tracked);
	while (*place != entry)
		place = &(*place)->next;
	*place = entry->next;
	entry->next = shared->free;
	shared->free = entry;
}

static void
drop_memory(HintEntry *entry)
{
	if (!entry->tracked)
		return;
	entry->tracked = false;
	if (entry->pending < 0)
	{
		dlist_delete(&entry->idle);
		free_entry(entry);
	}
}

/*
 * The entry of that campaign, perhaps a new one, which the caller must at once
 * give a hint or memory.  NULL if the table is full.
 */
static HintEntry *
get_entry(const HintKey *key, bool evict)
{
	HintEntry  *entry = find_entry(key);
	HintEntry **bucket;

	if (entry != NULL)
		return entry;
	if (shared->free == NULL && evict && !dlist_is_empty(&shared->idle))
		drop_memory(dlist_container(HintEntry, idle, dlist_head_node(&shared->idle)));
	entry = shared->free;
	if (entry == NULL)
		return NULL;

	shared->free = entry->next;
	bucket = bucket_of(key);
	entry->key = *key;
	entry->next = *bucket;
	*bucket = entry;
	return entry;
}

/*
 * Takes away the hints of an entry, and the entry if it has nothing else.
 */
static void
drop_hints(HintEntry *entry)
{
	PendingHints *hints;
	int			i;

	if (entry->pending < 0)
		return;
	hints = &shared->pending[entry->pending];
	for (i = 0; i < NUM_FLAGS; i++)
		shared->waiting -= hints->due[i] != DT_NOEND;

	/* the last one moves to its place */
	*hints = shared->pending[--shared->npending];
	hints->entry->pending = entry->pending;
	entry->pending = -1;
	if (entry->tracked)
		dlist_push_tail(&shared->idle, &entry->idle);
	else
		free_entry(entry);
}

/*
 * Takes away whatever an entry has, and the entry.
 */
static void
drop_entry(HintEntry *entry)
{
	if (entry->pending >= 0)
	{
		entry->tracked = false;
		drop_hints(entry);
	}
	else
		drop_memory(entry);
}

/* ----------------------------------------------------------------
 * Hints
 * ----------------------------------------------------------------
 */

uint32
cac_hint_hash(const HintKey *key)
{
	return hash_bytes((const unsigned char *) key, sizeof(HintKey));
}

/*
 * Puts hints with these due times (DT_NOEND: not that one), the one of a change
 * perhaps with HINT_EXPIRY.  An earlier one stays.  Returns the earliest of
 * those that were put, DT_NOEND if none was.  The caller holds the lock in
 * exclusive mode.
 */
static TimestampTz
put_hints(const HintKey *key, const TimestampTz due[NUM_FLAGS], bool expiry)
{
	HintEntry  *entry = get_entry(key, true);
	PendingHints *hints;
	TimestampTz earliest = DT_NOEND;
	int			i;

	if (entry == NULL)
	{
		for (i = 0; i < NUM_FLAGS; i++)
		{
			if (due[i] != DT_NOEND)
				cac_hints_lost(1);
		}
		return DT_NOEND;
	}

	if (entry->pending < 0)
	{
		if (entry->tracked)
			dlist_delete(&entry->idle);
		entry->pending = shared->npending++;
		hints = &shared->pending[entry->pending];
		hints->dboid = key->dboid;
		hints->campaigns = key->campaigns;
		hints->entry = entry;
		hints->expiry = false;
		for (i = 0; i < NUM_FLAGS; i++)
			hints->due[i] = DT_NOEND;
	}

	hints = &shared->pending[entry->pending];
	hints->expiry |= expiry;
	for (i = 0; i < NUM_FLAGS; i++)
	{
		if (due[i] >= hints->due[i])
			continue;
		/* who knows it to wait would take it to wait when it is gone already */
		if (hints->due[i] != DT_NOEND && hints->due[i] - due[i] > KNOWN_MARGIN / 4)
			pg_atomic_fetch_add_u64(&shared->drops, 1);
		shared->waiting += hints->due[i] == DT_NOEND;
		hints->due[i] = due[i];
		earliest = Min(earliest, due[i]);
	}
	return earliest;
}

/*
 * Puts a hint (back), due at that moment.
 */
void
cac_hint_put(const HintKey *key, int flags, TimestampTz due)
{
	TimestampTz dues[NUM_FLAGS];
	TimestampTz earliest;
	int			i;

	if (shared == NULL || flags == 0)
		return;
	for (i = 0; i < NUM_FLAGS; i++)
		dues[i] = (flags & FLAG(i)) ? due : DT_NOEND;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	earliest = put_hints(key, dues, (flags & HINT_EXPIRY) != 0);
	LWLockRelease(shared->lock);

	if (earliest != DT_NOEND)
		cac_steer(key->dboid, key->campaigns, earliest);
}

/*
 * When the hints of a note fall due.  Those of changes do so together, a few times
 * a second, so that a worker counts several campaigns whenever it wakes for them.
 */
static void
note_dues(const HintNote *note, TimestampTz committed_at, TimestampTz due[NUM_FLAGS])
{
	TimestampTz changed = committed_at + HINT_CHANGED_DELAY;

	changed += HINT_CHANGED_TOGETHER - 1;
	changed -= changed % HINT_CHANGED_TOGETHER;
	due[0] = (note->flags & HINT_CHECK) ? committed_at + note->check_delay : DT_NOEND;
	due[1] = (note->flags & HINT_CHANGED) ? changed : DT_NOEND;
}

/*
 * What this process knows of the hints of a note's campaign; a place for it,
 * cleared, if it knows nothing.
 */
static KnownHints *
known_of(const HintNote *note)
{
	KnownHints *pair = known_hints[note->hash & (KNOWN_PAIRS - 1)];

	if (memcmp(&pair[0].key, &note->key, sizeof(HintKey)) != 0)
	{
		KnownHints	other = pair[1];

		pair[1] = pair[0];
		if (memcmp(&other.key, &note->key, sizeof(HintKey)) != 0)
		{
			memset(&other, 0, sizeof(other));
			other.key = note->key;
		}
		pair[0] = other;
	}
	return &pair[0];
}

/*
 * Would the note change nothing, for all that this process knows?  So it is
 * with most, where messages change all the time, and they need not touch what
 * all processes share.  A hint waits until it is due; the margin is for others
 * who may have made it due sooner, their commit having been a little earlier.
 */
static bool
known_to_wait(const HintNote *note, TimestampTz now)
{
	const KnownHints *known = known_of(note);
	TimestampTz due[NUM_FLAGS];
	int			i;

	note_dues(note, now, due);
	for (i = 0; i < NUM_FLAGS; i++)
	{
		if ((note->flags & FLAG(i)) &&
			(known->due[i] - KNOWN_MARGIN <= now || known->due[i] > due[i]))
			return false;
	}
	return known->expiry || !(note->flags & HINT_EXPIRY);
}

/*
 * Does the same wait already, or sooner?  The caller holds the lock.
 */
static bool
note_waits_already(const HintNote *note, TimestampTz committed_at)
{
	HintEntry  *entry = find_entry(&note->key);
	TimestampTz due[NUM_FLAGS];
	int			i;

	if (entry == NULL || entry->pending < 0)
		return false;
	note_dues(note, committed_at, due);
	for (i = 0; i < NUM_FLAGS; i++)
	{
		if (due[i] < shared->pending[entry->pending].due[i])
			return false;
	}
	return shared->pending[entry->pending].expiry || !(note->flags & HINT_EXPIRY);
}

/*
 * Keeps in mind what waits of a campaign.  The caller holds the lock.
 */
static void
know_hints(const HintNote *note)
{
	HintEntry  *entry = find_entry(&note->key);
	KnownHints *known = known_of(note);
	int			i;

	for (i = 0; i < NUM_FLAGS; i++)
	{
		TimestampTz due = entry && entry->pending >= 0 ?
			shared->pending[entry->pending].due[i] : DT_NOEND;

		known->due[i] = due == DT_NOEND ? 0 : due;
	}
	known->expiry = entry && entry->pending >= 0 && shared->pending[entry->pending].expiry;
}

/*
 * The source that all of these notes are of, by its campaigns table; InvalidOid
 * if they are of several.
 */
static Oid
source_of(const HintNote *notes, int count)
{
	int			i;

	for (i = 1; i < count; i++)
	{
		if (notes[i].key.campaigns != notes[0].key.campaigns)
			return InvalidOid;
	}
	return notes[0].key.campaigns;
}

/*
 * Turns the notes of a transaction in this database into hints.  Called after
 * the commit record is written: nothing here may raise.
 */
void
cac_hints_publish(const HintNote *notes, int count, TimestampTz committed_at)
{
	TimestampTz earliest = DT_NOEND;
	TimestampTz now = GetCurrentTimestamp();
	uint64		drops;
	int			i;

	if (shared == NULL)
		return;

	drops = pg_atomic_read_u64(&shared->drops);
	if (drops != known_since_drops)
		memset(known_hints, 0, sizeof(known_hints));
	known_since_drops = drops;
	for (i = 0; i < count && known_to_wait(&notes[i], now); i++)
		;
	if (i == count)
		return;

	LWLockAcquire(shared->lock, LW_SHARED);
	for (; i < count && note_waits_already(&notes[i], committed_at); i++)
		know_hints(&notes[i]);
	LWLockRelease(shared->lock);
	if (i == count)
		return;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (; i < count; i++)
	{
		TimestampTz due[NUM_FLAGS];
		TimestampTz put;

		note_dues(&notes[i], committed_at, due);
		put = put_hints(&notes[i].key, due, (notes[i].flags & HINT_EXPIRY) != 0);
		earliest = Min(earliest, put);
		know_hints(&notes[i]);
	}
	LWLockRelease(shared->lock);

	if (earliest != DT_NOEND)
		cac_steer(MyDatabaseId, source_of(notes, count), earliest);
}

/*
 * Something may have happened until now of which no hint tells.
 */
void
cac_hints_incomplete(void)
{
	if (shared != NULL)
		pg_atomic_write_u64(&shared->complete_since, (uint64) GetCurrentTimestamp());
}

/*
 * Counts hints that found no room before they came here.
 */
void
cac_hints_lost(int64 count)
{
	if (shared == NULL || count <= 0)
		return;
	pg_atomic_fetch_add_u64(&shared->dropped, count);
	cac_hints_incomplete();
}

/*
 * Takes what is due at "now" of the hints at "place"; returns the flags.  Sets
 * *gone if there was nothing else, so that another one is at this place now.
 */
static int
take_due(int place, TimestampTz now, bool *gone)
{
	PendingHints *hints = &shared->pending[place];
	int			flags = 0;
	int			i;

	*gone = true;
	for (i = 0; i < NUM_FLAGS; i++)
	{
		if (hints->due[i] <= now)
		{
			flags |= FLAG(i);
			hints->due[i] = DT_NOEND;
			shared->waiting--;
		}
		else if (hints->due[i] != DT_NOEND)
			*gone = false;
	}
	if ((flags & HINT_CHANGED) && hints->expiry)
	{
		flags |= HINT_EXPIRY;
		hints->expiry = false;
	}
	if (*gone)
		drop_hints(hints->entry);
	return flags;
}

/*
 * Takes up to max hints of that source which are due at "now", those to be
 * judged first; flags[i] says what for.  Returns how many campaigns that is.
 * What is taken is gone.
 */
int
cac_hints_take(Oid dboid, Oid campaigns, TimestampTz now,
			   HintKey *keys, int *flags, int max)
{
	int			taken = 0;
	int			i;

	if (shared == NULL)
		return 0;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (i = 0; i < NUM_FLAGS; i++)
	{
		int			place = 0;

		while (place < shared->npending && taken < max)
		{
			const PendingHints *hints = &shared->pending[place];
			bool		gone = false;

			if (hints->due[i] <= now && hints->dboid == dboid &&
				hints->campaigns == campaigns)
			{
				keys[taken] = hints->entry->key;
				flags[taken++] = take_due(place, now, &gone);
			}
			if (!gone)
				place++;
		}
	}
	LWLockRelease(shared->lock);
	return taken;
}

/*
 * Counts single hints that have been acted on.
 */
void
cac_hints_served(int64 count)
{
	if (shared != NULL && count > 0)
		pg_atomic_fetch_add_u64(&shared->served, count);
}

static TimestampTz
earliest_due(const PendingHints *hints)
{
	TimestampTz earliest = DT_NOEND;
	int			i;

	for (i = 0; i < NUM_FLAGS; i++)
		earliest = Min(earliest, hints->due[i]);
	return earliest;
}

/*
 * When the next hint of that database falls due; DT_NOEND: there is none.
 */
TimestampTz
cac_hints_next(Oid dboid)
{
	TimestampTz next = DT_NOEND;
	int			i;

	if (shared == NULL)
		return DT_NOEND;

	LWLockAcquire(shared->lock, LW_SHARED);
	for (i = 0; i < shared->npending; i++)
	{
		if (shared->pending[i].dboid == dboid)
		{
			TimestampTz due = earliest_due(&shared->pending[i]);

			next = Min(next, due);
		}
	}
	LWLockRelease(shared->lock);
	return next;
}

/*
 * When the next one falls due of those of its sources that no worker is at.
 */
TimestampTz
cac_hints_next_left(Oid dboid)
{
	Oid			taken[CAC_MAX_WORKERS];
	int			ntaken = cac_sources_taken(dboid, taken);
	TimestampTz next = DT_NOEND;

	if (shared == NULL)
		return DT_NOEND;

	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < shared->npending; i++)
	{
		const PendingHints *hints = &shared->pending[i];
		int			place = 0;

		if (hints->dboid != dboid)
			continue;
		while (place < ntaken && taken[place] != hints->campaigns)
			place++;
		if (place == ntaken)
		{
			TimestampTz due = earliest_due(hints);

			next = Min(next, due);
		}
	}
	LWLockRelease(shared->lock);
	return next;
}

/*
 * Shows the sources that have hints, each perhaps several times, to a function,
 * which is called under the lock and must not raise.
 */
void
cac_hints_survey(void (*see) (Oid dboid, Oid campaigns, TimestampTz due))
{
	int			i;

	if (shared == NULL)
		return;

	LWLockAcquire(shared->lock, LW_SHARED);
	for (i = 0; i < shared->npending; i++)
	{
		TimestampTz due = earliest_due(&shared->pending[i]);

		/* neighbours are often of one source */
		while (i + 1 < shared->npending &&
			   shared->pending[i + 1].dboid == shared->pending[i].dboid &&
			   shared->pending[i + 1].campaigns == shared->pending[i].campaigns)
		{
			TimestampTz next = earliest_due(&shared->pending[++i]);

			due = Min(due, next);
		}
		see(shared->pending[i].dboid, shared->pending[i].campaigns, due);
	}
	LWLockRelease(shared->lock);
}

/*
 * The clock has stepped back, so that nobody knows any more when the hints
 * should fall due: now.
 */
void
cac_hints_clock_stepped(TimestampTz now)
{
	int			i;
	int			j;

	if (shared == NULL)
		return;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	pg_atomic_fetch_add_u64(&shared->drops, 1);
	for (i = 0; i < shared->npending; i++)
	{
		for (j = 0; j < NUM_FLAGS; j++)
		{
			if (shared->pending[i].due[j] != DT_NOEND)
				shared->pending[i].due[j] = Min(shared->pending[i].due[j], now);
		}
	}
	LWLockRelease(shared->lock);
}

/* ----------------------------------------------------------------
 * Memory
 * ----------------------------------------------------------------
 */

/*
 * What is remembered of a campaign; false if nothing is.
 */
bool
cac_hint_recall(const HintKey *key, TrackedCampaign *campaign)
{
	HintEntry  *entry;
	bool		tracked;

	if (shared == NULL)
		return false;

	LWLockAcquire(shared->lock, LW_SHARED);
	entry = find_entry(key);
	tracked = entry != NULL && entry->tracked;
	if (tracked)
	{
		*campaign = entry->campaign;
		campaign->hint_waiting = entry->pending >= 0;
		campaign->expiry_waiting = entry->pending >= 0 &&
			shared->pending[entry->pending].expiry;
	}
	LWLockRelease(shared->lock);
	return tracked;
}

/*
 * Remembers that of a campaign.  False if there is no room.
 */
bool
cac_hint_track(const HintKey *key, const TrackedCampaign *campaign)
{
	HintEntry  *entry;

	if (shared == NULL)
		return false;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	entry = get_entry(key, false);
	if (entry != NULL)
	{
		if (entry->tracked && entry->pending < 0)
			dlist_delete(&entry->idle);
		entry->tracked = true;
		entry->campaign = *campaign;
		if (entry->pending < 0)
			dlist_push_tail(&shared->idle, &entry->idle);
	}
	LWLockRelease(shared->lock);
	return entry != NULL;
}

/*
 * Forgets what is remembered of a campaign; its hints stay, as they may be of
 * something that came after what made it be forgotten.
 */
void
cac_hint_forget(const HintKey *key)
{
	HintEntry  *entry;

	if (shared == NULL)
		return;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	entry = find_entry(key);
	if (entry != NULL)
		drop_memory(entry);
	LWLockRelease(shared->lock);
}

/*
 * Since when no hint was lost: the start or restart of the server, the last one
 * that found no room, or the last source that was activated.
 */
TimestampTz
cac_hints_complete_since(void)
{
	if (shared == NULL)
		return DT_NOEND;
	return (TimestampTz) pg_atomic_read_u64(&shared->complete_since);
}

/*
 * How long counting the statistics of open campaigns may still take, in
 * microseconds, "spent" of them being spent now.  A share of the time is earned,
 * whichever worker it passes in, and some of it can be saved up.
 */
int64
cac_counting_credit(TimestampTz now, int64 spent)
{
	int64		credit;

	if (shared == NULL)
		return 0;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (shared->credit_at == 0 || shared->credit_at > now)
		shared->credit_at = now;
	shared->credit += (now - shared->credit_at) / COUNTING_SHARE - spent;
	shared->credit = Min(shared->credit, COUNTING_CREDIT_MAX);
	shared->credit = Max(shared->credit, -COUNTING_DEBT_MAX);
	shared->credit_at = now;
	credit = shared->credit;
	LWLockRelease(shared->lock);
	return credit;
}

/*
 * Forgets those campaigns of a source that are remembered and that keep(key,
 * arg) does not want.  Their hints stay, as a closed campaign may have some.
 * keep() is called without the lock, and may raise.
 */
void
cac_hints_prune(Oid dboid, Oid campaigns,
				bool (*keep) (const HintKey *key, void *arg), void *arg)
{
	HintKey    *keys;
	int			nkeys = 0;
	int			i;

	if (shared == NULL)
		return;
	keys = palloc(shared->size * sizeof(HintKey));

	LWLockAcquire(shared->lock, LW_SHARED);
	for (i = 0; i < shared->size; i++)
	{
		const HintEntry *entry = &shared->entries[i];

		if (entry->tracked && entry->key.dboid == dboid &&
			entry->key.campaigns == campaigns)
			keys[nkeys++] = entry->key;
	}
	LWLockRelease(shared->lock);

	for (i = 0; i < nkeys; i++)
	{
		HintEntry  *entry;

		if (keep(&keys[i], arg))
			continue;
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		entry = find_entry(&keys[i]);
		if (entry != NULL)
			drop_memory(entry);
		LWLockRelease(shared->lock);
	}
	pfree(keys);
}

/*
 * Drops the hints and the memory of campaigns that nobody will look at any
 * more, as unwanted(key, arg) says, which is called under the lock and must
 * not raise.
 */
void
cac_hints_drop(bool (*unwanted) (const HintKey *key, void *arg), void *arg)
{
	int			i;

	if (shared == NULL)
		return;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	pg_atomic_fetch_add_u64(&shared->drops, 1);
	for (i = 0; i < shared->size; i++)
	{
		HintEntry  *entry = &shared->entries[i];

		if ((entry->tracked || entry->pending >= 0) && unwanted(&entry->key, arg))
			drop_entry(entry);
	}
	LWLockRelease(shared->lock);
}

/* ----------------------------------------------------------------
 * Reports
 * ----------------------------------------------------------------
 */

/*
 * Reads the counters.  False, and nothing is changed, where there are none.
 */
bool
cac_hint_counters(HintCounters *counters)
{
	if (shared == NULL)
		return false;

	LWLockAcquire(shared->lock, LW_SHARED);
	counters->waiting = shared->waiting;
	LWLockRelease(shared->lock);
	counters->dropped = pg_atomic_read_u64(&shared->dropped);
	counters->served = pg_atomic_read_u64(&shared->served);
	return true;
}
