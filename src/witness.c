/*
 * witness.c
 *		What spares an open campaign's messages from being counted.
 *
 * In shared memory (hints.c) a few facts are remembered of each open campaign:
 *
 * - its witness: a message that keeps it open.  As long as it does, one index
 *	 lookup is the whole check, whatever the campaign's size; 5,000 campaigns'
 *	 witnesses are looked up in one statement.  Only when it no longer does is
 *	 the next one looked for, and only when there is none the campaign counted.
 * - the latest message known sent: while that is recent, it is not stalled.
 * - when the first of its messages that have not expired was sent: before that
 *	 has expired, nothing has.
 *
 * A witness is looked up each time, so one that is wrong, deleted or forgotten
 * costs time, never a verdict.  The other two save a reading of the campaign
 * where the source's trigger tells of what would change them, as long as no
 * hint of that is waiting, none was lost, and for some hours at most.  Only what
 * runs on behalf of a host goes by all this: a function's caller gets full
 * counts.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "queries.h"
#include "table_triggers.h"
#include "witness.h"

/* Campaigns whose witnesses are verified by one statement. */
#define VERIFY_AT_ONCE		5000
/* The trigger does not tell of everything: look for ourselves after so long.  (A
 * moment of the future, of before the clock was set back, tells nothing.) */
#define TRUST_PENDING_FOR	USECS_PER_HOUR
#define TRUST_EXPIRY_FOR	(6 * USECS_PER_HOUR)
/* How often the statistics of a campaign are counted where nothing tells that
 * they have changed; and where something does, in case a hint was lost. */
#define COUNT_UNHINTED_EVERY (5 * USECS_PER_MINUTE)
#define COUNT_HINTED_EVERY	USECS_PER_HOUR
#define COUNT_SHARE			50	/* counting a campaign takes a fiftieth of the time */

/*
 * The name of a campaign in shared memory.
 */
void
cac_hint_key(const Source *source, Datum key, HintKey *hint)
{
	int64		number;

	memset(hint, 0, sizeof(*hint));
	hint->dboid = MyDatabaseId;
	hint->campaigns = source->relid[TABLE_CAMPAIGNS];
	switch (cac_key_type(source))
	{
		case UUIDOID:
			memcpy(hint->key, DatumGetUUIDP(key)->data, UUID_LEN);
			return;
		case INT8OID:
			number = DatumGetInt64(key);
			break;
		default:
			number = DatumGetInt32(key);
			break;
	}
	memcpy(hint->key, &number, sizeof(number));
}

/*
 * And back; a uuid points into *hint.
 */
Datum
cac_key_of_hint(const Source *source, const HintKey *hint)
{
	int64		number;

	memcpy(&number, hint->key, sizeof(number));
	switch (cac_key_type(source))
	{
		case UUIDOID:
			return PointerGetDatum(hint->key);
		case INT8OID:
			return Int64GetDatum(number);
		default:
			return Int32GetDatum((int32) number);
	}
}

/*
 * What is remembered of a campaign; nothing, where nothing is.
 */
static void
recall(const Source *source, Datum key, HintKey *hint,
	   TrackedCampaign *tracked)
{
	Oid			id_type = cac_source_column(source, TABLE_MESSAGES, "id")->type;

	cac_hint_key(source, key, hint);
	if (!cac_hint_recall(hint, tracked))
		memset(tracked, 0, sizeof(*tracked));
	if (tracked->id_type != id_type)
		tracked->witness[0] = tracked->last_sent[0] = '\0';
	tracked->id_type = id_type;
}

/*
 * A message's id that is too long is not remembered.
 */
static void
remember_message(char *where, const char *id)
{
	if (strlen(id) < CAC_WITNESS_LEN)
		strlcpy(where, id, CAC_WITNESS_LEN);
	else
		where[0] = '\0';
}

/*
 * Is what was found out at "noted_at" still to be trusted?  "waiting": a hint
 * is, of what would change it.
 */
static bool
trusted(const Source *source, bool waiting, TimestampTz noted_at,
		int64 trust_for, TimestampTz as_of)
{
	return cac_source_hinted(source) && !waiting &&
		noted_at > cac_before(as_of, trust_for) && noted_at <= as_of &&
		noted_at > cac_hints_complete_since();
}

/*
 * cac_kept_open
 *		Is there a message that shows that the sweep has nothing to do with this
 *		open campaign?  It is remembered.
 */
