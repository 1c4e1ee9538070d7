/*-------------------------------------------------------------------------
 *
 * settings.h
 *		The server's settings of campaign_autoclose.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CAC_SETTINGS_H
#define CAC_SETTINGS_H

/* Every parameter's name starts with this and a dot. */
#define CAC_GUC_PREFIX	"campaign_autoclose"

/* What max_workers can be set to. */
#define CAC_MAX_WORKERS	64

extern bool cac_enabled;
extern char *cac_databases;
extern int	cac_max_workers;
extern int	cac_tracked_campaigns;

extern void cac_define_settings(void);
extern bool cac_database_listed(const char *datname);

#endif							/* CAC_SETTINGS_H */
