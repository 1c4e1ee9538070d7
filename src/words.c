/*
 * words.c
 *		What would refuse the words that we write: an enum or a domain that does
 *		not know them, a column too short for them, a CHECK constraint, a foreign
 *		key to a table of words.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "attempt.h"
#include "preflight.h"
#include "table_triggers.h"
#include "template.h"

/* A column that is written, and the words that are written to it. */
typedef struct WrittenWords
{
	Preflight  *preflight;
	const SourceColumn *column;
	/* where they end up: below a view, in the table that it shows */
	const char *table;			/* qualified and quoted */
	const char *name;			/* of the column */
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
 * Is the expression true?  Not if it raises an error, which is left in *error.
 */
static bool
is_true(const char *expression, ErrorData **error)
{
	WordQuery	word_query = {.text = psprintf("SELECT %s", expression)};

	*error = NULL;
	return cac_attempt(run_word_query, &word_query, 0, error) && word_query.refused;
}

/*
 * Add a word to a list of literals.
 */
static void
append_word(StringInfo list, const char *word)
{
	appendStringInfo(list, "%s%s", list->len > 0 ? ", " : "", quote_literal_cstr(word));
}

/* a table, qualified and quoted */
static char *
table_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
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
							format_type_be(type), written->name,
							written->table, written->words[i]),
				   psprintf("ALTER TYPE %s ADD VALUE %s; -- and commit before anything else",
							type_name(type, -1), quote_literal_cstr(written->words[i])));
}

/*
 * The error that a domain, or the one below it, raises for a word; NULL if it
 * takes it.
 */
static ErrorData *
domain_error(const WrittenWords *written, const char *word)
{
	ErrorData  *error;

	(void) is_true(psprintf("%s IS NULL", typed_word(written, word)), &error);
	return error != NULL && error->sqlerrcode == ERRCODE_CHECK_VIOLATION &&
		error->constraint_name != NULL ? error : NULL;
}

/*
 * The SQL that lets a domain's constraint, which the error names, take some more
 * words; NULL if there is none.  It is the domain's own, or one's below it: these
 * are checked first.  A constraint that was not checked of what is
 * there is not afterwards either.
 */
static char *
widen_domain(const WrittenWords *written, const ErrorData *error, const char *words)
{
	const char *constraint = quote_identifier(error->constraint_name);
	char	   *fix = NULL;

	if (cac_preflight_query(psprintf("WITH RECURSIVE chain AS (SELECT %u::pg_catalog.oid AS type, 0 AS depth UNION ALL"
									 "  SELECT t.typbasetype, chain.depth OPERATOR(pg_catalog.+) 1"
									 "  FROM chain JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) chain.type WHERE t.typtype OPERATOR(pg_catalog.=) 'd')"
									 " SELECT pg_catalog.pg_get_expr(con.conbin, 0),"
									 " CASE WHEN NOT con.convalidated THEN ' NOT VALID' END, chain.type"
									 " FROM chain JOIN pg_catalog.pg_constraint AS con ON con.contypid OPERATOR(pg_catalog.=) chain.type"
									 " WHERE con.conname OPERATOR(pg_catalog.=) %s ORDER BY chain.depth DESC LIMIT 1",
									 written->column->type,
									 quote_literal_cstr(error->constraint_name))) > 0)
	{
		char	   *not_valid = cac_row_text(0, 2);
		const char *domain = type_name(atooid(cac_row_text(0, 3)), -1);

		fix = psprintf("ALTER DOMAIN %s DROP CONSTRAINT %s; ALTER DOMAIN %s ADD CONSTRAINT %s CHECK (%s OR VALUE IN (%s))%s;",
					   domain, constraint, domain, constraint, cac_row_text(0, 1), words,
					   not_valid ? not_valid : "");
	}
	SPI_freetuptable(SPI_tuptable);
	return fix;
}

/*
 * A domain, over whatever, that does not take a word.  Of several constraints
 * each word is refused by one.
 */
static void
check_domain(WrittenWords *written)
{
	ErrorData  *error[lengthof(written->words)];

	for (int i = 0; i < written->count; i++)
		error[i] = domain_error(written, written->words[i]);
	for (int i = 0; i < written->count; i++)
	{
		ErrorData  *first = error[i];
		StringInfoData refused;

		if (first == NULL)
			continue;
		initStringInfo(&refused);
		for (int j = i; j < written->count; j++)
			if (error[j] != NULL && strcmp(error[j]->constraint_name, first->constraint_name) == 0)
			{
				append_word(&refused, written->words[j]);
				error[j] = NULL;
			}
		refuse(written,
			   psprintf("constraint \"%s\" of domain %s of column \"%s\" of %s refuses %s",
						first->constraint_name, format_type_be(written->column->type),
						written->name, written->table, refused.data),
			   widen_domain(written, first, refused.data));
	}
}

