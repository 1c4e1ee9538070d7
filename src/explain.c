/*
 * explain.c
 *		Why a campaign is, or is not, closed, and when it will be: condition by
 *		condition, for people.
 *
 * The rows of the result are conditions; "ok" tells whether one is met, and is
 * null where there is nothing to be met.  An open campaign is closed when all
 * that the rules ask of it is met, or its time is up: what is not ok holds it
 * open, "until" the moment given at the latest.  Of a closed one the closing
 * certificate tells.
 *
 * Nothing here decides: the judging is that of rules.c.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "certificate.h"
#include "explain.h"

/* Of how many unknown status words to tell. */
#define MAX_WORDS		5

typedef enum Condition
{
	CONDITION_NONE,				/* nothing to be met */
	CONDITION_MET,
	CONDITION_NOT_MET
} Condition;

#define CONDITION(met)	((met) ? CONDITION_MET : CONDITION_NOT_MET)

typedef struct Explanation
{
	ReturnSetInfo *rsinfo;
	Judgement  *j;
	TimestampTz as_of;
	AwaitedCount awaited;
	TimestampTz timeout_at;		/* when the campaign's time is up, or */
	TimestampTz last_expiry;	/* that of the last contact; DT_NOEND: never */
	List	   *troubles;		/* of CampaignTrouble */
	const char *not_marked;		/* why the silent are not; NULL: they are */
} Explanation;

/*
 * Add a row; "until" may be infinite: then it is null.
 */
