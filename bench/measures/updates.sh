# shellcheck shell=bash
#
# What the application's own updates lose.

# Prints the processor time that the server has used so far, in ticks: that of
# the processes that have ended, and of those that run.  One that ends just then
# may be missed or counted twice, so it is read until it stands still.
server_ticks() {
	local postmaster ticks=0 last _
	read -r postmaster <"$SANDBOX/cluster/postmaster.pid"
	for _ in {1..20}; do
		last=$ticks
		ticks=$(cat /proc/[0-9]*/stat 2>/dev/null | awk -v postmaster="$postmaster" '
			{ rest = $0; sub(/.*\) /, "", rest); split(rest, f, " ") }
			f[2] == postmaster { ticks += f[12] + f[13] }
			$1 == postmaster { ticks += f[12] + f[13] + f[14] + f[15] }
			END { print ticks }')
		[ $((ticks - last)) -gt 3 ] || [ "$ticks" -lt "$last" ] || break
		sleep 0.02
	done
	say "$ticks"
}

# rate DATABASE SECONDS SYNCHRONOUS_COMMIT: prints how many updates a second two
# clients make, how many they make in a second of the server's processor time, the
# worker's included, and how many bytes of WAL each takes.
rate() {
	local ticks bytes
	ticks=$(server_ticks) bytes=$(wal)
	PGOPTIONS="-c synchronous_commit=$3" pgbench -n -M prepared -c 2 -j 2 -T "$2" \
		-f bench/measures/updates.pgbench -D first=1 -D last=$((200 * 600 + 200 * 100)) "$1" >"$SANDBOX/rate" 2>&1 || return
	awk -v ticks=$(($(server_ticks) - ticks)) -v bytes=$(($(wal) - bytes)) -v hertz="$(getconf CLK_TCK)" '
		/^number of transactions actually processed/ { n = $NF }
		/^tps/ { rate = $3 }
		END { print rate, n * hertz / ticks, bytes / n }' "$SANDBOX/rate"
}

# heap_only DATABASE: prints the share of updates that were heap-only, in %.
heap_only() {
	sql "$1" -c "SELECT 100.0 * n_tup_hot_upd / n_tup_upd FROM pg_stat_user_tables WHERE relname = 'messages'"
}

# update_rounds NAME SYNCHRONOUS_COMMIT ROUNDS INDEXED SECONDS: samples the databases
# by turns, the one with indexes in so many rounds only.  Rounds are short and many:
# from one moment to the next a shared machine is faster or slower by more than what
# is looked for.  What the worker has to count of a round it counts in the next, at
# its beginning, as it is woken then and has nothing to do in between.
update_rounds() {
	local round side per_second per_cpu bytes order=(with without indexed)
	local -A worker_of=([with]=on [without]=off [indexed]=off)
	for ((round = 1; round <= $3; round++)); do
		for side in "${order[@]}"; do
			[ "$side" != indexed ] || [ "$round" -le "$4" ] || continue
			worker "${worker_of[$side]}"
			read -r per_second per_cpu bytes < <(rate "$side" "$5" "$2") &&
				sample "$1 $side" "$round" "$per_second" &&
				sample "$1 cpu $side" "$round" "$per_cpu" &&
				sample "$1 wal $side" "$round" "$bytes" || return
		done
		order=("${order[1]}" "${order[0]}" "${order[2]}")
	done
	worker off
}

# In three copies of one database: with the extension and its worker; without,
# which is also how the task queue and the PL/pgSQL loop leave the tables; and
# with the indexes of the set-based SQL.
measure() {
	local seconds side
	seconds=$(size 2 1)
	criterion "the application's updates with the extension / without" 'durable with' 'durable without' 0.5 '>=' 0.97
	criterion '... where commits do not wait for the disk' 'lazy with' 'lazy without' 0.5 '' ''
	criterion '... by processor time of the server' 'lazy cpu with' 'lazy cpu without' 0.5 '' ''
	criterion '... with the indexes of the set-based SQL / without' 'durable indexed' 'durable without' 0.5 '' ''
	criterion '... where commits do not wait for the disk' 'lazy indexed' 'lazy without' 0.5 '' ''
	criterion 'updates a second without the extension' 'durable without' '' 0.5 '' ''
	criterion '... where commits do not wait for the disk' 'lazy without' '' 0.5 '' ''
	criterion 'of which heap-only, with the extension' 'heap-only with' '' 0.5 '>=' 99 ' %'
	criterion 'of which heap-only, without' 'heap-only without' '' 0.5 '' '' ' %'
	criterion 'of which heap-only, with the indexes' 'heap-only indexed' '' 0.5 '' '' ' %'
	criterion 'WAL of an update with the extension' 'lazy wal with' '' 0.5 '' '' ' bytes'
	criterion '... without' 'lazy wal without' '' 0.5 '' '' ' bytes'
	criterion '... with the indexes' 'lazy wal indexed' '' 0.5 '' '' ' bytes'
	criterion 'indexes of messages, with the extension' 'indexes with' '' 0.5 '' '' ' MB'
	criterion '... without' 'indexes without' '' 0.5 '' '' ' MB'
	criterion '... with the indexes' 'indexes indexed' '' 0.5 '' '' ' MB'
	prepare updates && contenders updates &&
		source_tables updates public all '200, replied => 100, waiting => 500' &&
		sql updates -o /dev/null -c "UPDATE campaign_source SET expired_every = '1 hour', timeout_every = '6 hours', sending_every = '2 minutes', interrupted_every = '5 minutes'" &&
		settle updates &&
		createdb -T updates with && createdb -T updates without && createdb -T updates indexed &&
		sql with -o /dev/null -c "SELECT campaign_alter('public', 'mode', 'active')" &&
		sql with -c 'CALL campaign_run_sweeps()' &&
		sql indexed -c 'CALL set_based.create_indexes()' || return
	for side in without indexed; do
		sql "$side" -c 'SET client_min_messages = warning' -c "DROP EXTENSION $EXTENSION CASCADE" || return
	done
	for side in with without indexed; do	# every page read, written and pruned once
		sql "$side" -o /dev/null -c 'SELECT count(content) FROM messages' && rate "$side" "$(size 5 1)" off >/dev/null || return
	done
	update_rounds durable on "$(size 80 4)" "$(size 10 1)" "$seconds" &&
		update_rounds lazy off "$(size 30 2)" "$(size 10 1)" "$seconds" || return
	for side in with without indexed; do
		sample "heap-only $side" 1 "$(heap_only "$side")" &&
			sample "indexes $side" 1 "$(sql "$side" -c "SELECT pg_indexes_size('messages') / 1e6")" || return
	done
}
