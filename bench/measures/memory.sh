# shellcheck shell=bash
#
# The memory that closers take for themselves, besides what all processes of the
# server share: the most that the process at work had, or for the task queue both
# of its processes, client and server.

# private_memory PATTERN: prints the private memory, in kB, of the server's processes
# whose titles match, and of the task queue.
private_memory() {
	local postmaster process memory title total=0
	read -r postmaster <"$SANDBOX/cluster/postmaster.pid"
	while read -r process memory; do
		title=$(tr '\0' ' ' <"/proc/$process/cmdline")
		[[ ! $title =~ $1|bench/peers/task_queue.py ]] || total=$((total + memory))
	done 2>/dev/null < <(cat /proc/[0-9]*/status 2>/dev/null | awk -v postmaster="$postmaster" '
		/^Name:/ { name = $2 } /^Pid:/ { process = $2 } /^PPid:/ { parent = $2 }
		/^RssAnon:/ && (parent == postmaster || name ~ /^python3/) { print process, $2 }')
	say "$total"
}

# watch PATTERN: keeps the most of it in the file "memory".
watch() {
	local now most=0
	while sleep 0.05; do
		now=$(private_memory "$1")
		[ "$now" -le "$most" ] || { most=$now; say "$most" >"$SANDBOX/memory"; }
	done
}

# remember CONTENDER PATTERN COMMAND...: samples the most that it takes.
remember() {
	local contender=$1 pattern=$2 watcher status
	shift 2
	: >"$SANDBOX/memory"
	watch "$pattern" &
	watcher=$!
	"$@"
	status=$?
	kill $watcher
	wait $watcher 2>/dev/null
	[ $status = 0 ] || return
	[ -s "$SANDBOX/memory" ] || { say "$contender was over before its memory could be read"; return 0; }
	sample "memory $due $contender" "$round" "$(awk '{ print $1 / 1000 }' "$SANDBOX/memory")"
}

# Waits until the extension's worker has done its sweep.
by_worker() {
	local _
	worker on
	for _ in {1..600}; do
		[ "$(sql watched -c "SELECT count(*) FROM campaign_sweep_run WHERE finished_at IS NOT NULL")" = 0 ] || break
		sleep 0.1
	done
	worker off
}

measure() {
	local campaigns contacts round contender due
	read -r campaigns contacts <<<"$(size '100 3000' '20 1000')"
	contest memory "Private memory while a day's expired messages are marked" 'expired messages' ' MB'
	prepare memory && contenders memory && sql memory -f bench/workload.sql && source_tables memory public expired &&
		sql memory -c "CALL bench.generate($campaigns, $contacts)" -c ANALYZE -c 'CALL by_id.learn_expired()' && settle memory || return
	due=$(sql memory -c 'SELECT count(*) FROM by_id.due')
	another_comparison
	for ((round = 1; round <= $(size 2 1); round++)); do
		copy memory watched && remember extension 'campaign_autoclose worker' by_worker && same_rows watched extension || return
		for contender in by_id set_based plpgsql task_queue; do
			copy_for "$contender" memory marked &&
				remember "$contender" 'postgres marked ' contend marked "$contender" expired && same_rows marked "$contender" || return
		done
	done
}
