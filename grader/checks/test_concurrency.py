"""Stage 3: many clients at once, and nobody waits for anybody."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

from grader import procfs
from grader.any_order import shortest_failure
from grader.bench import Bench
from grader.checks import as_time_allows, check, unless_held_back
from grader.guard import CROWD, MULTITUDE, most_clients, most_descriptors
from grader.payload import line, readable
from grader.server import Server, crowd_size
from grader.visits import Crowd

# So many come first, by which it is seen how many descriptors one takes.
FEW = 10

# What a server may use of its descriptors: requirement 3.13.
FOR_ITSELF, FOR_A_CLIENT = 15, 3

# What ten thousand take then, and a little more.
DESCRIPTORS = FOR_A_CLIENT * MULTITUDE + 100


@check("concurrency/idle_client")
def test_an_idle_client_does_not_delay_another(
    server: Server, rng: random.Random
) -> None:
    idle = server.connect("the idle one")
    other = server.connect("the other one")
    other.converse(line(rng))
    third = server.connect("the third one")
    third.converse(line(rng))
    other.converse(line(rng))
    idle.converse(line(rng))


@check("concurrency/mid_message")
def test_a_client_that_stops_in_mid_message_delays_nobody(
    server: Server, rng: random.Random
) -> None:
    halting = server.connect("the halting one")
    other = server.connect("the other one")
    halting.send(b"a line that is not fini")
    server.settle()
    other.converse(line(rng))
    other.converse(readable(rng, 300_000))
    halting.expect_echo()
    halting.converse(b"shed yet\n")


@check("concurrency/interleaved")
def test_two_clients_take_turns_byte_by_byte(server: Server) -> None:
    left = server.connect("the left one")
    right = server.connect("the right one", twin=left)
    for one, another in unless_held_back(zip(b"left, \n", b"RIGHT \n"), server, 4):
        left.send(bytes([one]))
        right.send(bytes([another]))
        server.expect_echoes([right, left])


@check("concurrency/thousand")
def test_ten_thousand_clients_are_served_in_any_order(
    start: Callable[..., Server],
    rng: random.Random,
    record_property: Callable[[str, object], None],
) -> None:
    server = start(descriptors=(1024, DESCRIPTORS))
    server.settle()  # what it opens for itself, it has by then
    before = server.all_descriptors()
    crowd = Crowd(server, rng)
    crowd.grow(FEW)
    _all_speak(crowd)
    each = (server.all_descriptors() - before) / FEW
    # Those whose tables have room for a thousand are found where it is cheap.
    crowd.grow(crowd_size(CROWD))
    _all_speak(crowd)
    if len(procfs.tasks(server.program.pid or 0)) > CROWD:
        return  # with a thread for each of ten thousand, only the machine is tried
    count = min(MULTITUDE, most_clients(), most_served(each))
    record_property("clients", count)
    crowd.grow(count)
    _all_speak(crowd)


def _all_speak(crowd: Crowd) -> None:
    """Each of CROWD speaks, and is answered; or, where a message is long work to the
    server, a thousand of them or more, whoever they are."""
    for some in as_time_allows(crowd.in_another_order(), 1):
        crowd.converse(some)


def most_served(each: float) -> int:
    """How many clients a server serves that takes EACH so many descriptors: as many as
    it has descriptors for, if it takes no more of them than it may."""
    for_clients = min(DESCRIPTORS, most_descriptors()) - FOR_ITSELF
    return int(for_clients / max(1, min(each, FOR_A_CLIENT)))


@check("concurrency/burst")
def test_a_thousand_clients_that_come_at_once_are_served(
    server: Server, rng: random.Random
) -> None:
    crowd = server.burst(crowd_size(CROWD))
    with server.held_down(os.SCHED_IDLE):
        for client in crowd:
            client.send(line(rng))
    server.expect_echoes(crowd)


@check("concurrency/any_order")
def test_whatever_happens_in_any_order_everyone_gets_their_bytes(
    start: Callable[..., Server], bench: Bench
) -> None:
    failure = shortest_failure(start, bench.seed)
    if failure:
        raise failure
