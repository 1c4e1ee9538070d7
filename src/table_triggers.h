/*
 * table_triggers.h
 *		The triggers on a source's tables.
 */
#ifndef CAC_TABLE_TRIGGERS_H
#define CAC_TABLE_TRIGGERS_H

#include "source.h"

extern bool cac_source_hinted(const Source *source);
extern bool cac_source_words_plain(const Source *source,
								   const char *standard_name);
extern bool cac_source_plain(const Source *source);
extern char *cac_message_trigger(const Source *source);
extern void cac_ensure_message_trigger(const Source *source);
extern void cac_create_message_trigger(const Source *source);
extern void cac_renew_message_trigger(const Source *source);
extern void cac_drop_message_trigger(const Source *source);

#endif							/* CAC_TABLE_TRIGGERS_H */
