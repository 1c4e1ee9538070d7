/*
 * memory.h
 *		What the extension remembers of campaigns.
 */
#ifndef CAC_MEMORY_H
#define CAC_MEMORY_H

#include "nodes/pg_list.h"

#include "rules.h"
#include "source.h"

typedef struct CampaignMemory
{
	TimestampTz reopened_at;	/* DT_NOBEGIN: never */
	TimestampTz closed_at;		/* DT_NOBEGIN: not closed by us, or long ago */
	bool		closed_as_complete; /* not by timeout or by hand */
	char	   *closed_as;		/* the status word written; palloc'd */
	int			stalls;
	TimestampTz stalled_at;
	int64		failed;			/* messages that we failed, while it is open */
	int64		shadow_mark;	/* what shadow mode recorded last: to be marked, */
	char	   *shadow_action;	/* and to be done; palloc'd; NULL: nothing */
} CampaignMemory;

/* A campaign whose processing in one sweep went wrong the last time. */
typedef struct CampaignRetry
{
	char	   *campaign_id;
	int			failures;
	int			skips;
	TimestampTz retry_at;		/* DT_NOBEGIN: at once */
} CampaignRetry;

/* What is wrong with a campaign in one sweep. */
typedef struct CampaignTrouble
{
	char	   *sweep;
	int			failures;
	int			skips;
	TimestampTz retry_at;		/* DT_NOBEGIN: with the next sweep */
	char	   *sqlstate;		/* of the last error; NULL: it was none */
	char	   *error;
} CampaignTrouble;

extern void cac_recall(const Source *source, const char *campaign_id,
					   CampaignMemory *memory);
extern void cac_remember_closed(const Source *source, const char *campaign_id,
								const char *status, const char *closed_by,
								TimestampTz closed_at, TimestampTz as_of);
extern void cac_forget_closing(const Source *source, const char *campaign_id,
							   TimestampTz closed_at, TimestampTz as_of);
extern void cac_remember_reopened(const Source *source, const char *campaign_id,
								  TimestampTz as_of);
extern void cac_remember_failed(const Source *source, const char *campaign_id,
								int64 failed, TimestampTz as_of);
extern void cac_remember_stalled(const Source *source, const char *campaign_id,
								 int stalls, TimestampTz as_of);
extern void cac_remember_shadow(const Source *source, const char *campaign_id,
								int64 mark, const char *action,
								TimestampTz as_of);

extern List *cac_settling_campaigns(const Source *source, TimestampTz as_of,
									const char *after);
extern List *cac_retries(const Source *source, SweepKind sweep);
extern CampaignRetry *cac_find_retry(const List *retries,
									 const char *campaign_id);
extern bool cac_retry_waits(const CampaignRetry *retry, TimestampTz as_of);
extern List *cac_troubles(const Source *source, const char *campaign_id);
extern bool cac_recall_retry(const Source *source, SweepKind sweep,
							 const char *campaign_id, CampaignRetry *retry);
extern TimestampTz cac_next_retry(const Source *source);
extern void cac_remember_retry(const Source *source, SweepKind sweep,
							   const CampaignRetry *retry,
							   const ErrorData *error);
extern void cac_forget_retry(const Source *source, SweepKind sweep,
							 const char *campaign_id);
extern void cac_forget_old(const Source *source, TimestampTz now);

#endif							/* CAC_MEMORY_H */
