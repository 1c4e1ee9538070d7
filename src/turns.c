/*-------------------------------------------------------------------------
 *
 * turns.c
 *		The sources of a database, shared out among its workers.
 *
 * A worker lists the sources of its database, with when each is due, and serves
 * those that are, one after the other, the longest overdue first, each once.
 * That is a cycle of the worker's.  In the next one it goes by the same list, as
 * long as that is a second old at most and nothing but hints has fallen due:
 * there are dozens of these a second where the application is busy.
 *
 * 1. While it serves a source, a worker has it to itself: it has taken it, in
 *	  its slot (slots.c).  The others pass it by.
 *
 * 2. With each source that it takes, and when it has nothing left to take, a
 *	  worker says when something will be due that nobody is working on.  By
 *	  that the launcher sends another worker, as long as there are slots; one
 *	  that lingers wakes up; and one that works on a source makes way, after
 *	  its turn (worker.c).  What is served by others is left to them: each says,
 *	  with its next word, when the source that it has given back is due.
 *
 * 3. A source that made way is due still, and has its next turn when the others
 *	  that were due have had theirs: in the next cycle, or with another worker.
 *	  So each is served in time even if one worker has to do for all.
 *
 * The list says of a source what the tables say.  Beyond that, a worker keeps
 * in mind which sources it has been to in vain (at fault, failed, run by
 * somebody else), and leaves these alone for a while, unless there are news.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "hints.h"
#include "schedule.h"
#include "settings.h"
#include "slots.h"
#include "turns.h"

/* Longer than anything is put off by. */
#define PUT_OFF_MAX		(10 * USECS_PER_MINUTE)
/* For how long a list is gone by, in milliseconds. */
#define LIST_KEPT_MS	1000

/* A source in the list of one cycle. */
typedef struct TurnSource
{
	char	   *name;
	Oid			campaigns;		/* its table, which is its key in the slots */
	TimestampTz due;			/* its sweeps and retries; DT_NOEND: never */
	TimestampTz hint_due;		/* its hints; DT_NOEND: none */
	bool		heeds_hints;
	bool		others;			/* another worker has it, or had it */
	bool		served;			/* it has had its turn */
} TurnSource;

/* What a worker keeps in mind of a source, from one cycle to the next. */
typedef struct SourceNote
{
	NameData	name;			/* hash key */
	TimestampTz not_before;
	bool		told_idle;
} SourceNote;

/* The list, ordered by the table; when it was made, and what had changed before. */
static TurnSource *list;
static int	nlist;
static TimestampTz listed_at = DT_NOBEGIN;
static uint32 listed_changes;
static uint64 listed_source_changes;

static HTAB *notes = NULL;

/* ----------------------------------------------------------------
 *		What is kept in mind
 * ----------------------------------------------------------------
 */

static SourceNote *
note_of(const char *name)
{
	NameData	key;
	SourceNote *note;
	bool		found;

	namestrcpy(&key, name);
	note = hash_search(notes, &key, HASH_ENTER, &found);
	if (!found)
	{
		note->not_before = DT_NOBEGIN;
		note->told_idle = false;
	}
	return note;
}

/*
 * Forget all of it: something has changed.
 */
