/*
 * rules.c
 *		Tally + policy + moment -> verdict.
 *
 * These are the rules of doc/reference.md and nothing else: no SPI, no shared
 * memory, no clock.  A verdict is asked for twice where messages have to be
 * marked:
 *
 *	PHASE_PLAN		says how many messages to mark and to fail, and what that
 *					will make of the campaign.  A dry run stops here.
 *	PHASE_CONFIRM	judges the tally that was read after the marking.  Rows
 *					that could not be marked (somebody held them) are in it, so
 *					it may be less than what was planned, never more.
 */
#include "postgres.h"

#include "common/int.h"
#include "utils/timestamp.h"

#include "rules.h"

/* A campaign that raised an error is retried after a minute, doubling ... */
#define RETRY_FIRST		(60 * USECS_PER_SEC)
/* ... up to an hour; so is the request to resume a stalled one. */
#define BACKOFF_LIMIT	USECS_PER_HOUR

/*
 * moment - interval, clamped to the range of a timestamp.
 */
TimestampTz
cac_before(TimestampTz moment, int64 interval)
{
	TimestampTz result;

	if (TIMESTAMP_NOT_FINITE(moment))
		return moment;
	if (pg_sub_s64_overflow(moment, interval, &result) || result < MIN_TIMESTAMP)
		return MIN_TIMESTAMP;
	return result;
}

/*
 * moment + interval, clamped likewise.
 */
TimestampTz
cac_after(TimestampTz moment, int64 interval)
{
	TimestampTz result;

	if (TIMESTAMP_NOT_FINITE(moment))
		return moment;
	if (pg_add_s64_overflow(moment, interval, &result) || result >= END_TIMESTAMP)
		return END_TIMESTAMP - 1;
	return result;
}

/*
 * How long to leave a campaign alone after its n-th failure in a row.
 */
int64
cac_retry_backoff(int failures)
{
	int			doublings = Min(Max(failures, 1) - 1, 10);

	return Min(RETRY_FIRST << doublings, BACKOFF_LIMIT);
}

/*
 * How long after the n-th "stalled" event the next one is due: stall_after
 * after the first, then twice that, doubling up to an hour (or stall_after,
 * where that is longer).
 */
int64
cac_stall_backoff(int stalls, int64 stall_after)
{
	int64		wait = stall_after;

	for (int i = 1; i < stalls && wait < BACKOFF_LIMIT; i++)
		wait *= 2;
	return Min(wait, Max(BACKOFF_LIMIT, stall_after));
}

/*
 * Rule "Completion".  Where the answer is no, *why_not is the first condition
 * that fails.
 */
bool
cac_campaign_complete(const CampaignFacts *facts, const CampaignTally *tally,
					  VerdictReason *why_not)
{
	if (tally->messages == 0)
		*why_not = REASON_EMPTY;
	else if (tally->pending > 0)
		*why_not = REASON_PENDING;
	else if (tally->unmapped > 0)
		*why_not = REASON_UNMAPPED;
	else if (facts->total_recipients > 0 &&
			 tally->message_1_rows < facts->total_recipients)
		*why_not = REASON_FILLING;
	else if (facts->policy.completion_rule == COMPLETION_CONTACTS &&
			 tally->awaiting > 0)
		*why_not = REASON_AWAITING;
	else
		return true;
	return false;
}

/*
 * Rule "Status of a complete campaign".
 */
CampaignStatus
cac_final_status(const CampaignTally *tally)
{
	if (tally->failed > 0 && tally->no_interaction == 0 &&
		tally->sent + tally->delivered + tally->read == 0)
		return CAMPAIGN_FAILED;
	return CAMPAIGN_COMPLETED;
}

/*
 * Rule "Statistics": what each statistics column of the campaign holds.
 */
void
cac_statistics(const CampaignTally *tally, int64 statistics[NUM_STATISTICS])
{
	int64		sent = tally->sent + tally->delivered + tally->read;

	statistics[STATISTIC_SENT] = sent;
	statistics[STATISTIC_SUCCESS] = sent;
	statistics[STATISTIC_FAILED] = tally->failed + tally->no_interaction;
	statistics[STATISTIC_DELIVERED] = tally->delivered;
	statistics[STATISTIC_READ] = tally->read;
	statistics[STATISTIC_NO_INTERACTION] = tally->no_interaction;
	/* what we do not understand counts as pending */
	statistics[STATISTIC_PENDING] = tally->pending + tally->unmapped;
	statistics[STATISTIC_INTERACTION] = tally->interactions;
}

