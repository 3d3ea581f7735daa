"""One end of a connection to the program, and its part of the transcript.

A connection never waits by itself: it queues what it cannot send yet, and its event
loop moves it on (event_loop.py).
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass, field
from typing import Any, Protocol

from grader.harness.circumstances import Circumstances
from grader.harness.finding import Finding

# 127.0.0.1, as a number.
LOCALHOST = 0x7F000001

_PIECE = 256 << 10

# A struct linger: with it, close() sends RST (socket(7), SO_LINGER).
BREAK_OFF = struct.pack("ii", 1, 0)

# Received bytes go here first: memory that is always there. Asking for this much, and
# giving most of it back, takes longer than receiving a line.
_ROOM = bytearray(_PIECE)


# How a transcript describes an error that broke a connection; all others are resets.
_BREAKS = {
    errno.ECONNREFUSED: "is refused: nothing listens",
    errno.EPIPE: "cannot send: closed",
}


@dataclass(frozen=True)
class Fault:
    """What is wrong with a connection: see Session.failure, and Circumstances for
    FACTS."""

    message: str
    expected: str = ""
    received: str = ""
    finding: Finding | None = None
    facts: dict[str, Any] = field(default_factory=dict)


class Owner(Protocol):
    """What a connection needs from its session."""

    circumstances: Circumstances

    def note(self, who: str, does: str, data: bytes = b"", count: int = 0) -> None:
        """Remember that WHO DOES something."""

    def update(self, connection: Connection) -> None:
        """Watch for what a connection wants now."""


class Connection:
    """A non-blocking socket of ours, with a queue of what is still to be sent.

    ended says how the other side closed: "" (not yet), "end" or "reset".
    """

    verb = "sends"
    address = LOCALHOST  # IPv4, of our end

    def __init__(self, session: Owner, sock: socket.socket, name: str) -> None:
        sock.setblocking(False)
        self.session = session
        self.sock = sock
        self.name = name
        self.connected = False
        self.reading = True
        self.half_closed = False
        self.closed = False
        self.ended = ""
        self.sent = 0
        self.received = 0
        self._queue = bytearray()

    @property
    def queued(self) -> int:
        """Bytes that the kernel has not taken from us yet."""
        return len(self._queue)

    def wants_read(self) -> bool:
        """Whether to move it on when something has come."""
        return self.reading and self.connected and not (self.ended or self.closed)

    def wants_write(self) -> bool:
        """Whether to move it on when there is room to send."""
        return not self.closed and (not self.connected or bool(self._queue))

    def push(self) -> bool:
        """Send what the kernel takes. Returns whether anything moved."""
        moved = False
        if not self.connected:
            try:
                self.connected = moved = _is_connected(self.sock)
            except OSError as error:
                self._cut(error)
                return True
        while self._queue and self.connected and not self.closed:
            try:
                with memoryview(self._queue) as view, view[:_PIECE] as piece:
                    count = self._write(piece)
            except BlockingIOError:
                break
            except OSError as error:
                self._cut(error)
                return True
            self._gone_out(count)
            moved = True
        return moved

    def _write(self, piece: memoryview) -> int:
        return self.sock.send(piece)

    def pull(self) -> bool:
        """Receive what is there, up to one piece. Returns whether anything moved."""
        try:
            count = self.sock.recv_into(_ROOM)
        except BlockingIOError:
            return False
        except OSError as error:
            self._cut(error)
            return True
        if count:
            self.received += count
            self._came_in(bytes(memoryview(_ROOM)[:count]))
        else:
            self.ended = "end"
            self.session.note(self.name, "sees the other side close")
        return True

    def _gone_out(self, count: int) -> None:
        self.sent += count
        begin = bytes(self._queue[: min(count, 64)])
        self.session.note(self.name, self.verb, begin, count)
        del self._queue[:count]

    def _came_in(self, data: bytes) -> None:
        self.session.note(self.name, "receives", data[:64], len(data))

    def _cut(self, error: OSError) -> None:
        """Note that the connection broke while we were using it."""
        self.ended = "reset"
        self._queue.clear()
        does = _BREAKS.get(error.errno or 0, "finds its connection reset")
        self.session.note(self.name, does)

    def note_due(self, finding: Finding) -> bool:
        """Put down in FINDING what is still due to it. Returns whether anything is."""
        return False

    def check(self) -> Fault | None:
        """What is wrong, if anything is."""
        return None

    def send(self, data: bytes) -> None:
        """Send as much of DATA as goes without waiting, and queue the rest."""
        self._queue += data
        if self.connected:
            self.push()
        self.session.update(self)

    def half_close(self) -> None:
        """Say that no more will be sent (shutdown(2), SHUT_WR)."""
        self.half_closed = True
        self._leave("half-closes: it sends no more")
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._cut(error)

    def stop_reading(self) -> None:
        """From now on, leave what comes in the kernel."""
        self.reading = False
        self.session.note(self.name, "stops reading")
        self.session.update(self)

    def read_again(self) -> None:
        """Start reading again."""
        self.reading = True
        self.session.note(self.name, "begins to read again")
        self.session.update(self)

    def close(self) -> None:
        """Close, as a program does when it is done."""
        if not self.closed:
            self._leave("closes")
            self._close()

    def reset(self) -> None:
        """Break off: the kernel sends RST instead of FIN."""
        self._leave("resets its connection (RST)")
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, BREAK_OFF)
        self._close()

    def _leave(self, how: str) -> None:
        self.session.circumstances.someone_left = True
        self.session.note(self.name, how)

    def _close(self) -> None:
        self.closed = True
        self.session.update(self)
        self.sock.close()


def _is_connected(sock: socket.socket) -> bool:
    """Whether SOCK, which has begun to connect, is connected. Raises OSError if it
    never will be."""
    if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(error, "connect")
    try:
        sock.getpeername()
    except OSError:
        return False
    return True
