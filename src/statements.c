/*
 * statements.c
 *		The SQL that judges and writes the application's tables, and the plans of
 *		all of it.
 *
 * With conditions.c and report_statements.c, whose parts it uses, the only file
 * that writes SQL for these tables.
 *
 * The statements are templates, see template.c.  Status words are literals in
 * them, so that a partial index on a status serves; all else is bound.  Every
 * statement on messages and interactions has the campaign's key, in subqueries
 * too, so that it runs on one partition or one shard; but for interactions
 * that have no campaign.  Plans are kept with the Source and vanish with it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "conditions.h"
#include "queries.h"
#include "report_statements.h"
#include "statements.h"
#include "template.h"
#include "views.h"

StaticAssertDecl(STATEMENT_FUNNEL < MAX_STATEMENTS,
				 "MAX_STATEMENTS is too small");

#define MAX_FRAGMENTS	9

/* The message n is one of the campaign $1 */
#define OF_CAMPAIGN		" AND @n.campaign_id@ @=@ $1"

/* What the message m is: columns of a subquery, which counts by them */
#define MESSAGE_STATES \
	" @m.message_type:message_1@ AS message_1," \
	" @m.message_type:message_2@ AS message_2," \
	" @m.status:ignored@ IS NOT TRUE AS counted," \
	" @m.status:pending@ AS pending," \
	" @m.status:sent@ AS sent," \
	" @m.status:delivered@ AS delivered," \
	" @m.status:read@ AS read," \
	" @m.status:failed@ AS failed," \
	" @m.status:no_interaction@ AS no_interaction,"

/* Statistics columns, in the order of CampaignStatistic */
static const char *const statistic_columns[NUM_STATISTICS] = {
	"sent_count", "success_count", "failed_count", "delivered_count",
	"read_count", "no_interaction_count", "pending_count", "interaction_count"
};

/* ----------------------------------------------------------------
 *		The statements
 * ----------------------------------------------------------------
 */

/* The keys of the open campaigns. */
static char *
open_statement(const Source *source)
{
	return cac_expand(source,
				  "SELECT @c.id@ FROM @campaigns@ AS c"
				  " WHERE @c.status:sending@ ORDER BY 1", NULL);
}

/*
 * The campaigns that were closed at $1 or later.  Of one that does not tell
 * when it was, nothing more is known than that it started before.
 */
static char *
closed_statement(const Source *source)
{
	return cac_expand(source,
				  "SELECT @c.id@, @c.status@::pg_catalog.text, @c.completed_at@"
				  " FROM @campaigns@ AS c WHERE @c.status:completed,failed@"
				  " AND coalesce(@c.completed_at@, greatest(coalesce(@c.started_at@, @c.created_at@),"
				  "  @c.resumed_at@)) @>=@ $1", NULL);
}

/*
 * "clause" locks rows of a table, where that can be done.
 */
static const char *
row_lock(const Source *source, SourceTable table, const char *clause)
{
	return cac_rows_can_be_locked(source->relid[table]) ? clause : "";
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
								   cac_expand(source, psprintf(", coalesce(@%s@, %d)::pg_catalog.int8",
														   token, STATISTIC_IS_NULL), NULL));
		else
			appendStringInfo(&statistics, ", (%d)::pg_catalog.int8",
							 STATISTIC_IS_ABSENT);
	}
	fragments[0] = statistics.data;
	fragments[1] = row_lock(source, TABLE_CAMPAIGNS, locking[lock]);
	return cac_expand(source,
				  "SELECT @c.status@::pg_catalog.text, @c.status:sending@,"
				  " @c.status:completed@, @c.status:failed@, @c.created_at@, @c.started_at@,"
				  " @c.resumed_at@, @c.completed_at@, @c.total_recipients@::pg_catalog.int8,"
				  " @c.interaction_timeout@, @c.campaign_timeout@,"
				  " @c.completion_rule@::pg_catalog.text@$1@"
				  " FROM @campaigns@ AS c WHERE @c.id@ @=@ $1@$2@", fragments);
}

/* ----------------------------------------------------------------
 *		Reading a campaign's messages
 * ----------------------------------------------------------------
 */

/*
 * One campaign's tally; $1 its key, $2 the cutoff before which a Message 1 has
 * expired (-infinity: nothing is looked for), $3 the campaign's start.
 *
 * Innermost, one row a contact; around it, whether the contact has been silent
 * (an EXISTS for those alone whose Message 1 has expired; OFFSET 0 keeps it
 * from being evaluated once for each column that uses it); outermost, sums.
 * An interaction that tells no campaign ends the silence after the messages
 * that were sent before it, and one that comes later than $4 after a message may
 * not count: whether there is one is then asked for each message.
 */
