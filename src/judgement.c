/*
 * judgement.c
 *		A campaign while it is being judged: what is known of it, what its
 *		messages come to, how it is written and reported.
 */
#include "postgres.h"

#include "portability/instr_time.h"
#include "utils/timestamp.h"

#include "counters.h"
#include "judgement.h"
#include "patience.h"
#include "witness.h"

/*
 * When the campaign started, by the rules: unknown (DT_NOEND) where no column
 * tells.
 */
static TimestampTz
campaign_start(const CampaignRow *row, const CampaignMemory *memory)
{
	TimestampTz start = row->started_at != DT_NOBEGIN ?
		row->started_at : row->created_at;

	start = Max(start, row->resumed_at);
	start = Max(start, memory->reopened_at);
	return start == DT_NOBEGIN ? DT_NOEND : start;
}

/*
 * The source's policy, with what the campaign's own row overrides.
 */
static CampaignPolicy
campaign_policy(const Source *source, const CampaignRow *row)
{
	CampaignPolicy policy = source->policy;

	if (row->interaction_timeout > 0)
		policy.interaction_timeout = row->interaction_timeout;
	if (row->campaign_timeout > 0)
		policy.campaign_timeout = row->campaign_timeout;
	if (row->completion_rule != NULL)
	{
		if (strcmp(row->completion_rule, "messages") == 0)
			policy.completion_rule = COMPLETION_MESSAGES;
		else if (strcmp(row->completion_rule, "contacts") == 0)
			policy.completion_rule = COMPLETION_CONTACTS;
	}
	return policy;
}

/*
 * Does the table tell when a campaign was closed?
 */
static bool
keeps_completed_at(const Source *source)
{
	return cac_source_column(source, TABLE_CAMPAIGNS, "completed_at")->name != NULL;
}

/*
 * When the campaign was closed, and whether by us: what somebody has changed
 * since is not our closing any more.  Where the table does not tell when, what
 * we remember does.
 */
static void
learn_closing(Judgement *j)
{
	CampaignFacts *facts = &j->facts;
	const CampaignMemory *memory = &j->memory;
	bool		closed_by_us = memory->closed_at != DT_NOBEGIN &&
		memory->closed_as != NULL && j->row.status_text != NULL &&
		strcmp(memory->closed_as, j->row.status_text) == 0;

	facts->keeps_completed_at = keeps_completed_at(j->source);
	facts->completed_at = j->row.completed_at;
	if (!facts->keeps_completed_at && closed_by_us)
		facts->completed_at = memory->closed_at;
	facts->has_completed_at = facts->completed_at != DT_NOBEGIN;
	facts->closed_as_complete = closed_by_us && memory->closed_as_complete &&
		memory->closed_at == facts->completed_at;
}

/*
 * cac_learn_facts
 *		Read the campaign, with the given lock, and what is remembered of it:
 *		fills in row, memory and facts.
 *
 * False where there is none, or it is held by somebody else and lock is
 * LOCK_SKIP.
 */
bool
cac_learn_facts(Judgement *j, CampaignLock lock)
{
	CampaignFacts *facts = &j->facts;

	/*
	 * Without a lock, memory comes first: what it tells of was done before the
	 * row is read, so a row that says otherwise has been changed since.  With
	 * one, nobody can change either in between.
	 */
	if (lock == LOCK_NOT)
		cac_recall(j->source, j->outcome->campaign_id, &j->memory);
	if (!(lock == LOCK_WAIT ? cac_lock_campaign(j->source, j->key, &j->row) :
		  cac_read_campaign(j->source, j->key, lock, &j->row)))
		return false;
	if (lock != LOCK_NOT)
		cac_recall(j->source, j->outcome->campaign_id, &j->memory);

	facts->status = j->row.status;
	facts->start = campaign_start(&j->row, &j->memory);
	learn_closing(j);
	facts->total_recipients = j->row.total_recipients;
	facts->policy = campaign_policy(j->source, &j->row);
	facts->closed_at = j->memory.closed_at;
	facts->stalls = j->memory.stalls;
	facts->stalled_at = j->memory.stalled_at;
	return true;
}