static void
explain(ReturnSetInfo *rsinfo, const char *condition, Condition state,
		const char *detail, TimestampTz until)
{
	Datum		values[4];
	bool		nulls[4] = {0};

	values[0] = CStringGetTextDatum(condition);
	nulls[1] = state == CONDITION_NONE;
	values[1] = BoolGetDatum(state == CONDITION_MET);
	values[2] = CStringGetTextDatum(detail);
	nulls[3] = TIMESTAMP_NOT_FINITE(until);
	values[3] = TimestampTzGetDatum(until);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* A moment as palloc'd text. */
static char *
at(TimestampTz moment)
{
	return pstrdup(timestamptz_to_str(moment));
}

/* "1 contact", "2 contacts" */
static char *
count_of(int64 n, const char *what)
{
	return psprintf(INT64_FORMAT " %s%s", n, what, n == 1 ? "" : "s");
}

/* ----------------------------------------------------------------
 *		The source
 * ----------------------------------------------------------------
 */

/*
 * cac_explain_faults
 *		Nothing can be told of the campaigns of a source at fault but that.
 */
void
cac_explain_faults(const Source *source, ReturnSetInfo *rsinfo)
{
	ListCell   *lc;

	foreach(lc, source->faults)
	{
		SourceFault *fault = lfirst(lc);

		explain(rsinfo, "source acts", CONDITION_NOT_MET,
				psprintf("%s. %s", fault->message, fault->hint), DT_NOEND);
	}
}

static void
explain_source(Explanation *e)
{
	const Source *source = e->j->source;
	const char *detail;

	if (cac_source_acts(source))
		detail = psprintf("source \"%s\" is active", source->name);
	else if (source->mode == MODE_PAUSED)
		detail = psprintf("source \"%s\" is paused: nothing is done. Activate it with campaign_alter(%s, 'mode', 'active').",
						  source->name, quote_literal_cstr(source->name));
	else if (!source->armed)
		detail = psprintf("source \"%s\" was not activated in this database: nothing is done. Activate it with campaign_alter(%s, 'mode', 'active').",
						  source->name, quote_literal_cstr(source->name));
	else
		detail = psprintf("source \"%s\" is in shadow mode: what would be done is recorded, not done. Activate it with campaign_alter(%s, 'mode', 'active').",
						  source->name, quote_literal_cstr(source->name));
	explain(e->rsinfo, "source acts", CONDITION(cac_source_acts(source)),
			detail, DT_NOEND);
}

/* ----------------------------------------------------------------
 *		An open campaign
 * ----------------------------------------------------------------
 */

/*
 * Where the campaign's start comes from.
 */
static const char *
origin_of_start(const Judgement *j)
{
	TimestampTz start = j->facts.start;

	if (start == j->memory.reopened_at)
		return "its last reopening";
	if (start == j->row.resumed_at)
		return "resumed_at";
	if (start == j->row.started_at)
		return "started_at";
	return "created_at";
}

/*
 * When the campaign is closed at the latest, as far as can be told; DT_NOEND:
 * never.  A sweep that went wrong comes back to it when its retry is due.
 */
static TimestampTz
closes_by_sweep(const Explanation *e)
{
	const Judgement *j = e->j;
	TimestampTz closes_by = cac_closes_by(&j->facts, &j->tally, j->source->every,
										  e->last_expiry, e->as_of);
	ListCell   *lc;

	foreach(lc, e->troubles)
	{
		const CampaignTrouble *trouble = lfirst(lc);

		if (strcmp(trouble->sweep, cac_sweep_name(SWEEP_INTERRUPTED)) == 0)
			continue;			/* that one closes nothing */
		closes_by = Max(closes_by, trouble->retry_at);
	}
	return closes_by;
}

static void
explain_open(Explanation *e)
{
	const Judgement *j = e->j;
	const CampaignFacts *facts = &j->facts;
	TimestampTz closes_by = closes_by_sweep(e);
	VerdictReason why_not;
	StringInfoData detail;

	initStringInfo(&detail);
	appendStringInfo(&detail, "status \"%s\"", j->row.status_text);
	if (facts->start == DT_NOEND)
		appendStringInfoString(&detail, "; no column tells when it started");
	else
		appendStringInfo(&detail, ", started %s (%s)", at(facts->start),
						 origin_of_start(j));
	if (!cac_campaign_complete(facts, &j->tally, &why_not))
		appendStringInfo(&detail, "; %s", cac_reason_text(why_not));
	else if (cac_source_acts(j->source) && closes_by != DT_NOEND)
		appendStringInfo(&detail, "; complete: the next sweep closes it as \"%s\"",
						 cac_status_word(j->source, cac_final_status(&j->tally)));
	else
		appendStringInfoString(&detail, "; complete");
	if (!cac_source_acts(j->source))
	{
		appendStringInfoString(&detail, "; nothing closes it while its source does not act");
		closes_by = DT_NOEND;
	}
	else if (closes_by == DT_NOEND)
		appendStringInfoString(&detail, "; as it is, no sweep will close it");
	else if (closes_by < e->as_of)
		appendStringInfoString(&detail, "; the sweep that closes it is late");
	explain(e->rsinfo, "closed", CONDITION_NOT_MET, detail.data, closes_by);
}

static void
explain_messages(Explanation *e)
{
	const CampaignTally *tally = &e->j->tally;

	explain(e->rsinfo, "has messages", CONDITION(tally->messages > 0),
			tally->messages == 0 ? "none" :
			psprintf("%s to %s", count_of(tally->messages, "message"),
					 count_of(tally->contacts, "contact")),
			tally->messages > 0 ? DT_NOEND : e->timeout_at);
}

/*
 * What is pending, by kind and age, and what is not understood, by word.
 */
static void
explain_unsent(Explanation *e)
{
	const CampaignTally *tally = &e->j->tally;
	List	   *unsent = cac_read_unsent(e->j->source, e->j->key);
	int			words = 0;
	ListCell   *lc;

	if (tally->pending == 0)
		explain(e->rsinfo, "nothing pending", CONDITION_MET, "none", DT_NOEND);
	foreach(lc, unsent)
	{
		UnsentCount *count = lfirst(lc);

		if (count->pending)
			explain(e->rsinfo, "nothing pending", CONDITION_NOT_MET,
					psprintf(INT64_FORMAT " of Message %d%s%s", count->count,
							 count->message_2 ? 2 : 1,
							 count->oldest == DT_NOBEGIN ? "" : ", the oldest from ",
							 count->oldest == DT_NOBEGIN ? "" : at(count->oldest)),
					e->timeout_at);
	}
	if (tally->unmapped == 0)
		explain(e->rsinfo, "all statuses known", CONDITION_MET,
				"none that the source does not know", DT_NOEND);
	foreach(lc, unsent)
	{
		UnsentCount *count = lfirst(lc);

		if (count->pending || ++words > MAX_WORDS + 1)
			continue;
		explain(e->rsinfo, "all statuses known", CONDITION_NOT_MET,
				words > MAX_WORDS ? "and others" :
				psprintf("%s in status %s", count_of(count->count, "message"),
						 count->word == NULL ? "null" :
						 psprintf("\"%s\"", count->word)),
				e->timeout_at);
	}
}

static void
explain_recipients(Explanation *e)
{
	int64		rows = e->j->tally.message_1_rows;
	int64		recipients = e->j->facts.total_recipients;
	bool		filled = recipients <= 0 || rows >= recipients;

	explain(e->rsinfo, "filled", CONDITION(filled),
			recipients <= 0 ? "total_recipients is not given" :
			psprintf(INT64_FORMAT " of " INT64_FORMAT " recipients have a Message 1",
					 rows, recipients),
			filled ? DT_NOEND : e->timeout_at);
}

/*
 * Who is silent, and until when they may be.
 */
static void
explain_silent(Explanation *e)
{
	const Judgement *j = e->j;
	int64		timeout = j->facts.policy.interaction_timeout;
	int64		due = cac_tally_due(&j->tally);
	TimestampTz last = cac_after(e->awaited.last, timeout);
	StringInfoData detail;

	initStringInfo(&detail);
	appendStringInfo(&detail, "%s silent", count_of(e->awaited.silent, "contact"));
	if (e->awaited.first != e->awaited.last)
		appendStringInfo(&detail, ", whose time is up from %s to %s",
						 at(cac_after(e->awaited.first, timeout)), at(last));
	else if (!TIMESTAMP_NOT_FINITE(last))
		appendStringInfo(&detail, ", whose time is up at %s", at(last));
	if (e->not_marked != NULL)
	{
		appendStringInfo(&detail, ", %s", e->not_marked);
		last = DT_NOEND;
	}
	else if (due > 0)
		appendStringInfo(&detail, "; sweep \"expired\" has %s to mark",
						 count_of(due, "message"));
	explain(e->rsinfo, "nobody awaited", CONDITION_NOT_MET, detail.data,
			Min(last, e->timeout_at));
}

static void
explain_awaited(Explanation *e)
{
	const Judgement *j = e->j;
	const AwaitedCount *awaited = &e->awaited;

	if (j->facts.policy.completion_rule == COMPLETION_MESSAGES ||
		j->tally.awaiting == 0)
	{
		explain(e->rsinfo, "nobody awaited", CONDITION_MET,
				j->tally.awaiting > 0 ? "rule \"messages\" awaits nobody" :
				j->tally.contacts == 0 ? "none" :
				psprintf("the cycle of " INT64_FORMAT " of %s has ended",
						 j->tally.contacts_completed,
						 count_of(j->tally.contacts, "contact")),
				DT_NOEND);
		return;
	}
	if (awaited->silent > 0)
		explain_silent(e);
	if (awaited->replied > 0)
		explain(e->rsinfo, "nobody awaited", CONDITION_NOT_MET,
				psprintf("%s with a reply and no Message 2",
						 count_of(awaited->replied, "contact")), e->timeout_at);
	if (awaited->followed > 0)
		explain(e->rsinfo, "nobody awaited", CONDITION_NOT_MET,
				psprintf("%s with a Message 2 that has not been sent",
						 count_of(awaited->followed, "contact")), e->timeout_at);
}

static void
explain_time(Explanation *e)
{
	const CampaignFacts *facts = &e->j->facts;
	bool		over = cac_campaign_timed_out(facts, e->as_of);
	bool		off = e->j->source->every[SWEEP_TIMEOUT] < 0;
	const char *limit = cac_interval_text(facts->policy.campaign_timeout);

	explain(e->rsinfo, "within its time", CONDITION(!over),
			facts->start == DT_NOEND ? "unlimited, as its start is not known" :
			psprintf("%s %s%s", over ? "open for longer than" : "it has",
					 limit, off ? ", but sweep \"timeout\" is off" :
					 over ? ": sweep \"timeout\" closes it" : " from its start"),
			e->timeout_at);
}

/*
 * Is it still being sent?
 */
static void
explain_sending(Explanation *e)
{
	const Judgement *j = e->j;
	const CampaignTally *tally = &j->tally;
	TimestampTz idle_since = Max(tally->last_sent, j->facts.start);
	StringInfoData detail;
	TimestampTz due;
	bool		stalled;
	int			stalls;

	if (tally->pending == 0)
	{
		explain(e->rsinfo, "not stalled", CONDITION_MET, "nothing to send", DT_NOEND);
		return;
	}
	due = cac_stall_due(&j->facts, tally, &stalls);
	stalled = e->as_of >= cac_after(idle_since, j->facts.policy.stall_after);
	initStringInfo(&detail);
	if (tally->last_sent == DT_NOBEGIN)
		appendStringInfoString(&detail, "nothing sent yet");
	else
		appendStringInfo(&detail, "last sent %s", at(tally->last_sent));
	if (stalls > 0)
		appendStringInfo(&detail, "; the application was asked to resume it %s, last at %s",
						 count_of(stalls, "time"), at(j->facts.stalled_at));
	else if (stalled)
		appendStringInfoString(&detail, "; the application is to be asked to resume it");
	explain(e->rsinfo, "not stalled", CONDITION(!stalled), detail.data,
			j->source->every[SWEEP_INTERRUPTED] < 0 ? DT_NOEND : due);
}

/* ----------------------------------------------------------------
 *		Errors and policy
 * ----------------------------------------------------------------
 */

/*
 * What an error says may be nobody's business but the owner's.
 */
static void
explain_troubles(Explanation *e)
{
	const Judgement *j = e->j;
	bool		owner = has_privs_of_role(GetUserId(), j->source->owner);
	ListCell   *lc;

	if (e->troubles == NIL)
		explain(e->rsinfo, "no errors", CONDITION_MET, "none", DT_NOEND);
	foreach(lc, e->troubles)
	{
		CampaignTrouble *trouble = lfirst(lc);
		char	   *detail;

		if (trouble->failures > 0)
			detail = psprintf("sweep \"%s\": %s in a row, the last %s%s%s", trouble->sweep,
							  count_of(trouble->failures, "error"), trouble->sqlstate,
							  owner ? ": " : "", owner ? trouble->error : "");
		else
			detail = psprintf("sweep \"%s\": skipped %s in a row, as another transaction held its row",
							  trouble->sweep, count_of(trouble->skips, "time"));
		explain(e->rsinfo, "no errors", CONDITION_NOT_MET, detail,
				trouble->retry_at);
	}
}

/*
 * Is a setting of the source what it is for every new source?
 */
static bool
is_default(const Source *source, const char *setting)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT pg_get_expr(d.adbin, d.adrelid) = quote_literal(to_jsonb(s) ->> $2)"
		"  || '::' || format_type(a.atttypid, a.atttypmod)"
		" FROM @.campaign_source AS s, pg_attribute AS a"
		" JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
		" WHERE s.source = $1 AND a.attrelid = s.tableoid AND a.attname = $2");
	CatalogArguments arguments = {0};
	bool		result;

	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, setting);
	result = cac_catalog_execute(&query, &arguments) > 0 && cac_row_bool(0, 1);
	SPI_freetuptable(SPI_tuptable);
	return result;
}

