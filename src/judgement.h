/*
 * judgement.h
 *		A campaign while it is being judged: what lifecycle.c, and what orders,
 *		records or explains, share.
 *
 * All of it but cac_read_judgement(), which sees to that, needs SPI connected
 * and cac_source_enter() done.
 */
#ifndef CAC_JUDGEMENT_H
#define CAC_JUDGEMENT_H

#include "lifecycle.h"
#include "memory.h"

/* A campaign while it is being judged. */
typedef struct Judgement
{
	Source	   *source;
	Datum		key;
	const JudgeRequest *request;
	JudgeOutcome *outcome;

	CampaignRow row;
	CampaignMemory memory;
	CampaignFacts facts;
	CampaignTally tally;
	CampaignVerdict verdict;
	int64		count_usec;		/* how long the last tally took */
	int64		failed;			/* pending messages that were failed just now */
	bool		dense;			/* much of it has expired */
	bool		counted;		/* the tally has the statistics, after marking ... */
	bool		settled;		/* ... or all, and no message keeps it open */
	bool		unplanned;		/* to be locked before it was counted */
	Blackout	blackout;		/* where the request brings none */
} Judgement;

/* Tells of a campaign whose facts are known; changes nothing. */
typedef void (*JudgementReader) (Judgement *j, void *arg);

extern void cac_read_judgement(Source *source, Datum key,
							   const JudgeRequest *request,
							   JudgeOutcome *outcome, JudgementReader reader,
							   void *arg);
extern bool cac_learn_facts(Judgement *j, CampaignLock lock);
extern bool cac_judged_in_blackout(Judgement *j);
extern void cac_count(Judgement *j, bool look_for_due);
extern void cac_count_statuses(Judgement *j);
extern bool cac_count_settled(Judgement *j);
extern void cac_count_and_decide(Judgement *j, VerdictPhase phase);
extern bool cac_statistics_differ(const Judgement *j);
extern TimestampTz cac_write_judged(const Judgement *j, const char *status,
									bool set_completed_at,
									TimestampTz completed_at);
extern void cac_note_tally(const Judgement *j);
extern void cac_report_campaign(Judgement *j, bool acted);
extern void cac_count_outcome(const Judgement *j);

/* lifecycle.c */
extern bool cac_worth_counting(const Judgement *j);
extern void cac_act_on_campaign(Judgement *j);

/* record.c */
extern const char *cac_status_word(const Source *source, CampaignStatus status);
extern TimestampTz cac_expiry_cutoff(const Judgement *j);
extern const char *cac_event_reason(const Judgement *j);
extern void cac_record_judged(const Judgement *j, const char *event,
							  const char *status_to, const char *reason,
							  const char *details);
extern void cac_record_expired(const Judgement *j, int64 marked);
extern void cac_record_blackout(const Judgement *j);
extern void cac_record_stalled(const Judgement *j);
extern void cac_record_shadow(Judgement *j);
extern void cac_log_closing(const Judgement *j, const char *status);

#endif							/* CAC_JUDGEMENT_H */
