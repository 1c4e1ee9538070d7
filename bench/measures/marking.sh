# shellcheck shell=bash
#
# Marking the messages whose contacts stayed silent, in campaigns of one shape:
# the extension against an UPDATE that knows the rows, and one that looks for them
# campaign by campaign.  The measure "day" has the other contenders.

# mark_rounds DATABASE ROUNDS: samples "DATABASE CONTENDER".
mark_rounds() {
	local round contender seconds order=(by_id per_campaign extension)
	another_comparison
	marked "$1" by_id >/dev/null || return		# not counted
	for ((round = 1; round <= $2; round++)); do
		for contender in "${order[@]}"; do
			seconds=$(marked "$1" "$contender") && same_rows marked "$contender" &&
				sample "$1 $contender" "$round" "$seconds" || return
		done
		order=("${order[@]:1}" "${order[0]}")
	done
}

# marked DATABASE CONTENDER: prints the seconds that marking took in a fresh copy.
marked() {
	copy_for "$2" "$1" marked && sql marked -c 'CALL bench.warm()' && contend marked "$2" expired
}

measure() {
	local campaigns silent total name
	campaigns=$(size 100 20) silent=3000
	total=$((campaigns * silent))
	criterion "marking $(thousands $total) messages of $campaigns campaigns / UPDATE by id" 'marking extension' 'marking by_id' 0.5 '<=' 1.8
	criterion '... / one UPDATE a campaign' 'marking extension' 'marking per_campaign' 0.5 '<=' 1.1
	criterion '... by the extension' 'marking extension' '' 0.5 '' '' ' s'
	criterion '... by one UPDATE a campaign' 'marking per_campaign' '' 0.5 '' '' ' s'
	criterion '... by id' 'marking by_id' '' 0.5 '' '' ' s'
	criterion "marking $(thousands $total) messages of one campaign / UPDATE by id" 'marking_one extension' 'marking_one by_id' 0.5 '' ''
	criterion '... / one UPDATE' 'marking_one extension' 'marking_one per_campaign' 0.5 '' ''
	for name in marking marking_one; do
		prepare $name && contenders $name || return
		if [ $name = marking ]; then
			source_tables $name public expired "$campaigns, silent => $silent, replied => $((silent / 10)), waiting => 1" || return
		else
			source_tables $name public expired "1, silent => $total, replied => $((total / 10)), waiting => 1" || return
		fi
		sql $name -c 'CALL by_id.learn_expired()' && settle $name || return
	done
	mark_rounds marking "$(size 5 1)" && mark_rounds marking_one "$(size 3 1)"
}