/*
 * The SQL that makes a column longer; NULL where that is its domain's matter, or
 * where a view would have to go first.
 * Our trigger, which depends on the column, has to go meanwhile.
 */
static char *
widen_column(const WrittenWords *written, Oid type, int length)
{
	const Source *source = written->preflight->source;
	char	   *alter;
	char	   *trigger;

	if (type != written->column->type || written->relid != source->relid[written->column->table] ||
		get_rel_relkind(written->relid) == RELKIND_VIEW)
		return NULL;
	alter = psprintf("ALTER TABLE %s ALTER COLUMN %s TYPE %s(%d);", written->table,
					 quote_identifier(written->name),
					 type == BPCHAROID ? "character" : "varchar", length);
	if (written->column->table != TABLE_MESSAGES)
		return alter;
	trigger = cac_message_trigger(source);
	return psprintf("DROP TRIGGER IF EXISTS %s ON %s; %s %s",
					trigger ? quote_identifier(trigger) : HINT_TRIGGER, written->table, alter,
					cac_alter_call(source, "mode", source->mode == MODE_ACTIVE ? "active" : "shadow"));
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
						written->name, written->table,
						(int) (typmod - VARHDRSZ), needed),
			   widen_column(written, type, Max(needed, 20)));
}

/* A CHECK constraint of a table, or of one of its partitions */
typedef struct CheckConstraint
{
	Oid			relid;
	char	   *name;
	char	   *expression;
	char	   *attnos;			/* of its columns, separated by spaces */
	char	   *suffix;			/* NO INHERIT */
	char	   *root;			/* the table that it is inherited from, if it is
								 * not this one's own */
	bool		validated;
} CheckConstraint;

/*
 * Something, as an expression, that a column which we do not write may hold.
 */
static const char *
some_value(Oid type)
{
	switch (TypeCategory(getBaseType(type)))
	{
		case TYPCATEGORY_BOOLEAN:
			return "true";
		case TYPCATEGORY_NUMERIC:
			return "1";
		case TYPCATEGORY_STRING:
			return "'x'";
		case TYPCATEGORY_DATETIME:
			return "pg_catalog.now()";
		case TYPCATEGORY_TIMESPAN:
			return "'1 day'";
		case TYPCATEGORY_ARRAY:
			return "'{}'";
		case TYPCATEGORY_ENUM:
			return psprintf("pg_catalog.enum_first(NULL::%s)", type_name(getBaseType(type), -1));
	}
	return getBaseType(type) == UUIDOID ? "'00000000-0000-0000-0000-000000000000'" : "NULL";
}

/*
 * The value that a column of a row has to which a word is written: what else is
 * written with it, or what columns that we do not write are taken to hold.  The first word is the one of an open campaign, or
 * of a message that has failed.
 */
static char *
value_with_word(const WrittenWords *written, Oid relid, AttrNumber attno,
				const char *word, bool others_null)
{
	const Source *source = written->preflight->source;
	const char *name = get_attname(relid, attno, false);
	Oid			type = get_atttype(relid, attno);
	const char *value = others_null ? "NULL" : some_value(type);

	for (int i = 0; i < source->ncolumns; i++)
	{
		const SourceColumn *column = &source->column[i];

		if (column->table != written->column->table || column->name == NULL ||
			strcmp(column->name, name) != 0)
			continue;
		if (strcmp(column->standard_name, "error_message") == 0)
			value = "'...'";
		else if (strcmp(column->standard_name, "updated_at") == 0)
			value = "pg_catalog.now()";
		else if (strcmp(column->standard_name, "completed_at") == 0)
			value = strcmp(word, written->words[0]) != 0 ? "pg_catalog.now()" : "NULL";
	}
	if (strcmp(name, written->name) == 0)
		value = quote_literal_cstr(word);
	return psprintf("CAST(%s AS %s) AS %s", value, type_name(type, -1), quote_identifier(name));
}

/*
 * Does a constraint refuse a word in a row whose other columns are NULL, or hold
 * something?  An error is left in *error.
 */
