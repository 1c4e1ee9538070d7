/*
 * events.c
 *		What was done (campaign_event, NOTIFY, on_event), and which sweeps ran
 *		(campaign_sweep_run).
 *
 * An event is written in the transaction that does what it tells of, so there
 * is exactly one for each thing done.  The notification goes out at commit,
 * with the ids alone, as every role may listen.  The source's on_event function
 * is called at once, in a subtransaction: what it does commits with the event,
 * and what it does wrong undoes nothing but itself.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "attempt.h"
#include "compat.h"
#include "counters.h"
#include "events.h"

#define NOTIFY_CHANNEL		"campaign_autoclose"
/* How long the application's on_event function may take, in milliseconds. */
#define ON_EVENT_TIMEOUT	1000

typedef struct OnEventCall
{
	const Source *source;
	Datum		event;			/* jsonb */
} OnEventCall;

/*
 * Append "key": "value" to a JSON object that is being written; value NULL is
 * JSON's null.
 */
void
cac_append_json(StringInfo details, const char *key, const char *value)
{
	appendStringInfoString(details, details->len > 0 ? ", " : "");
	escape_json(details, key);
	appendStringInfoString(details, ": ");
	if (value != NULL)
		escape_json(details, value);
	else
		appendStringInfoString(details, "null");
}

void
cac_append_json_count(StringInfo details, const char *key, int64 count)
{
	appendStringInfoString(details, details->len > 0 ? ", " : "");
	escape_json(details, key);
	appendStringInfo(details, ": " INT64_FORMAT, count);
}

/*
 * DT_NOBEGIN and DT_NOEND, which stand for an unknown moment, are JSON's null.
 */
void
cac_append_json_moment(StringInfo details, const char *key, TimestampTz moment)
{
	cac_append_json(details, key, TIMESTAMP_NOT_FINITE(moment) ?
					NULL : timestamptz_to_str(moment));
}

/*
 * Call on_event as the source's owner; AttemptFunction.
 */
static void
call_on_event(void *arg)
{
	OnEventCall *call = arg;
	Oid			types[1] = {JSONBOID};
	List	   *names = CAC_QUALIFIED_NAMES(call->source->on_event);
	SavedIdentity saved;

	cac_source_enter(call->source, true, &saved);
	if (SPI_execute_with_args(psprintf("SELECT %s($1)", NameListToQuotedString(names)),
							  1, types, &call->event, NULL, false, 0) < 0)
		elog(ERROR, "could not call %s", call->source->on_event);
	cac_leave(&saved);
}

/*
 * The function's failure is recorded, as an event that calls nobody.
 */
static void
record_on_event_failure(const Source *source, const CampaignEvent *event,
						const ErrorData *error)
{
	CampaignEvent failure = {.event = "error", .campaign_id = event->campaign_id,
		.reason = error->message, .at = event->at};
	Source		silent = *source;
	StringInfoData details;

	silent.on_event = NULL;
	initStringInfo(&details);
	cac_append_json(&details, "on_event", source->on_event);
	cac_append_json(&details, "event", event->event);
	cac_append_json(&details, "sqlstate", unpack_sql_state(error->sqlerrcode));
	failure.details = psprintf("{%s}", details.data);
	cac_record_event(&silent, &failure);
	cac_count_up(COUNTER_ERRORS, 1);
}

/*
 * Tell of an event, of which SPI_tuptable has the id and the row as jsonb: to
 * whoever listens, and to the source's on_event function.
 */
static void
tell(const Source *source, const CampaignEvent *event)
{
	OnEventCall call;
	ErrorData  *error;
	bool		isnull;

	Async_Notify(NOTIFY_CHANNEL,
				 psprintf("{\"event_id\": " INT64_FORMAT ", \"campaign_id\": \"%s\"}",
						  cac_row_count(0, 1), event->campaign_id));
	if (source->on_event == NULL)
		return;
	call.source = source;
	call.event = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2,
							   &isnull);
	if (!cac_attempt(call_on_event, &call, ON_EVENT_TIMEOUT, &error))
	{
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("function \"%s\" of source \"%s\" failed: %s",
						source->on_event, source->name, error->message)));
		record_on_event_failure(source, event, error);
	}
}

