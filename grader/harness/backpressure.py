"""Clients that send but do not read: how far they get, and what goes unanswered."""

from __future__ import annotations

import contextlib
import socket
import time

from grader.harness.client import Client
from grader.harness.connection import LOCALHOST
from grader.harness.listening import Listening
from grader.kernel import procfs, sockets
from grader.text import in_bytes

# The SO_RCVBUF of a stalled reader: small, so that it fills up soon.
SMALL_WINDOW = 4096

# A server with unanswered bytes may work for this many times resting_seconds before we
# look at it closely.
_HURRIED = 3


class Backpressure(Listening):
    """A server under test whose clients can put it under pressure by not reading."""

    def flood(self, client: Client, data: bytes, limit: int) -> int:
        """Have CLIENT, a stalled reader, send DATA over and over until the server
        takes no more (or LIMIT bytes). Returns the number of bytes sent.

        What the kernel did not take is dropped, as if it had never been sent.
        """
        rests = True
        while client.sent < limit and not client.ended:
            client.send(data)
            while client.queued and self.pump(0.002):
                pass
            # Don't wait for a server that never rests, as long as it takes everything.
            if rests or client.queued:
                rests = self.settle()
            if client.queued:
                break
        client.forget_queue()
        self.check()
        total = f"{in_bytes(client.sent)} in all"
        more = "has sent enough" if client.sent >= limit else "can send no more"
        self.note(client.name, f"{more}: {total}")
        return client.sent

    def fill(self, client: Client, piece: bytes, limit: int) -> None:
        """Have CLIENT, a stalled reader, send PIECE over and over until the kernel has
        no room left for the answers (or LIMIT bytes were sent). The server has then
        only just begun to hold unanswered bytes: no more than one PIECE."""
        while client.sent < limit and not client.ended:
            client.send(piece)
            if client.queued or self._leaves_bytes_unanswered(client):
                break
        client.forget_queue()
        self.check()
        total = f"{in_bytes(client.sent)} in all"
        self.note(client.name, f"has sent {total}: the answers wait")

    def _leaves_bytes_unanswered(self, client: Client) -> bool:
        """Whether the server, left alone, still has unanswered bytes of CLIENT's."""

        def all_is_answered() -> bool:
            return self.unanswered_bytes(client) <= 0

        end = time.monotonic() + _HURRIED * self.resting_seconds
        while not all_is_answered():
            tasks = procfs.tasks(self.program.pid or 0)
            # A thread that runs may still answer, so wait until all of them sleep.
            if all(task.state == "S" for task in tasks) or time.monotonic() > end:
                self.settle(all_is_answered)
                return not all_is_answered()
            self.pump(0.0005)
        return False

    def unanswered_bytes(self, client: Client) -> int:
        """How many of CLIENT's bytes the server has, unread or read, and has not
        given back to the kernel."""
        # Bytes that have arrived are in both queues until acknowledged (tcp(7)).
        with contextlib.suppress(OSError):
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        ours, theirs = self._ends(client)
        on_their_way = sockets.queued(theirs, ours)[1] + sockets.queued(ours, theirs)[0]
        return client.sent - client.received - on_their_way

    def unread(self, client: Client) -> int:
        """How many of CLIENT's bytes have reached the server and are still unread."""
        ours, theirs = self._ends(client)
        return sockets.queued(theirs, ours)[0]

    def _ends(self, client: Client) -> tuple[sockets.End, sockets.End]:
        """Our end of CLIENT's connection, and the server's."""
        our_port, their_port = self.ports(client)
        return (client.address, our_port), (LOCALHOST, their_port)

    def sip(self, client: Client, count: int) -> None:
        """Have CLIENT, a stalled reader, read about COUNT bytes."""
        target = client.received + min(count, client.due - client.queued)
        client.read_again()
        self.wait(
            lambda: client.received >= target,
            f"{client.name} does not get its bytes back",
            what="answer",
            expected=f"{target} bytes",
            received=lambda: f"{client.received} bytes",
            awaited=[client],
        )
        client.stop_reading()
