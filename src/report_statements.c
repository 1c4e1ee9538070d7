/*
 * report_statements.c
 *		The SQL that only reports on a campaign: what it waits for, at what pace it
 *		goes, what became of its contacts.
 *
 * Templates, as in statements.c.  They only read, and are given the campaign's
 * key as $1 and, as far as they need it, its start as $3.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "conditions.h"
#include "report_statements.h"
#include "template.h"

/*
 * The messages of the campaign $1 that are pending, or in a status that no
 * label maps: by kind the former, by word the latter, with the oldest.
 */
char *
cac_unsent_statement(const Source *source)
{
	return cac_expand(source,
					  "SELECT pending, second, word, pg_catalog.count(*), pg_catalog.min(created)"
					  " FROM (SELECT coalesce(@m.status:pending@, false) AS pending,"
					  "  CASE WHEN @m.status:pending@ THEN coalesce(@m.message_type:message_2@, false) ELSE false END AS second,"
					  "  CASE WHEN @m.status:pending@ THEN NULL ELSE @m.status@::pg_catalog.text END AS word,"
					  "  @m.created_at@ AS created"
					  "  FROM @messages@ AS m WHERE @m.campaign_id@ @=@ $1"
					  "  AND @m.message_type:message_1,message_2@"
					  "  AND @m.status:sent,delivered,read,failed,no_interaction,ignored@ IS NOT TRUE) AS message"
					  " GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2, 4 DESC, word COLLATE pg_catalog.\"C\"", NULL);
}

/*
 * The contacts that the campaign $1 awaits, $3 its start: how many are silent,
 * and of these when the first and the last was sent Message 1; how many have
 * replied and have no Message 2 yet; how many have one that has not left.
 */
char *
cac_awaited_statement(const Source *source)
{
	const char *fragments[1];

	fragments[0] = cac_silent_condition(source, "$4");
	return cac_expand(source,
					  "SELECT pg_catalog.count(*) FILTER (WHERE silent),"
					  " pg_catalog.min(moment) FILTER (WHERE silent),"
					  " pg_catalog.max(moment) FILTER (WHERE silent),"
					  " pg_catalog.count(*) FILTER (WHERE NOT silent AND NOT followed),"
					  " pg_catalog.count(*) FILTER (WHERE followed)"
					  " FROM (SELECT pg_catalog.bool_and(silent) AS silent,"
					  "  pg_catalog.bool_or(followed) AS followed, pg_catalog.max(moment) AS moment"
					  "  FROM (SELECT @m.contact_id@ AS id,"
					  "    CASE WHEN @m.contact_id@ IS NULL THEN @m.id@ END AS alone,"
					  "    " MESSAGE_MOMENT " AS moment,"
					  "    CASE WHEN true@$1@ THEN true ELSE false END AS silent,"
					  "    EXISTS (SELECT FROM @messages@ AS n"
					  "     WHERE @n.campaign_id@ @=@ @m.campaign_id@ AND @n.campaign_id@ @=@ $1"
					  "     AND @n.contact_id@ @=m.contact_id@ @m.contact_id@ AND @n.message_type:message_2@) AS followed"
					  "   FROM @messages@ AS m WHERE @m.campaign_id@ @=@ $1"
					  "    AND @m.message_type:message_1@ AND @m.status:sent,delivered,read@"
					  "    AND NOT EXISTS (SELECT FROM @messages@ AS n"
					  "     WHERE @n.campaign_id@ @=@ @m.campaign_id@ AND @n.campaign_id@ @=@ $1"
					  "     AND @n.contact_id@ @=m.contact_id@ @m.contact_id@ AND @n.message_type:message_2@"
					  "     AND @n.status:sent,delivered,read,failed,no_interaction@)"
					  "   OFFSET 0) AS message"
					  "  GROUP BY id, alone) AS contact", fragments);
}

/*
 * Of the messages of the campaign $1, how many were sent after $2 and not after
 * $3, and when the last of all changed, as far as the table tells.
 */
char *
cac_pace_statement(const Source *source)
{
	const char *fragments[1];

	fragments[0] = cac_sent_moment(source);
	return cac_expand(source,
					  "SELECT pg_catalog.count(*) FILTER (WHERE $2 @<@ sent AND sent @<=@ $3),"
					  " pg_catalog.max(change)"
					  " FROM (SELECT @$1@ AS sent,"
					  "  greatest(@m.created_at@, @m.sent_at@, @m.updated_at@) AS change"
					  "  FROM @messages@ AS m WHERE @m.campaign_id@ @=@ $1"
					  "  AND @m.message_type:message_1,message_2@"
					  "  AND @m.status:ignored@ IS NOT TRUE) AS message", fragments);
}

