/*
 * attach.c
 *		Attaching, altering and detaching sources: whatever writes a row of
 *		campaign_source.
 *
 * Only the owner of a source's tables may do it (or whoever has the owner's
 * privileges).  A trigger on campaign_source tells the other backends and the
 * launcher, which may have to look sooner than it meant to.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "attach.h"
#include "compat.h"
#include "triggers.h"

#define MAX_BATCH_SIZE		1000000
/* Longer than anything meant, short enough for sums not to overflow. */
#define MAX_INTERVAL		(INT64CONST(36525) * USECS_PER_DAY)

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
	SETTING_FUNCTION
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
	{"history_keep", SETTING_INTERVAL},
	{"interaction_message", SETTING_TEXT},
	{"timeout_message", SETTING_TEXT},
	{"batch_size", SETTING_COUNT},
	{"time_zone", SETTING_TIME_ZONE},
	{"search_path", SETTING_SEARCH_PATH},
	{"on_event", SETTING_FUNCTION},
	{"log_messages", SETTING_BOOLEAN}
};

/*
 * Refuse callers who do not own the source's tables.  Of a source whose
 * tables are all gone nobody but a superuser can be told to be the owner.
 */
static void
check_owner(const Source *source)
{
	if (OidIsValid(source->owner) ?
		!has_privs_of_role(GetUserId(), source->owner) : !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of the tables of source \"%s\"",
						source->name),
				 OidIsValid(source->owner) ?
				 errhint("Ask the owner, role \"%s\".",
						 GetUserNameFromId(source->owner, false)) :
				 errhint("Ask a superuser.")));
}

/*
 * The qualified names of a source's tables, as campaign_source keeps them.
 */
static Datum
table_names(const Oid relid[NUM_SOURCE_TABLES])
{
	Datum		names[NUM_SOURCE_TABLES];
	bool		nulls[NUM_SOURCE_TABLES];
	int			dims[1] = {NUM_SOURCE_TABLES};
	int			lower_bounds[1] = {1};

	for (int i = 0; i < NUM_SOURCE_TABLES; i++)
	{
		char	   *name = OidIsValid(relid[i]) ? get_rel_name(relid[i]) : NULL;

		nulls[i] = (name == NULL);
		if (name != NULL)
			names[i] = CStringGetTextDatum(quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid[i])),
																	  name));
	}
	return PointerGetDatum(construct_md_array(names, nulls, 1, dims, lower_bounds,
											  TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Let a source act in this database.
 */
static void
arm(const char *name)
{
	static CatalogQuery query = CATALOG_QUERY(
		"INSERT INTO @.campaign_armed (source, database) VALUES ($1, $2)"
		" ON CONFLICT DO NOTHING");
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, name);
	cac_add_oid(&arguments, MyDatabaseId);
	cac_catalog_execute(&query, &arguments);
}

/*
 * cac_check_source_free
 *		Refuse (42710) a name that a source has already.
 */
void
cac_check_source_free(const char *name)
{
	ListCell   *lc;
	List	   *sources = cac_source_list(false);

	foreach(lc, sources)
	{
		if (strcmp(lfirst(lc), name) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("source \"%s\" already exists", name),
					 errhint("Forget it first with campaign_detach('%s').", name)));
	}
}

/*
 * cac_attach
 *		Make a source of these tables, active and armed.
 *
 * SPI must be connected.  Raises 42710 where the name is taken.
 */
void
cac_attach(const char *name, const Oid relid[NUM_SOURCE_TABLES])
{
	static CatalogQuery query = CATALOG_QUERY(
		"INSERT INTO @.campaign_source (source, campaigns, messages, interactions, contacts,"
		" search_path, attached_names) VALUES ($1, $2, $3, $4, $5, $6, $7)");
	CatalogArguments arguments = {0};

	cac_check_source_free(name);
	cac_add_name(&arguments, name);
	for (int i = 0; i < NUM_SOURCE_TABLES; i++)
		cac_add_oid(&arguments, relid[i]);
	cac_add_text(&arguments, namespace_search_path);
	cac_add_datum(&arguments, TEXTARRAYOID, table_names(relid), false);
	cac_catalog_execute(&query, &arguments);
	arm(name);
	cac_create_message_trigger(cac_source_open(name));
}

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
	if (abs(interval->month) > 1200 || abs(interval->day) > 36525 ||
		interval->time > MAX_INTERVAL || interval->time < -MAX_INTERVAL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not exceed 100 years", setting->name)));
	usec = cac_interval_usec(interval);
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

static bool
takes_null(const Setting *setting)
{
	return setting->type == SETTING_PERIOD || setting->type == SETTING_TEXT ||
		setting->type == SETTING_FUNCTION || setting->type == SETTING_TIME_ZONE;
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
 * Take the tables' present names for the right ones.
 */
static void
accept_names(const Source *source)
{
	static CatalogQuery query = CATALOG_QUERY(
		"UPDATE @.campaign_source SET attached_names = $2 WHERE source = $1");
	CatalogArguments arguments = {0};

	cac_add_name(&arguments, source->name);
	cac_add_datum(&arguments, TEXTARRAYOID, table_names(source->relid), false);
	cac_catalog_execute(&query, &arguments);
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

	check_owner(source);
	check_value(source, setting, value);
	write_setting(name, setting, value);
	if (strcmp(setting_name, "mode") == 0 && strcmp(value, "paused") != 0)
	{
		arm(name);
		accept_names(source);
		cac_ensure_message_trigger(source);
	}
}

/*
 * cac_detach
 *		Forget a source, with its history: a source of the same name may be
 *		somebody else's.
 *
 * SPI must be connected.  Raises 42704, 42501.
 */
void
cac_detach(const char *name)
{
	static CatalogQuery queries[] = {
		CATALOG_QUERY("DELETE FROM @.campaign_source WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_armed WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_event WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_sweep_run WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_state WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_reopening WHERE source = $1"),
		CATALOG_QUERY("DELETE FROM @.campaign_retry WHERE source = $1")
	};
	CatalogArguments arguments = {0};
	Source	   *source = cac_source_open(name);

	check_owner(source);
	cac_drop_message_trigger(source);
	cac_add_name(&arguments, name);
	for (int i = 0; i < lengthof(queries); i++)
		cac_catalog_execute(&queries[i], &arguments);
}
