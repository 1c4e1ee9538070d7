/*
 * keylist.h
 *		The keys of campaigns in order, and as the extension remembers them.
 */
#ifndef CAC_KEYLIST_H
#define CAC_KEYLIST_H

#include "source.h"

/* Orders keys of one type; made by cac_key_order(). */
typedef struct KeyOrder
{
	FmgrInfo   *compare;
	Oid			collation;
} KeyOrder;

extern bool cac_key_try_text(const Source *source, const char *text,
							 Datum *key);
extern void cac_key_order(const Source *source, KeyOrder *order);
extern int	cac_key_compare(const KeyOrder *order, Datum a, Datum b);

#endif							/* CAC_KEYLIST_H */
