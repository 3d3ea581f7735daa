"""Stage 3: what the server takes: processor time, descriptors, memory."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

from grader.bench import Bench
from grader.checks import check, many_turns
from grader.checks.sanitizers import (
    expect_no_report,
    expect_the_same_filled,
    leak_signal,
)
from grader.checks.test_blocking import FLOOD, MIB, PIECE, deaf_client
from grader.checks.test_concurrency import FOR_A_CLIENT, FOR_ITSELF
from grader.checks.test_epoll import expect_no_other_sleep, silence, sleeps_in
from grader.client import Client
from grader.payload import EVERY_BYTE, line, readable
from grader.guard import CROWD
from grader.server import Server, crowd_size

Start = Callable[..., Server]


# One message of each length around what buffers are usually made for.
EDGES = sorted(
    {
        size + more
        for size in [1 << n for n in range(18)] + [10**n for n in range(1, 6)]
        for more in (-1, 0, 1)
        if size + more > 0
    }
)

_RUN_OUT = "when descriptors have run out"


@check("resources/idle")
def test_it_uses_no_processor_time_while_nobody_speaks(
    server: Server, rng: random.Random
) -> None:
    server.expect_idle("before the first client has come")
    crowd = server.connect_crowd(5)
    for client in crowd:
        client.send(line(rng))
    server.expect_echoes(crowd)
    server.expect_idle("while its clients are silent")
    crowd[0].close()
    crowd[1].reset()
    crowd[2].half_close()
    server.expect_idle("after clients have left")


@check("resources/idle_stalled")
def test_it_uses_no_processor_time_while_a_client_does_not_read(
    server: Server, rng: random.Random
) -> None:
    def stays_idle(deaf: Client) -> None:
        server.expect_idle("while a client does not read")
        deaf.half_close()
        server.expect_idle("while a client has half-closed and does not read")

    recovered = deaf_client(server, "the one that reads at last")
    server.flood(recovered, readable(rng, MIB), FLOOD)
    recovered.read_again()
    with server.another_check_tells():
        recovered.expect_echo()
    if not recovered.due:
        server.expect_idle("when a client has read all at last")
    deaf = deaf_client(server)
    server.flood(deaf, readable(rng, MIB), FLOOD)
    stays_idle(deaf)
    # A server that has room left in its buffer may still want to receive.
    deaf = deaf_client(server, "the one that is owed little")
    server.fill(deaf, readable(rng, PIECE), FLOOD)
    stays_idle(deaf)


@check("resources/descriptor_limit")
def test_it_raises_its_descriptor_limit(start: Start, rng: random.Random) -> None:
    server = start(descriptors=(64, 512))
    crowd = server.connect_crowd(120)
    for client in crowd:
        client.send(line(rng))
    server.expect_echoes(crowd)


@check("resources/few_descriptors")
def test_it_lives_through_running_out_of_descriptors(
    start: Start, rng: random.Random
) -> None:
    limit = 40
    server = start(descriptors=(limit, limit))
    server.settle()  # what it opens for itself, it has by then
    at_first, each = server.all_descriptors(), 1
    usual: set[str] = set()
    crowd: list[Client] = []
    while len(crowd) < limit + 4:
        if len(crowd) == 10:
            usual = set().union(*(sleeps_in(server) for _ in silence(server)))
            each = round((server.all_descriptors() - at_first) / len(crowd))
        if server.waiting() >= server.room:
            server.settle()
            if server.waiting():
                break  # it has taken all that it can
        client = server.start_connecting(f"client {len(crowd) + 1}")
        client.may_be_cut = True
        client.send(line(rng))
        crowd.append(client)
    server.expect_alive("when it had no descriptor left")
    served = [client for client in crowd if client.received]
    at_least = (limit - FOR_ITSELF) // max(1, min(each, FOR_A_CLIENT))
    if len(served) < at_least:
        # Who sleeps when there is no descriptor left has not come to them.
        if not usual:
            expect_no_other_sleep(server, _RUN_OUT, silence(server))
        raise server.failure(
            f"of {len(crowd)} clients few are served, with {limit} descriptors",
            f"at least {at_least} clients with their bytes: it may have {FOR_ITSELF} "
            f"descriptors for itself, and {FOR_A_CLIENT} for a client",
            f"{len(served)} with their bytes, and {each} descriptors for each of them",
        )
    for client in served:
        client.may_be_cut = False
        server.update(client)
    server.check()
    server.expect_idle("while clients wait for a descriptor to be free")
    if not usual:  # or another check tells of it
        expect_no_other_sleep(server, _RUN_OUT, silence(server))
    served[0].converse(line(rng))
    # Those who wait in the backlog stay; those whom it refused are gone.
    waiting = [c for c in crowd if c.connected and not (c.received or c.ended)]
    # There is more than one way to see that somebody has left, and to make room.
    for client in served[:3]:
        client.may_be_cut = True
        client.stop_reading()
        server.flood(client, readable(rng, MIB), FLOOD)
    for client in served[:3]:
        client.reset()
    server.expect_echoes(waiting[:1])
    for client in served[3:6]:
        client.reset()
    server.expect_echoes(waiting[:2])
    for client in set(crowd) - set(waiting):
        client.close()
    server.expect_echoes(waiting)
    server.expect_listening()  # it may have closed that, to have one descriptor more
    server.connect("a newcomer").converse(line(rng))


@check("resources/sanitizers")
def test_it_uses_memory_rightly(
    bench: Bench, launch: Start, start: Start, rng: random.Random
) -> None:
    with bench.large_receive_buffers():  # so that a long message can be one read
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
        bench, [server], lambda built: _visit(start(built=built), rng)
    )


def _visit(server: Server, rng: random.Random) -> None:
    """Clients come, speak, and leave: what every server meets in its first second."""
    crowd = server.connect_crowd(3)
    for client in crowd:
        client.send(line(rng))
    server.expect_echoes(crowd)
    crowd[0].converse(readable(rng, MIB))
    deaf = deaf_client(server)
    server.flood(deaf, readable(rng, MIB), 4 * MIB)
    crowd[1].converse(line(rng))
    deaf.half_close()
    deaf.read_again()
    deaf.expect_end()
    crowd[2].reset()
    crowd[0].close()
    server.connect("a newcomer").converse(line(rng))
    server.expect_alive("when clients had come and gone")


def _tour(server: Server, rng: random.Random) -> None:
    """Clients come, and do all that takes a server through all of its code."""
    other = server.connect("the other one")
    other.converse(EVERY_BYTE)
    other.converse(readable(rng, MIB // 2))
    if not many_turns(server):
        other.converse(readable(rng, 2 * MIB))
    crowd = server.connect_crowd(len(EDGES))
    with server.held_down(os.SCHED_IDLE):  # all of it is there when it looks
        for client, length in zip(crowd, EDGES):
            client.send(readable(rng, length))
    server.expect_echoes(crowd)
    crowd = server.connect_crowd(50)
    for client in crowd:
        client.send(line(rng, 2000))
    server.expect_echoes(crowd)
    crowd[0].send(line(rng))
    for number, client in enumerate(crowd):
        client.reset() if number % 3 == 0 else client.close()
    server.forget_closed()
    for leave in (Client.reset, Client.close, Client.half_close):
        little = deaf_client(server, "the one that is owed little")
        server.fill(little, readable(rng, PIECE), FLOOD)
        leave(little)
        server.settle()
    deaf = deaf_client(server)
    server.flood(deaf, readable(rng, MIB), 16 * MIB)
    other.converse(line(rng))
    deaf.half_close()
    server.settle()
    deaf.read_again()
    deaf.expect_end()
    vanishing = deaf_client(server, "the vanishing one")
    server.flood(vanishing, readable(rng, MIB), 16 * MIB)
    vanishing.close()
    other.converse(line(rng))
    server.forget_closed()
    crowd = server.burst(crowd_size(CROWD))
    with server.stopped():  # so that all of them are ready at once
        for client in crowd:
            client.send(line(rng))
    server.expect_echoes(crowd)