/*
 * cac_record_event
 *		Record an event, notify of it and call the source's on_event function.
 *
 * SPI must be connected.  A shadow event is recorded only.
 */
void
cac_record_event(const Source *source, const CampaignEvent *event)
{
	static CatalogQuery query = CATALOG_QUERY(
		"INSERT INTO @.campaign_event AS e (source, at, campaign_id, event, status_from, status_to,"
		" reason, details, shadow) VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9)"
		" RETURNING id, to_jsonb(e)");
	CatalogArguments arguments = {0};
	SPITupleTable *rows;

	cac_add_name(&arguments, source->name);
	cac_add_timestamp(&arguments, event->at);
	cac_add_text(&arguments, event->campaign_id);
	cac_add_text(&arguments, event->event);
	cac_add_text(&arguments, event->status_from);
	cac_add_text(&arguments, event->status_to);
	cac_add_text(&arguments, event->reason);
	cac_add_text(&arguments, event->details);
	cac_add_datum(&arguments, BOOLOID, BoolGetDatum(event->shadow), false);
	cac_catalog_execute(&query, &arguments);
	rows = SPI_tuptable;
	if (!event->shadow)
		tell(source, event);
	SPI_freetuptable(rows);
}

/*
 * cac_record_run_start
 *		Note that a sweep begins; returns the run's id.
 *
 * as_of is DT_NOBEGIN where it goes by the clock.  A run whose end is never
 * recorded was cut short, unless it is recorded that it makes way.
 */
int64
cac_record_run_start(const Source *source, SweepKind sweep,
					 TimestampTz started_at, TimestampTz as_of)
{
	static CatalogQuery query = CATALOG_QUERY(
		"INSERT INTO @.campaign_sweep_run (source, sweep, started_at, as_of)"
		" VALUES ($1, $2, $3, $4) RETURNING id");
	CatalogArguments arguments = {0};
	int64		run;

	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, cac_sweep_name(sweep));
	cac_add_timestamp(&arguments, started_at);
	cac_add_timestamp(&arguments, as_of);
	cac_catalog_execute(&query, &arguments);
	run = cac_row_count(0, 1);
	SPI_freetuptable(SPI_tuptable);
	return run;
}

/*
 * Did the run change nothing?
 */
static bool
quiet(const SweepResult *result, const char *error)
{
	return error == NULL && result->campaigns_updated == 0 &&
		result->campaigns_closed == 0 && result->campaigns_resumed == 0 &&
		result->campaigns_skipped == 0 && result->messages_marked == 0;
}

/*
 * Add a quiet run to the row of the one before it, if that was quiet too.
 */
static bool
merge_quiet_run(const Source *source, SweepKind sweep, int64 run,
				TimestampTz started_at, const SweepResult *result)
{
	static CatalogQuery merge = CATALOG_QUERY(
		"UPDATE @.campaign_sweep_run AS p SET runs = p.runs + 1, started_at = $4,"
		" finished_at = clock_timestamp(), campaigns_checked = $5, messages_checked = $6"
		" WHERE p.id = (SELECT max(r.id) FROM @.campaign_sweep_run AS r"
		"  WHERE r.source = $1 AND r.sweep = $2 AND r.id < $3)"
		" AND p.finished_at IS NOT NULL AND p.as_of IS NULL AND p.error IS NULL"
		" AND p.campaigns_updated = 0 AND p.campaigns_closed = 0 AND p.campaigns_resumed = 0"
		" AND p.campaigns_skipped = 0 AND p.messages_marked = 0"
		" AND EXISTS (SELECT FROM @.campaign_sweep_run AS r WHERE r.id = $3 AND r.as_of IS NULL)");
	static CatalogQuery drop = CATALOG_QUERY(
		"DELETE FROM @.campaign_sweep_run WHERE id = $1");
	CatalogArguments arguments = {0};
	CatalogArguments merged = {0};

	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, cac_sweep_name(sweep));
	cac_add_count(&arguments, run);
	cac_add_timestamp(&arguments, started_at);
	cac_add_count(&arguments, result->campaigns_checked);
	cac_add_count(&arguments, result->messages_checked);
	if (cac_catalog_execute(&merge, &arguments) == 0)
		return false;
	cac_add_count(&merged, run);
	cac_catalog_execute(&drop, &merged);
	return true;
}

