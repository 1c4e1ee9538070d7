/*
 * queries.c
 *		The statements on the application's tables, as functions: what they are
 *		given, and what comes back.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "notes.h"
#include "queries.h"
#include "statements.h"

/* For so many campaigns one plan serves better than one for each. */
#define CAMPAIGNS_ARE_MANY	20
/* How many contacts are read at once. */
#define CONTACTS_AT_ONCE	1000

/*
 * The type of the campaigns' key: uuid, bigint or integer (of a domain, the
 * type that it is over).
 */
Oid
cac_key_type(const Source *source)
{
	return getBaseType(cac_source_column(source, TABLE_CAMPAIGNS, "id")->type);
}

/*
 * A campaign's key as text, palloc'd.
 */
char *
cac_key_text(const Source *source, Datum key)
{
	Oid			output;
	bool		varlena;

	getTypeOutputInfo(cac_key_type(source), &output, &varlena);
	return OidOutputFunctionCall(output, key);
}

/*
 * A campaign's key from text; raises what the type's input function raises
 * (22P02, 22003).
 */
Datum
cac_key_from_text(const Source *source, const char *text)
{
	Oid			input;
	Oid			param;

	getTypeInputInfo(cac_key_type(source), &input, &param);
	return OidInputFunctionCall(input, unconstify(char *, text), param, -1);
}

/*
 * cac_plan_for_many
 *		The statements that follow are executed for so many campaigns, one after
 *		the other: until the caller ends its level of settings, plan each of them
 *		once.
 *
 * PostgreSQL would plan most of them anew for each campaign that is smaller than
 * the average, which takes several times as long as to execute them.
 */
void
cac_plan_for_many(const Source *source, int64 campaigns)
{
	if (campaigns >= CAMPAIGNS_ARE_MANY && !source->distributed)
		(void) set_config_option("plan_cache_mode", "force_generic_plan",
								 PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * The result's column of campaign keys is of the type that we take them for?
 * Not where the statement had to wait for somebody who altered it.
 */
static void
check_keys(const Source *source, int col)
{
	if (getBaseType(SPI_gettypeid(SPI_tuptable->tupdesc, col)) != cac_key_type(source))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the campaigns of source \"%s\" have got other keys",
						source->name),
				 errhint("Try again: it goes by the new ones.")));
}

/*
 * cac_open_campaigns
 *		The keys of all open campaigns, allocated in "context".
 */
Datum *
cac_open_campaigns(Source *source, MemoryContext context, int64 *count)
{
	MemoryContext old;
	Datum	   *keys;
	int16		typlen;
	bool		typbyval;

	*count = cac_execute(source, STATEMENT_OPEN, 0, NULL, NULL, NULL);
	check_keys(source, 1);
	get_typlenbyval(cac_key_type(source), &typlen, &typbyval);
	old = MemoryContextSwitchTo(context);
	keys = palloc_extended(Max(*count, 1) * sizeof(Datum), MCXT_ALLOC_HUGE);
	for (int64 i = 0; i < *count; i++)
	{
		bool		isnull;

		keys[i] = datumCopy(SPI_getbinval(SPI_tuptable->vals[i],
										  SPI_tuptable->tupdesc, 1, &isnull),
							typbyval, typlen);
	}
	MemoryContextSwitchTo(old);
	SPI_freetuptable(SPI_tuptable);
	return keys;
}

/*
 * cac_closed_campaigns
 *		The campaigns that were closed, by whomever, at "since" or later, in no
 *		order; and those that do not tell when, if they started since.
 *
 * Allocated in the current memory context.
 */
ClosedCampaign *
cac_closed_campaigns(Source *source, TimestampTz since, int64 *count)
{
	Oid			types[1] = {TIMESTAMPTZOID};
	Datum		values[1];
	ClosedCampaign *result;
	int16		typlen;
	bool		typbyval;

	values[0] = TimestampTzGetDatum(since);
	*count = cac_execute(source, STATEMENT_CLOSED, 1, types, values, NULL);
	check_keys(source, 1);
	get_typlenbyval(cac_key_type(source), &typlen, &typbyval);
	result = palloc_extended(Max(*count, 1) * sizeof(ClosedCampaign), MCXT_ALLOC_HUGE);
	for (int64 i = 0; i < *count; i++)
	{
		bool		isnull;

		result[i].key = datumCopy(SPI_getbinval(SPI_tuptable->vals[i],
												SPI_tuptable->tupdesc, 1, &isnull),
								  typbyval, typlen);
		result[i].status = cac_row_text(i, 2);
		result[i].completed_at = cac_row_timestamp(i, 3);
	}
	SPI_freetuptable(SPI_tuptable);
	return result;
}

