/*
 * attach.c
 *		Attaching and detaching sources: a row of campaign_source comes and goes.
 *
 * Only the owner of a source's tables may do it (or whoever has the owner's
 * privileges).  A trigger on campaign_source tells the other backends and the
 * launcher, which may have to look sooner than it meant to.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "attach.h"
#include "triggers.h"

/*
 * Refuse callers who do not own the source's tables.  Of a source whose
 * tables are all gone nobody but a superuser can be told to be the owner.
 */
void
cac_check_owner(const Source *source)
{
	if (OidIsValid(source->owner) ?
		!has_privs_of_role(GetUserId(), source->owner) : !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of the tables of source \"%s\"",
						source->name),
				 OidIsValid(source->owner) ?
				 errhint("Ask the owner, role \"%s\".",
						 GetUserNameFromId(source->owner, false)) :
				 errhint("Ask a superuser.")));
}

/*
 * The qualified names of a source's tables, as campaign_source keeps them.
 */
static Datum
table_names(const Oid relid[NUM_SOURCE_TABLES])
{
	Datum		names[NUM_SOURCE_TABLES];
	bool		nulls[NUM_SOURCE_TABLES];
	int			dims[1] = {NUM_SOURCE_TABLES};
	int			lower_bounds[1] = {1};

	for (int i = 0; i < NUM_SOURCE_TABLES; i++)
	{
		char	   *name = OidIsValid(relid[i]) ? get_rel_name(relid[i]) : NULL;

		nulls[i] = (name == NULL);
		if (name != NULL)
			names[i] = CStringGetTextDatum(quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid[i])),
																	  name));
	}
	return PointerGetDatum(construct_md_array(names, nulls, 1, dims, lower_bounds,
											  TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Let a source act in this database.
 */
void
cac_arm(const char *name)
{
	static CatalogQuery query = CATALOG_QUERY(
		"INSERT INTO @.campaign_armed (source, database) VALUES ($1, $2)"
		" ON CONFLICT DO NOTHING");
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, name);
	cac_add_oid(&arguments, MyDatabaseId);
	cac_catalog_execute(&query, &arguments);
}

/*
 * cac_check_source_free
 *		Refuse (42710) a name that a source has already.
 */
void
cac_check_source_free(const char *name)
{
	ListCell   *lc;
	List	   *sources = cac_source_list(false);

	foreach(lc, sources)
	{
		if (strcmp(lfirst(lc), name) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("source \"%s\" already exists", name),
					 errhint("Forget it first with campaign_detach('%s').", name)));
	}
}

/*
 * cac_attach
 *		Make a source of these tables, active and armed.
 *
 * SPI must be connected.  Raises 42710 where the name is taken.
 */
void
cac_attach(const char *name, const Oid relid[NUM_SOURCE_TABLES])
{
	static CatalogQuery query = CATALOG_QUERY(
		"INSERT INTO @.campaign_source (source, campaigns, messages, interactions, contacts,"
		" search_path, attached_names) VALUES ($1, $2, $3, $4, $5, $6, $7)");
	CatalogArguments arguments = {0};

	cac_check_source_free(name);
	cac_add_name(&arguments, name);
	for (int i = 0; i < NUM_SOURCE_TABLES; i++)
		cac_add_oid(&arguments, relid[i]);
	cac_add_text(&arguments, namespace_search_path);
	cac_add_datum(&arguments, TEXTARRAYOID, table_names(relid), false);
	cac_catalog_execute(&query, &arguments);
	cac_arm(name);
	cac_create_message_trigger(cac_source_open(name));
}

/*
 * Take the tables' present names for the right ones.
 */
void
cac_accept_names(const Source *source)
{
	static CatalogQuery query = CATALOG_QUERY(
		"UPDATE @.campaign_source SET attached_names = $2 WHERE source = $1");
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, source->name);
	cac_add_datum(&arguments, TEXTARRAYOID, table_names(source->relid), false);
	cac_catalog_execute(&query, &arguments);
}

/*
 * cac_detach
 *		Forget a source, with its history: a source of the same name may be
 *		somebody else's.
 *
 * SPI must be connected.  Raises 42704, 42501.
 */
void
cac_detach(const char *name)
{
	static CatalogQuery queries[] = {
		CATALOG_QUERY("DELETE FROM @.campaign_source WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_armed WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_event WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_sweep_run WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_state WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_reopening WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_retry WHERE source = $1")
	};
	CatalogArguments arguments = {0};
	Source	   *source = cac_source_open(name);

	cac_check_owner(source);
	cac_drop_message_trigger(source);
	cac_add_name(&arguments, name);
	for (int i = 0; i < lengthof(queries); i++)
		cac_catalog_execute(&queries[i], &arguments);
}
