/*-------------------------------------------------------------------------
 *
 * slots.h
 *		Shared memory: the launcher, the worker slots, the news.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CAC_SLOTS_H
#define CAC_SLOTS_H

#include "datatype/timestamp.h"

/* Room for a message in shared memory, bytes. */
#define CAC_MESSAGE_LEN		256

/* Databases whose news are told apart; beyond, all are looked at. */
#define CAC_MAX_NEWS		64

/* The life of a worker slot; slots.c says who moves it on. */
typedef enum SlotState
{
	SLOT_FREE,
	SLOT_STARTING,
	SLOT_RUNNING,
	SLOT_LINGERING,
	SLOT_EXITED
} SlotState;

/* Names one use of one slot.  A slot reused has another generation. */
typedef struct SlotClaim
{
	int			index;
	uint32		generation;
} SlotClaim;

/* What the launcher learns of a slot. */
typedef struct SlotReport
{
	SlotState	state;
	SlotClaim	claim;
	Oid			dboid;
	TimestampTz started_at;
	TimestampTz next_due;		/* of what nobody in its database works on */
	Oid			campaigns;		/* the source that it is at; InvalidOid: none */
	bool		ready;			/* it will take what is due, or tell of it */
	pid_t		pid;			/* 0 unless it is at work */
	TimestampTz not_before;		/* the rest: only where state is SLOT_EXITED;
								 * this: not even for a hint */
	bool		failed;
	char		last_error[CAC_MESSAGE_LEN];
} SlotReport;

/* What the launcher learns of the databases that have news. */
typedef struct NewsReport
{
	bool		everywhere;		/* too many to tell: look at every one */
	int			count;
	Oid			dboids[CAC_MAX_NEWS];
} NewsReport;

/* What is told of the launcher. */
typedef struct LauncherReport
{
	pid_t		pid;			/* 0: there is none */
	TimestampTz started_at;
	TimestampTz next_wake;
	char		last_error[CAC_MESSAGE_LEN];
} LauncherReport;

/* What is told of a worker. */
typedef struct WorkerReport
{
	SlotState	state;			/* not SLOT_FREE */
	Oid			dboid;
	pid_t		pid;			/* 0: it has not come yet, or is gone */
	TimestampTz started_at;
	NameData	source;			/* that it is at; empty: none */
	NameData	sweep;			/* likewise */
	int64		campaigns_total;
	int64		campaigns_done;
	TimestampTz next_due;		/* of its database; DT_NOBEGIN: unknown */
	char		last_error[CAC_MESSAGE_LEN];
} WorkerReport;

/* set-up */
extern void cac_reserve_shared_memory(void);
extern bool cac_shared_memory_ready(void);
extern int	cac_sources_taken(Oid dboid, Oid *campaigns);

/* any backend */
extern void cac_announce_news(void);
extern void cac_steer(Oid dboid, Oid campaigns, TimestampTz due);
extern WorkerReport *cac_report_slots(LauncherReport *launcher, int *nworkers);

/* any code that may be run by a worker */
extern void cac_progress_begin(const char *sweep, int64 total);
extern void cac_progress_done(int64 done);
extern void cac_progress_end(void);
extern void cac_progress_error(const char *message);

/* launcher */
extern void cac_launcher_attach(void);
extern void cac_launcher_publish(TimestampTz next_wake, bool heeds_hints,
								 int databases_waiting, Oid company_wanted);
extern void cac_launcher_error(const char *message);
extern bool cac_slot_claim(Oid dboid, SlotClaim *claim);
extern void cac_slot_unclaim(const SlotClaim *claim);
extern void cac_slot_lost(const SlotClaim *claim, const char *message);
extern void cac_collect(SlotReport *slots, NewsReport *news);

/* worker */
extern bool cac_slot_attach(const SlotClaim *claim, Oid *dboid);
extern bool cac_slot_begin_cycle(uint32 *changes);
extern void cac_slot_linger(TimestampTz until_due);
extern bool cac_slot_take_source(Oid campaigns, const char *name);
extern void cac_slot_leave_source(void);
extern void cac_slot_publish(TimestampTz next_due, TimestampTz hint_due, uint32 changes);
extern void cac_slot_publish_at_once(void);
extern TimestampTz cac_slot_next_due(void);
extern bool cac_slot_is_company(void);
extern void cac_slot_finish(TimestampTz not_before);
extern bool cac_databases_waiting(void);
extern bool cac_room_wanted(void);

#endif							/* CAC_SLOTS_H */
