"""The pace of a scenario: the server is held back while we act, then comes to rest.

This decides nothing. We wait less and less for a server that never rests.
"""

from __future__ import annotations

import contextlib
import os
import time

from grader.harness.scheduling import deprioritized
from grader.harness.server import Server
from grader.kernel import procfs

# How long we wait for a server at most while nothing moves, and the least that this
# comes down to. In seconds.
CALM_SECONDS, _LEAST_CALM_SECONDS = 0.3, 0.005


class Pace:
    """The pace of a scenario with SERVER. We wait CALM_SECONDS for it at first; the
    attribute calm_seconds is how long we would wait next."""

    def __init__(self, server: Server, calm_seconds: float = CALM_SECONDS) -> None:
        self._server = server
        self.calm_seconds = calm_seconds
        self._held = contextlib.ExitStack()
        self._holding = False

    def hold_back(self) -> None:
        """From now on, keep the server from the processor while we are at work."""
        if not self._holding:
            # Not SCHED_IDLE, as in a burst: only root gets back from that.
            held = deprioritized(self._server.program, os.SCHED_BATCH)
            self._held.enter_context(held)
            self._holding = True

    def let_go(self) -> None:
        """Let the server run beside us again."""
        self._held.close()
        self._holding = False

    def calm(self) -> None:
        """Let the server come to rest, if it does."""
        self.let_go()
        moved = time.monotonic()
        while time.monotonic() < moved + self.calm_seconds:
            tasks = procfs.tasks(self._server.program.pid or 0)
            asleep = tasks and all(task.state == "S" for task in tasks)
            if self._server.pump(0 if asleep else 0.0005):
                moved = time.monotonic()
            elif asleep or self._server.program.ended():
                self.calm_seconds = min(1.1 * self.calm_seconds, CALM_SECONDS)
                return
        self.calm_seconds = max(self.calm_seconds / 2, _LEAST_CALM_SECONDS)