bool
cac_kept_open(Source *source, Datum key, SweepKind sweep,
			  const CampaignFacts *facts, TimestampTz as_of)
{
	TrackedCampaign tracked;
	HintKey		hint;
	bool		awaits = facts->policy.completion_rule == COMPLETION_CONTACTS;
	char	   *message;

	recall(source, key, &hint, &tracked);
	if (sweep == SWEEP_SENDING)
	{
		message = cac_find_witness(source, key, awaits,
								   tracked.witness[0] ? tracked.witness : NULL);
		remember_message(tracked.witness, message ? message : "");
		tracked.unwitnessed &= message == NULL;
	}
	else
	{
		Assert(sweep == SWEEP_INTERRUPTED);
		message = cac_find_sent(source, key,
								cac_before(as_of, facts->policy.stall_after));
		remember_message(tracked.last_sent, message ? message : "");
		/* nothing is pending, so it is not stalled; "sending" closes it */
		if (message == NULL && tracked.nothing_pending &&
			trusted(source, tracked.hint_waiting, tracked.counted_at,
					TRUST_PENDING_FOR, as_of))
			return true;
	}
	cac_hint_track(&hint, &tracked);
	return message != NULL;
}

/*
 * How long it takes to count all these campaigns, by what each took last.
 */
static int64
counting_time(const Source *source, const Datum *keys, int64 nkeys)
{
	int64		total = 0;

	for (int64 i = 0; i < nkeys; i++)
	{
		TrackedCampaign tracked;
		HintKey		hint;

		recall(source, keys[i], &hint, &tracked);
		total += tracked.count_usec;
	}
	return total;
}

/*
 * cac_count_before
 *		Of a source's open campaigns, those that were counted before this moment
 *		are counted unasked, as their statistics may have changed without our
 *		being told.
 *
 * Where nothing ever tells, the more there are, and the larger, the more seldom
 * is each counted: all of them in turn have their share of the time.
 */
TimestampTz
cac_count_before(const Source *source, const Datum *keys, int64 nkeys,
				 TimestampTz as_of)
{
	int64		in_turn;

	if (cac_source_hinted(source))
		return cac_before(as_of, COUNT_HINTED_EVERY);
	in_turn = COUNTING_SHARE * counting_time(source, keys, nkeys);
	return cac_before(as_of, Max(COUNT_UNHINTED_EVERY, in_turn));
}

static bool
count_overdue(const TrackedCampaign *tracked, TimestampTz count_before,
			  TimestampTz as_of)
{
	return tracked->counted_at > as_of ||
		(tracked->counted_at < count_before &&
		 tracked->counted_at < cac_before(as_of, COUNT_SHARE * tracked->count_usec));
}

/*
 * cac_count_overdue
 *		Is it time to count a campaign unasked?
 */
bool
cac_count_overdue(const Source *source, Datum key, TimestampTz count_before,
				  TimestampTz as_of)
{
	TrackedCampaign tracked;
	HintKey		hint;

	recall(source, key, &hint, &tracked);
	return count_overdue(&tracked, count_before, as_of);
}

/*
 * cac_verify_candidates
 *		Which of these open campaigns are kept out of the sweep by the message
 *		that is remembered of them?  Sets held[i].  None is that is to be
 *		counted; nor, with "look", one that is not open.
 */
void
cac_verify_candidates(Source *source, SweepKind sweep, TimestampTz as_of,
					  TimestampTz count_before, bool look, Datum *keys,
					  int64 nkeys, bool *held)
{
	TimestampTz since = sweep == SWEEP_INTERRUPTED ?
		cac_before(as_of, source->policy.stall_after) : DT_NOBEGIN;
	Datum	   *asked = palloc(VERIFY_AT_ONCE * sizeof(Datum));
	char	  **witnesses = palloc(VERIFY_AT_ONCE * sizeof(char *));
	int64	   *numbers = palloc(VERIFY_AT_ONCE * sizeof(int64));
	bool	   *holds = palloc(VERIFY_AT_ONCE * sizeof(bool));
	int			n = 0;

	for (int64 i = 0; i < nkeys; i++)
	{
		TrackedCampaign tracked;
		HintKey		hint;
		const char *message;

		recall(source, keys[i], &hint, &tracked);
		message = sweep == SWEEP_SENDING ? tracked.witness : tracked.last_sent;
		if (message[0] != '\0' &&
			!(sweep == SWEEP_SENDING && cac_source_acts(source) &&
			  count_overdue(&tracked, count_before, as_of)))
		{
			asked[n] = keys[i];
			witnesses[n] = pstrdup(message);
			numbers[n++] = i;
		}
		if (n == VERIFY_AT_ONCE || (n > 0 && i == nkeys - 1))
		{
			cac_verify_witnesses(source, n, asked, witnesses, look, since, holds);
			for (int k = 0; k < n; k++)
				held[numbers[k]] = holds[k];
			n = 0;
		}
	}
}

/*
 * How soon an answer must come to be one; 0: at any time.
 */
static int64
answer_within(const Source *source, TimestampTz cutoff, TimestampTz as_of)
{
	return source->ignores_late ? as_of - cutoff : 0;
}

/*
 * cac_nothing_expires
 *		Is it known that no message of this campaign was sent before the cutoff,
 *		but those whose contacts have answered?
 */