static char *
tally_statement(const Source *source)
{
	const char *fragments[MAX_FRAGMENTS];
	const char *each = cac_asked_for_each(source, "$4");
	bool		told = cac_source_column(source, TABLE_MESSAGES, "sent_at")->name != NULL;

	fragments[0] = cac_interaction_count(source);
	fragments[1] = !cac_interactions_tell_campaign(source) || source->ignores_late ? "true" :
		cac_expand(source,
				   "NOT EXISTS (SELECT FROM @interactions@ AS i"
				   " WHERE @i.campaign_id@ @=@ $1"
				   " AND @i.campaign_id@ @=@ contact.campaign"
				   " AND @i.contact_id@ @=i.contact_id,m.contact_id@ contact.id"
				   " AND @i.interaction_type:reply,reaction@)", NULL);
	fragments[2] = each ? "due" : "aged";
	fragments[3] = each ? "old AND quiet" : "old";
	fragments[4] = psprintf("%s%s", !each ? "" :
							"    pg_catalog.count(*) FILTER (WHERE message_1 AND old AND quiet AND (sent OR delivered OR read)) AS due,",
							told ? "" :
							cac_expand(source,
									   "    pg_catalog.max(sent_at) FILTER (WHERE counted AND NOT"
									   "     (message_1 AND @$4@ AND (sent OR delivered OR read))) AS last_sent_young,",
									   fragments));
	fragments[5] = !each ? "" :
		psprintf(" CASE WHEN %s THEN %s ELSE true END AS quiet,",
				 cac_expand(source,
							"@m.message_type:message_1@ AND @m.status:sent,delivered,read@"
							" AND " MESSAGE_MOMENT " @<@ $2", NULL),
				 each);
	fragments[6] = each ? " OFFSET 0" : "";
	fragments[7] = cac_sent_moment(source);
	/* a message that is marked tells no more when it was sent, but by its sent_at */
	fragments[8] = told ? "pg_catalog.max(last_sent)" :
		"pg_catalog.max(CASE WHEN silent THEN last_sent_young ELSE last_sent END)";
	return cac_expand(source,
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
				  " pg_catalog.count(*) FILTER (WHERE finished AND NOT (awaiting AND NOT (silent AND in_flight @=@ @$3@))),"
				  " pg_catalog.count(*) FILTER (WHERE awaiting AND NOT (silent AND in_flight @=@ @$3@)),"
				  " pg_catalog.max(last_sent),"
				  " @$9@,"
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
				  "@$5@"
				  "    pg_catalog.count(*) FILTER (WHERE message_1 AND @$4@ AND sent) AS aged_sent,"
				  "    pg_catalog.count(*) FILTER (WHERE message_1 AND @$4@ AND delivered) AS aged_delivered,"
				  "    pg_catalog.count(*) FILTER (WHERE message_1 AND @$4@ AND read) AS aged_read,"
				  "    pg_catalog.max(sent_at) FILTER (WHERE counted) AS last_sent"
				  "   FROM (SELECT @m.campaign_id@ AS campaign, @m.contact_id@ AS id,"
				  "     CASE WHEN @m.contact_id@ IS NULL THEN @m.id@ END AS alone,"
				  MESSAGE_STATES
				  "     " MESSAGE_MOMENT " @<@ $2 AS old,"
				  "@$6@"
				  "     @$8@ AS sent_at"
				  "    FROM @messages@ AS m WHERE @m.campaign_id@ @=@ $1"
				  "     AND @m.message_type:message_1,message_2@@$7@) AS message"
				  "   GROUP BY campaign, id, alone) AS contact"
				  "  WHERE contact.messages @<>@ 0 OFFSET 0) AS contact", fragments);
}

/*
 * Does the message m keep its campaign open?  "awaits" is SQL for whether the
 * campaign also waits for contacts who may still reply; "of_campaign" more SQL
 * that the message n is one of it.
 *
 * "few" says that this is asked of few messages.  Then the planner must not read
 * every Message 2 of the campaign to answer it, which it does where equality is
 * all that is asked.
 */
static char *
witness_condition(const Source *source, const char *awaits, const char *of_campaign,
				  bool few)
{
	const char *fragments[MAX_FRAGMENTS];

	fragments[0] = awaits;
	fragments[1] = cac_expand(source, of_campaign, NULL);
	fragments[2] = few ?
		cac_expand(source, " AND @n.contact_id@ @<=m.contact_id@ @m.contact_id@", NULL) : "";
	return cac_expand(source,
					  "(@m.message_type:message_1,message_2@"
					  " AND @m.status:sent,delivered,read,failed,no_interaction,ignored@ IS NOT TRUE"
					  " OR @$1@ AND @m.message_type:message_1@ AND @m.status:sent,delivered,read@"
					  " AND NOT EXISTS (SELECT FROM @messages@ AS n"
					  "  WHERE @n.campaign_id@ @=@ @m.campaign_id@@$2@"
					  "  AND @n.contact_id@ @=m.contact_id@ @m.contact_id@@$3@"
					  "  AND @n.message_type:message_2@"
					  "  AND @n.status:sent,delivered,read,failed,no_interaction@))", fragments);
}

/*
 * Of the campaign $1, whose rule is "contacts", what count_statement() counts and
 * how many messages keep it open.  If that is none, then the rest of its tally:
 * there is nobody to be awaited, so no contact has to be looked at by itself,
 * which is the better part of the price.  $3 its start.
 */
