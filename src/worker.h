/*-------------------------------------------------------------------------
 *
 * worker.h
 *		One database's loop.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CAC_WORKER_H
#define CAC_WORKER_H

#include "postmaster/bgworker.h"

#include "slots.h"

/*
 * How long a database is left alone that somebody wants for himself (ms).  By
 * then it may be gone, and the launcher's list of databases must be newer.
 */
#define WANTED_PUT_OFF_MS	2000

extern bool cac_database_wanted(Oid dboid);
extern bool cac_register_worker(Oid dboid, const SlotClaim *claim, BackgroundWorkerHandle **handle);

extern PGDLLEXPORT void cac_worker_main(Datum main_arg);

#endif							/* CAC_WORKER_H */
