/*
 * witness.h
 *		What spares an open campaign's messages from being counted.
 */
#ifndef CAC_WITNESS_H
#define CAC_WITNESS_H

#include "hints.h"
#include "source.h"
#include "queries.h"

extern void cac_hint_key(const Source *source, Datum key, HintKey *hint);
extern Datum cac_key_of_hint(const Source *source, const HintKey *hint);

extern bool cac_kept_open(Source *source, Datum key, SweepKind sweep,
						  const CampaignFacts *facts, TimestampTz as_of);
extern void cac_verify_candidates(Source *source, SweepKind sweep,
								  TimestampTz as_of, TimestampTz count_before,
								  bool look, Datum *keys, int64 nkeys, bool *held);
extern TimestampTz cac_count_before(const Source *source, const Datum *keys,
									int64 nkeys, TimestampTz as_of);
extern bool cac_count_overdue(const Source *source, Datum key,
							  TimestampTz count_before, TimestampTz as_of);
extern bool cac_nothing_expires(const Source *source, Datum key,
								TimestampTz cutoff, TimestampTz as_of);
extern void cac_note_due(const Source *source, Datum key,
						 const DueCount *count, TimestampTz cutoff,
						 TimestampTz as_of);
extern bool cac_witness_holds(Source *source, Datum key,
							  const CampaignFacts *facts);
extern void cac_note_count(const Source *source, Datum key,
						   const CampaignTally *tally, bool unwitnessed,
						   int64 usec, TimestampTz as_of);
extern bool cac_stays_open_unwitnessed(const Source *source, Datum key);
extern void cac_note_change(const Source *source, Datum key, int flags);
extern TimestampTz cac_count_not_before(const Source *source, Datum key,
										TimestampTz now);
extern void cac_forget_closed(const Source *source, Datum key);
extern void cac_prune_tracked(const Source *source, const Datum *keys,
							  int64 nkeys);

#endif							/* CAC_WITNESS_H */
