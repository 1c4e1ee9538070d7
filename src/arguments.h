/*
 * arguments.h
 *		The arguments of SQL functions, and what a function may ask of its
 *		caller.
 */
#ifndef CAC_ARGUMENTS_H
#define CAC_ARGUMENTS_H

#include "fmgr.h"

#include "source.h"

extern char *cac_name_argument(FunctionCallInfo fcinfo, int n);
extern char *cac_text_argument(FunctionCallInfo fcinfo, int n);
extern void cac_require_argument(const void *value, const char *argument,
								 const char *hint);
extern TimestampTz cac_as_of_argument(FunctionCallInfo fcinfo, int n);
extern void cac_require_campaign(FunctionCallInfo fcinfo);
extern Datum cac_key_argument(FunctionCallInfo fcinfo, const Source *source);
extern void cac_raise_no_campaign(const Source *source,
								  const char *campaign_id);
extern void cac_require_writable(const char *function, const char *hint);
extern void cac_require_acting(const char *function, const char *hint);
extern void cac_connect_spi(void);

#endif							/* CAC_ARGUMENTS_H */
