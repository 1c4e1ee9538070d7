/*
 * conditions.h
 *		Parts of statements: when a message was sent, whether its contact has
 *		answered.
 */
#ifndef CAC_CONDITIONS_H
#define CAC_CONDITIONS_H

#include "source.h"

/* When the message m was sent, $3 being the campaign's start */
#define MESSAGE_MOMENT	"coalesce(@m.sent_at@, greatest(@m.created_at@, $3))"

extern const char *cac_sent_moment(const Source *source);
extern bool cac_interactions_tell_campaign(const Source *source);
extern bool cac_interactions_may_lack_campaign(const Source *source);
extern const char *cac_lacks_campaign(const Source *source);
extern const char *cac_asked_for_each(const Source *source, const char *within);
extern const char *cac_interaction_count(const Source *source);
extern const char *cac_silent_condition(const Source *source,
										const char *within);

#endif							/* CAC_CONDITIONS_H */