static char *
settled_statement(const Source *source)
{
	const char *fragments[MAX_FRAGMENTS];

	fragments[0] = cac_interaction_count(source);
	fragments[1] = witness_condition(source, "true", OF_CAMPAIGN, false);
	fragments[2] = cac_sent_moment(source);
	return cac_expand(source,
					  "SELECT pg_catalog.count(*) FILTER (WHERE counted),"
					  " pg_catalog.count(*) FILTER (WHERE pending),"
					  " pg_catalog.count(*) FILTER (WHERE sent),"
					  " pg_catalog.count(*) FILTER (WHERE delivered),"
					  " pg_catalog.count(*) FILTER (WHERE read),"
					  " pg_catalog.count(*) FILTER (WHERE failed),"
					  " pg_catalog.count(*) FILTER (WHERE no_interaction),"
					  " @$1@,"
					  " pg_catalog.count(*) FILTER (WHERE holds),"
					  " pg_catalog.count(*) FILTER (WHERE message_1 AND counted),"
					  " pg_catalog.count(*) FILTER (WHERE message_1 AND (sent OR delivered OR read)),"
					  " pg_catalog.count(*) FILTER (WHERE message_2 AND (sent OR delivered OR read)),"
					  " pg_catalog.count(DISTINCT contact) FILTER (WHERE counted) @+@"
					  "  pg_catalog.count(*) FILTER (WHERE counted AND contact IS NULL),"
					  " pg_catalog.max(sent_at) FILTER (WHERE counted)"
					  " FROM (SELECT @m.contact_id@ AS contact,"
					  MESSAGE_STATES
					  "  @$3@ AS sent_at,"
					  "  @$2@ AS holds"
					  "  FROM @messages@ AS m WHERE @m.campaign_id@ @=@ $1"
					  "   AND @m.message_type:message_1,message_2@ OFFSET 0) AS message", fragments);
}

/*
 * A message that keeps the campaign $1 open, as text; $2 whether it also waits
 * for contacts.  It is looked for from the last contact downwards, or ("next")
 * from the contact of $3, the last such message: so all searches together read
 * the campaign once.
 */
static char *
witness_statement(const Source *source, bool next)
{
	const char *fragments[MAX_FRAGMENTS];

	fragments[0] = witness_condition(source, "$2", OF_CAMPAIGN, next);
	fragments[1] = next ?
		cac_expand(source,
				   " AND @m.contact_id@ @<=m.contact_id@ (SELECT @n.contact_id@"
				   " FROM @messages@ AS n WHERE @n.campaign_id@ @=@ $1"
				   " AND @n.id@ @=m.id@ $3@::m.id@)", NULL) : "";
	return cac_expand(source,
					  "SELECT @m.id@::pg_catalog.text FROM @messages@ AS m"
					  " WHERE @m.campaign_id@ @=@ $1 AND @$1@@$2@"
					  " ORDER BY @m.contact_id@ DESC LIMIT 1", fragments);
}

/*
 * A row if the message $3, as text, keeps the campaign $1 open; $2 whether that
 * also waits for contacts.
 */
static char *
holds_statement(const Source *source)
{
	const char *fragments[MAX_FRAGMENTS];

	fragments[0] = witness_condition(source, "$2", OF_CAMPAIGN, true);
	return cac_expand(source,
					  "SELECT @m.id@ FROM @messages@ AS m WHERE @m.campaign_id@ @=@ $1"
					  " AND @m.id@ @=m.id@ $3@::m.id@ AND @$1@", fragments);
}

/*
 * Is the sweep's rule for a campaign c "contacts"?
 */
static const char *
awaits_of_campaign(const Source *source)
{
	bool		awaits = source->policy.completion_rule == COMPLETION_CONTACTS;

	if (cac_source_column(source, TABLE_CAMPAIGNS, "completion_rule")->name == NULL)
		return awaits ? "true" : "false";
	return cac_expand(source,
					  awaits ? "(@c.completion_rule@::pg_catalog.text @=@ 'messages') IS NOT TRUE" :
					  "(@c.completion_rule@::pg_catalog.text @=@ 'contacts') IS TRUE",
					  NULL);
}

/*
 * Of the campaigns $1 (an array) with the witnesses $2 (of text), those that
 * their witness still keeps open, as ordinal numbers.  One lookup each; or two,
 * where a campaign can have a rule of its own, or with "look" may be closed.
 */
static char *
verify_statement(const Source *source, bool look)
{
	const char *fragments[MAX_FRAGMENTS];

	fragments[0] = witness_condition(source, awaits_of_campaign(source), "", true);
	fragments[1] = "";
	if (look || cac_source_column(source, TABLE_CAMPAIGNS, "completion_rule")->name != NULL)
		fragments[1] = cac_expand(source, " JOIN @campaigns@ AS c ON @c.id@ @=@ w.campaign", NULL);
	fragments[2] = look ? cac_expand(source, " AND @c.status:sending@", NULL) : "";
	return cac_expand(source,
					  "SELECT w.n FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2))"
					  " WITH ORDINALITY AS w(campaign, witness, n)"
					  "@$2@"
					  " JOIN @messages@ AS m ON @m.campaign_id@ @=@ w.campaign"
					  "  AND @m.id@ @=m.id@ w.witness@::m.id@"
					  " WHERE @$1@@$3@", fragments);
}

/*
 * A message of the campaign $1 that was sent after $2, as text.
 */
static char *
sent_statement(const Source *source)
{
	const char *fragments[MAX_FRAGMENTS];

	fragments[0] = cac_sent_moment(source);
	return cac_expand(source,
					  "SELECT @m.id@::pg_catalog.text FROM @messages@ AS m"
					  " WHERE @m.campaign_id@ @=@ $1 AND $2 @<@ @$1@"
					  " AND @m.message_type:message_1,message_2@"
					  " AND @m.status:ignored@ IS NOT TRUE"
					  " ORDER BY @m.contact_id@ DESC LIMIT 1", fragments);
}

/*
 * Of the campaigns $1 with the messages $2, those whose message was sent after
 * $3, as ordinal numbers.
 */
