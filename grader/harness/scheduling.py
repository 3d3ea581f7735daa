"""When the program under test gets a processor."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator

from grader.harness.session import Session
from grader.kernel import procfs
from grader.sandbox.program import Program

# How long a signal that stops or continues a program may take, in seconds.
_SIGNAL_SECONDS = 30


@contextlib.contextmanager
def deprioritized(program: Program, policy: int) -> Iterator[None]:
    """Keep PROGRAM from running while we are at work: it gets the processor that we
    use, and only when we leave it (sched(7), POLICY: SCHED_IDLE, or SCHED_BATCH for
    some milliseconds). So when it looks, all that we did meanwhile is there at once."""
    pid, ours = program.pid or 0, os.sched_getaffinity(0)
    # The one we are on, so that graders running side by side do not all share one.
    one, normal = {procfs.processor()} & ours or {min(ours)}, os.sched_param(0)
    try:
        os.sched_setscheduler(pid, policy, normal)
        os.sched_setaffinity(pid, one)
        os.sched_setaffinity(0, one)
    except OSError:
        pass  # ended, or not allowed: then it all comes almost at once
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)
        with contextlib.suppress(OSError):
            os.sched_setaffinity(pid, ours)
            os.sched_setscheduler(pid, os.SCHED_OTHER, normal)


def stop_and_continue(session: Session) -> None:
    """Stop the program (SIGSTOP), see that it stops, and continue it (SIGCONT)."""
    with stopped(session):
        session.circumstances.was_stopped = True
        session.note("the server", "is stopped (SIGSTOP) and continued (SIGCONT)")


@contextlib.contextmanager
def stopped(session: Session) -> Iterator[None]:
    """Keep the program stopped (SIGSTOP) meanwhile, then continue it (SIGCONT)."""
    session.settle()
    session.program.signal(signal.SIGSTOP)
    _await_state(session.program, lambda state: state == "T")
    try:
        yield
    finally:
        session.program.signal(signal.SIGCONT)
        _await_state(session.program, lambda state: state != "T")


def _await_state(program: Program, right: Callable[[str], bool]) -> None:
    end = time.monotonic() + _SIGNAL_SECONDS
    while not program.ended() and time.monotonic() < end:
        tasks = procfs.tasks(program.pid or 0)
        if tasks and right(tasks[0].state):
            return
        time.sleep(0.002)
