# shellcheck shell=bash
#
# How far the statistics of an open campaign are behind its messages, at the most,
# while these are updated all the time: from the commit of one that fails to the
# moment that the campaign's row is seen to count it.

# go_on SCHEMA MESSAGES RATE: updates of them, a second; its process is added to
# "background".
go_on() {
	PGOPTIONS="-c search_path=$1,public" pgbench -n -M prepared -c 1 --rate="$3" -T 1000 -f bench/measures/updates.pgbench \
		-D first=1 -D last="$2" statistics >"$SANDBOX/load.$1" 2>&1 &
	background+=($!)
}

measure() {
	local background=() contacts=800 large campaigns process
	campaigns=$(size 200 20) large=$(size 800000 8000)
	criterion "statistics of $campaigns campaigns of 1,000 messages are behind by at most" 'lag small' '' 1 '<=' 10 ' s'
	criterion '... half of the time' 'lag small' '' 0.5 '' '' ' s'
	criterion "statistics of a campaign of $(thousands $((large * 5 / 4))) messages are behind by at most" 'lag large' '' 1 '<=' 300 ' s'
	prepare statistics && sql statistics -f bench/measures/statistics.sql &&
		source_tables statistics small none "$campaigns, replied => $((contacts / 4)), waiting => $((contacts * 3 / 4))" &&
		source_tables statistics large none "1, replied => $((large / 4)), waiting => $((large * 3 / 4))" &&
		settle statistics || return
	trap 'kill "${background[@]}" 2>/dev/null' EXIT
	worker on
	go_on small $((campaigns * contacts)) 1000
	go_on large "$large" 1000
	sql statistics -c "CALL bench.follow($(size 330 30))" || return
	worker off
	for process in "${background[@]}"; do
		kill "$process" || { tail -n 3 "$SANDBOX"/load.*; return 1; }
	done
	wait "${background[@]}"
	sql statistics -c "COPY (SELECT 'statistics', 'lag ' || schema, row_number() OVER (PARTITION BY schema), extract(epoch FROM coalesce(seen_at, clock_timestamp()) - made_at)
		FROM bench.change) TO STDOUT" | sql results -c 'COPY sample FROM STDIN'
}
