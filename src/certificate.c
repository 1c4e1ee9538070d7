/*
 * certificate.c
 *		The closing certificate: what the event of a closing tells of it, by
 *		which it can be explained and verified later.
 *
 * It holds what gave the order, the rule and its thresholds, and the whole
 * tally.  The keys are those of doc/reference.md.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "certificate.h"
#include "events.h"

typedef struct Verification
{
	ReturnSetInfo *rsinfo;
	bool		certified;
} Verification;

#define TALLY_COUNT(field)	{#field, offsetof(CampaignTally, field)}

const TallyCount cac_tally_counts[NUM_TALLY_COUNTS] = {
	TALLY_COUNT(messages),
	TALLY_COUNT(pending),
	TALLY_COUNT(unmapped),
	TALLY_COUNT(sent),
	TALLY_COUNT(delivered),
	TALLY_COUNT(read),
	TALLY_COUNT(failed),
	TALLY_COUNT(no_interaction),
	TALLY_COUNT(message_1_rows),
	TALLY_COUNT(message_1_sent),
	TALLY_COUNT(message_2_sent),
	TALLY_COUNT(contacts),
	TALLY_COUNT(contacts_completed),
	TALLY_COUNT(awaiting),
	TALLY_COUNT(interactions)
};

/*
 * The n-th of these counts.
 */
int64
cac_tally_count(const CampaignTally *tally, int n)
{
	return *(const int64 *) ((const char *) tally + cac_tally_counts[n].offset);
}

/*
 * What gave the order, and who: the two differ after SET ROLE, and in a
 * function that is SECURITY DEFINER.
 */
static void
append_cause(StringInfo json, const JudgeRequest *request)
{
	if (request->order == ORDER_NONE)
	{
		cac_append_json(json, "sweep", cac_sweep_name(request->sweep));
		return;
	}
	cac_append_json(json, "sweep", "hand");
	cac_append_json(json, "session_user",
					GetUserNameFromId(GetSessionUserId(), false));
	cac_append_json(json, "current_user",
					GetUserNameFromId(GetUserId(), false));
}

/*
 * cac_describe_tally
 *		The tally and what it was judged by, as a JSON object.
 *
 * completed_at is what the table has kept of it; DT_NOBEGIN: nothing.
 */
char *
cac_describe_tally(const Judgement *j, TimestampTz completed_at)
{
	const CampaignPolicy *policy = &j->facts.policy;
	int64		failed_by_us = j->memory.failed + j->failed;
	StringInfoData json;

	initStringInfo(&json);
	append_cause(&json, j->request);
	cac_append_json(&json, "rule", policy->completion_rule == COMPLETION_MESSAGES ?
					"messages" : "contacts");
	cac_append_json_count(&json, "interaction_timeout_seconds",
						  policy->interaction_timeout / USECS_PER_SEC);
	cac_append_json_count(&json, "campaign_timeout_seconds",
						  policy->campaign_timeout / USECS_PER_SEC);
	cac_append_json_moment(&json, "start", j->facts.start);
	cac_append_json_moment(&json, "last_sent", j->verdict.tally.last_sent);
	cac_append_json_moment(&json, "completed_at", completed_at);
	cac_append_json_count(&json, "total_recipients", j->facts.total_recipients);
	for (int i = 0; i < NUM_TALLY_COUNTS; i++)
		cac_append_json_count(&json, cac_tally_counts[i].key,
							  cac_tally_count(&j->verdict.tally, i));
	if (failed_by_us > 0)
		cac_append_json_count(&json, "failed_by_us", failed_by_us);
	if (j->facts.blackout)
		cac_append_json_count(&json, "unproven", cac_tally_due(&j->verdict.tally));
	return psprintf("{%s}", json.data);
}

/*
 * cac_find_certificate
 *		The event of the campaign's last closing; false where there is none, as
 *		the extension has not closed it, or history does not reach.
 */
