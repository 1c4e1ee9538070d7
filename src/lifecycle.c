/*
 * lifecycle.c
 *		One campaign: look, lock, tally, decide, act, record.
 *
 * A campaign is first looked at without a lock.  Most of the time there is
 * nothing to do and that was all: no row of the application's is touched.  A
 * dry run ends here too.  Where no message is left that keeps it open, the look
 * does without a tally.  Otherwise, in this order and in one READ COMMITTED
 * transaction:
 *
 *	1. the campaign's row is locked FOR NO KEY UPDATE, skipping or waiting;
 *	2. what the first look found due is marked, under a snapshot taken after
 *	   the lock;
 *	3. the messages are counted, under a snapshot taken after the marking;
 *	4. the rules decide, from that count alone;
 *	5. the campaign is written, and the event recorded.
 *
 * Whatever is committed before step 3 is seen.  Locks are taken campaign
 * first, then messages.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "certificate.h"
#include "judgement.h"
#include "patience.h"
#include "table_triggers.h"
#include "witness.h"

/* So many messages that have expired, and one of so many that may, are much. */
#define DENSE_FROM		100
#define DENSE_SHARE		4

/* Above every 32-bit hash. */
#define HASH_BOUND_MAX	((int64) PG_INT32_MAX + 1)

/*
 * cac_worth_counting
 *		Can the sweep have anything to do with the campaign?  Spares the tally.
 */
bool
cac_worth_counting(const Judgement *j)
{
	switch (j->request->sweep)
	{
		case SWEEP_NONE:
			return true;
		case SWEEP_SENDING:
			return j->facts.status != CAMPAIGN_OTHER;
		case SWEEP_TIMEOUT:
			return cac_campaign_timed_out(&j->facts, j->request->as_of);
		case SWEEP_EXPIRED:
		case SWEEP_INTERRUPTED:
			return j->facts.status == CAMPAIGN_OPEN;
	}
	return true;				/* keep the compiler quiet */
}

static bool
worth_acting(const Judgement *j)
{
	const CampaignVerdict *verdict = &j->verdict;

	return verdict->mark > 0 || verdict->fail > 0 ||
		verdict->action != ACTION_NONE || verdict->fill_completed_at ||
		(verdict->refresh_statistics && cac_statistics_differ(j));
}

/*
 * What has closed the campaign, as campaign_state has it.
 */
static const char *
closed_by(VerdictReason reason)
{
	switch (reason)
	{
		case REASON_TIMED_OUT:
			return "timeout";
		case REASON_CLOSED_BY_HAND:
			return "hand";
		default:
			return "complete";
	}
}

static void
close_campaign(Judgement *j)
{
	const char *status = cac_status_word(j->source, j->verdict.status);
	TimestampTz kept = cac_write_judged(j, status, true, j->request->as_of);

	cac_remember_closed(j->source, j->outcome->campaign_id, status,
						closed_by(j->verdict.reason), kept, j->request->as_of);
	cac_record_judged(j, "closed", status, cac_event_reason(j),
					  cac_describe_tally(j, j->facts.keeps_completed_at ? kept : DT_NOBEGIN));
	cac_log_closing(j, status);
}

static void
reopen_campaign(Judgement *j)
{
	const char *status = cac_status_word(j->source, CAMPAIGN_OPEN);

	cac_write_judged(j, status, true, DT_NOBEGIN);
	cac_remember_reopened(j->source, j->outcome->campaign_id, j->request->as_of);
	cac_record_judged(j, "reopened", status, cac_event_reason(j),
					  cac_describe_tally(j, DT_NOBEGIN));
}

/*
 * cac_act_on_campaign
 *		Do what the verdict says about the campaign itself, whose row is locked.
 */
