/*
 * functions.c
 *		The SQL entry points: check the arguments, call down, form the result.
 *
 * What each function does, its arguments and its errors are documented in
 * doc/reference.md.  None is strict: a NULL argument means "as if it were not
 * given" where that makes sense, and is refused (22004) where it does not.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/scansup.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "arguments.h"
#include "attach.h"
#include "byhand.h"
#include "certificate.h"
#include "counters.h"
#include "cron.h"
#include "explain.h"
#include "health.h"
#include "hints.h"
#include "lifecycle.h"
#include "preflight.h"
#include "preview.h"
#include "processes.h"
#include "queries.h"
#include "schedule.h"
#include "shadow.h"
#include "standard.h"
#include "template.h"

PG_FUNCTION_INFO_V1(campaign_create_tables);
PG_FUNCTION_INFO_V1(campaign_attach);
PG_FUNCTION_INFO_V1(campaign_preflight);
PG_FUNCTION_INFO_V1(campaign_alter);
PG_FUNCTION_INFO_V1(campaign_detach);
PG_FUNCTION_INFO_V1(campaign_update_status);
PG_FUNCTION_INFO_V1(campaign_close);
PG_FUNCTION_INFO_V1(campaign_reopen);
PG_FUNCTION_INFO_V1(campaign_check_expired_interactions);
PG_FUNCTION_INFO_V1(campaign_check_timeout);
PG_FUNCTION_INFO_V1(campaign_check_sending);
PG_FUNCTION_INFO_V1(campaign_recover_interrupted);
PG_FUNCTION_INFO_V1(campaign_run_sweeps);
PG_FUNCTION_INFO_V1(campaign_preview);
PG_FUNCTION_INFO_V1(campaign_shadow_report);
PG_FUNCTION_INFO_V1(campaign_explain);
PG_FUNCTION_INFO_V1(campaign_verify);
PG_FUNCTION_INFO_V1(campaign_worker_status);
PG_FUNCTION_INFO_V1(campaign_health);
PG_FUNCTION_INFO_V1(campaign_counters);
PG_FUNCTION_INFO_V1(campaign_schedule_pg_cron);
PG_FUNCTION_INFO_V1(campaign_unschedule_pg_cron);
PG_FUNCTION_INFO_V1(campaign_announce);
PG_FUNCTION_INFO_V1(campaign_source_changed);

/* ----------------------------------------------------------------
 *		Set-up
 * ----------------------------------------------------------------
 */

/*
 * The row of campaign_source as a result of the calling function: allocated
 * for the caller of SPI_connect().
 */
static Datum
source_row(const char *name)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT s FROM @.campaign_source AS s WHERE s.source = $1");
	CatalogArguments arguments = {0};
	bool		isnull;
	Datum		row;

	cac_add_name(&arguments, name);
	cac_catalog_execute(&query, &arguments);
	row = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return SPI_datumTransfer(row, false, -1);
}

/*
 * A jsonb argument, NULL or none at all being the empty object.
 */
static Jsonb *
jsonb_argument(FunctionCallInfo fcinfo, int n)
{
	if (fcinfo != NULL && !PG_ARGISNULL(n))
		return PG_GETARG_JSONB_P(n);
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
}

/*
 * campaign_create_tables(schema name DEFAULT current_schema())
 *		-> campaign_source
 */
Datum
campaign_create_tables(PG_FUNCTION_ARGS)
{
	char	   *schema = cac_name_argument(fcinfo, 0);
	AttachRequest request = {.name = schema};
	SavedIdentity saved;
	Datum		row;

	cac_require_writable("campaign_create_tables()", NULL);
	if (schema == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("no schema has been selected to create in"),
				 errhint("Name one: campaign_create_tables('my_schema').")));
	if (!OidIsValid(get_namespace_oid(schema, true)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("schema \"%s\" does not exist", schema),
				 errhint("Create it first: CREATE SCHEMA %s.",
						 quote_identifier(schema))));
	cac_connect_spi();
	cac_check_source_free(schema);
	cac_enter(InvalidOid, 0, "pg_catalog, pg_temp", &saved);
	cac_create_standard_tables(schema, request.relid);
	cac_leave(&saved);
	request.columns = request.labels = jsonb_argument(NULL, 0);
	cac_attach_standard(&request);
	row = source_row(schema);
	SPI_finish();
	PG_RETURN_DATUM(row);
}

