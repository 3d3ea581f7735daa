#!/bin/sh
# Installs what Echo Lab needs of Debian's or Ubuntu's packages.
#
#     grader/setup.sh [GROUP]     a group of packages.txt: grade (default), test, browser or lint
#
# Exit status: 0, all is there; 2, it cannot be, and one line says why.
set -eu
export LC_ALL=C # apt's messages are read below
here=$(dirname "$0")
group=${1:-grade}

fail() {
	printf 'setup: %s\n' "$*" >&2
	exit 2
}

# The lines of packages.txt that belong to the group.
listed() {
	awk -v heading="[$group]" \
		'/^\[/ { ours = $1 == heading; next } ours && /^[a-z]/' \
		"$here/packages.txt"
}

# The names on standard input that are not among the installed packages.
not_installed() {
	# shellcheck disable=SC2086 # one word for each package
	installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted \
		2>/dev/null | sed -n 's/^installed //p')
	grep -vxF "$installed" || true
}

# Sets what has to stand before a command that only root may run. Whoever may not
# become root shall learn it before apt-get begins, and be asked for the password
# while there is something to be seen; but never where nobody could answer.
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

# A fresh machine may be running an apt-get of its own: wait for that one.
apt() {
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		-o DPkg::Lock::Timeout=120 "$@" </dev/null >>"$log" 2>&1
}

install() {
	# shellcheck disable=SC2086 # one word for each package
	apt install --no-install-recommends $missing
}

# The line of apt's output that says best what went wrong: a failed download
# explains the "unable to locate" that follows from it.
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
	: >"$log" # the lists of packages may be missing or old: fetch them, and
	apt update || true
	install || fail "apt-get cannot install$missing: $(reason)"
fi
echo "setup: done"
