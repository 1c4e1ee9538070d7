/*
 * schedule.h
 *		Which sweeps run, of which sources.
 */
#ifndef CAC_SCHEDULE_H
#define CAC_SCHEDULE_H

#include "sweeps.h"

extern List *cac_sources_to_sweep(const char *source, bool dry_run);
extern bool cac_source_to_sweep(const char *name, bool named, bool dry_run);
extern void cac_sweep(SweepKind kind, const char *source, TimestampTz as_of,
					  bool dry_run, SweepResult *result);
extern const char *cac_why_idle(const Source *source);
extern TimestampTz cac_sweep_due(const Source *source, SweepKind kind,
								 const LastRun *last, TimestampTz now);
extern TimestampTz cac_source_due(const Source *source);
extern void cac_tell_idle(const Source *source, bool called);
extern TimestampTz cac_serve_source(const char *name, const SweepHost *host,
									bool *in_vain);
extern TimestampTz cac_serve_source_hints(const char *name,
										  const SweepHost *host,
										  TimestampTz due, bool *in_vain);
extern void cac_run_due_sweeps(const char *source, bool force,
							   const SweepHost *host);

#endif							/* CAC_SCHEDULE_H */
