/*
 * byhand.c
 *		A campaign that an operator closes or reopens: rule "By hand".
 *
 * What an operator orders is done, or refused with an error, so there is no
 * look without a lock, and nothing to decide but whether the campaign's status
 * allows it.  The order of things is that of lifecycle.c: the campaign's row is
 * locked first, its pending messages are failed, then it is counted, written
 * and recorded.  Whoever holds the row or a pending message is waited for, up
 * to lock_timeout.
 */
#include "postgres.h"

#include "byhand.h"
#include "judgement.h"
#include "patience.h"

/*
 * How often to fail what is pending.  An insert that is committed after a
 * round's snapshot is for the next round; a trigger of the application's that
 * sets messages back would keep us here for ever.
 */
#define FAIL_ROUNDS		3

/*
 * The application's words for a status, or for two, of which one will do.
 */
static char *
any_word(const Source *source, const char *status, const char *or_status)
{
	const SourceLabel *label[2];
	StringInfoData text;
	int			left = 0;

	label[0] = cac_source_label(source, "campaigns", status);
	label[1] = or_status ? cac_source_label(source, "campaigns", or_status) : NULL;
	for (int i = 0; i < lengthof(label); i++)
		left += label[i] ? label[i]->count : 0;
	initStringInfo(&text);
	for (int i = 0; i < lengthof(label); i++)
		for (int k = 0; label[i] != NULL && k < label[i]->count; k++)
			appendStringInfo(&text, "\"%s\"%s", label[i]->words[k],
							 --left > 1 ? ", " : left == 1 ? " or " : "");
	return text.data;
}

static void
refuse_status(const Judgement *j)
{
	const char *status = j->row.status_text ? j->row.status_text : "null";

	if (j->request->order == ORDER_CLOSE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("campaign %s of source \"%s\" is not open",
						j->outcome->campaign_id, j->source->name),
				 errhint("Its status is \"%s\"; only a campaign in status %s can be closed.",
						 status, any_word(j->source, "sending", NULL))));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("campaign %s of source \"%s\" is not closed",
					j->outcome->campaign_id, j->source->name),
			 errhint("Its status is \"%s\"; only a campaign in status %s can be reopened.",
					 status, any_word(j->source, "completed", "failed"))));
}

/*
 * Fail what is pending, with the operator's reason, and count.
 */
static void
fail_and_count(Judgement *j)
{
	const JudgeRequest *request = j->request;

	for (int round = 0; round < FAIL_ROUNDS; round++)
	{
		j->failed += cac_fail_held_pending(j->source, j->key, request->reason,
										   request->as_of, 0);
		cac_count(j, false);
		if (j->tally.pending == 0)
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("campaign %s of source \"%s\" could not be closed, as messages keep becoming pending",
					j->outcome->campaign_id, j->source->name),
			 errhint("Stop what inserts messages, or sets them back to \"%s\", and close it then.",
					 cac_source_label(j->source, "messages", "pending")->words[0])));
}

/*
 * A campaign that is complete as it is will not stay open for long.
 */
static void
tell_if_complete(const Judgement *j)
{
	VerdictReason why_not;

	if (j->request->order == ORDER_REOPEN &&
		cac_campaign_complete(&j->facts, &j->verdict.tally, &why_not))
		ereport(NOTICE,
				(errmsg("campaign %s of source \"%s\" has nothing left to do, so the next sweep closes it again",
						j->outcome->campaign_id, j->source->name),
				 errhint("Insert its new messages in the transaction that reopens it.")));
}

static void
obey(Judgement *j)
{
	const JudgeRequest *request = j->request;
	JudgeOutcome *outcome = j->outcome;

	outcome->found = cac_learn_facts(j, LOCK_WAIT);
	if (!outcome->found)
		return;
	j->verdict = cac_judge_order(request->order, &j->facts, &j->tally);
	if (j->verdict.action == ACTION_NONE)
		refuse_status(j);

	if (request->order == ORDER_CLOSE)
		fail_and_count(j);
	else
		cac_count(j, false);
	j->verdict = cac_judge_order(request->order, &j->facts, &j->tally);
	cac_act_on_campaign(j);
	cac_note_tally(j);
	tell_if_complete(j);
	outcome->messages_marked = j->failed;
	outcome->updated = true;
	cac_report_campaign(j, true);
}

/*
 * cac_obey
 *		Close or reopen one campaign, as request->order says.
 *
 * The request has the order, its reason and as_of; nothing else of it counts.
 * SPI must be connected, the source be one that acts, the transaction be READ
 * COMMITTED and able to write.  Raises 55000 where the campaign's status does
 * not allow it, and whatever the application's tables raise; where there is no
 * such campaign, outcome->found is false.
 */
void
cac_obey(Source *source, Datum key, const JudgeRequest *request,
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

	cac_source_enter(source, false, &saved);
	obey(&j);
	cac_source_confirm(source);
	cac_leave(&saved);
	cac_count_outcome(&j);
}
