"""Stage 3: what the server uses: processor time, descriptors, memory."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from grader.grading.testbed import Testbed
from grader.harness.client import Client
from grader.harness.idle import expect_idle
from grader.harness.payload import EVERY_BYTE, line, readable
from grader.harness.scheduling import deprioritized, stopped
from grader.harness.server import Server, crowd_size
from grader.sandbox.limits import CROWD
from grader.stages.common import check
from grader.stages.common.descriptors import FOR_A_CLIENT, FOR_ITSELF, all_descriptors
from grader.stages.common.pacing import many_turns
from grader.stages.common.sanitizers import (
    expect_no_report,
    expect_the_same_filled,
    leak_signal,
)
from grader.stages.common.stalled import FLOOD, MIB, PIECE, stalled_reader
from grader.stages.common.waits import expect_no_other_sleep, silence, sleeps_in

Start = Callable[..., Server]


# One message of each length around the usual sizes of buffers.
EDGES = sorted(
    {
        size + more
        for size in [1 << n for n in range(18)] + [10**n for n in range(1, 6)]
        for more in (-1, 0, 1)
        if size + more > 0
    }
)

# A soft and a hard limit of descriptors that a small crowd exceeds.
LIMIT = 40

_RUN_OUT = "when descriptors have run out"


@check("resources/idle")
def test_it_uses_no_processor_time_while_nobody_speaks(
    server: Server, rng: random.Random
) -> None:
    expect_idle(server, "before the first client has come", "nobody_has_come")
    crowd = server.connect_crowd(5)
    for client in crowd:
        client.send(line(rng))
    server.expect_answers(crowd)
    expect_idle(server, "while its clients are silent")
    crowd[0].close()
    crowd[1].reset()
    crowd[2].half_close()
    expect_idle(server, "after clients have left")


@check("resources/idle_stalled")
def test_it_uses_no_processor_time_while_a_client_does_not_read(
    server: Server, rng: random.Random
) -> None:
    def stays_idle(stalled: Client) -> None:
        expect_idle(server, "while a client does not read")
        stalled.half_close()
        expect_idle(
            server, "while a client has half-closed and does not read", "half_closed"
        )

    recovered = stalled_reader(server, "the client that reads at last")
    server.flood(recovered, readable(rng, MIB), FLOOD)
    recovered.read_again()
    with server.another_check_tells():
        recovered.expect_answer()
    if not recovered.due:
        expect_idle(server, "when a client has read all at last")
    stalled = stalled_reader(server)
    server.flood(stalled, readable(rng, MIB), FLOOD)
    stays_idle(stalled)
    # A server with room left in its buffer may still want to receive.
    stalled = stalled_reader(server, "the client with small messages")
    server.fill(stalled, readable(rng, PIECE), FLOOD)
    stays_idle(stalled)


@check("resources/descriptor_limit")
def test_it_raises_its_descriptor_limit(start: Start, rng: random.Random) -> None:
    server = start(descriptors=(64, 512))
    crowd = server.connect_crowd(120)
    for client in crowd:
        client.send(line(rng))
    server.expect_answers(crowd)


@check("resources/few_descriptors")
def test_it_lives_through_running_out_of_descriptors(
    start: Start, rng: random.Random
) -> None:
    server = start(descriptors=(LIMIT, LIMIT))
    server.settle()  # by then it has opened what it needs for itself
    server.circumstances.during = "out_of_descriptors"
    crowd = _more_than_it_has_descriptors_for(server, rng)
    server.expect_alive("when it had no descriptor left")
    served = crowd.served()
    _expect_enough_served(server, crowd)
    for client in served:
        client.may_be_cut = False
        server.update(client)
    server.check()
    expect_idle(server, "while clients wait for a descriptor to be free")
    server.circumstances.during = ""
    if not crowd.usual_calls:  # otherwise another check reports it
        expect_no_other_sleep(server, _RUN_OUT, silence(server))
    served[0].converse(line(rng))
    _expect_the_others_served_later(server, crowd, rng)
    server.expect_listening()  # it may have closed that to gain a descriptor
    server.connect("a newcomer").converse(line(rng))


@dataclass
class _Crowd:
    """The clients that came, how many descriptors the server took for each, and the
    calls besides epoll's that it slept in while it still had some left."""

    clients: list[Client] = field(default_factory=list)
    descriptors_each: int = 1
    usual_calls: set[str] = field(default_factory=set)

    def served(self) -> list[Client]:
        """Those that have got bytes back."""
        return [client for client in self.clients if client.received]


def _more_than_it_has_descriptors_for(server: Server, rng: random.Random) -> _Crowd:
    """Have clients come and speak, until the server takes no more of them."""
    crowd, at_first = _Crowd(), all_descriptors(server)
    while len(crowd.clients) < LIMIT + 4:
        if (count := len(crowd.clients)) == 10:
            crowd.usual_calls.update(*(sleeps_in(server) for _ in silence(server)))
            taken = all_descriptors(server) - at_first
            crowd.descriptors_each = round(taken / count)
        if server.waiting() >= server.room:
            server.settle()
            if server.waiting():
                break  # it has taken all that it can
        client = server.start_connecting(f"client {count + 1}")
        client.may_be_cut = True
        client.send(line(rng))
        crowd.clients.append(client)
    return crowd


