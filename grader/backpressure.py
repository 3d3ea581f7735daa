"""Clients that send and do not read: how far they get, and what they are owed."""

from __future__ import annotations

import contextlib
import socket
import time

from grader import procfs, sockets
from grader.client import LOCALHOST, Client
from grader.scene import Scene
from grader.transcript import in_bytes

# What a client asks for as SO_RCVBUF to feel soon that it does not read.
SMALL_WINDOW = 4096

# A server that owes something may be at work for so many times as long as it takes to
# say that it does not rest, before it is looked at closely.
_HURRIED = 3


class Backpressure(Scene):
    """What a server under test can be put under by clients that do not read."""

    def flood(self, client: Client, data: bytes, limit: int) -> int:
        """Have CLIENT, which does not read, send DATA again and again until the
        server takes no more (or LIMIT bytes); how many bytes were sent.

        What the kernel did not take is given up, as if it had never been sent.
        """
        rests = True
        while client.sent < limit and not client.ended:
            client.send(data)
            while client.queued and self.pump(0.002):
                pass
            # One that never rests is not waited for, as long as it takes all.
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
        """Have CLIENT, which does not read, send PIECE again and again until the
        kernel has no room left for the answers, and the server just begins to owe
        some: no more than one PIECE (or until LIMIT bytes were sent)."""
        while client.sent < limit and not client.ended:
            client.send(piece)
            if client.queued or self._goes_on_owing(client):
                break
        client.forget_queue()
        self.check()
        total = f"{in_bytes(client.sent)} in all"
        self.note(client.name, f"has sent {total}: the answers wait")

    def _goes_on_owing(self, client: Client) -> bool:
        """Whether the server, left alone, still owes CLIENT something."""

        def owes_nothing() -> bool:
            return self.owed(client) <= 0

        end = time.monotonic() + _HURRIED * self.resting_seconds
        while not owes_nothing():
            tasks = procfs.tasks(self.program.pid or 0)
            # Whoever can go on does: it is no use to be sure before that is over.
            if all(task.state == "S" for task in tasks) or time.monotonic() > end:
                self.settle(owes_nothing)
                return not owes_nothing()
            self.pump(0.0005)
        return False

    def owed(self, client: Client) -> int:
        """How many bytes of CLIENT's the server has, unread or in its hands, and has
        not given back to the kernel."""
        # What has arrived is in both queues until it is acknowledged (tcp(7)).
        with contextlib.suppress(OSError):
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        ours, theirs = self._ends(client)
        on_their_way = sockets.queued(theirs, ours)[1] + sockets.queued(ours, theirs)[0]
        return client.sent - client.received - on_their_way

    def unread(self, client: Client) -> int:
        """How many bytes of CLIENT's have come to the server that it has not read."""
        ours, theirs = self._ends(client)
        return sockets.queued(theirs, ours)[0]

    def _ends(self, client: Client) -> tuple[sockets.End, sockets.End]:
        """Our end of CLIENT's connection, and the server's."""
        our_port, their_port = self.ports(client)
        return (client.address, our_port), (LOCALHOST, their_port)

    def sip(self, client: Client, count: int) -> None:
        """Have CLIENT, which does not read, read about COUNT bytes."""
        target = client.received + min(count, client.due - client.queued)
        client.read_again()
        self.wait(
            lambda: client.received >= target,
            f"{client.name} does not get its bytes back",
            expected=f"{target} bytes",
            received=lambda: f"{client.received} bytes",
            awaited=[client],
        )
        client.stop_reading()
