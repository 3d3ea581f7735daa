"""A server that runs beside all other checks, with clients that stay: one that never
speaks, one that has spoken, one that stopped in the middle of a line, one that does not
read, and one that speaks once a second.

It catches what a server does only after some seconds, such as hanging up on silent
clients. No other check waits for that.
"""

from __future__ import annotations

import random
import signal
import time

from grader.grading.testbed import Testbed
from grader.harness.backpressure import SMALL_WINDOW
from grader.harness.client import Client
from grader.harness.failure import Failure
from grader.harness.payload import line, readable
from grader.harness.ports import free_port
from grader.harness.server import Server
from grader.kernel import procfs

MIB = 1 << 20
_EVERY_SECONDS, _BUSY_SECONDS = 1.0, 2.0
_PACE_SECONDS = 0.2

# More than the kernel's buffers take for a client that does not read.
_FLOOD = 16 * MIB


class Vigil:
    """A server of TESTBED and its clients, of the class CLIENT, all of which stay."""

    def __init__(self, testbed: Testbed, client: type[Client]) -> None:
        self._testbed = testbed
        self._client = client
        self._rng = random.Random(f"{testbed.seed} vigil")
        self._server: Server | None = None
        self._stalled: Client | None = None
        self._began = self._spoke = 0.0

    def expect_all_are_there(self) -> None:
        """Expect every client to be there still when all other checks are done and the
        testbed's patience is over, and to be served again then. Raises Failure."""
        try:
            talker = self._begin()
            self._stay(talker)
            self._all_go_on()
        except Failure as failure:
            if failure.finding and failure.finding.kind in ("hung_up", "gone"):
                raise
            # The server hung up on nobody: another check reports what is wrong.

    def _begin(self) -> Client:
        """Start the server and its clients; return the one that is to talk."""
        port = free_port()
        program = self._testbed.run(str(port))
        self._server = server = Server(program, port, self._client)
        server.expect_listening()
        server.connect("the silent client")
        server.connect("the client that has spoken").converse(line(self._rng))
        halting = server.connect("the halting client")
        halting.send(b"a line that is not fini")
        halting.expect_answer()
        self._stalled = server.connect("the stalled client", SMALL_WINDOW)
        server.expect_accepted()
        self._stalled.stop_reading()
        server.flood(self._stalled, readable(self._rng, MIB), _FLOOD)
        self._began = time.monotonic()
        return server.connect("the talking client")

    def _stay(self, talker: Client) -> None:
        """Wait while the TALKER speaks once a second; its answers may come at any time.
        (A server that spins is stopped meanwhile: another check reports that.)"""
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
            self._server.run_for(_PACE_SECONDS)

    def _wait_for_the_others(self) -> None:
        while not self._may_leave():
            time.sleep(_PACE_SECONDS)

    def _may_leave(self) -> bool:
        stayed = time.monotonic() - self._began
        return self._testbed.others_are_done() and stayed >= self._testbed.patience

    def _all_go_on(self) -> None:
        assert self._server and self._stalled
        self._server.settle()
        self._stalled.read_again()
        self._stalled.expect_answer()
        clients = [c for c in self._server.connections if isinstance(c, Client)]
        for client in clients:
            client.send(line(self._rng))
        self._server.expect_answers(clients)

    def close(self) -> None:
        """End the server."""
        if self._server:
            self._server.close()