/*
 * The status of a campaign: columns "col" and the two after it say of which of
 * the three that the rules know the application's word is.
 */
static CampaignStatus
result_status(int col)
{
	for (int i = 0; i < CAMPAIGN_OTHER; i++)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[0],
										  SPI_tuptable->tupdesc, col + i, &isnull);

		if (!isnull && DatumGetBool(value))
			return i;
	}
	return CAMPAIGN_OTHER;
}

static int64
result_count(int col, int64 if_null)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0],
									  SPI_tuptable->tupdesc, col, &isnull);

	return isnull ? if_null : DatumGetInt64(value);
}

/*
 * An interval of the campaign's own; null is -1.  The application may have set
 * one that leads out of the range of a timestamp.
 */
static int64
result_interval(int col)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0],
									  SPI_tuptable->tupdesc, col, &isnull);
	int64		usec = isnull ? -1 : cac_interval_usec(DatumGetIntervalP(value));

	return Min(usec, CAC_MAX_INTERVAL);
}

/*
 * Microseconds as a value of type interval, kept in *interval.
 */
static Datum
interval_datum(int64 usec, Interval *interval)
{
	memset(interval, 0, sizeof(*interval));
	interval->time = usec;
	return IntervalPGetDatum(interval);
}

/*
 * cac_read_campaign
 *		Read, and perhaps lock, one campaign.
 *
 * False where there is no such campaign or, with LOCK_SKIP, where somebody
 * else holds its row.
 */
bool
cac_read_campaign(Source *source, Datum key, CampaignLock lock,
				  CampaignRow *row)
{
	Oid			types[1];
	int			col = 1;

	types[0] = cac_key_type(source);
	if (cac_execute(source, STATEMENT_READ + lock, 1, types, &key, NULL) == 0)
	{
		SPI_freetuptable(SPI_tuptable);
		return false;
	}

	row->status_text = cac_row_text(0, col++);
	row->status = result_status(col);
	col += CAMPAIGN_OTHER;
	row->created_at = cac_row_timestamp(0, col++);
	row->started_at = cac_row_timestamp(0, col++);
	row->resumed_at = cac_row_timestamp(0, col++);
	row->completed_at = cac_row_timestamp(0, col++);
	row->total_recipients = result_count(col++, 0);
	row->interaction_timeout = result_interval(col++);
	row->campaign_timeout = result_interval(col++);
	row->completion_rule = cac_row_text(0, col++);
	for (int i = 0; i < NUM_STATISTICS; i++)
		row->statistics[i] = result_count(col++, STATISTIC_IS_NULL);
	SPI_freetuptable(SPI_tuptable);
	return true;
}

/*
 * The messages in a status that no label maps.
 */
static int64
unmapped(const CampaignTally *tally)
{
	return tally->messages - tally->pending - tally->sent - tally->delivered -
		tally->read - tally->failed - tally->no_interaction;
}

/*
 * Execute a statement that reads one campaign's messages by their age: "cutoff"
 * (DT_NOBEGIN: none), the campaign's start, and for how long a reply is in time.
 */
static void
read_by_age(Source *source, StatementKind kind, Datum key, TimestampTz cutoff,
			TimestampTz start, int64 within)
{
	Oid			types[4] = {InvalidOid, TIMESTAMPTZOID, TIMESTAMPTZOID, INTERVALOID};
	Datum		values[4];
	Interval	interval;

	types[0] = cac_key_type(source);
	values[0] = key;
	values[1] = TimestampTzGetDatum(cutoff);
	values[2] = TimestampTzGetDatum(start);
	values[3] = interval_datum(within, &interval);
	cac_execute(source, kind, 4, types, values, NULL);
}

