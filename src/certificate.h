/*
 * certificate.h
 *		The closing certificate: what the event of a closing tells of it.
 */
#ifndef CAC_CERTIFICATE_H
#define CAC_CERTIFICATE_H

#include "nodes/execnodes.h"
#include "utils/jsonb.h"

#include "judgement.h"

/* A count of the tally, as details have it, and as people read it. */
typedef struct TallyCount
{
	const char *key;
	size_t		offset;			/* in CampaignTally */
} TallyCount;

#define NUM_TALLY_COUNTS	15

extern const TallyCount cac_tally_counts[NUM_TALLY_COUNTS];

/* The event of a campaign's last closing; all strings are palloc'd. */
typedef struct Certificate
{
	TimestampTz at;				/* the moment it was judged by */
	char	   *status;			/* the application's word that was written */
	char	   *reason;
	Jsonb	   *details;
	bool		reopened;		/* by the extension, since */
} Certificate;

extern int64 cac_tally_count(const CampaignTally *tally, int n);
extern char *cac_describe_tally(const Judgement *j, TimestampTz completed_at);
extern bool cac_find_certificate(const Source *source, const char *campaign_id,
								 Certificate *certificate);
extern char *cac_certified(const Certificate *certificate, const char *key);
extern TimestampTz cac_certified_moment(const Certificate *certificate,
										const char *key);
extern bool cac_verify_certificate(Source *source, Datum key,
								   ReturnSetInfo *rsinfo,
								   JudgeOutcome *outcome);

#endif							/* CAC_CERTIFICATE_H */
