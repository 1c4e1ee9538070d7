/*
 * alter.c
 *		The settings of a source: what values each takes, and changing them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/regproc.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "attach.h"
#include "blackout.h"
#include "compat.h"
#include "preflight.h"
#include "table_triggers.h"
#include "witness.h"

#define MAX_BATCH_SIZE		1000000

typedef enum SettingType
{
	SETTING_INTERVAL,			/* above 0 */
	SETTING_DELAY,				/* 0 or above */
	SETTING_PERIOD,				/* above 0, or NULL: off */
	SETTING_TEXT,				/* anything, or NULL: the default */
	SETTING_CHOICE,
	SETTING_COUNT,
	SETTING_BOOLEAN,
	SETTING_TIME_ZONE,
	SETTING_SEARCH_PATH,
	SETTING_FUNCTION,
	SETTING_MAPPING				/* JSON, added to what is there; NULL: none */
} SettingType;

typedef struct Setting
{
	const char *name;
	SettingType type;
	const char *choices[4];		/* of SETTING_CHOICE, ending in NULL */
} Setting;

static const Setting settings[] = {
	{"mode", SETTING_CHOICE, {"active", "shadow", "paused"}},
	{"completion_rule", SETTING_CHOICE, {"contacts", "messages"}},
	{"interaction_timeout", SETTING_INTERVAL},
	{"campaign_timeout", SETTING_INTERVAL},
	{"stall_after", SETTING_INTERVAL},
	{"check_delay", SETTING_DELAY},
	{"expired_every", SETTING_PERIOD},
	{"timeout_every", SETTING_PERIOD},
	{"sending_every", SETTING_PERIOD},
	{"interrupted_every", SETTING_PERIOD},
	{"settle_for", SETTING_DELAY},
	{"blackout_after", SETTING_PERIOD},
	{"late_interactions", SETTING_CHOICE, {"accept", "ignore"}},
	{"history_keep", SETTING_INTERVAL},
	{"interaction_message", SETTING_TEXT},
	{"timeout_message", SETTING_TEXT},
	{"batch_size", SETTING_COUNT},
	{"time_zone", SETTING_TIME_ZONE},
	{"search_path", SETTING_SEARCH_PATH},
	{"on_event", SETTING_FUNCTION},
	{"log_messages", SETTING_BOOLEAN},
	{"columns", SETTING_MAPPING},
	{"labels", SETTING_MAPPING}
};

/*
 * The values that a setting takes, for a hint.
 */
static char *
choices(const Setting *setting)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; setting->choices[i] != NULL; i++)
		appendStringInfo(&list, "%s\"%s\"", i == 0 ? "" : ", ",
						 setting->choices[i]);
	return list.data;
}

/*
 * Adds the remedy to an error that a value raises.
 */
static void
hint_at_setting(void *arg)
{
	const Setting *setting = arg;

	switch (setting->type)
	{
		case SETTING_INTERVAL:
		case SETTING_DELAY:
		case SETTING_PERIOD:
			errhint("\"%s\" takes an interval, such as '90 minutes' or '1 day'.",
					setting->name);
			break;
		case SETTING_BOOLEAN:
			errhint("\"%s\" takes true or false.", setting->name);
			break;
		case SETTING_TIME_ZONE:
			errhint("\"%s\" takes the name of a time zone, such as 'Europe/Paris', or NULL.",
					setting->name);
			break;
		case SETTING_SEARCH_PATH:
			errhint("\"%s\" takes schema names separated by commas.",
					setting->name);
			break;
		case SETTING_COUNT:
			errhint("\"%s\" takes a whole number from 1 to %d.",
					setting->name, MAX_BATCH_SIZE);
			break;
		case SETTING_CHOICE:
			errhint("Available values: %s.", choices(setting));
			break;
		case SETTING_FUNCTION:
			errhint("\"%s\" takes the name of a function with one argument of type jsonb.",
					setting->name);
			break;
		case SETTING_MAPPING:
			errhint("\"%s\" takes a JSON object, as campaign_attach() does.",
					setting->name);
			break;
		case SETTING_TEXT:
			break;
	}
}