/*
 * How many messages are due for marking.
 */
int64
cac_tally_due(const CampaignTally *tally)
{
	return tally->due_sent + tally->due_delivered + tally->due_read;
}

/*
 * The tally as it will be when the messages that are due have been marked.
 */
static void
suppose_marked(CampaignTally *tally)
{
	int64		due = cac_tally_due(tally);

	tally->sent -= tally->due_sent;
	tally->delivered -= tally->due_delivered;
	tally->read -= tally->due_read;
	tally->message_1_sent -= due;
	tally->no_interaction += due;
	tally->aged -= due;
	tally->awaiting = tally->awaiting_if_marked;
	tally->contacts_completed = tally->completed_if_marked;
	tally->last_sent = tally->last_sent_if_marked;
	tally->due_sent = tally->due_delivered = tally->due_read = 0;
}

/*
 * The tally as it will be when the pending messages have been failed.  How
 * many contacts that completes cannot be told from counts; it is not used.
 */
static void
suppose_failed(CampaignTally *tally)
{
	tally->failed += tally->pending;
	tally->pending = 0;
}

static void
close_as(CampaignVerdict *verdict, VerdictReason reason)
{
	verdict->action = ACTION_CLOSE;
	verdict->status = cac_final_status(&verdict->tally);
	verdict->reason = reason;
	verdict->refresh_statistics = true;
}

/*
 * An open campaign: closed if complete, otherwise left open.
 */
static void
judge_completion(const CampaignFacts *facts, CampaignVerdict *verdict)
{
	verdict->refresh_statistics = true;
	if (cac_campaign_complete(facts, &verdict->tally, &verdict->reason))
		close_as(verdict,
				 facts->policy.completion_rule == COMPLETION_MESSAGES ?
				 REASON_NONE_PENDING : REASON_COMPLETE);
}

/*
 * Plan to mark what is due; in a blackout, to leave it alone.
 */
static void
plan_marking(const CampaignFacts *facts, CampaignVerdict *verdict)
{
	int64		due = cac_tally_due(&verdict->tally);

	if (facts->blackout)
		verdict->unproven = due;
	else
	{
		verdict->mark = due;
		suppose_marked(&verdict->tally);
	}
}

/*
 * Rule "24 hours".
 */
static void
judge_expired(VerdictPhase phase, const CampaignFacts *facts,
			  CampaignVerdict *verdict)
{
	if (phase == PHASE_PLAN)
	{
		plan_marking(facts, verdict);
		if (verdict->mark == 0)
		{
			verdict->reason = verdict->unproven > 0 ?
				REASON_BLACKOUT : REASON_NOTHING_DUE;
			return;
		}
	}
	judge_completion(facts, verdict);
}

/*
 * Has the campaign been open for longer than its campaign_timeout?
 */
bool
cac_campaign_timed_out(const CampaignFacts *facts, TimestampTz as_of)
{
	return facts->status == CAMPAIGN_OPEN &&
		facts->start < cac_before(as_of, facts->policy.campaign_timeout);
}

/*
 * cac_closes_by
 *		When an open campaign will be closed at the latest, if nothing becomes
 *		of its messages but what the sweeps make of them; DT_NOEND: never.
 *
 * every[] is how often each sweep runs, -1: never.  last_expiry is when the
 * last contact awaited will have been silent for too long; DT_NOEND: some are
 * not silent.
 */
TimestampTz
cac_closes_by(const CampaignFacts *facts, const CampaignTally *tally,
			  const int64 every[NUM_SWEEP_KINDS], TimestampTz last_expiry,
			  TimestampTz as_of)
{
	TimestampTz closes_by = DT_NOEND;
	VerdictReason why_not;

	if (every[SWEEP_TIMEOUT] >= 0 && !TIMESTAMP_NOT_FINITE(facts->start))
		closes_by = cac_after(cac_after(facts->start, facts->policy.campaign_timeout),
							  every[SWEEP_TIMEOUT]);
	if (cac_campaign_complete(facts, tally, &why_not))
	{
		for (SweepKind sweep = SWEEP_SENDING; sweep <= SWEEP_INTERRUPTED; sweep++)
			if (every[sweep] >= 0)
				closes_by = Min(closes_by, cac_after(as_of, every[sweep]));
	}
	else if (why_not == REASON_AWAITING && last_expiry != DT_NOEND &&
			 every[SWEEP_EXPIRED] >= 0)
		closes_by = Min(closes_by, cac_after(last_expiry, every[SWEEP_EXPIRED]));
	return closes_by;
}