static bool
row_refused(const WrittenWords *written, const CheckConstraint *constraint,
			const char *word, bool others_null, ErrorData **error)
{
	StringInfoData row;
	char	   *copy = pstrdup(constraint->attnos);
	char	   *next = NULL;

	initStringInfo(&row);
	for (char *attno = strtok_r(copy, " ", &next); attno != NULL; attno = strtok_r(NULL, " ", &next))
		appendStringInfo(&row, "%s%s", row.len > 0 ? ", " : "",
						 value_with_word(written, constraint->relid, pg_strtoint16(attno), word, others_null));
	return is_true(psprintf("NOT (%s) FROM (SELECT %s) AS %s", constraint->expression, row.data,
							quote_identifier(get_rel_name(constraint->relid))), error);
}

/*
 * Does a constraint refuse a word, whatever is in the columns that we do not
 * write?  That cannot be known, but it is likely if it does so both where they
 * are NULL and where they are not.
 */
static bool
constraint_refuses(const WrittenWords *written, const CheckConstraint *constraint,
				   const char *word)
{
	ErrorData  *error;

	return row_refused(written, constraint, word, true, &error) &&
		(row_refused(written, constraint, word, false, &error) || error != NULL);
}

static char *
widen_constraint(const WrittenWords *written, const CheckConstraint *constraint, const char *words)
{
	const char *table = constraint->root ? constraint->root : table_name(constraint->relid);
	const char *name = quote_identifier(constraint->name);

	return psprintf("ALTER TABLE %s DROP CONSTRAINT %s, ADD CONSTRAINT %s CHECK (%s OR %s IN (%s))%s NOT VALID;%s",
					table, name, name, constraint->expression,
					quote_identifier(written->name), words, constraint->suffix,
					!constraint->validated ? "" :
					psprintf(" ALTER TABLE %s VALIDATE CONSTRAINT %s;", table, name));
}

/*
 * CHECK constraints that mention the column, of the table and of its partitions
 * or children.
 */
static void
check_constraints(WrittenWords *written)
{
	uint64		rows = cac_preflight_query(psprintf("WITH RECURSIVE tree AS (SELECT %u::pg_catalog.oid AS relid UNION"
									  "  SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits AS i ON i.inhparent OPERATOR(pg_catalog.=) tree.relid)"
									  " SELECT con.conrelid, con.conname, pg_catalog.pg_get_expr(con.conbin, con.conrelid),"
									  " pg_catalog.array_to_string(con.conkey, ' '), CASE WHEN con.connoinherit THEN ' NO INHERIT' ELSE '' END,"
									  " CASE WHEN con.coninhcount OPERATOR(pg_catalog.>) 0 THEN root.oid END, con.convalidated"
									  " FROM tree JOIN pg_catalog.pg_constraint AS con ON con.conrelid OPERATOR(pg_catalog.=) tree.relid"
									  " JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) con.conrelid AND a.attnum OPERATOR(pg_catalog.=) ANY (con.conkey)"
									  " LEFT JOIN pg_catalog.pg_class AS root ON root.oid OPERATOR(pg_catalog.=) pg_catalog.pg_partition_root(con.conrelid)"
									  " WHERE con.contype OPERATOR(pg_catalog.=) 'c' AND a.attname OPERATOR(pg_catalog.=) %s AND (con.coninhcount OPERATOR(pg_catalog.=) 0 OR con.conrelid OPERATOR(pg_catalog.=) %u)"
									  " ORDER BY con.conrelid OPERATOR(pg_catalog.<>) %u, con.conname, con.conrelid",
									  written->relid, quote_literal_cstr(written->name),
									  written->relid, written->relid));
	SPITupleTable *constraints = SPI_tuptable;

	for (uint64 i = 0; i < rows; i++)
	{
		HeapTuple	row = constraints->vals[i];
		TupleDesc	tupdesc = constraints->tupdesc;
		char	   *root = SPI_getvalue(row, tupdesc, 6);
		CheckConstraint constraint = {
			.relid = atooid(SPI_getvalue(row, tupdesc, 1)),
			.name = SPI_getvalue(row, tupdesc, 2),
			.expression = SPI_getvalue(row, tupdesc, 3),
			.attnos = SPI_getvalue(row, tupdesc, 4),
			.suffix = SPI_getvalue(row, tupdesc, 5),
			.root = root ? table_name(atooid(root)) : NULL,
			.validated = strcmp(SPI_getvalue(row, tupdesc, 7), "t") == 0
		};
		StringInfoData refused;

		initStringInfo(&refused);
		for (int j = 0; j < written->count; j++)
			if (constraint_refuses(written, &constraint, written->words[j]))
				append_word(&refused, written->words[j]);
		if (refused.len > 0)
			refuse(written,
				   psprintf("constraint \"%s\" of %s refuses %s in column \"%s\"", constraint.name,
							table_name(constraint.relid), refused.data, written->name),
				   widen_constraint(written, &constraint, refused.data));
	}
	SPI_freetuptable(constraints);
}

