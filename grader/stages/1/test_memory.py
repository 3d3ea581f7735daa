"""Memory is used correctly and given back. The program is rebuilt with sanitizers and
put through its paces, and they must have nothing to report."""

from __future__ import annotations

import random
from collections.abc import Callable

from grader.grading.testbed import Testbed
from grader.harness.backpressure import SMALL_WINDOW
from grader.harness.client import Client
from grader.harness.payload import EVERY_BYTE, line, readable
from grader.harness.server import Server
from grader.stages.common import check
from grader.stages.common.sanitizers import expect_no_report, expect_the_same_filled

Start = Callable[..., Server]


@check("memory/sanitizers")
def test_it_uses_memory_rightly(
    testbed: Testbed, rng: random.Random, launch: Start, start: Start
) -> None:
    servers = _tour(launch, rng)
    expect_the_same_filled(
        testbed, servers, lambda built: _visit(start(built=built), rng)
    )


def _tour(launch: Start, rng: random.Random) -> list[Server]:
    servers = []

    def polite(client: Client) -> None:
        client.converse(line(rng))
        client.converse(EVERY_BYTE)
        client.converse(readable(rng, 1 << 20))
        client.finish_sending()
        client.expect_end()

    def vanishing(client: Client) -> None:
        client.stop_reading()
        client.send(readable(rng, 8 << 20))
        client.session.settle()
        client.close()

    for behave in (polite, vanishing):
        server = launch(built="sanitized")
        servers.append(server)
        with expect_no_report(server):
            server.expect_listening()
            client = server.connect("the client", SMALL_WINDOW)
            server.expect_accepted()
            behave(client)
            server.expect_exit(client, "when its client has left")
    return servers


def _visit(server: Server, rng: random.Random) -> None:
    client = server.connect("the client")
    client.converse(line(rng))
    client.converse(readable(rng, 1 << 20))
    client.finish_sending()
    client.expect_end()
    server.expect_exit(client, "when its client has left")