static void
forget_notes(void)
{
	HASHCTL		control;

	if (notes != NULL)
		hash_destroy(notes);
	memset(&control, 0, sizeof(control));
	control.keysize = NAMEDATALEN;
	control.entrysize = sizeof(SourceNote);
	control.hcxt = TopMemoryContext;
	notes = hash_create("campaign_autoclose sources", 16, &control,
						HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

/* ----------------------------------------------------------------
 *		The list
 * ----------------------------------------------------------------
 */

static int
compare_tables(const void *a, const void *b)
{
	Oid			first = ((const TurnSource *) a)->campaigns;
	Oid			second = ((const TurnSource *) b)->campaigns;

	return (first > second) - (first < second);
}

/*
 * The source with that table; NULL if there is none.
 */
static TurnSource *
find_by_table(Oid campaigns)
{
	TurnSource	key = {.campaigns = campaigns};

	return bsearch(&key, list, nlist, sizeof(TurnSource), compare_tables);
}

/*
 * When the sweeps and retries of a source are due.  One that is idle, or at
 * fault, is said to be: once, by whoever serves it.
 */
static TimestampTz
sweeps_due(const Source *source, SourceNote *note, TimestampTz now)
{
	TimestampTz due;

	if (cac_why_idle(source) != NULL)
	{
		if (!note->told_idle)
			cac_tell_idle(source, false);
		note->told_idle = true;
		return DT_NOEND;
	}
	due = source->fault_code != 0 ? now : cac_source_due(source);
	/* unless the clock was set back since */
	if (note->not_before > cac_after(now, PUT_OFF_MAX))
		note->not_before = DT_NOBEGIN;
	return Max(due, note->not_before);
}

/*
 * Make the list.
 */
static void
list_sources(void)
{
	static MemoryContext context = NULL;
	MemoryContext old;
	List	   *names;
	ListCell   *lc;

	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext,
										"campaign_autoclose turns",
										ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(context);
	nlist = 0;
	names = cac_source_list(true);
	list = MemoryContextAllocZero(context, Max(list_length(names), 1) * sizeof(TurnSource));
	foreach(lc, names)
	{
		Source	   *source = cac_source_find(lfirst(lc));
		TurnSource *entry = &list[nlist];

		if (source == NULL)
			continue;
		old = MemoryContextSwitchTo(context);
		entry->name = pstrdup(source->name);
		MemoryContextSwitchTo(old);
		entry->campaigns = source->relid[TABLE_CAMPAIGNS];
		entry->heeds_hints = cac_source_heeds_hints(source);
		entry->due = sweeps_due(source, note_of(source->name), GetCurrentTimestamp());
		entry->hint_due = DT_NOEND;
		nlist++;
	}
	qsort(list, nlist, sizeof(TurnSource), compare_tables);
}

/*
 * Is a sweep or a retry due, of any source?
 */
static bool
any_due(TimestampTz now)
{
	for (int i = 0; i < nlist; i++)
	{
		if (list[i].due <= now)
			return true;
	}
	return false;
}

/*
 * See to it that the list is there, and of now.  Where anything is due, and when
 * there are news, all sources are looked at anew: news go out with a commit, a
 * moment before what invalidates our idea of a source.
 */
static void
update_list(bool news, uint32 changes)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		look = news || listed_at == DT_NOBEGIN || any_due(now);

	if (look)
		cac_source_recheck();
	if (look || changes != listed_changes || cac_source_changes != listed_source_changes ||
		listed_at > now || TimestampDifferenceExceeds(listed_at, now, LIST_KEPT_MS))
	{
		uint64		source_changes = cac_source_changes;

		listed_at = DT_NOBEGIN; /* should this fail */
		list_sources();
		listed_at = now;
		listed_changes = changes;
		listed_source_changes = source_changes;
	}
	for (int i = 0; i < nlist; i++)
		list[i].others = list[i].served = false;
}

static void
see_hint(Oid dboid, Oid campaigns, TimestampTz due)
{
	TurnSource *entry = dboid == MyDatabaseId ? find_by_table(campaigns) : NULL;

	if (entry != NULL && entry->heeds_hints)
		entry->hint_due = Min(entry->hint_due, due);
}

/*
 * When the hints of the sources fall due.
 */
static void
see_hints(void)
{
	for (int i = 0; i < nlist; i++)
		list[i].hint_due = DT_NOEND;
	cac_hints_survey(see_hint);
}

/*
 * Which sources other workers are at.
 */
static void
see_others(void)
{
	Oid			taken[CAC_MAX_WORKERS];
	int			ntaken = cac_sources_taken(MyDatabaseId, taken);

	for (int i = 0; i < ntaken; i++)
	{
		TurnSource *entry = find_by_table(taken[i]);

		if (entry != NULL)
			entry->others = true;
	}
}

/*
 * The source that has been due for longest, of those that are still to be
 * served and that nobody has; NULL: none.
 */
static TurnSource *
longest_overdue(TimestampTz now)
{
	TurnSource *longest = NULL;
	TimestampTz longest_due = DT_NOEND;

	for (int i = 0; i < nlist; i++)
	{
		TurnSource *entry = &list[i];
		TimestampTz due = Min(entry->due, entry->hint_due);

		if (!entry->others && !entry->served && due <= now && due < longest_due)
		{
			longest = entry;
			longest_due = due;
		}
	}
	return longest;
}

/*
 * Say when the first sweep, and the first hint, is due of the sources that
 * nobody is working on; "mine" (NULL: none) is ours.
 */
static void
publish(const TurnSource *mine, uint32 changes)
{
	TimestampTz due = DT_NOEND;
	TimestampTz hint_due = DT_NOEND;

	for (int i = 0; i < nlist; i++)
	{
		if (list[i].others || &list[i] == mine)
			continue;
		due = Min(due, list[i].due);
		hint_due = Min(hint_due, list[i].hint_due);
	}
	cac_slot_publish(due, hint_due, changes);
}

/* ----------------------------------------------------------------
 *		The turns
 * ----------------------------------------------------------------
 */

static void
serve(TurnSource *entry, const SweepHost *host)
{
	bool		in_vain = false;

	/* with no sweep, what is old is deleted with the hints */
	if (entry->due > GetCurrentTimestamp() && entry->due != DT_NOEND)
	{
		entry->due = cac_serve_source_hints(entry->name, host, entry->due, &in_vain);
		entry->due = Max(entry->due, note_of(entry->name)->not_before);
	}
	else
		entry->due = cac_serve_source(entry->name, host, &in_vain);
	if (in_vain)
		note_of(entry->name)->not_before = entry->due;
	cac_slot_leave_source();
}

/*
 * cac_take_turns
 *		Serve the sources of this database that are due and that no other worker
 *		is at, one turn each; say when the next will be.
 *
 * For a worker, in a transaction and connected to SPI non-atomically; it
 * commits as it goes.  "news": something has changed in this database;
 * "changes": what had changed before anything of it was read.
 */
void
cac_take_turns(const SweepHost *host, bool news, uint32 changes)
{
	TurnSource *entry;

	if (news || notes == NULL)
		forget_notes();
	update_list(news, changes);

	for (;;)
	{
		host->begin_turn();
		if (!host->go_on())
			break;
		see_others();
		see_hints();
		entry = longest_overdue(GetCurrentTimestamp());
		if (entry == NULL)
			break;
		if (!cac_slot_take_source(entry->campaigns, entry->name))
		{
			entry->others = true;
			continue;
		}
		entry->served = true;
		publish(entry, changes);
		serve(entry, host);
	}
	publish(NULL, changes);
}
