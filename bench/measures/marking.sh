# shellcheck shell=bash
#
# What it costs to mark the messages whose contacts stayed silent.

# mark DATABASE CONTENDER: prints the seconds that marking took in a fresh copy,
# and checks that it marked what it should.
mark() {
	local statement checksum
	case $2 in
	by-id) statement='CALL bench.mark_by_id()' ;;
	by-campaign) statement='CALL bench.mark_by_campaign()' ;;
	extension) statement="CALL campaign_run_sweeps('public', force => true)" ;;
	esac
	dropdb --if-exists marked 2>/dev/null
	sql postgres -c "CREATE DATABASE marked TEMPLATE $1 STRATEGY file_copy" &&
		sql marked -o /dev/null -c "SELECT campaign_alter('public', 'mode', 'active')" -c 'CALL bench.warm()' &&
		timed marked "$statement" || return
	checksum=$(sql marked -c 'SELECT bench.checksum()')
	[ "$checksum" = "${expected:=$checksum}" ] || { say "$2 left other rows than the first contender" >&2; return 1; }
}

# mark_rounds DATABASE ROUNDS: samples "DATABASE CONTENDER".
mark_rounds() {
	local round contender seconds expected='' order=(by-id by-campaign extension)
	mark "$1" by-id >/dev/null || return		# and sets what is expected
	for ((round = 1; round <= $2; round++)); do
		for contender in "${order[@]}"; do
			seconds=$(mark "$1" "$contender") || return
			sample "$1 $contender" "$round" "$seconds" || return
		done
		order=("${order[@]:1}" "${order[0]}")
	done
}

# Marking expired messages, against an UPDATE that knows the rows, and one that
# looks for them campaign by campaign.
measure() {
	local campaigns silent total name
	campaigns=$(size 100 20) silent=3000
	total=$((campaigns * silent))
	criterion "marking $(thousands $total) messages of $campaigns campaigns / UPDATE by id" 'marking extension' 'marking by-id' 0.5 '<=' 1.8
	criterion '... / one UPDATE a campaign' 'marking extension' 'marking by-campaign' 0.5 '<=' 1.1
	criterion '... by the extension' 'marking extension' '' 0.5 '' '' ' s'
	criterion '... by one UPDATE a campaign' 'marking by-campaign' '' 0.5 '' '' ' s'
	criterion '... by id' 'marking by-id' '' 0.5 '' '' ' s'
	criterion "marking $(thousands $total) messages of one campaign / UPDATE by id" 'marking_one extension' 'marking_one by-id' 0.5 '' ''
	criterion '... / one UPDATE' 'marking_one extension' 'marking_one by-campaign' 0.5 '' ''
	for name in marking marking_one; do
		prepare $name || return
		if [ $name = marking ]; then
			source_tables $name public expired "$campaigns, silent => $silent, replied => $((silent / 10)), waiting => 1" || return
		else
			source_tables $name public expired "1, silent => $total, replied => $((total / 10)), waiting => 1" || return
		fi
		sql $name -f bench/measures/marking.sql && settle $name || return
	done
	mark_rounds marking "$(size 7 1)" && mark_rounds marking_one "$(size 3 1)"
}
