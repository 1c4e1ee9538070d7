/*-------------------------------------------------------------------------
 *
 * databases.c
 *		The databases, as the launcher knows them: which there are, and when
 *		each is due.
 *
 *	- one never seen is due at once: a visit tells whether it has the extension;
 *	- a visit that ends well says when the next is due (DT_NOEND: when there
 *	  are news), one that fails is repeated after 1 s, doubling to 60 s;
 *	- news make a database due at once;
 *	- a hint makes it due when it falls due itself.  Hints are read anew in
 *	  each cycle, and whoever puts one that is due before the cycle's next has
 *	  the launcher woken, see cac_steer().
 *
 * A database that has workers is due for one more when something is that none of
 * them works on: a source, as they say in their slots, or a hint of one; or what
 * a worker has left that failed.  Unless one of them is about to look for it.
 *
 * The table is the launcher's own, and lost with it: every database is then
 * seen for the first time.
 *
 * A visit is never counted as due earlier than the moment at which it was
 * asked for, so the longest overdue is the one that has waited longest, and
 * taking that first leaves none behind.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "databases.h"
#include "hints.h"
#include "settings.h"

/* All in ms. */
#define LIST_MS					60000	/* how old the list may ever be */
#define FRESH_LIST_MS			1000	/* and how old to start a worker by it */
#define FIRST_BACKOFF_MS		1000	/* after a failed visit, doubling */
#define LAST_BACKOFF_MS			60000
#define COMPANY_AFTER_MS		100 /* what is due may wait for a worker that is
									 * there, before another comes */

static HTAB *databases;
static const SlotReport *slots; /* the launcher's */

static TimestampTz last_scan_at = 0;	/* 0: the list must be read again */
static uint32 scan_number = 0;

/* Is there a hint of a database that is not in the table? */
static bool stray_hints = false;

/*
 * Makes the table, empty, and has it look at that array (of cac_max_workers) of
 * what the launcher knows of the slots.
 */
void
cac_databases_allocate(const SlotReport *slot_reports)
{
	HASHCTL		control;

	slots = slot_reports;
	memset(&control, 0, sizeof(control));
	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(DatabaseEntry);
	control.hcxt = TopMemoryContext;
	databases = hash_create("campaign_autoclose databases", 64, &control,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * NULL where workers are not to go to that database, or it is not known yet.
 */
DatabaseEntry *
cac_database_find(Oid dboid)
{
	return hash_search(databases, &dboid, HASH_FIND, NULL);
}

/* ----------------------------------------------------------------
 * Which there are
 * ----------------------------------------------------------------
 */

static bool
is_live(const SlotReport *slot)
{
	return slot->state != SLOT_FREE && slot->state != SLOT_EXITED;
}

static bool
is_served(Oid dboid)
{
	for (int i = 0; i < cac_max_workers; i++)
	{
		if (is_live(&slots[i]) && slots[i].dboid == dboid)
			return true;
	}
	return false;
}

/*
 * Notes a database that may be visited.  One never seen is due now.
 */
static void
see_database(Form_pg_database form, TimestampTz now)
{
	DatabaseEntry *entry;
	bool		found;

	entry = hash_search(databases, &form->oid, HASH_ENTER, &found);
	if (!found)
	{
		/* unless there is a worker already, which knows */
		entry->due = is_served(form->oid) ? DT_NOEND : now;
		entry->hint_due = DT_NOEND;
		entry->not_before = DT_NOBEGIN;
		entry->failures = 0;
	}
	entry->datname = form->datname;
	entry->scan = scan_number;
}

static bool
is_of_no_database(const HintKey *key, void *arg)
{
	return cac_database_find(key->dboid) == NULL;
}

/*
 * Makes the table agree with pg_database and the settings.
 */
void
cac_databases_scan(TimestampTz now)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	HASH_SEQ_STATUS status;
	DatabaseEntry *entry;

	scan_number++;
	last_scan_at = now;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();

	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (form->datallowconn && !form->datistemplate &&
			form->datconnlimit != DATCONNLIMIT_INVALID_DB &&
			cac_database_listed(NameStr(form->datname)))
			see_database(form, now);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);

	CommitTransactionCommand();

	hash_seq_init(&status, databases);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->scan == scan_number)
			continue;
		hash_search(databases, &entry->dboid, HASH_REMOVE, NULL);
		stray_hints = true;
	}

	/* of a database that is gone, or that no worker is to serve */
	if (stray_hints)
		cac_hints_drop(is_of_no_database, NULL);
	stray_hints = false;

	cac_databases_see_workers();
}

