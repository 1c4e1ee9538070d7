/*
 * table_triggers.c
 *		What triggers and rules there are on a source's tables: ours, which tells
 *		of changes, and the application's, which may do anything.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "source.h"

/*
 * Note which triggers and rules there are on a table that we write.
 */
static void
load_triggers(Source *source, SourceTable table)
{
	Relation	rel = try_relation_open(source->relid[table], AccessShareLock);

	if (rel == NULL)
		return;
	if (rel->rd_rules != NULL)
		source->plain = false;
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &rel->trigdesc->triggers[i];

		if (table == TABLE_MESSAGES && strcmp(trigger->tgname, HINT_TRIGGER) == 0)
			source->hinted = (trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN ||
							  trigger->tgenabled == TRIGGER_FIRES_ALWAYS) &&
				cac_source_words_plain(source, "status") &&
				cac_source_words_plain(source, "message_type");
		else if (!trigger->tgisinternal)
			source->plain = false;
	}
	relation_close(rel, AccessShareLock);
}

/*
 * Not part of load_source(), as it locks the tables: the trigger, which needs
 * to know a source too, must not wait for anything.
 */
static void
know_triggers(Source *source)
{
	if (source->triggers_known)
		return;
	source->plain = true;
	load_triggers(source, TABLE_CAMPAIGNS);
	load_triggers(source, TABLE_MESSAGES);
	source->triggers_known = true;
}

/*
 * cac_source_words_plain
 *		Can the trigger read the words of this column of messages?  They must be
 *		those of an enum, or equal if and only if their characters are.
 */
bool
cac_source_words_plain(const Source *source, const char *standard_name)
{
	const SourceColumn *column = cac_source_column(source, TABLE_MESSAGES,
												   standard_name);
	Oid			relid = source->relid[TABLE_MESSAGES];
	Oid			base;
	Oid			type;
	int32		typmod;
	Oid			collation;

	if (column->name == NULL)
		return true;
	base = getBaseType(column->type);
	if (get_typtype(base) == TYPTYPE_ENUM)
		return true;
	if (base != TEXTOID && base != VARCHAROID && base != BPCHAROID)
		return false;
	get_atttypetypmodcoll(relid, get_attnum(relid, column->name),
						  &type, &typmod, &collation);
	return get_collation_isdeterministic(collation);
}

/*
 * Does our trigger tell of changes?
 */
bool
cac_source_hinted(const Source *source)
{
	know_triggers(unconstify(Source *, source));
	return source->hinted;
}

/*
 * Are there no triggers or rules of the application's that could raise an
 * error when we write?
 */
bool
cac_source_plain(const Source *source)
{
	know_triggers(unconstify(Source *, source));
	return source->plain;
}
