/*
 * table_triggers.c
 *		What triggers and rules there are on a source's tables: ours, which tells
 *		of changes, and the application's, which may do anything; making and
 *		dropping ours.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"

#include "compat.h"
#include "hints.h"
#include "table_triggers.h"

/* ----------------------------------------------------------------
 *		What there is
 * ----------------------------------------------------------------
 */

/*
 * The trigger that tells of a source's changes, on its messages; NULL if there
 * is none.  Its owner may have given it another name.
 */
static const Trigger *
find_message_trigger(const Source *source, Relation messages)
{
	Oid			function = cac_trigger_function();

	for (int i = 0; messages->trigdesc != NULL && i < messages->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &messages->trigdesc->triggers[i];

		if (trigger->tgfoid == function && trigger->tgnargs == 1 &&
			strcmp(trigger->tgargs[0], source->name) == 0)
			return trigger;
	}
	return NULL;
}

/*
 * cac_message_trigger
 *		Its name, palloc'd; NULL if there is none.
 */
char *
cac_message_trigger(const Source *source)
{
	Relation	rel = try_relation_open(source->relid[TABLE_MESSAGES], AccessShareLock);
	const Trigger *trigger;
	char	   *name;

	if (rel == NULL)
		return NULL;
	trigger = find_message_trigger(source, rel);
	name = trigger ? pstrdup(trigger->tgname) : NULL;
	relation_close(rel, AccessShareLock);
	return name;
}

/*
 * Note which triggers and rules there are on a table that we write.
 */
static void
load_triggers(Source *source, SourceTable table)
{
	Relation	rel = try_relation_open(source->relid[table], AccessShareLock);
	const Trigger *ours;

	if (rel == NULL)
		return;
	ours = table == TABLE_MESSAGES ? find_message_trigger(source, rel) : NULL;
	if (rel->rd_rules != NULL)
		source->plain = false;
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		if (ours != NULL && trigger == ours)
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
 * Likewise of its partitions, which fire theirs.
 */
static void
load_partition_triggers(Source *source, SourceTable table)
{
	TablePartitions partitions;
	MemoryContext old;

	if (get_rel_name(source->relid[table]) == NULL || !has_subclass(source->relid[table]))
		return;
	old = MemoryContextSwitchTo(source->context);
	cac_read_partitions(source->relid[table], &partitions);
	MemoryContextSwitchTo(old);
	source->partitions[table] = partitions;
	source->plain &= partitions.plain;
	if (table == TABLE_MESSAGES)
		source->hinted &= partitions.hinted;
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
	load_partition_triggers(source, TABLE_CAMPAIGNS);
	load_partition_triggers(source, TABLE_MESSAGES);
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

/* ----------------------------------------------------------------
 *		Making and dropping ours
 * ----------------------------------------------------------------
 */

static void
execute(const char *statement)
{
	int			code = SPI_execute(statement, false, 0);

	if (code < 0)
		elog(ERROR, "could not execute \"%s\": %s", statement,
			 SPI_result_code_string(code));
}

/*
 * cac_create_message_trigger
 *		Put the trigger on a source's messages, as the current user.
 *
 * SPI must be connected.  On a view, or anything else that is not a table, and
 * on a table that Citus distributes, there is none: its changes are found by the
 * sweeps.
 *
 *	CREATE TRIGGER campaign_autoclose
 *	AFTER INSERT OR DELETE OR UPDATE OF <status> ON <messages>
 *	FOR EACH ROW EXECUTE FUNCTION <schema>.campaign_note_message('<source>')
 */
void
cac_create_message_trigger(const Source *source)
{
	Oid			relid = source->relid[TABLE_MESSAGES];
	const char *table = source->table[TABLE_MESSAGES];
	const char *status = cac_source_column(source, TABLE_MESSAGES, "status")->name;
	char		relkind = get_rel_relkind(relid);

	if (status == NULL || source->distributed ||
		(relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE))
		return;
	execute(psprintf("CREATE TRIGGER " HINT_TRIGGER
					 " AFTER INSERT OR DELETE OR UPDATE OF %s ON %s"
					 " FOR EACH ROW EXECUTE FUNCTION %s(%s)",
					 quote_identifier(status), table,
					 cac_catalog_text(TRIGGER_FUNCTION),
					 quote_literal_cstr(source->name)));
	execute(psprintf("ALTER TRIGGER " HINT_TRIGGER " ON %s"
					 " DEPENDS ON EXTENSION campaign_autoclose", table));
}

static bool
is_of_source(const HintKey *key, void *arg)
{
	return key->dboid == MyDatabaseId && key->campaigns == *(Oid *) arg;
}

/*
 * cac_ensure_message_trigger
 *		Put the trigger on a source's messages if it is not there any more:
 *		somebody may have had to drop it, to alter the type of the status.
 */
void
cac_ensure_message_trigger(const Source *source)
{
	if (source->table[TABLE_MESSAGES] != NULL &&
		cac_message_trigger(source) == NULL)
		cac_create_message_trigger(source);
}

static void
drop_trigger(const Source *source)
{
	char	   *name = cac_message_trigger(source);

	if (name != NULL)
		execute(psprintf("DROP TRIGGER %s ON %s", quote_identifier(name),
						 source->table[TABLE_MESSAGES]));
}

/*
 * cac_renew_message_trigger
 *		Make the trigger anew, for a source whose columns are others now.
 */
void
cac_renew_message_trigger(const Source *source)
{
	drop_trigger(source);
	cac_create_message_trigger(source);
}

/*
 * cac_drop_message_trigger
 *		Take the trigger off a source's messages, if it is there, and drop what
 *		it has hinted at.
 *
 * SPI must be connected.  Whoever writes messages holds a lock that DROP
 * TRIGGER waits for, and publishes before giving it up: so no hint comes late.
 */
void
cac_drop_message_trigger(const Source *source)
{
	Oid			campaigns = source->relid[TABLE_CAMPAIGNS];

	drop_trigger(source);
	cac_hints_drop(is_of_source, &campaigns);
}
