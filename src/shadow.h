/*
 * shadow.h
 *		What shadow mode would have done, beside what was done.
 */
#ifndef CAC_SHADOW_H
#define CAC_SHADOW_H

#include "nodes/execnodes.h"

#include "source.h"

extern void cac_shadow_report(Source *source, TimestampTz now,
							  ReturnSetInfo *rsinfo);

#endif							/* CAC_SHADOW_H */