static void
start_counting(Judgement *j, instr_time *started)
{
	memset(&j->tally, 0, sizeof(j->tally));
	INSTR_TIME_SET_CURRENT(*started);
}

static void
stop_counting(Judgement *j, instr_time started)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, started);
	j->count_usec = INSTR_TIME_GET_MICROSEC(now);
}

/*
 * cac_count
 *		Count the campaign's messages: fills in tally and count_usec.
 */
void
cac_count(Judgement *j, bool look_for_due)
{
	instr_time	started;

	start_counting(j, &started);
	cac_read_tally(j->source, j->key,
				   look_for_due ? cac_expiry_cutoff(j) : DT_NOBEGIN,
				   j->facts.start, j->facts.policy.interaction_timeout,
				   &j->tally);
	stop_counting(j, started);
}

/*
 * cac_count_statuses
 *		Likewise by status alone, which is all that the statistics are.
 */
void
cac_count_statuses(Judgement *j)
{
	instr_time	started;

	start_counting(j, &started);
	cac_read_counts(j->source, j->key, j->facts.start, &j->tally);
	stop_counting(j, started);
}

/*
 * cac_count_settled
 *		Likewise all of it, if no message keeps the campaign open, whose rule is
 *		"contacts".  False where one does: then by status alone.
 */
bool
cac_count_settled(Judgement *j)
{
	instr_time	started;
	bool		settled;

	start_counting(j, &started);
	settled = cac_read_settled(j->source, j->key, j->facts.start, &j->tally);
	stop_counting(j, started);
	return settled;
}

static Blackout *
blackout_of(Judgement *j)
{
	return j->request->blackout ? j->request->blackout : &j->blackout;
}

/*
 * cac_judged_in_blackout
 *		Something is due for marking: does silence prove nothing at that moment?
 */
bool
cac_judged_in_blackout(Judgement *j)
{
	return cac_in_blackout(j->source, blackout_of(j), j->request->as_of);
}

/*
 * cac_count_and_decide
 *		Count the campaign's messages and judge it: fills in the verdict too.
 *
 * What is due for marking is looked for in the plan of a sweep that marks, and,
 * in a blackout, in what is left of it.
 */
void
cac_count_and_decide(Judgement *j, VerdictPhase phase)
{
	SweepKind	sweep = j->request->sweep;
	bool		marks = sweep == SWEEP_EXPIRED || sweep == SWEEP_TIMEOUT;

	cac_count(j, marks && cac_source_marks(j->source) &&
			  (phase == PHASE_PLAN || blackout_of(j)->holds));
	j->facts.blackout = cac_tally_due(&j->tally) > 0 && cac_judged_in_blackout(j);
	j->verdict = cac_judge(sweep, phase, &j->facts, &j->tally,
						   j->request->as_of);
}

/*
 * cac_statistics_differ
 *		Do the campaign's statistics columns hold something else than the tally?
 */
bool
cac_statistics_differ(const Judgement *j)
{
	int64		statistics[NUM_STATISTICS];

	cac_statistics(&j->verdict.tally, statistics);
	for (int i = 0; i < NUM_STATISTICS; i++)
		if (j->row.statistics[i] != STATISTIC_IS_ABSENT &&
			j->row.statistics[i] != statistics[i])
			return true;
	return false;
}

/*
 * cac_write_judged
 *		Write the campaign as the verdict says; "status" NULL leaves it as it is.
 *
 * Returns completed_at as the table has kept it; as given, if the table has no
 * such column.
 */
