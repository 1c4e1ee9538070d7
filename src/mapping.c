/*
 * mapping.c
 *		What a source's tables call the columns and words of the rules: the
 *		JSON objects "columns" and "labels" of its row, against the catalogs.
 *
 * Everything that is wrong is noted, not only the first of it: who attaches
 * his tables wants to mend it all at once.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "keys.h"
#include "source.h"

/* Of what is said to be a name, no more is repeated in a message. */
#define MAX_SHOWN	64

/* The columns that the rules know, by the names of the standard tables. */
static const SourceColumn standard_columns[] = {
	{TABLE_CAMPAIGNS, "id", COLUMN_CAMPAIGN_KEY, COLUMN_REQUIRED},
	{TABLE_CAMPAIGNS, "status", COLUMN_WORD, COLUMN_REQUIRED},
	{TABLE_CAMPAIGNS, "created_at", COLUMN_MOMENT, COLUMN_REQUIRED},
	{TABLE_CAMPAIGNS, "started_at", COLUMN_MOMENT, COLUMN_EXPECTED},
	{TABLE_CAMPAIGNS, "resumed_at", COLUMN_MOMENT, COLUMN_EXPECTED},
	{TABLE_CAMPAIGNS, "completed_at", COLUMN_MOMENT, COLUMN_EXPECTED},
	{TABLE_CAMPAIGNS, "updated_at", COLUMN_MOMENT},
	{TABLE_CAMPAIGNS, "total_recipients", COLUMN_COUNT, COLUMN_EXPECTED},
	{TABLE_CAMPAIGNS, "interaction_timeout", COLUMN_INTERVAL},
	{TABLE_CAMPAIGNS, "campaign_timeout", COLUMN_INTERVAL},
	{TABLE_CAMPAIGNS, "completion_rule", COLUMN_WORD},
	{TABLE_CAMPAIGNS, "sent_count", COLUMN_COUNT},
	{TABLE_CAMPAIGNS, "success_count", COLUMN_COUNT},
	{TABLE_CAMPAIGNS, "failed_count", COLUMN_COUNT},
	{TABLE_CAMPAIGNS, "delivered_count", COLUMN_COUNT},
	{TABLE_CAMPAIGNS, "read_count", COLUMN_COUNT},
	{TABLE_CAMPAIGNS, "no_interaction_count", COLUMN_COUNT},
	{TABLE_CAMPAIGNS, "pending_count", COLUMN_COUNT},
	{TABLE_CAMPAIGNS, "interaction_count", COLUMN_COUNT},
	{TABLE_MESSAGES, "id", COLUMN_KEY, COLUMN_REQUIRED},
	{TABLE_MESSAGES, "campaign_id", COLUMN_CAMPAIGN_KEY, COLUMN_REQUIRED},
	{TABLE_MESSAGES, "contact_id", COLUMN_KEY, COLUMN_REQUIRED},
	{TABLE_MESSAGES, "status", COLUMN_WORD, COLUMN_REQUIRED},
	{TABLE_MESSAGES, "message_type", COLUMN_WORD, COLUMN_EXPECTED},
	{TABLE_MESSAGES, "error_message", COLUMN_TEXT},
	{TABLE_MESSAGES, "sent_at", COLUMN_MOMENT, COLUMN_EXPECTED},
	{TABLE_MESSAGES, "delivered_at", COLUMN_MOMENT},
	{TABLE_MESSAGES, "read_at", COLUMN_MOMENT},
	{TABLE_MESSAGES, "created_at", COLUMN_MOMENT, COLUMN_EXPECTED},
	{TABLE_MESSAGES, "updated_at", COLUMN_MOMENT},
	{TABLE_INTERACTIONS, "campaign_id", COLUMN_CAMPAIGN_KEY, COLUMN_EXPECTED},
	{TABLE_INTERACTIONS, "contact_id", COLUMN_KEY, COLUMN_REQUIRED},
	{TABLE_INTERACTIONS, "interaction_type", COLUMN_WORD, COLUMN_EXPECTED},
	{TABLE_INTERACTIONS, "received_at", COLUMN_MOMENT},
	{TABLE_CONTACTS, "id", COLUMN_KEY, COLUMN_REQUIRED},
	{TABLE_CONTACTS, "full_number", COLUMN_TEXT},
	{TABLE_CONTACTS, "first_name", COLUMN_TEXT},
	{TABLE_CONTACTS, "last_name", COLUMN_TEXT}
};

