/*
 * notes.h
 *		What a transaction notes of the campaigns that it changes.
 */
#ifndef CAC_NOTES_H
#define CAC_NOTES_H

#include "hints.h"

/* Does the trigger note nothing?  Set by cac_mute_notes(). */
extern bool cac_notes_muted;

extern void cac_note_campaign(const HintKey *key, int flags, int64 check_delay);
extern bool cac_mute_notes(bool mute);

#endif							/* CAC_NOTES_H */
