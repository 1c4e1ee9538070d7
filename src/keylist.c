/*
 * keylist.c
 *		The keys of campaigns in order, and as the extension remembers them.
 *
 * The application's tables know a campaign by a uuid, a bigint or an integer,
 * the extension's by the text of that, which may be older than the type of the
 * application's keys, so that it need not be one.
 */
#include "postgres.h"

#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "attempt.h"
#include "keylist.h"
#include "queries.h"

/* A key that is to be made of a text, in "context". */
typedef struct KeyAttempt
{
	const Source *source;
	const char *text;
	MemoryContext context;
	Datum		key;
} KeyAttempt;

/*
 * Make a key of a text; AttemptFunction.
 */
static void
make_key(void *arg)
{
	KeyAttempt *attempt = arg;
	Datum		key = cac_key_from_text(attempt->source, attempt->text);
	int16		typlen;
	bool		typbyval;
	MemoryContext old;

	get_typlenbyval(cac_key_type(attempt->source), &typlen, &typbyval);
	old = MemoryContextSwitchTo(attempt->context);
	attempt->key = datumCopy(key, typbyval, typlen);
	MemoryContextSwitchTo(old);
}

/*
 * cac_key_try_text
 *		A campaign's key from text; false where that is no key of the source's.
 *
 * The key is allocated in the current memory context.  Raises any other error.
 */
bool
cac_key_try_text(const Source *source, const char *text, Datum *key)
{
	KeyAttempt	attempt = {.source = source, .text = text,
	.context = CurrentMemoryContext};
	ErrorData  *error;

	if (!cac_attempt(make_key, &attempt, 0, &error))
	{
		if (error->sqlerrcode != ERRCODE_INVALID_TEXT_REPRESENTATION &&
			error->sqlerrcode != ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE)
			ReThrowError(error);
		return false;
	}
	*key = attempt.key;
	return true;
}

/*
 * cac_key_order
 *		How the source's keys are ordered: as the application's ORDER BY does.
 */
void
cac_key_order(const Source *source, KeyOrder *order)
{
	TypeCacheEntry *type = lookup_type_cache(cac_key_type(source),
											 TYPECACHE_CMP_PROC_FINFO);

	order->compare = &type->cmp_proc_finfo;
	order->collation = type->typcollation;
}

int
cac_key_compare(const KeyOrder *order, Datum a, Datum b)
{
	return DatumGetInt32(FunctionCall2Coll(order->compare, order->collation, a, b));
}
