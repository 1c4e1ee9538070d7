/*
 * rights.c
 *		Who we are on a source's tables, and what the caller may do there.
 *
 * A sweep of the worker's or of campaign_run_sweeps() acts as the owner of the
 * tables, a plain call as its caller.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "compat.h"
#include "source.h"
#include "views.h"

/* How long a sweep waits for rows that the application holds. */
#define LOCK_TIMEOUT_AS_OWNER	"1s"
/* In a deadlock it is for us to yield: before the others notice it (ms). */
#define YIELD_AFTER_MS			10

/*
 * The source's search_path for a session whose temporary tables must not come
 * before the owner's tables, as they do where the path does not name them.
 */
static const char *
path_before_temporary(const Source *source)
{
	if (source->search_path[strspn(source->search_path, " \t\n\r\f\v")] == '\0')
		return "pg_temp";
	return psprintf("%s, pg_temp", source->search_path);
}

static void
enter_as_owner(const Source *source, SavedIdentity *saved)
{
	Oid			caller = GetUserId();
	bool		trusted = has_privs_of_role(source->owner, caller);

	cac_enter(source->owner,
			  trusted ? SECURITY_LOCAL_USERID_CHANGE : SECURITY_RESTRICTED_OPERATION,
			  has_privs_of_role(caller, source->owner) ? source->search_path :
			  path_before_temporary(source), saved);
}

/*
 * Become ready for statements on the application's tables: under the source's
 * search_path, and, with as_owner, as the owner of its tables.  Unless the
 * owner has the caller's rights anyway, that is in a security-restricted
 * context, as what the owner planted there must not get them.  In a deadlock
 * with the application it is we who notice and give up.  Undone by cac_leave().
 */
void
cac_source_enter(const Source *source, bool as_owner, SavedIdentity *saved)
{
	bool		yields = DeadlockTimeout <= YIELD_AFTER_MS;

	if (as_owner)
	{
		enter_as_owner(source, saved);
		(void) set_config_option("lock_timeout", LOCK_TIMEOUT_AS_OWNER,
								 PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	}
	else
		cac_enter(InvalidOid, 0, source->search_path, saved);
	if (!yields)
		(void) set_config_option("deadlock_timeout", CppAsString2(YIELD_AFTER_MS),
								 PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Whether the tables are only read as their owner: where the caller has the
 * owner's rights, there is no reason to let what the owner planted in them (a
 * view's functions, say) have the caller's.
 */
static bool
reads_as_owner(const Source *source)
{
	return OidIsValid(source->owner) && source->owner != GetUserId() &&
		has_privs_of_role(GetUserId(), source->owner);
}

/*
 * cac_source_enter_to_read
 *		Likewise, for statements that only read: as the owner of the tables, if
 *		the caller has the owner's rights, and else as the caller.
 */
void
cac_source_enter_to_read(const Source *source, SavedIdentity *saved)
{
	if (reads_as_owner(source))
		enter_as_owner(source, saved);
	else
		cac_enter(InvalidOid, 0, source->search_path, saved);
}

static bool
has_table_right(Oid relid, Oid role, AclMode right)
{
	return pg_class_aclcheck(relid, role, right) == ACLCHECK_OK ||
		pg_attribute_aclcheck_all(relid, role, right,
								  ACLMASK_ANY) == ACLCHECK_OK;
}

/*
 * Who reads or writes the tables when the caller asks for it.
 */
static Oid
acting_role(const Source *source, bool writing)
{
	return !writing && reads_as_owner(source) ? source->owner : GetUserId();
}

/*
 * Does the role that would act lack a right on one of a source's tables?
 */
static bool
lacks_right(const Source *source, SourceTable table, bool writing)
{
	Oid			relid = source->relid[table];
	Oid			role = acting_role(source, writing);

	return !has_table_right(relid, role, ACL_SELECT) ||
		(writing && table != TABLE_INTERACTIONS &&
		 !has_table_right(relid, role, ACL_UPDATE));
}

/*
 * cac_source_has_rights
 *		May the caller read and, with "writing", write the source's tables?
 */
bool
cac_source_has_rights(const Source *source, bool writing)
{
	for (int i = TABLE_CAMPAIGNS; i <= TABLE_INTERACTIONS; i++)
		if (source->table[i] != NULL && lacks_right(source, i, writing))
			return false;
	return true;
}

/*
 * cac_source_may_read
 *		Does the source have this table, and may the caller read all rows of the
 *		columns that we know?
 */
bool
cac_source_may_read(const Source *source, SourceTable table)
{
	Oid			relid = source->relid[table];

	if (source->table[table] == NULL ||
		check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED)
		return false;
	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
		return true;
	for (int i = 0; i < source->ncolumns; i++)
	{
		const SourceColumn *column = &source->column[i];

		if (column->table == table && column->name != NULL &&
			pg_attribute_aclcheck(relid, get_attnum(relid, column->name),
								  GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			return false;
	}
	return true;
}

/*
 * cac_source_harmless
 *		May the caller go to a source that he has not named?
 *
 * To write a table runs its triggers, and to read a view its functions, with
 * the caller's rights: not, unasked, those of somebody who may have planted them
 * for him.
 */
bool
cac_source_harmless(const Source *source, bool writing)
{
	if (!OidIsValid(source->owner) ||
		has_privs_of_role(GetUserId(), source->owner))
		return true;
	for (int i = 0; i < NUM_SOURCE_TABLES; i++)
		if (source->table[i] != NULL && cac_is_view(source->relid[i]))
			return false;
	return !writing;
}

/*
 * cac_source_check_rights
 *		Refuse (42501) a caller who may not read or, with "writing", write the
 *		source's tables, or from whom row-level security may hide rows.
 *
 * A sweep asks this first, so that what a caller may not do is an error of the
 * caller's, and not of every single campaign.
 */
void
cac_source_check_rights(const Source *source, bool writing)
{
	for (int i = TABLE_CAMPAIGNS; i <= TABLE_INTERACTIONS; i++)
	{
		bool		to_write = writing && i != TABLE_INTERACTIONS;

		if (source->table[i] == NULL)
			continue;
		if (lacks_right(source, i, writing))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied for table %s of source \"%s\"",
							source->table[i], source->name),
					 writing ?
					 errhint("Grant %s on it, or let the worker or CALL campaign_run_sweeps() act as its owner.",
							 to_write ? "SELECT and UPDATE" : "SELECT") :
					 errhint("Grant SELECT on it, or ask as the owner of the tables.")));
		if (check_enable_rls(source->relid[i], acting_role(source, writing),
							 true) == RLS_ENABLED)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("query would be affected by row-level security policy for table %s of source \"%s\"",
							source->table[i], source->name),
					 has_privs_of_role(GetUserId(), source->owner) ?
					 errhint("A verdict needs all rows: ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, or give the owner BYPASSRLS.",
							 source->table[i]) :
					 errhint("A verdict needs all rows: call it as the tables' owner, or as a role with BYPASSRLS.")));
	}
}
