/*
 * reports.c
 *		What operators watch: how far every open campaign has come
 *		(campaign_progress), and what should have been closed and has not been
 *		(campaign_overdue).
 *
 * Open campaigns are counted one by one, with the statement and the rules that
 * close them, but with nothing written or locked, so both work in a read-only
 * transaction, on a standby and at any isolation level.  A report acts with
 * its caller's rights.  A source that is named must be readable; of all
 * sources, those that are not, or that are at fault, are left out.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "arguments.h"
#include "attempt.h"
#include "judgement.h"
#include "queries.h"
#include "reports.h"

PG_FUNCTION_INFO_V1(campaign_progress);
PG_FUNCTION_INFO_V1(campaign_overdue);

/* A rate is told over no less than that, or the first message would be a storm. */
#define RATE_AT_LEAST		USECS_PER_MINUTE

struct CampaignReport;

/* Adds the rows of one open campaign to a report. */
typedef void (*ReportCampaign) (struct CampaignReport *report, Judgement *j);

typedef struct CampaignReport
{
	ReportCampaign report_campaign;
	TimestampTz as_of;
	const char *source;			/* the one in hand */
	Tuplestorestate *rows;
	TupleDesc	desc;
	MemoryContext context;		/* of the source in hand */
	Blackout	blackout;		/* likewise */
} CampaignReport;

/* ----------------------------------------------------------------
 *		Every open campaign
 * ----------------------------------------------------------------
 */

/*
 * Since when a campaign's rate of sending is told: for stall_after, so that it
 * is 0 where the campaign is stalled, or since its start.
 */
static TimestampTz
rate_since(const CampaignFacts *facts, TimestampTz as_of)
{
	TimestampTz since = cac_before(as_of, facts->policy.stall_after);
	TimestampTz latest = cac_before(as_of, Min(RATE_AT_LEAST, facts->policy.stall_after));

	if (facts->start != DT_NOEND && facts->start > since)
		since = Min(facts->start, latest);
	return since;
}

/*
 * Count one campaign, and report it if it is open still; JudgementReader.
 */
static void
report_judged(Judgement *j, void *arg)
{
	CampaignReport *report = arg;

	if (j->facts.status != CAMPAIGN_OPEN)
		return;
	cac_count(j, cac_source_marks(j->source));
	report->report_campaign(report, j);
}

/*
 * Report the open campaigns of one source; AttemptFunction.
 */
static void
report_source(void *arg)
{
	CampaignReport *report = arg;
	Source	   *source = cac_source_open(report->source);
	MemoryContext old = MemoryContextSwitchTo(report->context);
	MemoryContext context = AllocSetContextCreate(report->context,
												  "campaign_autoclose campaign",
												  ALLOCSET_DEFAULT_SIZES);
	JudgeRequest request = {.sweep = SWEEP_NONE, .as_of = report->as_of,
		.blackout = &report->blackout};
	SavedIdentity saved;
	int64		count;
	Datum	   *keys;
	int			guc_level;

	cac_source_enter_to_read(source, &saved);
	keys = cac_open_campaigns(source, report->context, &count);
	cac_leave(&saved);
	guc_level = NewGUCNestLevel();
	cac_plan_for_many(source, count);
	MemoryContextSwitchTo(context);
	for (int64 i = 0; i < count; i++)
	{
		JudgeOutcome outcome;

		CHECK_FOR_INTERRUPTS();
		cac_read_judgement(source, keys[i], &request, &outcome,
						   report_judged, report);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	AtEOXact_GUC(false, guc_level);
}

/*
 * Report a source if it can be: what it raises in the middle leaves no rows.
 * One that the caller may not read is passed over in silence; so is one at
 * fault, which is campaign_health()'s to tell.
 */
static void
try_source(CampaignReport *report, const char *name)
{
	Source	   *source = cac_source_find(name);
	Tuplestorestate *rows = report->rows;
	TupleTableSlot *slot;
	ErrorData  *error;

	if (source == NULL || source->fault_code != 0 ||
		!cac_source_has_rights(source, false) ||
		!cac_source_harmless(source, false))
		return;
	report->rows = tuplestore_begin_heap(false, false, work_mem);
	if (cac_attempt(report_source, report, 0, &error))
	{
		slot = MakeSingleTupleTableSlot(report->desc, &TTSOpsMinimalTuple);
		while (tuplestore_gettupleslot(report->rows, true, false, slot))
			tuplestore_puttupleslot(rows, slot);
		ExecDropSingleTupleTableSlot(slot);
	}
	else if (error->sqlerrcode != ERRCODE_INSUFFICIENT_PRIVILEGE)
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("source \"%s\" is left out: %s", name, error->message),
				 errhint("Name the source to see the error.")));
	tuplestore_end(report->rows);
	report->rows = rows;
}

