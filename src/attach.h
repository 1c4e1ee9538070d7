/*
 * attach.h
 *		Attaching, altering and detaching sources.
 */
#ifndef CAC_ATTACH_H
#define CAC_ATTACH_H

#include "source.h"

extern void cac_check_owner(const Source *source);
extern void cac_arm(const char *name);
extern void cac_accept_names(const Source *source);
extern void cac_check_source_free(const char *name);
extern void cac_attach(const char *name, const Oid relid[NUM_SOURCE_TABLES]);
extern void cac_detach(const char *name);

/* alter.c */
extern void cac_alter(const char *name, const char *setting, const char *value);

#endif							/* CAC_ATTACH_H */