/*
 * campaign_attach(source name, campaigns regclass, messages regclass,
 *		interactions regclass DEFAULT NULL, contacts regclass DEFAULT NULL,
 *		columns jsonb DEFAULT '{}', labels jsonb DEFAULT '{}')
 *		-> campaign_source
 */
Datum
campaign_attach(PG_FUNCTION_ARGS)
{
	AttachRequest request = {.name = cac_name_argument(fcinfo, 0)};
	Datum		row;

	cac_require_argument(request.name, "source", "Pass a name for the source.");
	for (int i = 0; i < NUM_SOURCE_TABLES; i++)
	{
		if (!PG_ARGISNULL(1 + i) && OidIsValid(PG_GETARG_OID(1 + i)))
			request.relid[i] = PG_GETARG_OID(1 + i);
		else if (i == TABLE_CAMPAIGNS || i == TABLE_MESSAGES)
			cac_require_argument(NULL, cac_table_names[i], "Pass the name of the table.");
	}
	request.columns = jsonb_argument(fcinfo, 5);
	request.labels = jsonb_argument(fcinfo, 6);
	cac_require_writable("campaign_attach()", NULL);
	cac_connect_spi();
	cac_attach(&request);
	row = source_row(request.name);
	SPI_finish();
	PG_RETURN_DATUM(row);
}

