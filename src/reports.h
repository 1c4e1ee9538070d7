/*
 * reports.h
 *		What the reports share: columns, and who may see what was recorded.
 */
#ifndef CAC_REPORTS_H
#define CAC_REPORTS_H

#include "source.h"

extern Datum cac_text_column(const char *text, bool *isnull);
extern Datum cac_timestamp_column(TimestampTz moment, bool *isnull);
extern Datum cac_tenths_column(int64 tenths);
extern Datum cac_duration_column(TimestampTz from, TimestampTz to,
								 bool *isnull);
extern bool cac_sees_history(const Source *source);

#endif							/* CAC_REPORTS_H */
