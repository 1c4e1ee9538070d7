/*
 * plan.c
 *		What the sweeps would make of one campaign, one after the other.
 *
 * The rules are asked as the sweeps ask them, and the campaign is read by the
 * same functions; only acting is left out, so each sweep judges what the
 * verdict before it says it will leave behind.
 */
#include "postgres.h"

#include "attempt.h"
#include "judgement.h"
#include "plan.h"

/* A campaign that may well raise an error. */
typedef struct PlanAttempt
{
	const char *source;			/* its name */
	Datum		key;
	const PlanRequest *request;
	CampaignPlan *plan;
	MemoryContext context;		/* for the plan's strings */
} PlanAttempt;

/*
 * Judge the campaign for each sweep that may come to it, in the order in which
 * they run, until one closes or reopens it.
 */
static void
plan_sweeps(Judgement *j, JudgeRequest *sweep_request,
			const PlanRequest *request, CampaignPlan *plan)
{
	bool		counted = false;

	for (int sweep = SWEEP_EXPIRED; sweep < NUM_SWEEP_KINDS; sweep++)
	{
		sweep_request->sweep = sweep;
		if (request->without[sweep] || !cac_worth_counting(j))
			continue;
		if (!counted)
		{
			cac_count_and_decide(j, PHASE_PLAN);
			plan->tally = j->tally;
			counted = true;
		}
		else
			j->verdict = cac_judge(sweep, PHASE_PLAN, &j->facts, &j->tally,
								   request->as_of);
		plan->judged[sweep] = true;
		plan->verdict[sweep] = j->verdict;
		/* what it leaves to the next */
		j->tally = j->verdict.tally;
		j->facts.status = j->verdict.status;
		if (j->verdict.action == ACTION_CLOSE ||
			j->verdict.action == ACTION_REOPEN)
			break;
	}
}

/*
 * cac_plan_campaign
 *		What the sweeps, run one after the other at request->as_of, would do to
 *		a campaign, each judging what those before it leave behind.
 *
 * The campaign is read once; nothing is locked, written or recorded, so this
 * works in a read-only transaction, on a standby, and above READ COMMITTED.
 * SPI must be connected, the source not at fault.  Strings of *plan are
 * allocated in the current memory context.  Raises whatever the application's
 * tables raise.
 */
void
cac_plan_campaign(Source *source, Datum key, const PlanRequest *request,
				  CampaignPlan *plan)
{
	JudgeRequest sweep_request = {.as_of = request->as_of, .dry_run = true,
	.blackout = request->blackout};
	JudgeOutcome outcome = {0};
	Judgement	j = {0};
	SavedIdentity saved;

	memset(plan, 0, sizeof(*plan));
	plan->campaign_id = outcome.campaign_id = cac_key_text(source, key);
	j.source = source;
	j.key = key;
	j.request = &sweep_request;
	j.outcome = &outcome;

	cac_source_enter_to_read(source, &saved);
	plan->found = cac_learn_facts(&j, LOCK_NOT);
	if (plan->found)
	{
		plan->status = j.row.status_text;
		if (request->as_if_open)
			j.facts.status = CAMPAIGN_OPEN;
		plan->facts = j.facts;
		plan_sweeps(&j, &sweep_request, request, plan);
	}
	cac_leave(&saved);
}

/*
 * Plan a campaign; AttemptFunction.
 */
static void
attempt_plan(void *arg)
{
	PlanAttempt *attempt = arg;
	Source	   *source = cac_source_open(attempt->source);
	MemoryContext old;

	cac_source_check(source);
	old = MemoryContextSwitchTo(attempt->context);
	cac_plan_campaign(source, attempt->key, attempt->request, attempt->plan);
	MemoryContextSwitchTo(old);
}

/*
 * cac_try_plan
 *		Likewise; false where that raises an error, of which *error is a copy.
 */
bool
cac_try_plan(const char *source, Datum key, const PlanRequest *request,
			 CampaignPlan *plan, ErrorData **error)
{
	PlanAttempt attempt = {.source = source, .key = key, .request = request,
	.plan = plan, .context = CurrentMemoryContext};

	return cac_attempt(attempt_plan, &attempt, 0, error);
}
