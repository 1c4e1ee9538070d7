/*
 * rules.h
 *		The rules that turn a campaign's tally, its policy and a moment into a
 *		verdict.
 *
 * Nothing here reads a table, a clock or shared memory: every input is an
 * argument, so that a dry run, a preview and the real thing cannot differ.
 * All intervals are microseconds, all moments TimestampTz.
 */
#ifndef CAC_RULES_H
#define CAC_RULES_H

#include "datatype/timestamp.h"

/* What asks for a verdict: one campaign by name, or one of the four sweeps. */
typedef enum SweepKind
{
	SWEEP_NONE,					/* campaign_update_status */
	SWEEP_EXPIRED,				/* 24 hours */
	SWEEP_TIMEOUT,				/* 48 hours */
	SWEEP_SENDING,
	SWEEP_INTERRUPTED
} SweepKind;

#define NUM_SWEEP_KINDS		(SWEEP_INTERRUPTED + 1)

typedef enum CampaignStatus
{
	CAMPAIGN_OPEN,				/* "sending" */
	CAMPAIGN_COMPLETED,
	CAMPAIGN_FAILED,
	CAMPAIGN_OTHER				/* the application's own: never changed */
} CampaignStatus;

typedef enum CompletionRule
{
	COMPLETION_CONTACTS,
	COMPLETION_MESSAGES
} CompletionRule;

/* The statistics columns of a campaigns table, in the order they are written. */
typedef enum CampaignStatistic
{
	STATISTIC_SENT,
	STATISTIC_SUCCESS,
	STATISTIC_FAILED,
	STATISTIC_DELIVERED,
	STATISTIC_READ,
	STATISTIC_NO_INTERACTION,
	STATISTIC_PENDING,
	STATISTIC_INTERACTION
} CampaignStatistic;

#define NUM_STATISTICS		(STATISTIC_INTERACTION + 1)

/*
 * The counts read from one campaign's messages at one moment.  Messages of an
 * unmapped type, or in a status that the source ignores, are in none of them.
 */
typedef struct CampaignTally
{
	int64		messages;
	int64		pending;		/* in a status mapped to "pending" */
	int64		unmapped;		/* in a status that no label maps */
	int64		sent;			/* status "sent" alone */
	int64		delivered;
	int64		read;
	int64		failed;
	int64		no_interaction;
	int64		message_1_rows;
	int64		message_1_sent; /* in sent, delivered or read */
	int64		message_2_sent;
	int64		contacts;
	int64		contacts_completed; /* nothing pending, nothing awaited */
	int64		awaiting;		/* contacts who may still reply */
	int64		interactions;	/* replies and reactions */
	TimestampTz last_sent;		/* DT_NOBEGIN: nothing was sent */

	/* Message 1 rows in flight that are older than the interaction timeout */
	int64		aged;
	/* of these, the ones to mark: no Message 2, no reply, no reaction */
	int64		due_sent;
	int64		due_delivered;
	int64		due_read;
	/* contacts awaiting, and completed, and what was sent last, once those are
	 * marked */
	int64		awaiting_if_marked;
	int64		completed_if_marked;
	TimestampTz last_sent_if_marked;
} CampaignTally;

typedef struct CampaignPolicy
{
	int64		interaction_timeout;
	int64		campaign_timeout;
	int64		stall_after;
	int64		settle_for;
	CompletionRule completion_rule;
} CampaignPolicy;

/* What is known of a campaign besides its messages. */
typedef struct CampaignFacts
{
	CampaignStatus status;
	TimestampTz start;			/* DT_NOEND: unknown, so it never ages */
	bool		keeps_completed_at; /* does the table have such a column? */
	bool		has_completed_at;
	TimestampTz completed_at;
	int64		total_recipients;	/* 0: unknown */
	CampaignPolicy policy;

	bool		blackout;		/* of nobody is anything heard: silence proves
								 * nothing; asked where something is due */

	/* what the extension remembers of it */
	bool		closed_as_complete; /* by us, not by timeout or by hand */
	TimestampTz closed_at;		/* meaningful where closed_as_complete */
	int			stalls;			/* "stalled" events since it last sent */
	TimestampTz stalled_at;		/* the last of them; meaningful if stalls > 0 */
} CampaignFacts;