/*
 * cac_read_tally
 *		Count one campaign's messages.
 *
 * Messages sent before "cutoff" (DT_NOBEGIN: none) are aged; "start" is the
 * campaign's, for messages that do not tell when they were sent.
 */
void
cac_read_tally(Source *source, Datum key, TimestampTz cutoff,
			   TimestampTz start, int64 within, CampaignTally *tally)
{
	int			col = 1;

	read_by_age(source, STATEMENT_TALLY, key, cutoff, start, within);

	tally->messages = result_count(col++, 0);
	tally->pending = result_count(col++, 0);
	tally->sent = result_count(col++, 0);
	tally->delivered = result_count(col++, 0);
	tally->read = result_count(col++, 0);
	tally->failed = result_count(col++, 0);
	tally->no_interaction = result_count(col++, 0);
	tally->message_1_rows = result_count(col++, 0);
	tally->message_1_sent = result_count(col++, 0);
	tally->message_2_sent = result_count(col++, 0);
	tally->contacts = result_count(col++, 0);
	tally->contacts_completed = result_count(col++, 0);
	tally->awaiting = result_count(col++, 0);
	tally->aged = result_count(col++, 0);
	tally->due_sent = result_count(col++, 0);
	tally->due_delivered = result_count(col++, 0);
	tally->due_read = result_count(col++, 0);
	tally->completed_if_marked = result_count(col++, 0);
	tally->awaiting_if_marked = result_count(col++, 0);
	tally->last_sent = cac_row_timestamp(0, col++);
	tally->last_sent_if_marked = cac_row_timestamp(0, col++);
	tally->interactions = result_count(col++, 0);
	tally->unmapped = unmapped(tally);
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Execute a statement that counts one campaign's messages by status; "start" is
 * the campaign's.  Returns the column after those counts.
 */
static int
read_counts(Source *source, StatementKind kind, Datum key, TimestampTz start,
			CampaignTally *tally)
{
	Oid			types[3] = {InvalidOid, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[3];
	int			col = 1;

	types[0] = cac_key_type(source);
	values[0] = key;
	values[1] = TimestampTzGetDatum(DT_NOBEGIN);	/* no cutoff */
	values[2] = TimestampTzGetDatum(start);
	cac_execute(source, kind, 3, types, values, NULL);
	tally->messages = result_count(col++, 0);
	tally->pending = result_count(col++, 0);
	tally->sent = result_count(col++, 0);
	tally->delivered = result_count(col++, 0);
	tally->read = result_count(col++, 0);
	tally->failed = result_count(col++, 0);
	tally->no_interaction = result_count(col++, 0);
	tally->interactions = result_count(col++, 0);
	tally->unmapped = unmapped(tally);
	return col;
}

/*
 * cac_read_counts
 *		Count one campaign's messages by status alone; the rest of the tally is
 *		left as it is.  "start" is the campaign's.
 */
void
cac_read_counts(Source *source, Datum key, TimestampTz start,
				CampaignTally *tally)
{
	(void) read_counts(source, STATEMENT_COUNT, key, start, tally);
	SPI_freetuptable(SPI_tuptable);
}

/*
 * cac_read_settled
 *		Count the messages of a campaign whose rule is "contacts", and that is
 *		believed to have none that keeps it open.
 *
 * True if so it is: then the whole tally is filled in, as of one moment, with
 * nothing aged.  If not, cac_read_counts() has been done.
 */
bool
cac_read_settled(Source *source, Datum key, TimestampTz start,
				 CampaignTally *tally)
{
	int			col = read_counts(source, STATEMENT_SETTLED, key, start, tally);
	bool		settled = result_count(col++, 0) == 0;

	if (settled)
	{
		tally->message_1_rows = result_count(col++, 0);
		tally->message_1_sent = result_count(col++, 0);
		tally->message_2_sent = result_count(col++, 0);
		tally->contacts = result_count(col++, 0);
		tally->last_sent = cac_row_timestamp(0, col++);
		tally->contacts_completed = tally->completed_if_marked = tally->contacts;
		tally->last_sent_if_marked = tally->last_sent;
	}
	SPI_freetuptable(SPI_tuptable);
	return settled;
}

/*
 * cac_read_unsent
 *		What is pending or not understood, as a List of palloc'd UnsentCount.
 */
List *
cac_read_unsent(Source *source, Datum key)
{
	Oid			types[1];
	List	   *result = NIL;
	int64		nrows;

	types[0] = cac_key_type(source);
	nrows = cac_execute(source, STATEMENT_UNSENT, 1, types, &key, NULL);
	for (int64 i = 0; i < nrows; i++)
	{
		UnsentCount *unsent = palloc(sizeof(UnsentCount));

		unsent->pending = cac_row_bool(i, 1);
		unsent->message_2 = cac_row_bool(i, 2);
		unsent->word = cac_row_text(i, 3);
		unsent->count = cac_row_count(i, 4);
		unsent->oldest = cac_row_timestamp(i, 5);
		result = lappend(result, unsent);
	}
	SPI_freetuptable(SPI_tuptable);
	return result;
}

/*
 * cac_read_awaited
 *		Whom an open campaign awaits; "start" is the campaign's.
 */
void
cac_read_awaited(Source *source, Datum key, TimestampTz start,
				 int64 within, AwaitedCount *count)
{
	read_by_age(source, STATEMENT_AWAITED, key, DT_NOBEGIN, start, within);
	count->silent = cac_row_count(0, 1);
	count->first = cac_row_timestamp(0, 2);
	count->last = cac_row_timestamp(0, 3);
	count->replied = cac_row_count(0, 4);
	count->followed = cac_row_count(0, 5);
	SPI_freetuptable(SPI_tuptable);
}

/*
 * cac_read_pace
 *		How many messages of a campaign were sent after "since" and not after
 *		"as_of", and when one last changed, as far as the table tells;
 *		DT_NOBEGIN: unknown.
 */
void
cac_read_pace(Source *source, Datum key, TimestampTz since, TimestampTz as_of,
			  int64 *sent, TimestampTz *last_change)
{
	Oid			types[3] = {InvalidOid, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[3];

	types[0] = cac_key_type(source);
	values[0] = key;
	values[1] = TimestampTzGetDatum(since);
	values[2] = TimestampTzGetDatum(as_of);
	cac_execute(source, STATEMENT_PACE, 3, types, values, NULL);
	*sent = cac_row_count(0, 1);
	*last_change = cac_row_timestamp(0, 2);
	SPI_freetuptable(SPI_tuptable);
}

/* A boolean column of a row of SPI_tuptable; null is false */
static bool
row_bool(uint64 row, int col)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row],
									  SPI_tuptable->tupdesc, col, &isnull);

	return !isnull && DatumGetBool(value);
}