static void
put_check(ReturnSetInfo *result, const char *check, bool ok, const char *detail,
		  const char *fix)
{
	Datum		values[4] = {CStringGetTextDatum(check), BoolGetDatum(ok)};
	bool		nulls[4] = {false, false, detail == NULL, fix == NULL};

	if (detail != NULL)
		values[2] = CStringGetTextDatum(detail);
	if (fix != NULL)
		values[3] = CStringGetTextDatum(fix);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * campaign_preflight(source name DEFAULT NULL)
 *		-> setof (check_name text, ok boolean, detail text, fix text)
 */
Datum
campaign_preflight(PG_FUNCTION_ARGS)
{
	char	   *name = cac_name_argument(fcinfo, 0);
	Source	   *source;
	List	   *findings;
	const char *check;

	InitMaterializedSRF(fcinfo, 0);
	cac_connect_spi();
	source = cac_source_open(cac_source_choose(name));
	/* what the owner himself lacks is a finding */
	if (!OidIsValid(source->owner) || !has_privs_of_role(GetUserId(), source->owner))
		cac_source_check_rights(source, false);
	findings = cac_preflight(source);
	for (int i = 0; (check = cac_preflight_check(i)) != NULL; i++)
	{
		bool		ok = true;
		ListCell   *lc;

		foreach(lc, findings)
		{
			Finding    *finding = lfirst(lc);

			if (strcmp(finding->check, check) != 0)
				continue;
			put_check((ReturnSetInfo *) fcinfo->resultinfo, check, false,
					  finding->detail, finding->fix);
			ok = false;
		}
		if (ok)
			put_check((ReturnSetInfo *) fcinfo->resultinfo, check, true, NULL, NULL);
	}
	SPI_finish();
	return (Datum) 0;
}

/*
 * campaign_alter(source name, setting text, value text) -> campaign_source
 */
Datum
campaign_alter(PG_FUNCTION_ARGS)
{
	char	   *source = cac_name_argument(fcinfo, 0);
	char	   *setting = cac_text_argument(fcinfo, 1);
	char	   *value = cac_text_argument(fcinfo, 2);
	Datum		row;

	cac_require_argument(source, "source", "Pass the name of a source.");
	cac_require_argument(setting, "setting", "Pass the name of a setting.");
	cac_require_writable("campaign_alter()", NULL);
	cac_connect_spi();
	cac_alter(source, setting, value);
	row = source_row(source);
	SPI_finish();
	PG_RETURN_DATUM(row);
}

/*
 * campaign_detach(source name) -> void
 */
Datum
campaign_detach(PG_FUNCTION_ARGS)
{
	char	   *source = cac_name_argument(fcinfo, 0);

	cac_require_argument(source, "source", "Pass the name of a source.");
	cac_require_writable("campaign_detach()", NULL);
	cac_connect_spi();
	cac_detach(source);
	SPI_finish();
	PG_RETURN_VOID();
}

/* ----------------------------------------------------------------
 *		One campaign
 * ----------------------------------------------------------------
 */

static Datum
text_or_null(const char *text)
{
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

static Datum
form_campaign_result(FunctionCallInfo fcinfo, const Source *source,
					 const JudgeOutcome *outcome)
{
	const CampaignTally *tally = &outcome->tally;
	TupleDesc	desc;
	Datum		values[19];
	bool		nulls[19] = {0};
	int64		statistics[NUM_STATISTICS];
	NameData	name;
	int			n = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	cac_statistics(tally, statistics);
	namestrcpy(&name, source->name);

	values[n++] = NameGetDatum(&name);
	values[n++] = CStringGetTextDatum(outcome->campaign_id);
	nulls[n] = (outcome->previous_status == NULL);
	values[n++] = text_or_null(outcome->previous_status);
	nulls[n] = (outcome->status == NULL);
	values[n++] = text_or_null(outcome->status);
	values[n++] = BoolGetDatum(outcome->status != NULL &&
							   outcome->previous_status != NULL &&
							   strcmp(outcome->status, outcome->previous_status) != 0);
	values[n++] = Int64GetDatum(statistics[STATISTIC_PENDING]);
	values[n++] = Int64GetDatum(tally->message_1_sent);
	values[n++] = Int64GetDatum(tally->message_2_sent);
	values[n++] = Int64GetDatum(statistics[STATISTIC_SENT]);
	values[n++] = Int64GetDatum(statistics[STATISTIC_DELIVERED]);
	values[n++] = Int64GetDatum(statistics[STATISTIC_READ]);
	values[n++] = Int64GetDatum(statistics[STATISTIC_NO_INTERACTION]);
	values[n++] = Int64GetDatum(tally->failed);
	values[n++] = Int64GetDatum(statistics[STATISTIC_FAILED]);
	values[n++] = Int64GetDatum(statistics[STATISTIC_SUCCESS]);
	values[n++] = Int64GetDatum(statistics[STATISTIC_INTERACTION]);
	values[n++] = Int64GetDatum(tally->contacts);
	values[n++] = Int64GetDatum(tally->contacts_completed);
	nulls[n] = outcome->completed_at == DT_NOBEGIN;
	values[n++] = TimestampTzGetDatum(outcome->completed_at);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/*
 * campaign_update_status(campaign uuid | bigint | text,
 *		source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
 *		-> campaign_result
 */
Datum
campaign_update_status(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	char	   *name = cac_name_argument(fcinfo, 1);
	TimestampTz as_of = cac_as_of_argument(fcinfo, 2);
	JudgeRequest request = {.sweep = SWEEP_NONE, .lock = LOCK_WAIT};
	JudgeOutcome outcome;
	Source	   *source;
	Datum		result;

	cac_require_campaign(fcinfo);
	cac_require_acting("campaign_update_status()", NULL);
	cac_connect_spi();
	source = cac_source_open(cac_source_choose(name));
	cac_source_check(source);
	cac_source_check_rights(source, cac_source_acts(source));
	request.as_of = as_of == DT_NOBEGIN ? GetCurrentTimestamp() : as_of;
	request.dry_run = !cac_source_acts(source);
	request.shadow = source->armed && source->mode == MODE_SHADOW;
	if (request.dry_run)
		ereport(NOTICE,
				(errmsg("source \"%s\" is not active, so nothing is changed",
						source->name),
				 errhint("Activate it with campaign_alter(%s, 'mode', 'active').",
						 quote_literal_cstr(source->name))));
	cac_judge_campaign(source, cac_key_argument(fcinfo, source), &request, &outcome);
	if (!outcome.found)
		cac_raise_no_campaign(source, outcome.campaign_id);
	MemoryContextSwitchTo(caller);
	result = form_campaign_result(fcinfo, source, &outcome);
	SPI_finish();
	PG_RETURN_DATUM(result);
}

/*
 * The operator's reason, without the blanks around it.
 */
static char *
reason_argument(FunctionCallInfo fcinfo, int n)
{
	char	   *reason = cac_text_argument(fcinfo, n);

	cac_require_argument(reason, "reason", "Say why: the campaign's history keeps it.");
	while (scanner_isspace(*reason))
		reason++;
	for (char *end = reason + strlen(reason);
		 end > reason && scanner_isspace(end[-1]); end--)
		end[-1] = '\0';
	if (*reason == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be empty", "reason"),
				 errhint("Say why: the campaign's history keeps it.")));
	return reason;
}

/*
 * What an operator orders is not done where the source does not act: 55000.
 */
static void
require_acting_source(const Source *source)
{
	if (!cac_source_acts(source))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("source \"%s\" is not active", source->name),
				 errhint("Activate it with campaign_alter(%s, 'mode', 'active').",
						 quote_literal_cstr(source->name))));
}

