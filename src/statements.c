/*
 * statements.c
 *		The only file that writes SQL for the application's tables.
 *
 * A statement is a template, readable as SQL, in which a word between "@"
 * stands for what the source calls it:
 *
 *	@messages@			the table, qualified and quoted
 *	@m.sent_at@			a column of the alias m (c, m or n, i, k: campaigns,
 *						messages, interactions, contacts); a NULL of its type
 *						where the table has no such column
 *	@m.status:sent,read@	"the column holds one of the application's words for
 *						these"
 *	@=@					the operator of that name in pg_catalog: the source's
 *						search_path, under which the text is parsed, is the
 *						application's
 *	@$n@				the n-th fragment passed along with the template
 *
 * Status words are literals, so that a partial index on a status serves; all
 * else is bound.  Every statement on messages and interactions has the
 * campaign's key, in subqueries too, so that it runs on one partition or one
 * shard.  Plans are kept with the Source and vanish with it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "statements.h"

typedef enum StatementKind
{
	STATEMENT_OPEN,
	STATEMENT_READ,				/* + CampaignLock: three of them */
	STATEMENT_READ_SKIP,
	STATEMENT_READ_WAIT,
	STATEMENT_TALLY,
	STATEMENT_MARK,
	STATEMENT_FAIL,
	STATEMENT_WRITE_STATUS,
	STATEMENT_WRITE_STATISTICS
} StatementKind;

StaticAssertDecl(STATEMENT_WRITE_STATISTICS < MAX_STATEMENTS,
				 "MAX_STATEMENTS is too small");

#define MAX_FRAGMENTS	4

/* Statistics columns, in the order of CampaignStatistic */
static const char *const statistic_columns[NUM_STATISTICS] = {
	"sent_count", "success_count", "failed_count", "delivered_count",
	"read_count", "no_interaction_count", "pending_count", "interaction_count"
};

static const char *const table_names[NUM_SOURCE_TABLES] = {
	"campaigns", "messages", "interactions", "contacts"
};

/* ----------------------------------------------------------------
 *		Templates
 * ----------------------------------------------------------------
 */

static SourceTable
table_of_alias(char alias)
{
	switch (alias)
	{
		case 'c':
			return TABLE_CAMPAIGNS;
		case 'm':
		case 'n':
			return TABLE_MESSAGES;
		case 'i':
			return TABLE_INTERACTIONS;
		case 'k':
			return TABLE_CONTACTS;
	}
	elog(ERROR, "unknown table alias \"%c\"", alias);
}

/*
 * What an absent column reads as.
 */
static const char *
null_of_column(ColumnKind kind)
{
	switch (kind)
	{
		case COLUMN_MOMENT:
			return "NULL::pg_catalog.timestamptz";
		case COLUMN_INTERVAL:
			return "NULL::pg_catalog.interval";
		case COLUMN_COUNT:
			return "NULL::pg_catalog.int8";
		default:
			return "NULL::pg_catalog.text";
	}
}

/*
 * Append a column; a timestamp without zone is read in the source's.
 */
static void
append_column(StringInfo buf, const Source *source, const char *token)
{
	const SourceColumn *column = cac_source_column(source,
												   table_of_alias(token[0]),
												   token + 2);

	if (column->name == NULL)
		appendStringInfoString(buf, null_of_column(column->kind));
	else if (column->kind == COLUMN_MOMENT &&
			 getBaseType(column->type) == TIMESTAMPOID)
		appendStringInfo(buf, "pg_catalog.timezone(%s, %c.%s)",
						 quote_literal_cstr(source->time_zone), token[0],
						 quote_identifier(column->name));
	else
		appendStringInfo(buf, "%c.%s", token[0], quote_identifier(column->name));
}

/*
 * The group of labels whose words a column holds.
 */
static const char *
label_group(const char *column_token)
{
	if (strcmp(column_token + 1, ".message_type") == 0)
		return "message_types";
	if (strcmp(column_token + 1, ".interaction_type") == 0)
		return "interactions";
	return table_names[table_of_alias(column_token[0])];
}

/*
 * "column:word,word" as (column = 'x' OR column = 'y' ...), false if the
 * application has no word for any of these.
 */
