/*
 * candidate.h
 *		A sweep while it runs, and how it processes one candidate.
 */
#ifndef CAC_CANDIDATE_H
#define CAC_CANDIDATE_H

#include "attempt.h"
#include "lifecycle.h"
#include "memory.h"
#include "sweeps.h"

/* One sweep of one source, while it runs. */
typedef struct Sweep
{
	const char *source;			/* its name */
	SweepKind	kind;
	TimestampTz as_of;
	bool		dry_run;
	const SweepHost *host;		/* NULL: in the caller's transaction */
	bool		thorough;		/* do not rely on hints */
	TimestampTz hints_served_at;	/* or looked for, at least */
	MemoryContext candidate_context;	/* reset after each */
	MemoryContext context;		/* outlives the host's transactions */
	SweepResult *result;

	bool		resumed;		/* it goes on with a run that made way */
	SweepPosition position;		/* it goes on from there, and has come so far;
								 * while it is at the open campaigns, "ndone" is
								 * what counts.  Allocated in context */

	Datum	   *keys;			/* the candidates, allocated in context */
	int64		nkeys;
	int64		ndone;			/* so many of them, the first, are done */
	TimestampTz count_before;	/* those counted before are counted unasked */
	bool	   *held;			/* of these, or of the hints in hand: a message shows
								 * there is nothing to do */
	List	   *retries;		/* of CampaignRetry, likewise */
	bool		alone;			/* no two of them share a transaction */
	bool		repeatable;		/* all that is uncommitted would be done again */
	int			uncommitted;	/* campaigns since the last commit */
	TimestampTz committed_at;	/* when that was */

	/* the source's table, and the type of its keys, that "keys" are of */
	Oid			campaigns;
	Oid			key_type;

	/* the campaign in hand */
	Datum		key;
	const char *key_text;		/* or that, where key is still to be made of it */
	bool		key_is_one;		/* and that succeeded */
	CampaignLock lock;
	bool		settling;		/* it is one that we closed lately */
	Blackout	blackout;
	bool		count;			/* its statistics are wanted */
	bool		only_statistics;	/* and nothing else */
	bool		by_hint;		/* it may wait, others may not */
	bool		kept_open;		/* a message is known to keep it open */
	bool		marking;		/* in batches, resuming from ... */
	char		resume[NAMEDATALEN];
	bool		in_passes;		/* or in passes, of which this is ... */
	int			pass;
	JudgeOutcome outcome;
} Sweep;

extern bool cac_source_fit(const Sweep *sweep);
extern bool cac_attempt_for_sweep(AttemptFunction function, Sweep *sweep,
								  int time_limit, ErrorData **error);
extern void cac_note_key_type(Sweep *sweep, const Source *source);
extern bool cac_key_type_changed(const Sweep *sweep, const Source *source);
extern bool cac_process_candidate(Sweep *sweep, Datum key);
extern bool cac_process_known_candidate(Sweep *sweep, const char *campaign_id);
extern bool cac_by_witness(const Sweep *sweep);
extern int	cac_time_limit(const Sweep *sweep, const CampaignRetry *retry);
extern void cac_commit_now(Sweep *sweep);
extern void cac_commit_if_due(Sweep *sweep);

#endif							/* CAC_CANDIDATE_H */
