# shellcheck shell=bash
#
# Closing campaigns that are complete: time, and WAL, for each of them.

close_rounds() {
	local campaigns=$1 round contender bytes seconds task order=(by_id extension set_based plpgsql task_queue)
	another_comparison
	for ((round = 1; round <= $2; round++)); do
		for contender in "${order[@]}"; do
			task=sending
			[ "$contender" != by_id ] || task=closing
			copy_for "$contender" closing closed && sql closed -c 'CALL bench.warm()' || return
			bytes=$(wal)
			seconds=$(contend closed "$contender" $task) || return
			bytes=$(($(wal) - bytes))
			same_rows closed "$contender" &&
				sample "close $campaigns $contender" "$round" "$(awk -v s="$seconds" -v n="$campaigns" 'BEGIN { print s * 1e6 / n }')" &&
				sample "wal $campaigns $contender" "$round" $((bytes / campaigns)) || return
		done
		order=("${order[@]:1}" "${order[0]}")
	done
}

measure() {
	local campaigns
	campaigns=$(size 2000 200)
	contest close 'Closing a campaign of 200 messages, one of many' 'campaigns closed' ' µs'
	contest wal 'WAL of closing a campaign' 'campaigns closed' ' bytes'
	prepare closing && contenders closing &&
		source_tables closing public sending "$campaigns, replied => 100" &&
		sql closing -c 'ANALYZE' -c 'CALL by_id.learn_complete()' && settle closing &&
		close_rounds "$campaigns" "$(size 3 1)"
}