static void
append_condition(StringInfo buf, const Source *source, char *token)
{
	char	   *words = strchr(token, ':');
	const char *group;
	char	   *word;
	char	   *next;
	int			n = 0;

	*words++ = '\0';
	group = label_group(token);
	appendStringInfoChar(buf, '(');
	for (word = words; word != NULL; word = next)
	{
		const SourceLabel *label;

		next = strchr(word, ',');
		if (next != NULL)
			*next++ = '\0';
		label = cac_source_label(source, group, word);
		for (int i = 0; i < label->count; i++)
		{
			if (n++ > 0)
				appendStringInfoString(buf, " OR ");
			append_column(buf, source, token);
			appendStringInfo(buf, " OPERATOR(pg_catalog.=) %s",
							 quote_literal_cstr(label->words[i]));
		}
	}
	appendStringInfoString(buf, n > 0 ? ")" : "false)");
}

static void
append_token(StringInfo buf, const Source *source, char *token,
			 const char *const *fragments)
{
	if (token[0] == '$')
		appendStringInfoString(buf, fragments[token[1] - '1']);
	else if (strchr("=<>+", token[0]))
		appendStringInfo(buf, "OPERATOR(pg_catalog.%s)", token);
	else if (strchr(token, ':'))
		append_condition(buf, source, token);
	else if (token[1] == '.')
		append_column(buf, source, token);
	else
	{
		for (int i = 0; i < NUM_SOURCE_TABLES; i++)
			if (strcmp(table_names[i], token) == 0)
				appendStringInfoString(buf, source->table[i]);
	}
}

/*
 * Expand a template; the result is palloc'd.
 */
static char *
expand(const Source *source, const char *template,
	   const char *const *fragments)
{
	StringInfoData buf;
	const char *p = template;
	const char *at;

	initStringInfo(&buf);
	while ((at = strchr(p, '@')) != NULL)
	{
		const char *end = strchr(at + 1, '@');

		appendBinaryStringInfo(&buf, p, at - p);
		append_token(&buf, source, pnstrdup(at + 1, end - at - 1), fragments);
		p = end + 1;
	}
	appendStringInfoString(&buf, p);
	return buf.data;
}

/*
 * Append ", column = CAST(value AS its type)" where the table has the column.
 */
static void
append_assignment(StringInfo buf, const Source *source, SourceTable table,
				  const char *standard_name, const char *value)
{
	const SourceColumn *column = cac_source_column(source, table, standard_name);

	if (column->name == NULL)
		return;
	if (column->kind == COLUMN_MOMENT && getBaseType(column->type) == TIMESTAMPOID)
		value = psprintf("pg_catalog.timezone(%s, %s)",
						 quote_literal_cstr(source->time_zone), value);
	appendStringInfo(buf, "%s%s = CAST(%s AS %s)", buf->len > 0 ? ", " : "",
					 quote_identifier(column->name), value,
					 format_type_extended(column->type, -1,
										  FORMAT_TYPE_FORCE_QUALIFY));
}

/* ----------------------------------------------------------------
 *		The statements
 * ----------------------------------------------------------------
 */

/* The keys of the open campaigns. */
static char *
open_statement(const Source *source)
{
	return expand(source,
				  "SELECT @c.id@ FROM @campaigns@ AS c"
				  " WHERE @c.status:sending@ ORDER BY 1", NULL);
}

/*
 * One campaign; $1 its key.  NO KEY UPDATE, as FOR UPDATE would wait for the
 * foreign-key checks of the application's inserts, and hold them up.
 */
static char *
read_statement(const Source *source, CampaignLock lock)
{
	static const char *const locking[] = {
		"", " FOR NO KEY UPDATE OF c SKIP LOCKED", " FOR NO KEY UPDATE OF c"
	};
	StringInfoData statistics;
	const char *fragments[MAX_FRAGMENTS];

	initStringInfo(&statistics);
	for (int i = 0; i < NUM_STATISTICS; i++)
	{
		const char *token = psprintf("c.%s", statistic_columns[i]);

		if (cac_source_column(source, TABLE_CAMPAIGNS, statistic_columns[i])->name)
			appendStringInfoString(&statistics,
								   expand(source, psprintf(", coalesce(@%s@, %d)::pg_catalog.int8",
														   token, STATISTIC_IS_NULL), NULL));
		else
			appendStringInfo(&statistics, ", (%d)::pg_catalog.int8",
							 STATISTIC_IS_ABSENT);
	}
	fragments[0] = statistics.data;
	fragments[1] = locking[lock];
	return expand(source,
				  "SELECT @c.status@::pg_catalog.text, @c.created_at@, @c.started_at@,"
				  " @c.resumed_at@, @c.completed_at@, @c.total_recipients@::pg_catalog.int8,"
				  " @c.interaction_timeout@, @c.campaign_timeout@,"
				  " @c.completion_rule@::pg_catalog.text@$1@"
				  " FROM @campaigns@ AS c WHERE @c.id@ @=@ $1@$2@", fragments);
}

