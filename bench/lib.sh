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
