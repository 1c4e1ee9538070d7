/*
 * shadow.c
 *		What shadow mode would have closed, beside what was closed by whoever
 *		closes campaigns while the source is in shadow mode.
 *
 * Ours is what the shadow events tell: a campaign's last closing, if it was not
 * reopened since.  Theirs is what the campaigns table tells, of closings since
 * the source was attached and within its history; what the extension itself has
 * closed is not among them.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "attach.h"
#include "keylist.h"
#include "plan.h"
#include "queries.h"
#include "shadow.h"

#define SHADOW_REPORT_COLUMNS	8

/* In the order of the report; the first is not in it. */
typedef enum ClosedBy
{
	CLOSED_BY_NONE,
	CLOSED_BY_THEM,
	CLOSED_BY_US,
	CLOSED_BY_BOTH
} ClosedBy;

/* One campaign of the report. */
typedef struct ShadowRow
{
	Datum		key;
	ClosedBy	closed_by;

	bool		ours;			/* shadow mode would have closed it ... */
	TimestampTz ours_at;
	char	   *ours_status;
	char	   *ours_reason;
	bool		acted;			/* the extension has closed it in earnest */

	bool		theirs;			/* it is closed ... */
	TimestampTz theirs_at;		/* DT_NOBEGIN: unknown */
	char	   *theirs_status;	/* or what else its status is; NULL: it is gone */
} ShadowRow;

typedef struct ShadowReport
{
	Source	   *source;
	TimestampTz now;
	ShadowRow  *rows;			/* by key */
	int64		nrows;
	MemoryContext campaign_context; /* reset after each campaign */
} ShadowReport;

/* ----------------------------------------------------------------
 *		What is known
 * ----------------------------------------------------------------
 */

/*
 * Since when the two can be compared: before the source was attached nobody
 * looked, and what is older than its history is forgotten.
 */
static TimestampTz
comparable_since(const Source *source, TimestampTz now)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT attached_at FROM @.campaign_source WHERE source = $1");
	CatalogArguments arguments = {0};
	TimestampTz attached_at;
	TimestampTz history_from = cac_before(now, source->history_keep);

	cac_add_name(&arguments, source->name);
	cac_catalog_execute(&query, &arguments);
	attached_at = cac_row_timestamp(0, 1);
	SPI_freetuptable(SPI_tuptable);
	return Max(attached_at, history_from);
}

static ShadowRow *
add_row(ShadowReport *report, Datum key)
{
	ShadowRow  *row = &report->rows[report->nrows++];

	memset(row, 0, sizeof(*row));
	row->key = key;
	row->ours_at = row->theirs_at = DT_NOBEGIN;
	return row;
}

/*
 * Add a row for each campaign that the events tell to be closed, in shadow mode
 * or in earnest, with room for "more" rows.
 */