/*
 * One campaign's tally; $1 its key, $2 the cutoff before which a Message 1 has
 * expired (-infinity: nothing is looked for), $3 the campaign's start.
 *
 * Innermost, one row a contact; around it, whether the contact has been silent
 * (an EXISTS for those alone whose Message 1 has expired; OFFSET 0 keeps it
 * from being evaluated once for each column that uses it); outermost, sums.
 */
static char *
tally_statement(const Source *source)
{
	const char *fragments[MAX_FRAGMENTS];

	if (source->table[TABLE_INTERACTIONS] != NULL)
	{
		fragments[0] = expand(source,
							  "(SELECT pg_catalog.count(*) FROM @interactions@ AS i"
							  " WHERE @i.campaign_id@ @=@ $1"
							  " AND @i.interaction_type:reply,reaction@)", NULL);
		fragments[1] = expand(source,
							  "NOT EXISTS (SELECT FROM @interactions@ AS i"
							  " WHERE @i.campaign_id@ @=@ $1"
							  " AND @i.campaign_id@ @=@ contact.campaign"
							  " AND @i.contact_id@ @=@ contact.id"
							  " AND @i.interaction_type:reply,reaction@)", NULL);
	}
	else
	{
		fragments[0] = "0::pg_catalog.int8";
		fragments[1] = "true";
	}
	return expand(source,
				  "SELECT coalesce(pg_catalog.sum(messages), 0)::pg_catalog.int8,"
				  " coalesce(pg_catalog.sum(pending), 0)::pg_catalog.int8,"
				  " coalesce(pg_catalog.sum(sent), 0)::pg_catalog.int8,"
				  " coalesce(pg_catalog.sum(delivered), 0)::pg_catalog.int8,"
				  " coalesce(pg_catalog.sum(read), 0)::pg_catalog.int8,"
				  " coalesce(pg_catalog.sum(failed), 0)::pg_catalog.int8,"
				  " coalesce(pg_catalog.sum(no_interaction), 0)::pg_catalog.int8,"
				  " coalesce(pg_catalog.sum(message_1_rows), 0)::pg_catalog.int8,"
				  " coalesce(pg_catalog.sum(in_flight), 0)::pg_catalog.int8,"
				  " coalesce(pg_catalog.sum(message_2_sent), 0)::pg_catalog.int8,"
				  " pg_catalog.count(*),"
				  " pg_catalog.count(*) FILTER (WHERE finished AND NOT awaiting),"
				  " pg_catalog.count(*) FILTER (WHERE awaiting),"
				  " coalesce(pg_catalog.sum(aged), 0)::pg_catalog.int8,"
				  " coalesce(pg_catalog.sum(aged_sent) FILTER (WHERE silent), 0)::pg_catalog.int8,"
				  " coalesce(pg_catalog.sum(aged_delivered) FILTER (WHERE silent), 0)::pg_catalog.int8,"
				  " coalesce(pg_catalog.sum(aged_read) FILTER (WHERE silent), 0)::pg_catalog.int8,"
				  " pg_catalog.count(*) FILTER (WHERE finished AND NOT (awaiting AND NOT (silent AND in_flight @=@ aged))),"
				  " pg_catalog.count(*) FILTER (WHERE awaiting AND NOT (silent AND in_flight @=@ aged)),"
				  " pg_catalog.max(last_sent),"
				  " @$1@"
				  " FROM (SELECT contact.*,"
				  "  contact.in_flight @<>@ 0 AND contact.message_2_done @=@ 0 AS awaiting,"
				  "  contact.messages @=@ (contact.sent @+@ contact.delivered @+@ contact.read"
				  "   @+@ contact.failed @+@ contact.no_interaction) AS finished,"
				  "  CASE WHEN contact.aged @<>@ 0 AND contact.message_2_rows @=@ 0"
				  "   THEN @$2@ ELSE false END AS silent"
				  "  FROM (SELECT campaign, id, pg_catalog.count(*) FILTER (WHERE counted) AS messages,"
				  "    pg_catalog.count(*) FILTER (WHERE pending) AS pending,"
				  "    pg_catalog.count(*) FILTER (WHERE sent) AS sent,"
				  "    pg_catalog.count(*) FILTER (WHERE delivered) AS delivered,"
				  "    pg_catalog.count(*) FILTER (WHERE read) AS read,"
				  "    pg_catalog.count(*) FILTER (WHERE failed) AS failed,"
				  "    pg_catalog.count(*) FILTER (WHERE no_interaction) AS no_interaction,"
				  "    pg_catalog.count(*) FILTER (WHERE message_1 AND counted) AS message_1_rows,"
				  "    pg_catalog.count(*) FILTER (WHERE message_1 AND (sent OR delivered OR read)) AS in_flight,"
				  "    pg_catalog.count(*) FILTER (WHERE message_2) AS message_2_rows,"
				  "    pg_catalog.count(*) FILTER (WHERE message_2 AND (sent OR delivered OR read)) AS message_2_sent,"
				  "    pg_catalog.count(*) FILTER (WHERE message_2"
				  "     AND (sent OR delivered OR read OR failed OR no_interaction)) AS message_2_done,"
				  "    pg_catalog.count(*) FILTER (WHERE message_1 AND old AND (sent OR delivered OR read)) AS aged,"
				  "    pg_catalog.count(*) FILTER (WHERE message_1 AND old AND sent) AS aged_sent,"
				  "    pg_catalog.count(*) FILTER (WHERE message_1 AND old AND delivered) AS aged_delivered,"
				  "    pg_catalog.count(*) FILTER (WHERE message_1 AND old AND read) AS aged_read,"
				  "    pg_catalog.max(sent_at) FILTER (WHERE counted) AS last_sent"
				  "   FROM (SELECT @m.campaign_id@ AS campaign, @m.contact_id@ AS id,"
				  "     CASE WHEN @m.contact_id@ IS NULL THEN @m.id@ END AS alone,"
				  "     @m.message_type:message_1@ AS message_1,"
				  "     @m.message_type:message_2@ AS message_2,"
				  "     @m.status:ignored@ IS NOT TRUE AS counted,"
				  "     @m.status:pending@ AS pending,"
				  "     @m.status:sent@ AS sent,"
				  "     @m.status:delivered@ AS delivered,"
				  "     @m.status:read@ AS read,"
				  "     @m.status:failed@ AS failed,"
				  "     @m.status:no_interaction@ AS no_interaction,"
				  "     coalesce(@m.sent_at@, greatest(@m.created_at@, $3)) @<@ $2 AS old,"
				  "     @m.sent_at@ AS sent_at"
				  "    FROM @messages@ AS m WHERE @m.campaign_id@ @=@ $1"
				  "     AND @m.message_type:message_1,message_2@) AS message"
				  "   GROUP BY campaign, id, alone) AS contact"
				  "  WHERE contact.messages @<>@ 0 OFFSET 0) AS contact", fragments);
}

