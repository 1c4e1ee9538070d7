/*
 * statements.h
 *		The SQL on the application's tables.
 *
 * Only queries.c, which has a function for each statement, needs this.
 */
#ifndef CAC_STATEMENTS_H
#define CAC_STATEMENTS_H

#include "source.h"

typedef enum StatementKind
{
	STATEMENT_OPEN,
	STATEMENT_CLOSED,
	STATEMENT_READ,				/* + CampaignLock: three of them */
	STATEMENT_READ_SKIP,
	STATEMENT_READ_WAIT,
	STATEMENT_TALLY,
	STATEMENT_COUNT,
	STATEMENT_SETTLED,
	STATEMENT_UNSENT,
	STATEMENT_AWAITED,
	STATEMENT_WITNESS,
	STATEMENT_WITNESS_NEXT,
	STATEMENT_HOLDS,
	STATEMENT_VERIFY,
	STATEMENT_VERIFY_OPEN,
	STATEMENT_SENT,
	STATEMENT_VERIFY_SENT,
	STATEMENT_DUE,
	STATEMENT_SIGN,
	STATEMENT_MARK,
	STATEMENT_MARK_FREE,
	STATEMENT_MARK_BATCH,
	STATEMENT_MARK_BATCH_NEXT,
	STATEMENT_FAIL,
	STATEMENT_WRITE_STATUS,
	STATEMENT_WRITE_STATISTICS,
	STATEMENT_PACE,
	STATEMENT_OUTCOMES,
	STATEMENT_OUTCOMES_NAMED,
	STATEMENT_FUNNEL
} StatementKind;

/* So many messages that are due are counted, and no more. */
#define COUNT_DUE_MAX	100

extern int64 cac_execute(Source *source, StatementKind kind, int nargs,
						 Oid *types, Datum *values, const char *nulls);
extern Portal cac_open(Source *source, StatementKind kind, int nargs,
					   Oid *types, Datum *values);

#endif							/* CAC_STATEMENTS_H */
