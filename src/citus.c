/*
 * citus.c
 *		Sources whose tables Citus distributes over several servers.
 *
 * Whatever is done to a campaign names its key, so that it goes to one shard,
 * if campaigns, messages and interactions are distributed by that key and
 * co-located (or are in one distributed schema), and contacts is a reference
 * table.  Tables that are distributed otherwise are a fault of the source.
 *
 * What is different with such a source, wherever source->distributed is asked:
 *
 * - its messages have no trigger, as Citus knows none on distributed tables:
 *	 what ends a campaign is found by the sweeps;
 * - campaigns do not share a transaction, so that each is one of one shard, and
 *	 not of all nodes;
 * - statements are not planned once for many campaigns, as Citus can plan most
 *	 of them only for a key that it knows;
 * - an interaction always tells its campaign, which is never NULL.
 *
 * The extension works on the coordinator.  Citus is known by its extension's
 * name and its catalogs alone.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "citus.h"

/* Where the rows of a table are. */
typedef enum Distribution
{
	DISTRIBUTED_NOT,			/* here, as ever */
	DISTRIBUTED_REFERENCE,		/* all of them on every node */
	DISTRIBUTED_SCHEMA,			/* all of them in one shard, as its schema is */
	DISTRIBUTED_HASH,			/* by the hash of a column */
	DISTRIBUTED_OTHERWISE		/* by range, or as they came in */
} Distribution;

typedef struct Placement
{
	Distribution how;
	bool		below;			/* not the table itself, but one that it shows */
	int64		group;			/* tables of the same one are co-located */
	char	   *column;			/* DISTRIBUTED_HASH */
} Placement;

/* The columns that must distribute the tables; contacts has none. */
static const char *const key_columns[NUM_SOURCE_TABLES] = {
	"id", "campaign_id", "campaign_id", NULL
};

static bool
citus_exists(void)
{
	return OidIsValid(get_extension_oid("citus", true));
}

static Distribution
distribution(const char *method, const char *replication, int64 group)
{
	if (method[0] == 'h')
		return DISTRIBUTED_HASH;
	if (method[0] != 'n')
		return DISTRIBUTED_OTHERWISE;
	if (replication[0] == 't')
		return DISTRIBUTED_REFERENCE;
	return group != 0 ? DISTRIBUTED_SCHEMA : DISTRIBUTED_NOT;
}

/*
 * Read where the tables are; of a view, where a distributed table is that it
 * shows.
 */
