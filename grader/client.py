"""One end of a connection to the program, and its part of the story.

A client never waits by itself: what it cannot send yet is queued, and the
scene that it belongs to moves it on (see scene.py).
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

from grader import procfs
from grader.difference import around, likeness, parting
from grader.failure import Finding
from grader.transcript import in_bytes, quote

if TYPE_CHECKING:
    from grader.scene import Scene

# 127.0.0.1, as a number.
LOCALHOST = 0x7F000001

_PIECE = 256 << 10

# Where received bytes are put first: memory that is always there. To ask for so much,
# and give most of it back, takes longer than to receive a line.
_ROOM = bytearray(_PIECE)

# Bytes that are shown of those that are missing.
_QUOTED = 12

# How much of what came back is kept, to know it again when it comes once more.
_REMEMBERED = 64 << 10


class Fault(NamedTuple):
    """What is wrong with a connection: see failure.Failure."""

    message: str
    expected: str = ""
    received: str = ""
    finding: Finding | None = None


class Connection:
    """A socket of ours, non-blocking, with a queue of what is still to be sent.

    address is the IPv4 address of our end, as a number; received counts the bytes that
    came; ended says how the other side closed: "" (not yet), "end" (it sent its last
    byte) or "reset".
    """

    verb = "sends"
    address = LOCALHOST

    def __init__(self, scene: Scene, sock: socket.socket, name: str) -> None:
        sock.setblocking(False)
        self.scene = scene
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
        """Whether it is to be moved on when something has come."""
        return self.reading and self.connected and not (self.ended or self.closed)

    def wants_write(self) -> bool:
        """Whether it is to be moved on when there is room to send."""
        return not self.closed and (not self.connected or bool(self._queue))

    def push(self) -> bool:
        """Send what the kernel takes; whether anything moved."""
        moved = False
        if not self.connected:
            error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self._cut(ConnectionError(error, "connect"))
                return True
            try:
                self.sock.getpeername()
            except OSError:
                return False
            self.connected = moved = True
        while self._queue and not self.closed:
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
        """Receive what is there, up to a piece; whether anything moved."""
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
            self.scene.note(self.name, "sees the other side close")
        return True

    def _gone_out(self, count: int) -> None:
        self.sent += count
        self.scene.note(
            self.name, self.verb, bytes(self._queue[: min(count, 64)]), count
        )
        del self._queue[:count]

    def _came_in(self, data: bytes) -> None:
        self.scene.note(self.name, "receives", data[:64], len(data))

    def _cut(self, error: OSError) -> None:
        """The connection broke while we were using it."""
        self.ended = "reset"
        self._queue.clear()
        what = {111: "is refused: nobody listens", 32: "cannot send: closed"}
        self.scene.note(
            self.name, what.get(error.errno or 0, "finds its connection reset")
        )

    def lacks(self) -> dict[str, object]:
        """What is still due to it, for programs; nothing, if nothing is."""
        return {}

    def check(self) -> Fault | None:
        """What is wrong, if anything is."""
        return None

    def send(self, data: bytes) -> None:
        """Send DATA, as much as goes without waiting; the rest is queued."""
        self._queue += data
        if self.connected:
            self.push()
        self.scene.update(self)

    def forget_queue(self) -> int:
        """Give up sending what is still queued: how many bytes that was."""
        count = len(self._queue)
        self._queue.clear()
        self.scene.update(self)
        return count

    def half_close(self) -> None:
        """Say that no more will be sent (shutdown(2), SHUT_WR)."""
        self.half_closed = True
        self.scene.note(self.name, "half-closes: it sends no more")
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._cut(error)

    def stop_reading(self) -> None:
        """From now on leave in the kernel what comes."""
        self.reading = False
        self.scene.note(self.name, "stops reading")
        self.scene.update(self)

    def read_again(self) -> None:
        """Take what comes again."""
        self.reading = True
        self.scene.note(self.name, "begins to read again")
        self.scene.update(self)

    def close(self) -> None:
        """Close, as a program does that is done."""
        if not self.closed:
            self.scene.note(self.name, "closes")
            self._close()

    def hold_back(self) -> None:
        """Have the kernel keep what is sent, so that it travels together with the
        end that follows (tcp(7), TCP_CORK)."""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)

    def reset(self) -> None:
        """Break off: the kernel sends RST in place of FIN (socket(7), SO_LINGER)."""
        self.scene.note(self.name, "breaks off (RST)")
        linger = struct.pack("ii", 1, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._close()

    def _close(self) -> None:
        self.closed = True
        self.scene.update(self)
        self.sock.close()


class Client(Connection):
    """A client of an echo server: each byte that it sends is due back, in order.

    may_be_cut says that it is no fault if the server closes the connection.
    """

    def __init__(self, scene: Scene, sock: socket.socket, name: str) -> None:
        super().__init__(scene, sock, name)
        self._due = bytearray()
        self._returned = bytearray()  # the last bytes that came back rightly
        self._fault: Fault | None = None
        self.may_be_cut = False

    @property
    def due(self) -> int:
        """Bytes that are still to come back, sent by now or queued."""
        return len(self._due) + self.queued

    def _gone_out(self, count: int) -> None:
        with memoryview(self._queue) as queue:
            self._due += queue[:count]
        super()._gone_out(count)

    def _came_in(self, data: bytes) -> None:
        super()._came_in(data)
        if self._due.startswith(data):
            del self._due[: len(data)]
            self._returned += data
            if len(self._returned) > 2 * _REMEMBERED:
                del self._returned[:-_REMEMBERED]
        elif not self._fault:
            self._differ(bytes(self._due[: len(data)]), data)

    def _differ(self, due: bytes, data: bytes) -> None:
        """Say where what came parts from what was due."""
        at = parting(due, data)
        offset = self.received - len(data) + at
        if at == len(due):
            message = f"{self.name} got {in_bytes(len(data) - at)} that it never sent"
        else:
            message = f"{self.name} got a wrong byte, at offset {offset}"
        before = bytes(self._returned + data[:at])[-_REMEMBERED:]
        others = {
            other.name: bytes(other._returned[-_REMEMBERED:] + other._due)
            for other in self.scene.connections
            if isinstance(other, Client) and other is not self
        }
        self._fault = Fault(
            message,
            around(due, at, offset),
            around(data, at, offset),
            likeness(bytes(self._due[at:]), data[at:], before, others),
        )

    def has_sent(self, data: bytes) -> None:
        """It has sent DATA before it was looked after."""
        self.sent += len(data)
        self._due += data

    def has_had(self, data: bytes) -> None:
        """It has received DATA before it was looked after."""
        if data:
            self.received += len(data)
            self._came_in(data)

    def expect_echo(self) -> None:
        """Expect all that was sent, and is queued, to come back."""
        self.scene.wait(
            lambda: self.due == 0,
            f"{self.name} does not get its bytes back",
            expected=in_bytes(self.received + self.due),
            received=self._received,
            awaited=[self],
        )

    def _received(self) -> str:
        """What has come back, and what has not."""
        missing = bytes(self._due[:_QUOTED]) or bytes(self._queue[:_QUOTED])
        more = "…" if self.due > len(missing) else ""
        begin = f'the missing ones begin with "{quote(missing)}{more}"'
        return f"{in_bytes(self.received)}; {begin}"

    def converse(self, data: bytes) -> None:
        """Send DATA, and expect it back."""
        self.send(data)
        self.expect_echo()

    def finish_sending(self) -> None:
        """Half-close when the last byte that is queued has gone out."""
        self.scene.wait(
            lambda: self.queued == 0,
            f"{self.name} cannot send all of its bytes",
            expected=f"{in_bytes(self.sent + self.queued)} to be taken",
            received=lambda: f"{in_bytes(self.sent)} taken",
            awaited=[self],
        )
        self.half_close()

    def expect_end(self) -> None:
        """Expect everything that is still due, and then the server's close."""
        self.expect_echo()
        self.scene.wait(
            lambda: self.ended != "",
            f"the server does not close the connection of {self.name}, "
            "which has ended its side and has got all its bytes",
            expected="the end of the connection",
            received=lambda: f"all {in_bytes(self.received)}, and no end",
            awaited=[self],
        )
        if self.ended != "end":
            raise self.scene.failure(
                f"the server breaks off the connection of {self.name}, "
                "which has ended its side",
                "a clean end (FIN)",
                "a reset (RST), which tells the client that bytes may be lost",
            )

    def lacks(self) -> dict[str, object]:
        """See Connection: how many bytes, after how many that came, and the first."""
        if not self.due:
            return {}
        first = bytes(self._due[:1] or self._queue[:1])
        return {"due": self.due, "came": self.received, "first_due": quote(first)}

    def _hung_up(self) -> Finding:
        """What there is to see of a connection that the server has ended."""
        says = f"its end came when {in_bytes(self.received)} had come back"
        if self.due:
            first = quote(bytes(self._due[:1] or self._queue[:1]))
            says += f'; the next one due was "{first}"'
        return Finding("hung_up", says, self.lacks(), "The connection shows")

    def _refused(self) -> Finding:
        """What there is to see of a server that a client could not connect to."""
        port = self.scene.ports(self)[1]
        tasks = procfs.tasks(self.scene.program.pid or 0)
        calls = [task.call.shown() for task in tasks if task.call]
        says = f"nothing listens on port {port}"
        says += f", and the program sleeps in {min(calls)}" if calls else ""
        return Finding("refused", says)

    def check(self) -> Fault | None:
        """See Connection."""
        if self._fault or not self.ended or self.closed or self.may_be_cut:
            return self._fault
        if self.ended == "reset" and not self.connected:
            return Fault(
                f"{self.name} could not connect: nobody listens",
                "a connection, which is the kernel's doing where somebody listens",
                "it is refused (RST)",
                self._refused(),
            )
        missing = self.due
        if missing or not self.half_closed:
            how = "reset" if self.ended == "reset" else "closed"
            message = f"the server {how} the connection of {self.name}"
            if missing:
                message += f", which still had {in_bytes(missing)} to get"
            elif not self.half_closed:
                message += ", which had not left"
            expected = [f"{in_bytes(self.sent)} back"] if self.sent else []
            expected += [] if self.half_closed else ["an open connection"]
            got = f"{in_bytes(self.received)}, then the end"
            return Fault(message, ", and ".join(expected), got, self._hung_up())
        return None
