"""Processes that a program left behind when it ended.

In a cell there are none: everything in it dies with its init. Without isolation, a
process that has lost its parent becomes our child (prctl(2), PR_SET_CHILD_SUBREAPER)
and not the system's init's, so that we can still find and end it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time

from grader.kernel import procfs

_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE_SECONDS = 5.0

_known: set[int] = set()


def adopt() -> None:
    """From now on, orphans below this process become its own children."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def begin() -> None:
    """Start over in a process that we forked: its children are its own."""
    _known.clear()
    adopt()


def know(pid: int) -> None:
    """PID is a child of ours that somebody waits for."""
    _known.add(pid)


def forget(pid: int) -> None:
    """PID has been waited for."""
    _known.discard(pid)


def end() -> None:
    """Kill and reap every child that nobody waits for, and their orphans in turn.

    It gives up after 5 seconds: a program can start processes faster than we find
    them. (In a cell it cannot get this far.)
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while orphans := set(procfs.children(os.getpid())) - _known:
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            return
        time.sleep(0.001)
