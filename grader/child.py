"""Another grader as a process of its own: one grading each, for it enters namespaces
for good."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from grader import submission

# A grader that is told to end does so as soon as it has ended the program that it
# runs. One that takes so long is stuck.
ENDING_SECONDS = 20


@contextlib.contextmanager
def running(
    *arguments: str, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`grader grade ARGUMENTS` in the folder CWD, ended if it is not done when it is
    left. Its standard output and its standard error are pipes.

    It has a session of its own: Ctrl-C is for us. It cannot outlive us for long
    either, since it ends when nobody reads what it says. And it looks for modules
    nowhere but in this repository.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "grader", "grade", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(submission.REPOSITORY)},
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
    """End those of GRADERS that are still running. All get the signal before any is
    waited for, and each gets it once: another one would disturb its cleaning up."""
    for grader in graders:
        if grader.poll() is None:
            grader.terminate()
    for grader in graders:
        try:
            grader.communicate(timeout=ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            grader.kill()
            grader.communicate()
