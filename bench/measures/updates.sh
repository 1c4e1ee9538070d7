# shellcheck shell=bash
#
# What the application's own updates lose.

# client SECONDS SYNCHRONOUS_COMMIT DATABASE: two clients make updates; pgbench tells in
# $SANDBOX/rate.DATABASE how many.
client() {
	PGOPTIONS="-c synchronous_commit=$2" exec pgbench -n -M prepared -c 2 -j 2 -T "$1" \
		-f bench/measures/updates.pgbench -D first=1 -D last=$((200 * 600 + 200 * 100)) "$3" >"$SANDBOX/rate.$3" 2>&1
}

# updates_of DATABASE: prints how many its clients have made.
updates_of() { sed -n 's/^number of transactions actually processed: //p' "$SANDBOX/rate.$1" | grep .; }

# Nothing can be read from it: to wait without a process.
exec {never}<> <(:)

# by_turns SECONDS SYNCHRONOUS_COMMIT DATABASE DATABASE: clients of both are there all the
# time, and take turns of a fiftieth of a second.  From one second to the next, and from
# one tenth to the next, a shared machine is faster or slower by more than what is looked
# for.  It is the clients who are stopped, by a signal, and never a process of the server.
by_turns() {
	local turn=0 turns=0 clients=()
	(client "$1" "$2" "$3") &
	clients+=($!)
	(client "$1" "$2" "$4") &
	clients+=($!)
	kill -STOP "${clients[1]}"
	while kill -0 "${clients[0]}" 2>/dev/null && kill -0 "${clients[1]}" 2>/dev/null; do
		read -r -t 0.02 -u "$never"
		((turns++ % 25 > 0)) || look_at_worker
		kill -STOP "${clients[turn]}"
		turn=$((1 - turn))
		kill -CONT "${clients[turn]}"
	done 2>/dev/null
	kill -CONT "${clients[@]}" 2>/dev/null
	wait "${clients[0]}" && wait "${clients[1]}"
}

# The processor time that each process of the extension has used, in ticks; one that has
# ended stays.
declare -A ticks_of=()
look_at_worker() {
	local postmaster pid title stat fields
	read -r postmaster <"$SANDBOX/cluster/postmaster.pid"
	for pid in $(<"/proc/$postmaster/task/$postmaster/children"); do
		IFS= read -r -d '' title <"/proc/$pid/cmdline"
		[[ $title = *"$EXTENSION"* ]] || continue
		read -r stat <"/proc/$pid/stat" || continue
		read -r -a fields <<<"${stat##*) }"
		ticks_of[$pid]=$((fields[11] + fields[12]))
	done 2>/dev/null
}

# Leaves in $ticks how much all of them have used.
count_ticks() {
	local pid
	look_at_worker
	ticks=0
	for pid in "${!ticks_of[@]}"; do ticks=$((ticks + ticks_of[$pid])); done
}

# rate UPDATES SECONDS [TICKS]: prints how many updates that is in a second of their turns,
# less the share of the processors that the ticks are.
rate() {
	awk -v n="$1" -v seconds="$2" -v ticks="${3:-0}" -v hertz="$(getconf CLK_TCK)" -v processors="$(nproc)" \
		'BEGIN { print n / (seconds / 2) * (1 - ticks / hertz / seconds / processors) }'
}

# update_rounds NAME SYNCHRONOUS_COMMIT ROUNDS SECONDS DATABASE: samples the updates of a
# database, and of "without" beside it.  The extension's processes work in the turns of
# both, on what is updated in one, so what they take from the processors is taken off.
update_rounds() {
	local round ticks before pair=("$5" without)
	for ((round = 1; round <= $3; round++)); do
		count_ticks
		before=$ticks
		by_turns "$4" "$2" "${pair[@]}" || return
		count_ticks
		ticks=$((ticks - before))
		sample "$1 $5" "$round" "$(rate "$(updates_of "$5")" "$4" "$ticks")" &&
			sample "$1 beside $5" "$round" "$(rate "$(updates_of without)" "$4")" &&
			sample "$1 worker of $5" "$round" "$(awk -v ticks="$ticks" -v seconds="$4" -v hertz="$(getconf CLK_TCK)" 'BEGIN { print 100 * ticks / hertz / seconds }')" || return
		pair=("${pair[1]}" "${pair[0]}")
	done
}

# by_rounds ROUNDS SECONDS: the same without turns, and nothing taken off: for seconds the
# clients update "with" while the worker is there, then "without" while it is not.
by_rounds() {
	local round side sides=(with without)
	for ((round = 1; round <= $1; round++)); do
		for side in "${sides[@]}"; do
			[ "$side" = without ] || worker on
			(client "$2" on "$side") || return
			worker off
			sample "plain $side" "$round" "$(($(updates_of "$side") / $2))" || return
		done
		sides=("${sides[1]}" "${sides[0]}")
	done
}

