/*
 * blackout.c
 *		Does silence prove anything, or is nothing heard of anybody?
 *
 * A contact is taken for silent because no interaction of theirs has come in.
 * When the provider's callbacks stop arriving, none comes in from anybody, and
 * marking would fail thousands of contacts falsely.  A source that has set
 * blackout_after is in a blackout while there has been no sign of life for so
 * long, from any contact:
 *
 * - an interaction of whatever type, by its received_at;
 * - a status callback: a message's delivered_at or read_at, or the updated_at of
 *	 one that is delivered or read (the extension itself gives none of its own
 *	 marks such a status).
 *
 * sent_at is no such sign, as the application sets it itself.  Signs are looked
 * for in the open campaigns, and in those closed lately.  One is enough, so
 * that normally a few rows are read; in a blackout it is all messages of these
 * campaigns, once a sweep that finds something due.
 *
 * That a blackout lasts is remembered in campaign_blackout, so that it is told
 * of once, and for campaign_health().  The row goes with the first sweep that
 * finds a sign of life.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "blackout.h"
#include "queries.h"

/*
 * Since when nothing has come in, in a blackout, at the least.
 */
TimestampTz
cac_silent_since(const Source *source, TimestampTz as_of)
{
	return cac_before(as_of, source->blackout_after);
}

/*
 * cac_in_blackout
 *		Does silence prove nothing at as_of?
 *
 * SPI must be connected and cac_source_enter() done.  *blackout is asked first,
 * and told.
 */
bool
cac_in_blackout(Source *source, Blackout *blackout, TimestampTz as_of)
{
	TimestampTz since;

	if (source->blackout_after < 0)
		return false;
	if (!blackout->known)
	{
		since = cac_silent_since(source, as_of);
		blackout->holds = !cac_find_sign(source, since,
										 cac_before(since, source->policy.settle_for));
		blackout->known = true;
	}
	return blackout->holds;
}

/*
 * cac_remember_blackout
 *		Note that the source is in a blackout; false if that is known already.
 */
bool
cac_remember_blackout(const Source *source, TimestampTz as_of)
{
	static CatalogQuery query = CATALOG_QUERY(
		"INSERT INTO @.campaign_blackout (source, silent_since, noticed_at)"
		" VALUES ($1, $2, $3) ON CONFLICT (source) DO NOTHING");
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, source->name);
	cac_add_timestamp(&arguments, cac_silent_since(source, as_of));
	cac_add_timestamp(&arguments, as_of);
	return cac_catalog_execute(&query, &arguments) > 0;
}

/*
 * cac_recall_blackout
 *		Was the source in a blackout when it was last swept, and since when?
 */
bool
cac_recall_blackout(const Source *source, TimestampTz *silent_since)
{
	static CatalogQuery query = CATALOG_QUERY(
		"SELECT silent_since FROM @.campaign_blackout WHERE source = $1");
	CatalogArguments arguments = {0};
	bool		found;

	cac_add_name(&arguments, source->name);
	found = cac_catalog_execute(&query, &arguments) > 0;
	if (found)
		*silent_since = cac_row_timestamp(0, 1);
	SPI_freetuptable(SPI_tuptable);
	return found;
}

void
cac_forget_blackout(const Source *source)
{
	static CatalogQuery query = CATALOG_QUERY(
		"DELETE FROM @.campaign_blackout WHERE source = $1");
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, source->name);
	cac_catalog_execute(&query, &arguments);
}

/*
 * cac_end_blackout
 *		Forget the blackout that is remembered of a source, if it is over.
 *
 * SPI must be connected and cac_source_enter() done.
 */
void
cac_end_blackout(Source *source, Blackout *blackout, TimestampTz as_of)
{
	TimestampTz silent_since;

	if (!cac_recall_blackout(source, &silent_since) ||
		cac_in_blackout(source, blackout, as_of))
		return;
	cac_forget_blackout(source);
	ereport(LOG,
			(errmsg("campaign_autoclose: source \"%s\": callbacks come in again, and silent contacts are marked",
					source->name),
			 errhidestmt(true), errhidecontext(true)));
}