typedef enum VerdictAction
{
	ACTION_NONE,
	ACTION_CLOSE,
	ACTION_REOPEN,
	ACTION_ASK_TO_RESUME
} VerdictAction;

/* What an operator orders, by hand. */
typedef enum OperatorOrder
{
	ORDER_NONE,
	ORDER_CLOSE,
	ORDER_REOPEN
} OperatorOrder;

typedef enum VerdictReason
{
	REASON_COMPLETE,			/* by the rule "contacts" */
	REASON_NONE_PENDING,		/* complete by the rule "messages" */
	REASON_TIMED_OUT,
	REASON_CLOSED_BY_HAND,
	REASON_NEW_PENDING,			/* reopened */
	REASON_REOPENED_BY_HAND,
	REASON_STALLED,
	REASON_NOT_OPEN,
	REASON_NOTHING_DUE,
	REASON_EMPTY,
	REASON_PENDING,
	REASON_UNMAPPED,
	REASON_FILLING,
	REASON_AWAITING,
	REASON_HELD,				/* pending rows that somebody else holds */
	REASON_BLACKOUT				/* expired messages that may have been answered */
} VerdictReason;

typedef struct CampaignVerdict
{
	int64		mark;			/* messages to mark no_interaction */
	int64		fail;			/* pending messages to mark failed */
	int64		unproven;		/* expired messages left alone in a blackout */
	VerdictAction action;
	CampaignStatus status;		/* the campaign's status afterwards */
	VerdictReason reason;
	bool		fill_completed_at;
	bool		refresh_statistics;
	int			stall_number;	/* with ACTION_ASK_TO_RESUME: 1, 2, ... */
	CampaignTally tally;		/* as it will be once the verdict is done */
} CampaignVerdict;

/*
 * Is the verdict still to be acted on (and may plan marking), or has the
 * marking been done, so that only what it left behind is judged?
 */
typedef enum VerdictPhase
{
	PHASE_PLAN,
	PHASE_CONFIRM
} VerdictPhase;

extern CampaignVerdict cac_judge(SweepKind sweep, VerdictPhase phase,
								 const CampaignFacts *facts,
								 const CampaignTally *tally,
								 TimestampTz as_of);
extern CampaignVerdict cac_judge_order(OperatorOrder order,
									   const CampaignFacts *facts,
									   const CampaignTally *tally);
extern bool cac_campaign_complete(const CampaignFacts *facts,
								  const CampaignTally *tally,
								  VerdictReason *why_not);
extern TimestampTz cac_closes_by(const CampaignFacts *facts,
								 const CampaignTally *tally,
								 const int64 every[NUM_SWEEP_KINDS],
								 TimestampTz last_expiry, TimestampTz as_of);
extern TimestampTz cac_stall_due(const CampaignFacts *facts,
								 const CampaignTally *tally, int *stalls);
extern bool cac_campaign_timed_out(const CampaignFacts *facts,
								   TimestampTz as_of);
extern int64 cac_tally_due(const CampaignTally *tally);
extern bool cac_campaign_stalled(const CampaignFacts *facts,
								 const CampaignTally *tally,
								 TimestampTz as_of);
extern CampaignStatus cac_final_status(const CampaignTally *tally);
extern void cac_statistics(const CampaignTally *tally,
						   int64 statistics[NUM_STATISTICS]);
extern TimestampTz cac_before(TimestampTz moment, int64 interval);
extern TimestampTz cac_after(TimestampTz moment, int64 interval);
extern int64 cac_retry_backoff(int failures);
extern int64 cac_stall_backoff(int stalls, int64 stall_after);
extern const char *cac_reason_text(VerdictReason reason);
extern const char *cac_sweep_name(SweepKind sweep);

#endif							/* CAC_RULES_H */
