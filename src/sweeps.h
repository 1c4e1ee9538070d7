/*
 * sweeps.h
 *		The four periodic tasks, over the campaigns of a source.
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
	bool		called;			/* by somebody who wants to be told */
} SweepHost;

extern void cac_sweep(SweepKind sweep, const char *source, TimestampTz as_of,
					  bool dry_run, SweepResult *result);
extern TimestampTz cac_run_due_sweeps(const char *source, bool force,
									  const SweepHost *host);

#endif							/* CAC_SWEEPS_H */
