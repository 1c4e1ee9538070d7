# shellcheck shell=bash
#
# What the measures have in common: databases with the workload in them, time,
# and where the figures are kept.
#
# bench/run starts each measure as a process of its own, which sources this file
# and bench/measures/MEASURE.sh, and calls measure().  Its databases are dropped
# when it is over.  What it needs from bench/run is in the environment: the
# server to talk to (PGHOST ...), the sandbox, and
#
#	measure		its name
#	quick		not empty: small workloads, few rounds

# shellcheck source=test/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../test/lib.sh"

# size FULL QUICK
size() { if [ -n "${quick:-}" ]; then say "$2"; else say "$1"; fi; }

# 1000000 -> 1,000,000
thousands() { sed ':a;s/\B[0-9]\{3\}\>/,&/;ta' <<<"$1"; }

#
# Talking to the server
#

# sql DATABASE PSQL-ARGUMENT...
sql() { local database=$1; shift; psql -XAtq -v ON_ERROR_STOP=1 -d "$database" "$@"; }

# prepare DATABASE: one with the extension and the workload's procedures.
prepare() {
	createdb "$1" && sql "$1" -o /dev/null -c 'SET client_min_messages = warning' \
		-c "CREATE EXTENSION $EXTENSION" -f bench/fill.sql
}

