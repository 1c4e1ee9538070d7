/*
 * views.c
 *		What can be done with an application's table that is a view.
 *
 * A row of a view has no place (ctid) and cannot be locked itself.  Of a view
 * that PostgreSQL can update by itself, a row lock reaches the row of the table
 * behind.  Of any other one (updated by INSTEAD OF triggers) it would lock every
 * row of every table that it reads, where it does not raise an error because of
 * a GROUP BY, DISTINCT, UNION or outer join: it is done without.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "nodes/parsenodes.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "views.h"

bool
cac_is_view(Oid relid)
{
	return get_rel_relkind(relid) == RELKIND_VIEW;
}

/*
 * cac_rows_can_be_locked
 *		Does SELECT ... FOR NO KEY UPDATE lock one row for each row of a table,
 *		or of the table behind a view?
 */
bool
cac_rows_can_be_locked(Oid relid)
{
	Relation	view;
	Query	   *query;
	bool		result = false;

	if (!cac_is_view(relid))
		return true;
	view = table_open(relid, AccessShareLock);
	query = get_view_query(view);
	if (view_query_is_auto_updatable(query, false) == NULL)
	{
		/* it reads one table, or another view */
		RangeTblRef *base = linitial_node(RangeTblRef, query->jointree->fromlist);

		result = cac_rows_can_be_locked(rt_fetch(base->rtindex, query->rtable)->relid);
	}
	table_close(view, NoLock);
	return result;
}
