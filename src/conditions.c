/*
 * conditions.c
 *		Parts of statements: when a message was sent, whether its contact has
 *		answered.
 *
 * Most interactions tell their campaign.  One that tells none belongs to the
 * campaigns of its contact whose Message 1 was sent before it came.  Which of
 * the two there may be is known beforehand, so that nothing is looked for in
 * vain.
 *
 * "within" names the parameter that is the interval in which an answer must
 * come, where late ones are ignored.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "lib/stringinfo.h"
#include "utils/syscache.h"

#include "conditions.h"
#include "template.h"

/*
 * When the message m was sent; NULL if it was not, or does not tell.  Where
 * there is no column for it, it was when a message that has left was last
 * written.
 */
const char *
cac_sent_moment(const Source *source)
{
	bool		told = cac_source_column(source, TABLE_MESSAGES, "sent_at")->name != NULL;

	return cac_expand(source, told ? "@m.sent_at@" :
					  "CASE WHEN @m.status:sent,delivered,read@"
					  " THEN greatest(@m.created_at@, @m.updated_at@) END", NULL);
}

bool
cac_interactions_tell_campaign(const Source *source)
{
	return source->table[TABLE_INTERACTIONS] != NULL &&
		cac_source_column(source, TABLE_INTERACTIONS, "campaign_id")->name != NULL;
}

bool
cac_interactions_may_lack_campaign(const Source *source)
{
	const SourceColumn *campaign = cac_source_column(source, TABLE_INTERACTIONS,
													 "campaign_id");
	HeapTuple	tuple;
	bool		nullable;

	if (source->table[TABLE_INTERACTIONS] == NULL ||
		cac_source_column(source, TABLE_INTERACTIONS, "received_at")->name == NULL)
		return false;
	if (source->interactions_keyed)
		return false;
	if (campaign->name == NULL)
		return true;
	tuple = SearchSysCacheAttName(source->relid[TABLE_INTERACTIONS], campaign->name);
	if (!HeapTupleIsValid(tuple))
		return false;
	nullable = !((Form_pg_attribute) GETSTRUCT(tuple))->attnotnull;
	ReleaseSysCache(tuple);
	return nullable;
}

/*
 * The beginning of a condition: the interaction i tells no campaign.
 */
const char *
cac_lacks_campaign(const Source *source)
{
	return cac_interactions_tell_campaign(source) ? cac_expand(source, "@i.campaign_id@ IS NULL AND ", NULL) :
		"";
}

/*
 * The end of a condition: the interaction i came in time after the message m,
 * within the interval that is the parameter named.
 */
static const char *
in_time(const Source *source, const char *within)
{
	if (!source->ignores_late)
		return "";
	return cac_expand(source,
					  " AND (@i.received_at@ @-@ " MESSAGE_MOMENT " @<=@ @$1@) IS NOT FALSE",
					  &within);
}

/*
 * Has the contact of the message m sent no reply, nor a reaction, since, that
 * tells no campaign?
 */
static char *
quiet_condition(const Source *source, const char *within)
{
	const char *fragments[2];

	fragments[0] = cac_lacks_campaign(source);
	fragments[1] = in_time(source, within);
	return cac_expand(source,
					  "NOT EXISTS (SELECT FROM @interactions@ AS i"
					  " WHERE @$1@@i.contact_id@ @=i.contact_id,m.contact_id@ @m.contact_id@"
					  " AND " MESSAGE_MOMENT " @<@ @i.received_at@"
					  " AND @i.interaction_type:reply,reaction@@$2@)", fragments);
}

/*
 * Has he sent none in the campaign $1 that tells it?
 */
static char *
silent_in_campaign(const Source *source, const char *within)
{
	const char *fragments[2];

	fragments[0] = in_time(source, within);
	return cac_expand(source,
					  "NOT EXISTS (SELECT FROM @interactions@ AS i"
					  " WHERE @i.campaign_id@ @=@ @m.campaign_id@ AND @i.campaign_id@ @=@ $1"
					  " AND @i.contact_id@ @=i.contact_id,m.contact_id@ @m.contact_id@"
					  " AND @i.interaction_type:reply,reaction@@$1@)", fragments);
}

/*
 * What must be asked for each message m, and not once for its contact: whether
 * an interaction came since it was sent, or in time.  NULL: nothing.
 */
const char *
cac_asked_for_each(const Source *source, const char *within)
{
	bool		late = source->ignores_late && cac_interactions_tell_campaign(source);

	if (late && cac_interactions_may_lack_campaign(source))
		return psprintf("%s AND %s", silent_in_campaign(source, within),
						quiet_condition(source, within));
	if (late)
		return silent_in_campaign(source, within);
	return cac_interactions_may_lack_campaign(source) ? quiet_condition(source, within) : NULL;
}

/*
 * How many replies and reactions there are in the campaign $1; $3 its start.
 */
const char *
cac_interaction_count(const Source *source)
{
	const char *fragments[2];
	char	   *telling = NULL;
	char	   *others;

	if (cac_interactions_tell_campaign(source))
		telling = cac_expand(source,
							 "(SELECT pg_catalog.count(*) FROM @interactions@ AS i"
							 " WHERE @i.campaign_id@ @=@ $1"
							 " AND @i.interaction_type:reply,reaction@)", NULL);
	if (!cac_interactions_may_lack_campaign(source))
		return telling ? telling : "0::pg_catalog.int8";

	fragments[0] = cac_lacks_campaign(source);
	others = cac_expand(source,
						"(SELECT pg_catalog.count(*) FROM (SELECT @m.contact_id@ AS id,"
						"  pg_catalog.min(" MESSAGE_MOMENT ") AS moment"
						"  FROM @messages@ AS m WHERE @m.campaign_id@ @=@ $1"
						"  AND @m.message_type:message_1@"
						"  AND @m.status:sent,delivered,read,no_interaction@"
						"  GROUP BY @m.contact_id@) AS contact"
						" JOIN @interactions@ AS i"
						" ON @$1@@i.contact_id@ @=i.contact_id,m.contact_id@ contact.id"
						" AND contact.moment @<@ @i.received_at@"
						" AND @i.interaction_type:reply,reaction@)", fragments);
	return telling ? psprintf("%s OPERATOR(pg_catalog.+) %s", telling, others) : others;
}

/*
 * What tells that a contact's silence is over, for the message row m.
 */
const char *
cac_silent_condition(const Source *source, const char *within)
{
	StringInfoData condition;

	initStringInfo(&condition);
	appendStringInfoString(&condition,
						   cac_expand(source,
									  " AND NOT EXISTS (SELECT FROM @messages@ AS n"
									  " WHERE @n.campaign_id@ @=@ @m.campaign_id@ AND @n.campaign_id@ @=@ $1"
									  " AND @n.contact_id@ @=m.contact_id@ @m.contact_id@"
									  " AND @n.message_type:message_2@)", NULL));
	if (cac_interactions_tell_campaign(source))
		appendStringInfo(&condition, " AND %s", silent_in_campaign(source, within));
	if (cac_interactions_may_lack_campaign(source))
		appendStringInfo(&condition, " AND %s", quiet_condition(source, within));
	return condition.data;
}