/*
 * A foreign key of the column to a table of words.
 */
static void
check_word_table(WrittenWords *written)
{
	uint64		rows = cac_preflight_query(psprintf("SELECT f.confrelid, pg_catalog.quote_ident(a.attname)"
									  " FROM pg_catalog.pg_constraint AS f JOIN pg_catalog.pg_attribute AS a"
									  " ON a.attrelid OPERATOR(pg_catalog.=) f.confrelid AND a.attnum OPERATOR(pg_catalog.=) f.confkey[1]"
									  " WHERE f.conrelid OPERATOR(pg_catalog.=) %u AND f.contype OPERATOR(pg_catalog.=) 'f' AND f.conkey OPERATOR(pg_catalog.=) ARRAY[%d]::pg_catalog.int2[]"
									  " AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS p"
									  "  WHERE p.oid OPERATOR(pg_catalog.=) f.conparentid AND p.conrelid OPERATOR(pg_catalog.=) f.conrelid)",
									  written->relid, written->attno));
	char	   *table = rows > 0 ? table_name(atooid(cac_row_text(0, 1))) : NULL;
	char	   *column = rows > 0 ? cac_row_text(0, 2) : NULL;
	ErrorData  *error;

	SPI_freetuptable(SPI_tuptable);
	for (int i = 0; table != NULL && i < written->count; i++)
		if (is_true(psprintf("NOT EXISTS (SELECT FROM %s WHERE %s::pg_catalog.text OPERATOR(pg_catalog.=) %s)",
							 table, column, quote_literal_cstr(written->words[i])), &error))
			refuse(written,
				   psprintf("%s, which column \"%s\" of %s references, has no \"%s\"",
							table, written->name, written->table, written->words[i]),
				   psprintf("INSERT INTO %s (%s) VALUES (%s);", table, column,
							quote_literal_cstr(written->words[i])));
}

/*
 * The column that a column of a view is, in the table or view below; false where
 * PostgreSQL itself does not know, as an INSTEAD OF trigger or a rule does the
 * writing.
 */
static bool
descend_view(WrittenWords *written)
{
	Relation	view = relation_open(written->relid, AccessShareLock);
	Query	   *query = get_view_query(view);
	TargetEntry *entry = get_tle_by_resno(query->targetList, written->attno);
	bool		found = false;

	if ((view->trigdesc == NULL || !view->trigdesc->trig_update_instead_row) &&
		view->rd_rules->numLocks == 1 && list_length(query->jointree->fromlist) == 1 &&
		IsA(linitial(query->jointree->fromlist), RangeTblRef) &&
		entry != NULL && IsA(entry->expr, Var))
	{
		Var		   *var = castNode(Var, entry->expr);
		RangeTblEntry *below = rt_fetch(var->varno, query->rtable);

		if (below->rtekind == RTE_RELATION && var->varattno > 0)
		{
			Bitmapset  *filtered = NULL;

			pull_varattnos(query->jointree->quals, var->varno, &filtered);
			if (RelationHasCheckOption(view) &&
				bms_is_member(var->varattno - FirstLowInvalidHeapAttributeNumber, filtered))
				cac_find(written->preflight, FINDING_ADVICE, 0,
						 psprintf("%s, WITH CHECK OPTION, refuses the words of column \"%s\" that it does not show",
								  table_name(written->relid), entry->resname), NULL);
			written->relid = below->relid;
			written->attno = var->varattno;
			found = true;
		}
	}
	relation_close(view, AccessShareLock);
	return found;
}

static void
check_column(Preflight *preflight, SourceTable table, const char *const *standard_words, int count)
{
	const Source *source = preflight->source;
	WrittenWords written = {.preflight = preflight};
	Oid			base;

	written.column = cac_source_column(source, table, "status");
	written.relid = source->relid[table];
	written.attno = get_attnum(written.relid, written.column->name);
	while (get_rel_relkind(written.relid) == RELKIND_VIEW && descend_view(&written))
		;
	written.table = table_name(written.relid);
	written.name = get_attname(written.relid, written.attno, false);
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