/*
 * campaign_progress() and campaign_overdue(): (source name DEFAULT NULL,
 * as_of timestamptz DEFAULT NULL) -> a row for each open campaign, or some.
 */
static Datum
report_campaigns(FunctionCallInfo fcinfo, ReportCampaign report_campaign)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *name = cac_name_argument(fcinfo, 0);
	TimestampTz as_of = cac_as_of_argument(fcinfo, 1);
	CampaignReport report = {.report_campaign = report_campaign};
	List	   *names;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	report.rows = rsinfo->setResult;
	report.desc = rsinfo->setDesc;
	report.as_of = as_of == DT_NOBEGIN ? GetCurrentTimestamp() : as_of;
	cac_connect_spi();
	names = name ? list_make1(name) : cac_source_list(false);
	foreach(lc, names)
	{
		report.source = lfirst(lc);
		memset(&report.blackout, 0, sizeof(report.blackout));
		report.context = AllocSetContextCreate(CurrentMemoryContext,
											   "campaign_autoclose report",
											   ALLOCSET_DEFAULT_SIZES);
		if (name != NULL)
		{
			Source	   *source = cac_source_open(name);

			cac_source_check(source);
			cac_source_check_rights(source, false);
			report_source(&report);
		}
		else
			try_source(&report, lfirst(lc));
		MemoryContextDelete(report.context);
	}
	SPI_finish();
	return (Datum) 0;
}

/* ----------------------------------------------------------------
 *		Columns
 * ----------------------------------------------------------------
 */

