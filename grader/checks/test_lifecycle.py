"""Stage 3: clients leave in every way there is, and the server lives on."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

from grader import procfs
from grader.backpressure import SMALL_WINDOW
from grader.checks import as_time_allows, check
from grader.checks.test_blocking import MIB, PIECE, deaf_client
from grader.checks.vigil import Vigil
from grader.client import Client
from grader.failure import Failure, Finding
from grader.payload import line, readable
from grader.server import Server
from grader.visits import come_and_go

Leave = Callable[[Client], None]

# What malloc() takes at the least, with what it needs to know of it: in bytes.
LEAST_LEAK = 24

# More than the kernel's buffers take of a client that does not read.
STALL = 16 * MIB

# A server may keep what it has once needed, for the next who needs it. What has grown
# with each of so many groups of clients is lost.
GROUPS = 4

# What those ask for as their receive buffers (0: as usual).
WINDOWS = (SMALL_WINDOW, SMALL_WINDOW, 0)

# Beyond any usual table of all clients that ever came.
LIFETIME = 10_500


def _others_go_on(
    server: Server, other: Client, rng: random.Random, after: str
) -> None:
    server.expect_alive(after)
    newcomer = server.connect("a newcomer")
    for client in (other, newcomer):
        client.send(line(rng))
    server.expect_echoes([other, newcomer])


def _leave_in_three_ways(server: Server, rng: random.Random, leave: Leave) -> None:
    """Without a word, after an answer, and with a question on its way."""
    silent, served, hasty = server.connect_crowd(3, "the leaving one")
    served.send(line(rng))
    hasty.send(line(rng))
    server.expect_echoes([served, hasty])
    hasty.send(line(rng))
    for client in (served, silent, hasty):
        leave(client)


@check("lifecycle/clean_close")
def test_a_clean_close_goes_unnoticed(server: Server, rng: random.Random) -> None:
    other = server.connect("the other one")
    other.converse(line(rng))
    for _ in as_time_allows(range(5), 3):
        _leave_in_three_ways(server, rng, Client.close)
    _others_go_on(server, other, rng, "after clients had closed")


@check("lifecycle/reset")
def test_a_reset_goes_unnoticed(server: Server, rng: random.Random) -> None:
    other = server.connect("the other one")
    other.converse(line(rng))
    for _ in as_time_allows(range(5), 3):
        _leave_in_three_ways(server, rng, Client.reset)
    _others_go_on(server, other, rng, "after clients had broken off")


@check("lifecycle/unread_answers")
def test_answers_left_unread_harm_nobody(server: Server, rng: random.Random) -> None:
    other = server.connect("the other one")
    other.converse(line(rng))
    for _ in as_time_allows(range(12), 4):
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

    def owed_much(deaf: Client) -> None:
        server.flood(deaf, readable(rng, MIB), STALL)

    def owed_little(deaf: Client) -> None:
        server.fill(deaf, readable(rng, PIECE), STALL)

    for is_owed in (owed_much, owed_little):
        for leave in (Client.close, Client.reset, _half_close_and_break_off):
            deaf = deaf_client(server)
            is_owed(deaf)
            leave(deaf)
            server.settle()
    _others_go_on(server, other, rng, "after clients had left answers unread")


def _half_close_and_break_off(client: Client) -> None:
    client.half_close()
    client.scene.settle()
    client.reset()


def _half_close_and_read(client: Client) -> None:
    client.half_close()
    client.expect_end()
    client.close()


def _read_at_last(crowd: list[Client]) -> None:
    for client in crowd:
        client.read_again()
    for client in crowd:
        client.expect_echo()
    _close(crowd)


def _close(crowd: list[Client]) -> None:
    for client in crowd:
        client.close()


def _stall(client: Client) -> None:
    """Leave it in a state in which the server has something to send, and cannot."""
    assert isinstance(client.scene, Server)
    client.stop_reading()
    client.scene.flood(client, b"x" * MIB, STALL)


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
WAYS_AFTER_A_STALL: dict[str, Callable[[list[Client]], None]] = {
    "have read all answers at last": _read_at_last,
    "have left while the server could not send": _close,
}


@check("lifecycle/descriptors")
def test_the_descriptor_of_everyone_who_left_is_closed(
    server: Server, rng: random.Random
) -> None:
    server.connect("the other one").converse(line(rng))
    for how, leave in WAYS_TO_LEAVE.items():
        for crowd in _groups_that_leave_more(server, rng, how):
            for client in crowd:
                leave(client)
    for how, leave_together in WAYS_AFTER_A_STALL.items():
        for crowd in _groups_that_leave_more(server, rng, how):
            try:
                for client in crowd:
                    _stall(client)
                leave_together(crowd)
            except Failure:
                return  # another check tells of who does not read


def _groups_that_leave_more(
    server: Server, rng: random.Random, how: str
) -> Iterator[list[Client]]:
    """Groups of clients, who are served, and are to leave HOW, as long as there is more
    open with each of them. Raises Failure if that goes on and on."""
    before = server.connection_descriptors()
    others = [server.other_descriptors()]
    while len(others) <= GROUPS:
        crowd = [server.connect("the leaving one", window) for window in WINDOWS]
        for client in crowd:
            client.send(line(rng))
        server.expect_echoes(crowd)
        yield crowd
        server.expect_descriptors(before, crowd, how)
        others.append(server.other_descriptors())
        if len(others[-1]) <= len(others[-2]):
            return
    new = {link for fd, link in others[-1].items() if fd not in others[0]}
    what = ", ".join(sorted(re.sub(r":\[?(\w+?)\d*\]$", r" \1", link) for link in new))
    counts = ", ".join(str(len(links)) for links in others)
    says = f"it has {counts} descriptors besides sockets; the new ones are {what}"
    raise server.failure(
        f"the server keeps descriptors of clients that {how}",
        "no more of them with each group of clients that comes and goes",
        says,
        Finding("descriptors_kept", says, {"new": sorted(new)}),
    )


@check("lifecycle/lifetime")
def test_ten_thousand_are_served_one_after_the_other(
    server: Server, rng: random.Random
) -> None:
    server.connect("the other one").converse(line(rng))
    before = server.connection_descriptors()
    for before_these in as_time_allows(range(0, LIFETIME, 1050), 2, 10.0):
        come_and_go(server, 1050, line(rng), before_these)
    newcomer = server.connect("a newcomer")
    newcomer.converse(line(rng))
    newcomer.close()
    server.expect_descriptors(before, [newcomer], "have left")


@check("lifecycle/patience")
def test_it_never_hangs_up_first(vigil: Vigil) -> None:
    vigil.expect_all_are_there()


@check("lifecycle/memory")
def test_memory_is_given_back_over_thousands_of_connections(
    server: Server, rng: random.Random
) -> None:
    server.connect("the other one").converse(line(rng))
    before = server.connection_descriptors()
    pid = server.program.pid or 0

    def used_after_a_thousand(so_far: int) -> int:
        """Memory used, in bytes, when so many more have come and gone."""
        come_and_go(server, 1000, line(rng), so_far)
        server.expect_descriptors(before, [], "have left")
        server.settle()
        return procfs.memory_bytes(pid)

    # A server may keep what it has once needed; a leak goes on and on.
    used = used_after_a_thousand(0)
    growth: list[int] = []
    while len(growth) < 4:
        now = used_after_a_thousand(1000 * (1 + len(growth)))
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
