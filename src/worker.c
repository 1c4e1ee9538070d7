/*-------------------------------------------------------------------------
 *
 * worker.c
 *		One database's loop: a visit by a background worker.
 *
 * The launcher claims a slot and asks the postmaster for a worker.  It attaches
 * to the slot, connects to the slot's database, and runs what is due there, in
 * cycles.  After each it lingers for a moment, since where something has just
 * happened something more is likely to, and a new visit costs milliseconds.
 * A hint that falls due meanwhile is served when it does.
 * Where the application is busy, the next hint is never far off, and it stays,
 * for a minute.  Then, or before, it leaves word when it will next be needed, and
 * exits: an idle database has no connection of ours.
 *
 * A worker is in nobody's way.  Between campaigns, and ten times a second while
 * it lingers, it looks whether it may go on, see go_on().
 *
 * An error that the sweeps did not deal with ends the process; the slot tells
 * the launcher, which comes back later and later.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "hints.h"
#include "schedule.h"
#include "settings.h"
#include "source.h"
#include "turns.h"
#include "worker.h"

#define EXTENSION_NAME		"campaign_autoclose"

/* How long a worker with nothing to do stays (ms). */
#define LINGER_MS			1500

/* How soon a hint must fall due to be stayed for (ms): those of a change that was
 * made just now do.  And until when in a visit (ms): now and then each is to end, as
 * much is told, and put right, when it does. */
#define STAY_MS				10000
#define STAY_UNTIL_MS		60000
StaticAssertDecl(STAY_MS * INT64CONST(1000) >= HINT_CHANGED_DELAY + HINT_CHANGED_TOGETHER,
				 "a worker must stay for what has just changed");

/* How often it looks meanwhile whether it may (ms). */
#define LOOK_MS				100

/* The least time from one cycle to the next (ms): no worker ever spins. */
#define PAUSE_MS			20

/*
 * How long a worker may keep its slot while other databases wait (ms); and the
 * source that it is at, while others wait that nobody is at.  A worker that has
 * come to a database where there was one already leaves after the shorter time.
 * A sweep that makes way goes on where it was; but first its campaigns are listed
 * again, which must not be what most of the time goes to.
 */
#define TURN_MS				10000
#define SOURCE_TURN_MS		1000

/* How often it looks then whether they do (ms). */
#define SOURCE_LOOK_MS		100

/* Why the worker may not go on. */
typedef enum StopReason
{
	STOP_NOT,
	STOP_SHUTDOWN,				/* the process is to end */
	STOP_DISABLED,				/* the settings do not want a worker here */
	STOP_WANTED,				/* someone wants the database for himself */
	STOP_TURN_OVER,				/* other databases have waited long enough */
	STOP_SOURCE_TURN_OVER		/* other sources have, only this one is to stop */
} StopReason;

static StopReason stop_reason = STOP_NOT;

/* Is there anything to cancel? */
static bool in_cycle = false;

static TimestampTz visit_started_at;
static TimestampTz turn_started_at;
static TimestampTz source_turn_started_at;
static TimestampTz source_looked_at;	/* whether other sources wait */

/* Nobody can rename a database while we are in it. */
static char *my_datname = NULL;

static bool go_on(void);

/*
 * Asks the postmaster for a worker that takes up this claim.  False if the
 * server has no background worker slot to spare.  The caller is woken by
 * SIGUSR1 when the worker starts or stops.  The handle is allocated in the
 * current memory context.
 */
bool
cac_register_worker(Oid dboid, const SlotClaim *claim, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	snprintf(worker.bgw_name, BGW_MAXLEN, "campaign_autoclose worker for database %u", dboid);
	snprintf(worker.bgw_type, BGW_MAXLEN, "campaign_autoclose worker");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(worker.bgw_library_name, BGW_MAXLEN, "campaign_autoclose");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "cac_worker_main");
	StaticAssertStmt(sizeof(SlotClaim) <= BGW_EXTRALEN, "a claim must fit in bgw_extra");
	memcpy(worker.bgw_extra, claim, sizeof(SlotClaim));
	worker.bgw_notify_pid = MyProcPid;

	return RegisterDynamicBackgroundWorker(&worker, handle);
}

/*
 * Does somebody wait for, or have, the database for himself (DROP, RENAME,
 * CREATE DATABASE ... TEMPLATE)?  Each of these locks its pg_database entry,
 * then waits a few seconds for the others to leave.
 *
 * The lock is the one that a session takes to connect.  It is given back at
 * once; and it is a session's lock, so as to need no transaction.
 */
bool
cac_database_wanted(Oid dboid)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, dboid, 0);
	if (LockAcquire(&tag, RowExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(&tag, RowExclusiveLock, true);
	return false;
}

/*
 * Another source's turn begins.
 */
static void
begin_turn(void)
{
	source_turn_started_at = source_looked_at = GetCurrentTimestamp();
	if (stop_reason == STOP_SOURCE_TURN_OVER)
		stop_reason = STOP_NOT;
}

/*
 * A sweep knows its candidates.  However long it took to find them, half of the
 * turn is left for them: it would find them again and again.
 */
static void
leave_half_a_turn(void)
{
	TimestampTz least = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), -SOURCE_TURN_MS / 2);

	source_turn_started_at = Max(source_turn_started_at, least);
}

