/*
 * triggers.c
 *		The row trigger on a source's messages: it notes the campaigns that a
 *		transaction may have completed, reopened, or changed the statistics of.
 *
 * The trigger is in the application's way with every message it writes.  So
 * what it needs to know of a table is read once, and forgotten when the table
 * or any source changes; the rest looks at two or three columns of the row, and
 * notes the campaign (notes.c).  A WHEN clause would cost more than it saves.
 *
 * It never raises because of our own state: where the source is unknown,
 * detached, paused, held, or belongs to another database that this one was
 * copied from, it does nothing.  It sees no TRUNCATE, no change of a status
 * made by a BEFORE trigger, and nothing in a session whose
 * session_replication_role is "replica", such as a subscription's: who replays
 * changes does not expect to start anything by it, and may say ALTER TABLE ...
 * ENABLE ALWAYS TRIGGER if he does.  The sweeps find what it does not see.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

#include "compat.h"
#include "hints.h"
#include "notes.h"
#include "source.h"
#include "table_triggers.h"

/* Of how many tables something is kept, before what is outdated is thrown away:
 * tables and partitions come and go, and a session may last for months. */
#define MANY_TABLES		64

/* What a message is to the rules. */
typedef enum MessageState
{
	MESSAGE_ABSENT,				/* there is none, or it is in no tally */
	MESSAGE_PENDING,
	MESSAGE_UNMAPPED,			/* counts as pending */
	MESSAGE_SENT,
	MESSAGE_DELIVERED,
	MESSAGE_READ,
	MESSAGE_FAILED,
	MESSAGE_NO_INTERACTION
} MessageState;

typedef enum MessageType
{
	MESSAGE_TYPE_OTHER,			/* in no tally */
	MESSAGE_TYPE_1,
	MESSAGE_TYPE_2
} MessageType;

/* A word of the application's, and what it stands for. */
typedef struct NoteWord
{
	const char *text;
	int			len;
	Oid			value;			/* of an enum */
	int			meaning;		/* a MessageState or MessageType */
} NoteWord;

/* A column that holds such words. */
typedef struct WordColumn
{
	AttrNumber	attno;			/* 0: there is none, all mean "otherwise" */
	bool		is_enum;		/* or else text, varchar or character */
	bool		is_padded;		/* character */
	int			otherwise;		/* the meaning of any other value */
	int			nwords;
	NoteWord   *words;
} WordColumn;

/* A table that has the trigger, as this backend knows it. */
typedef struct NotedTable
{
	Oid			relid;			/* hash key */
	Oid			trigger;
	uint64		learnt_at;		/* good while this is count_changes() */
	MemoryContext context;		/* of the words */
	bool		heeded;			/* anything below is of use */

	Oid			campaigns;		/* the source's */
	int64		check_delay;
	bool		none_pending_completes; /* perhaps: rule "messages" */
	AttrNumber	campaign_attno;
	Oid			campaign_type;
	WordColumn	status;
	WordColumn	type;
} NotedTable;

static HTAB *noted_tables = NULL;
static NotedTable *latest_table = NULL;

/* Counts what may have changed what is known of the tables, besides a source. */
static uint64 other_changes = 1;

/* Was a table read under a snapshot that the next transaction will not have? */
static bool learnt_from_old_snapshot = false;

PG_FUNCTION_INFO_V1(campaign_note_message);

/* ----------------------------------------------------------------
 *		What is known of a table
 * ----------------------------------------------------------------
 */

/*
 * What a table was learnt as is good while this is what it was: no source, nor
 * any of its tables, nor an enum, nor the extension has changed.  (A partition's columns stay
 * where they are, and it is detached from a table of the source's.)
 */
static uint64
count_changes(void)
{
	return cac_source_changes + cac_extension_changes + other_changes;
}

/*
 * What was read under a snapshot of its own by a transaction is read again by
 * the next.
 */
static void
forget_old_snapshot(XactEvent event, void *arg)
{
	if (learnt_from_old_snapshot &&
		(event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE ||
		 event == XACT_EVENT_ABORT))
	{
		other_changes++;
		learnt_from_old_snapshot = false;
	}
}