/*
 * (campaign uuid | bigint | text, reason text, source name DEFAULT NULL,
 * as_of timestamptz DEFAULT NULL) -> campaign_result
 */
static Datum
give_order(FunctionCallInfo fcinfo, OperatorOrder order, const char *function)
{
	MemoryContext caller = CurrentMemoryContext;
	char	   *name = cac_name_argument(fcinfo, 2);
	TimestampTz as_of = cac_as_of_argument(fcinfo, 3);
	JudgeRequest request = {.order = order};
	JudgeOutcome outcome;
	Source	   *source;
	Datum		result;

	cac_require_campaign(fcinfo);
	request.reason = reason_argument(fcinfo, 1);
	cac_require_acting(function, NULL);
	cac_connect_spi();
	source = cac_source_open(cac_source_choose(name));
	cac_source_check(source);
	require_acting_source(source);
	cac_source_check_rights(source, true);
	request.as_of = as_of == DT_NOBEGIN ? GetCurrentTimestamp() : as_of;
	cac_obey(source, cac_key_argument(fcinfo, source), &request, &outcome);
	if (!outcome.found)
		cac_raise_no_campaign(source, outcome.campaign_id);
	MemoryContextSwitchTo(caller);
	result = form_campaign_result(fcinfo, source, &outcome);
	SPI_finish();
	return result;
}

Datum
campaign_close(PG_FUNCTION_ARGS)
{
	return give_order(fcinfo, ORDER_CLOSE, "campaign_close()");
}

Datum
campaign_reopen(PG_FUNCTION_ARGS)
{
	return give_order(fcinfo, ORDER_REOPEN, "campaign_reopen()");
}

/* ----------------------------------------------------------------
 *		Sweeps
 * ----------------------------------------------------------------
 */

static Datum
form_sweep_result(FunctionCallInfo fcinfo, SweepKind sweep,
				  const SweepResult *result)
{
	TupleDesc	desc;
	Datum		values[8];
	bool		nulls[8] = {0};
	int			n = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[n++] = CStringGetTextDatum(cac_sweep_name(sweep));
	values[n++] = Int64GetDatum(result->campaigns_checked);
	values[n++] = Int64GetDatum(result->campaigns_updated);
	values[n++] = Int64GetDatum(result->campaigns_closed);
	values[n++] = Int64GetDatum(result->campaigns_resumed);
	values[n++] = Int64GetDatum(result->campaigns_skipped);
	values[n++] = Int64GetDatum(result->messages_checked);
	values[n++] = Int64GetDatum(result->messages_marked);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/*
 * The four sweeps: (source name DEFAULT NULL, as_of timestamptz DEFAULT NULL,
 * dry_run boolean DEFAULT false) -> campaign_sweep_result
 */
static Datum
sweep(FunctionCallInfo fcinfo, SweepKind kind, const char *function)
{
	MemoryContext caller = CurrentMemoryContext;
	char	   *source = cac_name_argument(fcinfo, 0);
	TimestampTz as_of = cac_as_of_argument(fcinfo, 1);
	bool		dry_run = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	SweepResult result;
	Datum		row;

	if (!dry_run)
		cac_require_acting(function, "With dry_run => true it only tells what it would do.");
	cac_connect_spi();
	cac_sweep(kind, source, as_of, dry_run, &result);
	MemoryContextSwitchTo(caller);
	row = form_sweep_result(fcinfo, kind, &result);
	SPI_finish();
	return row;
}

Datum
campaign_check_expired_interactions(PG_FUNCTION_ARGS)
{
	return sweep(fcinfo, SWEEP_EXPIRED, "campaign_check_expired_interactions()");
}

Datum
campaign_check_timeout(PG_FUNCTION_ARGS)
{
	return sweep(fcinfo, SWEEP_TIMEOUT, "campaign_check_timeout()");
}

Datum
campaign_check_sending(PG_FUNCTION_ARGS)
{
	return sweep(fcinfo, SWEEP_SENDING, "campaign_check_sending()");
}

Datum
campaign_recover_interrupted(PG_FUNCTION_ARGS)
{
	return sweep(fcinfo, SWEEP_INTERRUPTED, "campaign_recover_interrupted()");
}

/* A caller's session goes on for as long as the caller lets it. */
static bool
always_go_on(void)
{
	return true;
}

/*
 * CALL campaign_run_sweeps(source name DEFAULT NULL, force boolean DEFAULT false)
 */
Datum
campaign_run_sweeps(PG_FUNCTION_ARGS)
{
	SweepHost	host = {.go_on = always_go_on, .called = true};
	char	   *source = cac_name_argument(fcinfo, 0);
	bool		force = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);

	cac_require_acting("campaign_run_sweeps()", NULL);
	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("campaign_run_sweeps() commits as it goes, and cannot be called in a transaction block"),
				 errhint("Call it on its own, or use the functions that run one sweep.")));
	/* not so in a procedure or DO block of somebody's; the name is nobody's */
	host.outermost = SPI_unregister_relation("campaign_autoclose") == SPI_ERROR_UNCONNECTED;
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect_ext failed");
	cac_run_due_sweeps(source, force, &host);
	SPI_finish();
	PG_RETURN_VOID();
}

