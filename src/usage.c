/*
 * usage.c
 *		How an application uses its tables, as far as the rules would rather
 *		know: statuses and types, duplicates, launches, interactions.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

#include "preflight.h"
#include "template.h"
#include "views.h"

/* How many examples of a kind are told. */
#define MAX_EXAMPLES	10
/* How many messages are looked at where no campaign is open. */
#define SAMPLE			"10000"

/* ----------------------------------------------------------------
 *		The open campaigns' messages
 * ----------------------------------------------------------------
 */

/*
 * The rows of SPI_tuptable, of a word and a count, as "word" (count), ...
 */
static char *
counted_words(uint64 rows)
{
	StringInfoData list;

	initStringInfo(&list);
	for (uint64 i = 0; i < rows && i < MAX_EXAMPLES; i++)
	{
		char	   *word = cac_row_text(i, 1);

		appendStringInfo(&list, "%s%s (" INT64_FORMAT ")", i > 0 ? ", " : "",
						 word ? psprintf("\"%s\"", word) : "NULL",
						 cac_row_count(i, 2));
	}
	if (rows > MAX_EXAMPLES)
		appendStringInfoString(&list, ", ...");
	return list.data;
}

/*
 * Contacts of an open campaign with several rows of Message 1.
 */
void
cac_check_duplicates(Preflight *preflight)
{
	const Source *source = preflight->source;
	const char *select =
		"SELECT @m.campaign_id@ AS campaign, @m.contact_id@ AS contact, pg_catalog.count(*) AS messages"
		" FROM @campaigns@ AS c JOIN @messages@ AS m ON @m.campaign_id@ @=@ @c.id@"
		" WHERE @c.status:sending@ AND @m.message_type:message_1@ AND @m.contact_id@ IS NOT NULL"
		" GROUP BY 1, 2 HAVING pg_catalog.count(*) @>@ 1";
	char	   *expanded = cac_expand(source, select, NULL);

	cac_preflight_query(psprintf("SELECT pg_catalog.count(*) FROM (%s) AS duplicates", expanded));
	if (cac_row_count(0, 1) > 0)
		cac_advise(preflight,
			   psprintf("in open campaigns, " INT64_FORMAT " contacts have more than one Message 1; a contact is finished when all of them are",
						cac_row_count(0, 1)),
			   psprintf("%s; -- and delete what is too much", expanded));
	SPI_freetuptable(SPI_tuptable);
}

/*
 * The words of "pending", and those in the rows of SPI_tuptable, as JSON.
 */
static char *
pending_and(const Source *source, uint64 rows)
{
	const SourceLabel *label = cac_source_label(source, "messages", "pending");
	StringInfoData json;

	initStringInfo(&json);
	for (int i = 0; i < label->count; i++)
	{
		appendStringInfoString(&json, i > 0 ? ", " : "");
		escape_json(&json, label->words[i]);
	}
	for (uint64 i = 0; i < rows; i++)
	{
		char	   *word = cac_row_text(i, 1);

		if (word == NULL)
			continue;
		appendStringInfoString(&json, json.len > 0 ? ", " : "");
		escape_json(&json, word);
	}
	return json.data;
}

/*
 * Messages in statuses that no label maps: of open campaigns or, where there
 * are none of these, among some messages of any.
 */
