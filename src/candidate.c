/*
 * candidate.c
 *		One candidate of a sweep: tried in a subtransaction, and what becomes of
 *		it when it fails or is held by somebody else.
 *
 * A campaign that raises an error is left as it was, noted in campaign_retry
 * and left alone for a while.  One whose row somebody holds is skipped; after
 * three skips in a row it is waited for.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "attempt.h"
#include "candidate.h"
#include "counters.h"
#include "slots.h"
#include "witness.h"

/* Campaigns that share one transaction of a host; below the 64 subtransactions
 * that other sessions' snapshots can hold. */
#define CAMPAIGNS_PER_TRANSACTION	32
/* When a campaign that was skipped by a sweep that comes by seldom is looked at
 * again. */
#define SKIPPED_RETRY_AFTER		USECS_PER_MINUTE
/* After so many skips in a row, a sweep waits for the campaign's row. */
#define SKIPS_BEFORE_WAITING		3
/* How often it is tried, at once, where somebody changes what it writes. */
#define LOOKS_IN_A_ROW				3
/* How often something is tried whose source changes meanwhile. */
#define TRIES_OF_CHANGED_SOURCE		3
/* For how long they may share it, in milliseconds. */
#define TRANSACTION_TIME			100
/* How long one campaign may take a host, in milliseconds; doubled with each
 * failure, so that a very large one gets its turn.  (A worker that is in the way
 * of a DROP DATABASE meanwhile is interrupted by the launcher.) */
#define CAMPAIGN_TIME_LIMIT			4000
#define CAMPAIGN_TIME_DOUBLINGS		6

/*
 * Deferred triggers cannot be queued in a security-restricted context; let
 * them fire at once.  That is for the rest of the transaction, which is ours.
 */
static void
make_constraints_immediate(void)
{
	ConstraintsSetStmt *statement = makeNode(ConstraintsSetStmt);

	statement->constraints = NIL;
	statement->deferred = false;
	AfterTriggerSetState(statement);
}

/*
 * Does the sweep go by what is remembered in shared memory?
 */
bool
cac_by_witness(const Sweep *sweep)
{
	return sweep->host != NULL && cac_shared_memory_ready();
}

/*
 * cac_note_key_type
 *		The keys that the sweep has are of this source as it is now.
 */
void
cac_note_key_type(Sweep *sweep, const Source *source)
{
	sweep->campaigns = source->relid[TABLE_CAMPAIGNS];
	sweep->key_type = cac_key_type(source);
}

/*
 * Have they changed since?  Then what the sweep holds is no key any more.
 */
bool
cac_key_type_changed(const Sweep *sweep, const Source *source)
{
	return sweep->campaigns != source->relid[TABLE_CAMPAIGNS] ||
		sweep->key_type != cac_key_type(source);
}

static void
check_key_type(const Sweep *sweep, const Source *source)
{
	if (cac_key_type_changed(sweep, source))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the campaigns of source \"%s\" have got other keys",
						source->name),
				 errhint("The next sweep goes by the new ones.")));
}

/*
 * Judge the campaign in hand; AttemptFunction.
 */
static void
judge_candidate(void *arg)
{
	Sweep	   *sweep = arg;
	Source	   *source = cac_source_open(sweep->source);
	JudgeRequest request = {0};

	cac_source_check(source);
	if (sweep->key_text != NULL)
	{
		sweep->key = cac_key_from_text(source, sweep->key_text);
		sweep->key_is_one = true;
	}
	else
		check_key_type(sweep, source);
	request.sweep = sweep->kind;
	request.as_of = sweep->as_of;
	request.dry_run = sweep->dry_run || !cac_source_acts(source);
	request.shadow = !sweep->dry_run && source->armed && source->mode == MODE_SHADOW;
	request.only_closed = sweep->settling;
	request.as_owner = sweep->host != NULL;
	request.lock = sweep->lock;
	request.by_witness = cac_by_witness(sweep);
	request.count = request.by_witness &&
		(sweep->count || (sweep->kind == SWEEP_SENDING &&
						  cac_count_overdue(source, sweep->key,
											sweep->count_before, sweep->as_of)));
	request.count_only = sweep->only_statistics;
	request.kept_open = sweep->kept_open;
	request.resume = sweep->marking ? sweep->resume : NULL;
	request.in_passes = sweep->in_passes;
	request.pass = sweep->pass;
	request.blackout = &sweep->blackout;
	request.batch_size = sweep->host != NULL ? source->batch_size : 0;
	cac_judge_campaign(source, sweep->key, &request, &sweep->outcome);
}

