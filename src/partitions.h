/*
 * partitions.h
 *		The partitions of an application's table.
 */
#ifndef CAC_PARTITIONS_H
#define CAC_PARTITIONS_H

/* What the trigger on a source's messages calls */
#define TRIGGER_FUNCTION	"@.campaign_note_message"

/* What its partitions (children, where it is inherited from) have in common. */
typedef struct TablePartitions
{
	int			count;
	Oid		   *relid;			/* in ascending order */
	bool		hinted;			/* each has our trigger, enabled */
	bool		plain;			/* none has a row trigger of the application's */
} TablePartitions;

extern void cac_read_partitions(Oid relid, TablePartitions *partitions);
extern bool cac_is_partition(const TablePartitions *partitions, Oid relid);
extern bool cac_has_subpartitions(Oid relid);
extern bool cac_is_one_table(Oid relid);
extern Oid	cac_trigger_function(void);
extern char *cac_find_unhinted(Oid relid, char **trigger);

#endif							/* CAC_PARTITIONS_H */