def _expect_enough_served(server: Server, crowd: _Crowd) -> None:
    """Expect the server to have made use of its descriptors before it ran out."""
    served, each = len(crowd.served()), crowd.descriptors_each
    at_least = (LIMIT - FOR_ITSELF) // max(1, min(each, FOR_A_CLIENT))
    if served >= at_least:
        return
    # A server that sleeps when descriptors run out never gets to the others.
    if not crowd.usual_calls:
        expect_no_other_sleep(server, _RUN_OUT, silence(server))
    raise server.failure(
        f"only {served} of {len(crowd.clients)} clients are served, "
        f"with {LIMIT} descriptors",
        f"at least {at_least} clients served: the server may have {FOR_ITSELF} "
        f"descriptors for itself, and {FOR_A_CLIENT} for each client",
        f"{served} served, and {each} descriptors for each of them",
    )


def _expect_the_others_served_later(
    server: Server, crowd: _Crowd, rng: random.Random
) -> None:
    """Expect those who had to wait to be served as others leave. A server can notice in
    more than one way that a client has left and freed room."""
    served = crowd.served()
    # Clients in the backlog stay; those that the server refused are gone.
    waiting = [c for c in crowd.clients if c.connected and not (c.received or c.ended)]
    for client in served[:3]:
        client.may_be_cut = True
        client.stop_reading()
        server.flood(client, readable(rng, MIB), FLOOD)
    for client in served[:3]:
        client.reset()
    server.expect_answers(waiting[:1])
    for client in served[3:6]:
        client.reset()
    server.expect_answers(waiting[:2])
    for client in set(crowd.clients) - set(waiting):
        client.close()
    server.expect_answers(waiting)


@check("resources/sanitizers")
def test_it_uses_memory_rightly(
    testbed: Testbed, launch: Start, start: Start, rng: random.Random
) -> None:
    with testbed.large_receive_buffers():  # so that one read can take a long message
        server = launch(built="sanitized")
        with expect_no_report(server):
            server.expect_listening()
    with expect_no_report(server):
        before = server.connection_descriptors()
        with server.another_check_tells():
            _tour(server, rng)
        everyone = list(server.connections)
        for client in everyone:
            client.close()
        server.expect_descriptors(before, everyone, "have left")
        leak_signal(server)
    expect_the_same_filled(
        testbed, [server], lambda built: _visit(start(built=built), rng)
    )


def _visit(server: Server, rng: random.Random) -> None:
    """Clients come, speak, and leave: what every server meets in its first second."""
    crowd = server.connect_crowd(3)
    for client in crowd:
        client.send(line(rng))
    server.expect_answers(crowd)
    crowd[0].converse(readable(rng, MIB))
    stalled = stalled_reader(server)
    server.flood(stalled, readable(rng, MIB), 4 * MIB)
    crowd[1].converse(line(rng))
    stalled.half_close()
    stalled.read_again()
    stalled.expect_end()
    crowd[2].reset()
    crowd[0].close()
    server.connect("a newcomer").converse(line(rng))
    server.expect_alive("when clients had come and gone")


def _tour(server: Server, rng: random.Random) -> None:
    """Clients come, and do everything that exercises all of a server's code."""
    other = server.connect("the other client")
    other.converse(EVERY_BYTE)
    other.converse(readable(rng, MIB // 2))
    if not many_turns(server):
        other.converse(readable(rng, 2 * MIB))
    crowd = server.connect_crowd(len(EDGES))
    with deprioritized(
        server.program, os.SCHED_IDLE
    ):  # all the data is there when it looks
        for client, length in zip(crowd, EDGES):
            client.send(readable(rng, length))
    server.expect_answers(crowd)
    crowd = server.connect_crowd(50)
    for client in crowd:
        client.send(line(rng, 2000))
    server.expect_answers(crowd)
    crowd[0].send(line(rng))
    for number, client in enumerate(crowd):
        client.reset() if number % 3 == 0 else client.close()
    server.forget_closed()
    for leave in (Client.reset, Client.close, Client.half_close):
        little = stalled_reader(server, "the client with small messages")
        server.fill(little, readable(rng, PIECE), FLOOD)
        leave(little)
        server.settle()
    stalled = stalled_reader(server)
    server.flood(stalled, readable(rng, MIB), 16 * MIB)
    other.converse(line(rng))
    stalled.half_close()
    server.settle()
    stalled.read_again()
    stalled.expect_end()
    vanishing = stalled_reader(server, "the vanishing client")
    server.flood(vanishing, readable(rng, MIB), 16 * MIB)
    vanishing.close()
    other.converse(line(rng))
    server.forget_closed()
    crowd = server.burst(crowd_size(CROWD))
    with stopped(server):  # so that all of them are ready at once
        for client in crowd:
            client.send(line(rng))
    server.expect_answers(crowd)
