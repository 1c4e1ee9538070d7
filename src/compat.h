/*-------------------------------------------------------------------------
 *
 * compat.h
 *		What differs between the PostgreSQL releases that we support (15-18).
 *
 * The only file that looks at PG_VERSION_NUM.  Each name below says what the
 * code wants; what a release calls it is nobody else's business.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CAC_COMPAT_H
#define CAC_COMPAT_H

/* all that the names below are made of, so that none depends on its caller's */
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/regproc.h"
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#if PG_VERSION_NUM < 150000
#error "campaign_autoclose needs PostgreSQL 15 or later"
#endif

/*
 * A database whose DROP was interrupted.  15 and 16 learnt of it in a minor
 * release, and may be compiled against an older one; the value is the same
 * everywhere, and no other database can have it.
 */
#ifndef DATCONNLIMIT_INVALID_DB
#define DATCONNLIMIT_INVALID_DB		(-2)
#endif

/*
 * The "extra" value of a setting is freed by the server: with free() until 15,
 * with guc_free() since.  NULL where there is no memory.
 */
#if PG_VERSION_NUM >= 160000
#define CAC_GUC_ALLOC(size)			guc_malloc(LOG, (size))
#else
#define CAC_GUC_ALLOC(size)			malloc(size)
#endif

/*
 * A name of our own in pg_stat_activity.wait_event, where extensions may have
 * one.  "cached" is a static uint32 of the caller's, initially 0.
 */
#if PG_VERSION_NUM >= 170000
#define CAC_WAIT_EVENT(cached, name) \
	((cached) != 0 ? (cached) : ((cached) = WaitEventExtensionNew(name)))
#else
#define CAC_WAIT_EVENT(cached, name) ((void) (cached), PG_WAIT_EXTENSION)
#endif

/* A qualified name, as a user writes it, as a List; raises 42602. */
#if PG_VERSION_NUM >= 160000
#define CAC_QUALIFIED_NAMES(string)	stringToQualifiedNameList((string), NULL)
#else
#define CAC_QUALIFIED_NAMES(string)	stringToQualifiedNameList(string)
#endif

/* Is a role the owner of a table, or has it the owner's privileges? */
#if PG_VERSION_NUM >= 160000
#define CAC_OWNS_TABLE(relid, role)	object_ownercheck(RelationRelationId, (relid), (role))
#else
#define CAC_OWNS_TABLE(relid, role)	pg_class_ownercheck((relid), (role))
#endif

/* May a role use what is in a schema? */
#if PG_VERSION_NUM >= 160000
#define CAC_MAY_USE_SCHEMA(schema, role) \
	(object_aclcheck(NamespaceRelationId, (schema), (role), ACL_USAGE) == ACLCHECK_OK)
#else
#define CAC_MAY_USE_SCHEMA(schema, role) \
	(pg_namespace_aclcheck((schema), (role), ACL_USAGE) == ACLCHECK_OK)
#endif

/* Before a prototype: the function never returns. */
#if PG_VERSION_NUM >= 180000
#define CAC_NORETURN				pg_noreturn
#else
#define CAC_NORETURN				pg_attribute_noreturn()
#endif

/* Does this release have the setting transaction_timeout? */
#if PG_VERSION_NUM >= 170000
#define CAC_HAS_TRANSACTION_TIMEOUT	1
#else
#define CAC_HAS_TRANSACTION_TIMEOUT	0
#endif

#endif							/* CAC_COMPAT_H */