/* ----------------------------------------------------------------
 *		Operators
 * ----------------------------------------------------------------
 */

/*
 * campaign_preview(source name DEFAULT NULL, as_of timestamptz DEFAULT NULL)
 *		-> the changes that the sweeps would make
 */
Datum
campaign_preview(PG_FUNCTION_ARGS)
{
	char	   *source = cac_name_argument(fcinfo, 0);
	TimestampTz as_of = cac_as_of_argument(fcinfo, 1);

	InitMaterializedSRF(fcinfo, 0);
	cac_connect_spi();
	cac_preview(source, as_of == DT_NOBEGIN ? GetCurrentTimestamp() : as_of,
				(ReturnSetInfo *) fcinfo->resultinfo);
	SPI_finish();
	return (Datum) 0;
}

/*
 * campaign_shadow_report(source name DEFAULT NULL)
 *		-> the campaigns that shadow mode, or the application, has closed
 */
Datum
campaign_shadow_report(PG_FUNCTION_ARGS)
{
	char	   *name = cac_name_argument(fcinfo, 0);

	InitMaterializedSRF(fcinfo, 0);
	cac_connect_spi();
	cac_shadow_report(cac_source_open(cac_source_choose(name)),
					  GetCurrentTimestamp(),
					  (ReturnSetInfo *) fcinfo->resultinfo);
	SPI_finish();
	return (Datum) 0;
}

/*
 * campaign_explain(campaign uuid | bigint | text, source name DEFAULT NULL,
 *		as_of timestamptz DEFAULT NULL) -> (condition, ok, detail, until)
 */
Datum
campaign_explain(PG_FUNCTION_ARGS)
{
	char	   *name = cac_name_argument(fcinfo, 1);
	TimestampTz as_of = cac_as_of_argument(fcinfo, 2);
	JudgeOutcome outcome;
	Source	   *source;

	cac_require_campaign(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	cac_connect_spi();
	source = cac_source_open(cac_source_choose(name));
	if (source->fault_code != 0)
		cac_explain_faults(source, (ReturnSetInfo *) fcinfo->resultinfo);
	else
	{
		cac_source_check_rights(source, false);
		cac_explain_campaign(source, cac_key_argument(fcinfo, source),
							 as_of == DT_NOBEGIN ? GetCurrentStatementStartTimestamp() : as_of,
							 (ReturnSetInfo *) fcinfo->resultinfo, &outcome);
		if (!outcome.found)
			cac_raise_no_campaign(source, outcome.campaign_id);
	}
	SPI_finish();
	return (Datum) 0;
}

/*
 * campaign_verify(campaign uuid | bigint | text, source name DEFAULT NULL)
 *		-> (what, at_closing, now, ok)
 */
Datum
campaign_verify(PG_FUNCTION_ARGS)
{
	char	   *name = cac_name_argument(fcinfo, 1);
	JudgeOutcome outcome;
	Source	   *source;
	bool		certified;

	cac_require_campaign(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	cac_connect_spi();
	source = cac_source_open(cac_source_choose(name));
	cac_source_check(source);
	cac_source_check_rights(source, false);
	certified = cac_verify_certificate(source, cac_key_argument(fcinfo, source),
									   (ReturnSetInfo *) fcinfo->resultinfo,
									   &outcome);
	if (!outcome.found)
		cac_raise_no_campaign(source, outcome.campaign_id);
	if (!certified)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("campaign %s of source \"%s\" has no closing event",
						outcome.campaign_id, source->name),
				 errhint("The extension has not closed it, or longer ago than the source's history_keep.")));
	SPI_finish();
	return (Datum) 0;
}