static void
explain_setting(Explanation *e, const char *setting, const char *value,
				bool of_campaign)
{
	explain(e->rsinfo, setting, CONDITION_NONE,
			psprintf("%s (%s)", value, of_campaign ? "of the campaign" :
					 is_default(e->j->source, setting) ? "default" : "of the source"),
			DT_NOEND);
}

/*
 * The policy that it is judged by, and where each value comes from.
 */
static void
explain_policy(Explanation *e)
{
	const CampaignRow *row = &e->j->row;
	const CampaignPolicy *policy = &e->j->facts.policy;
	const char *rule = policy->completion_rule == COMPLETION_MESSAGES ?
		"messages" : "contacts";

	explain_setting(e, "completion_rule", rule,
					row->completion_rule && strcmp(row->completion_rule, rule) == 0);
	explain_setting(e, "interaction_timeout",
					cac_interval_text(policy->interaction_timeout),
					row->interaction_timeout > 0);
	explain_setting(e, "campaign_timeout",
					cac_interval_text(policy->campaign_timeout),
					row->campaign_timeout > 0);
	explain_setting(e, "stall_after", cac_interval_text(policy->stall_after),
					false);
	if (e->j->source->ignores_late)
		explain_setting(e, "late_interactions", "ignore", false);
	if (e->j->source->blackout_after >= 0)
		explain_setting(e, "blackout_after",
						cac_interval_text(e->j->source->blackout_after), false);
}