/* Columns of which no two may be the same, as one statement writes them. */
static const char *const written_columns[] = {
	"status", "completed_at", "updated_at", "error_message", "sent_count",
	"success_count", "failed_count", "delivered_count", "read_count",
	"no_interaction_count", "pending_count", "interaction_count"
};

/* The words that the rules know.  Without a word that is needed, something
 * could not be written, or nothing ever be judged. */
static const struct
{
	const char *group;
	const char *word;
	bool		needed;
}			standard_labels[NUM_SOURCE_LABELS] = {
	{"campaigns", "sending", true},
	{"campaigns", "completed", true},
	{"campaigns", "failed", true},
	{"messages", "pending"},
	{"messages", "sent", true},
	{"messages", "delivered"},
	{"messages", "read"},
	{"messages", "failed", true},
	{"messages", "no_interaction"},
	{"messages", "ignored"},
	{"message_types", "message_1", true},
	{"message_types", "message_2"},
	{"interactions", "reply"},
	{"interactions", "reaction"}
};

static const char *const label_groups[] = {
	"campaigns", "messages", "message_types", "interactions"
};

/* The standard names of the tables, by SourceTable */
const char *const cac_table_names[NUM_SOURCE_TABLES] = {
	"campaigns", "messages", "interactions", "contacts"
};

/* ----------------------------------------------------------------
 *		JSON
 * ----------------------------------------------------------------
 */

/* What a JSON object says of a key. */
typedef enum Given
{
	GIVEN_NOT,
	GIVEN_NULL,
	GIVEN_VALUE
} Given;

static Given
find_value(JsonbContainer *object, const char *key, JsonbValue *value)
{
	JsonbValue	key_value;
	JsonbValue *found;

	key_value.type = jbvString;
	key_value.val.string.val = unconstify(char *, key);
	key_value.val.string.len = strlen(key);
	if (object == NULL || !JsonContainerIsObject(object))
		return GIVEN_NOT;
	found = findJsonbValueFromContainer(object, JB_FOBJECT, &key_value);
	if (found == NULL)
		return GIVEN_NOT;
	*value = *found;
	return found->type == jbvNull ? GIVEN_NULL : GIVEN_VALUE;
}

/*
 * The object under a key of an object; NULL if there is none.
 */
static JsonbContainer *
find_object(const Jsonb *json, const char *key)
{
	JsonbValue	value;

	if (find_value(&unconstify(Jsonb *, json)->root, key, &value) != GIVEN_VALUE ||
		value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
		return NULL;
	return value.val.binary.data;
}

static char *
string_value(const JsonbValue *value)
{
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/*
 * The keys of an object, as C strings.
 */
static List *
object_keys(JsonbContainer *object)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbValue	value;
	JsonbIteratorToken token;
	List	   *keys = NIL;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
		if (token == WJB_KEY)
			keys = lappend(keys, string_value(&value));
	return keys;
}

/*
 * The nearest of some names to a word, by the distance of Levenshtein; NULL if
 * none is near.  A name that contains the word, or is contained in it, is.
 */
static const char *
nearest(const char *word, const char *const *names, int count)
{
	const char *best = NULL;
	int			len = pg_mbcliplen(word, strlen(word), MAX_SHOWN);
	int			best_distance = len / 3 + 2;

	for (int i = 0; i < count; i++)
	{
		int			distance;

		if (strlen(names[i]) > MAX_SHOWN)
			continue;
		if (strlen(names[i]) > 2 && len > 2 &&
			(strstr(names[i], word) != NULL || strstr(word, names[i]) != NULL))
			distance = 1;
		else
			distance = varstr_levenshtein(word, len, names[i], strlen(names[i]),
										  1, 1, 1, true);
		if (distance < best_distance)
		{
			best = names[i];
			best_distance = distance;
		}
	}
	return best;
}

static char *
quoted_list(const char *const *names, int count)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < count; i++)
		appendStringInfo(&list, "%s\"%s\"", i > 0 ? ", " : "", names[i]);
	return list.data;
}