static void
read_placements(const Source *source, Placement placement[NUM_SOURCE_TABLES])
{
	static CatalogQuery query = CATALOG_QUERY(
		"WITH RECURSIVE below AS ("
		"  SELECT t.n, t.relid, false AS below FROM unnest($1) WITH ORDINALITY AS t(relid, n)"
		" UNION"
		"  SELECT below.n, d.refobjid, true"
		"  FROM below JOIN pg_class AS v ON v.oid = below.relid AND v.relkind = 'v'"
		"  JOIN pg_rewrite AS r ON r.ev_class = v.oid"
		"  JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid"
		"   AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid)"
		" SELECT below.n, below.below, p.partmethod, p.repmodel, p.colocationid::bigint,"
		" column_to_column_name(p.logicalrelid, p.partkey)"
		" FROM below JOIN pg_dist_partition AS p ON p.logicalrelid = below.relid");
	CatalogArguments arguments = {0};
	Datum		relids[NUM_SOURCE_TABLES];
	uint64		rows;

	for (int i = 0; i < NUM_SOURCE_TABLES; i++)
		relids[i] = ObjectIdGetDatum(source->relid[i]);
	cac_add_datum(&arguments, OIDARRAYOID,
				  PointerGetDatum(construct_array(relids, NUM_SOURCE_TABLES, OIDOID,
												  sizeof(Oid), true, TYPALIGN_INT)), false);
	rows = cac_catalog_execute(&query, &arguments);
	for (uint64 i = 0; i < rows; i++)
	{
		Placement  *one = &placement[cac_row_count(i, 1) - 1];

		one->below = cac_row_bool(i, 2);
		one->group = cac_row_count(i, 5);
		one->how = distribution(cac_row_text(i, 3), cac_row_text(i, 4), one->group);
		one->column = cac_row_text(i, 6);
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * cac_on_worker_node
 *		Is this database on one of the nodes that have the shards, and not on the
 *		coordinator?  SPI must be connected.
 */
bool
cac_on_worker_node(void)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT FROM pg_dist_local_group WHERE groupid <> 0");
	CatalogArguments arguments = {0};
	bool		result;

	if (!citus_exists())
		return false;
	result = cac_catalog_execute(&query, &arguments) > 0;
	SPI_freetuptable(SPI_tuptable);
	return result;
}

/* ----------------------------------------------------------------
 *		Is each table where it must be?
 * ----------------------------------------------------------------
 */

static void
note_fault(Source *source, char *message, const char *fix)
{
	cac_source_set_fault(source, "distribution", ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						 message, fix);
}

/* What the table calls the column that must distribute it */
static const char *
key_column(const Source *source, SourceTable table)
{
	return cac_source_column(source, table, key_columns[table])->name;
}

static bool
distributed_by_key(const Source *source, SourceTable table, const Placement *one)
{
	const char *column = key_column(source, table);

	return one->how == DISTRIBUTED_HASH && column != NULL && one->column != NULL &&
		strcmp(one->column, column) == 0;
}

/*
 * The SQL that distributes a table by its campaign's key, next to "beside"
 * (TABLE_CONTACTS: to no table in particular).
 */
static char *
distribute(const Source *source, SourceTable table, const Placement *one,
		   SourceTable beside)
{
	const char *name = quote_literal_cstr(source->table[table]);
	const char *column = key_column(source, table);
	const char *with = beside == TABLE_CONTACTS ? "" :
		psprintf(", colocate_with => %s", quote_literal_cstr(source->table[beside]));

	if (column == NULL)
		return pstrdup("Have it as a reference table of Citus, or with a column of its campaign.");
	column = quote_literal_cstr(column);
	switch (one->how)
	{
		case DISTRIBUTED_NOT:
			return psprintf("SELECT create_distributed_table(%s, %s%s);", name, column, with);
		case DISTRIBUTED_HASH:
			return psprintf("SELECT alter_distributed_table(%s, distribution_column => %s%s, cascade_to_colocated => false);",
							name, column, with);
		case DISTRIBUTED_REFERENCE:
		case DISTRIBUTED_OTHERWISE:
			return psprintf("SELECT undistribute_table(%s); SELECT create_distributed_table(%s, %s%s);",
							name, name, column, with);
		case DISTRIBUTED_SCHEMA:
			break;
	}
	return psprintf("Move it out of its distributed schema with ALTER TABLE %s SET SCHEMA, then: SELECT create_distributed_table(..., %s%s);",
					source->table[table], column, with);
}

/*
 * What is wrong with where a table is, by itself; NULL: nothing.  "other" is one
 * that is distributed.
 */
static char *
misplaced(const Source *source, SourceTable table, const Placement *one,
		  SourceTable other)
{
	switch (one->how)
	{
		case DISTRIBUTED_NOT:
			return psprintf("%s is not distributed by Citus, and %s is",
							source->table[table], source->table[other]);
		case DISTRIBUTED_REFERENCE:
			return table == TABLE_INTERACTIONS ? NULL :
				psprintf("%s is a reference table of Citus", source->table[table]);
		case DISTRIBUTED_OTHERWISE:
			return psprintf("Citus does not distribute %s by a hash", source->table[table]);
		case DISTRIBUTED_HASH:
			if (one->below || distributed_by_key(source, table, one))
				return NULL;
			return psprintf("Citus distributes %s by \"%s\", and not by the key of its campaign",
							source->table[table], one->column);
		case DISTRIBUTED_SCHEMA:
			return NULL;
	}
	return NULL;				/* keep the compiler quiet */
}

/*
 * One of the tables that belong to a campaign: campaigns, messages,
 * interactions.
 */
static void
check_table(Source *source, SourceTable table, const Placement *placement,
			SourceTable other)
{
	const Placement *one = &placement[table];
	const Placement *campaigns = &placement[TABLE_CAMPAIGNS];
	bool		campaigns_fit = campaigns->how == DISTRIBUTED_SCHEMA ||
		distributed_by_key(source, TABLE_CAMPAIGNS, campaigns);
	SourceTable beside = TABLE_CAMPAIGNS;
	char	   *wrong = misplaced(source, table, one, other);

	if (one->below && table != TABLE_INTERACTIONS)
	{
		note_fault(source, psprintf("%s is a view of a table that Citus distributes, and cannot be updated",
									source->table[table]),
				   "Attach the table itself.");
		return;
	}
	if (table == TABLE_CAMPAIGNS)
		beside = distributed_by_key(source, TABLE_MESSAGES, &placement[TABLE_MESSAGES]) ?
			TABLE_MESSAGES : TABLE_CONTACTS;
	if (wrong == NULL && campaigns_fit && one->how != DISTRIBUTED_REFERENCE &&
		one->group != campaigns->group)
		wrong = psprintf("%s is not co-located with %s",
						 source->table[table], source->table[TABLE_CAMPAIGNS]);
	if (wrong == NULL)
		return;
	note_fault(source, wrong,
			   campaigns->how == DISTRIBUTED_SCHEMA ?
			   psprintf("%sALTER TABLE %s SET SCHEMA %s;",
						one->how == DISTRIBUTED_NOT || one->how == DISTRIBUTED_SCHEMA ? "" :
						psprintf("SELECT undistribute_table(%s); ", quote_literal_cstr(source->table[table])),
						source->table[table],
						quote_identifier(get_namespace_name(get_rel_namespace(source->relid[TABLE_CAMPAIGNS])))) :
			   distribute(source, table, one, beside));
}

/*
 * The contacts, who belong to no campaign.
 */
static void
check_contacts(Source *source, const Placement *placement)
{
	const Placement *one = &placement[TABLE_CONTACTS];
	const char *table = source->table[TABLE_CONTACTS];

	if (table == NULL || one->how == DISTRIBUTED_REFERENCE ||
		(one->how == DISTRIBUTED_SCHEMA && one->group == placement[TABLE_CAMPAIGNS].group))
		return;
	note_fault(source, psprintf("%s is not a reference table of Citus", table),
			   psprintf("%sSELECT create_reference_table(%s);",
						one->how == DISTRIBUTED_NOT ? "" :
						psprintf("SELECT undistribute_table(%s); ", quote_literal_cstr(table)),
						quote_literal_cstr(table)));
}

/*
 * Is one of the tables distributed?  "first" becomes the first that is.
 * Interactions that every node has can go with tables that are here.
 */
static bool
any_distributed(const Placement placement[NUM_SOURCE_TABLES], SourceTable *first)
{
	for (int i = TABLE_CAMPAIGNS; i <= TABLE_INTERACTIONS; i++)
	{
		if (placement[i].how == DISTRIBUTED_NOT ||
			(i == TABLE_INTERACTIONS && placement[i].how == DISTRIBUTED_REFERENCE))
			continue;
		*first = i;
		return true;
	}
	return false;
}

/*
 * cac_load_distribution
 *		Note whether Citus distributes a source's tables, and what is wrong with
 *		how it does.
 *
 * Part of loading the source: its columns are known, and what is allocated
 * lives as long as it does.  SPI must be connected.
 */
void
cac_load_distribution(Source *source)
{
	Placement	placement[NUM_SOURCE_TABLES] = {0};
	SourceTable other = TABLE_CAMPAIGNS;

	if (source->table[TABLE_CAMPAIGNS] == NULL ||
		source->table[TABLE_MESSAGES] == NULL || !citus_exists())
		return;
	read_placements(source, placement);
	if (!any_distributed(placement, &other))
		return;
	source->distributed = true;
	source->interactions_keyed = placement[TABLE_INTERACTIONS].how == DISTRIBUTED_HASH;
	if (cac_on_worker_node())
	{
		note_fault(source, psprintf("source \"%s\" is on a worker node of Citus", source->name),
				   "Attach the tables on the coordinator.");
		return;
	}
	for (int i = TABLE_CAMPAIGNS; i <= TABLE_INTERACTIONS; i++)
		if (source->table[i] != NULL)
			check_table(source, i, placement, other);
	check_contacts(source, placement);
}

/*
 * cac_reaches_nodes
 *		Does Citus reach the other nodes on behalf of the source's owner?  It logs
 *		in there as whoever executes a statement.
 *
 * SPI must be connected.
 */
bool
cac_reaches_nodes(const Source *source)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT FROM pg_dist_node AS n, pg_dist_local_group AS g"
		" WHERE n.groupid <> g.groupid AND n.isactive LIMIT 1");
	CatalogArguments arguments = {0};
	HeapTuple	tuple;
	bool		may_log_in;
	bool		others;

	if (!source->distributed)
		return true;
	others = cac_catalog_execute(&query, &arguments) > 0;
	SPI_freetuptable(SPI_tuptable);
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(source->owner));
	if (!HeapTupleIsValid(tuple))
		return false;
	may_log_in = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	return may_log_in || !others;
}
