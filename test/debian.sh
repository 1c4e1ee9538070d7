# shellcheck shell=bash
#
# A Debian of one's own: what test/versions, test/upgrade and test/package have
# in common.  They source this file, which sources lib.sh.
#
# A system is a fresh Debian, made by debootstrap from the mirror that apt uses
# here, in namespaces of its own.  When what was done in it is over, however it
# ended, nothing is left of it.
#
# Such a script runs twice for each system: outside, where it makes a directory
# and removes it, and with mounts and processes of its own, which end with it,
# where it fills that directory (fill_system) and calls what it wants to call in
# there.  What it prints in there ends with "N passed, N failed".
#
#	passed, failed	what was counted in all systems so far
#	left_out	not empty: a suite was left out
#	MIRROR		the Debian mirror's URL; chosen by prepare_systems

# shellcheck source=test/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

passed=0 failed=0 left_out='' system_directory='' system_process=''

#
# Outside: a directory, and what is counted
#

debian_mirror() {
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(REPO_URI)' \
		'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | sort -u | head -n 1
}

# Sets MIRROR, and the proxy where apt has one; debootstrap and the apt in the
# new system take it from the environment.
choose_mirror() {
	local proxy=''
	if [ -z "${MIRROR:-}" ]; then
		MIRROR=$(debian_mirror)
		[ -n "$MIRROR" ] || { apt_update; MIRROR=$(debian_mirror); }
		[ -n "$MIRROR" ] || die 'apt has no Debian mirror here: name one with MIRROR=URL'
	fi
	eval "$(apt-config shell proxy Acquire::http::Proxy)"
	[ -z "$proxy" ] || export http_proxy=$proxy
	export MIRROR
}

remove_system() {
	local _
	trap '' INT TERM HUP
	if [ -n "$system_process" ]; then
		kill -s KILL "$system_process" 2>/dev/null
		wait "$system_process" 2>/dev/null
	fi
	# what was killed may take a moment to be gone
	for _ in {1..50}; do
		[ -n "$system_directory" ] || break
		rm -rf --one-file-system "$system_directory" 2>/dev/null && system_directory=''
		[ -z "$system_directory" ] || sleep 0.2
	done
	system_process=''
	trap_signals
}

trap_signals() {
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

# Once, before the first with_system.
prepare_systems() {
	[ "$EUID" = 0 ] || die 'this has to be run as root'
	require_programs debootstrap ip=iproute2
	choose_mirror
	trap remove_system EXIT
	trap_signals
}

count() {
	local p='' f='' log=$system_directory/log
	read -r p f < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$log" | tail -n 1)
	[ "$1" = 0 ] || [ "${f:-0}" -gt 0 ] || f=1
	passed=$((passed + ${p:-0})) failed=$((failed + ${f:-1}))
	! grep -q 'LEFT OUT' "$log" || left_out=yes
}

# with_system SCRIPT ARGUMENT...: a directory with a copy of the source, and
# SCRIPT called in namespaces of its own, as "SCRIPT --fill ROOT ARGUMENT...".
with_system() {
	local script=$1 status
	shift
	system_directory=$(mktemp -d "${TMPDIR:-/var/tmp}/$EXTENSION.XXXXXX") || exit
	mkdir "$system_directory/root" "$system_directory/tree"
	: >"$system_directory/log"
	tar -C "$source_tree" --exclude=./.git --exclude='*.o' --exclude='*.so' --exclude='*.bc' \
		-cf - . | tar -C "$system_directory/tree" --no-same-owner -xf -
	unshare --mount --pid --ipc --uts --fork --kill-child \
		bash "$system_directory/tree/$script" --fill "$system_directory/root" "$@" \
		>"$system_directory/log" 2>&1 &
	system_process=$!
	tail --pid="$system_process" -n +1 -f "$system_directory/log" &
	wait "$system_process"
	status=$?
	system_process=''
	wait
	count "$status"
	remove_system
	say ''
}

report_systems() {
	[ -z "$left_out" ] || say 'Some suites were left out.'
	say "$passed passed, $failed failed"
	[ "$failed" = 0 ] && [ -z "$left_out" ]
}

#
# With mounts and processes of its own: a system is made
#

# quietly COMMAND...: shows what it says only if it fails.
quietly() {
	local log
	log=$("$@" 2>&1) || { tail -n 30 <<<"$log"; return 1; }
}

# What a system needs besides its files; mounted itself, as else nothing in there
# can have mounts of its own (test/run has a disk to be filled).
mount_all() {
	mount --bind "$1" "$1" &&
		mount -t proc proc "$1/proc" &&
		mkdir -p "$1/dev/shm" "$1/dev/pts" &&
		mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm" &&
		mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/dev/pts"
}

# in_system ROOT COMMAND...: with a clean environment.
in_system() {
	local root=$1
	shift
	chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		HOME=/root LC_ALL=C.UTF-8 ${http_proxy:+"http_proxy=$http_proxy"} "$@"
}

# The same without a network.
in_system_alone() {
	export -f in_system
	# shellcheck disable=SC2016
	unshare --net bash -c 'ip link set lo up && in_system "$@"' bash "$@"
}

# fill_system ROOT RELEASE: a Debian, with the source in /tree.
fill_system() {
	local root=$1 release=$2
	quietly debootstrap --variant=minbase --include=ca-certificates "$release" "$root" "$MIRROR" &&
		mount_all "$root" || return
	mv "$source_tree" "$root/tree"
	# debootstrap has not asked how old the mirror's lists are; no more does apt
	say 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/valid-until"
}
