# shellcheck shell=bash
#
# What it costs to judge many open campaigns, by their number.

# A sweep over many open campaigns none of which can close: nearly a lookup
# each, in the same tables, however many there are.  That the larger tables are
# farther from the processor's cache slows both sides.
measure() {
	local sizes n previous='' rounds
	read -ra sizes <<<"$(size '1000 10000 100000' '1000 10000')"
	rounds=$(size 15 5)
	criterion 'a sweep over 10,000 open campaigns' 'sweep s10000' '' 0.5 '<' 0.3 ' s'
	for n in "${sizes[@]}"; do
		criterion "judging one of $(thousands "$n") open campaigns / a primary-key lookup through SPI" "one of $n" "lookup of $n" 0.5 '<' 3
		[ -z "$previous" ] || {
			criterion "... in lookups / that of $(thousands "$previous")" "lookups of $n" "lookups of $previous" 0.5 '<=' 1.2
			criterion "... in time / that of $(thousands "$previous")" "one of $n" "one of $previous" 0.5 '' ''
		}
		previous=$n
	done
	prepare sweep && sql sweep -f bench/measures/sweeps.sql && source_tables sweep none sending || return
	for n in "${sizes[@]}"; do
		source_tables sweep "s$n" sending "$n, waiting => 10" || return
	done
	settle sweep &&
		sql sweep -c "CALL bench.time_sweeps('{none$(printf ',s%s' "${sizes[@]}")}', $rounds)" || return
	for n in "${sizes[@]}"; do
		sql sweep -c "CALL bench.time_lookups('s$n', $n, 10, $rounds)" || return
	done
	samples_of sweep || return
	for n in "${sizes[@]}"; do
		derive "one of $n" "(a - b) / $n" "sweep s$n" 'sweep none' &&
			derive "lookup of $n" "a / $n" "lookups s$n" &&
			derive "lookups of $n" 'a / b' "one of $n" "lookup of $n" || return
	done
}
