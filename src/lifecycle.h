/*
 * lifecycle.h
 *		One campaign: look, lock, tally, decide, act, record.
 */
#ifndef CAC_LIFECYCLE_H
#define CAC_LIFECYCLE_H

#include "blackout.h"
#include "queries.h"
#include "source.h"

/*
 * Marking in passes: each marks a share of every page's rows.  When the last
 * pass is committed, what it has left behind can be pruned, so that the next
 * one's row versions find room where they are: most updates are heap-only, and
 * neither table nor indexes grow by much.  They do without locking the rows
 * first; the last then finds what they have passed over, and judges.  Where it
 * has to wait for a row for too long, one more takes its place, which locks.
 *
 * Not where few messages are due, or few of many, nor where a trigger of the
 * application's may raise an error in the last pass: such a campaign must be
 * left as it was.
 */
#define MARKING_SHARES		3
#define MARKING_PASSES		(MARKING_SHARES + 1)
#define MARKING_PASSES_FROM 1000

typedef struct JudgeRequest
{
	SweepKind	sweep;
	TimestampTz as_of;
	bool		dry_run;		/* decide, and do not act */
	bool		shadow;			/* in a dry run: record what would be done */
	bool		only_closed;	/* leave it alone if it is open (again) */
	bool		as_owner;		/* of the source's tables, not as the caller */
	CampaignLock lock;			/* how to lock the campaign: skip or wait */
	bool		by_witness;		/* do not tally what a message keeps open */
	bool		count;			/* but do count it for its statistics ... */
	bool		count_only;		/* ... and do not close it, it is too early */
	bool		kept_open;		/* a message is known to keep it open */
	Blackout   *blackout;		/* what the sweep knows of one; NULL: find out */
	int64		batch_size;		/* mark no more than that at once; 0: all */
	const char *resume;			/* a batch was marked: go on from here, or from ""
								 * anywhere */
	/* what is less than a batch may be marked in several passes */
	bool		in_passes;
	int			pass;			/* from 0 on */

	/* by hand: see byhand.c */
	OperatorOrder order;
	const char *reason;			/* the operator's; NULL: as the rules have it */
} JudgeRequest;

typedef struct JudgeOutcome
{
	bool		found;			/* is there such a campaign? */
	bool		skipped;		/* somebody else holds it */
	bool		failed;			/* or it raised an error, of no account */
	bool		more;			/* a batch was marked: ask again ... */
	char		resume[NAMEDATALEN];	/* ... with that as request->resume */
	bool		in_pass;		/* marking in passes was begun */
	bool		next_pass;		/* ask again for the next pass */
	bool		updated;		/* something was (would be) written */
	bool		closed;
	bool		resumed;		/* the application was asked to resume it */
	int64		messages_checked;
	int64		messages_marked;

	/* the campaign as it is now; strings are palloc'd */
	char	   *campaign_id;
	char	   *previous_status;
	char	   *status;
	TimestampTz completed_at;	/* DT_NOBEGIN: NULL */
	CampaignTally tally;
} JudgeOutcome;

extern void cac_judge_campaign(Source *source, Datum key,
							   const JudgeRequest *request,
							   JudgeOutcome *outcome);

#endif							/* CAC_LIFECYCLE_H */
