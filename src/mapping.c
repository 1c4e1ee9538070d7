/*
 * mapping.c
 *		What a source's tables call the columns and words of the rules.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "source.h"

/*
 * The columns that the rules know, by the names of the standard tables.  What
 * a rule needs is required, so that a column renamed by mistake is an error
 * and not another verdict; the others are done without.
 */
static const SourceColumn standard_columns[] = {
	{TABLE_CAMPAIGNS, "id", COLUMN_CAMPAIGN_KEY, true},
	{TABLE_CAMPAIGNS, "status", COLUMN_WORD, true},
	{TABLE_CAMPAIGNS, "created_at", COLUMN_MOMENT, true},
	{TABLE_CAMPAIGNS, "started_at", COLUMN_MOMENT, true},
	{TABLE_CAMPAIGNS, "resumed_at", COLUMN_MOMENT, true},
	{TABLE_CAMPAIGNS, "completed_at", COLUMN_MOMENT, true},
	{TABLE_CAMPAIGNS, "updated_at", COLUMN_MOMENT},
	{TABLE_CAMPAIGNS, "total_recipients", COLUMN_COUNT, true},
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
	{TABLE_MESSAGES, "id", COLUMN_KEY, true},
	{TABLE_MESSAGES, "campaign_id", COLUMN_CAMPAIGN_KEY, true},
	{TABLE_MESSAGES, "contact_id", COLUMN_KEY, true},
	{TABLE_MESSAGES, "status", COLUMN_WORD, true},
	{TABLE_MESSAGES, "message_type", COLUMN_WORD, true},
	{TABLE_MESSAGES, "error_message", COLUMN_TEXT},
	{TABLE_MESSAGES, "sent_at", COLUMN_MOMENT, true},
	{TABLE_MESSAGES, "created_at", COLUMN_MOMENT, true},
	{TABLE_MESSAGES, "updated_at", COLUMN_MOMENT},
	{TABLE_INTERACTIONS, "campaign_id", COLUMN_CAMPAIGN_KEY, true},
	{TABLE_INTERACTIONS, "contact_id", COLUMN_KEY, true},
	{TABLE_INTERACTIONS, "interaction_type", COLUMN_WORD, true},
	{TABLE_CONTACTS, "id", COLUMN_KEY, true},
	{TABLE_CONTACTS, "full_number", COLUMN_TEXT},
	{TABLE_CONTACTS, "first_name", COLUMN_TEXT},
	{TABLE_CONTACTS, "last_name", COLUMN_TEXT}
};

static const struct
{
	const char *group;
	const char *word;
}			standard_labels[NUM_SOURCE_LABELS] = {
	{"campaigns", "sending"},
	{"campaigns", "completed"},
	{"campaigns", "failed"},
	{"messages", "pending"},
	{"messages", "sent"},
	{"messages", "delivered"},
	{"messages", "read"},
	{"messages", "failed"},
	{"messages", "no_interaction"},
	{"messages", "ignored"},
	{"message_types", "message_1"},
	{"message_types", "message_2"},
	{"interactions", "reply"},
	{"interactions", "reaction"}
};

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
			return true;
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

/*
 * Find fault with a column whose type does not fit.
 */
static void
check_column_type(Source *source, const SourceColumn *column)
{
	const char *table = source->table[column->table];

	if (!type_fits(column->kind, column->type))
		cac_source_set_fault(source, ERRCODE_DATATYPE_MISMATCH,
				  psprintf("column \"%s\" of table %s of source \"%s\" has type %s, which does not fit",
						   column->name, table, source->name,
						   format_type_be(column->type)),
				  "Change the column's type, or forget the source with campaign_detach().");
	else if (column->kind == COLUMN_MOMENT && source->time_zone == NULL &&
			 getBaseType(column->type) == TIMESTAMPOID)
		cac_source_set_fault(source, ERRCODE_DATATYPE_MISMATCH,
				  psprintf("column \"%s\" of table %s of source \"%s\" has no time zone",
						   column->name, table, source->name),
				  psprintf("Name its zone: campaign_alter('%s', 'time_zone', 'UTC').",
						   source->name));
}

/*
 * Find out which of the standard columns the tables have.
 */
void
cac_load_columns(Source *source)
{
	source->ncolumns = lengthof(standard_columns);
	for (int i = 0; i < source->ncolumns; i++)
	{
		SourceColumn *column = &source->column[i];
		AttrNumber	attno;

		*column = standard_columns[i];
		if (source->table[column->table] == NULL)
			continue;
		attno = get_attnum(source->relid[column->table], column->standard_name);
		if (attno > 0)
		{
			column->name = pstrdup(column->standard_name);
			column->type = get_atttype(source->relid[column->table], attno);
			check_column_type(source, column);
		}
		else if (column->required)
			cac_source_set_fault(source, ERRCODE_UNDEFINED_COLUMN,
					  psprintf("column \"%s\" of table %s of source \"%s\" does not exist",
							   column->standard_name,
							   source->table[column->table], source->name),
					  "Give the column its name back, or forget the source with campaign_detach().");
	}
}

void
cac_load_labels(Source *source)
{
	for (int i = 0; i < NUM_SOURCE_LABELS; i++)
	{
		SourceLabel *label = &source->label[i];

		label->group = standard_labels[i].group;
		label->standard_name = standard_labels[i].word;
		if (strcmp(label->standard_name, "ignored") == 0)
			continue;
		label->count = 1;
		label->words = palloc(sizeof(char *));
		label->words[0] = pstrdup(label->standard_name);
	}
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
