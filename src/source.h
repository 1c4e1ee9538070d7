/*
 * source.h
 *		A source: one set of application tables attached to the extension.
 */
#ifndef CAC_SOURCE_H
#define CAC_SOURCE_H

#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "catalog.h"
#include "partitions.h"
#include "rules.h"

/* The trigger on a source's messages that tells of changes */
#define HINT_TRIGGER		"campaign_autoclose"

/* The longest that an interval may be, in microseconds, 100 years: longer than
 * anything meant, short enough for sums not to overflow. */
#define CAC_MAX_INTERVAL	(INT64CONST(36525) * USECS_PER_DAY)

/* The application's tables, in the order of campaign_source's columns. */
typedef enum SourceTable
{
	TABLE_CAMPAIGNS,
	TABLE_MESSAGES,
	TABLE_INTERACTIONS,
	TABLE_CONTACTS
} SourceTable;

#define NUM_SOURCE_TABLES	(TABLE_CONTACTS + 1)

/* What a standard column holds. */
typedef enum ColumnKind
{
	COLUMN_CAMPAIGN_KEY,		/* uuid, bigint or integer */
	COLUMN_KEY,					/* anything that can be compared */
	COLUMN_WORD,				/* a status or type: text, varchar, an enum */
	COLUMN_TEXT,
	COLUMN_MOMENT,				/* timestamptz; or timestamp, with a time_zone */
	COLUMN_INTERVAL,
	COLUMN_COUNT				/* smallint, integer or bigint */
} ColumnKind;

/*
 * Must a table have a standard column?  What a rule needs is expected, so that
 * a column renamed by mistake is an error and not another verdict; a source that
 * was attached without one says so in its row.  The others are used if they
 * are there.
 */
typedef enum ColumnNeed
{
	COLUMN_OPTIONAL,
	COLUMN_EXPECTED,
	COLUMN_REQUIRED
} ColumnNeed;

/* A standard column, as one table of a source has it. */
typedef struct SourceColumn
{
	SourceTable table;
	const char *standard_name;
	ColumnKind	kind;
	ColumnNeed	need;
	char	   *name;			/* NULL: the table has no such column */
	Oid			type;
} SourceColumn;

/* Something that is wrong with a source, so that nothing can be done with it. */
typedef struct SourceFault
{
	const char *check;			/* what was checked, a word */
	int			code;			/* SQLSTATE */
	char	   *message;
	char	   *hint;
} SourceFault;

/*
 * The application's words for one standard word, found by its group
 * ("campaigns", "messages", "message_types" or "interactions") and its name.
 */
typedef struct SourceLabel
{
	const char *group;
	const char *standard_name;
	int			count;
	char	  **words;			/* the first is the one that is written */
} SourceLabel;

#define MAX_SOURCE_COLUMNS	48
#define NUM_SOURCE_LABELS	14
/* How many statements statements.c keeps plans of. */
#define MAX_STATEMENTS		32

typedef enum SourceMode
{
	MODE_ACTIVE,
	MODE_SHADOW,
	MODE_PAUSED
} SourceMode;

/*
 * A source as this backend knows it: its row of campaign_source, what the
 * system catalogs say of its tables, and the plans of the statements on them.
 *
 * It lives in a memory context of its own below CacheMemoryContext, until a
 * table or the row changes.  cac_source_open() notices and builds it anew; the
 * old one is freed, plans and all, when the transaction ends, so a pointer to
 * it is good until then and no longer.
 */