void
cac_act_on_campaign(Judgement *j)
{
	switch (j->verdict.action)
	{
		case ACTION_CLOSE:
			close_campaign(j);
			break;
		case ACTION_REOPEN:
			reopen_campaign(j);
			break;
		case ACTION_ASK_TO_RESUME:
			cac_remember_stalled(j->source, j->outcome->campaign_id,
								 j->verdict.stall_number, j->request->as_of);
			cac_record_stalled(j);
			break;
		case ACTION_NONE:
			if (j->verdict.fill_completed_at)
				cac_write_judged(j, j->row.status_text, true, j->request->as_of);
			else if (j->verdict.refresh_statistics && cac_statistics_differ(j))
				cac_write_judged(j, NULL, false, DT_NOBEGIN);
			break;
	}
}

/*
 * The bound below which the hashes, of all 32-bit integers, of a pass are.
 */
static int64
hash_bound(int pass)
{
	int64		share = (INT64CONST(1) << 32) / MARKING_SHARES;

	if (pass >= MARKING_SHARES - 1)
		return HASH_BOUND_MAX;
	return PG_INT32_MIN + share * (pass + 1);
}

/*
 * Have a good part of the messages that await an answer expired?
 */
static bool
dense(int64 aged, int64 in_flight)
{
	return aged >= DENSE_FROM && DENSE_SHARE * aged >= in_flight;
}

/*
 * Passes are the cheaper way to mark a campaign where they find several messages
 * a page, as long as a third of it is no more than a batch, and nothing of the
 * application's could make one fail after those before it.
 */
static bool
worth_passes(const Judgement *j)
{
	return j->dense && j->verdict.mark >= MARKING_PASSES_FROM &&
		j->verdict.mark <= MARKING_SHARES * (int64) j->request->batch_size &&
		cac_source_plain(j->source);
}

/*
 * After marking: does a message show that the campaign stays open?
 */
static bool
stays_open(const Judgement *j)
{
	return j->request->by_witness && j->request->sweep == SWEEP_EXPIRED &&
		cac_witness_holds(j->source, j->key, &j->facts);
}

/*
 * Is there a reason to believe that none does?  A host has looked for it, or has
 * just marked what had expired.
 */
static bool
believed_settled(const Judgement *j)
{
	const JudgeRequest *request = j->request;

	return request->by_witness &&
		(request->sweep == SWEEP_EXPIRED || j->unplanned) &&
		j->facts.status == CAMPAIGN_OPEN &&
		j->facts.policy.completion_rule == COMPLETION_CONTACTS &&
		!(request->blackout && request->blackout->holds);
}

/*
 * The passes have marked all that is due, but for what they have passed over.
 * Who counts that nothing keeps the campaign open need not look for that.
 */
static int64
mark_passed_over(Judgement *j, MarkRequest *mark)
{
	char	   *resume;
	int64		marked;

	if (believed_settled(j) && !stays_open(j))
	{
		j->settled = cac_count_settled(j);
		if (j->settled)
			return 0;
		j->counted = true;
	}
	mark->free = false;
	marked = cac_mark_expired(j->source, j->key, mark, &resume);
	j->counted &= marked == 0;
	return marked;
}

/*
 * Mark what the plan found due: a batch of it where it is much, or the share
 * of a pass.  False where there is more to come.
 */
static bool
mark_due(Judgement *j)
{
	const JudgeRequest *request = j->request;
	JudgeOutcome *outcome = j->outcome;
	MarkRequest mark = {0};
	int64		marked;
	char	   *resume;
	bool		in_passes;

	mark.cutoff = cac_expiry_cutoff(j);
	mark.start = j->facts.start;
	mark.within = j->facts.policy.interaction_timeout;
	mark.as_of = request->as_of;
	mark.message = cac_interaction_message(j->source, &j->facts.policy);
	in_passes = request->pass > 0 || (request->in_passes && worth_passes(j));
	mark.hash_below = in_passes ? hash_bound(request->pass) : HASH_BOUND_MAX;
	mark.free = in_passes && request->pass < MARKING_SHARES;
	mark.dense = in_passes || j->dense;
	if (!in_passes && request->batch_size > 0 && j->verdict.mark > request->batch_size)
	{
		mark.limit = request->batch_size;
		if (request->resume != NULL && request->resume[0] != '\0')
			mark.resume = request->resume;
	}
	outcome->in_pass = in_passes;
	marked = cac_mark_expired(j->source, j->key, &mark, &resume);
	outcome->next_pass = mark.free && request->pass < MARKING_SHARES - 1;
	if (mark.free && !outcome->next_pass)
		marked += mark_passed_over(j, &mark);
	outcome->messages_marked += marked;
	if (marked > 0)
		cac_record_expired(j, marked);
	if (mark.limit == 0)
		return !outcome->next_pass;
	if (marked < mark.limit)
		return true;
	outcome->more = true;
	if (resume != NULL && strlen(resume) < sizeof(outcome->resume))
		strlcpy(outcome->resume, resume, sizeof(outcome->resume));
	return false;
}