/*
 * Has that been so long ago, or in the future, the clock having stepped back?
 */
static bool
is_past(TimestampTz moment, int ms, TimestampTz now)
{
	return moment > now || TimestampDifferenceExceeds(moment, now, ms);
}

/*
 * Is the turn over of the source in hand, since others wait?
 */
static bool
source_turn_over(TimestampTz now)
{
	if (!is_past(source_turn_started_at, SOURCE_TURN_MS, now) ||
		!is_past(source_looked_at, SOURCE_LOOK_MS, now))
		return false;
	source_looked_at = now;
	return cac_slot_next_due() <= now || cac_hints_next_left(MyDatabaseId) <= now;
}

/*
 * Is the turn over of this worker, since other databases wait?
 */
static bool
turn_over(TimestampTz now)
{
	return cac_databases_waiting() &&
		(is_past(turn_started_at, TURN_MS, now) ||
		 (is_past(turn_started_at, SOURCE_TURN_MS, now) && cac_slot_is_company()));
}

/*
 * May the worker go on?  Asked by the sweeps between campaigns and batches,
 * and by the worker while it lingers; in a transaction or out of one.  Once it
 * has said no, it says no until the next cycle, or the next source's turn if
 * that is why.
 */
static bool
go_on(void)
{
	TimestampTz now;

	/* not CHECK_FOR_INTERRUPTS() yet: what was done may still be committed */
	if (ProcDiePending || ShutdownRequestPending)
		stop_reason = STOP_SHUTDOWN;
	if (stop_reason != STOP_NOT)
		return false;

	if (!in_cycle)
		QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();

	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}

	if (!cac_enabled || (my_datname && !cac_database_listed(my_datname)))
		stop_reason = STOP_DISABLED;
	else if (cac_database_wanted(MyDatabaseId))
		stop_reason = STOP_WANTED;
	else
	{
		now = GetCurrentTimestamp();
		if (turn_over(now))
			stop_reason = STOP_TURN_OVER;
		else if (source_turn_over(now))
			stop_reason = STOP_SOURCE_TURN_OVER;
	}
	return stop_reason == STOP_NOT;
}

/*
 * Our own settings, above those of the server, the database and the superuser:
 * set before connecting, so that what ALTER DATABASE SET left there has no
 * effect even for a moment.  synchronous_commit stays the administrator's.
 */
static void
force_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"statement_timeout", "0"},
		{"lock_timeout", "1s"},
		/* in a deadlock with a DDL command it is for us to yield */
		{"deadlock_timeout", "10ms"},
		{"idle_in_transaction_session_timeout", "0"},
#if CAC_HAS_TRANSACTION_TIMEOUT
		{"transaction_timeout", "0"},
#endif
	};
	int			i;

	for (i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("application_name", MyBgworkerEntry->bgw_name, PGC_USERSET, PGC_S_OVERRIDE);
}

static bool
has_no_source(const HintKey *key, void *arg)
{
	return key->dboid == MyDatabaseId &&
		!list_member_oid((List *) arg, key->campaigns);
}

/*
 * Drops the hints of sources that were paused or detached, or have become
 * unusable: nobody would take them.  SPI is connected.
 */
static void
drop_stray_hints(void)
{
	List	   *campaigns = NIL;
	ListCell   *lc;

	foreach(lc, cac_source_list(false))
	{
		Source	   *source = cac_source_find(lfirst(lc));

		if (source != NULL && cac_source_heeds_hints(source))
			campaigns = lappend_oid(campaigns, source->relid[TABLE_CAMPAIGNS]);
	}
	cac_hints_drop(has_no_source, campaigns);
}

/*
 * Runs whatever is due.  *installed says whether the database has the extension
 * at all.
 */