TimestampTz
cac_write_judged(const Judgement *j, const char *status,
				 bool set_completed_at, TimestampTz completed_at)
{
	CampaignChange change;
	TimestampTz kept;

	change.status = status;
	change.set_completed_at = set_completed_at;
	change.completed_at = completed_at;
	change.as_of = j->request->as_of;
	cac_statistics(&j->verdict.tally, change.statistics);
	kept = cac_write_campaign(j->source, j->key, &change);
	return keeps_completed_at(j->source) ? kept : completed_at;
}

/*
 * cac_note_tally
 *		Remember what the tally tells of a campaign that stays open; forget one
 *		that does not.
 *
 * Not what a function's caller has counted: that may be undone, and be of
 * another moment than now.
 */
void
cac_note_tally(const Judgement *j)
{
	VerdictReason reason = j->verdict.reason;

	if (j->verdict.status != CAMPAIGN_OPEN)
		cac_forget_closed(j->source, j->key);
	else if (j->request->by_witness)
		cac_note_count(j->source, j->key, &j->verdict.tally,
					   reason == REASON_EMPTY || reason == REASON_FILLING,
					   j->count_usec, j->request->as_of);
}

/*
 * cac_report_campaign
 *		Describe the campaign as it is (or, after a dry run, as it still is).
 */
void
cac_report_campaign(Judgement *j, bool acted)
{
	JudgeOutcome *outcome = j->outcome;
	const CampaignVerdict *verdict = &j->verdict;

	outcome->closed = verdict->action == ACTION_CLOSE;
	outcome->resumed = verdict->action == ACTION_ASK_TO_RESUME;
	outcome->previous_status = j->row.status_text;
	outcome->status = j->row.status_text;
	outcome->completed_at = j->facts.completed_at;
	outcome->tally = acted ? verdict->tally : j->tally;
	if (!acted)
		return;
	if (verdict->action == ACTION_CLOSE || verdict->action == ACTION_REOPEN)
	{
		outcome->status = pstrdup(cac_status_word(j->source, verdict->status));
		outcome->completed_at = verdict->action == ACTION_CLOSE ?
			j->request->as_of : DT_NOBEGIN;
	}
	else if (verdict->fill_completed_at)
		outcome->completed_at = j->request->as_of;
}

/*
 * cac_count_outcome
 *		Count what was done, for those who watch the server.
 */
void
cac_count_outcome(const Judgement *j)
{
	const JudgeOutcome *outcome = j->outcome;

	cac_count_up(COUNTER_MARKED, outcome->messages_marked);
	if (outcome->closed)
		cac_count_up(COUNTER_CLOSED, 1);
	else if (outcome->resumed)
		cac_count_up(COUNTER_STALLED, 1);
	else if (j->verdict.action == ACTION_REOPEN && outcome->updated)
		cac_count_up(COUNTER_REOPENED, 1);
}

/*
 * cac_read_judgement
 *		Look at one campaign to tell of it: reader(j, arg) is called with its
 *		facts.
 *
 * All that is read, up to the return of the reader, is what the caller's
 * statement sees, so that it fits together.  Nothing is changed or locked.
 * Where there is no such campaign, outcome->found is false and nobody is
 * called.
 */
void
cac_read_judgement(Source *source, Datum key, const JudgeRequest *request,
				   JudgeOutcome *outcome, JudgementReader reader, void *arg)
{
	Judgement	j = {0};
	SavedIdentity saved;
	bool		one_snapshot;

	memset(outcome, 0, sizeof(*outcome));
	outcome->campaign_id = cac_key_text(source, key);
	j.source = source;
	j.key = key;
	j.request = request;
	j.outcome = outcome;

	cac_source_enter_to_read(source, &saved);
	one_snapshot = cac_see_one_snapshot(true);
	PG_TRY();
	{
		outcome->found = cac_learn_facts(&j, LOCK_NOT);
		if (outcome->found)
			reader(&j, arg);
	}
	PG_FINALLY();
	{
		cac_see_one_snapshot(one_snapshot);
	}
	PG_END_TRY();
	cac_leave(&saved);
}
