# shellcheck shell=bash
#
# How soon a campaign is closed after it has ended.

# From the commit of the last Message 2 to that of "completed".
measure() {
	local ending delay=5 campaigns contacts=100 replied=20 gap=0.05 closed load status
	ending=$(size 200 40) campaigns=$((2 * ending))
	[ -z "$quick" ] || delay=1
	criterion "99 % of $ending campaigns are closed within check_delay +" beyond '' 0.99 '<=' 50 ' ms'
	criterion 'half of them within check_delay +' beyond '' 0.5 '' '' ' ms'
	prepare latency &&
		source_tables latency public none "$campaigns, replied => $replied, waiting => $((contacts - replied))" &&
		sql latency -o /dev/null -c "SELECT campaign_alter('public', 'check_delay', '$delay seconds')" &&
		sql latency -v ending="$ending" -v campaigns="$campaigns" -v contacts="$contacts" -v replied="$replied" \
			-f bench/measures/latency.sql &&
		settle latency || return
	worker on
	pgbench -n -M prepared -c 2 -j 2 --rate=2000 -T 600 -f bench/measures/updates.pgbench \
		-D first=$((ending * contacts + 1)) -D last=$((campaigns * contacts)) latency >"$SANDBOX/load" 2>&1 &
	load=$!
	sleep 1
	sql latency -c "CALL bench.end_campaigns($gap)"
	status=$?
	sleep $((delay + 2))
	kill $load 2>/dev/null || { cat "$SANDBOX/load"; status=1; }
	wait $load
	worker off
	closed=$(sql latency -c 'SELECT count(*) FROM bench.latency')
	[ "$closed" = "$ending" ] || { say "$closed of $ending campaigns were closed"; return 1; }
	sql latency -c "COPY (SELECT 'latency', 'beyond', row_number() OVER (), milliseconds - 1000 * $delay FROM bench.latency) TO STDOUT" |
		sql results -c 'COPY sample FROM STDIN'
	return $status
}
