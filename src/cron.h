/*
 * cron.h
 *		The job of pg_cron that runs the sweeps.
 */
#ifndef CAC_CRON_H
#define CAC_CRON_H

extern int64 cac_cron_schedule(const char *schedule);
extern bool cac_cron_unschedule(void);

#endif							/* CAC_CRON_H */
