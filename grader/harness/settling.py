"""Letting a program come to rest before the next thing happens to it.

This sets the pace of a check and decides nothing. So we do not wait long for a program
that works, or wakes now and then, and ever less for one that never comes to rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from grader.harness.circumstances import Circumstances
from grader.harness.connection import Connection
from grader.harness.event_loop import EventLoop
from grader.harness.snapshot import Peer, Snapshot
from grader.harness.stuck import StuckDetector
from grader.harness.transcript import Transcript
from grader.sandbox.program import Program

# How much processor time a program may use before we stop waiting for it, and the least
# that this comes down to. And how long we wait for the kernel, which may have something
# on its way by its own timers. All in seconds.
RESTING_SECONDS, LEAST_RESTING_SECONDS, DELIVERY_SECONDS = 0.3, 0.02, 5.0


class Settling(EventLoop):
    """An event loop with a program at the other end of its connections."""

    port = 0

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self.transcript = Transcript()
        self.circumstances = Circumstances()
        self.resting_seconds = RESTING_SECONDS  # of processor time
        self._awaited: set[Connection] = set()

    def note(self, who: str, does: str, data: bytes = b"", count: int = 0) -> None:
        """Remember that WHO DOES something, with COUNT bytes that begin with DATA."""
        self.transcript.note(who, does, data, count)

    def ports(self, connection: Connection) -> tuple[int, int]:
        """The ports of our end of a connection and of the program's."""
        raise NotImplementedError

    def peers(self) -> list[Peer]:
        """Our ends of the connections that may still matter."""
        return [
            Peer(
                connection.name,
                connection.address,
                *self.ports(connection),
                reading=connection.reading,
                awaited=connection in self._awaited,
            )
            for connection in self.connections
            if not connection.closed or connection in self._awaited
        ]

    def settle(self, done: Callable[[], bool] = lambda: False) -> bool:
        """Move everything on until the program sleeps and nothing moves any more, in
        the kernel either, or until DONE(). Returns whether either happened."""
        detector = StuckDetector(self.program, self.peers, self.port)
        moved = time.monotonic()
        while not self.program.ended() and not self._fault:
            if self.pump(0.002):
                detector.moved()
                moved = time.monotonic()
            elif done():
                return True
            elif detector.asleep() is not None and self._all_is_delivered(moved):
                self.transcript.note_sleep(*detector.slept or (moved, ""))
                return True
            elif detector.processor_seconds() > self.resting_seconds:
                shorter = self.resting_seconds / 2
                self.resting_seconds = max(shorter, LEAST_RESTING_SECONDS)
                return False
            elif time.monotonic() - moved > RESTING_SECONDS and detector.dozes():
                if self._all_is_delivered(moved):
                    return True
        return False

    def _all_is_delivered(self, moved: float) -> bool:
        """Whether the kernel has nothing on its way, or has taken too long to deliver
        it since something last MOVED. (Small windows, and answers held back by TCP_CORK
        (tcp(7)), move by the kernel's timers alone.)"""
        if time.monotonic() - moved > DELIVERY_SECONDS:
            return True
        snapshot = Snapshot(self.program.pid or 0, self.peers(), self.port)
        return not snapshot.something_is_on_its_way()
