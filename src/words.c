/*
 * words.c
 *		What would refuse the words that we write: an enum or a domain that does
 *		not know them, a column too short for them, a CHECK constraint, a foreign
 *		key to a table of words.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "attempt.h"
#include "preflight.h"
#include "template.h"

/* A column that is written, and the words that are written to it. */
typedef struct WrittenWords
{
	Preflight  *preflight;
	const SourceColumn *column;
	const char *table;			/* qualified and quoted */
	Oid			relid;
	AttrNumber	attno;
	const char *words[3];
	int			count;
} WrittenWords;

/* An expression that is true where a word is refused; AttemptFunction's. */
typedef struct WordQuery
{
	char	   *text;
	bool		refused;
} WordQuery;

static void
refuse(WrittenWords *written, char *detail, char *fix)
{
	cac_find(written->preflight, FINDING_HOLD, ERRCODE_CHECK_VIOLATION, detail, fix);
}

static void
run_word_query(void *arg)
{
	WordQuery  *word_query = arg;
	char	   *result;

	cac_preflight_query(word_query->text);
	result = cac_row_text(0, 1);
	word_query->refused = result != NULL && strcmp(result, "t") == 0;
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Is the expression true?  Whatever it raises otherwise, *sqlstate says.
 */
static bool
is_true(const char *expression, int *sqlstate)
{
	WordQuery	word_query = {.text = psprintf("SELECT %s", expression)};
	ErrorData  *error;

	*sqlstate = 0;
	if (!cac_attempt(run_word_query, &word_query, 0, &error))
	{
		*sqlstate = error->sqlerrcode;
		return false;
	}
	return word_query.refused;
}

static const char *
type_name(Oid type, int32 typmod)
{
	return format_type_extended(type, typmod, FORMAT_TYPE_FORCE_QUALIFY | FORMAT_TYPE_TYPEMOD_GIVEN);
}

/* 'word' as a literal of the column's type */
static char *
typed_word(const WrittenWords *written, const char *word)
{
	return psprintf("CAST(%s AS %s)", quote_literal_cstr(word),
					type_name(written->column->type, -1));
}

/*
 * An enum that has no such value.  A new one cannot be used by the transaction
 * that adds it.
 */
static void
check_enum(WrittenWords *written, Oid type)
{
	for (int i = 0; i < written->count; i++)
		if (!SearchSysCacheExists2(ENUMTYPOIDNAME, ObjectIdGetDatum(type),
								   CStringGetDatum(written->words[i])))
			refuse(written,
				   psprintf("type %s of column \"%s\" of %s has no value \"%s\"",
							format_type_be(type), written->column->name,
							written->table, written->words[i]),
				   psprintf("ALTER TYPE %s ADD VALUE %s; -- and commit before anything else",
							type_name(type, -1), quote_literal_cstr(written->words[i])));
}

/*
 * A domain, over whatever, that does not take a word.
 */
static void
check_domain(WrittenWords *written)
{
	Oid			type = written->column->type;
	StringInfoData refused;
	int			sqlstate;

	initStringInfo(&refused);
	for (int i = 0; i < written->count; i++)
	{
		(void) is_true(psprintf("%s IS NULL", typed_word(written, written->words[i])), &sqlstate);
		if (sqlstate == ERRCODE_CHECK_VIOLATION)
			appendStringInfo(&refused, "%s%s", refused.len > 0 ? ", " : "",
							 quote_literal_cstr(written->words[i]));
	}
	if (refused.len == 0)
		return;
	cac_preflight_query(psprintf("SELECT pg_catalog.quote_ident(conname), pg_catalog.pg_get_expr(conbin, 0)"
				   " FROM pg_catalog.pg_constraint WHERE contypid = %u ORDER BY 1 LIMIT 1", type));
	refuse(written,
		   psprintf("domain %s of column \"%s\" of %s refuses %s", format_type_be(type),
					written->column->name, written->table, refused.data),
		   SPI_processed == 0 ? NULL :
		   psprintf("ALTER DOMAIN %s DROP CONSTRAINT %s; ALTER DOMAIN %s ADD CONSTRAINT %s CHECK (%s OR VALUE IN (%s));",
					type_name(type, -1), cac_row_text(0, 1), type_name(type, -1),
					cac_row_text(0, 1), cac_row_text(0, 2), refused.data));
	SPI_freetuptable(SPI_tuptable);
}

/*
 * A column that is too short for a word.
 */
static void
check_length(WrittenWords *written)
{
	Oid			type;
	Oid			collation;
	int32		typmod;
	int			needed = 0;

	get_atttypetypmodcoll(written->relid, written->attno, &type, &typmod, &collation);
	type = getBaseTypeAndTypmod(type, &typmod);
	if (typmod < (int32) VARHDRSZ || (type != VARCHAROID && type != BPCHAROID))
		return;
	for (int i = 0; i < written->count; i++)
	{
		int			length = pg_mbstrlen(written->words[i]);

		needed = Max(needed, length);
	}
	if (needed > typmod - (int32) VARHDRSZ)
		refuse(written,
			   psprintf("column \"%s\" of %s has %d characters, and needs %d",
						written->column->name, written->table,
						(int) (typmod - VARHDRSZ), needed),
			   psprintf("ALTER TABLE %s ALTER COLUMN %s TYPE varchar(%d);",
						written->table, quote_identifier(written->column->name),
						Max(needed, 20)));
}

/*
 * The value that a column of a row has to which a word is written: what else is
 * written with it, or NULL.  The first word is the one of an open campaign, or
 * of a message that has failed.
 */
static char *
value_with_word(const WrittenWords *written, AttrNumber attno, const char *word)
{
	const Source *source = written->preflight->source;
	const char *name = get_attname(written->relid, attno, false);
	Oid			type = get_atttype(written->relid, attno);
	const char *value = "NULL";

	for (int i = 0; i < source->ncolumns; i++)
	{
		const SourceColumn *column = &source->column[i];

		if (column->table != written->column->table || column->name == NULL ||
			strcmp(column->name, name) != 0)
			continue;
		if (strcmp(column->standard_name, "status") == 0)
			value = quote_literal_cstr(word);
		else if (strcmp(column->standard_name, "error_message") == 0)
			value = "'...'";
		else if (strcmp(column->standard_name, "updated_at") == 0 ||
				 (strcmp(column->standard_name, "completed_at") == 0 &&
				  strcmp(word, written->words[0]) != 0))
			value = "pg_catalog.now()";
	}
	return psprintf("CAST(%s AS %s) AS %s", value, type_name(type, -1), quote_identifier(name));
}

/*
 * Does a constraint, on these columns, refuse a word?  A column that we do not
 * write may hold anything, and is taken for NULL.
 */
static bool
constraint_refuses(const WrittenWords *written, const char *expression,
				   const char *attnos, const char *word)
{
	StringInfoData row;
	char	   *copy = pstrdup(attnos);
	char	   *attno;
	char	   *next = NULL;
	int			sqlstate;

	initStringInfo(&row);
	for (attno = strtok_r(copy, " ", &next); attno != NULL; attno = strtok_r(NULL, " ", &next))
		appendStringInfo(&row, "%s%s", row.len > 0 ? ", " : "",
						 value_with_word(written, atoi(attno), word));
	return is_true(psprintf("NOT (%s) FROM (SELECT %s) AS %s", expression, row.data,
							quote_identifier(get_rel_name(written->relid))), &sqlstate);
}

/*
 * CHECK constraints that mention the column.
 */
static void
check_constraints(WrittenWords *written)
{
	uint64		rows = cac_preflight_query(psprintf("SELECT conname, pg_catalog.pg_get_expr(conbin, conrelid),"
									  " pg_catalog.array_to_string(conkey, ' ') FROM pg_catalog.pg_constraint"
									  " WHERE conrelid = %u AND contype = 'c' AND %d = ANY (conkey) ORDER BY conname",
									  written->relid, written->attno));
	SPITupleTable *constraints = SPI_tuptable;

	for (uint64 i = 0; i < rows; i++)
	{
		char	   *name = SPI_getvalue(constraints->vals[i], constraints->tupdesc, 1);
		char	   *expression = SPI_getvalue(constraints->vals[i], constraints->tupdesc, 2);
		char	   *attnos = SPI_getvalue(constraints->vals[i], constraints->tupdesc, 3);
		StringInfoData refused;

		initStringInfo(&refused);
		for (int j = 0; j < written->count; j++)
			if (constraint_refuses(written, expression, attnos, written->words[j]))
				appendStringInfo(&refused, "%s%s", refused.len > 0 ? ", " : "",
								 quote_literal_cstr(written->words[j]));
		if (refused.len > 0)
			refuse(written,
				   psprintf("constraint \"%s\" of %s refuses %s in column \"%s\"", name,
							written->table, refused.data, written->column->name),
				   psprintf("ALTER TABLE %s DROP CONSTRAINT %s, ADD CONSTRAINT %s CHECK (%s OR %s IN (%s)) NOT VALID;"
							" ALTER TABLE %s VALIDATE CONSTRAINT %s;",
							written->table, quote_identifier(name), quote_identifier(name),
							expression, quote_identifier(written->column->name), refused.data,
							written->table, quote_identifier(name)));
	}
	SPI_freetuptable(constraints);
}

/*
 * A foreign key of the column to a table of words.
 */
static void
check_word_table(WrittenWords *written)
{
	uint64		rows = cac_preflight_query(psprintf("SELECT f.confrelid::pg_catalog.regclass::pg_catalog.text, pg_catalog.quote_ident(a.attname)"
									  " FROM pg_catalog.pg_constraint AS f JOIN pg_catalog.pg_attribute AS a"
									  " ON a.attrelid = f.confrelid AND a.attnum = f.confkey[1]"
									  " WHERE f.conrelid = %u AND f.contype = 'f' AND f.conkey = ARRAY[%d]::pg_catalog.int2[]"
									  " AND f.conparentid = 0",
									  written->relid, written->attno));
	char	   *table = rows > 0 ? cac_row_text(0, 1) : NULL;
	char	   *column = rows > 0 ? cac_row_text(0, 2) : NULL;
	int			sqlstate;

	SPI_freetuptable(SPI_tuptable);
	for (int i = 0; table != NULL && i < written->count; i++)
		if (is_true(psprintf("NOT EXISTS (SELECT FROM %s WHERE %s::pg_catalog.text OPERATOR(pg_catalog.=) %s)",
							 table, column, quote_literal_cstr(written->words[i])), &sqlstate))
			refuse(written,
				   psprintf("%s, which column \"%s\" of %s references, has no \"%s\"",
							table, written->column->name, written->table, written->words[i]),
				   psprintf("INSERT INTO %s (%s) VALUES (%s);", table, column,
							quote_literal_cstr(written->words[i])));
}

static void
check_column(Preflight *preflight, SourceTable table, const char *const *standard_words, int count)
{
	const Source *source = preflight->source;
	WrittenWords written = {.preflight = preflight};
	Oid			base;

	written.column = cac_source_column(source, table, "status");
	written.table = source->table[table];
	written.relid = source->relid[table];
	written.attno = get_attnum(written.relid, written.column->name);
	for (int i = 0; i < count; i++)
	{
		const SourceLabel *label = cac_source_label(source, cac_table_names[table], standard_words[i]);

		if (label->count > 0)
			written.words[written.count++] = label->words[0];
	}

	base = getBaseType(written.column->type);
	if (type_is_enum(base))
		check_enum(&written, base);
	if (base != written.column->type)
		check_domain(&written);
	check_length(&written);
	check_constraints(&written);
	check_word_table(&written);
}

/*
 * cac_check_words
 *		Would something refuse the words that we write?
 */
void
cac_check_words(Preflight *preflight)
{
	static const char *const campaign_words[] = {"sending", "completed", "failed"};
	static const char *const message_words[] = {"failed", "no_interaction"};

	check_column(preflight, TABLE_CAMPAIGNS, campaign_words, lengthof(campaign_words));
	check_column(preflight, TABLE_MESSAGES, message_words, lengthof(message_words));
}
