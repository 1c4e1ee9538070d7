# shellcheck shell=bash
#
# What it costs to judge an open campaign, by its size: a sweep over tables that
# hold one campaign, a quarter of whose contacts have replied, while all the
# others may still do so.  Each size has a schema of its own.
#
# A sweep over one campaign is nearly all sweep, so there are also tables with a
# thousand of them, small and not so small, next to as many lookups.

measure() {
	local sizes few n rounds small=1000 large open many medium
	sizes=$(size '1000 10000 100000 1000000 10000000' '1000 10000 100000')
	few=$(size '1000 10000 100000 1000000' "$sizes")	# more would take minutes
	rounds=$(size 200 20)
	many=$(size 1000 100) medium=$(size 1000 100)	# campaigns, messages of each
	for n in $sizes; do
		large=$n
		[ "$n" -lt $((100 * small)) ] ||
			criterion "judging a campaign of $(thousands "$n") messages / of 1,000" "sweep s$n" "sweep s$small" 0.5 '<' 1.5
	done
	criterion 'a sweep over one of 1,000 messages, less one that finds none open' small '' 0.5 '' '' ' µs'
	criterion "... over one of $(thousands "$large")" large '' 0.5 '' '' ' µs'
	criterion "judging one of $(thousands "$many") campaigns of $(thousands "$medium") messages / a primary-key lookup through SPI" 'one of medium' 'lookup of medium' 0.5 '<' 3
	criterion '... in lookups / one of campaigns of 10 messages' 'lookups of medium' 'lookups of tiny' 0.5 '<' 1.5
	contest judge 'A sweep over one open campaign' 'messages of the campaign' ' s'
	prepare judging && sql judging -f bench/measures/sweeps.sql && contenders judging &&
		source_tables judging none sending &&
		source_tables judging tiny sending "$many, waiting => 10" &&
		source_tables judging medium sending "$many, replied => $((medium / 5)), waiting => $((medium * 3 / 5))" || return
	for n in $sizes; do
		source_tables judging "s$n" sending "1, replied => $((n / 5)), waiting => $((n * 3 / 5))" || return
	done
	# shellcheck disable=SC2086
	settle judging &&
		sql judging -c "CALL bench.time_sweeps('{none,tiny,medium$(printf ',s%s' $sizes)}', $rounds, '{NULL,10,$((medium * 4 / 5))}')" || return
	for n in $sizes; do
		PGOPTIONS="-c search_path=s$n,public" sql judging -c 'CALL by_id.learn_open()' || return
	done
	contend_open judge "$(size 20 3)" "$sizes" by_id plpgsql task_queue &&
		contend_open judge "$(size 20 3)" "$few" recount || return
	for n in $sizes; do		# the others have been measured without them
		PGOPTIONS="-c search_path=s$n,public" sql judging -c 'CALL set_based.create_indexes()' || return
	done
	settle judging && contend_open judge "$(size 20 3)" "$sizes" set_based && samples_of judging || return
	for n in $sizes; do
		derive "judge $n extension" a "sweep s$n" || return
		open=$(sql judging -c "SELECT count(*) FROM s$n.campaigns WHERE status = 'sending'")
		[ "$open" = 1 ] || { say "the campaign of $n messages was closed"; return 1; }
	done
	for n in tiny medium; do
		derive "one of $n" "(a - b) / $many" "sweep $n" 'sweep none' &&
			derive "lookup of $n" "a / $many" "lookups $n" &&
			derive "lookups of $n" 'a / b' "one of $n" "lookup of $n" || return
	done
	derive large '(a - b) * 1e6' "sweep s$large" 'sweep none' && derive small '(a - b) * 1e6' "sweep s$small" 'sweep none'
}
