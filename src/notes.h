/*
 * notes.h
 *		What a transaction notes of the campaigns that it changes.
 */
#ifndef CAC_NOTES_H
#define CAC_NOTES_H

#include "hints.h"

extern void cac_note_campaign(const HintKey *key, int flags, int64 check_delay);
extern bool cac_mute_notes(bool mute);
extern bool cac_notes_muted(void);

#endif							/* CAC_NOTES_H */
