/*
 * record.c
 *		What is recorded of a campaign that is judged: its events, its line in
 *		the log, and what shadow mode would have done.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "certificate.h"
#include "events.h"
#include "judgement.h"

/*
 * The application's word for a status that we write.
 */
const char *
cac_status_word(const Source *source, CampaignStatus status)
{
	static const char *const words[] = {"sending", "completed", "failed"};

	Assert(status != CAMPAIGN_OTHER);
	return cac_source_label(source, "campaigns", words[status])->words[0];
}

/*
 * The moment before which a Message 1 has expired.
 */
TimestampTz
cac_expiry_cutoff(const Judgement *j)
{
	return cac_before(j->request->as_of, j->facts.policy.interaction_timeout);
}

/*
 * Why a campaign was closed or reopened: in the operator's words, or the rules'.
 */
const char *
cac_event_reason(const Judgement *j)
{
	return j->request->reason ? j->request->reason :
		cac_reason_text(j->verdict.reason);
}

void
cac_record_judged(const Judgement *j, const char *event, const char *status_to,
	   const char *reason, const char *details)
{
	CampaignEvent e = {0};

	e.event = event;
	e.campaign_id = j->outcome->campaign_id;
	e.status_from = j->row.status_text;
	e.status_to = status_to;
	e.reason = reason;
	e.details = details;
	e.at = j->request->as_of;
	e.shadow = j->request->shadow;
	cac_record_event(j->source, &e);
}

void
cac_record_expired(const Judgement *j, int64 marked)
{
	StringInfoData json;

	initStringInfo(&json);
	cac_append_json(&json, "sweep", cac_sweep_name(j->request->sweep));
	cac_append_json_count(&json, "messages", marked);
	cac_append_json(&json, "sent_before", timestamptz_to_str(cac_expiry_cutoff(j)));
	cac_record_judged(j, "expired", j->row.status_text,
		   cac_interaction_message(j->source, &j->facts.policy),
		   psprintf("{%s}", json.data));
}

/*
 * A blackout is told of once, with the first campaign that it holds.
 */
void
cac_record_blackout(const Judgement *j)
{
	TimestampTz since = cac_silent_since(j->source, j->request->as_of);
	StringInfoData json;

	if (!cac_remember_blackout(j->source, j->request->as_of))
		return;
	ereport(WARNING,
			(errmsg("source \"%s\": no interaction and no status callback since %s, so silence proves nothing and nobody is marked",
					j->source->name, timestamptz_to_str(since)),
			 errhint("See whether the provider's callbacks arrive. Marking goes on by itself when one does; campaign_alter(%s, 'blackout_after', NULL) does without.",
					 quote_literal_cstr(j->source->name))));
	initStringInfo(&json);
	cac_append_json(&json, "sweep", cac_sweep_name(j->request->sweep));
	cac_append_json_count(&json, "blackout_after_seconds",
						  j->source->blackout_after / USECS_PER_SEC);
	cac_append_json(&json, "silent_since", timestamptz_to_str(since));
	cac_append_json_count(&json, "messages", j->verdict.unproven);
	cac_record_judged(j, "error", j->row.status_text, cac_reason_text(REASON_BLACKOUT),
		   psprintf("{%s}", json.data));
}

void
cac_record_stalled(const Judgement *j)
{
	StringInfoData json;

	initStringInfo(&json);
	cac_append_json_count(&json, "number", j->verdict.stall_number);
	cac_append_json_count(&json, "pending", j->tally.pending);
	cac_append_json_moment(&json, "last_sent", j->tally.last_sent);
	cac_record_judged(j, "stalled", j->row.status_text,
		   cac_reason_text(j->verdict.reason), psprintf("{%s}", json.data));
}

void
cac_log_closing(const Judgement *j, const char *status)
{
	const CampaignTally *tally = &j->verdict.tally;

	ereport(LOG,
			(errmsg("campaign_autoclose: source \"%s\": campaign %s closed as \"%s\" (%s): "
					INT64_FORMAT " sent, " INT64_FORMAT " delivered, "
					INT64_FORMAT " read, " INT64_FORMAT " failed, "
					INT64_FORMAT " no_interaction, " INT64_FORMAT " interactions",
					j->source->name, j->outcome->campaign_id, status,
					cac_event_reason(j),
					tally->sent + tally->delivered + tally->read,
					tally->delivered, tally->read, tally->failed,
					tally->no_interaction, tally->interactions),
			 errhidestmt(true), errhidecontext(true)));
}

