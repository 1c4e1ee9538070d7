# shellcheck shell=bash
#
# How soon a campaign is closed after it has ended, from commit to commit, while
# other campaigns are updated.

background=()	# processes

# ended_campaigns DATABASE ENDING OTHER: the campaigns, of which so many lack nothing
# but the end: half of them a Message 2, the others that or ("failed") that a
# Message 1 fails.
ended_campaigns() {
	local contacts=100 replied=20
	source_tables "$1" public none "$((2 * $2)), replied => $replied, waiting => $((contacts - replied))" &&
		sql "$1" -v ending="$2" -v campaigns=$((2 * $2)) -v contacts=$contacts -v replied=$replied \
			-v other="$3" -f bench/measures/latency.sql
}

# load DATABASE ENDING RATE: updates of the campaigns that go on; its process is
# added to "background".
load() {
	pgbench -n -M prepared -c 2 -j 2 --rate="$3" -T 1000 -f bench/measures/updates.pgbench \
		-D first=$(($2 * 100 + 1)) -D last=$((2 * $2 * 100)) "$1" >"$SANDBOX/load.$1" 2>&1 &
	background+=($!)
}

# stop_background: fails if some of it has ended by itself.
stop_background() {
	local process status=0
	for process in "${background[@]}"; do
		kill "$process" 2>/dev/null || { tail -n 3 "$SANDBOX"/load.*; status=1; }
	done
	wait "${background[@]}"
	background=()
	return $status
}

# closed DATABASE ENDING: fails unless all that ended have been closed.
closed() {
	local closed
	closed=$(sql "$1" -c 'SELECT count(*) FROM bench.latency')
	[ "$closed" = "$2" ] || { say "$1: $closed of $2 campaigns were closed"; return 1; }
}

# The extension by itself: one campaign every 50 ms.
alone() {
	local ending=$1 delay=$2 gap=0.05
	prepare latency && ended_campaigns latency "$ending" message_2 &&
		sql latency -o /dev/null -c "SELECT campaign_alter('public', 'check_delay', '$delay seconds')" &&
		settle latency || return
	worker on
	load latency "$ending" 2000
	sleep 1
	sql latency -c "CALL bench.end_campaigns($gap)" || return
	sleep $((delay + 2))
	stop_background && closed latency "$ending" || return
	worker off
	sql latency -c "COPY (SELECT 'latency', 'beyond', row_number() OVER (), milliseconds - 1000 * $delay FROM bench.latency) TO STDOUT" |
		sql results -c 'COPY sample FROM STDIN'
}

# repeatedly DATABASE STATEMENT: executes it every two minutes, by pg_cron where
# there is one.  In a quick run, and where there is none, a client does it, and in
# a quick run every two seconds.
repeatedly() {
	if [ -z "${quick:-}" ] && [ "$(sql postgres -c "SELECT count(*) FROM pg_extension WHERE extname = 'pg_cron'")" = 1 ]; then
		sql postgres -o /dev/null -c "SELECT cron.schedule_in_database('$1', '*/2 * * * *', '$2', '$1')"
		return
	fi
	while sleep "$every"; do
		sql "$1" -c "$2"
	done >"$SANDBOX/load.$1.repeated" 2>&1 &
	background+=($!)
}

# All contenders at once, each in a database of its own, with a quarter of the
# load each.
together() {
	local ending=$1 seconds=$2 database endings=()
	local -a databases=(latency_extension latency_task_queue latency_plpgsql latency_set_based)
	prepare latency_plpgsql && ended_campaigns latency_plpgsql "$ending" failed && contenders latency_plpgsql && settle latency_plpgsql || return
	for database in "${databases[@]}"; do
		[ "$database" = latency_plpgsql ] || copy latency_plpgsql "$database" || return
	done
	without_extension latency_plpgsql latency_task_queue latency_set_based || return
	sql latency_set_based -c 'CALL set_based.create_indexes()' -c CHECKPOINT || return
	PGDATABASE=latency_task_queue /usr/bin/python3 bench/peers/task_queue.py worker --every "$every" &
	background+=($!)
	repeatedly latency_plpgsql 'CALL plpgsql.sending()' && repeatedly latency_set_based 'CALL set_based.sending()' || return
	worker on
	for database in "${databases[@]}"; do
		load "$database" "$ending" 500
	done
	sleep 1
	for database in "${databases[@]}"; do
		sql "$database" -c "CALL bench.end_campaigns($seconds.0 / $ending)" &
		endings+=($!)
	done
	wait "${endings[@]}"
	sleep $((every + 6))
	worker off
	stop_background || return
	for database in "${databases[@]}"; do
		closed "$database" "$ending" &&
			sql "$database" -c "COPY (SELECT 'latency', way || ' 1 ${database#latency_}', row_number() OVER (PARTITION BY way), milliseconds / 1000
				FROM (SELECT 'closed' AS way, milliseconds FROM bench.latency UNION ALL SELECT way, milliseconds FROM bench.latency) AS l) TO STDOUT" |
			sql results -c 'COPY sample FROM STDIN' || return
	done
}

measure() {
	local ending delay=5 every contender label
	ending=$(size 200 40) every=$(size 120 2)
	[ -z "${quick:-}" ] || delay=1
	criterion "99 % of $ending campaigns are closed within check_delay +" beyond '' 0.99 '<=' 50 ' ms'
	criterion 'half of them within check_delay +' beyond '' 0.5 '' '' ' ms'
	for contender in extension task_queue plpgsql set_based; do
		label=$(sql results -c "SELECT label FROM contender WHERE name = '$contender'")
		[ $contender = extension ] || label="$label, every $every s"
		criterion "$label: half after a Message 2" "message_2 1 $contender" '' 0.5 '' '' ' s'
		criterion '... 99 %' "message_2 1 $contender" '' 0.99 '' '' ' s'
		criterion "$label: half after a Message 1 that failed" "failed 1 $contender" '' 0.5 '' '' ' s'
		criterion '... 99 %' "failed 1 $contender" '' 0.99 '' '' ' s'
	done
	contest closed 'Campaigns that have been closed, by the time since they ended' seconds '% of the campaigns' share
	trap 'kill "${background[@]}" 2>/dev/null' EXIT
	alone "$ending" "$delay" && together "$(size 240 40)" "$(size 120 6)"
}
