/*
 * citus.h
 *		Sources whose tables Citus distributes.
 */
#ifndef CAC_CITUS_H
#define CAC_CITUS_H

#include "source.h"

extern void cac_load_distribution(Source *source);
extern bool cac_on_worker_node(void);
extern bool cac_reaches_nodes(const Source *source);

#endif							/* CAC_CITUS_H */
