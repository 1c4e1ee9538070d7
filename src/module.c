/*-------------------------------------------------------------------------
 *
 * module.c
 *		What happens when the library is loaded: settings, and, where the server
 *		preloads it, shared memory and the launcher.
 *
 * Loaded without preload (by the first call of one of our functions), nothing
 * but the settings exists: functions work, and nothing runs by itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "counters.h"
#include "hints.h"
#include "launcher.h"
#include "settings.h"
#include "slots.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	cac_define_settings();

	if (!process_shared_preload_libraries_in_progress)
		return;

	cac_reserve_shared_memory();
	cac_reserve_hints();
	cac_reserve_counters();
	cac_register_launcher();
}
