"""A server that runs beside all other checks, with clients that stay: one that never
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
from grader.failure import Failure
from grader.payload import line, readable
from grader.scene import free_port
from grader.server import Server

MIB = 1 << 20
_EVERY_SECONDS, _BUSY_SECONDS = 1.0, 2.0
_PACE_SECONDS = 0.2

# More than the kernel's buffers take of a client that does not read.
_FLOOD = 16 * MIB


class Vigil:
    """A server of BENCH that is kept up while its clients stay."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._rng = random.Random(f"{bench.seed} vigil")
        self._server: Server | None = None
        self._stalled: Client | None = None
        self._began = self._spoke = 0.0

    def expect_all_are_there(self) -> None:
        """Expect each of the clients to be there when all other checks are done, and
        they have been for as long as the bench says, and when they go on then. Raises
        Failure."""
        try:
            talker = self._begin()
            self._stay(talker)
            self._all_go_on()
        except Failure as failure:
            if failure.finding and failure.finding.kind in ("hung_up", "gone"):
                raise
            # Nobody was hung up on: another check tells what is wrong.

    def _begin(self) -> Client:
        """Start it, with its clients: the one that is to speak once a second."""
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
        self._began = time.monotonic()
        return server.connect("the talking one")

    def _stay(self, talker: Client) -> None:
        """Stay, while the TALKER speaks once a second, and is answered some time.
        (If the server works for nothing, it stands meanwhile: another check tells.)"""
        assert self._server
        program = self._server.program
        while not self._may_leave():
            if procfs.processor_seconds(program.pid or 0) > _BUSY_SECONDS:
                program.signal(signal.SIGSTOP)
                self._wait_for_the_others()
                program.signal(signal.SIGCONT)
                return
            if time.monotonic() - self._spoke >= _EVERY_SECONDS:
                self._spoke = time.monotonic()
                talker.send(line(self._rng))
            self._server.let_pass(_PACE_SECONDS)

    def _wait_for_the_others(self) -> None:
        while not self._may_leave():
            time.sleep(_PACE_SECONDS)

    def _may_leave(self) -> bool:
        stayed = time.monotonic() - self._began
        return self._bench.others_are_done() and stayed >= self._bench.patience

    def _all_go_on(self) -> None:
        assert self._server and self._stalled
        self._server.settle()
        self._stalled.read_again()
        self._stalled.expect_echo()
        clients = [c for c in self._server.connections if isinstance(c, Client)]
        for client in clients:
            client.send(line(self._rng))
        self._server.expect_echoes(clients)

    def close(self) -> None:
        """End it."""
        if self._server:
            self._server.close()
