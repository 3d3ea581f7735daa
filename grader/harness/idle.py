"""Idleness: next to no processor time while there is nothing to do."""

from __future__ import annotations

import time

from grader.harness import diagnosis, post_mortem, wording
from grader.harness.finding import Finding
from grader.harness.session import PATIENCE_SECONDS, Session
from grader.kernel import procfs, sockets

# A program is idle if it used no more than SHARE of one window. It is busy once it has
# used BUSY_SECONDS of processor time, or has not been idle for SECONDS.
WINDOW_SECONDS, SHARE, BUSY_SECONDS, SECONDS = 0.25, 0.02, 0.2, 5.0


def expect_idle(session: Session, when: str, during: str = "") -> None:
    """Expect the program to use next to no processor time WHEN nothing happens (DURING
    says that in one word, for Circumstances). Raises Failure.

    A program that only sleeps is found idle at the first look, however busy the machine
    is. One that spins is caught by the processor time that it has used.
    """
    session.settle()
    pid = session.program.pid or 0
    began, used_before = time.monotonic(), procfs.processor_seconds(pid)
    window, used_at_window = began, used_before
    queues, end = _in_queues(session.port), began + PATIENCE_SECONDS
    while True:
        session.pump(0.02)
        if session.program.ended():
            finding = post_mortem.gone(session.program)
            raise session.failure(
                f"the server ended {when}", "", "", finding, what="idle"
            )
        now, used = time.monotonic(), procfs.processor_seconds(pid)
        # While bytes move into or out of a queue, it has work to do.
        if queues != (queues := _in_queues(session.port)) and now < end:
            began, used_before = now, used
            window, used_at_window = now, used
        if now - window >= WINDOW_SECONDS:
            if used - used_at_window <= SHARE * (now - window):
                return
            window, used_at_window = now, used
        if used - used_before > BUSY_SECONDS or now - began > SECONDS:
            break
    finding = _busy(session, used - used_before, now - began)
    raise session.failure(
        f"the server is busy {when}",
        "next to no processor time: it has nothing to do",
        wording.says(finding),
        finding,
        what="idle",
        during=during or session.circumstances.during,
    )


def _busy(session: Session, used: float, seconds: float) -> Finding:
    """The finding that the program USED this much processor time within SECONDS."""
    pid = session.program.pid or 0
    calls = {task.call.name for task in procfs.tasks(pid) if task.call}
    finding = Finding(
        "busy",
        processor_seconds=round(used, 2),
        seconds=round(seconds, 2),
        calls=sorted(calls),
    )
    return diagnosis.observe(finding, pid, session.port)


def _in_queues(port: int) -> list[tuple[int, int, int]]:
    """The bytes that the kernel now holds on connections to PORT: whose they are, and
    how many in each direction."""
    return sorted(
        (s.local_port, s.rx_queue, s.tx_queue)
        for s in sockets.in_use()
        if port in (s.local_port, s.remote_port) and (s.rx_queue or s.tx_queue)
    )
