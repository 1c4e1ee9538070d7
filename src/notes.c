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
/* The first few are searched one by one: most transactions note no more, and
 * touch less memory so. */
#define FEW_NOTES		4

static HintNote notes[MAX_NOTES];
static int	nnotes = 0;
static int64 notes_lost = 0;	/* single hints that found no room */
static uint16 note_in_bucket[NOTE_BUCKETS]; /* the latest one, counting from 1 */
static uint16 next_note[MAX_NOTES]; /* the one before it in its bucket */

bool		cac_notes_muted = false;

static uint32
bucket_of(const HintNote *note)
{
	return note->hash & (NOTE_BUCKETS - 1);
}

static void
forget_notes(void)
{
	for (int i = FEW_NOTES; i < nnotes; i++)
		note_in_bucket[bucket_of(&notes[i])] = 0;
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
		cac_notes_muted = false;
}

static void
unmute_subxact_callback(SubXactEvent event, SubTransactionId mySubid,
					   SubTransactionId parentSubid, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		cac_notes_muted = false;
}

/*
 * The transaction's note of the same campaign; NULL if there is none.
 */
static HintNote *
find_note(const HintNote *note)
{
	for (int i = 0; i < Min(nnotes, FEW_NOTES); i++)
	{
		if (memcmp(&notes[i].key, &note->key, sizeof(HintKey)) == 0)
			return &notes[i];
	}
	if (nnotes <= FEW_NOTES)
		return NULL;
	for (int n = note_in_bucket[bucket_of(note)]; n != 0; n = next_note[n - 1])
	{
		if (memcmp(&notes[n - 1].key, &note->key, sizeof(HintKey)) == 0)
			return &notes[n - 1];
	}
	return NULL;
}

static void
add_note(const HintNote *note)
{
	notes[nnotes++] = *note;
	if (nnotes > FEW_NOTES)
	{
		next_note[nnotes - 1] = note_in_bucket[bucket_of(note)];
		note_in_bucket[bucket_of(note)] = nnotes;
	}
}

/*
 * cac_note_campaign
 *		Note that the transaction has changed this campaign.
 */
void
cac_note_campaign(const HintKey *key, int flags, int64 check_delay)
{
	static bool registered = false;
	HintNote	note = {.key = *key, .hash = cac_hint_hash(key), .flags = flags,
	.check_delay = check_delay};
	HintNote   *before = find_note(&note);

	if (!registered)
	{
		RegisterXactCallback(notes_xact_callback, NULL);
		registered = true;
	}
	if (before != NULL)
		before->flags |= flags;
	else if (nnotes < MAX_NOTES)
		add_note(&note);
	else
		notes_lost += pg_popcount32(flags & HINT_KINDS);
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
	bool		before = cac_notes_muted;

	if (!registered)
	{
		RegisterXactCallback(unmute_xact_callback, NULL);
		RegisterSubXactCallback(unmute_subxact_callback, NULL);
		registered = true;
	}
	cac_notes_muted = mute;
	return before;
}