bool
cac_nothing_expires(const Source *source, Datum key, TimestampTz cutoff,
					TimestampTz as_of)
{
	TrackedCampaign tracked;
	HintKey		hint;

	recall(source, key, &hint, &tracked);
	return tracked.next_expiry != 0 && tracked.next_expiry >= cutoff &&
		tracked.expiry_within == answer_within(source, cutoff, as_of) &&
		trusted(source, tracked.expiry_waiting, tracked.expiry_noted_at,
				TRUST_EXPIRY_FOR, as_of);
}

/*
 * cac_note_due
 *		What the 24-hour sweep has found out of an open campaign at as_of.
 */
void
cac_note_due(const Source *source, Datum key, const DueCount *count,
			 TimestampTz cutoff, TimestampTz as_of)
{
	TrackedCampaign tracked;
	HintKey		hint;

	recall(source, key, &hint, &tracked);
	/* what is due may be left, if somebody holds it; what is sent later counts
	 * from now on */
	tracked.next_expiry = count->due == 0 ? Min(count->next, as_of) : 0;
	tracked.expiry_noted_at = as_of;
	tracked.expiry_within = answer_within(source, cutoff, as_of);
	if (count->candidate != NULL && tracked.witness[0] == '\0')
		remember_message(tracked.witness, count->candidate);
	cac_hint_track(&hint, &tracked);
}

/*
 * cac_witness_holds
 *		Does the message that is remembered of it still keep a campaign open?
 */
bool
cac_witness_holds(Source *source, Datum key, const CampaignFacts *facts)
{
	TrackedCampaign tracked;
	HintKey		hint;

	recall(source, key, &hint, &tracked);
	return tracked.witness[0] != '\0' &&
		cac_witness_stands(source, key,
						   facts->policy.completion_rule == COMPLETION_CONTACTS,
						   tracked.witness);
}

/*
 * cac_note_change
 *		A hint with these flags was taken: something has happened that memory
 *		does not know of.
 */
void
cac_note_change(const Source *source, Datum key, int flags)
{
	TrackedCampaign tracked;
	HintKey		hint;

	cac_hint_key(source, key, &hint);
	if (cac_hint_recall(&hint, &tracked))
	{
		if (flags & HINT_EXPIRY)
			tracked.next_expiry = 0;
		tracked.nothing_pending = false;
		cac_hint_track(&hint, &tracked);
	}
}

/*
 * cac_stays_open_unwitnessed
 *		Has an open campaign no message that keeps it open, and stays so all the
 *		same?  So it is until it has messages, and total_recipients of them.
 *
 * Of one that there was no room to remember, it must be assumed.
 */
bool
cac_stays_open_unwitnessed(const Source *source, Datum key)
{
	TrackedCampaign tracked;
	HintKey		hint;

	cac_hint_key(source, key, &hint);
	return !cac_hint_recall(&hint, &tracked) || tracked.unwitnessed;
}

/*
 * cac_note_count
 *		A campaign that stays open was counted, which took "usec".
 */
void
cac_note_count(const Source *source, Datum key, const CampaignTally *tally,
			   bool unwitnessed, int64 usec, TimestampTz as_of)
{
	TrackedCampaign tracked;
	HintKey		hint;

	recall(source, key, &hint, &tracked);
	tracked.counted_at = as_of;
	tracked.count_usec = usec;
	tracked.nothing_pending = tally->pending == 0;
	tracked.unwitnessed = unwitnessed;
	cac_hint_track(&hint, &tracked);
}

/*
 * cac_count_not_before
 *		When a campaign's statistics may be counted again, so that this takes
 *		no more than its share of the time.
 */
TimestampTz
cac_count_not_before(const Source *source, Datum key, TimestampTz now)
{
	TrackedCampaign tracked;
	HintKey		hint;

	recall(source, key, &hint, &tracked);
	return tracked.counted_at == 0 || tracked.counted_at > now ? DT_NOBEGIN :
		cac_after(tracked.counted_at, COUNT_SHARE * tracked.count_usec);
}

void
cac_forget_closed(const Source *source, Datum key)
{
	HintKey		hint;

	cac_hint_key(source, key, &hint);
	cac_hint_forget(&hint);
}

static bool
still_open(const HintKey *hint, void *open)
{
	return hash_search(open, hint, HASH_FIND, NULL) != NULL;
}

/*
 * cac_prune_tracked
 *		Forget the campaigns that are not among the open ones.
 */
void
cac_prune_tracked(const Source *source, const Datum *keys, int64 nkeys)
{
	HASHCTL		ctl = {0};
	HTAB	   *open;

	ctl.keysize = sizeof(HintKey);
	ctl.entrysize = sizeof(HintKey);
	ctl.hcxt = CurrentMemoryContext;
	open = hash_create("campaign_autoclose open campaigns", Max(nkeys, 16), &ctl,
					   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (int64 i = 0; i < nkeys; i++)
	{
		HintKey		hint;

		cac_hint_key(source, keys[i], &hint);
		(void) hash_search(open, &hint, HASH_ENTER, NULL);
	}
	cac_hints_prune(MyDatabaseId, source->relid[TABLE_CAMPAIGNS], still_open, open);
	hash_destroy(open);
}
