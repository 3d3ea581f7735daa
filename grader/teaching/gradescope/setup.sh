#!/bin/sh
# Gradescope runs this once, as root, when it makes the autograder's image.
set -eu
python=${PYTHON:-/usr/bin/python3}
# On an older system, setup would succeed, but grading would not.
if [ -x "$python" ] && ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
	echo "setup: this image is too old: choose Ubuntu 24.04 or Debian 12" >&2
	exit 2
fi
"${AUTOGRADER:-/autograder}/source/lab/grader/setup.sh" grade
