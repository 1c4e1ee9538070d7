/*
 * attach.h
 *		Attaching, altering and detaching sources.
 */
#ifndef CAC_ATTACH_H
#define CAC_ATTACH_H

#include "source.h"

/* What is to be attached. */
typedef struct AttachRequest
{
	const char *name;
	Oid			relid[NUM_SOURCE_TABLES];	/* InvalidOid: none */
	Jsonb	   *columns;
	Jsonb	   *labels;
} AttachRequest;

extern void cac_check_owner(const Source *source);
extern void cac_arm(const char *name);
extern void cac_accept_names(const Source *source);
extern void cac_check_source_free(const char *name);
extern void cac_attach(const AttachRequest *request);
extern void cac_attach_standard(const AttachRequest *request);
extern void cac_detach(const char *name);

/* alter.c */
extern void cac_alter(const char *name, const char *setting, const char *value);

#endif							/* CAC_ATTACH_H */