static void
start_noting(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(NotedTable);
	control.hcxt = CacheMemoryContext;
	noted_tables = hash_create("campaign_autoclose noted tables", 16, &control,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	RegisterXactCallback(forget_old_snapshot, NULL);
}

/*
 * Make room for one more table.
 */
static void
forget_outdated_tables(void)
{
	HASH_SEQ_STATUS status;
	NotedTable *table;

	if (hash_get_num_entries(noted_tables) < MANY_TABLES)
		return;
	latest_table = NULL;
	hash_seq_init(&status, noted_tables);
	while ((table = hash_seq_search(&status)) != NULL)
	{
		if (table->learnt_at == count_changes())
			continue;
		if (table->context != NULL)
			MemoryContextDelete(table->context);
		hash_search(noted_tables, &table->relid, HASH_REMOVE, NULL);
	}
}

static void
add_words(NotedTable *table, WordColumn *column, Oid type,
		  const SourceLabel *label, int meaning)
{
	MemoryContext old = MemoryContextSwitchTo(table->context);

	if (column->words == NULL)
		column->words = palloc(sizeof(NoteWord));
	column->words = repalloc(column->words,
							 (column->nwords + label->count + 1) * sizeof(NoteWord));
	for (int i = 0; i < label->count; i++)
	{
		NoteWord   *word = &column->words[column->nwords++];

		word->text = pstrdup(label->words[i]);
		word->len = column->is_padded ?
			bpchartruelen(unconstify(char *, word->text), strlen(word->text)) :
			strlen(word->text);
		word->meaning = meaning;
		word->value = !column->is_enum || word->len >= NAMEDATALEN ? InvalidOid :
			GetSysCacheOid2(ENUMTYPOIDNAME, Anum_pg_enum_oid,
							ObjectIdGetDatum(type), CStringGetDatum(word->text));
	}
	MemoryContextSwitchTo(old);
}

/*
 * A column of words by its standard name, still without any.  False where it is
 * of a type that we cannot read.
 */
static bool
find_word_column(NotedTable *table, const Source *source,
				 const char *standard_name, WordColumn *column, Oid *type)
{
	const char *name = cac_source_column(source, TABLE_MESSAGES, standard_name)->name;

	memset(column, 0, sizeof(*column));
	*type = InvalidOid;
	if (name == NULL)
		return true;
	column->attno = get_attnum(table->relid, name);
	if (column->attno <= 0)
		return false;
	*type = getBaseType(get_atttype(table->relid, column->attno));
	column->is_enum = get_typtype(*type) == TYPTYPE_ENUM;
	column->is_padded = *type == BPCHAROID;
	return cac_source_words_plain(source, standard_name);
}

static bool
learn_status(NotedTable *table, const Source *source)
{
	static const struct
	{
		const char *standard_word;
		MessageState meaning;
	}			words[] = {
		/* in the order in which they are looked for, the frequent ones first */
		{"sent", MESSAGE_SENT},
		{"delivered", MESSAGE_DELIVERED},
		{"read", MESSAGE_READ},
		{"pending", MESSAGE_PENDING},
		{"failed", MESSAGE_FAILED},
		{"no_interaction", MESSAGE_NO_INTERACTION},
		{"ignored", MESSAGE_ABSENT}
	};
	Oid			type;

	if (!find_word_column(table, source, "status", &table->status, &type))
		return false;
	table->status.otherwise = MESSAGE_UNMAPPED;
	for (int i = 0; i < lengthof(words); i++)
		add_words(table, &table->status, type,
				  cac_source_label(source, "messages", words[i].standard_word),
				  words[i].meaning);
	return true;
}

static bool
learn_type(NotedTable *table, const Source *source)
{
	Oid			type;

	if (!find_word_column(table, source, "message_type", &table->type, &type))
		return false;
	if (table->type.attno == 0)
	{
		table->type.otherwise = MESSAGE_TYPE_1;
		return true;
	}
	table->type.otherwise = MESSAGE_TYPE_OTHER;
	add_words(table, &table->type, type,
			  cac_source_label(source, "message_types", "message_1"), MESSAGE_TYPE_1);
	add_words(table, &table->type, type,
			  cac_source_label(source, "message_types", "message_2"), MESSAGE_TYPE_2);
	return true;
}

static bool
learn_key(NotedTable *table, const Source *source)
{
	const char *name = cac_source_column(source, TABLE_MESSAGES, "campaign_id")->name;

	if (name == NULL)
		return false;
	table->campaign_attno = get_attnum(table->relid, name);
	if (table->campaign_attno <= 0)
		return false;
	table->campaign_type = getBaseType(get_atttype(table->relid, table->campaign_attno));
	return table->campaign_type == UUIDOID || table->campaign_type == INT8OID ||
		table->campaign_type == INT4OID || table->campaign_type == INT2OID;
}

/*
 * Is the trigger where this source has one: on its messages, or a partition?
 * Anybody may make a trigger that names somebody else's source.
 */
static bool
has_messages(Oid relid, const Source *source)
{
	return relid == source->relid[TABLE_MESSAGES] ||
		(get_rel_relispartition(relid) &&
		 list_member_oid(get_partition_ancestors(relid),
						 source->relid[TABLE_MESSAGES]));
}

/*
 * Fill in what there is to know of a table, in the light of its source.
 */
static void
learn_source(NotedTable *table, const Source *source)
{
	table->campaigns = source->relid[TABLE_CAMPAIGNS];
	if (!cac_source_heeds_hints(source) || !has_messages(table->relid, source))
		return;
	table->check_delay = source->check_delay;
	table->none_pending_completes =
		source->policy.completion_rule == COMPLETION_MESSAGES ||
		cac_source_column(source, TABLE_CAMPAIGNS, "completion_rule")->name != NULL;
	table->heeded = learn_key(table, source) && learn_status(table, source) &&
		learn_type(table, source);
}

/*
 * Read what there is to know of a table.  This is done as a superuser, as
 * whoever writes messages may be allowed no more than that; nothing but fixed
 * queries and lookups by name is done.
 */
static void
learn_table(NotedTable *table, const Trigger *trigger)
{
	uint64		as_of = count_changes();
	SavedIdentity saved;
	Source	   *source;

	table->trigger = trigger->tgoid;
	table->heeded = false;
	MemoryContextReset(table->context);

	if (trigger->tgnargs == 1 && cac_hints_ready() && cac_extension_exists())
	{
		/* the application's write must not wait, nor meet a deadlock, for us */
		if (!cac_catalog_lock_nowait())
		{
			table->learnt_at = 0;	/* try again at the next row */
			return;
		}
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		cac_enter(BOOTSTRAP_SUPERUSERID,
				  SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION,
				  "pg_catalog, pg_temp", &saved);
		source = cac_source_find(trigger->tgargs[0]);
		if (source != NULL)
			learn_source(table, source);
		cac_leave(&saved);
		SPI_finish();
		learnt_from_old_snapshot |= IsolationUsesXactSnapshot();
	}
	/* what has changed meanwhile makes it read again */
	table->learnt_at = as_of;
}

/*
 * The table that the trigger is on.
 */
static const NotedTable *
noted_table(const TriggerData *fired)
{
	Oid			relid = RelationGetRelid(fired->tg_relation);
	NotedTable *table = latest_table;

	if (table == NULL || table->relid != relid)
	{
		if (noted_tables == NULL)
			start_noting();
		table = hash_search(noted_tables, &relid, HASH_FIND, NULL);
		if (table == NULL)
		{
			forget_outdated_tables();
			table = hash_search(noted_tables, &relid, HASH_ENTER, NULL);
			table->learnt_at = 0;
			table->context = NULL;
		}
		if (table->context == NULL)
			table->context = AllocSetContextCreate(CacheMemoryContext,
												   "campaign_autoclose noted table",
												   ALLOCSET_SMALL_SIZES);
		latest_table = table;
	}
	if (table->learnt_at != count_changes() || table->trigger != fired->tg_trigger->tgoid)
		learn_table(table, fired->tg_trigger);
	return table;
}

/* ----------------------------------------------------------------
 *		One row
 * ----------------------------------------------------------------
 */

/*
 * What a column of words means.  A short text is looked at where it is.
 */
static int
meaning(const WordColumn *column, TupleTableSlot *slot)
{
	bool		isnull = true;
	Datum		value = (Datum) 0;
	struct varlena *packed;
	char	   *text;
	int			len;

	if (column->attno != 0)
		value = slot_getattr(slot, column->attno, &isnull);
	if (isnull)
		return column->otherwise;
	if (column->is_enum)
	{
		for (int i = 0; i < column->nwords; i++)
			if (column->words[i].value == DatumGetObjectId(value))
				return column->words[i].meaning;
		return column->otherwise;
	}

	packed = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));
	text = VARDATA_ANY(packed);
	len = VARSIZE_ANY_EXHDR(packed);
	if (column->is_padded)
		len = bpchartruelen(text, len);
	for (int i = 0; i < column->nwords; i++)
		if (column->words[i].len == len && memcmp(column->words[i].text, text, len) == 0)
			return column->words[i].meaning;
	return column->otherwise;
}

