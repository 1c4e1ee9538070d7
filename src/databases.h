/*-------------------------------------------------------------------------
 *
 * databases.h
 *		The databases, as the launcher knows them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CAC_DATABASES_H
#define CAC_DATABASES_H

#include "slots.h"

typedef struct DatabaseEntry
{
	Oid			dboid;			/* hash key */
	NameData	datname;
	TimestampTz due;			/* when it needs a visit; DT_NOEND: at news */
	TimestampTz hint_due;		/* when its next hint falls due; DT_NOEND: none */
	TimestampTz not_before;		/* when it may have a visit, hints or not */
	int			workers;		/* in it, or on their way */
	bool		ready;			/* one of them will take what is due, or tell */
	TimestampTz left_due;		/* when something is that none of them works on */
	int			failures;		/* in a row */
	uint32		scan;			/* the latest scan that saw it */
} DatabaseEntry;

extern void cac_databases_allocate(const SlotReport *slot_reports);
extern DatabaseEntry *cac_database_find(Oid dboid);

/* which there are */
extern void cac_databases_scan(TimestampTz now);
extern bool cac_databases_scan_due(TimestampTz now, bool starting);
extern void cac_databases_outdated(void);

/* when they are due */
extern void cac_databases_see_workers(void);
extern void cac_databases_see_hints(void);
extern void cac_databases_see_news(const NewsReport *news, TimestampTz now);
extern void cac_databases_clock_stepped(TimestampTz now);
extern void cac_database_worker_sent(DatabaseEntry *entry);
extern void cac_database_visit_ended(DatabaseEntry *entry, const SlotReport *visit, TimestampTz now);
extern DatabaseEntry *cac_databases_longest_overdue(TimestampTz now, TimestampTz *earliest, int *ndue);

extern DatabaseEntry *cac_databases_wanting_company(TimestampTz now, TimestampTz *earliest);

#endif							/* CAC_DATABASES_H */