static char *
verify_sent_statement(const Source *source)
{
	const char *fragments[MAX_FRAGMENTS];

	fragments[0] = cac_sent_moment(source);
	return cac_expand(source,
					  "SELECT w.n FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2))"
					  " WITH ORDINALITY AS w(campaign, witness, n)"
					  " JOIN @messages@ AS m ON @m.campaign_id@ @=@ w.campaign"
					  "  AND @m.id@ @=m.id@ w.witness@::m.id@"
					  " WHERE $3 @<@ @$1@ AND @m.status:ignored@ IS NOT TRUE", fragments);
}

/*
 * How many messages of the campaign $1 are in which status: the part of the
 * tally that the statistics need, for a fifth of the price.  $3 its start.
 */
static char *
count_statement(const Source *source)
{
	const char *fragments[MAX_FRAGMENTS];

	fragments[0] = cac_interaction_count(source);
	return cac_expand(source,
					  "SELECT pg_catalog.count(*) FILTER (WHERE @m.status:ignored@ IS NOT TRUE),"
					  " pg_catalog.count(*) FILTER (WHERE @m.status:pending@),"
					  " pg_catalog.count(*) FILTER (WHERE @m.status:sent@),"
					  " pg_catalog.count(*) FILTER (WHERE @m.status:delivered@),"
					  " pg_catalog.count(*) FILTER (WHERE @m.status:read@),"
					  " pg_catalog.count(*) FILTER (WHERE @m.status:failed@),"
					  " pg_catalog.count(*) FILTER (WHERE @m.status:no_interaction@),"
					  " @$1@"
					  " FROM @messages@ AS m WHERE @m.campaign_id@ @=@ $1"
					  " AND @m.message_type:message_1,message_2@", fragments);
}

/*
 * What a marked message is set to: $5 the error message, $6 as_of.
 */
static char *
mark_assignments(const Source *source)
{
	StringInfoData set;

	initStringInfo(&set);
	cac_append_assignment(&set, source, TABLE_MESSAGES, "status",
						  quote_literal_cstr(cac_source_label(source, "messages",
															  "no_interaction")->words[0]));
	cac_append_assignment(&set, source, TABLE_MESSAGES, "error_message", "$5");
	cac_append_assignment(&set, source, TABLE_MESSAGES, "updated_at", "$6");
	return set.data;
}

/*
 * What is returned of each marked message, for the log: its id, its contact's
 * name and number.
 */
static char *
marked_columns(const Source *source)
{
	if (source->table[TABLE_CONTACTS] == NULL || !source->log_messages)
		return cac_expand(source, "@m.id@::pg_catalog.text AS id,"
						  " NULL::pg_catalog.text AS name,"
						  " @m.contact_id@::pg_catalog.text AS number", NULL);
	return cac_expand(source, "@m.id@::pg_catalog.text AS id,"
					  " (SELECT pg_catalog.concat_ws(' ', @k.first_name@, @k.last_name@)"
					  " FROM @contacts@ AS k WHERE @k.id@ @=k.id,m.contact_id@ @m.contact_id@"
					  " LIMIT 1) AS name,"
					  " (SELECT @k.full_number@::pg_catalog.text"
					  " FROM @contacts@ AS k WHERE @k.id@ @=k.id,m.contact_id@ @m.contact_id@"
					  " LIMIT 1) AS number", NULL);
}

/*
 * A hash of the message's id, by the cheapest function that has one.
 */
static const char *
message_hash(const Source *source)
{
	switch (getBaseType(cac_source_column(source, TABLE_MESSAGES, "id")->type))
	{
		case UUIDOID:
			return cac_expand(source, "pg_catalog.uuid_hash(@m.id@)::pg_catalog.int8", NULL);
		case INT8OID:
			return cac_expand(source, "pg_catalog.hashint8(@m.id@)::pg_catalog.int8", NULL);
		case INT4OID:
			return cac_expand(source, "pg_catalog.hashint4(@m.id@)::pg_catalog.int8", NULL);
		default:
			return cac_expand(source, "pg_catalog.hashtext(@m.id@::pg_catalog.text)::pg_catalog.int8", NULL);
	}
}

/*
 * The Message 1 rows m of the campaign $1 that were sent before the cutoff $2,
 * the campaign's start being $3, and whose contacts have been silent; "within"
 * names the parameter for those whose late answers are ignored.
 */
static char *
due_condition(const Source *source, const char *within)
{
	const char *fragments[MAX_FRAGMENTS];

	fragments[0] = cac_silent_condition(source, within);
	return cac_expand(source,
					  "@m.campaign_id@ @=@ $1 AND @m.message_type:message_1@"
					  " AND @m.status:sent,delivered,read@"
					  " AND " MESSAGE_MOMENT " @<@ $2@$1@",
					  fragments);
}

/*
 * How many Message 1 rows of one campaign have expired, when the first of the
 * others was sent, one of those others, which may well keep it open, and how many
 * all of them are.
 *
 * The second column is how many of these are to be marked, counted up to
 * COUNT_DUE_MAX: to count them all would take as long as to mark them.
 */
static char *
due_statement(const Source *source)
{
	const char *fragments[MAX_FRAGMENTS];

	fragments[0] = due_condition(source, "$4");
	return cac_expand(source,
					  "SELECT pg_catalog.count(*) FILTER (WHERE old),"
					  " CASE WHEN pg_catalog.count(*) FILTER (WHERE old) @=@ 0 THEN 0"
					  "  ELSE (SELECT pg_catalog.count(*) FROM"
					  "   (SELECT FROM @messages@ AS m WHERE @$1@"
					  "    LIMIT " CppAsString2(COUNT_DUE_MAX) ") AS due) END,"
					  " pg_catalog.min(moment) FILTER (WHERE NOT old),"
					  " pg_catalog.max(id::pg_catalog.text) FILTER (WHERE NOT old),"
					  " pg_catalog.count(*)"
					  " FROM (SELECT @m.id@ AS id, t.moment, t.moment @<@ $2 AS old"
					  "  FROM @messages@ AS m CROSS JOIN LATERAL"
					  "   (SELECT " MESSAGE_MOMENT " AS moment) AS t"
					  "  WHERE @m.campaign_id@ @=@ $1 AND @m.message_type:message_1@"
					  "   AND @m.status:sent,delivered,read@ OFFSET 0) AS message", fragments);
}

