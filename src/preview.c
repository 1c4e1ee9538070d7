/*
 * preview.c
 *		What the sweeps would do at some moment, without doing it.
 *
 * The campaigns that a sweep would come to, the open ones and those that we
 * closed lately, are planned one by one (plan.c): by the rules and in the
 * order of the sweeps, each sweep judging what those before it leave behind.
 * So a preview is what the four sweeps do that run right after it, but for
 * what only acting can show: rows that somebody else holds, and errors that
 * the application's triggers and constraints raise.
 *
 * Nothing is locked, written or recorded.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "judgement.h"
#include "keylist.h"
#include "plan.h"
#include "preview.h"
#include "schedule.h"

#define PREVIEW_COLUMNS 8

/* One pass over the campaigns of a source. */
typedef struct Preview
{
	const char *source;			/* its name */
	PlanRequest request;
	Blackout	blackout;
	List	   *retries[NUM_SWEEP_KINDS];	/* of CampaignRetry */
	MemoryContext campaign_context; /* reset after each campaign */

	CampaignPlan plan;			/* of the campaign in hand */

	/* what becomes of it: rows of a result, or (NULL) numbers */
	ReturnSetInfo *rsinfo;
	PreviewTotals totals;
} Preview;

/* One row of the result; strings that do not apply are NULL. */
typedef struct PreviewRow
{
	const char *campaign_id;
	const char *sweep;
	const char *what;
	int64		count;			/* 0: does not apply */
	const char *status_from;
	const char *status_to;
	const char *reason;
} PreviewRow;

/* ----------------------------------------------------------------
 *		The rows
 * ----------------------------------------------------------------
 */

static void
put_text(Datum *values, bool *nulls, int n, const char *text)
{
	nulls[n] = text == NULL;
	values[n] = text ? CStringGetTextDatum(text) : (Datum) 0;
}

static void
put_row(const Preview *preview, const PreviewRow *row)
{
	Datum		values[PREVIEW_COLUMNS];
	bool		nulls[PREVIEW_COLUMNS] = {0};
	NameData	source;
	int			n = 0;

	if (preview->rsinfo == NULL)
		return;
	namestrcpy(&source, preview->source);
	values[n++] = NameGetDatum(&source);
	put_text(values, nulls, n++, row->campaign_id);
	put_text(values, nulls, n++, row->sweep);
	put_text(values, nulls, n++, row->what);
	nulls[n] = row->count == 0;
	values[n++] = Int64GetDatum(row->count);
	put_text(values, nulls, n++, row->status_from);
	put_text(values, nulls, n++, row->status_to);
	put_text(values, nulls, n++, row->reason);
	tuplestore_putvalues(preview->rsinfo->setResult, preview->rsinfo->setDesc,
						 values, nulls);
}

/*
 * The application's words for a status of its messages, palloc'd.
 */
static char *
message_words(const Source *source, const char *standard_name)
{
	const SourceLabel *label = cac_source_label(source, "messages", standard_name);
	StringInfoData words;

	initStringInfo(&words);
	for (int i = 0; i < label->count; i++)
		appendStringInfo(&words, "%s%s", i > 0 ? ", " : "", label->words[i]);
	return words.data;
}

/*
 * Messages of one status that the sweep would give another.
 */
static void
put_messages(const Preview *preview, const Source *source, SweepKind sweep,
			 int64 count, const char *from, const char *to, const char *reason)
{
	PreviewRow	row = {.campaign_id = preview->plan.campaign_id,
		.sweep = cac_sweep_name(sweep), .what = "messages", .count = count,
	.reason = reason};

	if (count == 0)
		return;
	row.status_from = message_words(source, from);
	row.status_to = cac_source_label(source, "messages", to)->words[0];
	put_row(preview, &row);
}

