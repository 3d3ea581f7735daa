"""Stage 1: there is one client, and the server exits when it leaves."""

from __future__ import annotations

import random
from collections.abc import Callable

from grader.harness.backpressure import SMALL_WINDOW
from grader.harness.payload import line, readable
from grader.harness.server import Server
from grader.stages.common import check

Start = Callable[..., Server]


@check("one_client/second_waits")
def test_a_second_client_waits(server: Server, rng: random.Random) -> None:
    first = server.connect("the first client")
    first.converse(line(rng))
    second = server.connect("the second client")
    second.send(line(rng))
    for _ in range(2):
        server.settle()
        first.converse(line(rng))
    if second.received or second.ended:
        raise server.failure(
            "the second client is not left waiting",
            "nothing while the first client is being served",
            f"{second.received} bytes" if second.received else "the end",
            what="no_answer",
        )


@check("one_client/exits_zero")
def test_it_exits_with_zero_when_its_client_leaves(
    start: Start, rng: random.Random
) -> None:
    for speaks in (True, False):
        server = start()
        client = server.connect("the client")
        server.expect_accepted()
        if speaks:
            client.converse(line(rng))
        said = server.program.output.text()
        client.close()
        server.expect_exit(client, "when its client has left")
        if server.program.status() != 0:
            raise server.failure(
                "the server does not exit correctly when its client has left",
                "exit status 0",
                f"it {server.program.ending()}",
                what="exit",
            )
        if server.program.output.text().count("\n") <= said.count("\n"):
            raise server.failure(
                "the server says nothing when its client has left",
                "a line on standard output",
                "nothing after the line that a client has connected",
                what="farewell",
            )


@check("one_client/vanishes")
def test_a_client_that_vanishes_does_not_kill_it(
    start: Start, rng: random.Random
) -> None:
    for unread in (False, False, True):
        server = start()
        client = server.connect("the client", SMALL_WINDOW)
        server.expect_accepted()
        client.converse(line(rng))
        client.stop_reading()
        client.may_be_cut = True
        if unread:  # the server has sent as much as it can
            server.flood(client, readable(rng, 1 << 20), 16 << 20)
            client.close()
        else:
            # Bytes and end arrive together: the server's first answer is refused while
            # it still has bytes to send in a second one.
            client.hold_back()
            client.send(readable(rng, 30_000))
            client.close()
        server.expect_exit(client, "when its client has vanished")
        if server.program.status() != 0:
            raise server.failure(
                "the server does not exit correctly when its client has vanished",
                "exit status 0",
                f"it {server.program.ending()}",
                what="exit",
            )
