/*
 * memory.c
 *		What the extension remembers of campaigns, besides its history:
 *
 *	campaign_state		how we closed a campaign, while it settles; how often it
 *						was found stalled; what shadow mode last decided
 *	campaign_reopening	when a campaign was last reopened: its start
 *	campaign_retry		what went wrong with a campaign in a sweep, and when to
 *						try again
 *
 * A campaign is known here by its key as text.  The rows of a campaign that is
 * being judged are read and written under the lock of its row in the
 * application's table.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "memory.h"

/* What nobody has touched for so long is about campaigns long gone. */
#define FORGET_AFTER	(7 * USECS_PER_DAY)

/*
 * cac_recall
 *		What is remembered of one campaign.
 */
void
cac_recall(const Source *source, const char *campaign_id,
		   CampaignMemory *memory)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT r.reopened_at, s.closed_at, s.closed_by = 'complete', s.stalls::bigint, s.stalled_at,"
		" s.shadow_mark, s.shadow_action, s.closed_as, s.failed_by_us"
		" FROM (SELECT $1 AS source, $2 AS campaign_id) AS c"
		" LEFT JOIN @.campaign_reopening AS r USING (source, campaign_id)"
		" LEFT JOIN @.campaign_state AS s USING (source, campaign_id)");
	CatalogArguments arguments = {0};
	char	   *complete;

	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, campaign_id);
	cac_catalog_execute(&query, &arguments);

	memory->reopened_at = cac_row_timestamp(0, 1);
	memory->closed_at = cac_row_timestamp(0, 2);
	complete = cac_row_text(0, 3);
	memory->closed_as_complete = complete != NULL && complete[0] == 't';
	memory->stalls = cac_row_count(0, 4);
	memory->stalled_at = cac_row_timestamp(0, 5);
	memory->shadow_mark = cac_row_count(0, 6);
	memory->shadow_action = cac_row_text(0, 7);
	memory->closed_as = cac_row_text(0, 8);
	memory->failed = cac_row_count(0, 9);
	SPI_freetuptable(SPI_tuptable);
}

/*
 * cac_remember_closed
 *		closed_by is "complete", "timeout" or "hand"; status the word written;
 *		closed_at is completed_at as the table has kept it.
 */
void
cac_remember_closed(const Source *source, const char *campaign_id,
					const char *status, const char *closed_by,
					TimestampTz closed_at, TimestampTz as_of)
{
	static CatalogQuery query = CATALOG_QUERY(
		"INSERT INTO @.campaign_state (source, campaign_id, closed_at, closed_as, closed_by, noted_at)"
		" VALUES ($1, $2, $3, $4, $5, $6)"
		" ON CONFLICT (source, campaign_id) DO UPDATE SET closed_at = $3, closed_as = $4,"
		" closed_by = $5, stalls = 0, stalled_at = NULL, failed_by_us = 0, shadow_mark = NULL,"
		" shadow_action = NULL, noted_at = $6");
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, campaign_id);
	cac_add_timestamp(&arguments, closed_at);
	cac_add_text(&arguments, status);
	cac_add_text(&arguments, closed_by);
	cac_add_timestamp(&arguments, as_of);
	cac_catalog_execute(&query, &arguments);
}

/*
 * Run a query whose arguments are source, campaign, moment.
 */
static void
execute_for_campaign(CatalogQuery *query, const Source *source,
					 const char *campaign_id, TimestampTz as_of)
{
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, campaign_id);
	cac_add_timestamp(&arguments, as_of);
	cac_catalog_execute(query, &arguments);
}

/*
 * cac_forget_closing
 *		The campaign is open again.  closed_at is that of the closing that is
 *		meant, lest a later one be forgotten; DT_NOBEGIN: any.
 */
