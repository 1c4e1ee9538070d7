/*-------------------------------------------------------------------------
 *
 * processes.h
 *		The launcher and the workers, as they are shown.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CAC_PROCESSES_H
#define CAC_PROCESSES_H

#include "nodes/execnodes.h"

#include "hints.h"
#include "slots.h"

extern bool cac_report_launcher(LauncherReport *report);
extern void cac_report_processes(ReturnSetInfo *rsinfo, const HintCounters *hints);

#endif							/* CAC_PROCESSES_H */
