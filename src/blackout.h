/*
 * blackout.h
 *		Does silence prove anything, or is nothing heard of anybody?
 */
#ifndef CAC_BLACKOUT_H
#define CAC_BLACKOUT_H

#include "source.h"

/* What one sweep of a source has found out, so that it asks once. */
typedef struct Blackout
{
	bool		known;
	bool		holds;
} Blackout;

extern bool cac_in_blackout(Source *source, Blackout *blackout,
							TimestampTz as_of);
extern TimestampTz cac_silent_since(const Source *source, TimestampTz as_of);
extern bool cac_remember_blackout(const Source *source, TimestampTz as_of);
extern bool cac_recall_blackout(const Source *source, TimestampTz *silent_since);
extern void cac_forget_blackout(const Source *source);
extern void cac_end_blackout(Source *source, Blackout *blackout,
							 TimestampTz as_of);

#endif							/* CAC_BLACKOUT_H */
