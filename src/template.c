/*
 * template.c
 *		SQL for tables whose names, columns and words are the application's.
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
 * What a template is expanded to is prepared once and kept with the Source.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "template.h"

const char *const cac_table_names[NUM_SOURCE_TABLES] = {
	"campaigns", "messages", "interactions", "contacts"
};

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
	return cac_table_names[table_of_alias(column_token[0])];
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
	else if (strchr("=<>+", token[0]) != NULL)
		appendStringInfo(buf, "OPERATOR(pg_catalog.%s)", token);
	else if (strchr(token, ':'))
		append_condition(buf, source, token);
	else if (token[1] == '.')
		append_column(buf, source, token);
	else
	{
		for (int i = 0; i < NUM_SOURCE_TABLES; i++)
			if (strcmp(cac_table_names[i], token) == 0)
				appendStringInfoString(buf, source->table[i]);
	}
}

/*
 * cac_expand
 *		Expand a template; the result is palloc'd.  "fragments" may be NULL
 *		where the template has no @$n@.
 */
char *
cac_expand(const Source *source, const char *template,
	   const char *const *fragments)
{
	StringInfoData buf;
	const char *p = template;
	const char *at;

	initStringInfo(&buf);
	while ((at = strchr(p, '@')) != NULL)
	{
		const char *end = strchr(at + 1, '@');

		if (end == NULL)
			elog(ERROR, "unterminated \"@\" in \"%s\"", template);

		appendBinaryStringInfo(&buf, p, at - p);
		append_token(&buf, source, pnstrdup(at + 1, end - at - 1), fragments);
		p = end + 1;
	}
	appendStringInfoString(&buf, p);
	return buf.data;
}

/*
 * cac_append_assignment
 *		Append ", column = CAST(value AS its type)" where the table has the column.
 */
void
cac_append_assignment(StringInfo buf, const Source *source, SourceTable table,
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