/*
 * Join to the contacts "contact" whether each has replied or reacted, as
 * reply.moment and later.moment (or, where the table does not tell when,
 * reply.replied).  An interaction that tells no campaign counts from
 * contact.first_moment on.
 */
static char *
join_replies(const Source *source)
{
	StringInfoData join;

	initStringInfo(&join);
	if (cac_interactions_tell_campaign(source))
		appendStringInfoString(&join,
							   cac_expand(source,
										  " LEFT JOIN (SELECT @i.contact_id@ AS id, true AS replied,"
										  "  pg_catalog.min(@i.received_at@) AS moment"
										  "  FROM @interactions@ AS i WHERE @i.campaign_id@ @=@ $1"
										  "  AND @i.interaction_type:reply,reaction@"
										  "  GROUP BY 1) AS reply"
										  " ON reply.id @=i.contact_id,m.contact_id@ contact.id", NULL));
	else
		appendStringInfoString(&join,
							   " CROSS JOIN (SELECT false AS replied, NULL::pg_catalog.timestamptz AS moment) AS reply");
	if (cac_interactions_may_lack_campaign(source))
		appendStringInfo(&join,
						 " CROSS JOIN LATERAL (SELECT pg_catalog.min(%s) AS moment"
						 "  FROM %s AS i WHERE %s%s) AS later",
						 cac_expand(source, "@i.received_at@", NULL),
						 source->table[TABLE_INTERACTIONS],
						 cac_lacks_campaign(source),
						 cac_expand(source,
									"@i.contact_id@ @=i.contact_id,m.contact_id@ contact.id"
									" AND contact.first_moment @<@ @i.received_at@"
									" AND @i.interaction_type:reply,reaction@", NULL));
	else
		appendStringInfoString(&join,
							   " CROSS JOIN (SELECT NULL::pg_catalog.timestamptz AS moment) AS later");
	return join.data;
}

/* Has the contact? */
#define REPLIED		"(reply.replied IS TRUE OR later.moment IS NOT NULL)"

/*
 * Likewise the contact's name and number, as person.name and person.number.
 * Nothing says that a contact is but one row.
 */
static const char *
join_contacts(const Source *source, bool named)
{
	if (!named)
		return " CROSS JOIN (SELECT NULL::pg_catalog.text AS name,"
			" NULL::pg_catalog.text AS number) AS person";
	return cac_expand(source,
					  " LEFT JOIN LATERAL (SELECT"
					  "  (SELECT n.name FROM pg_catalog.concat_ws(' ', @k.first_name@, @k.last_name@) AS n (name)"
					  "   WHERE n.name @<>@ '') AS name,"
					  "  @k.full_number@::pg_catalog.text AS number"
					  "  FROM @contacts@ AS k WHERE @k.id@ @=k.id,m.contact_id@ contact.id"
					  "  LIMIT 1) AS person ON true", NULL);
}

/*
 * What is known of each contact of one campaign, see ContactState.  "named":
 * with names and numbers.
 *
 * A contact who has several rows of a kind has the latest moment of them, and
 * the words in alphabetical order.
 */