/* ----------------------------------------------------------------
 *		Writing
 *
 * Rows are locked first and then updated.  A row of a table is found again by
 * where it is, so that one that has changed since it was locked cannot be taken
 * for the other; a row of a view, which is nowhere, by its id, and by what it
 * was locked for, as a lock may not reach it.
 * ----------------------------------------------------------------
 */

/*
 * What the row m of messages is found again by.
 */
static const char *
row_columns(const Source *source)
{
	if (cac_is_view(source->relid[TABLE_MESSAGES]))
		return cac_expand(source, "@m.id@ AS id", NULL);
	return "m.tableoid AS relation, m.ctid AS place";
}

/*
 * Is the row m the one "found"?  "condition" is a template.
 */
static const char *
same_row(const Source *source, const char *condition)
{
	if (cac_is_view(source->relid[TABLE_MESSAGES]))
		return psprintf("%s AND %s",
						cac_expand(source, "@m.id@ @=m.id@ found.id", NULL),
						cac_expand(source, condition, NULL));
	return cac_expand(source, "m.ctid @=@ found.place AND m.tableoid @=@ found.relation", NULL);
}

/*
 * "FROM" and "WHERE" of a statement that writes the rows of "found", of the
 * campaign $1.  Where they are places in one table, each is gone to, whichever
 * joins the planner may use; it must have no other condition to go by, as it
 * takes these places for few.
 */
static const char *
one_of_the_rows(const Source *source, const char *condition)
{
	if (cac_is_one_table(source->relid[TABLE_MESSAGES]) && !source->distributed)
		return cac_expand(source,
						  psprintf(" WHERE m.ctid @=@ ANY (ARRAY(SELECT found.place FROM found"
								   "  WHERE found.relation @=@ '%u'::pg_catalog.oid))"
								   " AND m.tableoid @=@ '%u'::pg_catalog.oid",
								   source->relid[TABLE_MESSAGES], source->relid[TABLE_MESSAGES]),
						  NULL);
	return psprintf(" FROM found WHERE %s%s", same_row(source, condition),
					cac_expand(source, " AND @m.campaign_id@ @=@ $1", NULL));
}

/*
 * The moments of a message m that tell of a callback later than $1, as a
 * condition.
 */
static const char *
callback_condition(const Source *source)
{
	static const char *const conditions[][2] = {
		{"delivered_at", "$1 @<@ @m.delivered_at@"},
		{"read_at", "$1 @<@ @m.read_at@"},
		{"updated_at", "@m.status:delivered,read@ AND $1 @<@ @m.updated_at@"}
	};
	StringInfoData condition;

	initStringInfo(&condition);
	for (int i = 0; i < lengthof(conditions); i++)
		if (cac_source_column(source, TABLE_MESSAGES, conditions[i][0])->name != NULL)
			appendStringInfo(&condition, "%s%s", condition.len > 0 ? " OR " : "",
							 cac_expand(source, conditions[i][1], NULL));
	return condition.len > 0 ? condition.data : "false";
}

/*
 * A row for each of some campaigns in which anything came in from outside after
 * $1: interactions are looked at first, as there are fewer of them.
 */
static char *
sign_in(const Source *source, const char *campaigns)
{
	const char *fragments[MAX_FRAGMENTS];

	fragments[0] = campaigns;
	fragments[1] = callback_condition(source);
	fragments[2] = "";
	if (cac_interactions_tell_campaign(source) &&
		cac_source_column(source, TABLE_INTERACTIONS, "received_at")->name != NULL)
		fragments[2] = cac_expand(source,
								  "SELECT FROM @$1@ CROSS JOIN LATERAL"
								  " (SELECT FROM @interactions@ AS i"
								  "  WHERE @i.campaign_id@ @=@ campaign.id"
								  "  AND $1 @<@ @i.received_at@ LIMIT 1) AS sign"
								  " UNION ALL ", fragments);
	return cac_expand(source,
					  "@$3@SELECT FROM @$1@ CROSS JOIN LATERAL"
					  " (SELECT FROM @messages@ AS m"
					  "  WHERE @m.campaign_id@ @=@ campaign.id AND (@$2@) LIMIT 1) AS sign",
					  fragments);
}

/*
 * What sign_statement() looks for, of tables in shards: with conditions alone on
 * each campaign, as nothing can be joined to the first row of another table there.
 */
