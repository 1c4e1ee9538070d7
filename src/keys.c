/*
 * keys.c
 *		Which values can be compared, and by which operator.
 *
 * The keys of messages and contacts, and the words of a status, are of whatever
 * type the application has chosen.  They are compared by the operators of the
 * type's default btree operator family: those are the ones of its unique
 * indexes, and the only ones that say what is equal and what comes first of a
 * type that an extension brings.  Two types of one family (integer and bigint,
 * text and varchar) can be compared with each other, any others cannot.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "keys.h"

/*
 * The operator of that strategy for two types; InvalidOid if there is none.
 */
static Oid
find_operator(Oid left, Oid right, StrategyNumber strategy)
{
	const int	wanted = TYPECACHE_BTREE_OPFAMILY | TYPECACHE_CMP_PROC;
	TypeCacheEntry *left_type;
	TypeCacheEntry *right_type;

	left = getBaseType(left);
	right = getBaseType(right);
	left_type = lookup_type_cache(left, wanted);
	right_type = lookup_type_cache(right, wanted);
	if (!OidIsValid(left_type->btree_opf) ||
		left_type->btree_opf != right_type->btree_opf ||
	/* an array, say, of elements that have no order */
		!OidIsValid(left_type->cmp_proc) || !OidIsValid(right_type->cmp_proc))
		return InvalidOid;
	/* what compares any two enums compares two of the same one */
	if (left != right &&
		(IsPolymorphicType(left_type->btree_opintype) ||
		 left_type->btree_opintype == RECORDOID))
		return InvalidOid;
	return get_opfamily_member(left_type->btree_opf, left_type->btree_opintype,
							   right_type->btree_opintype, strategy);
}

/*
 * cac_keys_comparable
 *		Can values of these two types be compared with each other?
 */
bool
cac_keys_comparable(Oid left, Oid right)
{
	return OidIsValid(find_operator(left, right, BTEqualStrategyNumber)) &&
		OidIsValid(find_operator(left, right, BTLessEqualStrategyNumber));
}

/*
 * cac_key_operator
 *		The operator of a btree strategy as SQL, palloc'd:
 *		"OPERATOR(schema.=)".  Raises 42883 where the two cannot be compared.
 */
char *
cac_key_operator(Oid left, Oid right, StrategyNumber strategy)
{
	Oid			operator = find_operator(left, right, strategy);
	HeapTuple	tuple;
	Form_pg_operator form;
	char	   *result;

	if (!OidIsValid(operator))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("values of type %s cannot be compared with values of type %s",
						format_type_be(left), format_type_be(right)),
				 errhint("The two types must belong to one btree operator family, as the default of both.")));
	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	result = psprintf("OPERATOR(%s.%s)",
					  quote_identifier(get_namespace_name(form->oprnamespace)),
					  NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return result;
}