static void
warn_of_failure(const Sweep *sweep, const char *campaign_id,
				const ErrorData *error, const char *hint)
{
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("campaign %s of source \"%s\" could not be processed: %s",
					campaign_id, sweep->source, error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 errhint("%s", hint)));
}

/*
 * Note that the campaign in hand raised an error.
 */
static void
note_failure(Sweep *sweep, const char *campaign_id, CampaignRetry *retry,
			 const ErrorData *error)
{
	CampaignEvent event = {.event = "error", .campaign_id = campaign_id,
		.reason = error->message, .at = sweep->as_of};
	CampaignRetry next = {0};
	Source	   *source = cac_source_open(sweep->source);
	StringInfoData details;

	next.campaign_id = unconstify(char *, campaign_id);
	next.failures = (retry ? retry->failures : 0) + 1;
	next.retry_at = cac_after(sweep->as_of, cac_retry_backoff(next.failures));
	cac_remember_retry(source, sweep->kind, &next, error);

	initStringInfo(&details);
	cac_append_json(&details, "sweep", cac_sweep_name(sweep->kind));
	cac_append_json(&details, "sqlstate", unpack_sql_state(error->sqlerrcode));
	cac_append_json_count(&details, "failures", next.failures);
	cac_append_json(&details, "retry_at", timestamptz_to_str(next.retry_at));
	event.details = psprintf("{%s}", details.data);
	cac_record_event(source, &event);
	cac_count_up(COUNTER_ERRORS, 1);
	cac_progress_error(error->message);

	warn_of_failure(sweep, campaign_id, error,
					psprintf("It was left as it was, and is retried after %s.",
							 timestamptz_to_str(next.retry_at)));
}

/*
 * Note that the campaign in hand was held by somebody else.  The next round of
 * a sweep that comes by seldom would be too late for it.
 */
static void
note_skip(Sweep *sweep, const char *campaign_id, const CampaignRetry *retry)
{
	CampaignRetry next = {0};

	next.campaign_id = unconstify(char *, campaign_id);
	next.failures = retry ? retry->failures : 0;
	next.skips = (retry ? retry->skips : 0) + 1;
	next.retry_at = DT_NOBEGIN;
	if (sweep->host != NULL && (sweep->kind == SWEEP_EXPIRED || sweep->kind == SWEEP_TIMEOUT))
		next.retry_at = cac_after(sweep->as_of, SKIPPED_RETRY_AFTER);
	cac_remember_retry(cac_source_open(sweep->source), sweep->kind, &next, NULL);
}

/*
 * Add the campaign in hand to the sweep's result.
 */
static void
add_outcome(Sweep *sweep)
{
	const JudgeOutcome *outcome = &sweep->outcome;
	SweepResult *result = sweep->result;

	result->messages_checked += outcome->messages_checked;
	result->messages_marked += outcome->messages_marked;
	if (outcome->more || outcome->next_pass)
		return;
	result->campaigns_updated += outcome->updated;
	result->campaigns_closed += outcome->closed;
	result->campaigns_resumed += outcome->resumed;
	result->campaigns_skipped += outcome->skipped;
}

void
cac_commit_now(Sweep *sweep)
{
	if (sweep->host != NULL)
	{
		/* a pass that is not the last, or statistics that will be counted again,
		 * are not worth waiting for the disk */
		if (sweep->repeatable && sweep->uncommitted > 0)
			(void) set_config_option("synchronous_commit", "off",
									 PGC_USERSET, PGC_S_SESSION,
									 GUC_ACTION_LOCAL, true, 0, false);
		SPI_commit();
	}
	sweep->repeatable = true;
	sweep->uncommitted = 0;
	sweep->committed_at = GetCurrentTimestamp();
}