/*
 * What tells that a contact's silence is over, for the message row m.
 */
static const char *
silent_condition(const Source *source)
{
	const char *no_message_2 =
		expand(source,
			   " AND NOT EXISTS (SELECT FROM @messages@ AS n"
			   " WHERE @n.campaign_id@ @=@ @m.campaign_id@ AND @n.campaign_id@ @=@ $1"
			   " AND @n.contact_id@ @=@ @m.contact_id@ AND @n.message_type:message_2@)",
			   NULL);

	if (source->table[TABLE_INTERACTIONS] == NULL)
		return no_message_2;
	return psprintf("%s%s", no_message_2,
					expand(source,
						   " AND NOT EXISTS (SELECT FROM @interactions@ AS i"
						   " WHERE @i.campaign_id@ @=@ @m.campaign_id@ AND @i.campaign_id@ @=@ $1"
						   " AND @i.contact_id@ @=@ @m.contact_id@"
						   " AND @i.interaction_type:reply,reaction@)", NULL));
}

/*
 * What is returned of each marked message, for the log: its id, its contact's
 * name and number.
 */
static const char *
marked_columns(const Source *source)
{
	if (source->table[TABLE_CONTACTS] == NULL)
		return expand(source, " RETURNING @m.id@::pg_catalog.text,"
					  " NULL::pg_catalog.text, @m.contact_id@::pg_catalog.text", NULL);
	return expand(source, " RETURNING @m.id@::pg_catalog.text,"
				  " (SELECT pg_catalog.concat_ws(' ', @k.first_name@, @k.last_name@)"
				  " FROM @contacts@ AS k WHERE @k.id@ @=@ @m.contact_id@),"
				  " (SELECT @k.full_number@::pg_catalog.text"
				  " FROM @contacts@ AS k WHERE @k.id@ @=@ @m.contact_id@)", NULL);
}