/*
 * Mark and fail what the plan found due.  False where more may be left.
 */
static bool
mark_messages(Judgement *j)
{
	int64		limit = j->request->batch_size;

	if (j->verdict.mark > 0 && !mark_due(j))
		return false;
	if (j->verdict.fail > 0)
	{
		j->failed = cac_fail_held_pending(j->source, j->key,
										  cac_timeout_message(j->source, &j->facts.policy),
										  j->request->as_of, limit);
		j->outcome->messages_marked += j->failed;
		if (limit > 0 && j->failed == limit)
			j->outcome->more = true;
	}
	return !j->outcome->more;
}

/*
 * The campaign stays open for now: how many messages were failed is for the
 * event of its closing.
 */
static void
remember_failed(const Judgement *j)
{
	if (j->failed > 0)
		cac_remember_failed(j->source, j->outcome->campaign_id, j->failed,
							j->request->as_of);
}

/*
 * Report the plan: nothing is to be done, or nothing may be done.
 */
static void
report_plan(Judgement *j)
{
	JudgeOutcome *outcome = j->outcome;
	const CampaignVerdict *verdict = &j->verdict;

	outcome->messages_marked = verdict->mark + verdict->fail;
	outcome->updated = outcome->messages_marked > 0 ||
		verdict->action == ACTION_CLOSE || verdict->action == ACTION_REOPEN ||
		verdict->fill_completed_at ||
		(verdict->refresh_statistics && cac_statistics_differ(j));
}

/*
 * A message keeps the campaign open, so nothing but its statistics are wanted,
 * which the tally has.
 */
static void
decide_on_statistics(Judgement *j)
{
	CampaignVerdict *verdict = &j->verdict;

	memset(verdict, 0, sizeof(*verdict));
	verdict->action = ACTION_NONE;
	verdict->status = j->facts.status;
	verdict->reason = REASON_AWAITING;
	verdict->refresh_statistics = true;
	verdict->tally = j->tally;
}

/*
 * None does, and the tally has all there is to know.
 */
static void
decide_as_settled(Judgement *j)
{
	j->verdict = cac_judge(j->request->sweep, PHASE_CONFIRM, &j->facts,
						   &j->tally, j->request->as_of);
}

/*
 * Count what is left of a campaign that is locked, and decide.
 */
static void
confirm(Judgement *j)
{
	if (j->settled)
		decide_as_settled(j);
	else if (j->counted)
		decide_on_statistics(j);
	else if (stays_open(j))
	{
		cac_count_statuses(j);
		decide_on_statistics(j);
	}
	else if (!believed_settled(j))
		cac_count_and_decide(j, PHASE_CONFIRM);
	else if (cac_count_settled(j))
		decide_as_settled(j);
	else
		decide_on_statistics(j);
}

/*
 * Lock the campaign and do what the plan says, as far as it still holds.
 * False where the campaign could not be locked, or is only marked in part.
 */
