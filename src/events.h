/*
 * events.h
 *		What was done, and which sweeps ran.
 */
#ifndef CAC_EVENTS_H
#define CAC_EVENTS_H

#include "lib/stringinfo.h"

#include "rules.h"
#include "source.h"

/* A row of campaign_event.  Strings are NULL where they do not apply. */
typedef struct CampaignEvent
{
	const char *event;			/* closed, reopened, expired, stalled, error */
	const char *campaign_id;
	const char *status_from;
	const char *status_to;
	const char *reason;
	const char *details;		/* a JSON object */
	TimestampTz at;
	bool		shadow;
} CampaignEvent;

/* What a sweep found and did, for one source or summed over several. */
typedef struct SweepResult
{
	int64		campaigns_checked;
	int64		campaigns_updated;
	int64		campaigns_closed;
	int64		campaigns_resumed;
	int64		campaigns_skipped;
	int64		messages_checked;
	int64		messages_marked;
} SweepResult;

/* The last run of a sweep that went by the clock. */
typedef struct LastRun
{
	TimestampTz started_at;		/* DT_NOBEGIN: it never ran */
	bool		finished;
} LastRun;

/*
 * How far a run has come that makes way for other work, and later goes on.  The
 * campaigns of a sweep come in two parts, each in an order of its own: those
 * that we closed lately, then the open ones.
 */
typedef struct SweepPosition
{
	bool		open;			/* the first part is done */
	char	   *after;			/* the last campaign of the part that is done;
								 * NULL: none is */
} SweepPosition;

/* A run that has made way for other work. */
typedef struct SuspendedRun
{
	int64		id;
	TimestampTz started_at;
	SweepPosition position;		/* palloc'd */
	SweepResult result;			/* so far */
} SuspendedRun;

extern void cac_record_event(const Source *source, const CampaignEvent *event);
extern void cac_append_json(StringInfo details, const char *key,
							const char *value);
extern void cac_append_json_count(StringInfo details, const char *key,
								  int64 count);
extern void cac_append_json_moment(StringInfo details, const char *key,
								   TimestampTz moment);

extern int64 cac_record_run_start(const Source *source, SweepKind sweep,
								  TimestampTz started_at, TimestampTz as_of);
extern void cac_record_run_end(const Source *source, SweepKind sweep,
							   int64 run, TimestampTz started_at,
							   const SweepResult *result, const char *error);
extern void cac_record_run_suspended(int64 run, const SweepPosition *position,
									 const SweepResult *result);
extern bool cac_suspended_run(const Source *source, SweepKind sweep,
							  TimestampTz now, SuspendedRun *run);
extern void cac_last_runs(const Source *source, LastRun runs[NUM_SWEEP_KINDS]);
extern void cac_forget_history(const Source *source, TimestampTz now);

#endif							/* CAC_EVENTS_H */