char *
cac_outcomes_statement(const Source *source, bool named)
{
	const char *fragments[2];

	fragments[0] = join_replies(source);
	fragments[1] = join_contacts(source, named);
	return cac_expand(source,
					  "SELECT contact.id::pg_catalog.text, person.name, person.number,"
					  " contact.message_1, contact.message_2, contact.unmapped,"
					  " contact.pending_1, contact.pending_2, contact.in_flight,"
					  " contact.sent_2, contact.failed_2, contact.silent_1, contact.failed_1,"
					  " " REPLIED ", least(reply.moment, later.moment),"
					  " contact.moment_1, contact.changed_1, contact.moment_2, contact.created_at,"
					  " contact.error_1, contact.error_2"
					  " FROM (SELECT id, alone,"
					  "   pg_catalog.string_agg(DISTINCT word, ', ' ORDER BY word) FILTER (WHERE NOT second) AS message_1,"
					  "   pg_catalog.string_agg(DISTINCT word, ', ' ORDER BY word) FILTER (WHERE second) AS message_2,"
					  "   pg_catalog.bool_or(known IS NOT TRUE) AS unmapped,"
					  "   pg_catalog.bool_or(pending AND NOT second) AS pending_1,"
					  "   pg_catalog.bool_or(pending AND second) AS pending_2,"
					  "   pg_catalog.bool_or(sent AND NOT second) AS in_flight,"
					  "   pg_catalog.bool_or(sent AND second) AS sent_2,"
					  "   pg_catalog.bool_or((failed OR silent) AND second) AS failed_2,"
					  "   pg_catalog.bool_or(silent AND NOT second) AS silent_1,"
					  "   pg_catalog.bool_or(failed AND NOT second) AS failed_1,"
					  "   pg_catalog.min(moment) FILTER (WHERE (sent OR silent) AND NOT second) AS first_moment,"
					  "   pg_catalog.max(moment) FILTER (WHERE sent AND NOT second) AS moment_1,"
					  "   pg_catalog.max(coalesce(updated_at, sent_at, created_at)) FILTER (WHERE (failed OR silent) AND NOT second) AS changed_1,"
					  "   pg_catalog.max(coalesce(CASE WHEN sent THEN sent_at END, updated_at, sent_at, created_at))"
					  "    FILTER (WHERE (sent OR failed OR silent) AND second) AS moment_2,"
					  "   pg_catalog.max(created_at) FILTER (WHERE known IS NOT TRUE OR pending) AS created_at,"
					  "   pg_catalog.max(error) FILTER (WHERE (failed OR silent) AND NOT second) AS error_1,"
					  "   pg_catalog.max(error) FILTER (WHERE (failed OR silent) AND second) AS error_2"
					  "  FROM (SELECT @m.contact_id@ AS id,"
					  "    CASE WHEN @m.contact_id@ IS NULL THEN @m.id@ END AS alone,"
					  "    @m.message_type:message_2@ AS second,"
					  "    @m.status@::pg_catalog.text AS word,"
					  "    @m.status:pending,sent,delivered,read,failed,no_interaction@ AS known,"
					  "    @m.status:pending@ AS pending,"
					  "    @m.status:sent,delivered,read@ AS sent,"
					  "    @m.status:failed@ AS failed,"
					  "    @m.status:no_interaction@ AS silent,"
					  "    @m.sent_at@ AS sent_at, @m.created_at@ AS created_at, " MESSAGE_MOMENT " AS moment,"
					  "    @m.updated_at@ AS updated_at,"
					  "    @m.error_message@::pg_catalog.text AS error"
					  "   FROM @messages@ AS m WHERE @m.campaign_id@ @=@ $1"
					  "    AND @m.message_type:message_1,message_2@"
					  "    AND @m.status:ignored@ IS NOT TRUE) AS message"
					  "  GROUP BY id, alone) AS contact@$1@@$2@"
					  " ORDER BY contact.id, contact.alone", fragments);
}

/*
 * How many contacts of one campaign came how far: sent, delivered, read,
 * replied, sent a Message 2.  Who came to a stage has come to those before it,
 * whatever the later status left of them.
 */
char *
cac_funnel_statement(const Source *source)
{
	const char *fragments[1];

	fragments[0] = join_replies(source);
	return cac_expand(source,
					  "SELECT pg_catalog.count(*) FILTER (WHERE sent OR delivered OR read OR replied OR answered),"
					  " pg_catalog.count(*) FILTER (WHERE delivered OR read OR replied OR answered),"
					  " pg_catalog.count(*) FILTER (WHERE read OR replied OR answered),"
					  " pg_catalog.count(*) FILTER (WHERE replied OR answered),"
					  " pg_catalog.count(*) FILTER (WHERE answered)"
					  " FROM (SELECT contact.*, " REPLIED " AS replied"
					  "  FROM (SELECT id,"
					  "    pg_catalog.min(moment) FILTER (WHERE first AND sent) AS first_moment,"
					  "    pg_catalog.bool_or(first AND sent) AS sent,"
					  "    pg_catalog.bool_or(first AND delivered) AS delivered,"
					  "    pg_catalog.bool_or(first AND read) AS read,"
					  "    pg_catalog.bool_or(second AND answered) AS answered"
					  "   FROM (SELECT @m.contact_id@ AS id,"
					  "     CASE WHEN @m.contact_id@ IS NULL THEN @m.id@ END AS alone,"
					  "     @m.message_type:message_1@ AS first,"
					  "     @m.message_type:message_2@ AS second,"
					  "     @m.status:sent,delivered,read,no_interaction@ AS sent,"
					  "     @m.status:delivered,read@ OR @m.delivered_at@ IS NOT NULL AS delivered,"
					  "     @m.status:read@ OR @m.read_at@ IS NOT NULL AS read,"
					  "     @m.status:sent,delivered,read@ AS answered, " MESSAGE_MOMENT " AS moment"
					  "    FROM @messages@ AS m WHERE @m.campaign_id@ @=@ $1"
					  "     AND @m.message_type:message_1,message_2@"
					  "     AND @m.status:ignored@ IS NOT TRUE) AS message"
					  "   GROUP BY id, alone) AS contact@$1@) AS contact", fragments);
}
