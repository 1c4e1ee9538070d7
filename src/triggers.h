/*
 * triggers.h
 *		The row trigger on a source's messages.
 */
#ifndef CAC_TRIGGERS_H
#define CAC_TRIGGERS_H

#include "source.h"

extern char *cac_find_message_trigger(Oid relid);
extern void cac_ensure_message_trigger(const Source *source);
extern void cac_create_message_trigger(const Source *source);
extern void cac_renew_message_trigger(const Source *source);
extern void cac_drop_message_trigger(const Source *source);

#endif							/* CAC_TRIGGERS_H */
