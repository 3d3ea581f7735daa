"""Thousands of clients, one after the other, that come, are served, and leave.

Nothing of them is kept, so that ten thousand take a second. Where one does not get
what it is due, it is handed to the server's loop, which waits, looks, and judges as
it does with any other client.
"""

from __future__ import annotations

import contextlib
import socket
import struct

from grader.client import Client
from grader.guard import CROWD
from grader.server import Server, crowd_size

# So many of them are there at once, if the backlog has room for them: no more than any
# server takes; or a whole crowd, where the kernel holds each answer back for a while.
_TOGETHER = 50

# How long an answer may take before the loop looks after it: half a second, as a struct
# timeval (socket(7), SO_RCVTIMEO). No judgement.
_A_GLANCE = struct.pack("@ll", 0, 500_000)

_BREAK_OFF = struct.pack("ii", 1, 0)  # socket(7), SO_LINGER: close() sends RST


def come_and_go(server: Server, count: int, data: bytes, before: int = 0) -> None:
    """Have COUNT clients come to SERVER, each send DATA, get it back, and leave, one
    in five by a reset. BEFORE them there were so many, by which they are named. Raises
    Failure."""
    server.note(f"clients {before + 1} to {before + count}", "come, speak, and leave")
    at_once = crowd_size(CROWD) if server.held_back else _TOGETHER
    while count > 0:
        together = min(count, server.backlog + 1, at_once)
        visitors = [_come(server, data) for _ in range(together)]
        answers = _answers(visitors, len(data))
        if all(answer == data for answer in answers):
            _leave(visitors)
        else:
            _look_after(server, visitors, data, answers, before)
        before += together
        count -= together


def _come(server: Server, data: bytes) -> socket.socket:
    """A socket of ours that is connected to SERVER, and has sent DATA."""
    visitor = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    visitor.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _A_GLANCE)
    try:
        visitor.connect(("127.0.0.1", server.port))
    except OSError as error:
        server.connect("a client")  # the loop says why, if it finds out
        raise server.failure(f"a client cannot connect: {error}") from None
    with contextlib.suppress(OSError):  # no answer will come, and that is seen
        visitor.send(data)
    return visitor


def _answers(visitors: list[socket.socket], count: int) -> list[bytes]:
    """What has come back to each of VISITORS of COUNT bytes: when all have, or not for
    a moment; the others are not waited for then."""
    answers = []
    for visitor in visitors:
        answer = b""
        with contextlib.suppress(OSError):
            answer = visitor.recv(count, socket.MSG_WAITALL)
        if len(answer) < count:
            for other in visitors:
                other.setblocking(False)
        answers.append(answer)
    return answers


def _leave(visitors: list[socket.socket]) -> None:
    for number, visitor in enumerate(visitors):
        if number % 5 == 0:
            visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _BREAK_OFF)
        visitor.close()


def _look_after(
    server: Server,
    visitors: list[socket.socket],
    data: bytes,
    answers: list[bytes],
    before: int,
) -> None:
    """Expect each of VISITORS, who have sent DATA, to get the rest of their ANSWERS as
    any client does, and have them leave. Raises Failure."""
    clients = []
    for number, (visitor, answer) in enumerate(zip(visitors, answers), before + 1):
        client = Client(server, visitor, f"client {number}")
        client.has_had(data, answer)
        server.take_in(client)
        clients.append(client)
    server.expect_echoes(clients)
    for client in clients:
        client.close()
    server.forget_closed()
