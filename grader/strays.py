"""Processes that a program left behind when it ended.

In a cell there are none: all of it dies with its init. Without isolation a
process that has lost its parent is handed to us (prctl(2), PR_SET_CHILD_SUBREAPER)
instead of to the system's init, and so can still be found and ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time

from grader import procfs

_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE_SECONDS = 5.0

_known: set[int] = set()


def adopt() -> None:
    """From now on, orphans below this process become its own children."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def begin() -> None:
    """In a process that was forked from one of ours: it has children of its own."""
    _known.clear()
    adopt()


def know(pid: int) -> None:
    """PID is a child of ours that somebody waits for."""
    _known.add(pid)


def forget(pid: int) -> None:
    """PID has been waited for."""
    _known.discard(pid)


def end() -> None:
    """Kill and reap every child that nobody knows, and what that leaves behind.

    Bounded by 5 seconds, for a program can make processes faster than these are
    found; in its cell it cannot get this far.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while strays := set(procfs.children(os.getpid())) - _known:
        for pid in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            return
        time.sleep(0.001)