static char *
sign_in_shards_statement(const Source *source)
{
	const char *fragments[MAX_FRAGMENTS];

	fragments[0] = callback_condition(source);
	fragments[1] = fragments[2] = "";
	if (cac_interactions_tell_campaign(source) &&
		cac_source_column(source, TABLE_INTERACTIONS, "received_at")->name != NULL)
		fragments[1] = cac_expand(source,
								  "EXISTS (SELECT FROM @interactions@ AS i"
								  " WHERE @i.campaign_id@ @=@ @c.id@ AND $1 @<@ @i.received_at@) OR ", NULL);
	if (cac_interactions_may_lack_campaign(source))
	{
		fragments[3] = cac_lacks_campaign(source);
		fragments[2] = cac_expand(source,
								  "EXISTS (SELECT FROM @interactions@ AS i"
								  " WHERE @$4@$1 @<@ @i.received_at@) OR ", fragments);
	}
	return cac_expand(source,
					  "SELECT true FROM @campaigns@ AS c"
					  " WHERE (@c.status:sending@ OR @c.status:completed,failed@ AND $2 @<@ @c.completed_at@)"
					  " AND (@$2@@$3@EXISTS (SELECT FROM @messages@ AS m"
					  "  WHERE @m.campaign_id@ @=@ @c.id@ AND (@$1@))) LIMIT 1", fragments);
}

/*
 * A row if anything came in from outside after $1, in a campaign that is open,
 * of which the newest are visited first, or was closed after $2.  An interaction
 * that tells no campaign is a sign whomever it is from.
 */
static char *
sign_statement(const Source *source)
{
	const char *fragments[MAX_FRAGMENTS];

	if (source->distributed)
		return sign_in_shards_statement(source);
	fragments[0] = sign_in(source,
						   cac_expand(source,
									  "(SELECT @c.id@ AS id FROM @campaigns@ AS c"
									  " WHERE @c.status:sending@"
									  " ORDER BY coalesce(@c.started_at@, @c.created_at@) DESC"
									  " OFFSET 0) AS campaign", NULL));
	fragments[1] = sign_in(source,
						   cac_expand(source,
									  "(SELECT @c.id@ AS id FROM @campaigns@ AS c"
									  " WHERE @c.status:completed,failed@ AND $2 @<@ @c.completed_at@"
									  " OFFSET 0) AS campaign", NULL));
	fragments[2] = "";
	if (cac_interactions_may_lack_campaign(source))
	{
		fragments[3] = cac_lacks_campaign(source);
		fragments[2] = cac_expand(source,
								  " UNION ALL SELECT FROM @interactions@ AS i"
								  " WHERE @$4@$1 @<@ @i.received_at@", fragments);
	}
	return cac_expand(source, "SELECT FROM (@$1@@$3@ UNION ALL @$2@) AS sign LIMIT 1", fragments);
}

/*
 * Mark the expired messages of one campaign: $1 its key, $2 the cutoff, $3 its
 * start, $5 the error message, $6 as_of.  Rows that somebody else holds are
 * left for the next sweep.
 */
static char *
mark_statement(const Source *source)
{
	const char *fragments[MAX_FRAGMENTS];

	fragments[0] = due_condition(source, "$7");
	fragments[1] = mark_assignments(source);
	fragments[2] = source->log_messages ?
		psprintf(" RETURNING %s", marked_columns(source)) : "";
	fragments[3] = row_columns(source);
	fragments[4] = row_lock(source, TABLE_MESSAGES, " FOR NO KEY UPDATE OF m SKIP LOCKED");
	fragments[5] = one_of_the_rows(source, "@m.status:sent,delivered,read@");
	return cac_expand(source,
					  "WITH found AS (SELECT @$4@"
					  " FROM @messages@ AS m WHERE @$1@@$5@)"
					  " UPDATE @messages@ AS m SET @$2@@$6@@$3@", fragments);
}

/*
 * Likewise, without locking the rows first, which costs a visit and a WAL
 * record each.  Rows that somebody has locked, or had locked and not changed,
 * are passed over; mark_statement() finds the latter.  (The CASE is for the
 * planner, which takes an xmax of 0 for a rarity.)  Between reading a row
 * and updating it somebody may lock it still: then this waits, within
 * lock_timeout.  Not for views, whose rows have no xmax.
 *
 * $4 is a bound below which the hash of the message's id must be: of an
 * ascending series of bounds each marks a share of every page, see
 * MARKING_PASSES.  A single inequality, as the planner takes that for a third
 * of the rows, which is what it is.
 */
static char *
mark_free_statement(const Source *source)
{
	const char *fragments[MAX_FRAGMENTS];

	fragments[0] = due_condition(source, "$7");
	fragments[1] = mark_assignments(source);
	fragments[2] = source->log_messages ?
		psprintf(" RETURNING %s", marked_columns(source)) : "";
	fragments[3] = message_hash(source);
	return cac_expand(source,
					  "UPDATE @messages@ AS m SET @$2@ WHERE @$1@"
					  " AND CASE WHEN m.xmax @=@ '0'::pg_catalog.xid AND @$4@ @<@ $4"
					  " THEN true ELSE false END@$3@", fragments);
}

/*
 * Likewise no more than $4 of them, from the last contact downwards, or
 * ("resume") from contact $7 downwards.  The last column of the result is the
 * contact to resume from.  A row that a trigger of the application's has set
 * back does not count, or there would be no end.
 */
