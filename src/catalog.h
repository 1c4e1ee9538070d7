/*
 * catalog.h
 *		The extension's own tables, and who we are while we use them.
 */
#ifndef CAC_CATALOG_H
#define CAC_CATALOG_H

#include "datatype/timestamp.h"
#include "executor/spi.h"

/* Whom we were before becoming somebody else, and which settings were set. */
typedef struct SavedIdentity
{
	Oid			user;
	int			security_context;
	int			guc_level;
} SavedIdentity;

/*
 * A statement on the extension's own tables.  "@" in its text stands for the
 * extension's schema; the plan is kept for the life of the backend.
 */
typedef struct CatalogQuery
{
	const char *text;
	SPIPlanPtr	plan;
	uint64		generation;
} CatalogQuery;

#define CATALOG_QUERY(text)	{text, NULL, 0}

#define MAX_CATALOG_ARGUMENTS	20

/* The arguments of a CatalogQuery: $1 is the one that was added first. */
typedef struct CatalogArguments
{
	int			count;
	Oid			types[MAX_CATALOG_ARGUMENTS];
	Datum		values[MAX_CATALOG_ARGUMENTS];
	char		nulls[MAX_CATALOG_ARGUMENTS];
} CatalogArguments;

extern uint64 cac_extension_changes;

extern void cac_enter(Oid user, int security_flags, const char *search_path,
					  SavedIdentity *saved);
extern void cac_leave(const SavedIdentity *saved);

extern bool cac_see_one_snapshot(bool one);
extern bool cac_sees_one_snapshot(void);

extern void cac_add_name(CatalogArguments *arguments, const char *name);
extern void cac_add_text(CatalogArguments *arguments, const char *text);
extern void cac_add_timestamp(CatalogArguments *arguments, TimestampTz moment);
extern void cac_add_integer(CatalogArguments *arguments, int32 number);
extern void cac_add_count(CatalogArguments *arguments, int64 number);
extern void cac_add_oid(CatalogArguments *arguments, Oid oid);
extern void cac_add_datum(CatalogArguments *arguments, Oid type, Datum value,
						  bool isnull);

extern uint64 cac_catalog_execute(CatalogQuery *query,
								  CatalogArguments *arguments);
extern TimestampTz cac_row_timestamp(uint64 row, int col);
extern int64 cac_row_count(uint64 row, int col);
extern bool cac_row_bool(uint64 row, int col);
extern char *cac_row_text(uint64 row, int col);
extern char *cac_catalog_text(const char *text);
extern Oid	cac_catalog_relid(void);
extern bool cac_catalog_lock_nowait(void);
extern void cac_catalog_changed(void);
extern bool cac_extension_exists(void);
extern char *cac_extension_version(bool *served);
extern void cac_extension_changed(void);

#endif							/* CAC_CATALOG_H */