static void
check_interval(const Setting *setting, const char *value)
{
	Interval   *interval;
	int64		usec;

	interval = DatumGetIntervalP(DirectFunctionCall3(interval_in,
													 CStringGetDatum(value),
													 ObjectIdGetDatum(InvalidOid),
													 Int32GetDatum(-1)));
	usec = cac_interval_usec(interval);
	if (interval->month > 1200 || interval->month < -1200 ||
		usec > CAC_MAX_INTERVAL || usec < -CAC_MAX_INTERVAL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not exceed 100 years", setting->name)));
	if (usec < 0 || (usec == 0 && setting->type != SETTING_DELAY))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be %s", setting->name,
						setting->type == SETTING_DELAY ? "zero or more" : "more than zero")));
}

static void
check_choice(const Setting *setting, const char *value)
{
	for (int i = 0; setting->choices[i] != NULL; i++)
		if (strcmp(setting->choices[i], value) == 0)
			return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value \"%s\" for setting \"%s\"", value,
					setting->name)));
}

static void
check_count(const Setting *setting, const char *value)
{
	char	   *end;
	long		count;

	errno = 0;
	count = strtol(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' ||
		count < 1 || count > MAX_BATCH_SIZE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value \"%s\" for setting \"%s\"", value,
						setting->name)));
}

static void
check_zone(const char *value)
{
	/* raises 22023 where there is no such zone */
	(void) DirectFunctionCall2(timestamptz_zone,
							   CStringGetTextDatum(value),
							   TimestampTzGetDatum(0));
}

static void
check_schema_list(const char *value)
{
	char	   *copy = pstrdup(value);
	List	   *names;

	if (!SplitIdentifierString(copy, ',', &names))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid list syntax in setting \"search_path\": \"%s\"",
						value)));
}

/*
 * It is looked up where it will be called: under the source's search_path.
 */
static void
check_function(const Source *source, const char *value)
{
	Oid			argtypes[1] = {JSONBOID};
	SavedIdentity saved;

	cac_source_enter(source, false, &saved);
	(void) LookupFuncName(CAC_QUALIFIED_NAMES(value), 1, argtypes, false);
	cac_leave(&saved);
}

/*
 * A setting that needs columns which not every source has: refuse it (55000)
 * where they are missing.
 */
static void
check_columns_for(const Source *source, const Setting *setting,
				  const char *value)
{
	if (strcmp(setting->name, "blackout_after") == 0 && !cac_tells_of_signs(source))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the tables of source \"%s\" do not tell when something came in",
						source->name),
				 errhint("\"blackout_after\" needs interactions.received_at, or delivered_at, read_at or updated_at of messages.")));
	if (strcmp(setting->name, "late_interactions") == 0 &&
		strcmp(value, "ignore") == 0 &&
		cac_source_column(source, TABLE_INTERACTIONS, "received_at")->name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the interactions of source \"%s\" do not tell when they came in",
						source->name),
				 errhint("To ignore late ones needs interactions.received_at.")));
}

static bool
takes_null(const Setting *setting)
{
	return setting->type == SETTING_PERIOD || setting->type == SETTING_TEXT ||
		setting->type == SETTING_FUNCTION || setting->type == SETTING_TIME_ZONE ||
		setting->type == SETTING_MAPPING;
}

static void
check_given_value(const Source *source, const Setting *setting,
				  const char *value)
{
	switch (setting->type)
	{
		case SETTING_INTERVAL:
		case SETTING_DELAY:
		case SETTING_PERIOD:
			check_interval(setting, value);
			break;
		case SETTING_CHOICE:
			check_choice(setting, value);
			break;
		case SETTING_COUNT:
			check_count(setting, value);
			break;
		case SETTING_BOOLEAN:
			(void) DirectFunctionCall1(boolin, CStringGetDatum(value));
			break;
		case SETTING_TIME_ZONE:
			check_zone(value);
			break;
		case SETTING_SEARCH_PATH:
			check_schema_list(value);
			break;
		case SETTING_FUNCTION:
			check_function(source, value);
			break;
		case SETTING_MAPPING:
			(void) DirectFunctionCall1(jsonb_in, CStringGetDatum(value));
			break;
		case SETTING_TEXT:
			break;
	}
}

/*
 * Refuse a value that the setting does not take: 22023, 22007, 42883 ...
 * "value" NULL turns a period off and brings a text's default back.
 */
static void
check_value(const Source *source, const Setting *setting, const char *value)
{
	ErrorContextCallback callback;

	callback.callback = hint_at_setting;
	callback.arg = unconstify(Setting *, setting);
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	if (value == NULL && !takes_null(setting))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("setting \"%s\" must not be null", setting->name)));
	if (value != NULL)
		check_given_value(source, setting, value);
	error_context_stack = callback.previous;
}