/* ----------------------------------------------------------------
 *		Shadow mode
 * ----------------------------------------------------------------
 */

/*
 * What campaign_state.shadow_action holds: what shadow mode would have done to
 * the campaign last.  A request to resume is told from another by the moment
 * since which nothing was sent.
 */
#define SHADOW_COMPLETE		"closed: complete"
#define SHADOW_TIMEOUT		"closed: timeout"
#define SHADOW_REOPENED		"reopened"
#define SHADOW_STALLED		"stalled since "

static bool
shadow_action_is(const CampaignMemory *memory, const char *action)
{
	return memory->shadow_action != NULL &&
		strcmp(memory->shadow_action, action) == 0;
}

/*
 * The verdict's action in those words; NULL where it is none.
 */
static const char *
shadow_action(const Judgement *j)
{
	const CampaignVerdict *verdict = &j->verdict;

	switch (verdict->action)
	{
		case ACTION_CLOSE:
			return verdict->reason == REASON_TIMED_OUT ?
				SHADOW_TIMEOUT : SHADOW_COMPLETE;
		case ACTION_REOPEN:
			return SHADOW_REOPENED;
		case ACTION_ASK_TO_RESUME:
			return psprintf(SHADOW_STALLED INT64_FORMAT,
							Max(j->tally.last_sent, j->facts.start));
		case ACTION_NONE:
			break;
	}
	return NULL;
}

/*
 * Would an open campaign that shadow mode has closed be open again by now?
 * One closed as complete, when it has a pending message: so says the rule
 * "Reopening".  One closed by the timeout, when the application has resumed it.
 */
static bool
open_again(const Judgement *j)
{
	if (j->facts.status != CAMPAIGN_OPEN)
		return false;
	if (shadow_action_is(&j->memory, SHADOW_TIMEOUT))
		return !cac_campaign_timed_out(&j->facts, j->request->as_of);
	return j->tally.pending > 0;
}

static void
record_shadow_action(Judgement *j)
{
	const CampaignVerdict *verdict = &j->verdict;

	if (verdict->action == ACTION_ASK_TO_RESUME)
		cac_record_stalled(j);
	else
		cac_record_judged(j, verdict->action == ACTION_CLOSE ? "closed" : "reopened",
						  cac_status_word(j->source, verdict->status),
						  cac_reason_text(verdict->reason),
						  cac_describe_tally(j, DT_NOBEGIN));
}

/*
 * cac_record_shadow
 *		Shadow mode: record what would be done, once a change.
 *
 * What would be marked and what would be done about the campaign are told
 * apart, as the sweeps that find the one do not look for the other.  Once the
 * campaign would have been closed, nothing more would be done to it, though the
 * application still has it open, until it would be open again.
 */
void
cac_record_shadow(Judgement *j)
{
	SweepKind	sweep = j->request->sweep;
	CampaignMemory *memory = &j->memory;
	int64		mark = memory->shadow_mark;
	const char *action = memory->shadow_action;
	bool		closed = shadow_action_is(memory, SHADOW_COMPLETE) ||
		shadow_action_is(memory, SHADOW_TIMEOUT);
	bool		reopened = closed && open_again(j);
	bool		new_action = false;

	if (closed && !reopened)
		return;
	if (reopened)
		action = SHADOW_REOPENED;
	if (sweep == SWEEP_EXPIRED || sweep == SWEEP_TIMEOUT)
		mark = j->verdict.mark;
	if (j->verdict.action != ACTION_NONE)
	{
		const char *old = action;

		action = shadow_action(j);
		new_action = old == NULL || strcmp(old, action) != 0;
	}
	if (!reopened && !new_action && mark == memory->shadow_mark)
		return;

	cac_remember_shadow(j->source, j->outcome->campaign_id, mark, action,
						j->request->as_of);
	if (reopened)
		cac_record_judged(j, "reopened", j->row.status_text,
						  shadow_action_is(memory, SHADOW_COMPLETE) ?
						  cac_reason_text(REASON_NEW_PENDING) :
						  "resumed after closing",
						  cac_describe_tally(j, DT_NOBEGIN));
	if (mark > 0 && mark != memory->shadow_mark)
		cac_record_expired(j, mark);
	if (new_action)
		record_shadow_action(j);
}