void
cac_check_statuses(Preflight *preflight)
{
	const Source *source = preflight->source;
	const char *of_open = "(SELECT m.* FROM @campaigns@ AS c JOIN @messages@ AS m"
		" ON @m.campaign_id@ @=@ @c.id@ WHERE @c.status:sending@)";
	const char *of_any = "(SELECT m.* FROM @messages@ AS m LIMIT " SAMPLE ")";
	const char *unmapped =
		"SELECT @m.status@::pg_catalog.text, pg_catalog.count(*) FROM %s AS m"
		" WHERE @m.message_type:message_1,message_2@"
		" AND @m.status:pending,sent,delivered,read,failed,no_interaction,ignored@ IS NOT TRUE"
		" GROUP BY 1 ORDER BY 2 DESC, 1";
	uint64		rows;

	rows = cac_preflight_query(cac_expand(source, psprintf(unmapped, of_open), NULL));
	if (rows == 0)
		rows = cac_preflight_query(cac_expand(source, psprintf(unmapped, of_any), NULL));
	if (rows > 0)
		cac_advise(preflight,
			   psprintf("statuses of messages that no label maps count as pending, and keep their campaigns open: %s",
						counted_words(rows)),
			   rows == 1 && cac_row_text(0, 1) == NULL ? NULL :
			   psprintf("%s -- or under the word that they stand for",
						cac_alter_call(source, "labels",
									   psprintf("{\"messages\": {\"pending\": [%s]}}", pending_and(source, rows)))));
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Open campaigns whose messages are of no known type, all of them.
 */
void
cac_check_types(Preflight *preflight)
{
	const Source *source = preflight->source;
	uint64		rows;

	if (cac_own_column(source, TABLE_MESSAGES, "message_type") == NULL)
		return;
	rows = cac_preflight_query(cac_expand(source,
							"SELECT @m.message_type@::pg_catalog.text, pg_catalog.count(*)"
							" FROM @campaigns@ AS c JOIN @messages@ AS m ON @m.campaign_id@ @=@ @c.id@"
							" WHERE @c.status:sending@ GROUP BY 1"
							" HAVING NOT EXISTS (SELECT true FROM @campaigns@ AS c JOIN @messages@ AS m ON @m.campaign_id@ @=@ @c.id@"
							"  WHERE @c.status:sending@ AND @m.message_type:message_1@)"
							" ORDER BY 2 DESC, 1", NULL));
	if (rows > 0)
		cac_advise(preflight,
			   psprintf("no message of an open campaign is a Message 1; their types are: %s",
						counted_words(rows)),
			   cac_alter_call(source, "labels",
							  "{\"message_types\": {\"message_1\": \"...\", \"message_2\": \"...\"}}"));
	SPI_freetuptable(SPI_tuptable);
}

/* ----------------------------------------------------------------
 *		What the rules would want to know
 * ----------------------------------------------------------------
 */

/*
 * The SQL that adds the columns which a table lacks, for the application to
 * write, and says so to the source.  A view has to be given them by hand.
 */
static char *
tell_launch(const Source *source, bool started, bool resumed)
{
	Oid			relid = source->relid[TABLE_CAMPAIGNS];
	const char *columns[] = {started ? "started_at" : NULL, resumed ? "resumed_at" : NULL};
	StringInfoData add;
	StringInfoData mapping;

	initStringInfo(&add);
	initStringInfo(&mapping);
	for (int i = 0; i < lengthof(columns); i++)
	{
		if (columns[i] == NULL)
			continue;
		if (get_attnum(relid, columns[i]) == InvalidAttrNumber)
			appendStringInfo(&add, "%s ADD COLUMN %s timestamptz", add.len > 0 ? "," : "", columns[i]);
		appendStringInfo(&mapping, "%s\"%s\": \"%s\"", mapping.len > 0 ? ", " : "", columns[i], columns[i]);
	}
	if (cac_is_view(relid) && add.len > 0)
		return NULL;
	return psprintf("%s%s", add.len == 0 ? "" :
					psprintf("ALTER TABLE %s%s; ", source->table[TABLE_CAMPAIGNS], add.data),
					cac_alter_call(source, "columns", psprintf("{\"campaigns\": {%s}}", mapping.data)));
}

/*
 * When was a campaign launched, or resumed?
 */
void
cac_check_launch(Preflight *preflight)
{
	const Source *source = preflight->source;
	const char *table = source->table[TABLE_CAMPAIGNS];
	bool		started = cac_own_column(source, TABLE_CAMPAIGNS, "started_at") != NULL;
	bool		resumed = cac_own_column(source, TABLE_CAMPAIGNS, "resumed_at") != NULL;

	if (started && resumed)
		return;
	cac_advise(preflight,
		   !started && !resumed ?
		   psprintf("%s has neither \"started_at\" nor \"resumed_at\": a campaign that is launched, or resumed, long after it was created times out at once", table) :
		   !started ? psprintf("%s has no \"started_at\": a campaign that is launched long after it was created times out at once", table) :
		   psprintf("%s has no \"resumed_at\": a campaign that is resumed after a long pause times out at once", table),
		   tell_launch(source, !started, !resumed));
}

/*
 * How is it known that a contact has replied?
 */
void
cac_check_interactions(Preflight *preflight)
{
	const Source *source = preflight->source;
	const char *campaign;

	if (source->table[TABLE_INTERACTIONS] == NULL)
	{
		if (source->policy.completion_rule == COMPLETION_CONTACTS)
			cac_advise(preflight,
				   pstrdup("there is no table of interactions: a reply shows only by its Message 2"),
				   pstrdup("Attach with \"interactions\", a table or view of the replies."));
		return;
	}
	campaign = cac_own_column(source, TABLE_INTERACTIONS, "campaign_id");
	if (campaign != NULL && cac_own_column(source, TABLE_INTERACTIONS, "received_at") == NULL &&
		cac_preflight_query(cac_expand(source, "SELECT FROM @interactions@ AS i WHERE @i.campaign_id@ IS NULL LIMIT 1", NULL)) > 0)
		cac_advise(preflight,
			   psprintf("interactions in %s without a campaign are not matched to any, as it has no \"received_at\"",
						source->table[TABLE_INTERACTIONS]),
			   cac_alter_call(source, "columns", "{\"interactions\": {\"received_at\": \"...\"}}"));
}