Datum
cac_text_column(const char *text, bool *isnull)
{
	*isnull = text == NULL;
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

/* DT_NOBEGIN is null */
Datum
cac_timestamp_column(TimestampTz moment, bool *isnull)
{
	*isnull = moment == DT_NOBEGIN;
	return TimestampTzGetDatum(moment);
}

/*
 * A number of tenths, as numeric with one decimal.
 */
Datum
cac_tenths_column(int64 tenths)
{
	return NumericGetDatum(int64_div_fast_to_numeric(tenths, 1));
}

/*
 * The time from one moment to another, in hours: a day need not have 24.
 * Null where one of them is unknown.
 */
Datum
cac_duration_column(TimestampTz from, TimestampTz to, bool *isnull)
{
	Interval   *result = palloc0(sizeof(Interval));

	*isnull = TIMESTAMP_NOT_FINITE(from) || TIMESTAMP_NOT_FINITE(to);
	result->time = *isnull ? 0 : to - from;
	return IntervalPGetDatum(result);
}

/* ----------------------------------------------------------------
 *		campaign_progress
 * ----------------------------------------------------------------
 */

/*
 * Messages sent per minute, in tenths, rounded.
 */
static int64
send_rate(const Judgement *j, TimestampTz as_of)
{
	TimestampTz since = rate_since(&j->facts, as_of);
	int64		window = as_of - since;
	int64		sent;
	TimestampTz last_change;

	cac_read_pace(j->source, j->key, since, as_of, &sent, &last_change);
	if (window <= 0)
		return 0;
	return (sent * 10 * USECS_PER_MINUTE + window / 2) / window;
}

/*
 * The contacts who are awaited, which nobody need be asked for in vain.
 */
static void
read_awaited(const Judgement *j, AwaitedCount *awaited)
{
	memset(awaited, 0, sizeof(*awaited));
	awaited->first = awaited->last = DT_NOBEGIN;
	if (j->tally.awaiting > 0)
		cac_read_awaited(j->source, j->key, j->facts.start,
						 j->facts.policy.interaction_timeout, awaited);
}

/*
 * Until when a contact who was sent a Message 1 at that moment is waited for;
 * DT_NOBEGIN where nobody is ever marked as silent.
 */
static TimestampTz
deadline(const Judgement *j, TimestampTz moment)
{
	if (!cac_source_marks(j->source))
		return DT_NOBEGIN;
	return cac_after(moment, j->facts.policy.interaction_timeout);
}

static void
report_progress(CampaignReport *report, Judgement *j)
{
	const CampaignFacts *facts = &j->facts;
	const CampaignTally *tally = &j->tally;
	TimestampTz start = facts->start == DT_NOEND ? DT_NOBEGIN : facts->start;
	int64		expected = Max(tally->contacts, facts->total_recipients);
	int64		statistics[NUM_STATISTICS];
	AwaitedCount awaited;
	Datum		values[20];
	bool		nulls[20] = {0};
	NameData	name;
	int			n = 0;

	read_awaited(j, &awaited);
	cac_statistics(tally, statistics);
	namestrcpy(&name, j->source->name);
	values[n++] = NameGetDatum(&name);
	values[n++] = CStringGetTextDatum(j->outcome->campaign_id);
	values[n] = cac_text_column(j->row.status_text, &nulls[n]);
	n++;
	values[n] = cac_timestamp_column(start, &nulls[n]);
	n++;
	values[n++] = Int64GetDatum(tally->contacts);
	values[n++] = Int64GetDatum(tally->contacts_completed);
	/* rounded down: 100 is all of them */
	nulls[n] = expected == 0;
	values[n++] = cac_tenths_column(expected == 0 ? 0 :
									tally->contacts_completed * 1000 / expected);
	values[n++] = Int64GetDatum(statistics[STATISTIC_PENDING]);
	values[n++] = Int64GetDatum(tally->message_1_sent);
	values[n++] = Int64GetDatum(tally->message_2_sent);
	values[n++] = Int64GetDatum(tally->no_interaction);
	values[n++] = Int64GetDatum(tally->failed);
	values[n++] = Int64GetDatum(tally->awaiting);
	values[n++] = Int64GetDatum(awaited.replied + awaited.followed);
	values[n] = cac_timestamp_column(deadline(j, awaited.first), &nulls[n]);
	n++;
	values[n] = cac_timestamp_column(deadline(j, awaited.last), &nulls[n]);
	n++;
	values[n] = cac_timestamp_column(cac_after(start, facts->policy.campaign_timeout),
									 &nulls[n]);
	n++;
	values[n++] = cac_tenths_column(send_rate(j, report->as_of));
	values[n] = cac_timestamp_column(tally->last_sent, &nulls[n]);
	n++;
	values[n++] = BoolGetDatum(cac_campaign_stalled(facts, tally, report->as_of));
	tuplestore_putvalues(report->rows, report->desc, values, nulls);
}

/*
 * campaign_progress(source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
 *		-> the rows of the view campaign_progress
 */
Datum
campaign_progress(PG_FUNCTION_ARGS)
{
	return report_campaigns(fcinfo, report_progress);
}

/* ----------------------------------------------------------------
 *		campaign_overdue
 * ----------------------------------------------------------------
 */

/* Why a campaign should have been closed, by which sweep, and since when. */
typedef struct Overdue
{
	const char *reason;			/* NULL: it should not */
	SweepKind	sweep;
	TimestampTz since;
} Overdue;

/*
 * Would that sweep close the campaign?  Then *reason is why.
 */
static bool
closes(const Judgement *j, SweepKind sweep, const char **reason)
{
	CampaignVerdict verdict = cac_judge(sweep, PHASE_PLAN, &j->facts, &j->tally,
										j->request->as_of);

	*reason = cac_reason_text(verdict.reason);
	return verdict.action == ACTION_CLOSE;
}

/*
 * A sweep would close the campaign, and could have since then.  What has held
 * for longest counts.
 */
static void
note_overdue(Overdue *overdue, const Judgement *j, SweepKind sweep,
			 TimestampTz since, const char *reason)
{
	if (since > j->request->as_of ||
		(overdue->reason != NULL && overdue->since <= since))
		return;
	overdue->reason = reason;
	overdue->sweep = sweep;
	overdue->since = since;
}

/*
 * Since when a campaign that is complete has been so, as far as the tables
 * tell; DT_NOBEGIN: they do not.
 */
static TimestampTz
complete_since(const Judgement *j)
{
	TimestampTz start = j->facts.start == DT_NOEND ? DT_NOBEGIN : j->facts.start;
	TimestampTz last_change;
	int64		sent;

	cac_read_pace(j->source, j->key, DT_NOBEGIN, DT_NOBEGIN, &sent, &last_change);
	return Max(last_change, start);
}

/*
 * In a blackout nobody is to be marked, so the campaign is not overdue for that.
 */
static Overdue
judge_overdue(Judgement *j)
{
	CampaignFacts *facts = &j->facts;
	Overdue		overdue = {0};
	const char *reason;

	facts->blackout = cac_tally_due(&j->tally) > 0 && cac_judged_in_blackout(j);
	if (closes(j, SWEEP_TIMEOUT, &reason))
		note_overdue(&overdue, j, SWEEP_TIMEOUT,
					 cac_after(facts->start, facts->policy.campaign_timeout), reason);
	if (closes(j, SWEEP_SENDING, &reason))
		note_overdue(&overdue, j, SWEEP_SENDING,
					 cac_after(complete_since(j), j->source->check_delay), reason);
	else if (closes(j, SWEEP_EXPIRED, &reason))
	{
		AwaitedCount awaited;

		read_awaited(j, &awaited);
		note_overdue(&overdue, j, SWEEP_EXPIRED, deadline(j, awaited.last),
					 "every contact's cycle has ended but for the marking of silent ones");
	}
	return overdue;
}

/*
 * May the caller see what was recorded of a source?
 */
bool
cac_sees_history(const Source *source)
{
	return has_bypassrls_privilege(GetUserId()) ||
		(OidIsValid(source->owner) && has_privs_of_role(GetUserId(), source->owner));
}

/*
 * What is in the way of the closing, as palloc'd text, or NULL; *retry_at is
 * when a failed one is tried again.
 */
static const char *
obstacle(const Judgement *j, SweepKind sweep, TimestampTz *retry_at)
{
	const Source *source = j->source;
	CampaignRetry retry;

	*retry_at = DT_NOBEGIN;
	if (source->mode == MODE_PAUSED)
		return "the source is paused";
	if (!source->armed)
		return "the source was not activated in this database";
	if (source->mode == MODE_SHADOW)
		return "the source is in shadow mode";
	if (cac_sees_history(source) &&
		cac_recall_retry(source, sweep, j->outcome->campaign_id, &retry))
	{
		*retry_at = retry.retry_at;
		return retry.failures > 0 ?
			psprintf("errors in a row: %d", retry.failures) :
			psprintf("tries in a row that found its row locked: %d", retry.skips);
	}
	if (source->every[sweep] < 0)
		return psprintf("the sweep \"%s\" is off", cac_sweep_name(sweep));
	return NULL;
}

static void
report_overdue(CampaignReport *report, Judgement *j)
{
	Overdue		overdue = judge_overdue(j);
	int64		every;
	TimestampTz retry_at;
	Datum		values[10];
	bool		nulls[10] = {0};
	NameData	name;
	int			n = 0;

	if (overdue.reason == NULL)
		return;
	every = j->source->every[overdue.sweep];
	namestrcpy(&name, j->source->name);
	values[n++] = NameGetDatum(&name);
	values[n++] = CStringGetTextDatum(j->outcome->campaign_id);
	values[n] = cac_text_column(j->row.status_text, &nulls[n]);
	n++;
	values[n++] = CStringGetTextDatum(overdue.reason);
	values[n++] = CStringGetTextDatum(cac_sweep_name(overdue.sweep));
	values[n] = cac_timestamp_column(overdue.since, &nulls[n]);
	n++;
	values[n] = cac_duration_column(overdue.since, report->as_of, &nulls[n]);
	n++;
	values[n] = cac_timestamp_column(every < 0 || !cac_source_acts(j->source) ? DT_NOBEGIN :
									 cac_after(overdue.since, every), &nulls[n]);
	n++;
	values[n] = cac_text_column(obstacle(j, overdue.sweep, &retry_at), &nulls[n]);
	n++;
	values[n] = cac_timestamp_column(retry_at, &nulls[n]);
	n++;
	tuplestore_putvalues(report->rows, report->desc, values, nulls);
}

/*
 * campaign_overdue(source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
 *		-> the rows of the view campaign_overdue
 */
Datum
campaign_overdue(PG_FUNCTION_ARGS)
{
	return report_campaigns(fcinfo, report_overdue);
}
