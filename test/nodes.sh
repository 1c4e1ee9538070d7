# shellcheck shell=bash
#
# A cluster of Citus in the sandbox: a coordinator and worker nodes, each a server
# of its own, that reach each other on loopback.  Sourced, after lib.sh, by
# test/citus and bench/scaling.

worker_ports=()

citus_control() { say "$(pg_dir sharedir)/extension/citus.control"; }

# Says what is missing where Citus is, and ends with the exit status that stands
# for "not done".
require_citus() {
	[ ! -f "$(citus_control)" ] || return 0
	say "Citus is not installed: there is no $(citus_control)."
	say 'It is in no Debian package.  Its own packages, and its source, are for PostgreSQL 15 to'
	say '17 in version 13: https://docs.citusdata.com/en/stable/installation/ says how to install it.'
	say 'PG_CONFIG=/path/to/pg_config names another PostgreSQL.  Nothing was done.'
	exit 77
}

# on_own_network SCRIPT ARGUMENT...: starts SCRIPT again on a loopback of its own,
# where that can be had, as everybody on the machine may connect to the nodes:
# Citus logs in on them as whoever executes a statement.
on_own_network() {
	if [ "$EUID" = 0 ] && [ -z "${CAMPAIGN_OWN_NETWORK:-}" ] && have ip && unshare --net true 2>/dev/null; then
		CAMPAIGN_OWN_NETWORK=yes exec unshare --net bash -c 'ip link set lo up && exec bash "$@"' bash "$@"
	fi
}

# start_nodes NUMBER <CONFIGURATION: starts the coordinator, to which every program
# talks by default, and NUMBER worker nodes.
start_nodes() {
	local configuration n
	configuration="$(cat)
		listen_addresses = '127.0.0.1'
		citus.enable_statistics_collection = off"
	start_cluster <<<"$configuration" || return
	for ((n = 1; n <= $1; n++)); do
		worker_ports+=($((PGPORT + n)))
		start_server "worker_node_$n" "$((PGPORT + n))" <<<"$configuration" || return
	done
}

# on_all_nodes PSQL-ARGUMENT...
on_all_nodes() {
	local port
	for port in "$PGPORT" "${worker_ports[@]}"; do
		psql -Xq -v ON_ERROR_STOP=1 -p "$port" "$@" || return
	done
}

# create_distributed_database NAME [WORKER-NODES]: an empty one, on all nodes, that
# has Citus; of which so many of the worker nodes (default: all) are part.
create_distributed_database() {
	local port ports=("${worker_ports[@]}")
	[ $# -lt 2 ] || ports=("${worker_ports[@]:0:$2}")
	on_all_nodes -d postgres -c 'SET client_min_messages = warning' -c "DROP DATABASE IF EXISTS $1 WITH (FORCE)" \
		-c "CREATE DATABASE $1" &&
		on_all_nodes -d "$1" -c 'CREATE EXTENSION citus' &&
		psql -Xq -d "$1" -o /dev/null -c "SELECT citus_set_coordinator_host('127.0.0.1', $PGPORT)" || return
	for port in "${ports[@]}"; do
		psql -Xq -d "$1" -o /dev/null -c "SELECT citus_add_node('127.0.0.1', $port)" || return
	done
}
