/*
 * report_statements.h
 *		The SQL that only reports on a campaign.
 *
 * Only statements.c, which keeps the plans, needs this.
 */
#ifndef CAC_REPORT_STATEMENTS_H
#define CAC_REPORT_STATEMENTS_H

#include "source.h"

extern char *cac_unsent_statement(const Source *source);
extern char *cac_awaited_statement(const Source *source);
extern char *cac_pace_statement(const Source *source);
extern char *cac_outcomes_statement(const Source *source, bool named);
extern char *cac_funnel_statement(const Source *source);

#endif							/* CAC_REPORT_STATEMENTS_H */