static char *
as_json(const char *text)
{
	StringInfoData json;

	initStringInfo(&json);
	escape_json(&json, text);
	return json.data;
}

/*
 * Find fault with the keys of an object that are none of those known.
 */
static void
check_keys(Source *source, const char *check, const char *what,
		   JsonbContainer *object, const char *const *known, int count)
{
	ListCell   *lc;
	List	   *keys = object_keys(object);

	foreach(lc, keys)
	{
		const char *key = lfirst(lc);
		const char *near = nearest(key, known, count);
		bool		found = false;

		for (int i = 0; i < count; i++)
			found |= strcmp(known[i], key) == 0;
		if (!found)
			cac_source_set_fault(source, check, ERRCODE_INVALID_PARAMETER_VALUE,
								 psprintf("%s has no key \"%s\"", what,
										  pnstrdup(key, pg_mbcliplen(key, strlen(key), MAX_SHOWN))),
								 near ? psprintf("Perhaps you mean \"%s\".", near) :
								 psprintf("Its keys are %s.", quoted_list(known, count)));
	}
}

/*
 * Find fault with the outer form of "columns" or "labels": an object of
 * objects, with these keys.
 */
static void
check_groups(Source *source, const char *name, const Jsonb *json,
			 const char *const *groups, int count)
{
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(json))
	{
		cac_source_set_fault(source, name, ERRCODE_INVALID_PARAMETER_VALUE,
							 psprintf("\"%s\" is not a JSON object", name),
							 psprintf("Its keys are %s.", quoted_list(groups, count)));
		return;
	}
	check_keys(source, name, psprintf("\"%s\"", name),
			   &unconstify(Jsonb *, json)->root, groups, count);
	for (int i = 0; i < count; i++)
		if (find_value(&unconstify(Jsonb *, json)->root, groups[i], &value) != GIVEN_NOT &&
			find_object(json, groups[i]) == NULL)
			cac_source_set_fault(source, name, ERRCODE_INVALID_PARAMETER_VALUE,
								 psprintf("\"%s\" of \"%s\" is not a JSON object",
										  groups[i], name),
								 "Pass an object, {} if there is nothing to say.");
}

/* ----------------------------------------------------------------
 *		Columns
 * ----------------------------------------------------------------
 */

/*
 * What "columns" says of a standard column; *name is the table's own name of
 * it, palloc'd.
 */
static Given
given_column(const Jsonb *columns, SourceTable table,
			 const char *standard_name, char **name)
{
	JsonbValue	value;
	Given		given = find_value(find_object(columns, cac_table_names[table]),
								   standard_name, &value);

	*name = NULL;
	if (given == GIVEN_VALUE && value.type == jbvString)
		*name = string_value(&value);
	return given;
}

/*
 * The names of a table's columns.
 */
static int
column_names(Oid relid, const char *names[MaxAttrNumber])
{
	int			count = 0;
	char	   *name;

	for (AttrNumber attno = 1; (name = get_attname(relid, attno, true)) != NULL; attno++)
		if (OidIsValid(get_atttype(relid, attno)))	/* or else dropped */
			names[count++] = name;
	return count;
}

/*
 * Can a column of this type hold what the standard column holds?
 */
