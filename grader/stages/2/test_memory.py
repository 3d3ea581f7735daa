"""Memory is used correctly and given back. The program is rebuilt with sanitizers and
put through its paces, and they must have nothing to report."""

from __future__ import annotations

import random
from collections.abc import Callable

from grader.grading.testbed import Testbed
from grader.harness.client_session import ClientSession
from grader.harness.payload import EVERY_BYTE, line
from grader.stages.common import check
from grader.stages.common.sanitizers import expect_no_report, expect_the_same_filled

Connect = Callable[..., ClientSession]


@check("memory/sanitizers")
def test_it_uses_memory_rightly(
    testbed: Testbed, rng: random.Random, start_client: Connect
) -> None:
    clients = _tour(start_client, rng)
    expect_the_same_filled(
        testbed, clients, lambda built: _talk(start_client(built=built), rng)
    )


def _talk(start_client: ClientSession, rng: random.Random) -> None:
    text = line(rng) + line(rng, 64 << 10) + b"no newline"
    start_client.expect_connection(echoes=True)
    start_client.types(text)
    start_client.ends_input()
    start_client.expect_printed(text)


def _tour(start_client: Connect, rng: random.Random) -> list[ClientSession]:
    text = b"\n" + EVERY_BYTE + line(rng, 64 << 10) + b"x" * 70 + b"\n\0no newline"
    polite = start_client(built="sanitized")
    with expect_no_report(polite):
        polite.expect_connection(echoes=True)
        polite.types(text)
        polite.ends_input()
        polite.expect_exit(0, "at the end of its input")
    leaving = start_client(built="sanitized")
    with expect_no_report(leaving):
        server = leaving.expect_connection()
        leaving.types(b"a line\n")
        server.expect(b"a line\n")
        server.close()
        leaving.expect_exit(1, "when the server has left")
    refused = start_client(
        built="sanitized", arguments=("127.0.0.1", "abc"), listens=False
    )
    with expect_no_report(refused):
        refused.expect_exit(1, "when its port is no port")
    return [polite, leaving, refused]