/*
 * Rule "48 hours".
 */
static void
judge_timeout(VerdictPhase phase, const CampaignFacts *facts,
			  TimestampTz as_of, CampaignVerdict *verdict)
{
	const CampaignTally *tally = &verdict->tally;

	if (!cac_campaign_timed_out(facts, as_of))
	{
		verdict->reason = REASON_NOTHING_DUE;
		return;
	}
	if (phase == PHASE_PLAN)
	{
		verdict->fail = tally->pending;
		plan_marking(facts, verdict);
		suppose_failed(&verdict->tally);
	}
	else if (tally->pending > 0)
	{
		verdict->reason = REASON_HELD;
		verdict->refresh_statistics = true;
		return;
	}
	close_as(verdict, REASON_TIMED_OUT);
}

/*
 * cac_stall_due
 *		When the application is to be asked (again) to resume a campaign with
 *		pending messages, if nothing is sent until then.
 *
 * *stalls is how often it was asked since something was last sent.
 */
TimestampTz
cac_stall_due(const CampaignFacts *facts, const CampaignTally *tally,
			  int *stalls)
{
	int64		stall_after = facts->policy.stall_after;
	TimestampTz idle_since = Max(tally->last_sent, facts->start);

	/* Something sent since the last request starts the numbering afresh. */
	*stalls = 0;
	if (facts->stalls > 0 && facts->stalled_at >= idle_since)
		*stalls = facts->stalls;
	if (*stalls == 0)
		return cac_after(idle_since, stall_after);
	return cac_after(facts->stalled_at, cac_stall_backoff(*stalls, stall_after));
}

/*
 * cac_campaign_stalled
 *		Is the campaign stalled: pending messages, and none sent for stall_after?
 */
bool
cac_campaign_stalled(const CampaignFacts *facts, const CampaignTally *tally,
					 TimestampTz as_of)
{
	return facts->status == CAMPAIGN_OPEN && tally->pending > 0 &&
		as_of >= cac_after(Max(tally->last_sent, facts->start),
						   facts->policy.stall_after);
}

/*
 * Rule "Interrupted".
 */
static void
judge_interrupted(const CampaignFacts *facts, TimestampTz as_of,
				  CampaignVerdict *verdict)
{
	const CampaignTally *tally = &verdict->tally;
	int			stalls;

	if (tally->pending == 0)
	{
		judge_completion(facts, verdict);
		return;
	}
	verdict->reason = REASON_PENDING;
	if (as_of >= cac_stall_due(facts, tally, &stalls))
	{
		verdict->action = ACTION_ASK_TO_RESUME;
		verdict->reason = REASON_STALLED;
		verdict->stall_number = stalls + 1;
	}
}

/*
 * A terminal campaign: rules "Reopening", "completed_at" and the settling of
 * statistics.
 */
static void
judge_terminal(SweepKind sweep, const CampaignFacts *facts, TimestampTz as_of,
			   CampaignVerdict *verdict)
{
	TimestampTz settled = cac_before(as_of, facts->policy.settle_for);

	verdict->reason = REASON_NOT_OPEN;
	if (sweep != SWEEP_NONE && sweep != SWEEP_SENDING)
		return;

	if (facts->closed_as_complete && facts->closed_at >= settled &&
		verdict->tally.pending > 0)
	{
		verdict->action = ACTION_REOPEN;
		verdict->status = CAMPAIGN_OPEN;
		verdict->reason = REASON_NEW_PENDING;
		verdict->refresh_statistics = true;
		return;
	}
	verdict->fill_completed_at = sweep == SWEEP_NONE &&
		facts->keeps_completed_at && !facts->has_completed_at;
	verdict->refresh_statistics = verdict->fill_completed_at ||
		(facts->has_completed_at && facts->completed_at >= settled);
}

/*
 * cac_judge
 *		What the rules make of a campaign.
 *
 * "tally" was read with the cutoff as_of - interaction_timeout where the sweep
 * is SWEEP_EXPIRED or SWEEP_TIMEOUT; the others do not look at what is due.
 */