/*
 * Mark the expired messages of one campaign: $1 its key, $2 the cutoff, $3 its
 * start, $4 how many at most, $5 the error message, $6 as_of.  Rows that
 * somebody else holds are left for the next sweep.
 */
static char *
mark_statement(const Source *source)
{
	const char *fragments[MAX_FRAGMENTS];
	StringInfoData set;

	initStringInfo(&set);
	append_assignment(&set, source, TABLE_MESSAGES, "status",
					  quote_literal_cstr(cac_source_label(source, "messages",
														  "no_interaction")->words[0]));
	append_assignment(&set, source, TABLE_MESSAGES, "error_message", "$5");
	append_assignment(&set, source, TABLE_MESSAGES, "updated_at", "$6");
	fragments[0] = silent_condition(source);
	fragments[1] = set.data;
	fragments[2] = source->log_messages ? marked_columns(source) : "";
	return expand(source,
				  "WITH due AS (SELECT @m.id@ AS id FROM @messages@ AS m"
				  " WHERE @m.campaign_id@ @=@ $1 AND @m.message_type:message_1@"
				  " AND @m.status:sent,delivered,read@"
				  " AND coalesce(@m.sent_at@, greatest(@m.created_at@, $3)) @<@ $2@$1@"
				  " LIMIT $4 FOR NO KEY UPDATE OF m SKIP LOCKED)"
				  " UPDATE @messages@ AS m SET @$2@ FROM due"
				  " WHERE @m.campaign_id@ @=@ $1 AND @m.id@ @=@ due.id@$3@", fragments);
}

/*
 * Fail the pending messages of one campaign: $1 its key, $2 the error message,
 * $3 as_of.  Rows that somebody else holds are waited for.
 */
static char *
fail_statement(const Source *source)
{
	const char *fragments[MAX_FRAGMENTS];
	StringInfoData set;

	initStringInfo(&set);
	append_assignment(&set, source, TABLE_MESSAGES, "status",
					  quote_literal_cstr(cac_source_label(source, "messages",
														  "failed")->words[0]));
	append_assignment(&set, source, TABLE_MESSAGES, "error_message", "$2");
	append_assignment(&set, source, TABLE_MESSAGES, "updated_at", "$3");
	fragments[0] = set.data;
	return expand(source,
				  "UPDATE @messages@ AS m SET @$1@"
				  " WHERE @m.campaign_id@ @=@ $1 AND @m.status:pending@"
				  " AND @m.message_type:message_1,message_2@", fragments);
}

/*
 * Write one campaign: $1 its key, $2 .. $9 the statistics, $10 as_of, and
 * with_status also $11 the status and $12 completed_at.  Statistics alone
 * leave the status unmentioned, for the sake of the application's triggers.
 * NULL where the table has none of these columns.
 */