static void
run_cycle(bool *installed)
{
	static const SweepHost host = {.go_on = go_on, .begin_turn = begin_turn,
	.listed = leave_half_a_turn, .outermost = true};
	uint32		changes;
	bool		news = cac_slot_begin_cycle(&changes);
	TimestampTz began_at = GetCurrentTimestamp();

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (my_datname == NULL)
		my_datname = MemoryContextStrdup(TopMemoryContext, get_database_name(MyDatabaseId));
	*installed = OidIsValid(get_extension_oid(EXTENSION_NAME, true));
	if (*installed)
	{
		pgstat_report_activity(STATE_RUNNING, "CALL campaign_run_sweeps()");
		if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect_ext failed");
		cac_take_turns(&host, news, changes);
		/* one that has been due since before, and that nobody took */
		if (cac_hints_next(MyDatabaseId) <= began_at)
			drop_stray_hints();
		SPI_finish();
	}
	else
	{
		cac_hints_drop(has_no_source, NIL);
		cac_slot_publish(DT_NOEND, DT_NOEND, changes);
	}
	CommitTransactionCommand();
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/*
 * One cycle in its own memory context.  An error goes to the slot, for the
 * launcher and the view, and on to end the process.
 */
static void
run_reported_cycle(MemoryContext context, bool *installed)
{
	stop_reason = STOP_NOT;
	in_cycle = true;
	MemoryContextSwitchTo(context);
	/* SPI's memory goes with it, even where an abort took the connection */
	PortalContext = context;

	PG_TRY();
	{
		run_cycle(installed);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_QUERY_CANCELED ||
			!cac_database_wanted(MyDatabaseId))
		{
			cac_progress_error(error->message);
			PG_RE_THROW();
		}
		/* interrupted by the launcher, as we were in somebody's way */
		FlushErrorState();
		AbortCurrentTransaction();
		stop_reason = STOP_WANTED;
		cac_slot_leave_source();
	}
	PG_END_TRY();

	in_cycle = false;
	PortalContext = NULL;
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(context);
	cac_progress_end();
	/* a trigger of the application's may have left some */
	LockReleaseAll(USER_LOCKMETHOD, true);
}

/*
 * Is there to be something to do so soon that a new process would cost more?  Its
 * caches would be empty.  One worker that stays is enough.
 */
static bool
worth_staying(TimestampTz hint_due, TimestampTz now)
{
	return hint_due <= TimestampTzPlusMilliseconds(now, STAY_MS) &&
		!is_past(visit_started_at, STAY_UNTIL_MS, now) && !cac_slot_is_company();
}

/*
 * Waits for the next thing to do.  True: run a cycle; false: leave.
 */
static bool
linger(void)
{
	static uint32 wait_event = 0;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz not_before = TimestampTzPlusMilliseconds(now, PAUSE_MS);
	TimestampTz until = TimestampTzPlusMilliseconds(now, LINGER_MS);
	TimestampTz due = DT_NOEND;

	begin_turn();
	cac_slot_linger(due);

	/* there is nothing to do, so leaving for others is not being cut short */
	while (!cac_room_wanted() && go_on())
	{
		TimestampTz next_due = cac_slot_next_due();
		TimestampTz hint_due = cac_hints_next_left(MyDatabaseId);
		TimestampTz wake;

		/* whoever has something that is due before this wakes us */
		if (due != Min(next_due, hint_due))
		{
			due = Min(next_due, hint_due);
			cac_slot_linger(due);
		}

		/* each deadline clamped, for the clock may step back */
		now = GetCurrentTimestamp();
		not_before = Min(not_before, TimestampTzPlusMilliseconds(now, PAUSE_MS));
		until = Min(until, TimestampTzPlusMilliseconds(now, LINGER_MS));

		if (now >= until && !worth_staying(hint_due, now))
			return false;
		if (now >= not_before && due <= now)
		{
			/* while it lingered nobody waited for its slot */
			turn_started_at = now;
			return true;
		}

		wake = Max(now < not_before ? not_before : due, now);
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(LOOK_MS, Max(1, TimestampDifferenceMilliseconds(now, wake))),
						 CAC_WAIT_EVENT(wait_event, "CampaignWorkerLinger"));
		ResetLatch(MyLatch);
		begin_turn();
	}
	return false;
}

/*
 * Serves the database until there is nothing more to stay for.  Returns when it
 * may have another visit.
 */
static TimestampTz
serve_database(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "campaign_autoclose cycle",
												  ALLOCSET_DEFAULT_SIZES);
	bool		installed = true;

	visit_started_at = turn_started_at = GetCurrentTimestamp();
	begin_turn();

	/* asked before the first cycle too: much may have changed by now */
	if (go_on())
	{
		do
			run_reported_cycle(context, &installed);
		while (stop_reason == STOP_NOT && installed && linger());
	}

	/* what was cut short is due still */
	if (stop_reason != STOP_NOT)
		cac_slot_publish_at_once();

	/*
	 * To be terminated is logged as it is for any session; but the launcher may
	 * just have found us in the way, when we are leaving already.
	 */
	pqsignal(SIGINT, SIG_IGN);
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();

	if (stop_reason == STOP_WANTED)
		return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), WANTED_PUT_OFF_MS);
	return DT_NOBEGIN;
}

/*
 * Entry point of the process.
 */
void
cac_worker_main(Datum main_arg)
{
	SlotClaim	claim;
	Oid			dboid = InvalidOid;

	memcpy(&claim, MyBgworkerEntry->bgw_extra, sizeof(SlotClaim));

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	/* Too late?  The launcher has given this worker up. */
	if (!cac_slot_attach(&claim, &dboid))
		proc_exit(0);

	force_settings();
	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);

	cac_slot_finish(serve_database());
	proc_exit(0);
}