static bool
is_waiting(MessageState state)
{
	return state == MESSAGE_PENDING || state == MESSAGE_UNMAPPED;
}

static bool
is_in_flight(MessageState state)
{
	return state == MESSAGE_SENT || state == MESSAGE_DELIVERED || state == MESSAGE_READ;
}

/*
 * May a message expire now that would not have, or sooner?  A Message 1 that
 * begins to wait for an answer may have been sent long ago; a contact whose
 * Message 2 is gone is as silent as before; and the whole campaign may be gone,
 * and its key be used again.
 */
static bool
expiry_comes_nearer(MessageType type, MessageState before, MessageState after)
{
	return after == MESSAGE_ABSENT ||
		(type == MESSAGE_TYPE_1 && is_in_flight(after) && !is_in_flight(before));
}

/*
 * What it may mean to a campaign that one of its messages, of type 1 or 2,
 * went from one state to another: flags of a hint.
 */
static int
hint_flags(MessageType type, MessageState before, MessageState after,
		   bool none_pending_completes)
{
	bool		check;

	if (before == after)
		return 0;
	if (is_waiting(after))		/* it may have to be reopened */
		check = !is_waiting(before);
	else if (after == MESSAGE_ABSENT)
		check = is_waiting(before) ||
			(type == MESSAGE_TYPE_1 && is_in_flight(before));
	else if (none_pending_completes && (is_waiting(before) || before == MESSAGE_ABSENT))
		check = true;
	else						/* does it end its contact's cycle? */
		check = type == MESSAGE_TYPE_2 || !is_in_flight(after);
	return HINT_CHANGED | (check ? HINT_CHECK : 0) |
		(expiry_comes_nearer(type, before, after) ? HINT_EXPIRY : 0);
}

