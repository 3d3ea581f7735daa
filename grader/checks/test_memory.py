"""Stages 1 and 2: memory is used rightly, and given back. The program is built
anew with sanitizers, taken through its paces, and must not be reported."""

from __future__ import annotations

import random
from collections.abc import Callable

from grader.backpressure import SMALL_WINDOW
from grader.checks import check
from grader.checks.sanitizers import expect_no_report, expect_the_same_filled
from grader.client import Client
from grader.bench import Bench
from grader.payload import EVERY_BYTE, line, readable
from grader.peer import Session
from grader.server import Server


@check("memory/sanitizers")
def test_it_uses_memory_rightly(
    bench: Bench, rng: random.Random, launch: Callable[..., Server],
    start: Callable[..., Server], session: Callable[..., Session],
) -> None:  # fmt: skip
    if bench.stage == 1:
        servers = _tour_of_a_server(launch, rng)
        expect_the_same_filled(
            bench, servers, lambda built: _visit(start(built=built), rng)
        )
    else:
        clients = _tour_of_a_client(session, rng)
        expect_the_same_filled(
            bench, clients, lambda built: _talk(session(built=built), rng)
        )


def _tour_of_a_server(
    launch: Callable[..., Server], rng: random.Random
) -> list[Server]:
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
        client.scene.settle()
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


def _talk(session: Session, rng: random.Random) -> None:
    text = line(rng) + line(rng, 64 << 10) + b"no newline"
    session.expect_connection(echoes=True)
    session.types(text)
    session.ends_input()
    session.expect_printed(text)


def _tour_of_a_client(
    session: Callable[..., Session], rng: random.Random
) -> list[Session]:
    text = b"\n" + EVERY_BYTE + line(rng, 64 << 10) + b"x" * 70 + b"\n\0no newline"
    polite = session(built="sanitized")
    with expect_no_report(polite):
        polite.expect_connection(echoes=True)
        polite.types(text)
        polite.ends_input()
        polite.expect_exit(0, "at the end of its input")
    leaving = session(built="sanitized")
    with expect_no_report(leaving):
        server = leaving.expect_connection()
        leaving.types(b"a line\n")
        server.expect(b"a line\n")
        server.close()
        leaving.expect_exit(1, "when the server has left")
    refused = session(built="sanitized", arguments=("127.0.0.1", "abc"), listens=False)
    with expect_no_report(refused):
        refused.expect_exit(1, "when its port is no port")
    return [polite, leaving, refused]
