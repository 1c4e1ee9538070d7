# shellcheck shell=bash
#
# What the scripts that need a PostgreSQL of their own have in common: test/run
# and demo/run source this file.
#
# Such a script runs twice.  First as whoever called it: it installs what is
# missing, makes a sandbox (a directory in /tmp with a copy of the source), and
# starts itself again in that copy, as an ordinary user and with a clean
# environment.  There it builds, installs into the sandbox and starts a server
# whose data and socket are in the sandbox too.  When that second run is over,
# however it ended, the first stops what still runs in the sandbox and removes
# it.  So the source tree is left as it was, no installed file changes, and no
# server is ever touched but the sandbox's own.
#
#	SANDBOX		the directory; set in the second run alone
#	PG_CONFIG	the PostgreSQL to use; chosen by require_packages
#	BINDIR		where its programs are; set by build

EXTENSION=campaign_autoclose
SANDBOX=${CAMPAIGN_SANDBOX:-}
mounted=()
source_tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }
die() { printf '%s: %s\n' "$EXTENSION" "$*" >&2; exit 2; }

inside_sandbox() { [ -n "$SANDBOX" ]; }

extension_version() {
	sed -n "s/^default_version *= *'\(.*\)'/\1/p" "$source_tree/$EXTENSION.control"
}

#
# Packages
#

