/*
 * preflight.h
 *		What would go wrong with a source, and the SQL that mends it.
 */
#ifndef CAC_PREFLIGHT_H
#define CAC_PREFLIGHT_H

#include "source.h"

/* How bad a finding is. */
typedef enum FindingSeverity
{
	FINDING_ADVICE,				/* it works, but not as well as it could */
	FINDING_HOLD,				/* the source may be attached, but not act */
	FINDING_REFUSE				/* it cannot be attached */
} FindingSeverity;

/* Something that was found wrong. */
typedef struct Finding
{
	const char *check;			/* one of those that cac_preflight_check() names */
	FindingSeverity severity;
	int			code;			/* SQLSTATE */
	char	   *detail;
	char	   *fix;			/* SQL, or advice; NULL: there is none */
} Finding;

/* The findings so far, for those who look. */
typedef struct Preflight
{
	Source	   *source;
	const char *check;			/* that is being made */
	List	   *findings;
	bool		lacks_rights;	/* may the owner not do all that is needed? */
} Preflight;

extern void cac_find(Preflight *preflight, FindingSeverity severity, int code,
					 char *detail, char *fix);
extern void cac_advise(Preflight *preflight, char *detail, char *fix);
extern const char *cac_own_column(const Source *source, SourceTable table,
								  const char *standard_name);
extern AttrNumber cac_own_attnum(const Source *source, SourceTable table,
								 const char *standard_name);
extern bool cac_columns_at_fault(const Source *source);
extern char *cac_alter_call(const Source *source, const char *setting,
							const char *value);
extern uint64 cac_preflight_query(const char *text);
extern List *cac_preflight(Source *source);
extern const char *cac_preflight_check(int n);
extern bool cac_report_findings(Source *source);
extern void cac_report_mapping(Source *source, const char *setting);
extern void cac_require_fit_to_act(Source *source);

/* fitness.c */
extern void cac_check_faults(Preflight *preflight);
extern void cac_check_columns(Preflight *preflight);
extern void cac_check_time_zone(Preflight *preflight);
extern void cac_check_rights(Preflight *preflight);
extern void cac_check_relations(Preflight *preflight);
extern void cac_check_indexes(Preflight *preflight);
extern void cac_check_trigger(Preflight *preflight);

/* usage.c */
extern void cac_check_types(Preflight *preflight);
extern void cac_check_statuses(Preflight *preflight);
extern void cac_check_duplicates(Preflight *preflight);
extern void cac_check_launch(Preflight *preflight);
extern void cac_check_interactions(Preflight *preflight);

/* words.c */
extern void cac_check_words(Preflight *preflight);

#endif							/* CAC_PREFLIGHT_H */
