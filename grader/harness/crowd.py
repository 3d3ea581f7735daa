"""Clients by the thousand: plain sockets, since anything more would take too long.

Those that do not get what they are due are handed to the server's loop, which waits,
looks, and judges as it does with any other client.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
from collections.abc import Iterator

from grader.harness.client import Client
from grader.harness.connection import BREAK_OFF
from grader.harness.payload import line
from grader.harness.scheduling import deprioritized
from grader.harness.server import Server, crowd_size
from grader.sandbox.limits import CROWD

# How many visitors are there at once, if the backlog has room: few enough for any
# server. Where the kernel holds each answer back for a while, it is a whole crowd.
_TOGETHER = 50

# How long a connection or an answer may take before the loop looks after it: half a
# second, as a struct timeval (socket(7), SO_RCVTIMEO). This is not a verdict.
_A_GLANCE = struct.pack("@ll", 0, 500_000)


def come_and_go(server: Server, count: int, data: bytes, before: int = 0) -> None:
    """Have COUNT clients connect to SERVER, send DATA, get it back, and leave, one in
    five by a reset. BEFORE clients came earlier, and names are numbered on from there.
    Nothing about them is kept, so ten thousand take a second. Raises Failure."""
    server.note(f"clients {before + 1} to {before + count}", "come, speak, and leave")
    at_once = crowd_size(CROWD) if server.held_back else _TOGETHER
    while count > 0:
        together = min(count, server.backlog + 1, at_once)
        numbers = range(before + 1, before + together + 1)
        visitors = {number: _come(server, number) for number in numbers}
        _send(visitors, dict.fromkeys(visitors, data))
        _expect(server, visitors, dict.fromkeys(visitors, data))
        for number, visitor in visitors.items():
            if number % 5 == 0:
                visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, BREAK_OFF)
            visitor.close()
        before += together
        count -= together


class Crowd:
    """Clients of SERVER, numbered from 1, that stay until it is closed."""

    def __init__(self, server: Server, rng: random.Random) -> None:
        self._server = server
        self._rng = rng
        self._members: dict[int, socket.socket] = {}
        server.closing.callback(self._close)

    def grow(self, count: int) -> None:
        """Grow to COUNT clients, connected, and accepted by the server. Raises
        Failure."""
        server, begin = self._server, len(self._members) + 1
        server.note(f"clients {begin} to {count}", "connect")
        while begin <= count:
            end = min(count + 1, begin + min(server.backlog + 1, crowd_size(CROWD)))
            for number in range(begin, end):
                self._members[number] = _come(server, number)
            if server.waiting():
                newest = self._members[end - 1]
                with _looked_after(server, {end - 1: newest}):
                    server.expect_accepted()
            begin = end

    def in_another_order(self) -> list[list[int]]:
        """All clients, in a different order than they came, in groups of a thousand."""
        everyone = list(self._members)
        self._rng.shuffle(everyone)
        return [everyone[i : i + CROWD] for i in range(0, len(everyone), CROWD)]

    def converse(self, some: list[int]) -> None:
        """Have each of SOME send a line of its own, all at once, and get it back.
        Raises Failure."""
        self._server.note(f"{len(some)} of them", "speak, in another order")
        data = {number: line(self._rng) for number in some}
        with deprioritized(self._server.program, os.SCHED_IDLE):
            _send(self._members, data)
        _expect(self._server, {n: self._members[n] for n in some}, data)

    def _close(self) -> None:
        for member in self._members.values():
            member.close()


def _come(server: Server, number: int) -> socket.socket:
    """A socket of ours, client NUMBER, connected to SERVER. Raises Failure."""
    visitor = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        visitor.setsockopt(socket.SOL_SOCKET, option, _A_GLANCE)
    try:
        visitor.connect(("127.0.0.1", server.port))
    except BlockingIOError:  # EINPROGRESS: it goes on connecting (socket(7))
        with _looked_after(server, {number: visitor}, connected=False) as clients:
            server.expect_connected(clients[number])
    except OSError as error:
        visitor.close()
        server.connect("a client")  # the loop says why, if it finds out
        raise server.failure(f"client {number} cannot connect: {error}") from None
    return visitor


def _send(visitors: dict[int, socket.socket], data: dict[int, bytes]) -> None:
    """Have each of VISITORS, by number, send its DATA, if it has any."""
    for number, sent in data.items():
        with contextlib.suppress(OSError):  # the missing answer will show it
            visitors[number].send(sent)


def _expect(
    server: Server, visitors: dict[int, socket.socket], data: dict[int, bytes]
) -> None:
    """Expect each of VISITORS, by number, to get its DATA back. Raises Failure."""
    answers = _answers(visitors, data)
    if answers == data:
        return
    with _looked_after(server, visitors) as clients:
        for number, client in clients.items():
            client.has_sent(data[number])
        for number, client in clients.items():
            client.has_had(answers[number])
            server.update(client)
        server.expect_answers(list(clients.values()))


def _answers(
    visitors: dict[int, socket.socket], data: dict[int, bytes]
) -> dict[int, bytes]:
    """What each of VISITORS has got back of its DATA. Each is waited for, but only for
    a moment; after the first that falls short, the others are not."""
    answers, flags = {}, socket.MSG_WAITALL
    for number, visitor in visitors.items():
        answers[number] = b""
        with contextlib.suppress(OSError):
            answers[number] = visitor.recv(len(data[number]), flags)
        if len(answers[number]) < len(data[number]):
            flags = socket.MSG_DONTWAIT
    return answers


@contextlib.contextmanager
def _looked_after(
    server: Server, visitors: dict[int, socket.socket], connected: bool = True
) -> Iterator[dict[int, Client]]:
    """Keep VISITORS, which are CONNECTED or still connecting, in SERVER's loop as
    clients meanwhile."""
    clients = {
        number: server.take_in(visitor, f"client {number}", connected)
        for number, visitor in visitors.items()
    }
    yield clients
    for client in clients.values():
        server.let_go(client)
        client.sock.setblocking(True)