/*
 * The campaign of a message, as the key of a hint; false if it has none.
 */
static bool
campaign_key(const NotedTable *table, TupleTableSlot *slot, HintKey *key)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, table->campaign_attno, &isnull);
	int64		number;

	if (isnull)
		return false;
	memset(key, 0, sizeof(*key));
	key->dboid = MyDatabaseId;
	key->campaigns = table->campaigns;
	if (table->campaign_type == UUIDOID)
	{
		memcpy(key->key, DatumGetUUIDP(value)->data, sizeof(key->key));
		return true;
	}
	number = table->campaign_type == INT8OID ? DatumGetInt64(value) :
		table->campaign_type == INT4OID ? DatumGetInt32(value) : DatumGetInt16(value);
	memcpy(key->key, &number, sizeof(number));
	return true;
}

static void
note_row(const NotedTable *table, const TriggerData *fired)
{
	TupleTableSlot *slot = fired->tg_trigslot;
	MessageState before = MESSAGE_ABSENT;
	MessageState after = MESSAGE_ABSENT;
	MessageType type;
	HintKey		key;
	int			flags;

	if (TRIGGER_FIRED_BY_INSERT(fired->tg_event))
		after = meaning(&table->status, slot);
	else
		before = meaning(&table->status, slot);
	if (TRIGGER_FIRED_BY_UPDATE(fired->tg_event))
	{
		slot = fired->tg_newslot;
		after = meaning(&table->status, slot);
	}
	if (before == after)
		return;

	type = meaning(&table->type, slot);
	if (type == MESSAGE_TYPE_OTHER)
		return;
	flags = hint_flags(type, before, after, table->none_pending_completes);
	if (campaign_key(table, slot, &key))
		cac_note_campaign(&key, flags, table->check_delay);
}

/*
 * campaign_note_message('source') -> trigger
 *
 * Fired after each row that is inserted, deleted or given a status.
 */
Datum
campaign_note_message(PG_FUNCTION_ARGS)
{
	const TriggerData *fired = (const TriggerData *) fcinfo->context;
	const NotedTable *table;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(fired->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(fired->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called by a trigger AFTER ... FOR EACH ROW",
						"campaign_note_message"),
				 errhint("Attaching a source's tables makes that trigger.")));

	if (!cac_notes_muted)
	{
		table = noted_table(fired);
		if (table->heeded)
			note_row(table, fired);
	}
	return PointerGetDatum(NULL);
}
