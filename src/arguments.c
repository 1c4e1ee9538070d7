/*
 * arguments.c
 *		The arguments of SQL functions, and what a function may ask of its
 *		caller.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "arguments.h"
#include "queries.h"

/*
 * An argument of type name as a C string, NULL where it is null.
 */
char *
cac_name_argument(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		return NULL;
	return pstrdup(NameStr(*PG_GETARG_NAME(n)));
}

/*
 * Likewise of type text.
 */
char *
cac_text_argument(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		return NULL;
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

void
cac_require_argument(const void *value, const char *argument, const char *hint)
{
	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", argument),
				 errhint("%s", hint)));
}

/*
 * The moment to judge by; DT_NOBEGIN where none is given.
 */
TimestampTz
cac_as_of_argument(FunctionCallInfo fcinfo, int n)
{
	TimestampTz as_of;

	if (PG_ARGISNULL(n))
		return DT_NOBEGIN;
	as_of = PG_GETARG_TIMESTAMPTZ(n);
	if (TIMESTAMP_NOT_FINITE(as_of))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("argument \"as_of\" must be finite"),
				 errhint("Pass NULL for the present moment.")));
	return as_of;
}

/*
 * Refuse to write where nothing can be written: 25006.
 */
void
cac_require_writable(const char *function, const char *hint)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot execute %s during recovery", function),
				 hint ? errhint("%s", hint) :
				 errhint("Call it on the primary server.")));
	if (XactReadOnly)
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot execute %s in a read-only transaction", function),
				 hint ? errhint("%s", hint) :
				 errhint("Begin a transaction that may write: BEGIN READ WRITE.")));
}

/*
 * Refuse to act on a snapshot older than the lock, which closes too early:
 * 25001.
 */
static void
require_read_committed(const char *function)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot execute %s in a transaction above isolation level READ COMMITTED",
						function),
				 errhint("Use SET TRANSACTION ISOLATION LEVEL READ COMMITTED.")));
}

void
cac_require_acting(const char *function, const char *hint)
{
	cac_require_writable(function, hint);
	require_read_committed(function);
}

void
cac_connect_spi(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

/*
 * The first argument names a campaign: refuse (22004) a null one.
 */
void
cac_require_campaign(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		cac_require_argument(NULL, "campaign", "Pass the key of a campaign.");
}

/*
 * Raise P0002 for a campaign that its source does not have.
 */
void
cac_raise_no_campaign(const Source *source, const char *campaign_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("campaign %s of source \"%s\" does not exist",
					campaign_id, source->name),
			 errhint("Campaigns of source \"%s\" are the rows of %s.",
					 source->name, source->table[TABLE_CAMPAIGNS])));
}

/*
 * Adds the remedy to what a key's input function raises.
 */
static void
hint_at_key_type(void *arg)
{
	const Source *source = arg;

	errhint("Campaigns of source \"%s\" have keys of type %s.",
			source->name, format_type_be(cac_key_type(source)));
}

/*
 * The first argument, a uuid, a bigint or a text, as a key of this source.
 */
Datum
cac_key_argument(FunctionCallInfo fcinfo, const Source *source)
{
	Oid			key_type = cac_key_type(source);
	Oid		   *types;
	int			ntypes;
	Datum		key = PG_GETARG_DATUM(0);
	ErrorContextCallback callback;

	(void) get_func_signature(fcinfo->flinfo->fn_oid, &types, &ntypes);
	if (types[0] == key_type)
		return key;

	callback.callback = hint_at_key_type;
	callback.arg = unconstify(Source *, source);
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	if (types[0] == TEXTOID)
		key = cac_key_from_text(source, TextDatumGetCString(key));
	else if (types[0] == INT8OID && key_type == INT4OID)
		key = DirectFunctionCall1(int84, key);
	else
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("a campaign of source \"%s\" is not known by a %s",
						source->name, format_type_be(types[0]))));
	error_context_stack = callback.previous;
	return key;
}