static bool
lock_and_act(Judgement *j)
{
	const JudgeRequest *request = j->request;
	JudgeOutcome *outcome = j->outcome;

	if (!cac_learn_facts(j, request->lock))
	{
		outcome->skipped = true;
		return false;
	}
	if (!cac_worth_counting(j))
	{
		/* somebody was faster, or has paused it: nothing is left to do */
		j->verdict = cac_judge(request->sweep, PHASE_CONFIRM, &j->facts,
							   &j->tally, request->as_of);
		j->verdict.action = ACTION_NONE;
		return true;
	}
	if ((j->verdict.mark > 0 || j->verdict.fail > 0) && !mark_messages(j))
	{
		remember_failed(j);
		outcome->updated = true;
		return false;
	}
	confirm(j);
	outcome->updated = outcome->messages_marked > 0 ||
		(worth_acting(j) && j->verdict.action != ACTION_ASK_TO_RESUME);
	if (j->verdict.action != ACTION_CLOSE)
		remember_failed(j);
	cac_act_on_campaign(j);
	cac_note_tally(j);
	return true;
}

/*
 * A campaign that we closed and that is open again was opened by somebody
 * else.  If it is stopped later, that must not be taken for our closing.
 */
static void
forget_void_closing(Judgement *j)
{
	if (j->facts.status == CAMPAIGN_OPEN && j->memory.closed_at != DT_NOBEGIN)
		cac_forget_closing(j->source, j->outcome->campaign_id,
						   j->memory.closed_at, j->request->as_of);
}

/*
 * Is it known without counting that there is nothing to do?
 */
static bool
spared(const Judgement *j)
{
	SweepKind	sweep = j->request->sweep;

	if (!j->request->by_witness || j->facts.status != CAMPAIGN_OPEN)
		return false;
	if (sweep == SWEEP_EXPIRED)
		return cac_nothing_expires(j->source, j->key, cac_expiry_cutoff(j),
								   j->request->as_of);
	if (j->request->count)
		return false;
	return (sweep == SWEEP_SENDING || sweep == SWEEP_INTERRUPTED) &&
		cac_kept_open(j->source, j->key, sweep, &j->facts, j->request->as_of);
}

/*
 * Plan the marking of an open campaign: what is due tells, no tally is needed.
 */
static void
plan_marking(Judgement *j)
{
	DueCount	count;

	j->verdict.status = j->facts.status;
	j->verdict.reason = REASON_NOTHING_DUE;
	if (!cac_source_marks(j->source))
		return;
	cac_count_due(j->source, j->key, cac_expiry_cutoff(j), j->facts.start,
				  j->facts.policy.interaction_timeout, &count);
	j->outcome->messages_checked = count.aged;
	j->facts.blackout = count.due > 0 && cac_judged_in_blackout(j);
	if (j->facts.blackout)
	{
		cac_count(j, true);
		j->verdict.unproven = cac_tally_due(&j->tally);
		j->verdict.reason = REASON_BLACKOUT;
	}
	else
		j->verdict.mark = count.due;
	j->dense = dense(count.aged, count.in_flight);
	if (j->request->by_witness)
		cac_note_due(j->source, j->key, &count, cac_expiry_cutoff(j), j->request->as_of);
}

/*
 * Tell of it, if the plan leaves something alone for want of any sign of life.
 */
static void
note_blackout(const Judgement *j)
{
	if (j->verdict.unproven > 0 && (!j->request->dry_run || j->request->shadow))
		cac_record_blackout(j);
}

/*
 * A campaign that stays open, and whose statistics are to be refreshed: write
 * them at once, if nobody else holds the campaign or has closed it meanwhile.
 * In shadow mode they are the application's business.  False, as that was all.
 */
static bool
look_at_statistics(Judgement *j)
{
	if (j->request->dry_run)
		return false;
	cac_count_statuses(j);
	decide_on_statistics(j);
	cac_note_tally(j);
	if (!cac_statistics_differ(j))
		return false;
	if (!cac_read_campaign(j->source, j->key, LOCK_SKIP, &j->row))
		j->outcome->skipped = true;
	else if (j->row.status == CAMPAIGN_OPEN)
	{
		cac_write_judged(j, NULL, false, DT_NOBEGIN);
		j->outcome->updated = true;
	}
	return false;
}

/*
 * No message keeps the campaign open, so it is about to be closed: it is
 * counted only once, under its lock.  Unless it was before, and stayed open;
 * or it is held by somebody for so long that the lock would be waited for.
 */