static bool
type_fits(ColumnKind kind, Oid type)
{
	Oid			base = getBaseType(type);

	switch (kind)
	{
		case COLUMN_CAMPAIGN_KEY:
			return base == UUIDOID || base == INT8OID || base == INT4OID;
		case COLUMN_KEY:
			return cac_keys_comparable(base, base);
		case COLUMN_WORD:
			return TypeCategory(base) == TYPCATEGORY_STRING || type_is_enum(base);
		case COLUMN_TEXT:
			return TypeCategory(base) == TYPCATEGORY_STRING;
		case COLUMN_MOMENT:
			return base == TIMESTAMPTZOID || base == TIMESTAMPOID;
		case COLUMN_INTERVAL:
			return base == INTERVALOID;
		case COLUMN_COUNT:
			return base == INT2OID || base == INT4OID || base == INT8OID;
	}
	return false;				/* keep the compiler quiet */
}

static const char *
fitting_types(ColumnKind kind)
{
	switch (kind)
	{
		case COLUMN_CAMPAIGN_KEY:
			return "uuid, bigint or integer";
		case COLUMN_KEY:
			return "a type with a default btree operator class";
		case COLUMN_WORD:
			return "text, varchar, an enum, or a domain over one of these";
		case COLUMN_TEXT:
			return "text or varchar";
		case COLUMN_MOMENT:
			return "timestamptz, or timestamp with the source's \"time_zone\" set";
		case COLUMN_INTERVAL:
			return "interval";
		case COLUMN_COUNT:
			return "smallint, integer or bigint";
	}
	return NULL;				/* keep the compiler quiet */
}

/*
 * Find fault with a column whose type does not fit.
 */
static void
check_column_type(Source *source, const SourceColumn *column)
{
	const char *table = source->table[column->table];

	if (!type_fits(column->kind, column->type))
		cac_source_set_fault(source, "columns", ERRCODE_DATATYPE_MISMATCH,
				  psprintf("column \"%s\" of table %s of source \"%s\" has type %s, which does not fit",
						   column->name, table, source->name,
						   format_type_be(column->type)),
				  psprintf("Its type must be %s%s.", fitting_types(column->kind),
						   column->need == COLUMN_REQUIRED ? "" :
						   psprintf("; or do without it, by {\"%s\": {\"%s\": null}} in \"columns\"",
									cac_table_names[column->table], column->standard_name)));
	else if (column->kind == COLUMN_MOMENT && source->time_zone == NULL &&
			 getBaseType(column->type) == TIMESTAMPOID)
		cac_source_set_fault(source, "time_zone", ERRCODE_DATATYPE_MISMATCH,
				  psprintf("column \"%s\" of table %s of source \"%s\" has no time zone",
						   column->name, table, source->name),
				  psprintf("Name its zone: campaign_alter(%s, 'time_zone', 'UTC').",
						   quote_literal_cstr(source->name)));
}

/*
 * Find fault with a column that is not there.
 */
static void
miss_column(Source *source, const SourceColumn *column, const char *name)
{
	const char **names = palloc(MaxAttrNumber * sizeof(char *));
	int			count = column_names(source->relid[column->table], names);
	const char *near = nearest(name, names, count);

	cac_source_set_fault(source, "columns", ERRCODE_UNDEFINED_COLUMN,
			  psprintf("column \"%s\" of table %s of source \"%s\" does not exist",
					   name, source->table[column->table], source->name),
			  near ? psprintf("Perhaps it is column \"%s\"; then \"columns\" must say so: {\"%s\": {\"%s\": %s}}.",
							  near, cac_table_names[column->table],
							  column->standard_name, as_json(near)) :
			  "Give the column its name back, or say what it is called in \"columns\".");
}

/*
 * Is a column needed that "columns" does not mention?
 */
