/*
 * version.c
 *		Which versions of the SQL objects this library serves.
 *
 * Library and SQL objects change hands at different moments: the library with a
 * restart of the server, the objects with ALTER EXTENSION ... UPDATE, in each
 * database by itself.  In between, statements of the one would meet tables of
 * the other.  So the library serves the objects of its own minor version alone,
 * that is where the first two numbers are the same; between two patch versions
 * nothing changes that one of them could not do without (CONTRIBUTING.md).
 */
#include "postgres.h"

#include "version.h"

/*
 * The first two numbers of a version, which may be of any text.
 */
static void
parse(const char *version, int *major, int *minor)
{
	char	   *rest;

	*major = (int) strtol(version, &rest, 10);
	*minor = *rest == '.' ? (int) strtol(rest + 1, NULL, 10) : 0;
}

/*
 * What objects of that version are to this library.
 */
ObjectsAge
cac_objects_age(const char *version)
{
	int			major;
	int			minor;
	int			our_major;
	int			our_minor;

	parse(version, &major, &minor);
	parse(CAC_VERSION, &our_major, &our_minor);
	if (major != our_major)
		return major < our_major ? OBJECTS_OLDER : OBJECTS_NEWER;
	if (minor != our_minor)
		return minor < our_minor ? OBJECTS_OLDER : OBJECTS_NEWER;
	return OBJECTS_SERVED;
}

/*
 * Raise that objects of that version, which are older or newer, are not served.
 */
void
cac_refuse_objects(const char *version)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("library \"campaign_autoclose\" is version %s, but the extension in this database is version %s",
					CAC_VERSION, version),
			 cac_objects_age(version) == OBJECTS_OLDER ?
			 errhint("Run ALTER EXTENSION campaign_autoclose UPDATE.") :
			 errhint("Restart the server after the library of version %s has been installed.",
					 version)));
}
