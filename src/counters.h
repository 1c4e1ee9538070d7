/*-------------------------------------------------------------------------
 *
 * counters.h
 *		Shared memory: what was done since the server started.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CAC_COUNTERS_H
#define CAC_COUNTERS_H

typedef enum Counter
{
	COUNTER_SWEEPS,				/* runs that ended, whatever asked for them */
	COUNTER_CLOSED,				/* campaigns */
	COUNTER_REOPENED,			/* campaigns */
	COUNTER_STALLED,			/* requests to resume */
	COUNTER_MARKED,				/* messages, no_interaction and failed */
	COUNTER_ERRORS				/* of campaigns, of sweeps and of on_event */
} Counter;

#define NUM_COUNTERS	(COUNTER_ERRORS + 1)

extern void cac_reserve_counters(void);
extern void cac_count_up(Counter counter, int64 n);
extern bool cac_read_counters(int64 counts[NUM_COUNTERS]);

#endif							/* CAC_COUNTERS_H */
