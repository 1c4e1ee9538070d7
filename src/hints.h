/*-------------------------------------------------------------------------
 *
 * hints.h
 *		Shared memory: the tracked campaigns, and the hints to look at them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CAC_HINTS_H
#define CAC_HINTS_H

#include "datatype/timestamp.h"

#include "slots.h"

/* Names one campaign of one source of one database.  It has no padding. */
typedef struct HintKey
{
	Oid			dboid;
	Oid			campaigns;		/* the source's campaigns table */
	uint8		key[16];		/* uuid, or an integer as int64 in native
								 * order, zero-padded */
} HintKey;

/* What a hint says of its campaign. */
#define HINT_CHECK		0x01	/* may be complete, or to be reopened: judge it */
#define HINT_CHANGED	0x02	/* its statistics have changed */
#define HINT_EXPIRY		0x04	/* with HINT_CHANGED: a message may expire that
								 * would not have, or sooner */

/* Those that are counted, each with a due time of its own. */
#define HINT_KINDS		(HINT_CHECK | HINT_CHANGED)

/* Statistics are recounted so long after a change (microseconds), rounded up: they
 * are at most 10 seconds behind, and counted as seldom as that allows. */
#define HINT_CHANGED_DELAY	(9 * USECS_PER_SEC)
#define HINT_CHANGED_TOGETHER	(USECS_PER_SEC / 5)

/* Counting open campaigns takes no more than a tenth of the time. */
#define COUNTING_SHARE		10

#define CAC_WITNESS_LEN	64

/* What is remembered of an open campaign; lost at any time, it costs time only. */
typedef struct TrackedCampaign
{
	char		witness[CAC_WITNESS_LEN];	/* id, as text, of a message that
											 * keeps it open; "": none known */
	char		last_sent[CAC_WITNESS_LEN]; /* id of the latest message known
											 * sent; "": none */
	TimestampTz counted_at;		/* when it was last counted; 0: never */
	int64		count_usec;		/* how long that took */
	Oid			id_type;		/* of the messages' ids; another one voids both */
	bool		nothing_pending;	/* when it was counted */
	bool		unwitnessed;	/* then it stayed open though no message kept it */
	TimestampTz next_expiry;	/* no message in flight, but those of contacts
								 * who have answered, was sent before; 0:
								 * unknown */
	TimestampTz expiry_noted_at;	/* when that was found out */
	int64		expiry_within;	/* and how soon an answer had to come to be one,
								 * microseconds; 0: at any time */
	bool		hint_waiting;	/* set by cac_hint_recall(): of something that
								 * the above may not know of yet */
	bool		expiry_waiting; /* likewise: HINT_EXPIRY */
} TrackedCampaign;

/* A campaign that a transaction has changed, and what that hints at. */
typedef struct HintNote
{
	HintKey		key;
	uint32		hash;			/* cac_hint_hash() of that */
	int			flags;
	int64		check_delay;	/* the source's, microseconds */
} HintNote;

/* What is told of the hints; all in single hints. */
typedef struct HintCounters
{
	int64		waiting;		/* now */
	int64		dropped;		/* since the server started, for want of room */
	int64		served;			/* since then */
} HintCounters;

/* set-up */
extern void cac_reserve_hints(void);
extern bool cac_hints_ready(void);

/* hints */
extern uint32 cac_hint_hash(const HintKey *key);
extern void cac_hint_put(const HintKey *key, int flags, TimestampTz due);
extern void cac_hints_publish(const HintNote *notes, int count, TimestampTz committed_at);
extern void cac_hints_incomplete(void);
extern void cac_hints_lost(int64 count);
extern int	cac_hints_take(Oid dboid, Oid campaigns, TimestampTz now,
						   HintKey *keys, int *flags, int max);
extern void cac_hints_served(int64 count);
extern TimestampTz cac_hints_next(Oid dboid);
extern TimestampTz cac_hints_next_left(Oid dboid);
extern void cac_hints_survey(void (*see) (Oid dboid, Oid campaigns, TimestampTz due));
extern void cac_hints_clock_stepped(TimestampTz now);

/* memory */
extern bool cac_hint_recall(const HintKey *key, TrackedCampaign *campaign);
extern bool cac_hint_track(const HintKey *key, const TrackedCampaign *campaign);
extern void cac_hint_forget(const HintKey *key);
extern TimestampTz cac_hints_complete_since(void);
extern int64 cac_counting_credit(TimestampTz now, int64 spent);
extern void cac_hints_prune(Oid dboid, Oid campaigns,
							bool (*keep) (const HintKey *key, void *arg), void *arg);
extern void cac_hints_drop(bool (*unwanted) (const HintKey *key, void *arg), void *arg);

/* reports */
extern bool cac_hint_counters(HintCounters *counters);

#endif							/* CAC_HINTS_H */
