"""Stage 3: many clients at once, and none waits for another."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

from grader.fuzz.search import shortest_failure
from grader.grading.testbed import Testbed
from grader.harness.crowd import Crowd
from grader.harness.payload import line, readable
from grader.harness.scheduling import deprioritized
from grader.harness.server import Server, crowd_size
from grader.kernel import procfs
from grader.sandbox.limits import CROWD, MULTITUDE, most_clients
from grader.stages.common import check
from grader.stages.common.descriptors import DESCRIPTORS, all_descriptors, most_served
from grader.stages.common.pacing import as_time_allows, unless_held_back

# How many clients come first, to measure how many descriptors each one takes.
FEW = 10


@check("concurrency/idle_client")
def test_an_idle_client_does_not_delay_another(
    server: Server, rng: random.Random
) -> None:
    idle = server.connect("the idle client")
    other = server.connect("the other client")
    other.converse(line(rng))
    third = server.connect("the third client")
    third.converse(line(rng))
    other.converse(line(rng))
    idle.converse(line(rng))


@check("concurrency/mid_message")
def test_a_client_that_stops_in_mid_message_delays_nobody(
    server: Server, rng: random.Random
) -> None:
    halting = server.connect("the halting client")
    other = server.connect("the other client")
    halting.send(b"a line that is not fini")
    server.settle()
    other.converse(line(rng))
    other.converse(readable(rng, 300_000))
    halting.expect_answer()
    halting.converse(b"shed yet\n")


@check("concurrency/interleaved")
def test_two_clients_take_turns_byte_by_byte(server: Server) -> None:
    left = server.connect("the first client")
    right = server.connect("the second client", twin=left)
    for one, another in unless_held_back(zip(b"left, \n", b"RIGHT \n"), server, 4):
        left.send(bytes([one]))
        right.send(bytes([another]))
        server.expect_answers([right, left])


@check("concurrency/thousand")
def test_ten_thousand_clients_are_served_in_any_order(
    start: Callable[..., Server],
    rng: random.Random,
    record_property: Callable[[str, object], None],
) -> None:
    server = start(descriptors=(1024, DESCRIPTORS))
    server.settle()  # by then it has opened what it needs for itself
    before = all_descriptors(server)
    crowd = Crowd(server, rng)
    crowd.grow(FEW)
    _all_speak(crowd)
    each = (all_descriptors(server) - before) / FEW
    # Servers whose tables have room for a thousand are caught here, where it is cheap.
    crowd.grow(crowd_size(CROWD))
    _all_speak(crowd)
    if len(procfs.tasks(server.program.pid or 0)) > CROWD:
        return  # ten thousand threads would only test the machine
    count = min(MULTITUDE, most_clients(), most_served(each))
    record_property("clients", count)
    crowd.grow(count)
    _all_speak(crowd)


def _all_speak(crowd: Crowd) -> None:
    """Have every client of CROWD speak and get an answer; if the server takes long for
    each message, any thousand or more of them."""
    for some in as_time_allows(crowd.in_another_order(), 1):
        crowd.converse(some)


@check("concurrency/burst")
def test_a_thousand_clients_that_come_at_once_are_served(
    server: Server, rng: random.Random
) -> None:
    crowd = server.burst(crowd_size(CROWD))
    with deprioritized(server.program, os.SCHED_IDLE):
        for client in crowd:
            client.send(line(rng))
    server.expect_answers(crowd)


@check("concurrency/any_order")
def test_whatever_happens_in_any_order_everyone_gets_their_bytes(
    start: Callable[..., Server], testbed: Testbed
) -> None:
    failure = shortest_failure(start, testbed.seed)
    if failure:
        raise failure
