/*
 * preview.h
 *		What the sweeps would do at some moment, without doing it.
 */
#ifndef CAC_PREVIEW_H
#define CAC_PREVIEW_H

#include "nodes/execnodes.h"

#include "source.h"

/* What the sweeps would do to a source, in numbers. */
typedef struct PreviewTotals
{
	int64		closed;			/* campaigns that would be closed, */
	int64		reopened;		/* reopened, */
	int64		stalled;		/* reported stalled */
	int64		marked;			/* messages that would become no_interaction, */
	int64		failed;			/* or failed */
	int64		errors;			/* campaigns that could not be judged */
} PreviewTotals;

extern void cac_preview(const char *source, TimestampTz as_of,
						ReturnSetInfo *rsinfo);
extern void cac_preview_totals(Source *source, TimestampTz as_of,
							   PreviewTotals *totals);

#endif							/* CAC_PREVIEW_H */