typedef struct Source
{
	char	   *name;
	Oid			owner;			/* of its tables; InvalidOid: all are gone */
	Oid			relid[NUM_SOURCE_TABLES];	/* InvalidOid: has none */
	char	   *table[NUM_SOURCE_TABLES];	/* qualified and quoted */
	SourceColumn column[MAX_SOURCE_COLUMNS];
	int			ncolumns;
	SourceLabel label[NUM_SOURCE_LABELS];

	CampaignPolicy policy;
	int64		every[NUM_SWEEP_KINDS]; /* microseconds; -1: off */
	int64		history_keep;
	int64		check_delay;
	int64		blackout_after; /* -1: off */
	bool		ignores_late;	/* replies after interaction_timeout */
	char	   *interaction_message;	/* NULL: the default */
	char	   *timeout_message;	/* likewise */
	char	   *time_zone;		/* of timestamps that have none; NULL: unknown */
	char	   *search_path;
	char	   *on_event;		/* NULL: none */
	int			batch_size;
	bool		log_messages;

	SourceMode	mode;
	bool		armed;			/* in this very database */

	/* see citus.c */
	bool		distributed;	/* are its tables in shards? */
	bool		interactions_keyed; /* by their campaign, which is never NULL */

	/* why nothing can be done with it; fault_code 0: nothing is wrong */
	int			fault_code;		/* SQLSTATE */
	char	   *fault;
	char	   *fault_hint;
	List	   *faults;			/* of SourceFault: all of it, the above first */

	/* private to source.c, table_triggers.c and statements.c */
	MemoryContext context;
	bool		stale;
	bool		triggers_known; /* are the next three filled in? */
	bool		hinted;
	bool		plain;
	TablePartitions partitions[NUM_SOURCE_TABLES];
	bool		subpartitioned; /* set with the first plan */
	bool		renamed;		/* some table is not called as when attached */
	uint32		type_hash[2 * MAX_SOURCE_COLUMNS];	/* of columns' types */
	int			ntypes;
	char	   *attached_name[NUM_SOURCE_TABLES];
	Jsonb	   *columns;		/* as in campaign_source */
	Jsonb	   *labels;
	SPIPlanPtr	plan[MAX_STATEMENTS];
} Source;

extern uint64 cac_source_changes;

extern Source *cac_source_open(const char *name);
extern void cac_source_recheck(void);
extern Source *cac_source_find(const char *name);
extern bool cac_source_heeds_hints(const Source *source);
extern char *cac_source_choose(const char *name);
extern List *cac_source_list(bool only_own);
extern bool cac_source_acts(const Source *source);
extern bool cac_source_marks(const Source *source);
extern void cac_source_check(const Source *source);
extern void cac_source_confirm(const Source *source);
extern void cac_source_set_fault(Source *source, const char *check, int code,
								 char *message, const char *hint);

/* rights.c */
extern void cac_source_enter(const Source *source, bool as_owner,
							 SavedIdentity *saved);
extern void cac_source_enter_to_read(const Source *source, SavedIdentity *saved);
extern bool cac_source_has_rights(const Source *source, bool writing);
extern bool cac_source_may_read(const Source *source, SourceTable table);
extern bool cac_source_harmless(const Source *source, bool writing);
extern void cac_source_check_rights(const Source *source, bool writing);

/* mapping.c */
extern const char *const cac_table_names[NUM_SOURCE_TABLES];
extern void cac_load_columns(Source *source);
extern void cac_load_labels(Source *source);
extern bool cac_column_written(const SourceColumn *column);
extern char *cac_absent_columns(const Oid relid[NUM_SOURCE_TABLES],
								const Jsonb *columns, SourceTable table);
extern const SourceColumn *cac_source_column(const Source *source,
											 SourceTable table,
											 const char *standard_name);
extern const SourceLabel *cac_source_label(const Source *source,
										   const char *group,
										   const char *standard_name);
extern bool cac_tells_of_signs(const Source *source);
extern int64 cac_interval_usec(const Interval *interval);
extern char *cac_interval_text(int64 usec);
extern char *cac_interaction_message(const Source *source,
									 const CampaignPolicy *policy);
extern char *cac_timeout_message(const Source *source,
								 const CampaignPolicy *policy);

#endif							/* CAC_SOURCE_H */