/* ----------------------------------------------------------------
 *		A closed campaign
 * ----------------------------------------------------------------
 */

/*
 * A certified interval, for people.
 */
static const char *
certified_interval(const Certificate *certificate, const char *key)
{
	char	   *seconds = cac_certified(certificate, key);

	return seconds == NULL ? "unknown" :
		cac_interval_text(pg_strtoint64(seconds) * USECS_PER_SEC);
}

/*
 * By what it was closed: a sweep, campaign_update_status(), an operator.
 */
static char *
describe_cause(const Certificate *certificate)
{
	const char *cause = cac_certified(certificate, "sweep");
	const char *session_user;
	const char *current_user;

	if (cause != NULL && strcmp(cause, "status") == 0)
		return pstrdup("campaign_update_status()");
	if (cause == NULL || strcmp(cause, "hand") != 0)
		return psprintf("sweep \"%s\"", cause ? cause : "unknown");
	session_user = cac_certified(certificate, "session_user");
	current_user = cac_certified(certificate, "current_user");
	if (session_user == NULL || current_user == NULL ||
		strcmp(session_user, current_user) == 0)
		return psprintf("hand of \"%s\"", session_user ? session_user : "unknown");
	return psprintf("hand of \"%s\" as \"%s\"", session_user, current_user);
}

