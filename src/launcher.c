/*-------------------------------------------------------------------------
 *
 * launcher.c
 *		The cluster's loop: which database needs a visit, and when.
 *
 * One process, registered at preload, that starts when recovery has finished:
 * not on a standby, and at once after promotion.  It is connected to no
 * database and holds no snapshot; it opens a transaction only to scan
 * pg_database.
 *
 * What it knows of the databases is a table of its own, databases.c.  That is
 * lost with the process.  The slots are not: a worker that an earlier launcher
 * started is waited for as one of our own.
 *
 * On an unexpected error the process exits, and is started again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "databases.h"
#include "launcher.h"
#include "settings.h"
#include "slots.h"
#include "worker.h"

/* All in ms, but the first in seconds. */
#define RESTART_SECONDS			5
#define MAX_WAIT_MS				60000
#define MIN_WAIT_MS				5
#define FIRST_SLOT_BACKOFF_MS	10	/* after finding the server short of slots,
									 * doubling; a worker just gone leaves its
									 * own a moment later, so this is short */
#define LAST_SLOT_BACKOFF_MS	60000
#define SLOT_WARNING_MS			1000	/* when that is worth a warning */
#define ORPHAN_MS				10000	/* how long a worker that an earlier
										 * launcher asked for may take to come */
#define IN_THE_WAY_MS			1000	/* how often running workers are looked
										 * after */
#define CLOCK_STEP_MS			1000	/* the clock going back by so much voids
										 * what was planned by it */

/* A worker that this launcher has asked for, per slot. */
typedef struct LaunchedWorker
{
	SlotClaim	claim;
	BackgroundWorkerHandle *handle; /* NULL: none, or an earlier launcher's */
} LaunchedWorker;

static SlotReport *slots;		/* as of the latest cac_collect() */
static LaunchedWorker *launched;

static TimestampTz last_cycle_at = DT_NOBEGIN;

/* The server was short of slots for background workers: */
static TimestampTz start_again_at = DT_NOBEGIN; /* not before this */
static int	slot_backoff_ms = 0;	/* 0: it was not */
static bool slot_warning_given = false;

/* The database whose failed visit the launcher shows as its error, if any. */
static Oid	error_dboid = InvalidOid;

/*
 * Has the launcher started with the server.  Called while libraries are
 * preloaded.  Not in the servers that pg_upgrade runs: whatever connects or
 * writes by itself there spoils the upgrade.
 */
void
cac_register_launcher(void)
{
	BackgroundWorker worker;

	if (IsBinaryUpgrade)
		return;

	memset(&worker, 0, sizeof(worker));
	snprintf(worker.bgw_name, BGW_MAXLEN, "campaign_autoclose launcher");
	snprintf(worker.bgw_type, BGW_MAXLEN, "campaign_autoclose launcher");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_SECONDS;
	snprintf(worker.bgw_library_name, BGW_MAXLEN, "campaign_autoclose");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "cac_launcher_main");
	RegisterBackgroundWorker(&worker);
}

/*
 * Shows an error in the view, until the next; an empty one shows none.  With a
 * database, it stands for a failed visit of that.
 */
static void
show_error(Oid dboid, const char *message)
{
	cac_launcher_error(message);
	error_dboid = dboid;
}

/* ----------------------------------------------------------------
 * What the workers left, and the news
 * ----------------------------------------------------------------
 */

/*
 * A worker has left its slot.
 */
static void
visit_ended(const SlotReport *visit, TimestampTz now)
{
	DatabaseEntry *entry = cac_database_find(visit->dboid);
	char		message[CAC_MESSAGE_LEN];

	if (entry == NULL)
		return;
	cac_database_visit_ended(entry, visit, now);
	if (visit->failed)
	{
		snprintf(message, sizeof(message), "database \"%s\": %s",
				 NameStr(entry->datname), visit->last_error);
		show_error(entry->dboid, message);
	}
	else if (entry->dboid == error_dboid)
		show_error(InvalidOid, "");
}

/*
 * Workers whose process has ended without a word, or never began.
 */
static void
look_for_lost_workers(void)
{
	int			i;
	pid_t		pid;

	for (i = 0; i < cac_max_workers; i++)
	{
		if (launched[i].handle != NULL &&
			GetBackgroundWorkerPid(launched[i].handle, &pid) == BGWH_STOPPED)
		{
			cac_slot_lost(&launched[i].claim, "worker could not be started, see the server log");
			pfree(launched[i].handle);
			launched[i].handle = NULL;
		}
	}
}

/*
 * Takes in whatever has happened since the last cycle.
 */