static char *
write_statement(const Source *source, bool with_status)
{
	const char *fragments[MAX_FRAGMENTS];
	StringInfoData set;

	initStringInfo(&set);
	if (with_status)
	{
		append_assignment(&set, source, TABLE_CAMPAIGNS, "status", "$11");
		append_assignment(&set, source, TABLE_CAMPAIGNS, "completed_at", "$12");
	}
	for (int i = 0; i < NUM_STATISTICS; i++)
		append_assignment(&set, source, TABLE_CAMPAIGNS, statistic_columns[i],
						  psprintf("$%d", 2 + i));
	append_assignment(&set, source, TABLE_CAMPAIGNS, "updated_at", "$10");
	fragments[0] = set.data;
	return expand(source,
				  "UPDATE @campaigns@ AS c SET @$1@ WHERE @c.id@ @=@ $1", fragments);
}

static char *
build_statement(const Source *source, StatementKind kind)
{
	switch (kind)
	{
		case STATEMENT_OPEN:
			return open_statement(source);
		case STATEMENT_READ:
		case STATEMENT_READ_SKIP:
		case STATEMENT_READ_WAIT:
			return read_statement(source, kind - STATEMENT_READ);
		case STATEMENT_TALLY:
			return tally_statement(source);
		case STATEMENT_MARK:
			return mark_statement(source);
		case STATEMENT_FAIL:
			return fail_statement(source);
		case STATEMENT_WRITE_STATUS:
			return write_statement(source, true);
		case STATEMENT_WRITE_STATISTICS:
			return write_statement(source, false);
	}
	return NULL;				/* keep the compiler quiet */
}

/*
 * Execute a statement, preparing it if this backend has not done so yet.
 * Rows are left in SPI_tuptable; returns how many there were.
 */
static int64
execute(Source *source, StatementKind kind, int nargs, Oid *types,
		Datum *values, const char *nulls)
{
	MemoryContext caller = CurrentMemoryContext;
	int			code;

	if (source->plan[kind] == NULL)
	{
		const char *text = build_statement(source, kind);
		SPIPlanPtr	plan = SPI_prepare(text, nargs, types);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", text,
				 SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		source->plan[kind] = plan;
	}
	code = SPI_execute_plan(source->plan[kind], values, nulls, false, 0);
	if (code < 0)
		elog(ERROR, "could not execute a statement: %s",
			 SPI_result_code_string(code));
	MemoryContextSwitchTo(caller);
	return (int64) SPI_processed;
}

/* ----------------------------------------------------------------
 *		The functions
 * ----------------------------------------------------------------
 */

/*
 * The type of the campaigns' key: uuid, bigint or integer.
 */
Oid
cac_key_type(const Source *source)
{
	return cac_source_column(source, TABLE_CAMPAIGNS, "id")->type;
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

	*count = execute(source, STATEMENT_OPEN, 0, NULL, NULL, NULL);
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

static CampaignStatus
status_of_word(const Source *source, const char *word)
{
	static const char *const words[] = {"sending", "completed", "failed"};

	for (int i = 0; word != NULL && i < lengthof(words); i++)
	{
		const SourceLabel *label = cac_source_label(source, "campaigns", words[i]);

		for (int j = 0; j < label->count; j++)
			if (strcmp(label->words[j], word) == 0)
				return CAMPAIGN_OPEN + i;
	}
	return CAMPAIGN_OTHER;
}

static TimestampTz
result_timestamp(int col)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0],
									  SPI_tuptable->tupdesc, col, &isnull);

	return isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
}

static int64
result_count(int col, int64 if_null)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0],
									  SPI_tuptable->tupdesc, col, &isnull);

	return isnull ? if_null : DatumGetInt64(value);
}

