"""Clients that send and do not read, and how many bytes it takes for that to matter."""

from __future__ import annotations

from grader.harness.backpressure import SMALL_WINDOW
from grader.harness.client import Client
from grader.harness.server import Server

MIB = 1 << 20

# More than the kernel's buffers take on any machine. A server that keeps nothing itself
# stops taking bytes long before this.
FLOOD = 64 * MIB

# Few enough bytes at a time to leave room for more in a server's buffer, unless that is
# tiny.
PIECE = 4000


def stalled_reader(server: Server, name: str = "the stalled client") -> Client:
    """A client that does not read, with a small receive buffer."""
    stalled = server.connect(name, SMALL_WINDOW)
    server.expect_accepted()
    stalled.stop_reading()
    return stalled