static void
explain_certificate(Explanation *e, const Certificate *certificate)
{
	StringInfoData counts;

	explain(e->rsinfo, "closed by", CONDITION_NONE,
			psprintf("%s at %s: %s", describe_cause(certificate),
					 at(certificate->at), certificate->reason), DT_NOEND);
	explain(e->rsinfo, "by rule", CONDITION_NONE,
			psprintf("%s, interaction_timeout %s, campaign_timeout %s",
					 cac_certified(certificate, "rule"),
					 certified_interval(certificate, "interaction_timeout_seconds"),
					 certified_interval(certificate, "campaign_timeout_seconds")),
			DT_NOEND);
	initStringInfo(&counts);
	for (int i = 0; i < NUM_TALLY_COUNTS; i++)
	{
		const char *count = cac_certified(certificate, cac_tally_counts[i].key);

		/* what there is none of need not be read */
		if (count != NULL && strcmp(count, "0") != 0)
			appendStringInfo(&counts, "%s%s %s", counts.len > 0 ? ", " : "",
							 cac_tally_counts[i].key, count);
	}
	explain(e->rsinfo, "on counts", CONDITION_NONE,
			counts.len > 0 ? counts.data : "no messages", DT_NOEND);
}

static void
explain_closed(Explanation *e)
{
	const Judgement *j = e->j;
	const CampaignFacts *facts = &j->facts;
	TimestampTz settled_at = cac_after(facts->completed_at, facts->policy.settle_for);
	Certificate certificate;

	explain(e->rsinfo, "closed", CONDITION_MET,
			psprintf("status \"%s\"%s%s", j->row.status_text,
					 facts->has_completed_at ? " since " :
					 facts->keeps_completed_at ? ", completed_at is not set" : "",
					 facts->has_completed_at ? at(facts->completed_at) : ""),
			DT_NOEND);
	if (!cac_find_certificate(j->source, j->outcome->campaign_id, &certificate) ||
		certificate.reopened)
		explain(e->rsinfo, "closed by", CONDITION_NONE,
				"the application, or longer ago than history_keep", DT_NOEND);
	else if (strcmp(certificate.status, j->row.status_text) != 0 ||
			 cac_certified_moment(&certificate, "completed_at") != j->row.completed_at)
		explain(e->rsinfo, "closed by", CONDITION_NONE,
				psprintf("the application, after the extension had closed it as \"%s\" at %s",
						 certificate.status, at(certificate.at)), DT_NOEND);
	else
		explain_certificate(e, &certificate);

	if (facts->has_completed_at && e->as_of <= settled_at)
		explain(e->rsinfo, "settles", CONDITION_NONE,
				facts->closed_as_complete ?
				"its statistics are kept right, and a new pending message reopens it" :
				"its statistics are kept right", settled_at);
	else
		explain(e->rsinfo, "settled", CONDITION_NONE,
				"its statistics stay as they are, and nothing reopens it by itself", DT_NOEND);
}

