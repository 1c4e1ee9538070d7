/*
 * explain.h
 *		Why a campaign is, or is not, closed.
 */
#ifndef CAC_EXPLAIN_H
#define CAC_EXPLAIN_H

#include "nodes/execnodes.h"

#include "lifecycle.h"

extern void cac_explain_faults(const Source *source, ReturnSetInfo *rsinfo);
extern void cac_explain_campaign(Source *source, Datum key, TimestampTz as_of,
								 ReturnSetInfo *rsinfo, JudgeOutcome *outcome);

#endif							/* CAC_EXPLAIN_H */