static void
row_contact(uint64 row, ContactState *contact)
{
	int			col = 1;

	contact->contact_id = cac_row_text(row, col++);
	contact->name = cac_row_text(row, col++);
	contact->number = cac_row_text(row, col++);
	contact->message_1 = cac_row_text(row, col++);
	contact->message_2 = cac_row_text(row, col++);
	contact->unmapped = row_bool(row, col++);
	contact->pending_1 = row_bool(row, col++);
	contact->pending_2 = row_bool(row, col++);
	contact->in_flight = row_bool(row, col++);
	contact->sent_2 = row_bool(row, col++);
	contact->failed_2 = row_bool(row, col++);
	contact->no_interaction = row_bool(row, col++);
	contact->failed_1 = row_bool(row, col++);
	contact->replied = row_bool(row, col++);
	contact->replied_at = cac_row_timestamp(row, col++);
	contact->moment_1 = cac_row_timestamp(row, col++);
	contact->changed_1 = cac_row_timestamp(row, col++);
	contact->moment_2 = cac_row_timestamp(row, col++);
	contact->created_at = cac_row_timestamp(row, col++);
	contact->error_1 = cac_row_text(row, col++);
	contact->error_2 = cac_row_text(row, col++);
}

/*
 * cac_read_contacts
 *		Call reader(contact, arg) for each contact of a campaign that started at
 *		"start", in the order of their keys.
 *
 * "named": with names and numbers; the source must have a table of contacts.
 * There may be a million of them, so they are read a thousand at a time; what
 * it is given, and what it allocates, is good until it returns.
 */
