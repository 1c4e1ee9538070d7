/*-------------------------------------------------------------------------
 *
 * launcher.h
 *		The cluster's loop.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CAC_LAUNCHER_H
#define CAC_LAUNCHER_H

extern void cac_register_launcher(void);

extern PGDLLEXPORT void cac_launcher_main(Datum main_arg);

#endif							/* CAC_LAUNCHER_H */