as_root() { if [ "$EUID" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

can_install() { have apt-get && as_root true 2>/dev/null; }

apt_get() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		-o DPkg::Lock::Timeout=120 --no-install-recommends "$@"
}

# Once a run, and only if something has to be installed.
apt_update() {
	[ -z "${apt_updated:-}" ] || return 0
	apt_updated=yes
	apt_get update >/dev/null 2>&1 ||
		say "apt-get update failed: going on with the package lists that are here"
}

# A pg_config is usable if the development files that it names are there.
usable_pg_config() { have "$1" && [ -f "$("$1" --pgxs 2>/dev/null)" ]; }

newest_in_apt() {
	apt-cache pkgnames postgresql-server-dev- | sed -n 's/.*-dev-\([0-9]*\)$/\1/p' |
		sort -n | tail -n 1
}

# Sets PG_CONFIG and pg_major: the one asked for, else one that is installed,
# else the newest that apt offers.
choose_postgres() {
	local candidate
	if [ -z "${PG_CONFIG:-}" ]; then
		for candidate in pg_config $(printf '%s\n' /usr/lib/postgresql/*/bin/pg_config | sort -rV); do
			usable_pg_config "$candidate" && PG_CONFIG=$candidate && break
		done
	fi
	if [ -z "${PG_CONFIG:-}" ] && can_install; then
		apt_update
		pg_major=$(newest_in_apt)
		[ -n "$pg_major" ] ||
			die "PostgreSQL is not installed, and apt offers no postgresql-server-dev-NN"
		PG_CONFIG=/usr/lib/postgresql/$pg_major/bin/pg_config
	elif [ -z "${PG_CONFIG:-}" ]; then
		pg_major=NN
		PG_CONFIG=pg_config
	elif have "$PG_CONFIG"; then
		pg_major=$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
	else
		pg_major=$(sed -n 's,.*/postgresql/\([0-9]*\)/.*,\1,p' <<<"$PG_CONFIG")
		[ -n "$pg_major" ] || die "there is no $PG_CONFIG"
	fi
}

pg_dir() { "$PG_CONFIG" "--$1" 2>/dev/null; }

# The packages without which nothing can be built or started, one a line.
missing_to_build() {
	have gcc || say gcc
	[ -e /usr/include/stdio.h ] || say libc6-dev
	have make || say make
	[ -x "$(pg_dir bindir)/initdb" ] || say "postgresql-$pg_major"
	usable_pg_config "$PG_CONFIG" || say "postgresql-server-dev-$pg_major"
}

# What Debian packages as EXTENSION of PostgreSQL, if the server to use is Debian's too
# (or none is there yet) and does not have it: another finds no package's files.
missing_extension() {
	local share
	share=$(pg_dir sharedir)
	[[ -n $share && $share != /usr/share/postgresql/* ]] || [ -f "$share/extension/$1.control" ] ||
		say "postgresql-$pg_major-${1#pg_}"
}

# The packages without which some tests cannot run.
missing_to_test() {
	missing_extension pgtap
	missing_extension pg_cron
	have prove || say perl
	perl -MIPC::Run -e 1 2>/dev/null || say libipc-run-perl
	have pg_prove || say libtap-parser-sourcehandler-pgtap-perl
	have prometheus-postgres-exporter || say prometheus-postgres-exporter
	/usr/bin/python3 -c 'import psycopg2' 2>/dev/null || say python3-psycopg2
	/usr/bin/python3 -c 'import hypothesis' 2>/dev/null || say python3-hypothesis
}

# Those without which some of the benchmark's contenders and pictures are missing.
missing_to_bench() {
	missing_extension pg_cron
	/usr/bin/python3 -c 'import psycopg2' 2>/dev/null || say python3-psycopg2
	have gnuplot || say gnuplot-nox
}

# Debian makes and starts a cluster "main" along with a new server, and starts an
# exporter that it installs.  That would be neither ours nor wanted: two passing
# settings prevent it.
install_packages() (
	no_main=/etc/postgresql-common/createcluster.d/$EXTENSION.conf
	no_start=/usr/sbin/policy-rc.d
	[ ! -e "$no_start" ] || no_start=''
	dpkg -s postgresql-common >/dev/null 2>&1 || apt_get install postgresql-common || exit
	trap 'as_root rm -f "$no_main" ${no_start:+"$no_start"}; as_root rmdir "${no_main%/*}" 2>/dev/null' EXIT
	as_root mkdir -p "${no_main%/*}"
	as_root sh -c "echo 'create_main_cluster = false' >'$no_main'"
	[ -z "$no_start" ] || as_root sh -c "printf '#!/bin/sh\nexit 101\n' >'$no_start' && chmod +x '$no_start'"
	apt_get install "$@"
)

# Those of the named packages that apt can install.
offered_by_apt() {
	local package
	for package; do
		! apt-cache show "$package" >/dev/null 2>&1 || say "$package"
	done
}

# require_packages build|test|bench: installs what is missing, or says what is.
require_packages() {
	local needed optional=() log
	choose_postgres
	mapfile -t needed < <(missing_to_build)
	[ "$1" = build ] || mapfile -t optional < <("missing_to_$1")
	[ $((${#needed[@]} + ${#optional[@]})) -gt 0 ] || return 0

	if can_install; then
		apt_update
		mapfile -t optional < <(offered_by_apt "${optional[@]}")
		set -- "${needed[@]}" "${optional[@]}"
		[ $# -gt 0 ] || return 0
		say "Installing $*"
		log=$(install_packages "$@" 2>&1) ||
			die "the installation failed:" "$(tail -n 20 <<<"$log")"
	elif [ ${#needed[@]} -gt 0 ]; then
		set -- "${needed[@]}" "${optional[@]}"
		die "not installed: $*
As root, or with sudo:  apt-get install $*
(NN: the server's major version; PG_CONFIG=/path/to/pg_config names one that is installed elsewhere.)"
	else
		say "Not installed: ${optional[*]}"
	fi
}

# require_programs PROGRAM=PACKAGE...: installs the packages of the programs (or files) that
# are missing (without "=", the package is called as the program), or says which.
require_programs() {
	local each missing=()
	for each; do
		have "${each%%=*}" || [ -e "${each%%=*}" ] || missing+=("${each#*=}")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	can_install || die "not installed: ${missing[*]}"
	apt_update
	say "Installing ${missing[*]}"
	apt_get install "${missing[@]}" >/dev/null 2>&1 || die 'the installation failed'
}

#
# The sandbox
#

# Whom the second run is: a server refuses to run as root.
sandbox_user() {
	if [ "$EUID" != 0 ]; then id -un
	elif id postgres >/dev/null 2>&1; then say postgres
	else say nobody
	fi
}

# Makes the sandbox with its copy of the source, to be removed whatever happens.
make_sandbox() {
	local parent=/tmp
	[ "$EUID" = 0 ] || parent=${TMPDIR:-/tmp}
	sandbox=$(mktemp -d "$parent/$EXTENSION.XXXXXX") || die "cannot make a directory in $parent"
	trap remove_sandbox EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	mkdir "$sandbox/src" "$sandbox/tmp"
	tar -C "$source_tree" --exclude=./.git --exclude='*.o' --exclude='*.so' --exclude='*.bc' \
		--exclude="./sql/$EXTENSION--$(extension_version).sql" -cf - . |
		tar -C "$sandbox/src" --no-same-owner -xf -
	[ "$EUID" != 0 ] || chown -R "$(sandbox_user):" "$sandbox"
}

# Gives the second run a disk that tests may fill, and names it in
# CAMPAIGN_SMALL_DISK, unless that names one already.  Only root can mount one; it
# is in a namespace of its own, and ends with the last process there.
mount_small_disk() {
	local disk=$sandbox/disk options=size=64m,mode=1777
	[ -z "${CAMPAIGN_SMALL_DISK:-}" ] && [ "$EUID" = 0 ] && have unshare || return 0
	mkdir "$disk"
	unshare --mount mount -t tmpfs -o "$options" tmpfs "$disk" 2>/dev/null || return 0
	# shellcheck disable=SC2016
	mounted=(unshare --mount sh -c 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"' sh "$options" "$disk")
	CAMPAIGN_SMALL_DISK=$disk
}

# run_in_sandbox SCRIPT ARGUMENT...: starts SCRIPT again in the sandbox, and
# returns its exit status.  It gets a session of its own, so that nothing but
# remove_sandbox decides when it ends.
run_in_sandbox() {
	local user become=() kept=() name
	user=$(sandbox_user)
	[ "$EUID" != 0 ] ||
		become=(setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups)
	for name in TERM NO_COLOR COLUMNS PG_TEST_EXTRA PG_TEST_TIMEOUT_DEFAULT CAMPAIGN_EFFORT CAMPAIGN_SMALL_DISK; do
		[ -z "${!name:-}" ] || kept+=("$name=${!name}")
	done
	setsid "${mounted[@]}" "${become[@]}" env -i -C "$sandbox/src" PATH="$PATH" LC_ALL=C.UTF-8 \
		USER="$user" LOGNAME="$user" HOME="$sandbox" TMPDIR="$sandbox/tmp" "${kept[@]}" \
		CAMPAIGN_SANDBOX="$sandbox" PG_CONFIG="$PG_CONFIG" bash "$@" &
	wait $!
}

# What works in the sandbox, by its current directory: a server, wherever its
# pid file may be, and all that was started from the copy of the source.
sandbox_processes() {
	local cwd
	for cwd in /proc/[0-9]*/cwd; do
		case $(readlink "$cwd" 2>/dev/null) in
		"$sandbox"/*) cwd=${cwd#/proc/}; say "${cwd%/cwd}" ;;
		esac
	done
}

# First the scripts, then the servers, which stop at once but still release
# their shared memory, then whatever is left.
remove_sandbox() {
	local signal processes _
	trap '' INT TERM HUP
	for signal in TERM QUIT KILL; do
		for _ in {1..30}; do
			mapfile -t processes < <(sandbox_processes)
			[ ${#processes[@]} -gt 0 ] || break 2
			kill -s "$signal" "${processes[@]}" 2>/dev/null
			sleep 0.1
			[ "$signal" != TERM ] || break
		done
	done
	if [ -n "${keep_sandbox:-}" ]; then
		say "Kept: $sandbox"
	else
		rm -rf "$sandbox"
	fi
}

#
# Inside: build, install, start a server
#

# build MAKE-ARGUMENT...: builds, and installs where the sandbox's servers look.
# Shows what the compiler says only if it failed.
build() {
	local stage arguments log=$SANDBOX/build.log
	BINDIR=$(pg_dir bindir)
	stage=$(choose_stage) || return
	arguments=(-s "PG_CONFIG=$PG_CONFIG" with_llvm=no "$@")
	make -j"$(nproc)" "${arguments[@]}" >"$log" 2>&1 &&
		make install DESTDIR="$stage" "${arguments[@]}" >>"$log" 2>&1 && return
	cat "$log"
	return 1
}

# Prints the DESTDIR to install to, and leaves in staged.conf the settings that
# make a server find it: Debian's and Ubuntu's PostgreSQL have extension_destdir,
# others have extension_control_path from version 18.  With neither, the real
# place has to do.
choose_stage() {
	local stage=$SANDBOX/stage known share lib
	share=$(pg_dir sharedir) lib=$(pg_dir pkglibdir)
	known=$("$BINDIR/postgres" --describe-config | cut -f 1)
	if grep -qx extension_destdir <<<"$known"; then
		say "extension_destdir = '$stage'" >"$SANDBOX/staged.conf"
	elif grep -qx extension_control_path <<<"$known"; then
		say "extension_control_path = '$stage$share:\$system'" >"$SANDBOX/staged.conf"
	elif [ -w "$share/extension" ] && [ -w "$lib" ]; then
		: >"$SANDBOX/staged.conf"
		return
	else
		say "this PostgreSQL finds extensions in $share/extension alone, where $(id -un) may not write" >&2
		return 1
	fi
	say "dynamic_library_path = '$stage$lib:\$libdir'" >>"$SANDBOX/staged.conf"
	say "$stage"
}

# start_server NAME PORT <CONFIGURATION: starts a server in the sandbox.
start_server() {
	local data=$SANDBOX/$1 log=$SANDBOX/$1.log
	initdb -D "$data" -N -U postgres -A trust --no-locale -E UTF8 >"$log.initdb" 2>&1 ||
		{ cat "$log.initdb"; return 1; }
	{
		cat "$SANDBOX/staged.conf"
		cat <<-conf
			listen_addresses = ''
			unix_socket_directories = '$SANDBOX'
			port = $2
			fsync = off
			timezone = 'UTC'
			log_line_prefix = '%m [%p] %b %d '
		conf
		cat
	} >>"$data/postgresql.conf"
	pg_ctl -D "$data" -l "$log" -w start >/dev/null || { tail -n 30 "$log"; return 1; }
}

# start_cluster <CONFIGURATION: starts the sandbox's server, and makes it the
# one that every program talks to by default.
start_cluster() {
	export PATH=$BINDIR:$PATH PGHOST=$SANDBOX PGUSER=postgres PGDATABASE=postgres
	export PGPORT=$((50000 + RANDOM % 10000))
	start_server cluster "$PGPORT"
}