void
cac_forget_closing(const Source *source, const char *campaign_id,
				   TimestampTz closed_at, TimestampTz as_of)
{
	static CatalogQuery query = CATALOG_QUERY(
		"UPDATE @.campaign_state SET closed_at = NULL, closed_as = NULL, closed_by = NULL,"
		" stalls = 0, stalled_at = NULL, failed_by_us = 0, noted_at = $4"
		" WHERE source = $1 AND campaign_id = $2 AND ($3 IS NULL OR closed_at = $3)");
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, campaign_id);
	cac_add_timestamp(&arguments, closed_at);
	cac_add_timestamp(&arguments, as_of);
	cac_catalog_execute(&query, &arguments);
}

/*
 * cac_remember_reopened
 *		It is we who have opened it, at as_of.
 */
void
cac_remember_reopened(const Source *source, const char *campaign_id,
					  TimestampTz as_of)
{
	static CatalogQuery reopening = CATALOG_QUERY(
		"INSERT INTO @.campaign_reopening (source, campaign_id, reopened_at) VALUES ($1, $2, $3)"
		" ON CONFLICT (source, campaign_id) DO UPDATE SET reopened_at = $3");

	cac_forget_closing(source, campaign_id, DT_NOBEGIN, as_of);
	execute_for_campaign(&reopening, source, campaign_id, as_of);
}

/*
 * cac_remember_failed
 *		So many more of its pending messages were failed, though it is not
 *		closed yet.
 */
void
cac_remember_failed(const Source *source, const char *campaign_id,
					int64 failed, TimestampTz as_of)
{
	static CatalogQuery query = CATALOG_QUERY(
		"INSERT INTO @.campaign_state AS s (source, campaign_id, failed_by_us, noted_at)"
		" VALUES ($1, $2, $3, $4)"
		" ON CONFLICT (source, campaign_id) DO UPDATE SET failed_by_us = s.failed_by_us + $3,"
		" noted_at = $4");
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, campaign_id);
	cac_add_count(&arguments, failed);
	cac_add_timestamp(&arguments, as_of);
	cac_catalog_execute(&query, &arguments);
}

/*
 * cac_remember_stalled
 *		"stalls" requests to resume in a row, the last of them at as_of.
 */
void
cac_remember_stalled(const Source *source, const char *campaign_id,
					 int stalls, TimestampTz as_of)
{
	static CatalogQuery query = CATALOG_QUERY(
		"INSERT INTO @.campaign_state (source, campaign_id, stalls, stalled_at, noted_at)"
		" VALUES ($1, $2, $3, $4, $4)"
		" ON CONFLICT (source, campaign_id) DO UPDATE SET stalls = $3, stalled_at = $4, noted_at = $4");
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, campaign_id);
	cac_add_integer(&arguments, stalls);
	cac_add_timestamp(&arguments, as_of);
	cac_catalog_execute(&query, &arguments);
}

/*
 * cac_remember_shadow
 *		What shadow mode recorded last, so that it is recorded once a change.
 */
void
cac_remember_shadow(const Source *source, const char *campaign_id,
					int64 mark, const char *action, TimestampTz as_of)
{
	static CatalogQuery query = CATALOG_QUERY(
		"INSERT INTO @.campaign_state (source, campaign_id, shadow_mark, shadow_action, noted_at)"
		" VALUES ($1, $2, $3, $4, $5)"
		" ON CONFLICT (source, campaign_id) DO UPDATE SET shadow_mark = $3, shadow_action = $4,"
		" noted_at = $5");
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, campaign_id);
	cac_add_count(&arguments, mark);
	cac_add_text(&arguments, action);
	cac_add_timestamp(&arguments, as_of);
	cac_catalog_execute(&query, &arguments);
}

/*
 * cac_settling_campaigns
 *		The keys, as palloc'd text, of the campaigns that we closed less than
 *		settle_for before as_of; in an order, of which "after" (NULL: from the
 *		beginning) leaves out the first.
 */