static void
put_marked(const Preview *preview, const Source *source, SweepKind sweep)
{
	const CampaignTally *tally = &preview->plan.tally;
	const char *reason;

	if (preview->plan.verdict[sweep].mark == 0)
		return;
	reason = cac_interaction_message(source, &preview->plan.facts.policy);
	put_messages(preview, source, sweep, tally->due_sent, "sent",
				 "no_interaction", reason);
	put_messages(preview, source, sweep, tally->due_delivered, "delivered",
				 "no_interaction", reason);
	put_messages(preview, source, sweep, tally->due_read, "read",
				 "no_interaction", reason);
}

/*
 * What the sweep would do about the campaign itself.
 */
static void
put_campaign(const Preview *preview, const Source *source, SweepKind sweep)
{
	const CampaignPlan *plan = &preview->plan;
	const CampaignVerdict *verdict = &plan->verdict[sweep];
	PreviewRow	row = {.campaign_id = plan->campaign_id,
		.sweep = cac_sweep_name(sweep), .what = "campaign",
		.status_from = plan->status, .status_to = plan->status,
	.reason = cac_reason_text(verdict->reason)};

	switch (verdict->action)
	{
		case ACTION_NONE:
			return;
		case ACTION_CLOSE:
		case ACTION_REOPEN:
			row.status_to = cac_status_word(source, verdict->status);
			break;
		case ACTION_ASK_TO_RESUME:
			row.what = "stalled";
			row.count = plan->tally.pending;
			break;
	}
	put_row(preview, &row);
}

static void
put_error(const Preview *preview, const char *campaign_id,
		  const ErrorData *error)
{
	PreviewRow	row = {.campaign_id = campaign_id, .what = "error",
	.reason = error->message};

	put_row(preview, &row);
}

/* ----------------------------------------------------------------
 *		The campaigns
 * ----------------------------------------------------------------
 */

static void
add_to_totals(Preview *preview, const CampaignVerdict *verdict)
{
	PreviewTotals *totals = &preview->totals;

	totals->marked += verdict->mark;
	totals->failed += verdict->fail;
	totals->closed += verdict->action == ACTION_CLOSE;
	totals->reopened += verdict->action == ACTION_REOPEN;
	totals->stalled += verdict->action == ACTION_ASK_TO_RESUME;
}

/*
 * Plan one campaign, and tell what the sweeps would do to it.  One that cannot
 * be judged does not hide the others.
 */
static void
preview_campaign(Preview *preview, Datum key)
{
	Source	   *source = cac_source_open(preview->source);
	char	   *campaign_id = cac_key_text(source, key);
	ErrorData  *error;

	for (int sweep = SWEEP_EXPIRED; sweep < NUM_SWEEP_KINDS; sweep++)
		preview->request.without[sweep] =
			cac_retry_waits(cac_find_retry(preview->retries[sweep], campaign_id),
							preview->request.as_of);
	if (!cac_try_plan(preview->source, key, &preview->request, &preview->plan, &error))
	{
		preview->totals.errors++;
		put_error(preview, campaign_id, error);
		return;
	}
	if (!preview->plan.found)
		return;

	source = cac_source_open(preview->source);
	for (int sweep = SWEEP_EXPIRED; sweep < NUM_SWEEP_KINDS; sweep++)
	{
		const CampaignVerdict *verdict = &preview->plan.verdict[sweep];

		if (!preview->plan.judged[sweep])
			continue;
		add_to_totals(preview, verdict);
		put_marked(preview, source, sweep);
		put_messages(preview, source, sweep, verdict->fail, "pending", "failed",
					 cac_timeout_message(source, &preview->plan.facts.policy));
		put_campaign(preview, source, sweep);
	}
}

static int
compare_keys(const void *a, const void *b, void *order)
{
	return cac_key_compare(order, *(const Datum *) a, *(const Datum *) b);
}

/*
 * The keys of the campaigns that a sweep would come to, in order and perhaps
 * twice: the open ones, and those that we closed lately.
 */