/*
 * campaign_worker_status() -> the rows of the view campaign_worker
 */
Datum
campaign_worker_status(PG_FUNCTION_ARGS)
{
	HintCounters hints;

	InitMaterializedSRF(fcinfo, 0);
	cac_report_processes((ReturnSetInfo *) fcinfo->resultinfo,
						 cac_hint_counters(&hints) ? &hints : NULL);
	return (Datum) 0;
}

/*
 * campaign_health(source name DEFAULT NULL)
 *		-> setof (check_name, ok, detail, fix)
 */
Datum
campaign_health(PG_FUNCTION_ARGS)
{
	char	   *source = cac_name_argument(fcinfo, 0);

	InitMaterializedSRF(fcinfo, 0);
	cac_connect_spi();
	cac_report_health((ReturnSetInfo *) fcinfo->resultinfo, source);
	SPI_finish();
	return (Datum) 0;
}

/*
 * campaign_counters() -> one row, of nulls where the library is not preloaded
 */
Datum
campaign_counters(PG_FUNCTION_ARGS)
{
	int64		counts[NUM_COUNTERS];
	HintCounters hints;
	Datum		values[NUM_COUNTERS + 3] = {0};
	bool		nulls[NUM_COUNTERS + 3];
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	memset(nulls, true, sizeof(nulls));
	if (cac_read_counters(counts) && cac_hint_counters(&hints))
	{
		for (int i = 0; i < NUM_COUNTERS; i++)
			values[i] = Int64GetDatum(counts[i]);
		values[NUM_COUNTERS] = Int64GetDatum(hints.waiting);
		values[NUM_COUNTERS + 1] = Int64GetDatum(hints.dropped);
		values[NUM_COUNTERS + 2] = Int64GetDatum(hints.served);
		memset(nulls, false, sizeof(nulls));
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * campaign_schedule_pg_cron(schedule text DEFAULT '* * * * *') -> bigint
 */
Datum
campaign_schedule_pg_cron(PG_FUNCTION_ARGS)
{
	char	   *schedule = cac_text_argument(fcinfo, 0);
	int64		job;

	cac_require_argument(schedule, "schedule", "Leave it out for every minute.");
	cac_require_writable("campaign_schedule_pg_cron()", NULL);
	cac_connect_spi();
	job = cac_cron_schedule(schedule);
	SPI_finish();
	PG_RETURN_INT64(job);
}

/*
 * campaign_unschedule_pg_cron() -> boolean
 */
Datum
campaign_unschedule_pg_cron(PG_FUNCTION_ARGS)
{
	bool		found;

	cac_require_writable("campaign_unschedule_pg_cron()", NULL);
	cac_connect_spi();
	found = cac_cron_unschedule();
	SPI_finish();
	PG_RETURN_BOOL(found);
}

/*
 * campaign_announce() -> void; called by each of the extension's scripts
 */
Datum
campaign_announce(PG_FUNCTION_ARGS)
{
	if (creating_extension)
		cac_extension_changed();
	if (cac_shared_memory_ready())
		cac_announce_news();
	else
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("campaign_autoclose is not preloaded, so no worker will run"),
				 errhint("Add shared_preload_libraries = 'campaign_autoclose' to postgresql.conf and restart the server, or let pg_cron run the sweeps with campaign_schedule_pg_cron().")));
	PG_RETURN_VOID();
}

/*
 * campaign_source_changed() -> trigger, on campaign_source and campaign_armed
 */
Datum
campaign_source_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager",
						"campaign_source_changed")));
	cac_catalog_changed();
	cac_announce_news();
	return PointerGetDatum(NULL);
}