static void
add_ours(ShadowReport *report, int64 more)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT l.campaign_id, l.at, l.status_to, l.reason"
		" FROM (SELECT DISTINCT ON (e.campaign_id) e.campaign_id, e.event, e.at, e.status_to, e.reason"
		"  FROM @.campaign_event AS e"
		"  WHERE e.source = $1 AND e.shadow AND e.event IN ('closed', 'reopened')"
		"  ORDER BY e.campaign_id, e.id DESC) AS l"
		" WHERE l.event = 'closed'"
		" UNION ALL"
		" SELECT DISTINCT e.campaign_id, NULL::timestamptz, NULL, NULL"
		" FROM @.campaign_event AS e"
		" WHERE e.source = $1 AND NOT e.shadow AND e.event = 'closed'");
	CatalogArguments arguments = {0};
	uint64		nevents;

	cac_add_name(&arguments, report->source->name);
	nevents = cac_catalog_execute(&query, &arguments);
	report->rows = palloc_extended(Max(nevents + more, 1) * sizeof(ShadowRow),
								   MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < nevents; i++)
	{
		char	   *campaign_id = cac_row_text(i, 1);
		Datum		key;
		ShadowRow  *row;

		/* where the keys have got another type, the event's is none */
		if (!cac_key_try_text(report->source, campaign_id, &key))
			continue;
		row = add_row(report, key);
		row->ours_at = cac_row_timestamp(i, 2);
		row->ours_status = cac_row_text(i, 3);
		row->ours_reason = cac_row_text(i, 4);
		row->ours = row->ours_at != DT_NOBEGIN;
		row->acted = !row->ours;
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
add_theirs(ShadowReport *report, const ClosedCampaign *closed, int64 nclosed)
{
	for (int64 i = 0; i < nclosed; i++)
	{
		ShadowRow  *row = add_row(report, closed[i].key);

		row->theirs = true;
		row->theirs_at = closed[i].completed_at;
		row->theirs_status = closed[i].status;
	}
}

static int
compare_rows(const void *a, const void *b, void *order)
{
	return cac_key_compare(order, ((const ShadowRow *) a)->key,
						   ((const ShadowRow *) b)->key);
}

/*
 * Make one row of all that are about the same campaign, ordered by key.
 */
static void
merge_rows(ShadowReport *report)
{
	KeyOrder	order;
	int64		last = -1;

	cac_key_order(report->source, &order);
	qsort_arg(report->rows, report->nrows, sizeof(ShadowRow), compare_rows, &order);
	for (int64 i = 0; i < report->nrows; i++)
	{
		ShadowRow	row = report->rows[i];
		ShadowRow  *into;

		if (last < 0 || compare_rows(&report->rows[last], &row, &order) != 0)
		{
			report->rows[++last] = row;
			continue;
		}
		into = &report->rows[last];
		if (row.ours)
		{
			into->ours = true;
			into->ours_at = row.ours_at;
			into->ours_status = row.ours_status;
			into->ours_reason = row.ours_reason;
		}
		if (row.theirs)
		{
			into->theirs = true;
			into->theirs_at = row.theirs_at;
			into->theirs_status = row.theirs_status;
		}
		into->acted |= row.acted;
	}
	report->nrows = last + 1;
}

/*
 * A campaign that shadow mode would have closed, and that is not among those
 * closed lately: what is it now?
 */
static void
look_up(const ShadowReport *report, ShadowRow *row)
{
	CampaignRow campaign;
	SavedIdentity saved;

	cac_source_enter_to_read(report->source, &saved);
	if (cac_read_campaign(report->source, row->key, LOCK_NOT, &campaign))
	{
		row->theirs_status = campaign.status_text;
		row->theirs = campaign.status == CAMPAIGN_COMPLETED ||
			campaign.status == CAMPAIGN_FAILED;
		if (row->theirs)
			row->theirs_at = campaign.completed_at;
	}
	cac_leave(&saved);
}

static void
compare_closings(const ShadowReport *report)
{
	for (int64 i = 0; i < report->nrows; i++)
	{
		ShadowRow  *row = &report->rows[i];

		if (row->ours && !row->theirs)
			look_up(report, row);
		if (row->acted)
		{
			row->theirs = false;
			row->theirs_at = DT_NOBEGIN;
		}
		if (row->ours)
			row->closed_by = row->theirs ? CLOSED_BY_BOTH : CLOSED_BY_US;
		else
			row->closed_by = row->theirs ? CLOSED_BY_THEM : CLOSED_BY_NONE;
	}
}

/* ----------------------------------------------------------------
 *		Why not we
 * ----------------------------------------------------------------
 */

/*
 * Why the sweeps would have left the campaign open when they closed it, going
 * by its messages as they are now.
 */
static char *
why_not_ours(const ShadowReport *report, const ShadowRow *row)
{
	PlanRequest request = {.as_if_open = true,
	.as_of = row->theirs_at == DT_NOBEGIN ? report->now : row->theirs_at};
	CampaignPlan plan;
	ErrorData  *error;

	if (!cac_try_plan(report->source->name, row->key, &request, &plan, &error))
		return psprintf("it cannot be judged: %s", error->message);
	for (int sweep = SWEEP_EXPIRED; sweep < NUM_SWEEP_KINDS; sweep++)
		if (plan.judged[sweep] && plan.verdict[sweep].action == ACTION_CLOSE)
			return psprintf("the next sweep \"%s\" would have closed it: %s",
							cac_sweep_name(sweep),
							cac_reason_text(plan.verdict[sweep].reason));
	/* not judged at all: it was deleted a moment ago */
	return plan.judged[SWEEP_SENDING] ?
		pstrdup(cac_reason_text(plan.verdict[SWEEP_SENDING].reason)) : NULL;
}

/* ----------------------------------------------------------------
 *		The report
 * ----------------------------------------------------------------
 */

static void
put_text(Datum *values, bool *nulls, int n, const char *text)
{
	nulls[n] = text == NULL;
	values[n] = text ? CStringGetTextDatum(text) : (Datum) 0;
}

static void
put_moment(Datum *values, bool *nulls, int n, TimestampTz moment)
{
	nulls[n] = moment == DT_NOBEGIN;
	values[n] = TimestampTzGetDatum(moment);
}

static void
put_row(const ShadowReport *report, const ShadowRow *row, ReturnSetInfo *rsinfo)
{
	static const char *const closed_by[] = {NULL, "only them", "only us", "both"};
	Datum		values[SHADOW_REPORT_COLUMNS];
	bool		nulls[SHADOW_REPORT_COLUMNS] = {0};
	bool		both_known = row->closed_by == CLOSED_BY_BOTH &&
		row->theirs_at != DT_NOBEGIN;
	int			n = 0;

	put_text(values, nulls, n++, cac_key_text(report->source, row->key));
	put_text(values, nulls, n++, closed_by[row->closed_by]);
	put_moment(values, nulls, n++, row->ours_at);
	put_text(values, nulls, n++, row->ours_status);
	put_text(values, nulls, n++, row->closed_by == CLOSED_BY_THEM ?
			 why_not_ours(report, row) : row->ours_reason);
	put_moment(values, nulls, n++, row->theirs_at);
	put_text(values, nulls, n++, row->theirs_status);
	nulls[n] = !both_known;
	values[n] = both_known ?
		DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(row->ours_at),
							TimestampTzGetDatum(row->theirs_at)) : (Datum) 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
put_rows(const ShadowReport *report, ClosedBy closed_by, ReturnSetInfo *rsinfo)
{
	for (int64 i = 0; i < report->nrows; i++)
	{
		MemoryContext old;

		if (report->rows[i].closed_by != closed_by)
			continue;
		CHECK_FOR_INTERRUPTS();
		old = MemoryContextSwitchTo(report->campaign_context);
		put_row(report, &report->rows[i], rsinfo);
		MemoryContextSwitchTo(old);
		MemoryContextReset(report->campaign_context);
	}
}

/*
 * cac_shadow_report
 *		Compare what shadow mode would have closed with what was closed, in the
 *		tuplestore of a result that the caller has prepared with
 *		InitMaterializedSRF():
 *
 *	campaign_id text, closed_by text, ours_at timestamptz, ours_status text,
 *	ours_reason text, theirs_at timestamptz, theirs_status text,
 *	ours_later interval
 *
 * History is the owner's, so the report is (42501).  SPI must be connected.
 * Raises what is wrong with the source, and what its tables raise.
 */
void
cac_shadow_report(Source *source, TimestampTz now, ReturnSetInfo *rsinfo)
{
	ShadowReport report = {.source = source, .now = now};
	TimestampTz since = comparable_since(source, now);
	ClosedCampaign *closed;
	int64		nclosed;
	SavedIdentity saved;

	cac_check_owner(source);
	cac_source_check(source);
	cac_source_check_rights(source, false);
	report.campaign_context = AllocSetContextCreate(CurrentMemoryContext,
													"campaign_autoclose shadow report",
													ALLOCSET_DEFAULT_SIZES);
	cac_source_enter_to_read(source, &saved);
	closed = cac_closed_campaigns(source, since, &nclosed);
	cac_leave(&saved);
	add_ours(&report, nclosed);
	add_theirs(&report, closed, nclosed);
	merge_rows(&report);
	compare_closings(&report);
	for (ClosedBy closed_by = CLOSED_BY_THEM; closed_by <= CLOSED_BY_BOTH; closed_by++)
		put_rows(&report, closed_by, rsinfo);
	MemoryContextDelete(report.campaign_context);
}
