"""Stage 3: what the server takes: processor time, descriptors, memory."""

from __future__ import annotations

import random
from collections.abc import Callable

from grader.checks import check
from grader.checks.sanitizers import expect_no_report, leak_signal
from grader.checks.test_blocking import FLOOD, MIB, PIECE, deaf_client
from grader.checks.test_epoll import expect_no_other_sleep, silence, sleeps_in
from grader.client import Client
from grader.payload import EVERY_BYTE, line, readable
from grader.server import ROOM_IN_BACKLOG, Server

Start = Callable[..., Server]


@check("resources/idle")
def test_it_uses_no_processor_time_while_nobody_speaks(
    server: Server, rng: random.Random
) -> None:
    server.expect_idle("before the first client has come")
    crowd = server.connect_crowd(5)
    for client in crowd:
        client.converse(line(rng))
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
    limit, at_least = 40, 25
    server = start(descriptors=(limit, limit))
    usual: set[str] = set()
    crowd: list[Client] = []
    while len(crowd) < limit + 4:
        if len(crowd) == 10:
            usual = set().union(*(sleeps_in(server) for _ in silence(server)))
        if server.waiting() >= ROOM_IN_BACKLOG:
            server.settle()
            if server.waiting():
                break  # it has taken all that it can
        client = server.start_connecting(f"client {len(crowd) + 1}")
        client.may_be_cut = True
        client.send(line(rng))
        crowd.append(client)
    server.expect_alive("when it had no descriptor left")
    served = [client for client in crowd if client.received]
    if len(served) < at_least:
        raise server.failure(
            f"of {len(crowd)} clients few are served, with {limit} descriptors",
            f"at least {at_least} clients with their bytes",
            f"{len(served)} with their bytes",
        )
    for client in served:
        client.may_be_cut = False
        server.update(client)
    server.check()
    server.expect_idle("while clients wait for a descriptor to be free")
    if not usual:  # or another check tells of it
        expect_no_other_sleep(server, "when descriptors have run out", silence(server))
    served[0].converse(line(rng))
    # Those who wait in the backlog stay; those whom it refused are gone.
    waiting = [c for c in crowd if c.connected and not (c.received or c.ended)]
    for client in served[:3]:  # there is more than one way to make room
        client.reset()
    server.expect_echoes(waiting[:1])
    for client in set(crowd) - set(waiting):
        client.close()
    server.expect_echoes(waiting)
    server.expect_listening()  # it may have closed that, to have one descriptor more
    server.connect("a newcomer").converse(line(rng))


@check("resources/sanitizers")
def test_it_uses_memory_rightly(start: Start, rng: random.Random) -> None:
    server = start(sanitized=True)
    with expect_no_report(server):
        before = server.connection_descriptors()
        with server.another_check_tells():
            _tour(server, rng)
        everyone = list(server.connections)
        for client in everyone:
            client.close()
        server.expect_descriptors(before, everyone, "have left")
        leak_signal(server)


def _tour(server: Server, rng: random.Random) -> None:
    """Clients come, and do all that takes a server through all of its code."""
    other = server.connect("the other one")
    other.converse(EVERY_BYTE)
    other.converse(readable(rng, 2 * MIB))
    crowd = server.connect_crowd(200)
    for client in crowd:
        client.send(line(rng, 2000))
    server.expect_echoes(crowd)
    deaf = deaf_client(server)
    server.flood(deaf, readable(rng, MIB), 16 * MIB)
    other.converse(line(rng))
    crowd[0].send(line(rng))
    for number, client in enumerate(crowd):
        client.reset() if number % 3 == 0 else client.close()
    deaf.half_close()
    server.settle()
    deaf.read_again()
    deaf.expect_end()
    vanishing = deaf_client(server, "the vanishing one")
    server.flood(vanishing, readable(rng, MIB), 16 * MIB)
    vanishing.close()
    other.converse(line(rng))
