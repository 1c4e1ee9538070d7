/*
 * byhand.h
 *		A campaign that an operator closes or reopens.
 */
#ifndef CAC_BYHAND_H
#define CAC_BYHAND_H

#include "lifecycle.h"

extern void cac_obey(Source *source, Datum key, const JudgeRequest *request,
					 JudgeOutcome *outcome);

#endif							/* CAC_BYHAND_H */