static int64
result_interval(int col)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0],
									  SPI_tuptable->tupdesc, col, &isnull);

	return isnull ? -1 : cac_interval_usec(DatumGetIntervalP(value));
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
	if (execute(source, STATEMENT_READ + lock, 1, types, &key, NULL) == 0)
	{
		SPI_freetuptable(SPI_tuptable);
		return false;
	}

	row->status_text = SPI_getvalue(SPI_tuptable->vals[0],
									SPI_tuptable->tupdesc, col++);
	row->status = status_of_word(source, row->status_text);
	row->created_at = result_timestamp(col++);
	row->started_at = result_timestamp(col++);
	row->resumed_at = result_timestamp(col++);
	row->completed_at = result_timestamp(col++);
	row->total_recipients = result_count(col++, 0);
	row->interaction_timeout = result_interval(col++);
	row->campaign_timeout = result_interval(col++);
	row->completion_rule = SPI_getvalue(SPI_tuptable->vals[0],
										SPI_tuptable->tupdesc, col++);
	for (int i = 0; i < NUM_STATISTICS; i++)
		row->statistics[i] = result_count(col++, STATISTIC_IS_NULL);
	SPI_freetuptable(SPI_tuptable);
	return true;
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
			   TimestampTz start, CampaignTally *tally)
{
	Oid			types[3] = {InvalidOid, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[3];
	int			col = 1;

	types[0] = cac_key_type(source);
	values[0] = key;
	values[1] = TimestampTzGetDatum(cutoff);
	values[2] = TimestampTzGetDatum(start);
	execute(source, STATEMENT_TALLY, 3, types, values, NULL);

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
	tally->last_sent = result_timestamp(col++);
	tally->interactions = result_count(col++, 0);
	tally->unmapped = tally->messages - tally->pending - tally->sent -
		tally->delivered - tally->read - tally->failed - tally->no_interaction;
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
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		const char *name = SPI_getvalue(tuple, desc, 2);
		const char *number = SPI_getvalue(tuple, desc, 3);

		ereport(LOG,
				(errmsg("campaign_autoclose: source \"%s\": message %s marked no_interaction: %s (%s)",
						source->name, SPI_getvalue(tuple, desc, 1),
						name ? name : "", number ? number : ""),
				 errhidestmt(true), errhidecontext(true)));
	}
}

/*
 * cac_mark_expired
 *		Mark a campaign's expired messages no_interaction; returns how many.
 */
int64
cac_mark_expired(Source *source, Datum key, const MarkRequest *request)
{
	Oid			types[6] = {InvalidOid, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID,
	TEXTOID, TIMESTAMPTZOID};
	Datum		values[6];
	int64		marked;

	types[0] = cac_key_type(source);
	values[0] = key;
	values[1] = TimestampTzGetDatum(request->cutoff);
	values[2] = TimestampTzGetDatum(request->start);
	values[3] = Int64GetDatum(request->limit);
	values[4] = CStringGetTextDatum(request->message);
	values[5] = TimestampTzGetDatum(request->as_of);
	marked = execute(source, STATEMENT_MARK, 6, types, values,
					 request->limit > 0 ? NULL : "   n  ");
	if (SPI_tuptable != NULL)
		log_marked_messages(source, marked);
	return marked;
}

/*
 * cac_fail_pending
 *		Mark a campaign's pending messages failed; returns how many.
 */
int64
cac_fail_pending(Source *source, Datum key, const char *message,
				 TimestampTz as_of)
{
	Oid			types[3] = {InvalidOid, TEXTOID, TIMESTAMPTZOID};
	Datum		values[3];

	types[0] = cac_key_type(source);
	values[0] = key;
	values[1] = CStringGetTextDatum(message);
	values[2] = TimestampTzGetDatum(as_of);
	return execute(source, STATEMENT_FAIL, 3, types, values, NULL);
}

/*
 * cac_write_campaign
 *		Write a campaign's statistics and, where it changes, its status.
 */
void
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
		execute(source, STATEMENT_WRITE_STATISTICS, n, types, values, nulls);
		return;
	}
	types[n] = TEXTOID;
	values[n++] = CStringGetTextDatum(change->status);
	types[n] = TIMESTAMPTZOID;
	nulls[n] = change->completed_at == DT_NOBEGIN ? 'n' : ' ';
	values[n++] = TimestampTzGetDatum(change->completed_at);
	execute(source, STATEMENT_WRITE_STATUS, n, types, values, nulls);
}

/* ----------------------------------------------------------------
 *		The standard tables
 * ----------------------------------------------------------------
 */

/*
 * The indexes are the design's three, and one for the foreign key from
 * interactions to messages, without which deleting a campaign would read all
 * interactions once for each of its messages.  No index mentions the status
 * of a message, and the fill factors leave room, so that status updates are
 * heap-only.
 */
