/*
 * queries.h
 *		The statements on the application's tables, as functions.
 *
 * All of them need SPI connected and cac_source_enter() done.  Whatever they
 * raise comes from the application's tables: privileges, lock timeouts,
 * triggers, constraints.
 */
#ifndef CAC_QUERIES_H
#define CAC_QUERIES_H

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

/* A campaign that is closed. */
typedef struct ClosedCampaign
{
	Datum		key;
	char	   *status;			/* the application's word */
	TimestampTz completed_at;	/* DT_NOBEGIN: unknown */
} ClosedCampaign;

/* Which messages are due for marking, and what is written. */
typedef struct MarkRequest
{
	TimestampTz cutoff;			/* Message 1 sent before it has expired */
	TimestampTz start;			/* the campaign's */
	int64		within;			/* later than that after it, a reply is late */
	TimestampTz as_of;
	bool		free;			/* do not lock them first */
	bool		dense;			/* they are a good part of the campaign */
	int64		hash_below;		/* mark those whose id's hash is below that */
	int64		limit;			/* or no more than so many; 0: no limit */
	const char *resume;			/* with a limit: go on from here; NULL: begin */
	const char *message;		/* the error message */
} MarkRequest;

/* What may have to be marked of a campaign. */
typedef struct DueCount
{
	int64		aged;			/* Message 1 rows in flight that have expired */
	int64		due;			/* no fewer than are to be marked; 0: none is */
	TimestampTz next;			/* when the first of the others was sent;
								 * DT_NOEND: there is none */
	char	   *candidate;		/* one of the others, as palloc'd text, or NULL */
	int64		in_flight;		/* all of them */
} DueCount;

/* Messages that are pending, or in a status that no label maps. */
typedef struct UnsentCount
{
	bool		pending;
	bool		message_2;		/* where pending: of that kind, or Message 1 */
	char	   *word;			/* where not: the status; NULL: it is null */
	int64		count;
	TimestampTz oldest;			/* made then; DT_NOBEGIN: unknown */
} UnsentCount;

/* The contacts that a campaign awaits. */
typedef struct AwaitedCount
{
	int64		silent;			/* neither a reply nor a Message 2 */
	TimestampTz first;			/* when the first of them was sent Message 1, */
	TimestampTz last;			/* and the last; DT_NOEND: unknown */
	int64		replied;		/* and have no Message 2 yet */
	int64		followed;		/* have one that has not left */
} AwaitedCount;

/*
 * What is known of one contact of a campaign.  Strings are palloc'd, or NULL;
 * moments are DT_NOBEGIN where unknown.
 */
typedef struct ContactState
{
	char	   *contact_id;
	char	   *name;
	char	   *number;
	char	   *message_1;		/* its status, the application's word */
	char	   *message_2;		/* likewise */
	bool		unmapped;		/* some message is in a status no label maps */
	bool		pending_1;
	bool		pending_2;
	bool		in_flight;		/* Message 1 */
	bool		sent_2;
	bool		failed_2;		/* or no_interaction */
	bool		no_interaction; /* Message 1 */
	bool		failed_1;
	bool		replied;
	TimestampTz replied_at;		/* first */
	TimestampTz moment_1;		/* Message 1 in flight was sent */
	TimestampTz changed_1;		/* it failed, or was marked */
	TimestampTz moment_2;		/* Message 2 was sent, or failed */
	TimestampTz created_at;		/* of what is pending or unmapped */
	char	   *error_1;
	char	   *error_2;
} ContactState;

typedef void (*ContactReader) (const ContactState *contact, void *arg);

/* How far a campaign's contacts came; each stage counts those beyond it too. */
typedef enum FunnelStage
{
	FUNNEL_SENT,
	FUNNEL_DELIVERED,
	FUNNEL_READ,
	FUNNEL_REPLIED,
	FUNNEL_MESSAGE_2
} FunnelStage;

#define NUM_FUNNEL_STAGES	(FUNNEL_MESSAGE_2 + 1)

/* What is written to a campaign. */
typedef struct CampaignChange
{
	const char *status;			/* the application's word; NULL: as it is */
	bool		set_completed_at;
	TimestampTz completed_at;	/* DT_NOBEGIN: NULL */
	int64		statistics[NUM_STATISTICS];
	TimestampTz as_of;
} CampaignChange;

extern Oid	cac_key_type(const Source *source);
extern char *cac_key_text(const Source *source, Datum key);
extern Datum cac_key_from_text(const Source *source, const char *text);
extern void cac_plan_for_many(const Source *source, int64 campaigns);
extern Datum *cac_open_campaigns(Source *source, MemoryContext context,
								 int64 *count);
extern ClosedCampaign *cac_closed_campaigns(Source *source, TimestampTz since,
											int64 *count);
extern bool cac_read_campaign(Source *source, Datum key, CampaignLock lock,
							  CampaignRow *row);
extern void cac_read_tally(Source *source, Datum key, TimestampTz cutoff,
						   TimestampTz start, int64 within,
						   CampaignTally *tally);
extern void cac_read_counts(Source *source, Datum key, TimestampTz start,
							CampaignTally *tally);
extern bool cac_read_settled(Source *source, Datum key, TimestampTz start,
							 CampaignTally *tally);
extern List *cac_read_unsent(Source *source, Datum key);
extern void cac_read_awaited(Source *source, Datum key, TimestampTz start,
							 int64 within, AwaitedCount *count);
extern void cac_read_pace(Source *source, Datum key, TimestampTz since,
						  TimestampTz as_of, int64 *sent,
						  TimestampTz *last_change);
extern void cac_read_contacts(Source *source, Datum key, TimestampTz start,
							  bool named, ContactReader reader, void *arg);
extern void cac_read_funnel(Source *source, Datum key, TimestampTz start,
							int64 contacts[NUM_FUNNEL_STAGES]);
extern bool cac_witness_stands(Source *source, Datum key, bool awaits,
							   const char *witness);
extern char *cac_find_witness(Source *source, Datum key, bool awaits,
							  const char *last);
extern char *cac_find_sent(Source *source, Datum key, TimestampTz since);
extern void cac_verify_witnesses(Source *source, int n, Datum *keys,
								 char *const *witnesses, bool look,
								 TimestampTz since, bool *holds);
extern void cac_count_due(Source *source, Datum key, TimestampTz cutoff,
						  TimestampTz start, int64 within, DueCount *count);
extern bool cac_find_sign(Source *source, TimestampTz since,
						  TimestampTz closed_since);
extern int64 cac_mark_expired(Source *source, Datum key,
							  const MarkRequest *request, char **resume);
extern int64 cac_fail_pending(Source *source, Datum key, const char *message,
							  TimestampTz as_of, int64 limit);
extern TimestampTz cac_write_campaign(Source *source, Datum key,
									  const CampaignChange *change);

#endif							/* CAC_QUERIES_H */
