/*
 * patience.h
 *		Waiting for rows that the application holds, at our own risk.
 */
#ifndef CAC_PATIENCE_H
#define CAC_PATIENCE_H

#include "queries.h"

extern bool cac_lock_campaign(Source *source, Datum key, CampaignRow *row);
extern int64 cac_fail_held_pending(Source *source, Datum key, const char *message,
								   TimestampTz as_of, int64 limit);

#endif							/* CAC_PATIENCE_H */
