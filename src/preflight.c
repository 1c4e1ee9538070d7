/*
 * preflight.c
 *		What would go wrong with a source, found before it does, and the SQL that
 *		mends it.
 *
 * The checks are in fitness.c (the tables as the catalogs know them), words.c
 * (what would refuse a word) and usage.c (what is in the tables).  Each looks at
 * the system catalogs or at the open campaigns, and locks nothing but against
 * DDL.  What mapping.c finds wrong with columns and words comes first; where
 * there is any of that, checks that would need these columns are not made.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "preflight.h"
#include "template.h"

/*
 * cac_find
 *		Add a finding to the check that is being made.
 */
void
cac_find(Preflight *preflight, FindingSeverity severity, int code,
		 char *detail, char *fix)
{
	Finding    *finding = palloc(sizeof(Finding));

	finding->check = preflight->check;
	finding->severity = severity;
	finding->code = code;
	finding->detail = detail;
	finding->fix = fix;
	preflight->findings = lappend(preflight->findings, finding);
}

/*
 * cac_advise
 *		Likewise, one that is no more than advice.
 */
void
cac_advise(Preflight *preflight, char *detail, char *fix)
{
	cac_find(preflight, FINDING_ADVICE, 0, detail, fix);
}

/*
 * cac_preflight_query
 *		Run a query that writes nothing; returns how many rows there are in
 *		SPI_tuptable.
 */
uint64
cac_preflight_query(const char *text)
{
	MemoryContext caller = CurrentMemoryContext;
	int			code = SPI_execute(text, true, 0);

	if (code < 0)
		elog(ERROR, "could not execute \"%s\": %s", text,
			 SPI_result_code_string(code));
	MemoryContextSwitchTo(caller);
	return SPI_processed;
}

/*
 * cac_alter_call
 *		The SQL that changes a setting of a source.
 */
char *
cac_alter_call(const Source *source, const char *setting, const char *value)
{
	bool		visible = RelationIsVisible(cac_catalog_relid());

	return psprintf("SELECT %s(%s, '%s', %s);",
					visible ? "campaign_alter" : cac_catalog_text("@.campaign_alter"),
					quote_literal_cstr(source->name), setting, quote_literal_cstr(value));
}

/*
 * cac_own_column
 *		What the table calls a standard column; NULL if it has none.
 */
const char *
cac_own_column(const Source *source, SourceTable table, const char *standard_name)
{
	return cac_source_column(source, table, standard_name)->name;
}

/*
 * cac_own_attnum
 *		Likewise its number; InvalidAttrNumber if it has none.
 */
AttrNumber
cac_own_attnum(const Source *source, SourceTable table, const char *standard_name)
{
	const char *name = cac_own_column(source, table, standard_name);

	return name ? get_attnum(source->relid[table], name) : InvalidAttrNumber;
}

/*
 * cac_columns_at_fault
 *		Is there a fault that leaves no columns to check by?
 */
bool
cac_columns_at_fault(const Source *source)
{
	ListCell   *lc;

	foreach(lc, source->faults)
		if (strcmp(((SourceFault *) lfirst(lc))->check, "time_zone") != 0)
			return true;
	return source->fault_code != 0 && source->faults == NIL;
}

/* ----------------------------------------------------------------
 *		All of it
 * ----------------------------------------------------------------
 */

static const struct
{
	const char *name;
	void		(*check) (Preflight *preflight);
	bool		needs_columns;	/* not made where any of them is at fault, where
								 * the owner may not read the tables, nor where
								 * these do not belong together */
	bool		advises;		/* finds nothing that prevents acting */
}			checks[] = {
	{"tables", cac_check_faults},
	{"distribution", cac_check_faults},
	{"columns", cac_check_columns},
	{"labels", cac_check_faults},
	{"time zone", cac_check_time_zone},
	{"rights", cac_check_rights, true},
	{"relations", cac_check_relations, true},
	{"words", cac_check_words, true},
	{"indexes", cac_check_indexes, true, true},
	{"message types", cac_check_types, true, true},
	{"message statuses", cac_check_statuses, true, true},
	{"duplicates", cac_check_duplicates, true, true},
	{"launch", cac_check_launch, true, true},
	{"interactions", cac_check_interactions, true, true},
	{"trigger", cac_check_trigger, true, true}
};

/*
 * The name of the n-th check, NULL behind the last.
 */
const char *
cac_preflight_check(int n)
{
	return n < lengthof(checks) ? checks[n].name : NULL;
}

static Finding *
first_finding(List *findings, FindingSeverity severity)
{
	ListCell   *lc;

	foreach(lc, findings)
		if (((Finding *) lfirst(lc))->severity >= severity)
			return lfirst(lc);
	return NULL;
}

/* Which checks to make */
typedef enum Checks
{
	CHECKS_OF_FITNESS,			/* those without advice */
	CHECKS_TO_ATTACH,			/* all but the trigger, which comes last */
	CHECKS_ALL
} Checks;

