/*
 * notes.c
 *		What a transaction notes of the campaigns that it changes, and what
 *		becomes of that when it ends.
 *
 * The row trigger (triggers.c) makes the notes, in backend memory: one a
 * campaign, for as many campaigns as there is room for.  At commit they become
 * hints in shared memory (hints.c), due a moment later; on abort they are
 * forgotten.
 *
 * What a subtransaction noted stands even if that is rolled back.  A prepared
 * transaction is published when it is prepared, since no callback of ours runs
 * at COMMIT PREPARED, which another session may do: that hint comes to nothing
 * if it falls due first.  All this costs time only: a look for nothing, or a
 * campaign that waits for the next sweep.
 */
#include "postgres.h"

#include "access/xact.h"
#include "port/pg_bitutils.h"

#include "notes.h"

/* Campaigns that one transaction can note. */
#define MAX_NOTES		4096
#define NOTE_BUCKETS	8192	/* a power of two */

static HintNote notes[MAX_NOTES];
static int	nnotes = 0;
static int64 notes_lost = 0;	/* single hints that found no room */
static uint16 note_in_bucket[NOTE_BUCKETS]; /* the latest one, counting from 1 */
static uint16 next_note[MAX_NOTES]; /* the one before it in its bucket */
static uint16 bucket_of_note[MAX_NOTES];

static bool notes_muted = false;

static void
forget_notes(void)
{
	for (int i = 0; i < nnotes; i++)
		note_in_bucket[bucket_of_note[i]] = 0;
	nnotes = 0;
	notes_lost = 0;
}

/*
 * After the commit record is written nothing may raise, so nothing here
 * allocates, and an LWLock is all that is waited for.
 */
static void
notes_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			if (nnotes > 0)
				cac_hints_publish(notes, nnotes, GetCurrentTransactionStopTimestamp());
			cac_hints_lost(notes_lost);
			forget_notes();
			break;
		case XACT_EVENT_ABORT:
			forget_notes();
			break;
		default:
			break;
	}
}

/*
 * A mute transaction that fails leaves nobody mute.
 */
static void
unmute_xact_callback(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		notes_muted = false;
}

static void
unmute_subxact_callback(SubXactEvent event, SubTransactionId mySubid,
					   SubTransactionId parentSubid, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		notes_muted = false;
}

/*
 * cac_note_campaign
 *		Note that the transaction has changed this campaign.
 */
void
cac_note_campaign(const HintKey *key, int flags, int64 check_delay)
{
	static bool registered = false;
	uint32		hash = cac_hint_hash(key);
	uint32		bucket = hash & (NOTE_BUCKETS - 1);
	int			n;

	if (!registered)
	{
		RegisterXactCallback(notes_xact_callback, NULL);
		registered = true;
	}
	for (n = note_in_bucket[bucket]; n != 0; n = next_note[n - 1])
	{
		if (memcmp(&notes[n - 1].key, key, sizeof(HintKey)) == 0)
		{
			notes[n - 1].flags |= flags;
			return;
		}
	}
	if (nnotes == MAX_NOTES)
	{
		notes_lost += pg_popcount32(flags & HINT_KINDS);
		return;
	}
	notes[nnotes].key = *key;
	notes[nnotes].hash = hash;
	notes[nnotes].flags = flags;
	notes[nnotes].check_delay = check_delay;
	bucket_of_note[nnotes] = bucket;
	next_note[nnotes] = note_in_bucket[bucket];
	note_in_bucket[bucket] = ++nnotes;
}

/*
 * cac_mute_notes
 *		Have the trigger note nothing, or note again; returns what it was.
 *
 * For the statements by which a sweep marks messages: it judges their campaign
 * anyway.  Ends by itself with the (sub)transaction that fails.
 */
bool
cac_mute_notes(bool mute)
{
	static bool registered = false;
	bool		before = notes_muted;

	if (!registered)
	{
		RegisterXactCallback(unmute_xact_callback, NULL);
		RegisterSubXactCallback(unmute_subxact_callback, NULL);
		registered = true;
	}
	notes_muted = mute;
	return before;
}

bool
cac_notes_muted(void)
{
	return notes_muted;
}
