/*
 * views.h
 *		What can be done with an application's table that is a view.
 */
#ifndef CAC_VIEWS_H
#define CAC_VIEWS_H

extern bool cac_is_view(Oid relid);
extern bool cac_rows_can_be_locked(Oid relid);

#endif							/* CAC_VIEWS_H */