List *
cac_settling_campaigns(const Source *source, TimestampTz as_of, const char *after)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT campaign_id FROM @.campaign_state WHERE source = $1 AND closed_at >= $2"
		" AND ($3 IS NULL OR campaign_id > $3)"
		" ORDER BY campaign_id");
	CatalogArguments arguments = {0};
	List	   *result = NIL;
	uint64		nrows;

	cac_add_name(&arguments, source->name);
	cac_add_timestamp(&arguments, cac_before(as_of, source->policy.settle_for));
	cac_add_text(&arguments, after);
	nrows = cac_catalog_execute(&query, &arguments);
	for (uint64 i = 0; i < nrows; i++)
		result = lappend(result, cac_row_text(i, 1));
	SPI_freetuptable(SPI_tuptable);
	return result;
}

static void
row_retry(uint64 row, CampaignRetry *retry)
{
	retry->campaign_id = cac_row_text(row, 1);
	retry->failures = cac_row_count(row, 2);
	retry->skips = cac_row_count(row, 3);
	retry->retry_at = cac_row_timestamp(row, 4);
}

/*
 * cac_retries
 *		The campaigns that went wrong in a sweep, as palloc'd CampaignRetry.
 */
List *
cac_retries(const Source *source, SweepKind sweep)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT campaign_id, failures::bigint, skips::bigint, retry_at FROM @.campaign_retry"
		" WHERE source = $1 AND sweep = $2");
	CatalogArguments arguments = {0};
	List	   *result = NIL;
	uint64		nrows;

	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, cac_sweep_name(sweep));
	nrows = cac_catalog_execute(&query, &arguments);
	for (uint64 i = 0; i < nrows; i++)
	{
		CampaignRetry *retry = palloc(sizeof(CampaignRetry));

		row_retry(i, retry);
		result = lappend(result, retry);
	}
	SPI_freetuptable(SPI_tuptable);
	return result;
}

/*
 * cac_find_retry
 *		One campaign's of what cac_retries() found; NULL: nothing went wrong.
 */
CampaignRetry *
cac_find_retry(const List *retries, const char *campaign_id)
{
	ListCell   *lc;

	foreach(lc, retries)
	{
		CampaignRetry *retry = lfirst(lc);

		if (strcmp(retry->campaign_id, campaign_id) == 0)
			return retry;
	}
	return NULL;
}

/*
 * cac_retry_waits
 *		Is the campaign still to be left alone, after an error?  A time later
 *		than any retry can be comes from a caller's as_of, and is not waited
 *		for.
 */
bool
cac_retry_waits(const CampaignRetry *retry, TimestampTz as_of)
{
	return retry != NULL && retry->failures > 0 && retry->retry_at > as_of &&
		retry->retry_at <= cac_after(as_of, cac_retry_backoff(retry->failures));
}

/*
 * cac_troubles
 *		What is wrong with one campaign, as a List of palloc'd CampaignTrouble.
 */
List *
cac_troubles(const Source *source, const char *campaign_id)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT sweep, failures::bigint, skips::bigint, retry_at, sqlstate, error FROM @.campaign_retry"
		" WHERE source = $1 AND campaign_id = $2 ORDER BY sweep");
	CatalogArguments arguments = {0};
	List	   *result = NIL;
	uint64		nrows;

	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, campaign_id);
	nrows = cac_catalog_execute(&query, &arguments);
	for (uint64 i = 0; i < nrows; i++)
	{
		CampaignTrouble *trouble = palloc(sizeof(CampaignTrouble));

		trouble->sweep = cac_row_text(i, 1);
		trouble->failures = cac_row_count(i, 2);
		trouble->skips = cac_row_count(i, 3);
		trouble->retry_at = cac_row_timestamp(i, 4);
		trouble->sqlstate = cac_row_text(i, 5);
		trouble->error = cac_row_text(i, 6);
		result = lappend(result, trouble);
	}
	SPI_freetuptable(SPI_tuptable);
	return result;
}

/*
 * cac_recall_retry
 *		What went wrong with one campaign in a sweep; false if nothing did.
 */