static char *
mark_batch_statement(const Source *source, bool resume)
{
	const char *fragments[MAX_FRAGMENTS];

	fragments[0] = due_condition(source, "$7");
	fragments[1] = mark_assignments(source);
	fragments[2] = marked_columns(source);
	fragments[3] = resume ?
		cac_expand(source, " AND @m.contact_id@ @<=m.contact_id@ $8@::m.contact_id@", NULL) : "";
	fragments[4] = row_columns(source);
	fragments[5] = row_lock(source, TABLE_MESSAGES, " FOR NO KEY UPDATE OF m SKIP LOCKED");
	fragments[6] = same_row(source, "@m.status:sent,delivered,read@");
	return cac_expand(source,
					  "WITH found AS (SELECT @$5@, @m.contact_id@ AS contact"
					  "  FROM @messages@ AS m WHERE @$1@@$4@"
					  "  ORDER BY @m.contact_id@ DESC LIMIT $4@$6@),"
					  " marked AS (UPDATE @messages@ AS m SET @$2@ FROM found"
					  "  WHERE @$7@ AND @m.campaign_id@ @=@ $1"
					  "  RETURNING @$3@, @m.status:no_interaction@ AS done)"
					  " SELECT marked.id, marked.name, marked.number,"
					  "  (SELECT found.contact::pg_catalog.text FROM found"
					  "   WHERE found.contact IS NOT NULL ORDER BY found.contact LIMIT 1)"
					  " FROM marked WHERE marked.done", fragments);
}

/*
 * Fail the pending messages of one campaign, no more than $4 of them: $1 its
 * key, $2 the error message, $3 as_of.  Rows that somebody else holds are
 * waited for; one that a trigger of the application's has set back does not
 * count.
 */
static char *
fail_statement(const Source *source)
{
	const char *fragments[MAX_FRAGMENTS];
	StringInfoData set;

	initStringInfo(&set);
	cac_append_assignment(&set, source, TABLE_MESSAGES, "status",
					  quote_literal_cstr(cac_source_label(source, "messages",
														  "failed")->words[0]));
	cac_append_assignment(&set, source, TABLE_MESSAGES, "error_message", "$2");
	cac_append_assignment(&set, source, TABLE_MESSAGES, "updated_at", "$3");
	fragments[0] = set.data;
	fragments[1] = row_columns(source);
	fragments[2] = row_lock(source, TABLE_MESSAGES, " FOR NO KEY UPDATE OF m");
	fragments[3] = same_row(source, "@m.status:pending@");
	return cac_expand(source,
					  "WITH found AS (SELECT @$2@"
					  " FROM @messages@ AS m WHERE @m.campaign_id@ @=@ $1"
					  " AND @m.status:pending@ AND @m.message_type:message_1,message_2@"
					  " LIMIT $4@$3@)"
					  " , changed AS (UPDATE @messages@ AS m SET @$1@ FROM found"
					  "  WHERE @$4@ AND @m.campaign_id@ @=@ $1"
					  "  RETURNING @m.status:failed@ AS done)"
					  " SELECT pg_catalog.count(*) FROM changed WHERE done", fragments);
}

/*
 * Write one campaign: $1 its key, $2 .. $9 the statistics, $10 as_of, and
 * with_status also $11 the status and $12 completed_at.  Statistics alone
 * leave the status unmentioned, for the sake of the application's triggers.
 * Where the table has none of these columns nothing is written.
 */
static const char *
write_statement(const Source *source, bool with_status)
{
	const char *fragments[MAX_FRAGMENTS];
	StringInfoData set;

	initStringInfo(&set);
	if (with_status)
	{
		cac_append_assignment(&set, source, TABLE_CAMPAIGNS, "status", "$11");
		cac_append_assignment(&set, source, TABLE_CAMPAIGNS, "completed_at", "$12");
	}
	for (int i = 0; i < NUM_STATISTICS; i++)
		cac_append_assignment(&set, source, TABLE_CAMPAIGNS, statistic_columns[i],
						  psprintf("$%d", 2 + i));
	cac_append_assignment(&set, source, TABLE_CAMPAIGNS, "updated_at", "$10");
	if (set.len == 0)
		return "SELECT NULL::pg_catalog.timestamptz WHERE false";
	fragments[0] = set.data;
	return cac_expand(source,
				  "UPDATE @campaigns@ AS c SET @$1@ WHERE @c.id@ @=@ $1"
				  " RETURNING @c.completed_at@", fragments);
}

static const char *
build_statement(const Source *source, StatementKind kind)
{
	switch (kind)
	{
		case STATEMENT_OPEN:
			return open_statement(source);
		case STATEMENT_CLOSED:
			return closed_statement(source);
		case STATEMENT_READ:
		case STATEMENT_READ_SKIP:
		case STATEMENT_READ_WAIT:
			return read_statement(source, kind - STATEMENT_READ);
		case STATEMENT_TALLY:
			return tally_statement(source);
		case STATEMENT_COUNT:
			return count_statement(source);
		case STATEMENT_SETTLED:
			return settled_statement(source);
		case STATEMENT_UNSENT:
			return cac_unsent_statement(source);
		case STATEMENT_AWAITED:
			return cac_awaited_statement(source);
		case STATEMENT_WITNESS:
		case STATEMENT_WITNESS_NEXT:
			return witness_statement(source, kind == STATEMENT_WITNESS_NEXT);
		case STATEMENT_HOLDS:
			return holds_statement(source);
		case STATEMENT_VERIFY:
		case STATEMENT_VERIFY_OPEN:
			return verify_statement(source, kind == STATEMENT_VERIFY_OPEN);
		case STATEMENT_SENT:
			return sent_statement(source);
		case STATEMENT_VERIFY_SENT:
			return verify_sent_statement(source);
		case STATEMENT_DUE:
			return due_statement(source);
		case STATEMENT_SIGN:
			return sign_statement(source);
		case STATEMENT_MARK:
			return mark_statement(source);
		case STATEMENT_MARK_FREE:
			return mark_free_statement(source);
		case STATEMENT_MARK_BATCH:
		case STATEMENT_MARK_BATCH_NEXT:
			return mark_batch_statement(source, kind == STATEMENT_MARK_BATCH_NEXT);
		case STATEMENT_FAIL:
			return fail_statement(source);
		case STATEMENT_WRITE_STATUS:
			return write_statement(source, true);
		case STATEMENT_WRITE_STATISTICS:
			return write_statement(source, false);
		case STATEMENT_PACE:
			return cac_pace_statement(source);
		case STATEMENT_OUTCOMES:
		case STATEMENT_OUTCOMES_NAMED:
			return cac_outcomes_statement(source, kind == STATEMENT_OUTCOMES_NAMED);
		case STATEMENT_FUNNEL:
			return cac_funnel_statement(source);
	}
	return NULL;				/* keep the compiler quiet */
}

