/*-------------------------------------------------------------------------
 *
 * turns.h
 *		The sources of a database, shared out among its workers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CAC_TURNS_H
#define CAC_TURNS_H

#include "sweeps.h"

extern void cac_take_turns(const SweepHost *host, bool news, uint32 changes);

#endif							/* CAC_TURNS_H */
