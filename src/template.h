/*
 * template.h
 *		SQL for tables whose names, columns and words are the application's.
 */
#ifndef CAC_TEMPLATE_H
#define CAC_TEMPLATE_H

#include "lib/stringinfo.h"

#include "source.h"

extern char *cac_expand(const Source *source, const char *template,
						const char *const *fragments);
extern void cac_append_assignment(StringInfo buf, const Source *source,
								  SourceTable table,
								  const char *standard_name,
								  const char *value);

#endif							/* CAC_TEMPLATE_H */