static void
collect(TimestampTz now)
{
	NewsReport	news;
	int			i;

	look_for_lost_workers();
	cac_collect(slots, &news);
	cac_databases_see_workers();

	for (i = 0; i < cac_max_workers; i++)
	{
		if (slots[i].state == SLOT_EXITED)
		{
			if (launched[i].handle != NULL)
				pfree(launched[i].handle);
			launched[i].handle = NULL;
			visit_ended(&slots[i], now);
			/* where the server was short of them there is one now */
			start_again_at = Min(start_again_at,
								 TimestampTzPlusMilliseconds(now, FIRST_SLOT_BACKOFF_MS));
		}
		else if (slots[i].state == SLOT_LINGERING && slots[i].dboid == error_dboid)
			show_error(InvalidOid, ""); /* its first cycle went well */
		else if (slots[i].state == SLOT_STARTING && launched[i].handle == NULL &&
				 TimestampDifferenceExceeds(slots[i].started_at, now, ORPHAN_MS))
			cac_slot_lost(&slots[i].claim, "worker asked for by an earlier launcher did not come");
	}

	cac_databases_see_news(&news, now);
	cac_databases_see_hints();
}

/* ----------------------------------------------------------------
 * Starting workers
 * ----------------------------------------------------------------
 */

/*
 * The server has no slot for another background worker: try again later, and
 * say so once if that lasts.
 */
static void
short_of_slots(TimestampTz now)
{
	slot_backoff_ms = slot_backoff_ms == 0 ? FIRST_SLOT_BACKOFF_MS :
		Min(2 * slot_backoff_ms, LAST_SLOT_BACKOFF_MS);
	start_again_at = TimestampTzPlusMilliseconds(now, slot_backoff_ms);

	if (slot_backoff_ms >= SLOT_WARNING_MS && !slot_warning_given)
	{
		slot_warning_given = true;
		show_error(InvalidOid, "out of background worker slots, increase max_worker_processes");
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("out of background worker slots"),
				 errdetail("campaign_autoclose cannot start a worker, and will try again."),
				 errhint("Increase max_worker_processes.")));
	}
}

/*
 * Starts a worker in a database.  False if that is not possible now.
 */
static bool
start_worker(DatabaseEntry *entry, TimestampTz now)
{
	SlotClaim	claim;
	MemoryContext oldcontext;
	bool		registered;

	if (!cac_slot_claim(entry->dboid, &claim))
		return false;

	oldcontext = MemoryContextSwitchTo(TopMemoryContext);
	registered = cac_register_worker(entry->dboid, &claim, &launched[claim.index].handle);
	MemoryContextSwitchTo(oldcontext);

	if (!registered)
	{
		launched[claim.index].handle = NULL;
		cac_slot_unclaim(&claim);
		short_of_slots(now);
		return false;
	}

	launched[claim.index].claim = claim;
	cac_database_worker_sent(entry);
	if (slot_warning_given)
		show_error(InvalidOid, "");
	slot_backoff_ms = 0;
	slot_warning_given = false;
	return true;
}

/*
 * Reads the list of databases anew.
 */
static void
scan_databases(TimestampTz now)
{
	cac_databases_scan(now);
	if (OidIsValid(error_dboid) && cac_database_find(error_dboid) == NULL)
		show_error(InvalidOid, "");
}

/*
 * Starts a worker in a database that is due, unless somebody wants that for
 * himself: then it is put off.  False if that is not possible now.
 */
static bool
send_worker(DatabaseEntry *entry, TimestampTz now)
{
	/* it would only wait for the lock, and then perhaps find it dropped */
	if (cac_database_wanted(entry->dboid))
	{
		entry->not_before = TimestampTzPlusMilliseconds(now, WANTED_PUT_OFF_MS);
		cac_databases_outdated();
		return true;
	}
	return start_worker(entry, now);
}

/*
 * Starts workers where they are due, as far as there are slots: first in
 * databases that have none, then where there is work for one more.  Returns when
 * to come back, if nothing happens before.
 */
