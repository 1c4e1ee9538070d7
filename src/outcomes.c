/*
 * outcomes.c
 *		What became of one campaign's contacts: of each (campaign_outcomes), and
 *		how many came how far (campaign_funnel).
 *
 * Both read, with the caller's rights, a campaign in whatever status, and
 * write and lock nothing.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "arguments.h"
#include "judgement.h"
#include "queries.h"
#include "reports.h"

PG_FUNCTION_INFO_V1(campaign_outcomes);
PG_FUNCTION_INFO_V1(campaign_funnel);

/* The bar of a stage that all came to, in characters. */
#define BAR_WIDTH	40

/*
 * Prepare the result, and have the reader told of the campaign that the first
 * two arguments name; it is given the result as its argument.
 */
static void
read_campaign(FunctionCallInfo fcinfo, TimestampTz as_of, JudgementReader reader)
{
	char	   *name = cac_name_argument(fcinfo, 1);
	JudgeRequest request = {.sweep = SWEEP_NONE};
	JudgeOutcome outcome;
	Source	   *source;

	cac_require_campaign(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	cac_connect_spi();
	request.as_of = as_of == DT_NOBEGIN ? GetCurrentTimestamp() : as_of;
	source = cac_source_open(cac_source_choose(name));
	cac_source_check(source);
	cac_source_check_rights(source, false);
	cac_read_judgement(source, cac_key_argument(fcinfo, source), &request,
					   &outcome, reader, fcinfo->resultinfo);
	if (!outcome.found)
		cac_raise_no_campaign(source, outcome.campaign_id);
	SPI_finish();
}

/* ----------------------------------------------------------------
 *		campaign_outcomes
 * ----------------------------------------------------------------
 */

/* What became of a contact, in words: since when, and until when. */
typedef struct ContactOutcome
{
	const char *outcome;
	TimestampTz at;
	TimestampTz until;			/* DT_NOBEGIN: no moment will change it */
	const char *error;
} ContactOutcome;

/*
 * Has the contact replied, and in time where late replies are ignored?
 */
static bool
has_answered(const Judgement *j, const ContactState *contact)
{
	TimestampTz last = cac_after(contact->moment_1,
								 j->facts.policy.interaction_timeout);

	return contact->replied &&
		!(j->source->ignores_late && contact->replied_at > last);
}

/*
 * A contact whose Message 1 is in flight, and who has no Message 2.
 */
static void
judge_in_flight(const Judgement *j, const ContactState *contact,
				ContactOutcome *result)
{
	const CampaignFacts *facts = &j->facts;

	result->at = contact->moment_1;
	if (has_answered(j, contact))
	{
		result->outcome = "replied";
		if (contact->replied_at != DT_NOBEGIN)
			result->at = contact->replied_at;
		return;
	}
	if (facts->status == CAMPAIGN_COMPLETED || facts->status == CAMPAIGN_FAILED)
	{
		result->outcome = "unanswered";
		return;
	}
	result->outcome = "awaiting";
	if (!cac_source_marks(j->source))
		return;
	result->until = cac_after(contact->moment_1, facts->policy.interaction_timeout);
	if (contact->moment_1 < cac_expiry_cutoff(j))
		result->outcome = "expired";
}

/*
 * The first that holds: what keeps a campaign open comes first, and Message 2
 * before Message 1, as it ends the contact's cycle.
 */
static ContactOutcome
judge_contact(const Judgement *j, const ContactState *contact)
{
	ContactOutcome result = {.at = DT_NOBEGIN, .until = DT_NOBEGIN};

	if (contact->unmapped || contact->pending_1)
	{
		result.outcome = contact->unmapped ? "unknown_status" : "pending";
		result.at = contact->created_at;
	}
	else if (contact->sent_2 || contact->failed_2)
	{
		result.outcome = contact->sent_2 ? "message_2_sent" : "message_2_failed";
		result.at = contact->moment_2;
		result.error = contact->sent_2 ? NULL : contact->error_2;
	}
	else if (contact->pending_2)
	{
		result.outcome = "message_2_pending";
		result.at = contact->created_at;
	}
	else if (contact->in_flight)
		judge_in_flight(j, contact, &result);
	else
	{
		result.outcome = contact->no_interaction ? "no_interaction" : "failed";
		result.at = contact->changed_1;
		result.error = contact->error_1;
	}
	return result;
}

/* What report_contact() is told besides the contact. */
typedef struct OutcomeReport
{
	const Judgement *j;
	ReturnSetInfo *result;
} OutcomeReport;

static void
report_contact(const ContactState *contact, void *arg)
{
	OutcomeReport *report = arg;
	ContactOutcome outcome = judge_contact(report->j, contact);
	Datum		values[9];
	bool		nulls[9];
	int			n = 0;

	values[n] = cac_text_column(contact->contact_id, &nulls[n]);
	n++;
	values[n] = cac_text_column(contact->name, &nulls[n]);
	n++;
	values[n] = cac_text_column(contact->number, &nulls[n]);
	n++;
	values[n] = cac_text_column(outcome.outcome, &nulls[n]);
	n++;
	values[n] = cac_timestamp_column(outcome.at, &nulls[n]);
	n++;
	values[n] = cac_timestamp_column(outcome.until, &nulls[n]);
	n++;
	values[n] = cac_text_column(contact->message_1, &nulls[n]);
	n++;
	values[n] = cac_text_column(contact->message_2, &nulls[n]);
	n++;
	values[n] = cac_text_column(outcome.error, &nulls[n]);
	n++;
	tuplestore_putvalues(report->result->setResult, report->result->setDesc,
						 values, nulls);
}

/*
 * Names and numbers are left out where the caller may not read them: who
 * counts outcomes need not know people.
 */
static void
report_contacts(Judgement *j, void *result)
{
	OutcomeReport report = {.j = j, .result = result};

	cac_read_contacts(j->source, j->key, j->facts.start,
					  cac_source_may_read(j->source, TABLE_CONTACTS),
					  report_contact, &report);
}

/*
 * campaign_outcomes(campaign uuid | bigint | text, source name DEFAULT NULL,
 *		as_of timestamptz DEFAULT NULL) -> a row a contact
 */
Datum
campaign_outcomes(PG_FUNCTION_ARGS)
{
	read_campaign(fcinfo, cac_as_of_argument(fcinfo, 2), report_contacts);
	return (Datum) 0;
}

/* ----------------------------------------------------------------
 *		campaign_funnel
 * ----------------------------------------------------------------
 */

/*
 * contacts / all, in n-ths, rounded.
 */
static int64
share(int64 contacts, int64 all, int n)
{
	return all == 0 ? 0 : (contacts * n + all / 2) / all;
}

/*
 * A share of a bar; whoever came so far is seen.
 */
static char *
bar(int64 contacts, int64 all)
{
	int64		length = share(contacts, all, BAR_WIDTH);
	char	   *result;

	if (length == 0 && contacts > 0)
		length = 1;
	result = palloc(length + 1);
	memset(result, '#', length);
	result[length] = '\0';
	return result;
}

static void
report_funnel(Judgement *j, void *arg)
{
	static const char *const stages[NUM_FUNNEL_STAGES] = {
		"sent", "delivered", "read", "replied", "message_2"
	};
	ReturnSetInfo *result = arg;
	int64		contacts[NUM_FUNNEL_STAGES];
	int64		all;

	cac_read_funnel(j->source, j->key, j->facts.start, contacts);
	all = contacts[FUNNEL_SENT];
	for (int i = 0; i < NUM_FUNNEL_STAGES; i++)
	{
		Datum		values[4];
		bool		nulls[4] = {0};

		values[0] = CStringGetTextDatum(stages[i]);
		values[1] = Int64GetDatum(contacts[i]);
		nulls[2] = all == 0;
		values[2] = cac_tenths_column(share(contacts[i], all, 1000));
		values[3] = CStringGetTextDatum(bar(contacts[i], all));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/*
 * campaign_funnel(campaign uuid | bigint | text, source name DEFAULT NULL)
 *		-> a row a stage
 */
Datum
campaign_funnel(PG_FUNCTION_ARGS)
{
	read_campaign(fcinfo, DT_NOBEGIN, report_funnel);
	return (Datum) 0;
}