static void
add_result(CatalogArguments *arguments, const SweepResult *result)
{
	cac_add_count(arguments, result->campaigns_checked);
	cac_add_count(arguments, result->campaigns_updated);
	cac_add_count(arguments, result->campaigns_closed);
	cac_add_count(arguments, result->campaigns_resumed);
	cac_add_count(arguments, result->campaigns_skipped);
	cac_add_count(arguments, result->messages_checked);
	cac_add_count(arguments, result->messages_marked);
}

/*
 * cac_record_run_end
 *		Note what a sweep found and did, and log it.
 */
void
cac_record_run_end(const Source *source, SweepKind sweep, int64 run,
				   TimestampTz started_at, const SweepResult *result,
				   const char *error)
{
	static CatalogQuery query = CATALOG_QUERY(
		"UPDATE @.campaign_sweep_run SET finished_at = clock_timestamp(),"
		" campaigns_checked = $2, campaigns_updated = $3, campaigns_closed = $4,"
		" campaigns_resumed = $5, campaigns_skipped = $6, messages_checked = $7,"
		" messages_marked = $8, error = $9, resume = NULL WHERE id = $1");
	CatalogArguments arguments = {0};

	ereport(LOG,
			(errmsg("campaign_autoclose: source \"%s\": sweep \"%s\": "
					INT64_FORMAT " campaigns checked, " INT64_FORMAT " updated, "
					INT64_FORMAT " closed, " INT64_FORMAT " asked to resume, "
					INT64_FORMAT " skipped; " INT64_FORMAT " messages checked, "
					INT64_FORMAT " marked",
					source->name, cac_sweep_name(sweep),
					result->campaigns_checked, result->campaigns_updated,
					result->campaigns_closed, result->campaigns_resumed,
					result->campaigns_skipped, result->messages_checked,
					result->messages_marked),
			 errhidestmt(true), errhidecontext(true)));

	if (quiet(result, error) &&
		merge_quiet_run(source, sweep, run, started_at, result))
		return;
	cac_add_count(&arguments, run);
	add_result(&arguments, result);
	cac_add_text(&arguments, error);
	cac_catalog_execute(&query, &arguments);
}

/*
 * cac_record_run_suspended
 *		Note how far a run has come that makes way for other work.
 */
void
cac_record_run_suspended(int64 run, const SweepPosition *position,
						 const SweepResult *result)
{
	static CatalogQuery query = CATALOG_QUERY(
		"UPDATE @.campaign_sweep_run SET"
		" campaigns_checked = $2, campaigns_updated = $3, campaigns_closed = $4,"
		" campaigns_resumed = $5, campaigns_skipped = $6, messages_checked = $7,"
		" messages_marked = $8, resume = jsonb_build_object('open', $9, 'after', $10)"
		" WHERE id = $1");
	CatalogArguments arguments = {0};

	cac_add_count(&arguments, run);
	add_result(&arguments, result);
	cac_add_datum(&arguments, BOOLOID, BoolGetDatum(position->open), false);
	cac_add_text(&arguments, position->after);
	cac_catalog_execute(&query, &arguments);
}

/*
 * cac_suspended_run
 *		The last run of a sweep by the clock, if it made way for other work and
 *		has not ended since.
 *
 * One that seems to have begun in the future does not count, as then the clock
 * was set back.
 */