static bool
needed(const Source *source, const SourceColumn *column)
{
	char	   *name;

	if (!JB_ROOT_IS_OBJECT(source->columns))
		return column->need == COLUMN_REQUIRED;
	if (column->need != COLUMN_OPTIONAL)
		return true;
	/* an interaction without a campaign is told by when it came */
	return column->table == TABLE_INTERACTIONS &&
		strcmp(column->standard_name, "received_at") == 0 &&
		given_column(source->columns, TABLE_INTERACTIONS, "campaign_id", &name) == GIVEN_NULL;
}

/*
 * Find out which column of its table a standard column is.
 */
static void
load_column(Source *source, SourceColumn *column)
{
	char	   *name;
	Given		given = given_column(source->columns, column->table,
									 column->standard_name, &name);
	AttrNumber	attno;

	if (given == GIVEN_NULL)
	{
		if (column->need == COLUMN_REQUIRED ||
			(column->need == COLUMN_OPTIONAL && needed(source, column)))
			cac_source_set_fault(source, "columns", ERRCODE_UNDEFINED_COLUMN,
								 psprintf("source \"%s\" cannot do without the column \"%s\" of its %s",
										  source->name, column->standard_name,
										  cac_table_names[column->table]),
								 "Say what the table calls it in \"columns\".");
		return;
	}
	if (given == GIVEN_VALUE && name == NULL)
	{
		cac_source_set_fault(source, "columns", ERRCODE_INVALID_PARAMETER_VALUE,
							 psprintf("\"%s\" of \"%s\" of \"columns\" is not the name of a column",
									  column->standard_name, cac_table_names[column->table]),
							 "Pass a string, or null where the table has no such column.");
		return;
	}
	if (name == NULL)
		name = pstrdup(column->standard_name);
	attno = get_attnum(source->relid[column->table], name);
	if (attno > 0)
	{
		column->name = name;
		column->type = get_atttype(source->relid[column->table], attno);
		check_column_type(source, column);
	}
	else if (given == GIVEN_VALUE || needed(source, column))
		miss_column(source, column, name);
}

/*
 * cac_column_written
 *		Is it a column that we write?
 */
bool
cac_column_written(const SourceColumn *column)
{
	if (column->table != TABLE_CAMPAIGNS && column->table != TABLE_MESSAGES)
		return false;
	for (int i = 0; i < lengthof(written_columns); i++)
		if (strcmp(written_columns[i], column->standard_name) == 0)
			return true;
	return false;
}

/*
 * Find fault with a column that would be written twice by one statement, or that
 * is written as one thing and read as another.
 */
static void
check_column_once(Source *source, const SourceColumn *column)
{
	for (const SourceColumn *other = source->column; other < column; other++)
		if (other->table == column->table && other->name != NULL &&
			strcmp(other->name, column->name) == 0 &&
			(cac_column_written(other) || cac_column_written(column)))
			cac_source_set_fault(source, "columns", ERRCODE_DUPLICATE_COLUMN,
								 psprintf("column \"%s\" of table %s of source \"%s\" is both \"%s\" and \"%s\"",
										  column->name, source->table[column->table],
										  source->name, other->standard_name,
										  column->standard_name),
								 "Pass null in \"columns\" for one of the two.");
}

/*
 * Find fault with keys that "columns" should not have.
 */
static void
check_columns(Source *source)
{
	check_groups(source, "columns", source->columns, cac_table_names, NUM_SOURCE_TABLES);
	for (int table = 0; table < NUM_SOURCE_TABLES; table++)
	{
		JsonbContainer *given = JB_ROOT_IS_OBJECT(source->columns) ?
			find_object(source->columns, cac_table_names[table]) : NULL;
		const char *known[lengthof(standard_columns)];
		int			count = 0;

		for (int i = 0; i < lengthof(standard_columns); i++)
			if (standard_columns[i].table == table)
				known[count++] = standard_columns[i].standard_name;
		if (given != NULL)
			check_keys(source, "columns",
					   psprintf("\"%s\" of \"columns\"", cac_table_names[table]),
					   given, known, count);
	}
}

