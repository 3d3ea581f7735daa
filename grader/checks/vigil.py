"""A server that runs beside the other checks, with clients that stay: one that never
speaks, one that has spoken, one that has stopped in the middle of a line, one that
does not read, and one that speaks once a second.

What a server does only after some seconds, such as hanging up on who is silent, no
other check waits for.
"""

from __future__ import annotations

import random
import signal
import time

from grader import procfs
from grader.backpressure import SMALL_WINDOW
from grader.bench import Bench
from grader.client import Client
from grader.failure import CannotGrade, Failure
from grader.payload import line, readable
from grader.scene import free_port
from grader.server import Server

MIB = 1 << 20
_EVERY_SECONDS, _BUSY_SECONDS = 1.0, 2.0

# More than the kernel's buffers take of a client that does not read.
_FLOOD = 16 * MIB


class Vigil:
    """A server of BENCH that is kept up while its clients stay."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._rng = random.Random(f"{bench.seed} vigil")
        self._server: Server | None = None
        self._failure: Failure | CannotGrade | None = None
        self._talker: Client | None = None
        self._stalled: Client | None = None
        self._began = self._spoke = 0.0
        self._stands = False  # has been stopped, because it is busy

    def go_on(self) -> None:
        """Start it, if it is not up, and go on with it: never waits for long."""
        if self._failure or self._stands:
            return
        try:
            if self._server is None:
                self._begin()
            self._speak()
        except (Failure, CannotGrade) as failure:
            self._failure = failure

    def _begin(self) -> None:
        port = free_port()
        program = self._bench.run(str(port))
        self._server = server = Server(program, port)
        server.expect_listening()
        server.connect("the silent one")
        server.connect("the one that has spoken").converse(line(self._rng))
        halting = server.connect("the halting one")
        halting.send(b"a line that is not fini")
        halting.expect_echo()
        self._stalled = server.connect("the stalled one", SMALL_WINDOW)
        server.expect_accepted()
        self._stalled.stop_reading()
        server.flood(self._stalled, readable(self._rng, MIB), _FLOOD)
        self._talker = server.connect("the talking one")
        self._began = time.monotonic()

    def _speak(self) -> None:
        """Have the one that speaks once a second do so, if it is time, and look later
        what it was answered."""
        assert self._server and self._talker
        self._server.pump(0)
        self._server.check()
        if time.monotonic() - self._spoke >= _EVERY_SECONDS:
            self._spoke = time.monotonic()
            self._talker.send(line(self._rng))
        # If it works for nothing, of which another check tells, it stands meanwhile.
        if procfs.processor_seconds(self._server.program.pid or 0) > _BUSY_SECONDS:
            self._server.program.signal(signal.SIGSTOP)
            self._stands = True

    def expect_all_are_there(self) -> None:
        """Expect each of the clients to be there when they have been for as long as the
        bench says, and when they go on then. Raises Failure."""
        self.go_on()
        if self._server and self._stands:
            self._server.program.signal(signal.SIGCONT)
        try:
            while self._server and not self._failure and self._left() > 0:
                self._server.let_pass(min(_EVERY_SECONDS, self._left()))
                self.go_on()
            if self._failure:
                raise self._failure
            self._all_go_on()
        except Failure as failure:
            if failure.finding and failure.finding.kind in ("hung_up", "gone"):
                raise
            # Nobody was hung up on: another check tells what is wrong.

    def _all_go_on(self) -> None:
        assert self._server and self._stalled
        self._server.settle()
        self._stalled.read_again()
        self._stalled.expect_echo()
        clients = [c for c in self._server.connections if isinstance(c, Client)]
        for client in clients:
            client.send(line(self._rng))
        self._server.expect_echoes(clients)

    def _left(self) -> float:
        return self._began + self._bench.patience - time.monotonic()

    def close(self) -> None:
        """End it."""
        if self._server:
            self._server.close()
