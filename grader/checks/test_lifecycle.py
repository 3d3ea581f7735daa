"""Stage 3: clients leave in every way there is, and the server lives on."""

from __future__ import annotations

import random
from collections.abc import Callable

from grader import procfs
from grader.checks import check
from grader.checks.test_blocking import MIB, deaf_client
from grader.client import Client
from grader.payload import line, readable
from grader.server import Server

Leave = Callable[[Client], None]

# What malloc() takes at the least, with what it needs to know of it: in bytes.
LEAST_LEAK = 24


def _others_go_on(
    server: Server, other: Client, rng: random.Random, after: str
) -> None:
    server.expect_alive(after)
    other.converse(line(rng))
    server.connect("a newcomer").converse(line(rng))


def _leave_in_three_ways(server: Server, rng: random.Random, leave: Leave) -> None:
    """Without a word, after an answer, and with a question on its way."""
    silent, served, hasty = server.connect_crowd(3, "the leaving one")
    served.converse(line(rng))
    hasty.converse(line(rng))
    hasty.send(line(rng))
    for client in (served, silent, hasty):
        leave(client)


@check("lifecycle/clean_close")
def test_a_clean_close_goes_unnoticed(server: Server, rng: random.Random) -> None:
    other = server.connect("the other one")
    other.converse(line(rng))
    for _ in range(5):
        _leave_in_three_ways(server, rng, Client.close)
    _others_go_on(server, other, rng, "after clients had closed")


@check("lifecycle/reset")
def test_a_reset_goes_unnoticed(server: Server, rng: random.Random) -> None:
    other = server.connect("the other one")
    other.converse(line(rng))
    for _ in range(5):
        _leave_in_three_ways(server, rng, Client.reset)
    _others_go_on(server, other, rng, "after clients had broken off")


@check("lifecycle/unread_answers")
def test_answers_left_unread_harm_nobody(server: Server, rng: random.Random) -> None:
    other = server.connect("the other one")
    other.converse(line(rng))
    for _ in range(12):
        crowd = server.connect_crowd(6, "the leaving one")
        # The server is kept busy, so that bytes and end come before its answer.
        other.send(readable(rng, 300_000))
        for number, client in enumerate(crowd):
            if number % 2:
                client.hold_back()
                client.send(readable(rng, 30_000))
                client.close()
            else:
                client.send(line(rng))
                client.half_close()
                client.reset()
        other.expect_echo()
    deaf = deaf_client(server)
    server.flood(deaf, readable(rng, MIB), 16 * MIB)
    deaf.close()
    _others_go_on(server, other, rng, "after clients had left answers unread")


def _half_close_and_read(client: Client) -> None:
    client.half_close()
    client.expect_end()
    client.close()


def _leave_unread(client: Client) -> None:
    client.stop_reading()
    client.send(b"x" * 100_000)
    client.scene.settle()
    client.close()


WAYS_TO_LEAVE: dict[str, Leave] = {
    "have closed": Client.close,
    "have broken off (RST)": Client.reset,
    "have half-closed, and got all their bytes": _half_close_and_read,
    "have left their answers unread": _leave_unread,
}


@check("lifecycle/descriptors")
def test_the_descriptor_of_everyone_who_left_is_closed(
    server: Server, rng: random.Random
) -> None:
    server.connect("the other one").converse(line(rng))
    before = server.connection_descriptors()
    for how, leave in WAYS_TO_LEAVE.items():
        crowd = server.connect_crowd(5, "the leaving one")
        for client in crowd:
            client.converse(line(rng))
        for client in crowd:
            leave(client)
        server.expect_descriptors(before, crowd, how)


@check("lifecycle/memory")
def test_memory_is_given_back_over_thousands_of_connections(
    server: Server, rng: random.Random
) -> None:
    server.connect("the other one").converse(line(rng))
    before = server.connection_descriptors()
    pid = server.program.pid or 0

    def come_and_go(connections: int) -> int:
        """Memory used, in bytes, when so many more have come and gone."""
        for _ in range(connections // 50):
            crowd = server.connect_crowd(50)
            for client in crowd:
                client.send(line(rng))
            server.expect_echoes(crowd)
            for number, client in enumerate(crowd):
                client.reset() if number % 5 == 0 else client.close()
            server.expect_descriptors(before, crowd, "have left")
            server.forget_closed()
        server.settle()
        return procfs.memory_bytes(pid)

    # A server may keep what it has once needed; a leak goes on and on.
    used = come_and_go(1000)
    growth: list[int] = []
    while len(growth) < 4:
        now = come_and_go(1000)
        growth.append(now - used)
        used = now
        if growth[-1] < 1000 * LEAST_LEAK:
            return
    steps = ", ".join(f"{bytes_ >> 10} KiB" for bytes_ in growth)
    raise server.failure(
        "the server's memory grows with each connection that comes and goes",
        "what was allocated for a client to be freed when it has left",
        f"with 1000 connections more, four times, it has grown by {steps}",
    )


@check("lifecycle/stop_continue")
def test_it_survives_being_stopped_and_continued(
    server: Server, rng: random.Random
) -> None:
    other = server.connect("the other one")
    other.converse(line(rng))
    for _ in range(3):
        server.stop_and_continue()
        server.expect_alive("after it was stopped and continued")
        other.converse(line(rng))
