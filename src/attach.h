/*
 * attach.h
 *		Attaching, altering and detaching sources.
 */
#ifndef CAC_ATTACH_H
#define CAC_ATTACH_H

#include "source.h"

extern void cac_check_source_free(const char *name);
extern void cac_attach(const char *name, const Oid relid[NUM_SOURCE_TABLES]);
extern void cac_alter(const char *name, const char *setting, const char *value);
extern void cac_detach(const char *name);

#endif							/* CAC_ATTACH_H */
