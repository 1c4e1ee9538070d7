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
 *	@=i.contact_id,m.contact_id@	the operator that compares a key like the
 *						first column, on its left, with one like the second
 *						(or like the first too, if there is but one)
 *	@::m.id@			a cast to the type of a column
 *	@$n@				the n-th fragment passed along with the template
 *
 * What a template is expanded to is prepared once and kept with the Source.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "keys.h"
#include "template.h"

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
 * The column that a token such as "m.sent_at" stands for.
 */
static const SourceColumn *
column_of_token(const Source *source, const char *token)
{
	return cac_source_column(source, table_of_alias(token[0]), token + 2);
}

/*
 * A type as SQL, palloc'd.  Of a domain it is the type that it is over: a cast
 * to the domain itself would cut off what is too long for it, where the
 * assignment raises an error.  No length: "character" would mean one.
 */
static char *
type_as_text(Oid type)
{
	return format_type_extended(getBaseType(type), -1,
								FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

/*
 * Append a column; a timestamp without zone is read in the source's.
 */
static void
append_column(StringInfo buf, const Source *source, const char *token)
{
	const SourceColumn *column = column_of_token(source, token);

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
 * What every row of a table is that has no such column: a Message 1, a reply.
 */
static const char *
word_of_absent(const char *column_token)
{
	return strcmp(column_token + 1, ".message_type") == 0 ? "message_1" : "reply";
}

/*
 * Append "column = 'word'", unless the column cannot hold that word, as its
 * enum has no such value.  An enum's domain is not taken for an enum by the
 * parser, so the column is cast.
 */
static bool
append_comparison(StringInfo buf, const Source *source, const char *token,
				  const char *word, int before)
{
	const SourceColumn *column = column_of_token(source, token);
	Oid			type = getBaseType(column->type);
	bool		is_enum = type_is_enum(type);

	if (is_enum && (strlen(word) >= NAMEDATALEN ||
					!SearchSysCacheExists2(ENUMTYPOIDNAME, ObjectIdGetDatum(type),
										   CStringGetDatum(word))))
		return false;
	if (before > 0)
		appendStringInfoString(buf, " OR ");
	append_column(buf, source, token);
	if (is_enum && type != column->type)
		appendStringInfo(buf, "::%s", type_as_text(type));
	appendStringInfo(buf, " %s %s",
					 cac_key_operator(type, type, BTEqualStrategyNumber),
					 quote_literal_cstr(word));
	return true;
}

/*
 * "column:word,word" as (column = 'x' OR column = 'y' ...), false if the
 * application has no word for any of these.
 */
static void
append_condition(StringInfo buf, const Source *source, char *token)
{
	char	   *words = strchr(token, ':');
	bool		absent;
	bool		always = false;
	char	   *word;
	char	   *next;
	int			n = 0;

	*words++ = '\0';
	absent = column_of_token(source, token)->name == NULL;
	appendStringInfoChar(buf, '(');
	for (word = words; word != NULL; word = next)
	{
		const SourceLabel *label;

		next = strchr(word, ',');
		if (next != NULL)
			*next++ = '\0';
		if (absent)
		{
			always |= strcmp(word, word_of_absent(token)) == 0;
			continue;
		}
		label = cac_source_label(source, label_group(token), word);
		for (int i = 0; i < label->count; i++)
			n += append_comparison(buf, source, token, label->words[i], n);
	}
	appendStringInfoString(buf, n > 0 ? ")" : always ? "true)" : "false)");
}

static Oid
collation_of_column(const Source *source, const SourceColumn *column)
{
	Oid			relid = source->relid[column->table];
	Oid			type;
	int32		typmod;
	Oid			collation;

	get_atttypetypmodcoll(relid, get_attnum(relid, column->name),
						  &type, &typmod, &collation);
	return collation;
}

static char *
collation_as_text(Oid collation)
{
	HeapTuple	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	Form_pg_collation form;
	char	   *result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	form = (Form_pg_collation) GETSTRUCT(tuple);
	result = quote_qualified_identifier(get_namespace_name(form->collnamespace),
										NameStr(form->collname));
	ReleaseSysCache(tuple);
	return result;
}

/*
 * "=left,right" or "=left": the operator that compares such keys.  Where their
 * collations differ that of the left one decides, and may use its index.
 */
static void
append_key_operator(StringInfo buf, const Source *source, char *token)
{
	char	   *left_token = token + strspn(token, "<=>");
	char	   *right_token = strchr(left_token, ',');
	const SourceColumn *left;
	const SourceColumn *right;
	StrategyNumber strategy = strncmp(token, "<=", 2) == 0 ?
		BTLessEqualStrategyNumber : BTEqualStrategyNumber;

	if (right_token != NULL)
		*right_token++ = '\0';
	left = column_of_token(source, left_token);
	right = right_token ? column_of_token(source, right_token) : left;
	if (left != right)
	{
		Oid			collation = collation_of_column(source, left);

		if (OidIsValid(collation) && collation != collation_of_column(source, right))
			appendStringInfo(buf, "COLLATE %s ", collation_as_text(collation));
	}
	appendStringInfoString(buf, cac_key_operator(left->type, right->type, strategy));
}

static void
append_token(StringInfo buf, const Source *source, char *token,
			 const char *const *fragments)
{
	if (token[0] == '$')
		appendStringInfoString(buf, fragments[token[1] - '1']);
	else if (strncmp(token, "::", 2) == 0)
		appendStringInfo(buf, "::%s",
						 type_as_text(column_of_token(source, token + 2)->type));
	else if (strchr("=<>+-", token[0]) != NULL && strchr(token, '.') != NULL)
		append_key_operator(buf, source, token);
	else if (strchr("=<>+-", token[0]) != NULL)
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
					 type_as_text(column->type));
}
