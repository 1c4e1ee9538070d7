/*
 * keys.h
 *		Which values can be compared, and by which operator.
 */
#ifndef CAC_KEYS_H
#define CAC_KEYS_H

#include "access/stratnum.h"

extern bool cac_keys_comparable(Oid left, Oid right);
extern char *cac_key_operator(Oid left, Oid right, StrategyNumber strategy);

#endif							/* CAC_KEYS_H */