# source_tables DATABASE SCHEMA SWEEP [FILL-ARGUMENTS]: the standard tables, filled,
# of which no sweep but the one is ever due (none: no sweep).
source_tables() {
	local sweep
	sql "$1" -o /dev/null -c 'SET client_min_messages = warning' -c "CREATE SCHEMA IF NOT EXISTS $2" \
		-c "SELECT campaign_create_tables('$2')" || return
	for sweep in expired timeout sending interrupted; do
		[ "$sweep" = "$3" ] || sql "$1" -o /dev/null -c "SELECT campaign_alter('$2', '${sweep}_every', NULL)" || return
	done
	[ $# -lt 4 ] || sql "$1" -c "CALL bench.fill('$2', $4)"
}

settle() { sql "$1" -c 'VACUUM (FREEZE, ANALYZE)' -c CHECKPOINT; }

# copy DATABASE NEW: a copy whose source acts, just checkpointed, as any other
# copy is.
copy() {
	dropdb --if-exists --force "$2" 2>/dev/null
	sql postgres -c "CREATE DATABASE $2 TEMPLATE $1 STRATEGY file_copy" &&
		sql "$2" -o /dev/null -c "SELECT campaign_alter('public', 'mode', 'active')"
}

# without_extension DATABASE...: leaves the tables to the other contenders, who
# need not pay for its trigger.
without_extension() {
	local database
	for database; do
		sql "$database" -o /dev/null -c "SELECT campaign_detach('public')" || return
	done
}

# worker on|off
worker() {
	sql postgres -o /dev/null -c "ALTER SYSTEM SET $EXTENSION.enabled = $1" -c 'SELECT pg_reload_conf()'
	sleep 0.3
}

# timed DATABASE STATEMENT: prints the seconds it took.
timed() {
	sql "$1" <<-end
		SELECT clock_timestamp() AS started \gset
		$2;
		SELECT extract(epoch FROM clock_timestamp() - :'started');
	end
}

# wal: prints how many bytes of WAL the server has written.
wal() { sql postgres -c "SELECT pg_current_wal_insert_lsn() - '0/0'"; }

#
# Keeping figures
#

# sample NAME ROUND VALUE, of the measure that bench/run names
# shellcheck disable=SC2154
sample() { sql results -c "INSERT INTO sample VALUES ('$measure', '$1', $2, $3)"; }

# samples_of DATABASE: carries what was measured inside it to the results.
samples_of() {
	sql "$1" -c "COPY (SELECT '$measure', * FROM bench.sample) TO STDOUT" | sql results -c 'COPY sample FROM STDIN'
}

# criterion LABEL NAME PER PERCENTILE COMPARISON BOUND [UNIT]; PER, COMPARISON
# and BOUND may be empty.
criterion() {
	sql results -v measure="$measure" -v label="$1" -v name="$2" -v per="$3" -v percentile="$4" \
		-v comparison="$5" -v bound="$6" -v unit="${7:-}" <<-'end'
			INSERT INTO criterion (measure, label, name, per, percentile, comparison, bound, unit)
			VALUES (:'measure', :'label', :'name', nullif(:'per', ''), :percentile,
				nullif(:'comparison', ''), nullif(:'bound', '')::float8, :'unit');
		end
}

# derive NAME EXPRESSION A [B]: for each round, an expression of the samples a
# and b.
derive() {
	local name=$1 expression=$2
	sql results -v measure="$measure" -v name="$name" -v a="$3" -v b="${4:-$3}" <<-end
		INSERT INTO sample SELECT :'measure', :'name', round, $expression
		FROM (SELECT round, value AS a FROM sample WHERE measure = :'measure' AND name = :'a') AS a
			JOIN (SELECT round, value AS b FROM sample WHERE measure = :'measure' AND name = :'b') AS b USING (round);
	end
}

#
# The contenders: what is in bench/peers
#

# contenders DATABASE: the contenders in a database, with what they are compared
# by.
contenders() {
	local file arguments=()
	for file in bench/peers.sql bench/peers/*.sql; do arguments+=(-f "$file"); done
	sql "$1" -o /dev/null "${arguments[@]}"
}

# copy_for CONTENDER DATABASE NEW: a copy as the contender wants it.
copy_for() {
	copy "$2" "$3" || return
	[ "$1" = extension ] || without_extension "$3" || return
	[ "$1" != set_based ] || sql "$3" -c 'CALL set_based.create_indexes()' -c CHECKPOINT
}

# contend DATABASE CONTENDER TASK [ARGUMENT...]: prints the seconds that a task
# ("expired", "sending") took in the tables that search_path finds.
contend() {
	local database=$1 contender=$2 task=$3 seconds _
	shift 3
	if [ "$contender" = task_queue ]; then
		read -r seconds _ < <(PGDATABASE=$database /usr/bin/python3 bench/peers/task_queue.py "$task" "$@") || return
		say "$seconds"
	else
		timed "$database" "CALL bench.run('$contender', '$task')"
	fi
}

# another_comparison: what is left from now on is compared anew.
another_comparison() { expected=''; }

# same_rows DATABASE CONTENDER: fails unless the contender has left the same rows
# as every other did before.
same_rows() {
	local checksum
	checksum=$(sql "$1" -c 'SELECT bench.checksum()') || return
	[ "$checksum" = "${expected:=$checksum}" ] || { say "$2 left other rows than the first contender: $checksum, not $expected" >&2; return 1; }
}

# contest NAME TITLE SIZES UNIT [KIND]: a comparison of the contenders, of which there
# are samples "NAME SIZE CONTENDER"; SIZES is what the sizes count.
contest() {
	sql results -v measure="$measure" -v name="$1" -v title="$2" -v sizes="$3" -v unit="$4" -v kind="${5:-cost}" <<-'end'
		INSERT INTO contest (measure, name, kind, title, sizes, unit) VALUES (:'measure', :'name', :'kind', :'title', :'sizes', :'unit');
	end
}

# contend_open CONTEST ROUNDS SIZES CONTENDER...: samples, as "CONTEST SIZE
# CONTENDER", how long a sweep takes over open campaigns none of which can close,
# in the database of the measure, of which each size has a schema.
contend_open() {
	local contest=$1 rounds=$2 n contender round seconds sizes=$3
	shift 3
	for n in $sizes; do
		for contender; do
			if [ "$contender" = task_queue ]; then
				for ((round = 1; round <= (rounds < 2 ? rounds : 2); round++)); do
					seconds=$(PGOPTIONS="-c search_path=s$n,public" contend "$measure" task_queue sending) &&
						sample "$contest $n task_queue" "$round" "$seconds" || return
				done
			else
				PGOPTIONS="-c search_path=s$n,public" sql "$measure" \
					-c "CALL bench.time_task('$contender', 'sending', '$contest $n', $rounds)" || return
			fi
		done
	done
}
