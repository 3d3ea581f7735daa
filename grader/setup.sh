#!/bin/sh
# Installs the Debian or Ubuntu packages that Echo Lab needs.
#
#     grader/setup.sh [GROUP]     a group in packages.txt: grade (default), test, browser or lint
#
# Exit status: 0, all packages are installed; 2, that failed, and one line says why.
set -eu
export LC_ALL=C # apt's messages are read below
here=$(dirname "$0")
group=${1:-grade}

fail() {
	printf 'setup: %s\n' "$*" >&2
	exit 2
}

# The lines of packages.txt for the group.
listed() {
	awk -v heading="[$group]" \
		'/^\[/ { ours = $1 == heading; next } ours && /^[a-z]/' \
		"$here/packages.txt"
}

# The names on standard input that are not installed.
not_installed() {
	# shellcheck disable=SC2086 # one word for each package
	installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted \
		2>/dev/null | sed -n 's/^installed //p')
	grep -vxF "$installed" || true
}

# Sets the prefix for commands that only root may run. Users who can't become root learn
# that before apt-get starts. The password prompt comes while output is still visible,
# and only on a terminal, where somebody can answer it.
become_root() {
	sudo=
	[ "$(id -u)" != 0 ] || return 0
	by_hand="as root, run: apt-get install$missing"
	command -v sudo >/dev/null || fail "neither root nor sudo; $by_hand"
	sudo='sudo -n'
	if ! $sudo true 2>/dev/null; then
		[ -t 0 ] || fail "sudo wants a password, and nobody is there; $by_hand"
		sudo=sudo
		sudo -v || fail "sudo refused; $by_hand"
	fi
}

# A fresh machine may be running its own apt-get: wait until that is done.
apt() {
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		-o DPkg::Lock::Timeout=120 "$@" </dev/null >>"$log" 2>&1
}

install() {
	# shellcheck disable=SC2086 # one word for each package
	apt install --no-install-recommends $missing
}

# The line of apt's output that best explains what went wrong: a failed download comes
# before the "unable to locate" that it causes.
reason() {
	grep -m 1 'Failed to fetch' "$log" || grep -m 1 '^E:' "$log" ||
		tail -n 1 "$log"
}

wanted=$(listed | awk '{ print $1 }')
[ -n "$wanted" ] || fail "no group '$group' in packages.txt; there is: grade, test, browser, lint"
missing=$(printf '%s\n' "$wanted" | not_installed | awk '{ printf " %s", $1 }')
if [ -z "$missing" ]; then
	echo "setup: all packages of the group '$group' are there"
	exit 0
fi
command -v apt-get >/dev/null ||
	fail "no apt-get on this machine; install by its own means:$missing"
become_root

echo "setup: installing, which can take a minute:"
for package in $missing; do
	listed | grep "^$package " | sed 's/^/  /'
done
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! install; then
	: >"$log" # the package lists may be missing or old: fetch them, then try again
	apt update || true
	install || fail "apt-get cannot install$missing: $(reason)"
fi
echo "setup: done"