static const char *const standard_tables[] = {
	"CREATE TABLE %1$s.campaigns ("
	" id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),"
	" name text,"
	" status text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'scheduled', 'sending', 'paused', 'completed', 'failed', 'cancelled')),"
	" total_recipients integer NOT NULL DEFAULT 0 CHECK (total_recipients >= 0),"
	" sent_count integer NOT NULL DEFAULT 0,"
	" success_count integer NOT NULL DEFAULT 0,"
	" failed_count integer NOT NULL DEFAULT 0,"
	" delivered_count integer NOT NULL DEFAULT 0,"
	" read_count integer NOT NULL DEFAULT 0,"
	" no_interaction_count integer NOT NULL DEFAULT 0,"
	" pending_count integer NOT NULL DEFAULT 0,"
	" interaction_count integer NOT NULL DEFAULT 0,"
	" started_at timestamptz,"
	" resumed_at timestamptz,"
	" completed_at timestamptz,"
	" created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),"
	" updated_at timestamptz NOT NULL DEFAULT pg_catalog.now()"
	") WITH (fillfactor = 50)",
	"CREATE TABLE %1$s.contacts ("
	" id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),"
	" full_number text NOT NULL,"
	" first_name text,"
	" last_name text,"
	" created_at timestamptz NOT NULL DEFAULT pg_catalog.now()"
	")",
	"CREATE TABLE %1$s.messages ("
	" id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),"
	" campaign_id uuid NOT NULL REFERENCES %1$s.campaigns ON DELETE CASCADE,"
	" contact_id uuid REFERENCES %1$s.contacts,"
	" message_type text NOT NULL DEFAULT 'message_1',"
	" content text,"
	" status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sent', 'delivered', 'read', 'failed', 'no_interaction')),"
	" error_message text,"
	" sent_at timestamptz,"
	" delivered_at timestamptz,"
	" read_at timestamptz,"
	" created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),"
	" updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),"
	" UNIQUE (campaign_id, contact_id, message_type)"
	") WITH (fillfactor = 80)",
	"CREATE TABLE %1$s.interactions ("
	" id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),"
	" campaign_id uuid NOT NULL REFERENCES %1$s.campaigns ON DELETE CASCADE,"
	" contact_id uuid NOT NULL REFERENCES %1$s.contacts,"
	" message_id uuid REFERENCES %1$s.messages ON DELETE SET NULL,"
	" interaction_type text NOT NULL CHECK (interaction_type IN ('reply', 'reaction', 'read', 'delivered')),"
	" content text,"
	" received_at timestamptz NOT NULL DEFAULT pg_catalog.now()"
	")",
	"CREATE INDEX campaigns_open_idx ON %1$s.campaigns (id) WHERE status = 'sending'",
	"CREATE INDEX interactions_campaign_contact_idx ON %1$s.interactions (campaign_id, contact_id)",
	"CREATE INDEX interactions_message_idx ON %1$s.interactions (message_id) WHERE message_id IS NOT NULL"
};

/*
 * Adds the remedy where the name of an index is taken.
 */
static void
hint_at_taken_name(void *arg)
{
	if (geterrcode() == ERRCODE_DUPLICATE_TABLE)
		errhint("To use tables that exist, attach them with campaign_attach().");
}

/*
 * cac_create_standard_tables
 *		Create the standard tables in a schema, as the current user.
 *
 * Returns their OIDs.  SPI must be connected, and pg_catalog be the whole
 * search_path.  Raises 42P07 where one of the names is taken.
 */
void
cac_create_standard_tables(const char *schema, Oid relid[NUM_SOURCE_TABLES])
{
	Oid			namespace = get_namespace_oid(schema, false);
	ErrorContextCallback callback;

	for (int i = 0; i < NUM_SOURCE_TABLES; i++)
	{
		if (OidIsValid(get_relname_relid(table_names[i], namespace)))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_TABLE),
					 errmsg("relation \"%s\" already exists in schema \"%s\"",
							table_names[i], schema),
					 errhint("To use tables that exist, attach them with campaign_attach().")));
	}
	callback.callback = hint_at_taken_name;
	callback.arg = NULL;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	for (int i = 0; i < lengthof(standard_tables); i++)
		if (SPI_execute(psprintf(standard_tables[i], quote_identifier(schema)),
						false, 0) < 0)
			elog(ERROR, "could not create the standard tables");
	error_context_stack = callback.previous;
	for (int i = 0; i < NUM_SOURCE_TABLES; i++)
		relid[i] = get_relname_relid(table_names[i], namespace);
}