/*
 * Has the list of databases become too old?  It is read more often while
 * workers are started by it.
 */
bool
cac_databases_scan_due(TimestampTz now, bool starting)
{
	if (now < last_scan_at)
		return true;
	return TimestampDifferenceExceeds(last_scan_at, now,
									  starting ? FRESH_LIST_MS : LIST_MS);
}

/*
 * Something has changed: the list is too old.
 */
void
cac_databases_outdated(void)
{
	last_scan_at = 0;
}

/* ----------------------------------------------------------------
 * When they are due
 * ----------------------------------------------------------------
 */

/*
 * Which databases have workers, or some on their way, and what these say.
 */
void
cac_databases_see_workers(void)
{
	HASH_SEQ_STATUS status;
	DatabaseEntry *entry;

	hash_seq_init(&status, databases);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		entry->workers = 0;
		entry->ready = false;
		entry->left_due = DT_NOEND;
	}

	for (int i = 0; i < cac_max_workers; i++)
	{
		entry = is_live(&slots[i]) ? cac_database_find(slots[i].dboid) : NULL;
		if (entry == NULL)
			continue;
		entry->workers++;
		entry->ready |= slots[i].ready;
		entry->left_due = Min(entry->left_due, slots[i].next_due);
	}
}

/*
 * Is a worker at that source?
 */
static bool
is_taken(Oid dboid, Oid campaigns)
{
	for (int i = 0; i < cac_max_workers; i++)
	{
		if (is_live(&slots[i]) && slots[i].dboid == dboid &&
			slots[i].campaigns == campaigns)
			return true;
	}
	return false;
}

static void
see_hint(Oid dboid, Oid campaigns, TimestampTz due)
{
	DatabaseEntry *entry = cac_database_find(dboid);

	if (entry == NULL)
		stray_hints = true;
	else if (due < entry->hint_due &&
			 !(entry->workers > 0 && is_taken(dboid, campaigns)))
		entry->hint_due = due;
}

/*
 * When which database's hints fall due.  A database not in the table is new,
 * and has news, or is not for us.
 */
void
cac_databases_see_hints(void)
{
	HASH_SEQ_STATUS status;
	DatabaseEntry *entry;

	hash_seq_init(&status, databases);
	while ((entry = hash_seq_search(&status)) != NULL)
		entry->hint_due = DT_NOEND;
	cac_hints_survey(see_hint);
}

static void
visit_soon(DatabaseEntry *entry, TimestampTz now)
{
	entry->due = Min(entry->due, now);
	entry->not_before = Min(entry->not_before, now);
}

/*
 * A database not in the table may be new; the scan will see it.
 */
void
cac_databases_see_news(const NewsReport *news, TimestampTz now)
{
	HASH_SEQ_STATUS status;
	DatabaseEntry *entry;
	int			i;

	for (i = 0; i < news->count; i++)
	{
		entry = cac_database_find(news->dboids[i]);
		if (entry != NULL)
			visit_soon(entry, now);
		else
			cac_databases_outdated();
	}

	if (news->everywhere)
	{
		hash_seq_init(&status, databases);
		while ((entry = hash_seq_search(&status)) != NULL)
			visit_soon(entry, now);
		cac_databases_outdated();
	}
}

