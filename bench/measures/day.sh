# shellcheck shell=bash
#
# Marking what has expired in the course of a day, in tables with ten days of
# history (workload.sql), by every contender, in workloads up to the one asked for.
# Each marking begins with a fresh copy; the rows that it leaves are compared.

# workloads: prints them, "CAMPAIGNS CONTACTS" a line, the smallest first.
workloads() {
	local campaigns contacts divisors
	IFS=x read -r campaigns contacts <<<"${workload:?}"
	for divisors in '100 10' '10 10' '10 1' '1 1'; do
		# shellcheck disable=SC2086
		set -- $divisors
		say "$((campaigns / $1 > 10 ? campaigns / $1 : 10)) $((contacts / $2 > 10 ? contacts / $2 : 10))"
	done | uniq
}

# mark CONTENDER ROUND: samples, in microseconds a message, how long the contender
# takes for the messages of the database "day".  Of many messages the task queue
# marks some.
mark() {
	local contender=$1 round=$2 limit='' seconds messages=$due value
	copy_for "$contender" day marked || return
	[ "$due" -gt 200000 ] || sql marked -c 'CALL bench.warm()' || return
	if [ "$contender" = task_queue ] && [ "$due" -gt $((2 * few)) ]; then
		limit="--limit $few"
	fi
	# shellcheck disable=SC2086
	seconds=$(contend marked "$contender" expired $limit) || return
	if [ -n "$limit" ]; then
		messages=$(sql marked -c "SELECT count(*) FROM by_id.due JOIN messages USING (id) WHERE status = 'no_interaction'")
	elif [ "$round" = 1 ]; then
		same_rows marked "$contender" || return
	fi
	value=$(awk -v s="$seconds" -v n="$messages" 'BEGIN { print s * 1e6 / n }')
	sample "day $due $contender" "$round" "$value" || return
	[ -z "$largest" ] || sample "largest $contender" "$round" "$value" || return
	say "$contender $due: $seconds s for $messages messages"
}

# mark_workload CAMPAIGNS CONTACTS ROUNDS
mark_workload() {
	local due round contender order=(by_id per_campaign extension set_based plpgsql task_queue)
	dropdb --if-exists day 2>/dev/null
	say "$1 campaigns of $2 contacts at $SECONDS s"
	prepare day && contenders day && sql day -f bench/workload.sql && source_tables day public expired &&
		sql day -c "CALL bench.generate($1, $2)" -c 'ANALYZE' -c 'CALL by_id.learn_expired()' && settle day || return
	say "generated at $SECONDS s, $(sql day -c "SELECT pg_database_size('day') / 1000000") MB"
	due=$(sql day -c 'SELECT count(*) FROM by_id.due')
	another_comparison
	for ((round = 1; round <= $3; round++)); do
		for contender in "${order[@]}"; do
			mark "$contender" "$round" || return
		done
		order=("${order[@]:1}" "${order[0]}")
	done
}

measure() {
	local campaigns contacts largest='' last few
	few=$(size 20000 2000)		# messages that the task queue marks, of many
	last=$(workloads | tail -n 1)
	read -r campaigns contacts <<<"$last"
	criterion "a day's messages of $(thousands "$campaigns") campaigns of $(thousands "$contacts") contacts: task queue / extension" 'largest task_queue' 'largest extension' 0.5 '>=' 30
	criterion '... set-based SQL / extension' 'largest set_based' 'largest extension' 0.5 '>=' 1.5
	criterion '... PL/pgSQL loop / extension' 'largest plpgsql' 'largest extension' 0.5 '' ''
	criterion '... extension / UPDATE by id' 'largest extension' 'largest by_id' 0.5 '<=' 1.8
	criterion '... extension / one UPDATE a campaign' 'largest extension' 'largest per_campaign' 0.5 '<=' 1.1
	contest day "Marking a day's expired messages, for each message" 'expired messages' ' µs'
	while read -r campaigns contacts; do
		[ "$campaigns $contacts" != "$last" ] || largest=yes
		mark_workload "$campaigns" "$contacts" "$(size 3 1)" || return
	done < <(workloads)
}