static bool
about_to_close(const Judgement *j)
{
	return j->request->by_witness && j->request->sweep == SWEEP_SENDING &&
		j->request->lock == LOCK_SKIP && !j->request->dry_run &&
		j->facts.status == CAMPAIGN_OPEN &&
		!cac_stays_open_unwitnessed(j->source, j->key);
}

/*
 * Count the campaign without a lock: is there anything to do?  Where nothing is
 * to be done, or nothing may be, that is reported.
 */
static bool
plan(Judgement *j)
{
	cac_count_and_decide(j, PHASE_PLAN);
	j->dense = dense(j->tally.aged, j->tally.message_1_sent);
	note_blackout(j);
	j->outcome->messages_checked = j->tally.aged + j->verdict.fail;
	if (!j->request->dry_run && worth_acting(j))
		return true;

	if (j->request->by_witness)
		cac_note_tally(j);
	report_plan(j);
	if (j->request->shadow)
		cac_record_shadow(j);
	cac_report_campaign(j, false);
	return false;
}

/*
 * Decide without a lock whether there is anything to do.
 */
static bool
look(Judgement *j)
{
	JudgeOutcome *outcome = j->outcome;

	outcome->found = cac_learn_facts(j, LOCK_NOT);
	if (outcome->found && !j->request->dry_run)
		forget_void_closing(j);
	if (!outcome->found || !cac_worth_counting(j) || spared(j) ||
		(j->request->only_closed && j->facts.status == CAMPAIGN_OPEN))
		return false;
	if (j->request->sweep == SWEEP_EXPIRED && !j->request->dry_run)
	{
		plan_marking(j);
		note_blackout(j);
		return j->verdict.mark > 0;
	}
	if (j->request->count && j->facts.status == CAMPAIGN_OPEN)
	{
		if (j->request->kept_open ||
			cac_kept_open(j->source, j->key, SWEEP_SENDING, &j->facts,
						  j->request->as_of))
			return look_at_statistics(j);
		if (j->request->count_only)
			return false;
	}
	j->unplanned = about_to_close(j);
	return j->unplanned || plan(j);
}

static void
judge(Judgement *j)
{
	bool		marks = cac_source_marks(j->source) &&
		!(j->request->blackout && j->request->blackout->holds);

	/* whoever has paused the source meanwhile means the rest of it too */
	if (j->request->resume != NULL && !j->request->dry_run)
	{
		/* after a batch: how much is left is not known, it may be another */
		j->outcome->found = true;
		if (marks)
			j->verdict.mark = PG_INT64_MAX;
		j->verdict.fail = j->request->sweep == SWEEP_TIMEOUT ? 1 : 0;
	}
	else if (j->request->pass > 0 && !j->request->dry_run)
	{
		/* how much is left is not known, but it is no more than a batch */
		j->outcome->found = true;
		j->verdict.mark = marks ? 1 : 0;
	}
	else if (!look(j))
		return;
	if (lock_and_act(j))
		cac_report_campaign(j, true);
	else if (j->outcome->skipped && j->unplanned)
		j->outcome->skipped = plan(j);	/* held, but with nothing to do */
}

/*
 * cac_judge_campaign
 *		Judge one campaign, and act on the verdict unless it is a dry run.
 *
 * SPI must be connected, the source not at fault; to act, the transaction must
 * be READ COMMITTED and able to write.  Strings of *outcome are allocated in
 * the current memory context.  Raises whatever the application's tables raise.
 */
void
cac_judge_campaign(Source *source, Datum key, const JudgeRequest *request,
				   JudgeOutcome *outcome)
{
	Judgement	j = {0};
	SavedIdentity saved;

	memset(outcome, 0, sizeof(*outcome));
	outcome->campaign_id = cac_key_text(source, key);
	j.source = source;
	j.key = key;
	j.request = request;
	j.outcome = outcome;

	if (request->dry_run && !request->as_owner)
		cac_source_enter_to_read(source, &saved);
	else
		cac_source_enter(source, request->as_owner, &saved);
	judge(&j);
	cac_source_confirm(source);
	cac_leave(&saved);
	if (!request->dry_run)
		cac_count_outcome(&j);
}
