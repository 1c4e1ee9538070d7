/*
 * lifecycle.h
 *		One campaign: look, lock, tally, decide, act, record.
 */
#ifndef CAC_LIFECYCLE_H
#define CAC_LIFECYCLE_H

#include "source.h"
#include "statements.h"

typedef struct JudgeRequest
{
	SweepKind	sweep;
	TimestampTz as_of;
	bool		dry_run;		/* decide, and do not act */
	bool		shadow;			/* in a dry run: record what would be done */
	bool		only_closed;	/* leave it alone if it is open (again) */
	bool		as_owner;		/* of the source's tables, not as the caller */
	CampaignLock lock;			/* how to lock the campaign: skip or wait */
	int64		batch_size;		/* mark no more than that at once; 0: all */
} JudgeRequest;

typedef struct JudgeOutcome
{
	bool		found;			/* is there such a campaign? */
	bool		skipped;		/* somebody else holds it */
	bool		more;			/* messages are left to mark: ask again */
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
extern char *cac_key_text(const Source *source, Datum key);
extern Datum cac_key_from_text(const Source *source, const char *text);

#endif							/* CAC_LIFECYCLE_H */
