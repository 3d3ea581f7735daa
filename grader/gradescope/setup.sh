#!/bin/sh
# Gradescope runs this once, as root, when it makes the autograder's image.
set -eu
"${AUTOGRADER:-/autograder}/source/lab/grader/setup.sh" grade
