/*
 * standard.h
 *		The standard tables.
 */
#ifndef CAC_STANDARD_H
#define CAC_STANDARD_H

#include "source.h"

extern void cac_create_standard_tables(const char *schema,
									   Oid relid[NUM_SOURCE_TABLES]);

#endif							/* CAC_STANDARD_H */
