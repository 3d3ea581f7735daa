"""Stage 3: clients leave in every possible way, and the server lives on."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

from grader.harness import wording
from grader.harness.backpressure import SMALL_WINDOW
from grader.harness.client import Client
from grader.harness.crowd import come_and_go
from grader.harness.failure import Failure
from grader.harness.finding import Finding
from grader.harness.payload import line, readable
from grader.harness.scheduling import stop_and_continue
from grader.harness.server import Server
from grader.kernel import procfs
from grader.stages.common import check
from grader.stages.common.descriptors import other_descriptors
from grader.stages.common.pacing import as_time_allows
from grader.stages.common.stalled import MIB, PIECE, stalled_reader
from grader.stages.common.vigil import Vigil

Leave = Callable[[Client], None]

# The least that malloc() takes for a block, its bookkeeping included, in bytes.
LEAST_LEAK = 24

# More than the kernel's buffers take for a client that does not read.
STALL = 16 * MIB

# A server may keep what it once needed for the next client. If descriptors grow with
# each of this many groups of clients, they are lost.
GROUPS = 4

# The receive buffers that the clients of a group ask for (0: the default).
WINDOWS = (SMALL_WINDOW, SMALL_WINDOW, 0)

# More than any usual table of all clients ever has room for.
LIFETIME = 10_500


def _others_go_on(
    server: Server, other: Client, rng: random.Random, after: str
) -> None:
    server.expect_alive(after)
    newcomer = server.connect("a newcomer")
    for client in (other, newcomer):
        client.send(line(rng))
    server.expect_answers([other, newcomer])


def _leave_in_three_ways(server: Server, rng: random.Random, leave: Leave) -> None:
    """Three clients LEAVE: a silent one, one served, one that is asking."""
    silent, served, hasty = server.connect_crowd(3, "leaving client")
    served.send(line(rng))
    hasty.send(line(rng))
    server.expect_answers([served, hasty])
    hasty.send(line(rng))
    for client in (served, silent, hasty):
        leave(client)


@check("lifecycle/clean_close")
def test_a_clean_close_goes_unnoticed(server: Server, rng: random.Random) -> None:
    other = server.connect("the other client")
    other.converse(line(rng))
    for _ in as_time_allows(range(5), 3):
        _leave_in_three_ways(server, rng, Client.close)
    _others_go_on(server, other, rng, "after clients had closed")


@check("lifecycle/reset")
def test_a_reset_goes_unnoticed(server: Server, rng: random.Random) -> None:
    other = server.connect("the other client")
    other.converse(line(rng))
    for _ in as_time_allows(range(5), 3):
        _leave_in_three_ways(server, rng, Client.reset)
    _others_go_on(server, other, rng, "after clients had reset their connections")


@check("lifecycle/unread_answers")
def test_answers_left_unread_harm_nobody(server: Server, rng: random.Random) -> None:
    other = server.connect("the other client")
    other.converse(line(rng))
    for _ in as_time_allows(range(12), 4):
        crowd = server.connect_crowd(6, "leaving client")
        # Keep the server busy, so that bytes and end are there before its answer is.
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
        other.expect_answer()

    def owed_much(stalled: Client) -> None:
        server.flood(stalled, readable(rng, MIB), STALL)

    def owed_little(stalled: Client) -> None:
        server.fill(stalled, readable(rng, PIECE), STALL)

    for is_owed in (owed_much, owed_little):
        for leave in (Client.close, Client.reset, _half_close_and_break_off):
            stalled = stalled_reader(server)
            is_owed(stalled)
            leave(stalled)
            server.settle()
    _others_go_on(server, other, rng, "after clients had left answers unread")


def _half_close_and_break_off(client: Client) -> None:
    client.half_close()
    client.session.settle()
    client.reset()


def _half_close_and_read(client: Client) -> None:
    client.half_close()
    client.expect_end()
    client.close()


def _read_at_last(crowd: list[Client]) -> None:
    for client in crowd:
        client.read_again()
    for client in crowd:
        client.expect_answer()
    _close(crowd)


def _close(crowd: list[Client]) -> None:
    for client in crowd:
        client.close()


def _stall(client: Client) -> None:
    """Leave CLIENT in a state in which the server wants to send to it and cannot."""
    assert isinstance(client.session, Server)
    client.stop_reading()
    client.session.flood(client, b"x" * MIB, STALL)


def _leave_unread(client: Client) -> None:
    client.stop_reading()
    client.send(b"x" * 100_000)
    client.session.settle()
    client.close()


WAYS_TO_LEAVE: dict[str, Leave] = {
    "have closed": Client.close,
    "have reset their connections": Client.reset,
    "have half-closed and got all their bytes back": _half_close_and_read,
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
    server.connect("the other client").converse(line(rng))
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
                return  # another check is about clients that do not read


def _groups_that_leave_more(
    server: Server, rng: random.Random, how: str
) -> Iterator[list[Client]]:
    """Groups of clients that are served and then have to leave HOW, until one leaves no
    more descriptors open than the last. Raises Failure if that never happens."""
    before = server.connection_descriptors()
    others = [other_descriptors(server)]
    while len(others) <= GROUPS:
        crowd = [server.connect("the leaving client", window) for window in WINDOWS]
        for client in crowd:
            client.send(line(rng))
        server.expect_answers(crowd)
        yield crowd
        server.expect_descriptors(before, crowd, how)
        others.append(other_descriptors(server))
        if len(others[-1]) <= len(others[-2]):
            return
    new = {link for fd, link in others[-1].items() if fd not in others[0]}
    finding = Finding(
        "descriptors_kept",
        new=sorted(re.sub(r":\[?(\w+?)\d*\]$", r" \1", link) for link in new),
        counts=[len(links) for links in others],
    )
    raise server.failure(
        f"the server keeps descriptors of clients that {how}",
        "no more descriptors after a group of clients than before it",
        wording.says(finding),
        finding,
        what="descriptors",
    )


@check("lifecycle/lifetime")
def test_ten_thousand_are_served_one_after_the_other(
    server: Server, rng: random.Random
) -> None:
    server.connect("the other client").converse(line(rng))
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
    server.connect("the other client").converse(line(rng))
    before = server.connection_descriptors()
    pid = server.program.pid or 0

    def used_after_a_thousand(so_far: int) -> int:
        """Memory used, in bytes, when a thousand more clients have come and gone."""
        come_and_go(server, 1000, line(rng), so_far)
        server.expect_descriptors(before, [], "have left")
        server.settle()
        return procfs.memory_bytes(pid)

    # A server may keep what it once needed; a leak keeps growing.
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
        "what was allocated for a client to be freed once it has left",
        f"it grew by {steps}, each time after 1000 more connections",
        what="memory",
    )


@check("lifecycle/stop_continue")
def test_it_survives_being_stopped_and_continued(
    server: Server, rng: random.Random
) -> None:
    other = server.connect("the other client")
    other.converse(line(rng))
    for _ in range(3):
        stop_and_continue(server)
        server.expect_alive("after it was stopped and continued")
        other.converse(line(rng))
