/*
 * statements.h
 *		The statements on the application's tables, as functions.
 *
 * All of them need SPI connected and cac_source_enter() done.  Whatever they
 * raise comes from the application's tables: privileges, lock timeouts,
 * triggers, constraints.
 */
#ifndef CAC_STATEMENTS_H
#define CAC_STATEMENTS_H

#include "source.h"

typedef enum CampaignLock
{
	LOCK_NOT,					/* just read */
	LOCK_SKIP,					/* lock the row, or find nothing if it is held */
	LOCK_WAIT					/* lock the row, waiting for it */
} CampaignLock;

/*
 * One row of a campaigns table.  Timestamps that are NULL, or whose column the
 * table lacks, are DT_NOBEGIN.
 */
typedef struct CampaignRow
{
	char	   *status_text;	/* palloc'd; NULL is possible */
	CampaignStatus status;
	TimestampTz created_at;
	TimestampTz started_at;
	TimestampTz resumed_at;
	TimestampTz completed_at;
	int64		total_recipients;	/* 0: unknown */
	int64		interaction_timeout;	/* of this campaign; -1: the source's */
	int64		campaign_timeout;	/* likewise */
	char	   *completion_rule;	/* likewise; NULL: the source's */
	int64		statistics[NUM_STATISTICS]; /* or one of those below */
} CampaignRow;

#define STATISTIC_IS_NULL	(-1)
#define STATISTIC_IS_ABSENT (-2)	/* the table has no such column */

/* Which messages are due for marking, and what is written. */
typedef struct MarkRequest
{
	TimestampTz cutoff;			/* Message 1 sent before it has expired */
	TimestampTz start;			/* the campaign's */
	TimestampTz as_of;
	int64		limit;			/* mark no more than that; 0: no limit */
	const char *message;		/* the error message */
} MarkRequest;

/* What is written to a campaign. */
typedef struct CampaignChange
{
	const char *status;			/* the application's word; NULL: as it is */
	bool		set_completed_at;
	TimestampTz completed_at;	/* DT_NOBEGIN: NULL */
	int64		statistics[NUM_STATISTICS];
	TimestampTz as_of;
} CampaignChange;

extern void cac_create_standard_tables(const char *schema,
									   Oid relid[NUM_SOURCE_TABLES]);

extern Oid	cac_key_type(const Source *source);
extern Datum *cac_open_campaigns(Source *source, MemoryContext context,
								 int64 *count);
extern bool cac_read_campaign(Source *source, Datum key, CampaignLock lock,
							  CampaignRow *row);
extern void cac_read_tally(Source *source, Datum key, TimestampTz cutoff,
						   TimestampTz start, CampaignTally *tally);
extern int64 cac_mark_expired(Source *source, Datum key,
							  const MarkRequest *request);
extern int64 cac_fail_pending(Source *source, Datum key, const char *message,
							  TimestampTz as_of);
extern void cac_write_campaign(Source *source, Datum key,
							   const CampaignChange *change);

#endif							/* CAC_STATEMENTS_H */