/*
 * Find out which of the standard columns the tables have.
 */
void
cac_load_columns(Source *source)
{
	check_columns(source);
	source->ncolumns = lengthof(standard_columns);
	for (int i = 0; i < source->ncolumns; i++)
	{
		SourceColumn *column = &source->column[i];

		*column = standard_columns[i];
		if (source->table[column->table] != NULL)
			load_column(source, column);
		if (column->name != NULL)
			check_column_once(source, column);
	}
	if (source->ignores_late &&
		cac_source_column(source, TABLE_INTERACTIONS, "received_at")->name == NULL)
		cac_source_set_fault(source, "columns", ERRCODE_UNDEFINED_COLUMN,
							 psprintf("the interactions of source \"%s\" do not tell any more when they came in",
									  source->name),
							 psprintf("Bring back interactions.received_at, or do without: campaign_alter(%s, 'late_interactions', 'accept').",
									  quote_literal_cstr(source->name)));
	if (source->blackout_after >= 0 && !cac_tells_of_signs(source))
		cac_source_set_fault(source, "columns", ERRCODE_UNDEFINED_COLUMN,
							 psprintf("the tables of source \"%s\" do not tell any more when something came in",
									  source->name),
							 psprintf("Bring back one of interactions.received_at, messages.delivered_at, read_at and updated_at, or do without: campaign_alter(%s, 'blackout_after', NULL).",
									  quote_literal_cstr(source->name)));
}

/*
 * cac_absent_columns
 *		The columns that a source is expected to have, but whose table has them
 *		not and of which "columns" says nothing, as a JSON object with a null for
 *		each; NULL if there are none.
 */
char *
cac_absent_columns(const Oid relid[NUM_SOURCE_TABLES], const Jsonb *columns,
				   SourceTable table)
{
	StringInfoData json;

	initStringInfo(&json);
	for (int i = 0; i < lengthof(standard_columns); i++)
	{
		const SourceColumn *column = &standard_columns[i];
		char	   *name;

		if (column->table == table && column->need == COLUMN_EXPECTED &&
			given_column(columns, table, column->standard_name, &name) == GIVEN_NOT &&
			get_attnum(relid[table], column->standard_name) == InvalidAttrNumber)
			appendStringInfo(&json, "%s\"%s\": null", json.len > 0 ? ", " : "",
							 column->standard_name);
	}
	return json.len > 0 ? psprintf("{%s}", json.data) : NULL;
}

/*
 * One standard column as this source has it.
 */
const SourceColumn *
cac_source_column(const Source *source, SourceTable table,
				  const char *standard_name)
{
	for (int i = 0; i < source->ncolumns; i++)
	{
		const SourceColumn *column = &source->column[i];

		if (column->table == table &&
			strcmp(column->standard_name, standard_name) == 0)
			return column;
	}
	elog(ERROR, "unknown standard column \"%s\"", standard_name);
}

/*
 * cac_tells_of_signs
 *		Have the tables a column that tells when something came in from outside?
 */
bool
cac_tells_of_signs(const Source *source)
{
	static const char *const columns[] = {"delivered_at", "read_at", "updated_at"};

	if (cac_source_column(source, TABLE_INTERACTIONS, "received_at")->name != NULL)
		return true;
	for (int i = 0; i < lengthof(columns); i++)
		if (cac_source_column(source, TABLE_MESSAGES, columns[i])->name != NULL)
			return true;
	return false;
}

/* ----------------------------------------------------------------
 *		Labels
 * ----------------------------------------------------------------
 */

/*
 * Find fault with keys that "labels" should not have.
 */