bool
cac_find_certificate(const Source *source, const char *campaign_id,
					 Certificate *certificate)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT e.at, e.status_to, e.reason, e.details,"
		" (SELECT count(*) FROM @.campaign_event AS r WHERE r.source = $1 AND r.campaign_id = $2"
		"  AND r.event = 'reopened' AND NOT r.shadow AND r.id > e.id)"
		" FROM @.campaign_event AS e WHERE e.source = $1 AND e.campaign_id = $2"
		" AND e.event = 'closed' AND NOT e.shadow ORDER BY e.id DESC LIMIT 1");
	CatalogArguments arguments = {0};
	bool		isnull;
	Datum		details;

	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, campaign_id);
	if (cac_catalog_execute(&query, &arguments) == 0)
	{
		SPI_freetuptable(SPI_tuptable);
		return false;
	}
	certificate->at = cac_row_timestamp(0, 1);
	certificate->status = cac_row_text(0, 2);
	certificate->reason = cac_row_text(0, 3);
	details = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 4, &isnull);
	certificate->details = DatumGetJsonbPCopy(details);
	certificate->reopened = cac_row_count(0, 5) > 0;
	SPI_freetuptable(SPI_tuptable);
	return true;
}

/*
 * cac_certified
 *		One of the certificate's details as palloc'd text; NULL: it has none.
 */
char *
cac_certified(const Certificate *certificate, const char *key)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&certificate->details->root,
													 key, strlen(key), NULL);

	if (value == NULL)
		return NULL;
	if (value->type == jbvString)
		return pnstrdup(value->val.string.val, value->val.string.len);
	if (value->type == jbvNumeric)
		return DatumGetCString(DirectFunctionCall1(numeric_out,
												   NumericGetDatum(value->val.numeric)));
	return NULL;
}

/*
 * Likewise as a moment; DT_NOBEGIN: it has none.
 */
TimestampTz
cac_certified_moment(const Certificate *certificate, const char *key)
{
	char	   *text = cac_certified(certificate, key);

	if (text == NULL)
		return DT_NOBEGIN;
	return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
												   CStringGetDatum(text),
												   ObjectIdGetDatum(InvalidOid),
												   Int32GetDatum(-1)));
}

/*
 * A row of the result: NULLs are equal to each other.
 */
static void
report(ReturnSetInfo *rsinfo, const char *what, const char *at_closing,
	   const char *now)
{
	Datum		values[4];
	bool		nulls[4] = {0};
	bool		equal = at_closing == NULL || now == NULL ? at_closing == now :
		strcmp(at_closing, now) == 0;

	values[0] = CStringGetTextDatum(what);
	nulls[1] = at_closing == NULL;
	values[1] = at_closing ? CStringGetTextDatum(at_closing) : (Datum) 0;
	nulls[2] = now == NULL;
	values[2] = now ? CStringGetTextDatum(now) : (Datum) 0;
	values[3] = BoolGetDatum(equal);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* A moment as text that is the same for the same moment. */
static char *
moment_text(TimestampTz moment)
{
	return moment == DT_NOBEGIN ? NULL : pstrdup(timestamptz_to_str(moment));
}

/*
 * Count the campaign anew and compare; JudgementReader.
 */
static void
verify(Judgement *j, void *arg)
{
	Verification *verification = arg;
	ReturnSetInfo *rsinfo = verification->rsinfo;
	Certificate certificate;

	verification->certified = cac_find_certificate(j->source,
												   j->outcome->campaign_id,
												   &certificate);
	if (!verification->certified)
		return;
	cac_count(j, false);
	report(rsinfo, "status", certificate.status, j->row.status_text);
	report(rsinfo, "completed_at",
		   moment_text(cac_certified_moment(&certificate, "completed_at")),
		   moment_text(j->row.completed_at));
	for (int i = 0; i < NUM_TALLY_COUNTS; i++)
		report(rsinfo, cac_tally_counts[i].key,
			   cac_certified(&certificate, cac_tally_counts[i].key),
			   psprintf(INT64_FORMAT, cac_tally_count(&j->tally, i)));
}

/*
 * cac_verify_certificate
 *		What of a campaign's last closing is otherwise now, as rows (what,
 *		at_closing, now, ok).
 *
 * outcome->found tells whether there is such a campaign; false is returned
 * where there is no certificate of it.  Changes and locks nothing.
 */
bool
cac_verify_certificate(Source *source, Datum key, ReturnSetInfo *rsinfo,
					   JudgeOutcome *outcome)
{
	JudgeRequest request = {.dry_run = true};
	Verification verification = {.rsinfo = rsinfo};

	cac_read_judgement(source, key, &request, outcome, verify, &verification);
	return verification.certified;
}