static List *
run_checks(Source *source, Checks which)
{
	Preflight	preflight = {.source = source};
	bool		at_fault = cac_columns_at_fault(source);
	bool		as_owner = OidIsValid(source->owner) &&
		has_privs_of_role(GetUserId(), source->owner);
	SavedIdentity saved;

	for (int i = 0; i < lengthof(checks); i++)
	{
		preflight.check = checks[i].name;
		if (at_fault && checks[i].needs_columns)
			continue;
		if ((checks[i].advises && which == CHECKS_OF_FITNESS) ||
			(checks[i].check == cac_check_trigger && which != CHECKS_ALL))
			continue;
		/*
		 * The owner's constraints and views may call functions of his, which
		 * are not for others to run with their rights.  Whoever may read the
		 * tables expects so of views, but not of constraints.
		 */
		cac_source_enter(source, as_owner || (checks[i].check == cac_check_words && OidIsValid(source->owner)), &saved);
		checks[i].check(&preflight);
		cac_leave(&saved);
		if (checks[i].check == cac_check_relations)
			at_fault |= first_finding(preflight.findings, FINDING_REFUSE) != NULL;
		else if (checks[i].check == cac_check_rights && as_owner)
			at_fault |= preflight.lacks_rights;
	}
	return preflight.findings;
}

/*
 * cac_preflight
 *		What is wrong with a source, as a List of Finding, in the order of the
 *		checks.
 *
 * SPI must be connected.  The caller must be able to read the tables.
 */
List *
cac_preflight(Source *source)
{
	return run_checks(source, CHECKS_ALL);
}

/*
 * Findings of a severity, or worse, each with what mends it, as the lines of an
 * error's detail.
 */
static char *
list_findings(List *findings, FindingSeverity severity)
{
	StringInfoData list;
	ListCell   *lc;

	initStringInfo(&list);
	foreach(lc, findings)
	{
		Finding    *finding = lfirst(lc);

		if (finding->severity < severity)
			continue;
		appendStringInfo(&list, "%s- %s", list.len > 0 ? "\n" : "", finding->detail);
		if (finding->fix != NULL)
			appendStringInfo(&list, "\n  %s", finding->fix);
	}
	return list.data;
}

/*
 * cac_report_findings
 *		Refuse to attach a source with which nothing can be done, in one error
 *		with all that is wrong; warn of the rest.  Returns whether it may act.
 */
bool
cac_report_findings(Source *source)
{
	List	   *findings = run_checks(source, CHECKS_TO_ATTACH);
	Finding    *refusal = first_finding(findings, FINDING_REFUSE);
	bool		acts = first_finding(findings, FINDING_HOLD) == NULL;

	if (refusal != NULL)
		ereport(ERROR,
				(errcode(refusal->code),
				 errmsg("cannot attach these tables as source \"%s\"", source->name),
				 errdetail_internal("%s", list_findings(findings, FINDING_REFUSE)),
				 errhint("Nothing was changed.  Mend what is listed, and attach them again.")));
	if (findings != NIL)
		ereport(acts ? NOTICE : WARNING,
				(acts ? errmsg("source \"%s\" could work better", source->name) :
				 errmsg("source \"%s\" cannot act yet", source->name),
				 errdetail_internal("%s", list_findings(findings, acts ? FINDING_ADVICE : FINDING_HOLD)),
				 errhint("SELECT * FROM campaign_preflight(%s) lists all that was found.",
						 quote_literal_cstr(source->name))));
	return acts;
}

/*
 * cac_report_mapping
 *		Refuse "columns" or "labels", as they are now, with which nothing can be
 *		done, in one error with all that is wrong; warn of what keeps the source
 *		from acting.
 *
 * That a table is gone, or that the other of the two does not fit, is neither its
 * fault nor mended by it.
 */
void
cac_report_mapping(Source *source, const char *setting)
{
	List	   *all = run_checks(source, CHECKS_OF_FITNESS);
	List	   *findings = NIL;
	Finding    *refusal;
	ListCell   *lc;

	foreach(lc, all)
	{
		const char *check = ((Finding *) lfirst(lc))->check;

		if (strcmp(check, "tables") != 0 &&
			strcmp(check, strcmp(setting, "columns") == 0 ? "labels" : "columns") != 0)
			findings = lappend(findings, lfirst(lc));
	}
	refusal = first_finding(findings, FINDING_REFUSE);
	if (refusal != NULL)
		ereport(ERROR,
				(errcode(refusal->code),
				 errmsg("cannot change \"%s\" of source \"%s\"", setting, source->name),
				 errdetail_internal("%s", list_findings(findings, FINDING_REFUSE)),
				 errhint("Nothing was changed.  Mend what is listed, and change it again.")));
	if (findings != NIL)
		ereport(WARNING,
				(errmsg("source \"%s\" cannot act yet", source->name),
				 errdetail_internal("%s", list_findings(findings, FINDING_HOLD)),
				 errhint("SELECT * FROM campaign_preflight(%s) lists all that was found.",
						 quote_literal_cstr(source->name))));
}

/*
 * cac_require_fit_to_act
 *		Refuse (55000) to activate a source while something would refuse what it
 *		writes.
 */
void
cac_require_fit_to_act(Source *source)
{
	List	   *findings;

	if (cac_columns_at_fault(source))
		return;					/* so it does nothing, whatever its mode */
	findings = run_checks(source, CHECKS_OF_FITNESS);
	if (first_finding(findings, FINDING_HOLD) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("source \"%s\" cannot act yet", source->name),
				 errdetail_internal("%s", list_findings(findings, FINDING_HOLD)),
				 errhint("SELECT * FROM campaign_preflight(%s) lists all that was found.",
						 quote_literal_cstr(source->name))));
}