void
cac_read_contacts(Source *source, Datum key, TimestampTz start, bool named,
				  ContactReader reader, void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller,
												  "campaign_autoclose contacts",
												  ALLOCSET_DEFAULT_SIZES);
	Oid			types[3] = {InvalidOid, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[3];
	Portal		portal;

	types[0] = cac_key_type(source);
	values[0] = key;
	values[1] = TimestampTzGetDatum(DT_NOBEGIN);
	values[2] = TimestampTzGetDatum(start);
	portal = cac_open(source, named ? STATEMENT_OUTCOMES_NAMED : STATEMENT_OUTCOMES,
					  3, types, values);
	for (;;)
	{
		uint64		count;

		SPI_cursor_fetch(portal, true, CONTACTS_AT_ONCE);
		count = SPI_processed;
		MemoryContextSwitchTo(context);
		for (uint64 i = 0; i < count; i++)
		{
			ContactState contact;

			row_contact(i, &contact);
			reader(&contact, arg);
			MemoryContextReset(context);
		}
		MemoryContextSwitchTo(caller);
		SPI_freetuptable(SPI_tuptable);
		if (count == 0)
			break;
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(context);
}

/*
 * cac_read_funnel
 *		How many contacts of a campaign that started at "start" came to each
 *		stage.
 */
void
cac_read_funnel(Source *source, Datum key, TimestampTz start,
				int64 contacts[NUM_FUNNEL_STAGES])
{
	Oid			types[3] = {InvalidOid, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[3];

	types[0] = cac_key_type(source);
	values[0] = key;
	values[1] = TimestampTzGetDatum(DT_NOBEGIN);
	values[2] = TimestampTzGetDatum(start);
	cac_execute(source, STATEMENT_FUNNEL, 3, types, values, NULL);
	for (int i = 0; i < NUM_FUNNEL_STAGES; i++)
		contacts[i] = result_count(i + 1, 0);
	SPI_freetuptable(SPI_tuptable);
}

/*
 * cac_find_witness
 *		A message that keeps a campaign open, as palloc'd text; NULL where there
 *		is none.
 *
 * "awaits": does the campaign also wait for contacts who may still reply?
 * "last" is the last witness, or NULL; it says where to begin the search.
 */
char *
cac_find_witness(Source *source, Datum key, bool awaits, const char *last)
{
	Oid			types[3] = {InvalidOid, BOOLOID, TEXTOID};
	Datum		values[3];
	char	   *witness = NULL;

	types[0] = cac_key_type(source);
	values[0] = key;
	values[1] = BoolGetDatum(awaits);
	values[2] = last ? CStringGetTextDatum(last) : (Datum) 0;
	if (cac_execute(source, last ? STATEMENT_WITNESS_NEXT : STATEMENT_WITNESS,
				last ? 3 : 2, types, values, NULL) > 0)
		witness = cac_row_text(0, 1);
	SPI_freetuptable(SPI_tuptable);
	if (witness == NULL && last != NULL)
		return cac_find_witness(source, key, awaits, NULL);
	return witness;
}

/*
 * cac_witness_stands
 *		Does this message keep a campaign open?  "awaits" as above.
 */
bool
cac_witness_stands(Source *source, Datum key, bool awaits, const char *witness)
{
	Oid			types[3] = {InvalidOid, BOOLOID, TEXTOID};
	Datum		values[3];
	bool		stands;

	types[0] = cac_key_type(source);
	values[0] = key;
	values[1] = BoolGetDatum(awaits);
	values[2] = CStringGetTextDatum(witness);
	stands = cac_execute(source, STATEMENT_HOLDS, 3, types, values, NULL) > 0;
	SPI_freetuptable(SPI_tuptable);
	return stands;
}

/*
 * cac_find_sent
 *		A message of a campaign that was sent after "since", as palloc'd text;
 *		NULL where there is none.
 */
char *
cac_find_sent(Source *source, Datum key, TimestampTz since)
{
	Oid			types[2] = {InvalidOid, TIMESTAMPTZOID};
	Datum		values[2];
	char	   *sent = NULL;

	types[0] = cac_key_type(source);
	values[0] = key;
	values[1] = TimestampTzGetDatum(since);
	if (cac_execute(source, STATEMENT_SENT, 2, types, values, NULL) > 0)
		sent = cac_row_text(0, 1);
	SPI_freetuptable(SPI_tuptable);
	return sent;
}

/*
 * cac_verify_witnesses
 *		Which of these n open campaigns does the message witnesses[i] keep open?
 *		With "look" they need not be open, and those that are not are not kept so.
 *		Or, with "since" given, was witnesses[i] sent after that?  Sets holds[i].
 */
void
cac_verify_witnesses(Source *source, int n, Datum *keys, char *const *witnesses,
					 bool look, TimestampTz since, bool *holds)
{
	Oid			key_type = cac_key_type(source);
	Oid			types[3] = {InvalidOid, TEXTARRAYOID, TIMESTAMPTZOID};
	Datum		values[3];
	Datum	   *texts = palloc(n * sizeof(Datum));
	bool		sent = since != DT_NOBEGIN;
	StatementKind kind = sent ? STATEMENT_VERIFY_SENT :
		look ? STATEMENT_VERIFY_OPEN : STATEMENT_VERIFY;
	int16		typlen;
	bool		typbyval;
	char		typalign;
	int64		nrows;

	for (int i = 0; i < n; i++)
		texts[i] = CStringGetTextDatum(witnesses[i]);
	get_typlenbyvalalign(key_type, &typlen, &typbyval, &typalign);
	types[0] = get_array_type(key_type);
	values[0] = PointerGetDatum(construct_array(keys, n, key_type, typlen,
												typbyval, typalign));
	values[1] = PointerGetDatum(construct_array(texts, n, TEXTOID, -1, false,
												TYPALIGN_INT));
	values[2] = TimestampTzGetDatum(since);
	nrows = cac_execute(source, kind, sent ? 3 : 2, types, values, NULL);
	memset(holds, 0, n * sizeof(bool));
	for (int64 i = 0; i < nrows; i++)
		holds[cac_row_count(i, 1) - 1] = true;
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Log the messages that were just marked.
 */
static void
log_marked_messages(const Source *source, int64 count)
{
	for (int64 i = 0; i < count; i++)
	{
		const char *name = cac_row_text(i, 2);
		const char *number = cac_row_text(i, 3);

		ereport(LOG,
				(errmsg("campaign_autoclose: source \"%s\": message %s marked no_interaction: %s (%s)",
						source->name, cac_row_text(i, 1),
						name ? name : "", number ? number : ""),
				 errhidestmt(true), errhidecontext(true)));
	}
}

/*
 * cac_count_due
 *		What may have to be marked of a campaign, see DueCount.
 */
void
cac_count_due(Source *source, Datum key, TimestampTz cutoff,
			  TimestampTz start, int64 within, DueCount *count)
{
	read_by_age(source, STATEMENT_DUE, key, cutoff, start, within);
	count->aged = cac_row_count(0, 1);
	count->due = cac_row_count(0, 2);
	if (count->due >= COUNT_DUE_MAX)
		count->due = count->aged;
	count->next = cac_row_timestamp(0, 3);
	if (count->next == DT_NOBEGIN)
		count->next = DT_NOEND;
	count->candidate = cac_row_text(0, 4);
	count->in_flight = cac_row_count(0, 5);
	SPI_freetuptable(SPI_tuptable);
}

/*
 * cac_find_sign
 *		Did anything come in from outside after "since", in a campaign that is
 *		open or was closed after "closed_since"?
 */
bool
cac_find_sign(Source *source, TimestampTz since, TimestampTz closed_since)
{
	Oid			types[2] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[2];
	bool		found;

	values[0] = TimestampTzGetDatum(since);
	values[1] = TimestampTzGetDatum(closed_since);
	found = cac_execute(source, STATEMENT_SIGN, 2, types, values, NULL) > 0;
	SPI_freetuptable(SPI_tuptable);
	return found;
}

/*
 * cac_mark_expired
 *		Mark a campaign's expired messages no_interaction; returns how many.
 *
 * With a limit, *resume is (palloc'd, or NULL) what request->resume must be to
 * mark those that are left.
 *
 * Who has answered is looked up for each message, or, where that would be most
 * of the campaign's contacts, read for all of them at once.  The planner takes
 * the conditions for more selective than they are, and would never do the
 * latter.
 */
int64
cac_mark_expired(Source *source, Datum key, const MarkRequest *request,
				 char **resume)
{
	Oid			types[8] = {InvalidOid, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID,
	TEXTOID, TIMESTAMPTZOID, INTERVALOID, TEXTOID};
	Datum		values[8];
	Interval	interval;
	StatementKind kind = request->free ? STATEMENT_MARK_FREE : STATEMENT_MARK;
	int			guc_level = NewGUCNestLevel();
	int64		marked;
	bool		muted;

	types[0] = cac_key_type(source);
	values[0] = key;
	values[1] = TimestampTzGetDatum(request->cutoff);
	values[2] = TimestampTzGetDatum(request->start);
	values[3] = Int64GetDatum(request->limit > 0 ? request->limit : request->hash_below);
	values[4] = CStringGetTextDatum(request->message);
	values[5] = TimestampTzGetDatum(request->as_of);
	values[6] = interval_datum(request->within, &interval);
	if (request->resume != NULL)
		values[7] = CStringGetTextDatum(request->resume);
	if (request->limit > 0)
		kind = request->resume ? STATEMENT_MARK_BATCH_NEXT : STATEMENT_MARK_BATCH;
	else if (request->dense)
	{
		(void) set_config_option("enable_nestloop", "off", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
		/* a plan for this one, and this one alone */
		(void) set_config_option("plan_cache_mode", "force_custom_plan", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	}
	muted = cac_mute_notes(true);
	marked = cac_execute(source, kind, kind == STATEMENT_MARK_BATCH_NEXT ? 8 : 7,
					 types, values, NULL);
	cac_mute_notes(muted);
	AtEOXact_GUC(true, guc_level);
	*resume = request->limit > 0 && marked > 0 ? cac_row_text(0, 4) : NULL;
	if (source->log_messages)
		log_marked_messages(source, marked);
	return marked;
}

/*
 * cac_fail_pending
 *		Mark a campaign's pending messages failed, no more than "limit" of them
 *		(0: all); returns how many.
 */
int64
cac_fail_pending(Source *source, Datum key, const char *message,
				 TimestampTz as_of, int64 limit)
{
	Oid			types[4] = {InvalidOid, TEXTOID, TIMESTAMPTZOID, INT8OID};
	Datum		values[4];
	int64		failed;
	bool		muted;

	types[0] = cac_key_type(source);
	values[0] = key;
	values[1] = CStringGetTextDatum(message);
	values[2] = TimestampTzGetDatum(as_of);
	values[3] = Int64GetDatum(limit);
	muted = cac_mute_notes(true);
	cac_execute(source, STATEMENT_FAIL, 4, types, values,
				limit > 0 ? NULL : "   n");
	failed = cac_row_count(0, 1);
	cac_mute_notes(muted);
	return failed;
}

/*
 * cac_write_campaign
 *		Write a campaign's statistics and, where it changes, its status.
 *
 * Returns completed_at as the table has kept it, if that was written: its type
 * may be less precise than ours, or a trigger have had its say.
 */
TimestampTz
cac_write_campaign(Source *source, Datum key, const CampaignChange *change)
{
	Oid			types[12];
	Datum		values[12];
	char		nulls[13] = "            ";
	bool		with_status = change->status != NULL || change->set_completed_at;
	int			n = 0;

	types[n] = cac_key_type(source);
	values[n++] = key;
	for (int i = 0; i < NUM_STATISTICS; i++)
	{
		types[n] = INT8OID;
		values[n++] = Int64GetDatum(change->statistics[i]);
	}
	types[n] = TIMESTAMPTZOID;
	values[n++] = TimestampTzGetDatum(change->as_of);
	if (!with_status)
	{
		cac_execute(source, STATEMENT_WRITE_STATISTICS, n, types, values, nulls);
		return DT_NOBEGIN;
	}
	types[n] = TEXTOID;
	values[n++] = CStringGetTextDatum(change->status);
	types[n] = TIMESTAMPTZOID;
	nulls[n] = change->completed_at == DT_NOBEGIN ? 'n' : ' ';
	values[n++] = TimestampTzGetDatum(change->completed_at);
	if (cac_execute(source, STATEMENT_WRITE_STATUS, n, types, values, nulls) == 0)
		return DT_NOBEGIN;
	return cac_row_timestamp(0, 1);
}