static void
check_labels(Source *source)
{
	check_groups(source, "labels", source->labels, label_groups, lengthof(label_groups));
	for (int group = 0; group < lengthof(label_groups); group++)
	{
		JsonbContainer *given = JB_ROOT_IS_OBJECT(source->labels) ?
			find_object(source->labels, label_groups[group]) : NULL;
		const char *known[NUM_SOURCE_LABELS];
		int			count = 0;

		for (int i = 0; i < NUM_SOURCE_LABELS; i++)
			if (strcmp(standard_labels[i].group, label_groups[group]) == 0)
				known[count++] = standard_labels[i].word;
		if (given != NULL)
			check_keys(source, "labels",
					   psprintf("\"%s\" of \"labels\"", label_groups[group]),
					   given, known, count);
	}
}

static void
add_word(SourceLabel *label, char *word)
{
	label->words = label->words == NULL ? palloc(sizeof(char *)) :
		repalloc(label->words, (label->count + 1) * sizeof(char *));
	label->words[label->count++] = word;
}

/*
 * Take the words of a label from JSON: a string, or an array of them.  False
 * where it is something else.
 */
static bool
load_words(SourceLabel *label, const JsonbValue *value)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	element;

	if (value->type == jbvString)
	{
		add_word(label, string_value(value));
		return true;
	}
	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		return false;
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (element.type != jbvString)
			return false;
		add_word(label, string_value(&element));
	}
	return true;
}

/*
 * Find fault with a word that stands for two standard ones.
 */
static void
check_overlap(Source *source, const SourceLabel *label)
{
	for (const SourceLabel *other = source->label; other < label; other++)
	{
		if (strcmp(other->group, label->group) != 0)
			continue;
		for (int i = 0; i < label->count; i++)
		{
			CHECK_FOR_INTERRUPTS();
			for (int j = 0; j < other->count; j++)
				if (strcmp(label->words[i], other->words[j]) == 0)
					cac_source_set_fault(source, "labels", ERRCODE_INVALID_PARAMETER_VALUE,
										 psprintf("the word \"%s\" stands for both \"%s\" and \"%s\" of \"%s\"",
												  label->words[i], other->standard_name,
												  label->standard_name, label->group),
										 "Give one of the two other words in \"labels\"; null where there is none.");
		}
	}
}

static void
load_label(Source *source, SourceLabel *label, bool is_needed)
{
	JsonbValue	value;
	Given		given = find_value(find_object(source->labels, label->group),
								   label->standard_name, &value);

	if (given == GIVEN_NOT && strcmp(label->standard_name, "ignored") != 0)
		add_word(label, pstrdup(label->standard_name));
	if (given == GIVEN_VALUE && !load_words(label, &value))
		cac_source_set_fault(source, "labels", ERRCODE_INVALID_PARAMETER_VALUE,
							 psprintf("\"%s\" of \"%s\" of \"labels\" is neither a word nor an array of words",
									  label->standard_name, label->group),
							 "Pass a string, an array of strings, or null where there is no such word.");
	else if (is_needed && label->count == 0)
		cac_source_set_fault(source, "labels", ERRCODE_INVALID_PARAMETER_VALUE,
							 psprintf("source \"%s\" cannot do without a word for \"%s\" of \"%s\"",
									  source->name, label->standard_name, label->group),
							 "Give the application's word for it in \"labels\".");
}

void
cac_load_labels(Source *source)
{
	check_labels(source);
	for (int i = 0; i < NUM_SOURCE_LABELS; i++)
	{
		SourceLabel *label = &source->label[i];

		label->group = standard_labels[i].group;
		label->standard_name = standard_labels[i].word;
		load_label(source, label, standard_labels[i].needed);
		check_overlap(source, label);
	}
}

/*
 * The application's words for one standard word.
 */
const SourceLabel *
cac_source_label(const Source *source, const char *group,
				 const char *standard_name)
{
	for (int i = 0; i < NUM_SOURCE_LABELS; i++)
	{
		const SourceLabel *label = &source->label[i];

		if (strcmp(label->group, group) == 0 &&
			strcmp(label->standard_name, standard_name) == 0)
			return label;
	}
	elog(ERROR, "unknown standard word \"%s\" of %s", standard_name, group);
}
