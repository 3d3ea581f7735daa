"""Another grader, as a process of its own. It does one grading, because it enters
namespaces and cannot leave them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from grader import course

# A grader that is told to end does so as soon as it has ended the program that it
# runs. One that takes longer than this is stuck.
ENDING_SECONDS = 20


@contextlib.contextmanager
def running(
    *arguments: str, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `grader grade ARGUMENTS` in the folder CWD, and end it, if it is not done,
    when the context is left. Its standard output and its standard error are pipes.

    It has a session of its own, so that Ctrl-C reaches us alone. It does not outlive us
    for long either: it ends when nobody reads its output. It imports modules from this
    repository only.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "grader", "grade", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(course.ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        end(process)


def end(*graders: subprocess.Popen[bytes]) -> None:
    """End those of GRADERS that are still running. All get the signal before we wait
    for any. Each gets it once: a second one would disturb its cleaning up."""
    for grader in graders:
        if grader.poll() is None:
            grader.terminate()
    for grader in graders:
        try:
            grader.communicate(timeout=ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            grader.kill()
            grader.communicate()