bool
cac_suspended_run(const Source *source, SweepKind sweep, TimestampTz now,
				  SuspendedRun *run)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT r.id, r.started_at, (r.resume->>'open')::boolean, r.resume->>'after',"
		" r.campaigns_checked, r.campaigns_updated, r.campaigns_closed,"
		" r.campaigns_resumed, r.campaigns_skipped, r.messages_checked, r.messages_marked"
		" FROM (SELECT * FROM @.campaign_sweep_run"
		"  WHERE source = $1 AND sweep = $2 AND as_of IS NULL"
		"  ORDER BY id DESC LIMIT 1) AS r"
		" WHERE r.finished_at IS NULL AND r.resume IS NOT NULL AND r.started_at <= $3");
	CatalogArguments arguments = {0};
	bool		found;
	int			col = 1;

	cac_add_name(&arguments, source->name);
	cac_add_text(&arguments, cac_sweep_name(sweep));
	cac_add_timestamp(&arguments, now);
	found = cac_catalog_execute(&query, &arguments) > 0;
	if (found)
	{
		run->id = cac_row_count(0, col++);
		run->started_at = cac_row_timestamp(0, col++);
		run->position.open = cac_row_bool(0, col++);
		run->position.after = cac_row_text(0, col++);
		run->result.campaigns_checked = cac_row_count(0, col++);
		run->result.campaigns_updated = cac_row_count(0, col++);
		run->result.campaigns_closed = cac_row_count(0, col++);
		run->result.campaigns_resumed = cac_row_count(0, col++);
		run->result.campaigns_skipped = cac_row_count(0, col++);
		run->result.messages_checked = cac_row_count(0, col++);
		run->result.messages_marked = cac_row_count(0, col++);
	}
	SPI_freetuptable(SPI_tuptable);
	return found;
}

/*
 * cac_last_runs
 *		When each sweep of a source last ran by the clock.  What is due next
 *		follows from it, so that it survives a restart.
 */
void
cac_last_runs(const Source *source, LastRun runs[NUM_SWEEP_KINDS])
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT r.started_at, r.finished_at FROM @.campaign_sweep_run AS r"
		" WHERE r.source = $1 AND r.sweep = $2 AND r.as_of IS NULL"
		" ORDER BY r.id DESC LIMIT 1");

	for (int sweep = SWEEP_NONE; sweep < NUM_SWEEP_KINDS; sweep++)
	{
		CatalogArguments arguments = {0};

		runs[sweep].started_at = DT_NOBEGIN;
		cac_add_name(&arguments, source->name);
		cac_add_text(&arguments, cac_sweep_name(sweep));
		if (cac_catalog_execute(&query, &arguments) > 0)
		{
			runs[sweep].started_at = cac_row_timestamp(0, 1);
			runs[sweep].finished = cac_row_timestamp(0, 2) != DT_NOBEGIN;
		}
		SPI_freetuptable(SPI_tuptable);
	}
}

/*
 * cac_forget_history
 *		Delete events and runs older than the source keeps them, but never the
 *		last run of a sweep.
 */
void
cac_forget_history(const Source *source, TimestampTz now)
{
	static CatalogQuery queries[] = {
		CATALOG_QUERY("DELETE FROM @.campaign_event WHERE source = $1 AND at < $2"),
		CATALOG_QUERY("DELETE FROM @.campaign_sweep_run AS r WHERE r.source = $1 AND r.started_at < $2"
					  " AND r.id IS DISTINCT FROM (SELECT max(l.id) FROM @.campaign_sweep_run AS l"
					  " WHERE l.source = r.source AND l.sweep = r.sweep AND l.as_of IS NULL)")
	};
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, source->name);
	cac_add_timestamp(&arguments, cac_before(now, source->history_keep));
	for (int i = 0; i < lengthof(queries); i++)
		cac_catalog_execute(&queries[i], &arguments);
}
