# shellcheck shell=bash
#
# What it costs to judge an open campaign, by its size: a sweep over tables that
# hold one campaign, a quarter of whose contacts have replied, while all the
# others may still do so.  Each size has a schema of its own.

measure() {
	local sizes few n rounds small=1000 large open
	sizes=$(size '1000 10000 100000 1000000 10000000' '1000 10000 100000')
	few=$(size '1000 10000 100000 1000000' "$sizes")	# more would take minutes
	rounds=$(size 200 20)
	for n in $sizes; do
		large=$n
		[ "$n" -lt $((100 * small)) ] ||
			criterion "judging a campaign of $(thousands "$n") messages / of 1,000" "sweep s$n" "sweep s$small" 0.5 '<' 1.5
	done
	criterion 'the same, less a sweep that finds none open' large small 0.5 '' ''
	contest judge 'A sweep over one open campaign' 'messages of the campaign' ' s'
	prepare judging && sql judging -f bench/measures/sweeps.sql && contenders judging &&
		source_tables judging none sending || return
	for n in $sizes; do
		source_tables judging "s$n" sending "1, replied => $((n / 5)), waiting => $((n * 3 / 5))" || return
	done
	# shellcheck disable=SC2086
	settle judging &&
		sql judging -c "CALL bench.time_sweeps('{none$(printf ',s%s' $sizes)}', $rounds)" || return
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
	derive large 'a - b' "sweep s$large" 'sweep none' && derive small 'a - b' "sweep s$small" 'sweep none'
}