CampaignVerdict
cac_judge(SweepKind sweep, VerdictPhase phase, const CampaignFacts *facts,
		  const CampaignTally *tally, TimestampTz as_of)
{
	CampaignVerdict verdict = {0};

	verdict.action = ACTION_NONE;
	verdict.status = facts->status;
	verdict.tally = *tally;

	if (facts->status == CAMPAIGN_COMPLETED || facts->status == CAMPAIGN_FAILED)
	{
		judge_terminal(sweep, facts, as_of, &verdict);
		return verdict;
	}
	if (facts->status == CAMPAIGN_OTHER)
	{
		verdict.reason = REASON_NOT_OPEN;
		return verdict;
	}

	switch (sweep)
	{
		case SWEEP_NONE:
		case SWEEP_SENDING:
			judge_completion(facts, &verdict);
			break;
		case SWEEP_EXPIRED:
			judge_expired(phase, facts, &verdict);
			break;
		case SWEEP_TIMEOUT:
			judge_timeout(phase, facts, as_of, &verdict);
			break;
		case SWEEP_INTERRUPTED:
			judge_interrupted(facts, as_of, &verdict);
			break;
	}
	return verdict;
}

/*
 * cac_judge_order
 *		Rule "By hand": what becomes of a campaign that an operator closes or
 *		reopens.
 *
 * Only an open campaign can be closed, whatever is still awaited, but not while
 * messages are pending: these are failed before.  Only a terminal one can be
 * reopened.
 */
CampaignVerdict
cac_judge_order(OperatorOrder order, const CampaignFacts *facts,
				const CampaignTally *tally)
{
	CampaignVerdict verdict = {0};

	verdict.action = ACTION_NONE;
	verdict.status = facts->status;
	verdict.reason = REASON_NOT_OPEN;
	verdict.tally = *tally;

	if (order == ORDER_CLOSE && facts->status == CAMPAIGN_OPEN)
	{
		if (tally->pending > 0)
			verdict.reason = REASON_HELD;
		else
			close_as(&verdict, REASON_CLOSED_BY_HAND);
	}
	else if (order == ORDER_REOPEN &&
			 (facts->status == CAMPAIGN_COMPLETED || facts->status == CAMPAIGN_FAILED))
	{
		verdict.action = ACTION_REOPEN;
		verdict.status = CAMPAIGN_OPEN;
		verdict.reason = REASON_REOPENED_BY_HAND;
		verdict.refresh_statistics = true;
	}
	return verdict;
}

/*
 * The reason in words, as events and explanations show it.
 */
const char *
cac_reason_text(VerdictReason reason)
{
	switch (reason)
	{
		case REASON_COMPLETE:
			return "every contact's cycle has ended";
		case REASON_NONE_PENDING:
			return "no message is pending";
		case REASON_TIMED_OUT:
			return "open for longer than campaign_timeout";
		case REASON_CLOSED_BY_HAND:
			return "closed by hand";
		case REASON_NEW_PENDING:
			return "a pending message appeared after closing";
		case REASON_REOPENED_BY_HAND:
			return "reopened by hand";
		case REASON_STALLED:
			return "pending messages, and none sent for stall_after";
		case REASON_NOT_OPEN:
			return "not open";
		case REASON_NOTHING_DUE:
			return "nothing is due";
		case REASON_EMPTY:
			return "no messages";
		case REASON_PENDING:
			return "pending messages";
		case REASON_UNMAPPED:
			return "messages in a status that no label maps";
		case REASON_FILLING:
			return "fewer Message 1 rows than total_recipients";
		case REASON_AWAITING:
			return "contacts who may still reply";
		case REASON_HELD:
			return "pending messages that another transaction holds";
		case REASON_BLACKOUT:
			return "no interaction and no status callback for blackout_after, so silence proves nothing";
	}
	return NULL;				/* keep the compiler quiet */
}

const char *
cac_sweep_name(SweepKind sweep)
{
	switch (sweep)
	{
		case SWEEP_NONE:
			return "status";
		case SWEEP_EXPIRED:
			return "expired";
		case SWEEP_TIMEOUT:
			return "timeout";
		case SWEEP_SENDING:
			return "sending";
		case SWEEP_INTERRUPTED:
			return "interrupted";
	}
	return NULL;				/* keep the compiler quiet */
}