/*
 * After a campaign: commit, unless there is room and time for another in the
 * same transaction.  What was written is held until then, and the application
 * may be waiting for it.
 */
void
cac_commit_if_due(Sweep *sweep)
{
	if (++sweep->uncommitted >= CAMPAIGNS_PER_TRANSACTION || sweep->alone ||
		TimestampDifferenceExceeds(sweep->committed_at, GetCurrentTimestamp(),
								   TRANSACTION_TIME))
		cac_commit_now(sweep);
}

/*
 * How long the campaign in hand may take, in milliseconds; 0: no limit.
 */
int
cac_time_limit(const Sweep *sweep, const CampaignRetry *retry)
{
	if (sweep->host == NULL)
		return 0;
	if (retry == NULL)
		return CAMPAIGN_TIME_LIMIT;
	return CAMPAIGN_TIME_LIMIT << Min(retry->failures, CAMPAIGN_TIME_DOUBLINGS);
}

static bool
may_go_on(const Sweep *sweep)
{
	CHECK_FOR_INTERRUPTS();
	return sweep->host == NULL || sweep->host->go_on();
}

/*
 * A pass that does not lock the rows first ran into one that somebody holds:
 * leave it to the last pass, which does not wait.  But one that was not even
 * begun, since the first has not come to see what is due, is none to go on with.
 */
static bool
passed_over(const Sweep *sweep, const ErrorData *error)
{
	return sweep->in_passes && (sweep->pass > 0 || sweep->outcome.in_pass) &&
		sweep->pass < MARKING_PASSES - 1 &&
		error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
}

/*
 * A row that was waited for has been moved to another partition meanwhile, or
 * the like: where it is now is seen by who looks again.
 */
static bool
worth_another_look(const ErrorData *error, int *looks)
{
	return error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE &&
		++*looks < LOOKS_IN_A_ROW;
}

/*
 * What is remembered of a campaign by a key that is none any more, since the
 * keys have got another type, is forgotten.
 */
static bool
outdated_key(const Sweep *sweep, const ErrorData *error)
{
	Source	   *source = cac_source_find(sweep->source);

	if (sweep->key_text == NULL || sweep->key_is_one || source == NULL ||
		(error->sqlerrcode != ERRCODE_INVALID_TEXT_REPRESENTATION &&
		 error->sqlerrcode != ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE))
		return false;
	cac_forget_retry(source, sweep->kind, sweep->key_text);
	cac_forget_closing(source, sweep->key_text, DT_NOBEGIN, sweep->as_of);
	return true;
}

/*
 * cac_source_fit
 *		Is the source still fit for the sweep?  Where it was detached, or a table
 *		dropped or altered, in mid-sweep, that is no fault of the campaign's: a
 *		host ends the sweep, a caller is told.
 */
bool
cac_source_fit(const Sweep *sweep)
{
	Source	   *source = cac_source_find(sweep->source);

	if (source == NULL)
		return false;
	if (sweep->host == NULL)
		cac_source_check(source);
	return source->fault_code == 0;
}

/*
 * cac_attempt_for_sweep
 *		cac_attempt(), with the sweep as argument, but what fails while somebody
 *		changes the source (gives its tables to another owner, say) is tried
 *		again, as long as the source is fit: it is nobody's failure.
 */
bool
cac_attempt_for_sweep(AttemptFunction function, Sweep *sweep, int time_limit,
					  ErrorData **error)
{
	for (int tries = 1;; tries++)
	{
		uint64		changes = cac_source_changes;

		if (sweep->host != NULL)
			make_constraints_immediate();
		if (cac_attempt(function, sweep, time_limit, error))
			return true;
		if (changes == cac_source_changes || tries == TRIES_OF_CHANGED_SOURCE ||
			!cac_source_fit(sweep))
			return false;
	}
}

