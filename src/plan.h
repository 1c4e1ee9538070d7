/*
 * plan.h
 *		What the sweeps would make of one campaign, one after the other.
 */
#ifndef CAC_PLAN_H
#define CAC_PLAN_H

#include "blackout.h"
#include "rules.h"
#include "source.h"

/* What is asked of cac_plan_campaign(). */
typedef struct PlanRequest
{
	TimestampTz as_of;
	bool		as_if_open;		/* whatever its status */
	Blackout   *blackout;		/* what is known of one; NULL: find out */
	bool		without[NUM_SWEEP_KINDS];	/* these sweeps leave it alone */
} PlanRequest;

/* What the sweeps would do to a campaign, one after the other. */
typedef struct CampaignPlan
{
	bool		found;			/* is there such a campaign? */
	char	   *campaign_id;	/* palloc'd, as is the next */
	char	   *status;			/* the application's word; NULL is possible */
	CampaignFacts facts;
	CampaignTally tally;		/* as it is */
	/* by sweep; each verdict's tally is what that sweep leaves behind */
	bool		judged[NUM_SWEEP_KINDS];
	CampaignVerdict verdict[NUM_SWEEP_KINDS];
} CampaignPlan;

extern void cac_plan_campaign(Source *source, Datum key,
							  const PlanRequest *request, CampaignPlan *plan);
extern bool cac_try_plan(const char *source, Datum key,
						 const PlanRequest *request, CampaignPlan *plan,
						 ErrorData **error);

#endif							/* CAC_PLAN_H */