static TimestampTz
start_due_workers(TimestampTz now)
{
	DatabaseEntry *entry;
	DatabaseEntry *company = NULL;
	TimestampTz earliest;
	TimestampTz company_at = DT_NOEND;
	int			ndue;

	entry = cac_databases_longest_overdue(now, &earliest, &ndue);
	if (cac_databases_scan_due(now, entry != NULL))
	{
		scan_databases(now);
		entry = cac_databases_longest_overdue(now, &earliest, &ndue);
	}
	while (entry != NULL && now >= start_again_at && send_worker(entry, now))
		entry = cac_databases_longest_overdue(now, &earliest, &ndue);

	if (entry == NULL)
	{
		company = cac_databases_wanting_company(now, &company_at);
		while (company != NULL && now >= start_again_at && send_worker(company, now))
			company = cac_databases_wanting_company(now, &company_at);
	}

	/* slots that come free wake us; only a server short of them does not */
	if ((entry != NULL || company != NULL) && start_again_at > now)
		earliest = Min(earliest, start_again_at);
	earliest = Min(earliest, company_at);
	earliest = Min(earliest, TimestampTzPlusMilliseconds(now, MAX_WAIT_MS));
	cac_launcher_publish(earliest, true, ndue, company ? company->dboid : InvalidOid);
	return earliest;
}

/* ----------------------------------------------------------------
 * Workers in the way
 * ----------------------------------------------------------------
 */

/*
 * A worker looks by itself whether somebody wants its database for himself, but
 * cannot in the middle of a statement.  One that has been at work for a while is
 * looked after from here, and interrupted if it is in the way.  Returns when to
 * look again; DT_NOEND: nobody is at work, or about to be.
 */
static TimestampTz
interrupt_workers_in_the_way(TimestampTz now)
{
	TimestampTz look_again = DT_NOEND;

	for (int i = 0; i < cac_max_workers; i++)
	{
		/* one that is being started does not tell us when it has got to work */
		if (slots[i].pid == 0 && launched[i].handle == NULL)
			continue;
		look_again = TimestampTzPlusMilliseconds(now, IN_THE_WAY_MS);
		if (slots[i].pid != 0 &&
			TimestampDifferenceExceeds(slots[i].started_at, now, IN_THE_WAY_MS) &&
			cac_database_wanted(slots[i].dboid))
			kill(slots[i].pid, SIGINT);
	}
	return look_again;
}

/* ----------------------------------------------------------------
 * The loop
 * ----------------------------------------------------------------
 */

/*
 * Exit code 1 has the postmaster start us again, unless it is what is being
 * shut down; so even pg_terminate_backend() does not leave the server without.
 */
static void
handle_interrupts(void)
{
	if (ProcDiePending)
		proc_exit(1);

	CHECK_FOR_INTERRUPTS();

	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		cac_databases_outdated();	/* others may be listed */
	}
}

/*
 * One cycle.  Returns when to come back, if nothing happens before.
 */
static TimestampTz
run_cycle(TimestampTz now)
{
	TimestampTz next_wake;

	if (last_cycle_at != DT_NOBEGIN && last_cycle_at > now &&
		TimestampDifferenceExceeds(now, last_cycle_at, CLOCK_STEP_MS))
	{
		cac_databases_clock_stepped(now);
		start_again_at = DT_NOBEGIN;
	}
	last_cycle_at = now;

	collect(now);
	if (cac_enabled)
	{
		next_wake = start_due_workers(now);
		return Min(next_wake, interrupt_workers_in_the_way(now));
	}

	next_wake = TimestampTzPlusMilliseconds(now, MAX_WAIT_MS);
	cac_launcher_publish(next_wake, false, 0, InvalidOid);
	return next_wake;
}

static void
allocate_slots(void)
{
	slots = MemoryContextAllocZero(TopMemoryContext, cac_max_workers * sizeof(SlotReport));
	launched = MemoryContextAllocZero(TopMemoryContext, cac_max_workers * sizeof(LaunchedWorker));
}

/*
 * Entry point of the process.
 */
void
cac_launcher_main(Datum main_arg)
{
	static uint32 wait_event = 0;
	MemoryContext context;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, SIG_IGN);	/* there is no query to cancel */
	BackgroundWorkerUnblockSignals();

	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	cac_launcher_attach();
	allocate_slots();
	cac_databases_allocate(slots);
	context = AllocSetContextCreate(TopMemoryContext, "campaign_autoclose launcher cycle",
									ALLOCSET_DEFAULT_SIZES);
	ereport(LOG, (errmsg("campaign_autoclose launcher started")));

	for (;;)
	{
		TimestampTz now;
		TimestampTz next_wake;

		handle_interrupts();
		now = GetCurrentTimestamp();
		MemoryContextSwitchTo(context);
		next_wake = run_cycle(now);
		MemoryContextSwitchTo(TopMemoryContext);
		MemoryContextReset(context);

		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Max(MIN_WAIT_MS, Min(MAX_WAIT_MS, TimestampDifferenceMilliseconds(now, next_wake))),
						 CAC_WAIT_EVENT(wait_event, "CampaignLauncherMain"));
		ResetLatch(MyLatch);
	}
}