/*
 * Process one candidate, in as many rounds as it has batches.  False where the
 * host wants to stop.
 */
static bool
process(Sweep *sweep, Datum key)
{
	Source	   *source;
	char	   *campaign_id;
	CampaignRetry *retry;
	ErrorData  *error;
	int			looks = 0;
	bool		again;

	if (!cac_source_fit(sweep))
		return false;
	source = cac_source_open(sweep->source);
	if (sweep->key_text == NULL && cac_key_type_changed(sweep, source))
		return false;
	campaign_id = sweep->key_text ? pstrdup(sweep->key_text) : cac_key_text(source, key);
	retry = cac_find_retry(sweep->retries, campaign_id);

	memset(&sweep->outcome, 0, sizeof(sweep->outcome));
	if (cac_retry_waits(retry, sweep->as_of))
	{
		sweep->result->campaigns_skipped++;
		return true;
	}
	sweep->key = key;
	sweep->marking = false;
	sweep->lock = retry != NULL && retry->skips >= SKIPS_BEFORE_WAITING && !sweep->by_hint ?
		LOCK_WAIT : LOCK_SKIP;
	do
	{
		again = false;
		if (!may_go_on(sweep))
			return false;
		if (!cac_attempt_for_sweep(judge_candidate, sweep,
								   cac_time_limit(sweep, retry), &error))
		{
			bool		next_pass = passed_over(sweep, error);

			memset(&sweep->outcome, 0, sizeof(sweep->outcome));
			sweep->outcome.next_pass = next_pass;
			sweep->repeatable = false;
			if (!cac_source_fit(sweep))
				return false;
			again = worth_another_look(error, &looks);
			if (again)
				continue;
			if (next_pass || outdated_key(sweep, error))
				return true;
			if (sweep->only_statistics)
			{
				/* no reason to leave the campaign alone; there is no hurry */
				sweep->outcome.skipped = true;
				sweep->outcome.failed = error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE;
				if (sweep->outcome.failed)
					warn_of_failure(sweep, campaign_id, error,
									"Its statistics stay as they are, and are tried again in a minute.");
				return true;
			}
			sweep->result->campaigns_skipped++;
			if (sweep->dry_run)
				warn_of_failure(sweep, campaign_id, error,
								"The sweep would leave it as it is, and retry it later.");
			else
				note_failure(sweep, campaign_id, retry, error);
			cac_commit_now(sweep);
			return true;
		}
		add_outcome(sweep);
		sweep->repeatable &= sweep->outcome.next_pass ||
			!sweep->outcome.updated ||
			(sweep->only_statistics && !sweep->outcome.closed &&
			 sweep->outcome.previous_status == sweep->outcome.status);
		if (sweep->outcome.more)
		{
			sweep->marking = true;
			strlcpy(sweep->resume, sweep->outcome.resume, sizeof(sweep->resume));
			cac_commit_now(sweep);
		}
	} while (again || sweep->outcome.more);

	if (sweep->dry_run || sweep->outcome.next_pass)
		return true;
	if (sweep->outcome.skipped)
		note_skip(sweep, campaign_id, retry);
	else if (retry != NULL)
		cac_forget_retry(cac_source_open(sweep->source), sweep->kind, campaign_id);
	return true;
}

/*
 * cac_process_candidate
 *		Process one candidate.  False where the host wants to stop.
 */
bool
cac_process_candidate(Sweep *sweep, Datum key)
{
	MemoryContext old = MemoryContextSwitchTo(sweep->candidate_context);
	bool		go_on = process(sweep, key);

	MemoryContextSwitchTo(old);
	MemoryContextReset(sweep->candidate_context);
	return go_on;
}

/*
 * cac_process_known_candidate
 *		Likewise, of a campaign that we know by its key as text.
 */
bool
cac_process_known_candidate(Sweep *sweep, const char *campaign_id)
{
	bool		go_on;

	sweep->key_text = campaign_id;
	sweep->key_is_one = false;
	go_on = cac_process_candidate(sweep, (Datum) 0);
	sweep->key_text = NULL;
	return go_on;
}