/*
 * Is one plan as good for any campaign as for the next?  So it is where the
 * statement looks up a row or two of each, however large the campaign.  PostgreSQL would
 * plan most of these anew each time, which takes longer than to execute them.
 * Citus has to.
 */
static bool
planned_once(const Source *source, StatementKind kind)
{
	if (source->distributed)
		return false;
	switch (kind)
	{
		case STATEMENT_READ:
		case STATEMENT_READ_SKIP:
		case STATEMENT_READ_WAIT:
		case STATEMENT_WITNESS:
		case STATEMENT_WITNESS_NEXT:
		case STATEMENT_HOLDS:
		case STATEMENT_VERIFY_OPEN:
		case STATEMENT_SENT:
		case STATEMENT_WRITE_STATUS:
		case STATEMENT_WRITE_STATISTICS:
			return true;
		default:
			return false;
	}
}

/*
 * Until end_planning(), plan by another setting.
 */
static void
save_setting(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Before a statement is executed: see that its plan chooses partitions when it
 * is made, for the very campaign; and that one for any campaigns, made while the
 * messages were few, looks them up one by one, which has to do when they are many.
 *
 * A plan for any campaign does so when it is executed.  Where some partitions
 * are partitioned again, PostgreSQL (15.20, say) gets that wrong while another
 * one is being detached CONCURRENTLY: it takes the numbers that they had when
 * the plan was made, and leaves out the last, or crashes.  So does a plan for
 * many campaigns: that is to look into all partitions.
 *
 * Returns what end_planning() needs.
 */
static int
begin_planning(const Source *source, StatementKind kind)
{
	int			guc_level;

	if (!source->subpartitioned && kind != STATEMENT_VERIFY_OPEN)
		return 0;
	guc_level = NewGUCNestLevel();
	if (kind == STATEMENT_VERIFY_OPEN)
		save_setting("enable_seqscan", "off");
	if (source->subpartitioned)
		save_setting("plan_cache_mode", "force_custom_plan");
	if (source->subpartitioned &&
		(kind == STATEMENT_VERIFY || kind == STATEMENT_VERIFY_OPEN ||
		 kind == STATEMENT_VERIFY_SENT || kind == STATEMENT_SIGN))
		save_setting("enable_partition_pruning", "off");
	return guc_level;
}

static void
end_planning(int guc_level)
{
	if (guc_level > 0)
		AtEOXact_GUC(false, guc_level);
}

/*
 * The plan of a statement, prepared if this backend has not done so yet.
 */
static SPIPlanPtr
statement_plan(Source *source, StatementKind kind, int nargs, Oid *types)
{
	if (source->plan[kind] == NULL)
	{
		const char *text = build_statement(source, kind);
		SPIPlanPtr	plan = SPI_prepare_cursor(text, nargs, types,
											  planned_once(source, kind) ? CURSOR_OPT_GENERIC_PLAN : 0);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", text,
				 SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		source->subpartitioned = cac_has_subpartitions(source->relid[TABLE_CAMPAIGNS]) ||
			cac_has_subpartitions(source->relid[TABLE_MESSAGES]) ||
			cac_has_subpartitions(source->relid[TABLE_INTERACTIONS]);
		source->plan[kind] = plan;
	}
	return source->plan[kind];
}

/*
 * cac_execute
 *		Execute a statement, preparing it if this backend has not done so yet.
 *
 * Rows are left in SPI_tuptable; returns how many there were.
 */
int64
cac_execute(Source *source, StatementKind kind, int nargs, Oid *types,
		Datum *values, const char *nulls)
{
	MemoryContext caller = CurrentMemoryContext;
	SPIPlanPtr	plan = statement_plan(source, kind, nargs, types);
	int			guc_level = begin_planning(source, kind);
	int			code;

	code = SPI_execute_plan(plan, values, nulls, cac_sees_one_snapshot(), 0);
	end_planning(guc_level);
	if (code < 0)
		elog(ERROR, "could not execute a statement: %s",
			 SPI_result_code_string(code));
	MemoryContextSwitchTo(caller);
	return (int64) SPI_processed;
}

/*
 * cac_open
 *		Likewise a statement whose rows may be many: fetch them from the portal,
 *		and close it.
 */
Portal
cac_open(Source *source, StatementKind kind, int nargs, Oid *types,
		 Datum *values)
{
	MemoryContext caller = CurrentMemoryContext;
	SPIPlanPtr	plan = statement_plan(source, kind, nargs, types);
	int			guc_level = begin_planning(source, kind);
	Portal		portal;

	portal = SPI_cursor_open(NULL, plan, values, NULL, cac_sees_one_snapshot());
	end_planning(guc_level);
	MemoryContextSwitchTo(caller);
	return portal;
}