/*
 * The clock has stepped back: moments that were planned by it, by us or by the
 * workers, may now be hours away.  A visit finds out.  So may the hints.
 */
void
cac_databases_clock_stepped(TimestampTz now)
{
	HASH_SEQ_STATUS status;
	DatabaseEntry *entry;

	hash_seq_init(&status, databases);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->due > now && entry->due != DT_NOEND)
			entry->due = now;
		entry->not_before = DT_NOBEGIN;
	}
	cac_hints_clock_stepped(now);
	cac_databases_outdated();
}

/*
 * A worker is on its way there, which will find out what is due.
 */
void
cac_database_worker_sent(DatabaseEntry *entry)
{
	entry->workers++;
	entry->ready = true;
	entry->due = DT_NOEND;
}

/*
 * A worker has left its slot: plan the next visit.  Where there are others, what
 * it had to say is in their slots too.
 */
void
cac_database_visit_ended(DatabaseEntry *entry, const SlotReport *visit, TimestampTz now)
{
	TimestampTz due;
	int			backoff_ms;

	if (visit->failed)
	{
		backoff_ms = FIRST_BACKOFF_MS << Min(entry->failures, 10);
		due = TimestampTzPlusMilliseconds(now, Min(backoff_ms, LAST_BACKOFF_MS));
		entry->due = Min(entry->due, due);
		entry->not_before = due;
		entry->failures++;
		cac_databases_outdated();	/* it may be gone */
		return;
	}

	if (entry->workers > 0)
	{
		/* it says nothing of those beside it, one of which may have failed */
		entry->not_before = Max(entry->not_before, visit->not_before);
		return;
	}
	due = Max(visit->next_due, now);
	entry->due = Min(entry->due, due);
	entry->not_before = Max(visit->not_before, now);
	entry->failures = 0;
}

static TimestampTz
visit_due(const DatabaseEntry *entry)
{
	return Max(Min(entry->due, entry->hint_due), entry->not_before);
}

/*
 * The database that has been due for longest and has no worker, NULL if none.
 * *earliest is set to when the next one will be due, DT_NOEND if none will, and
 * *ndue to how many are.
 */
DatabaseEntry *
cac_databases_longest_overdue(TimestampTz now, TimestampTz *earliest, int *ndue)
{
	HASH_SEQ_STATUS status;
	DatabaseEntry *entry;
	DatabaseEntry *longest = NULL;
	TimestampTz due;

	*earliest = DT_NOEND;
	*ndue = 0;
	hash_seq_init(&status, databases);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->workers > 0)
			continue;
		due = visit_due(entry);
		if (due > now)
			*earliest = Min(*earliest, due);
		else
		{
			(*ndue)++;
			if (longest == NULL || due < visit_due(longest))
				longest = entry;
		}
	}
	return longest;
}

/*
 * The database that has been due for longest for one more worker than it has,
 * NULL if none.  *earliest is set to when the next one will be, DT_NOEND if none
 * will.
 */
DatabaseEntry *
cac_databases_wanting_company(TimestampTz now, TimestampTz *earliest)
{
	HASH_SEQ_STATUS status;
	DatabaseEntry *entry;
	DatabaseEntry *longest = NULL;
	TimestampTz longest_due = DT_NOEND;

	*earliest = DT_NOEND;
	hash_seq_init(&status, databases);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		TimestampTz due = Min(entry->left_due, visit_due(entry));

		if (entry->workers == 0 || entry->ready || due == DT_NOEND)
			continue;
		if (due != DT_NOBEGIN)
			due = TimestampTzPlusMilliseconds(due, COMPANY_AFTER_MS);
		due = Max(due, entry->not_before);
		if (due > now)
			*earliest = Min(*earliest, due);
		else if (longest == NULL || due < longest_due)
		{
			longest = entry;
			longest_due = due;
		}
	}
	return longest;
}
