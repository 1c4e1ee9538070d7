/*
 * version.h
 *		Which versions of the SQL objects this library serves.
 */
#ifndef CAC_VERSION_H
#define CAC_VERSION_H

#include "compat.h"

/* What the objects of a database are to the library. */
typedef enum ObjectsAge
{
	OBJECTS_OLDER,				/* ALTER EXTENSION ... UPDATE is wanting */
	OBJECTS_SERVED,
	OBJECTS_NEWER				/* the library is an old one */
} ObjectsAge;

extern ObjectsAge cac_objects_age(const char *version);
CAC_NORETURN extern void cac_refuse_objects(const char *version);

#endif							/* CAC_VERSION_H */