static Datum *
find_campaigns(Source *source, TimestampTz as_of, int64 *count)
{
	List	   *settling = cac_settling_campaigns(source, as_of, NULL);
	ListCell   *lc;
	Datum	   *keys;
	KeyOrder	order;
	SavedIdentity saved;

	cac_source_enter_to_read(source, &saved);
	keys = cac_open_campaigns(source, CurrentMemoryContext, count);
	cac_leave(&saved);
	if (settling == NIL)
		return keys;
	keys = repalloc_huge(keys, (*count + list_length(settling)) * sizeof(Datum));
	foreach(lc, settling)
	{
		/* where the keys have got another type, what we remember is none */
		if (cac_key_try_text(source, lfirst(lc), &keys[*count]))
			(*count)++;
	}
	cac_key_order(source, &order);
	qsort_arg(keys, *count, sizeof(Datum), compare_keys, &order);
	return keys;
}

/*
 * Preview one source, with which nothing is wrong.
 */
static void
preview_source(Preview *preview, Source *source)
{
	TimestampTz as_of = preview->request.as_of;
	KeyOrder	order;
	Datum	   *keys;
	int64		count;
	int			guc_level = NewGUCNestLevel();

	cac_source_check_rights(source, false);
	preview->request.blackout = &preview->blackout;
	keys = find_campaigns(source, as_of, &count);
	for (int sweep = SWEEP_EXPIRED; sweep < NUM_SWEEP_KINDS; sweep++)
		preview->retries[sweep] = cac_retries(source, sweep);
	cac_plan_for_many(source, count);
	cac_key_order(source, &order);
	preview->campaign_context = AllocSetContextCreate(CurrentMemoryContext,
													  "campaign_autoclose preview",
													  ALLOCSET_DEFAULT_SIZES);
	for (int64 i = 0; i < count; i++)
	{
		MemoryContext old;

		if (i > 0 && cac_key_compare(&order, keys[i - 1], keys[i]) == 0)
			continue;
		CHECK_FOR_INTERRUPTS();
		old = MemoryContextSwitchTo(preview->campaign_context);
		preview_campaign(preview, keys[i]);
		MemoryContextSwitchTo(old);
		MemoryContextReset(preview->campaign_context);
	}
	MemoryContextDelete(preview->campaign_context);
	AtEOXact_GUC(false, guc_level);
	if (preview->blackout.holds)
		ereport(NOTICE,
				(errmsg("source \"%s\": nobody is marked: %s", preview->source,
						cac_reason_text(REASON_BLACKOUT))));
}

/*
 * cac_preview
 *		Put what the sweeps would do at as_of in the tuplestore of a result that
 *		the caller has prepared with InitMaterializedSRF():
 *
 *	source name, campaign_id text, sweep text, what text, count bigint,
 *	status_from text, status_to text, reason text
 *
 * source NULL means every source that the current user may read; one with
 * which something is wrong is warned of.  SPI must be connected.  Raises 42704
 * (no such source), what is wrong with the source that is named, 42501, and
 * what its tables raise while its campaigns are listed.
 */
void
cac_preview(const char *source, TimestampTz as_of, ReturnSetInfo *rsinfo)
{
	List	   *names = cac_sources_to_sweep(source, true);
	ListCell   *lc;

	foreach(lc, names)
	{
		Preview		preview = {.source = lfirst(lc), .request.as_of = as_of,
		.rsinfo = rsinfo};

		if (cac_source_to_sweep(lfirst(lc), source != NULL, true))
			preview_source(&preview, cac_source_open(lfirst(lc)));
	}
}

/*
 * cac_preview_totals
 *		The same of one source, with which nothing is wrong, in numbers.
 */
void
cac_preview_totals(Source *source, TimestampTz as_of, PreviewTotals *totals)
{
	Preview		preview = {.source = source->name, .request.as_of = as_of};

	preview_source(&preview, source);
	*totals = preview.totals;
}
