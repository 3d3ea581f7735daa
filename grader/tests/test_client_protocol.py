"""A client whose protocol is not that of an echo server: what it is due comes at the
end, and is told in words that fit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.harness.client import Client
from grader.harness.failure import Failure
from grader.harness.ports import free_port
from grader.harness.server import Server
from grader.sandbox.program import Program

# A server that counts what it gets, and then sends ANSWER.
COUNTS = """
import socket, sys
with socket.create_server(("", int(sys.argv[1]))) as listener:
    while True:
        peer, _ = listener.accept()
        with peer:
            count = 0
            while data := peer.recv(4096):
                count += len(data)
            peer.sendall(ANSWER)
"""


class Counted(Client):
    """A client that is due the number of its bytes, as a line, when it has sent all."""

    _count = 0

    def answer_to(self, data: bytes) -> bytes:
        """See ClientProtocol."""
        self._count += len(data)
        return b""

    def answer_to_end(self) -> bytes:
        """See ClientProtocol."""
        return b"%d\n" % self._count


@contextlib.contextmanager
def _server(answer: str) -> Iterator[Server]:
    port = free_port()
    script = COUNTS.replace("ANSWER", answer)
    program = Program(Path("/usr/bin/python3"), ["-c", script, str(port)])
    server = Server(program, port, Counted)
    try:
        server.expect_listening()
        yield server
    finally:
        server.close()


def _say_all(server: Server) -> None:
    client = server.connect("a client")
    client.send(b"hello")
    client.finish_sending()
    client.expect_end()


def test_what_is_due_at_the_end_is_waited_for() -> None:
    with _server('b"%d\\n" % count') as server:
        for _ in range(2):
            _say_all(server)


@pytest.mark.parametrize(
    "answer, message, expected",
    [
        ('b"Five\\n"', "a client got a wrong byte, at offset 0", "5\\n\n^ offset 0"),
        (
            'b""',
            "the server closed the connection of a client, which still lacked 2 bytes",
            "2 bytes",
        ),
    ],
)
def test_what_is_wrong_is_told_without_a_word_of_echoes(
    answer: str, message: str, expected: str
) -> None:
    with _server(answer) as server, pytest.raises(Failure) as failed:
        _say_all(server)
    failure = failed.value
    assert (failure.message, failure.expected) == (message, expected)
    assert failure.finding is None or not failure.finding.likeness
