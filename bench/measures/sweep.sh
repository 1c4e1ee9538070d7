# shellcheck shell=bash
#
# What it costs to judge many open campaigns none of which can close, by their
# number.  For the extension it is nearly a lookup each, in the same tables,
# however many there are.  That the larger tables are farther from the
# processor's cache slows both sides.

measure() {
	local sizes n previous='' few rounds open
	sizes=$(size '100 1000 10000 100000' '100 1000 10000')
	rounds=$(size 25 5)
	few=$(size '100 1000 10000' '100 1000')	# more would take the slow ones minutes
	criterion 'a sweep over 10,000 open campaigns' 'sweep s10000' '' 0.5 '<' 0.3 ' s'
	for n in $sizes; do
		[ "$n" -ge 1000 ] || continue	# the sweep itself outweighs these
		criterion "judging one of $(thousands "$n") open campaigns / a primary-key lookup through SPI" "one of $n" "lookup of $n" 0.5 '<' 3
		[ -z "$previous" ] || {
			criterion "... in lookups / that of $(thousands "$previous")" "lookups of $n" "lookups of $previous" 0.5 '<=' 1.2
			criterion "... in time / that of $(thousands "$previous")" "one of $n" "one of $previous" 0.5 '' ''
		}
		previous=$n
	done
	contest sweep 'A sweep over open campaigns of 10 messages' 'open campaigns' ' s'
	prepare sweep && sql sweep -f bench/measures/sweeps.sql && contenders sweep &&
		source_tables sweep none sending || return
	for n in $sizes; do
		source_tables sweep "s$n" sending "$n, waiting => 10" || return
	done
	# shellcheck disable=SC2086
	settle sweep &&
		sql sweep -c "CALL bench.time_sweeps('{none$(printf ',s%s' $sizes)}', $rounds, '{NULL$(printf ',%.0s10' $sizes)}')" || return
	for n in $sizes; do
		PGOPTIONS="-c search_path=s$n,public" sql sweep -c 'CALL by_id.learn_open()' || return
	done
	contend_open sweep "$rounds" "$sizes" by_id &&
		contend_open sweep "$rounds" "$few" recount plpgsql task_queue || return
	for n in $sizes; do		# the others have been measured without them
		PGOPTIONS="-c search_path=s$n,public" sql sweep -c 'CALL set_based.create_indexes()' || return
	done
	settle sweep && contend_open sweep "$rounds" "$sizes" set_based && samples_of sweep || return
	for n in $sizes; do
		derive "one of $n" "(a - b) / $n" "sweep s$n" 'sweep none' &&
			derive "lookup of $n" "a / $n" "lookups s$n" &&
			derive "lookups of $n" 'a / b' "one of $n" "lookup of $n" &&
			derive "sweep $n extension" a "sweep s$n" || return
		open=$(sql sweep -c "SELECT count(*) FROM s$n.campaigns WHERE status = 'sending'")
		[ "$open" = "$n" ] || { say "$open of $n campaigns are still open"; return 1; }
	done
}
