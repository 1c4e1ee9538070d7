# shellcheck shell=bash
#
# What it costs to judge an open campaign, by its size.

# Judging an open campaign: flat in its size.
measure() {
	local campaigns messages rounds
	campaigns=$(size 3 1) messages=$(size 1000000 100000) rounds=$(size 200 20)
	criterion "a sweep over $campaigns campaigns of $(thousands "$messages") messages / of 1,000" 'sweep large' 'sweep small' 0.5 '<' 1.5
	criterion 'the same, less a sweep that finds none open' 'large' 'small' 0.5 '' ''
	criterion "the sweep over campaigns of $(thousands "$messages")" 'large ms' '' 0.5 '' '' ' ms'
	prepare judging &&
		sql judging -f bench/measures/sweeps.sql &&
		source_tables judging none sending &&
		source_tables judging small sending "$campaigns, waiting => 1000" &&
		source_tables judging large sending "$campaigns, waiting => $messages" &&
		settle judging &&
		sql judging -c "CALL bench.time_sweeps('{none,small,large}', $rounds)" &&
		samples_of judging &&
		derive large 'a - b' 'sweep large' 'sweep none' &&
		derive small 'a - b' 'sweep small' 'sweep none' &&
		derive 'large ms' 'a * 1000' 'sweep large'
}