/* ----------------------------------------------------------------
 *		All of it
 * ----------------------------------------------------------------
 */

/*
 * What is read of an open campaign besides its facts.
 */
static void
learn_more(Explanation *e)
{
	Judgement  *j = e->j;
	const AwaitedCount *awaited = &e->awaited;
	const CampaignPolicy *policy = &j->facts.policy;

	cac_count(j, cac_source_marks(j->source));
	cac_read_awaited(j->source, j->key, j->facts.start,
					 j->facts.policy.interaction_timeout, &e->awaited);
	e->timeout_at = j->source->every[SWEEP_TIMEOUT] < 0 ? DT_NOEND :
		cac_after(j->facts.start, policy->campaign_timeout);
	e->last_expiry = DT_NOEND;
	e->not_marked = !cac_source_marks(j->source) ?
		"but the source has no word for \"no_interaction\"" :
		j->source->every[SWEEP_EXPIRED] < 0 ? "but sweep \"expired\" is off" :
		cac_tally_due(&j->tally) > 0 && cac_judged_in_blackout(j) ?
		"but nothing is heard of anybody, so silence proves nothing" : NULL;
	if (awaited->silent > 0 && awaited->replied + awaited->followed == 0 &&
		e->not_marked == NULL)
		e->last_expiry = cac_after(awaited->last, policy->interaction_timeout);
}

/*
 * JudgementReader
 */
static void
explain_campaign(Judgement *j, void *arg)
{
	Explanation *e = arg;

	e->j = j;
	e->troubles = cac_troubles(j->source, j->outcome->campaign_id);
	if (j->facts.status == CAMPAIGN_OTHER)
		explain(e->rsinfo, "closed", CONDITION_NOT_MET,
				j->row.status_text == NULL ? "status null is the application's own: the campaign is left alone" :
				psprintf("status \"%s\" is the application's own: the campaign is left alone",
						 j->row.status_text), DT_NOEND);
	else if (j->facts.status == CAMPAIGN_OPEN)
	{
		learn_more(e);
		explain_open(e);
	}
	else
		explain_closed(e);

	explain_source(e);
	if (j->facts.status == CAMPAIGN_OPEN)
	{
		explain_messages(e);
		explain_unsent(e);
		explain_recipients(e);
		explain_awaited(e);
		explain_time(e);
		explain_sending(e);
	}
	explain_troubles(e);
	if (j->facts.status == CAMPAIGN_OPEN)
		explain_policy(e);
}

/*
 * cac_explain_campaign
 *		Explain one campaign, in rows (condition, ok, detail, until).
 *
 * outcome->found tells whether there is such a campaign.  The source must not
 * be at fault.  Changes and locks nothing.
 */
void
cac_explain_campaign(Source *source, Datum key, TimestampTz as_of,
					 ReturnSetInfo *rsinfo, JudgeOutcome *outcome)
{
	JudgeRequest request = {.dry_run = true, .as_of = as_of};
	Explanation e = {.rsinfo = rsinfo, .as_of = as_of};

	cac_read_judgement(source, key, &request, outcome, explain_campaign, &e);
}
