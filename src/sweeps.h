/*
 * sweeps.h
 *		One sweep: a periodic task over the campaigns of a source.
 */
#ifndef CAC_SWEEPS_H
#define CAC_SWEEPS_H

#include "events.h"
#include "rules.h"

/* What runs the sweeps that are due: a worker, or CALL campaign_run_sweeps(). */
typedef struct SweepHost
{
	/* Asked between campaigns and batches: may we go on?  No ends it early. */
	bool		(*go_on) (void);
	void		(*begin_turn) (void);	/* a worker's: another source's turn begins */
	void		(*listed) (void);	/* a worker's: a sweep knows its candidates */
	bool		called;			/* by somebody who wants to be told */
	bool		outermost;		/* nobody's SPI connection is below ours */
} SweepHost;

typedef struct SweepRequest
{
	const char *source;			/* its name */
	SweepKind	kind;
	TimestampTz as_of;
	bool		by_clock;		/* as_of is the present: counts for the schedule */
	bool		dry_run;
	bool		thorough;		/* look at what hints should tell of, too */
	const SweepHost *host;		/* NULL: in the caller's transaction */
} SweepRequest;

typedef enum SweepEnd
{
	SWEEP_DONE,
	SWEEP_CUT_SHORT,			/* the host wants to stop */
	SWEEP_BUSY					/* somebody else is running it */
} SweepEnd;

extern bool cac_lock_source(const Source *source, bool wait);
extern void cac_unlock_source(void);
extern SweepEnd cac_run_sweep(const SweepRequest *request, SweepResult *total);
extern bool cac_serve_due_hints(const char *name, const SweepHost *host);
extern bool cac_sweep_running(const Source *source, SweepKind kind);
extern SweepEnd cac_retry_campaigns(const SweepRequest *request);

#endif							/* CAC_SWEEPS_H */