# heap_only DATABASE: prints the share of updates that were heap-only, in %.
heap_only() {
	sql "$1" -c "SELECT 100.0 * n_tup_hot_upd / n_tup_upd FROM pg_stat_user_tables WHERE relname = 'messages'"
}

# alone SIDE SECONDS: samples the WAL of an update, with nobody else there; before, every
# page is read, written and pruned once.
alone() {
	local bytes round
	sql "$1" -o /dev/null -c 'SELECT count(content) FROM messages' && (client "$2" off "$1") || return
	for round in 1 2 3; do
		bytes=$(wal)
		(client "$2" off "$1") && sample "wal $1" "$round" $((($(wal) - bytes) / $(updates_of "$1"))) || return
	done
}

# In four copies of one database: with the extension and its worker; without,
# which is also how the task queue and the PL/pgSQL loop leave the tables; with
# the indexes of the set-based SQL; and with a trigger like the extension's that
# does nothing, which is what PostgreSQL takes for calling one.
measure() {
	local seconds side
	seconds=$(size 8 2)
	criterion "the application's updates with the extension / without" 'durable with' 'durable beside with' 0.5 '>=' 0.97
	criterion '... of a processor, for the worker, taken off' 'durable worker of with' '' 0.5 '' '' ' %'
	criterion '... in rounds of seconds instead, the worker being there in its own only' 'plain with' 'plain without' 0.5 '' ''
	criterion '... where commits do not wait for the disk' 'lazy with' 'lazy beside with' 0.5 '' ''
	criterion '... with a trigger in C that does nothing, and no worker / without' 'durable noop' 'durable beside noop' 0.5 '' ''
	criterion '... where commits do not wait for the disk' 'lazy noop' 'lazy beside noop' 0.5 '' ''
	criterion '... with the indexes of the set-based SQL / without' 'durable indexed' 'durable beside indexed' 0.5 '' ''
	criterion '... where commits do not wait for the disk' 'lazy indexed' 'lazy beside indexed' 0.5 '' ''
	criterion 'updates a second without the extension' 'durable beside with' '' 0.5 '' ''
	criterion '... where commits do not wait for the disk' 'lazy beside with' '' 0.5 '' ''
	criterion 'of which heap-only, with the extension' 'heap-only with' '' 0.5 '>=' 99 ' %'
	criterion 'of which heap-only, without' 'heap-only without' '' 0.5 '' '' ' %'
	criterion 'of which heap-only, with the indexes' 'heap-only indexed' '' 0.5 '' '' ' %'
	criterion 'WAL of an update with the extension' 'wal with' '' 0.5 '' '' ' bytes'
	criterion '... without' 'wal without' '' 0.5 '' '' ' bytes'
	criterion '... with the indexes' 'wal indexed' '' 0.5 '' '' ' bytes'
	criterion 'indexes of messages, with the extension' 'indexes with' '' 0.5 '' '' ' MB'
	criterion '... without' 'indexes without' '' 0.5 '' '' ' MB'
	criterion '... with the indexes' 'indexes indexed' '' 0.5 '' '' ' MB'
	prepare updates && contenders updates &&
		source_tables updates public all '200, replied => 100, waiting => 500' &&
		sql updates -o /dev/null -c "UPDATE campaign_source SET expired_every = '1 hour', timeout_every = '6 hours', sending_every = '2 minutes', interrupted_every = '5 minutes'" &&
		settle updates &&
		createdb -T updates with && createdb -T updates without && createdb -T updates indexed && createdb -T updates noop &&
		sql with -o /dev/null -c "SELECT campaign_alter('public', 'mode', 'active')" &&
		sql with -c 'CALL campaign_run_sweeps()' &&
		sql indexed -c 'CALL set_based.create_indexes()' || return
	for side in without indexed noop; do
		sql "$side" -c 'SET client_min_messages = warning' -c "DROP EXTENSION $EXTENSION CASCADE" || return
	done
	# without an argument it does nothing
	sql noop -c "CREATE EXTENSION $EXTENSION" -c 'CREATE TRIGGER noop AFTER INSERT OR DELETE OR UPDATE OF status ON messages
		FOR EACH ROW EXECUTE FUNCTION campaign_note_message()' || return
	for side in with without indexed; do alone "$side" "$(size 5 1)" || return; done
	update_rounds durable on "$(size 5 1)" "$seconds" indexed &&
		update_rounds lazy off "$(size 5 1)" "$seconds" indexed &&
		update_rounds durable on "$(size 15 2)" "$seconds" noop &&
		update_rounds lazy off "$(size 10 1)" "$seconds" noop &&
		worker on &&
		update_rounds durable on "$(size 30 2)" "$seconds" with &&
		update_rounds lazy off "$(size 15 2)" "$seconds" with &&
		by_rounds "$(size 12 2)" "$seconds" || return
	worker off
	for side in with without indexed; do
		sample "heap-only $side" 1 "$(heap_only "$side")" &&
			sample "indexes $side" 1 "$(sql "$side" -c "SELECT pg_indexes_size('messages') / 1e6")" || return
	done
}