static const Setting *
find_setting(const char *name)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < lengthof(settings); i++)
	{
		if (strcmp(settings[i].name, name) == 0)
			return &settings[i];
		appendStringInfo(&list, "%s%s", i == 0 ? "" : ", ", settings[i].name);
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("unrecognized setting \"%s\"", name),
			 errhint("A source's settings are %s.", list.data)));
}

/*
 * Write one column of a source's row, through its type's input function.
 */
static void
write_setting(const char *name, const Setting *setting, const char *value)
{
	CatalogQuery query = CATALOG_QUERY(NULL);
	CatalogArguments arguments = {0};
	const char *type = "text";

	if (setting->type == SETTING_INTERVAL || setting->type == SETTING_DELAY ||
		setting->type == SETTING_PERIOD)
		type = "interval";
	else if (setting->type == SETTING_COUNT)
		type = "integer";
	else if (setting->type == SETTING_BOOLEAN)
		type = "boolean";

	query.text = psprintf("UPDATE @.campaign_source SET %s = $2::%s WHERE source = $1",
						  quote_identifier(setting->name), type);
	cac_add_name(&arguments, name);
	cac_add_text(&arguments, value);
	cac_catalog_execute(&query, &arguments);
	SPI_freeplan(query.plan);
}

/*
 * Change what the source's tables call its columns, or its words: what is
 * mentioned anew replaces what was said of it, the rest stays.  Refused where
 * the result does not fit the tables.
 */
static void
alter_mapping(const char *name, const Setting *setting, const char *value)
{
	CatalogQuery query = CATALOG_QUERY(NULL);
	CatalogArguments arguments = {0};
	Source	   *source;

	query.text = psprintf("UPDATE @.campaign_source AS s SET %s ="
						  " CASE WHEN $2 IS NULL THEN '{}'"
						  " WHEN pg_catalog.jsonb_typeof($2::pg_catalog.jsonb) <> 'object' THEN $2::pg_catalog.jsonb"
						  " ELSE s.%s || (SELECT coalesce(pg_catalog.jsonb_object_agg(given.key,"
						  "  CASE WHEN pg_catalog.jsonb_typeof(given.value) = 'object'"
						  "   THEN coalesce(s.%s -> given.key, '{}') || given.value ELSE given.value END), '{}')"
						  "  FROM pg_catalog.jsonb_each($2::pg_catalog.jsonb) AS given) END"
						  " WHERE s.source = $1", setting->name, setting->name, setting->name);
	cac_add_name(&arguments, name);
	cac_add_text(&arguments, value);
	cac_catalog_execute(&query, &arguments);
	SPI_freeplan(query.plan);

	source = cac_source_open(name);
	cac_report_mapping(source, setting->name);
	if (strcmp(setting->name, "columns") == 0)
		cac_renew_message_trigger(source);	/* it names the status column */
}

/*
 * cac_alter
 *		Change a setting of a source.
 *
 * Switching a source to active or shadow mode also arms it in this database,
 * and takes its tables' present names for the right ones.  SPI must be
 * connected.  Raises 42704 (no such source or setting), 42501 (not the owner),
 * 22004, 22007, 22023, 42883 (not a value of that setting).
 */
void
cac_alter(const char *name, const char *setting_name, const char *value)
{
	Source	   *source = cac_source_open(name);
	const Setting *setting = find_setting(setting_name);

	cac_check_owner(source);
	check_value(source, setting, value);
	if (setting->type == SETTING_MAPPING)
	{
		alter_mapping(name, setting, value);
		return;
	}
	if (strcmp(setting_name, "mode") == 0 && strcmp(value, "active") == 0)
		cac_require_fit_to_act(source);
	if (value != NULL)
		check_columns_for(source, setting, value);
	write_setting(name, setting, value);
	if (strcmp(setting_name, "blackout_after") == 0 || strcmp(setting_name, "mode") == 0)
		cac_forget_blackout(source);	/* it is told of anew */
	if (strcmp(setting_name, "mode") == 0 && strcmp(value, "paused") != 0)
	{
		cac_arm(name);
		cac_accept_names(source);
		cac_ensure_message_trigger(source);
		/* while it was paused nothing told of changes, and what shadow mode has
		 * counted it has not written */
		cac_prune_tracked(source, NULL, 0);
		cac_hints_incomplete();
	}
}