bool
cac_recall_retry(const Source *source, SweepKind sweep,
				 const char *campaign_id, CampaignRetry *retry)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT campaign_id, failures::bigint, skips::bigint, retry_at FROM @.campaign_retry"
		" WHERE source = $1 AND sweep = $2 AND campaign_id = $3");
	CatalogArguments arguments = {0};
	bool		found;

	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, cac_sweep_name(sweep));
	cac_add_text(&arguments, campaign_id);
	found = cac_catalog_execute(&query, &arguments) > 0;
	if (found)
		row_retry(0, retry);
	SPI_freetuptable(SPI_tuptable);
	return found;
}

/*
 * When the next campaign of a source is to be retried; DT_NOEND: none is.
 */
TimestampTz
cac_next_retry(const Source *source)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT min(retry_at) FROM @.campaign_retry WHERE source = $1");
	CatalogArguments arguments = {0};
	TimestampTz next;

	cac_add_name(&arguments, source->name);
	cac_catalog_execute(&query, &arguments);
	next = cac_row_timestamp(0, 1);
	SPI_freetuptable(SPI_tuptable);
	return next == DT_NOBEGIN ? DT_NOEND : next;
}

/*
 * cac_remember_retry
 *		Note what went wrong: an error, or (error NULL) a row that was held.
 */
void
cac_remember_retry(const Source *source, SweepKind sweep,
				   const CampaignRetry *retry, const ErrorData *error)
{
	static CatalogQuery query = CATALOG_QUERY(
		"INSERT INTO @.campaign_retry (source, campaign_id, sweep, failures, skips, retry_at, sqlstate, error, noted_at)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp())"
		" ON CONFLICT (source, campaign_id, sweep) DO UPDATE SET failures = $4, skips = $5,"
		" retry_at = $6, sqlstate = $7, error = $8, noted_at = clock_timestamp()");
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, retry->campaign_id);
	cac_add_text(&arguments, cac_sweep_name(sweep));
	cac_add_integer(&arguments, retry->failures);
	cac_add_integer(&arguments, retry->skips);
	cac_add_timestamp(&arguments, retry->retry_at);
	cac_add_text(&arguments, error ? unpack_sql_state(error->sqlerrcode) : NULL);
	cac_add_text(&arguments, error ? error->message : NULL);
	cac_catalog_execute(&query, &arguments);
}

void
cac_forget_retry(const Source *source, SweepKind sweep,
				 const char *campaign_id)
{
	static CatalogQuery query = CATALOG_QUERY(
		"DELETE FROM @.campaign_retry WHERE source = $1 AND sweep = $2 AND campaign_id = $3");
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, cac_sweep_name(sweep));
	cac_add_text(&arguments, campaign_id);
	cac_catalog_execute(&query, &arguments);
}

/*
 * cac_forget_old
 *		Forget what no longer matters: what we know of campaigns that have
 *		settled, and retries of campaigns that nobody sweeps any more.
 */
void
cac_forget_old(const Source *source, TimestampTz now)
{
	static CatalogQuery queries[] = {
		CATALOG_QUERY("DELETE FROM @.campaign_state WHERE source = $1 AND noted_at < $2"
					  " AND (closed_at IS NULL OR closed_at < $2)"
					  " AND (shadow_action IS NULL AND shadow_mark IS NULL OR noted_at < $3)"),
		CATALOG_QUERY("DELETE FROM @.campaign_retry WHERE source = $1 AND noted_at < $2")
	};
	CatalogArguments arguments = {0};
	int64		keep = Max(FORGET_AFTER, source->policy.settle_for);
	int64		keep_shadow = Max(keep, source->history_keep);

	cac_add_name(&arguments, source->name);
	cac_add_timestamp(&arguments, cac_before(now, keep));
	/* for as long as its events, or they would be recorded again */
	cac_add_timestamp(&arguments, cac_before(now, keep_shadow));
	for (int i = 0; i < lengthof(queries); i++)
		cac_catalog_execute(&queries[i], &arguments);
}
