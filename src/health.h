/*
 * health.h
 *		Is the closer alive, and does it do what it should?
 */
#ifndef CAC_HEALTH_H
#define CAC_HEALTH_H

#include "nodes/execnodes.h"

extern void cac_report_health(ReturnSetInfo *rsinfo, const char *source);

#endif							/* CAC_HEALTH_H */
