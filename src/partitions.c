/*
 * partitions.c
 *		The partitions of an application's table, where they differ from it.
 *
 * What is done to the rows of a partitioned table fires the row triggers of the
 * partition.  Those have clones of the table's own triggers, which may be
 * disabled one by one, and may have others besides.  The children of a table
 * that is inherited from have no clones.
 *
 * No partition is locked, so that nobody is waited for: the catalogs alone are
 * read.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/varlena.h"

#include "catalog.h"
#include "compat.h"
#include "partitions.h"

/* The table $1 and all below it; our trigger there, which calls the function $2,
 * and does it have a row trigger of another kind? */
#define TABLE_AND_PARTITIONS \
	"WITH RECURSIVE part AS (" \
	" SELECT $1 AS relid UNION SELECT i.inhrelid" \
	" FROM part JOIN pg_catalog.pg_inherits AS i ON i.inhparent = part.relid)," \
	" told AS (SELECT relid, t.tgname, t.tgenabled IN ('O', 'A') AS hinted," \
	"  EXISTS (SELECT FROM pg_catalog.pg_trigger AS u WHERE u.tgrelid = relid" \
	"   AND u.tgfoid <> $2 AND NOT u.tgisinternal AND u.tgtype & 1 <> 0) AS fires" \
	"  FROM part LEFT JOIN pg_catalog.pg_trigger AS t" \
	"  ON t.tgrelid = relid AND t.tgfoid = $2) "

/*
 * cac_trigger_function
 *		What our triggers call.
 */
Oid
cac_trigger_function(void)
{
	return LookupFuncName(CAC_QUALIFIED_NAMES(cac_catalog_text(TRIGGER_FUNCTION)),
						  0, NULL, true);
}

/*
 * cac_read_partitions
 *		The partitions of a table, at all levels; the array is palloc'd.
 *
 * SPI must be connected.
 */
void
cac_read_partitions(Oid relid, TablePartitions *partitions)
{
	static CatalogQuery query = CATALOG_QUERY(TABLE_AND_PARTITIONS
		"SELECT relid::pg_catalog.int8, hinted, fires FROM told WHERE relid <> $1 ORDER BY 1");
	CatalogArguments arguments = {0};

	cac_add_oid(&arguments, relid);
	cac_add_oid(&arguments, cac_trigger_function());
	partitions->count = cac_catalog_execute(&query, &arguments);
	partitions->relid = palloc(Max(partitions->count, 1) * sizeof(Oid));
	partitions->hinted = partitions->plain = true;
	for (int i = 0; i < partitions->count; i++)
	{
		partitions->relid[i] = (Oid) cac_row_count(i, 1);
		partitions->hinted &= cac_row_bool(i, 2);
		partitions->plain &= !cac_row_bool(i, 3);
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * cac_is_partition
 *		Is it one of these?  Safe in an invalidation callback.
 */
bool
cac_is_partition(const TablePartitions *partitions, Oid relid)
{
	return partitions->count > 0 &&
		bsearch(&relid, partitions->relid, partitions->count, sizeof(Oid), oid_cmp) != NULL;
}

/*
 * cac_has_subpartitions
 *		Is it a partitioned table of which a partition is partitioned too?
 */
bool
cac_has_subpartitions(Oid relid)
{
	ListCell   *lc;

	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
		return false;
	foreach(lc, find_inheritance_children(relid, NoLock))
	{
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_PARTITIONED_TABLE)
			return true;
	}
	return false;
}

/*
 * cac_is_one_table
 *		Is it a table, and none that others inherit from?
 */
bool
cac_is_one_table(Oid relid)
{
	return get_rel_relkind(relid) == RELKIND_RELATION && !has_subclass(relid);
}

/*
 * cac_find_unhinted
 *		The qualified name, palloc'd, of a table, or else of its first partition,
 *		of whose changes no trigger of ours tells; NULL where there is none.
 *
 * *trigger is the one that is there, which is disabled, palloc'd; NULL: there is
 * none.  SPI must be connected.
 */
char *
cac_find_unhinted(Oid relid, char **trigger)
{
	static CatalogQuery query = CATALOG_QUERY(TABLE_AND_PARTITIONS
		"SELECT pg_catalog.format('%I.%I', nspname, relname), tgname FROM told"
		" JOIN pg_catalog.pg_class AS c ON c.oid = relid"
		" JOIN pg_catalog.pg_namespace AS n ON n.oid = relnamespace"
		" WHERE hinted IS NOT TRUE ORDER BY relid <> $1, 1 LIMIT 1");
	CatalogArguments arguments = {0};
	char	   *name = NULL;

	cac_add_oid(&arguments, relid);
	cac_add_oid(&arguments, cac_trigger_function());
	if (cac_catalog_execute(&query, &arguments) > 0)
	{
		name = cac_row_text(0, 1);
		*trigger = cac_row_text(0, 2);
	}
	SPI_freetuptable(SPI_tuptable);
	return name;
}
