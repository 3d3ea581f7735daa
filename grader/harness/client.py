"""A client of a server under test. It knows what it is due, and whether that came.

What is due depends on the protocol: subclasses define that (see ClientProtocol). The
one for echo servers is in echo.py.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from grader.harness.connection import Connection, Fault, Owner
from grader.harness.difference import around, first_difference
from grader.harness.failure import Failure
from grader.harness.finding import Finding
from grader.kernel import procfs
from grader.sandbox.program import Program
from grader.text import in_bytes, quote

# How many of the missing bytes are shown.
_QUOTED = 12

# How many of the bytes that came right are kept, to recognize them if they come again.
_REMEMBERED = 64 << 10


class Conversation(Owner, Protocol):
    """What a client needs from the session with its server."""

    program: Program
    connections: list[Connection]

    def wait(
        self,
        done: Callable[[], bool],
        message: str,
        *,
        what: str,
        expected: str = "",
        received: Callable[[], str] = str,
        awaited: list[Connection] | None = None,
    ) -> None:
        """Wait until DONE(). Raises Failure."""

    def failure(
        self, message: str, expected: str, received: str, *, what: str
    ) -> Failure:
        """A failure with the transcript so far."""

    def ports(self, connection: Connection) -> tuple[int, int]:
        """The ports of our end of a connection and of the program's."""

    def settle(self) -> bool:
        """Let the program come to rest."""


class ClientProtocol:
    """What is due to a client, and how to speak of that."""

    # What it is due, and what to say of bytes that are not due.
    wants, unasked_for = "its answer", "that are not due"

    def answer_to(self, data: bytes) -> bytes:
        """The bytes that are due next because DATA has been sent."""
        raise NotImplementedError

    def answer_to_end(self) -> bytes:
        """The bytes that are due because it has ended its side."""
        return b""

    def whole_answer(self, sent: int, due: int) -> str:
        """All that is due for what it has SENT, in words; DUE is how many bytes."""
        return in_bytes(due) if due else ""

    def likeness(self, due: bytes, data: bytes, before: bytes) -> Finding | None:
        """What DATA looks like, which came in place of what was DUE, after BEFORE; None
        if that cannot be told in this protocol."""
        return None


class Client(ClientProtocol, Connection):
    """A client that is due the answer to what it has sent, byte for byte, in order.

    may_be_cut says that the server may close the connection without fault.
    """

    session: Conversation

    def __init__(self, session: Conversation, sock: socket.socket, name: str) -> None:
        super().__init__(session, sock, name)
        self._due = bytearray()
        self._returned = bytearray()  # the last bytes that came back right
        self._fault: Fault | None = None
        self.may_be_cut = False

    def stream(self) -> bytes:
        """The last bytes that came right, and those that are due."""
        return bytes(self._returned[-_REMEMBERED:] + self._due)

    @property
    def due(self) -> int:
        """How many bytes are still to come, plus those still to be sent."""
        return len(self._due) + self.queued

    def _gone_out(self, count: int) -> None:
        self._due += self.answer_to(bytes(memoryview(self._queue)[:count]))
        super()._gone_out(count)

    def _came_in(self, data: bytes) -> None:
        super()._came_in(data)
        if self._due.startswith(data):
            del self._due[: len(data)]
            self._returned += data
            if len(self._returned) > 2 * _REMEMBERED:
                del self._returned[:-_REMEMBERED]
        elif not self._fault:
            self._fault = _difference(self, bytes(self._due[: len(data)]), data)

    def half_close(self) -> None:
        """See Connection."""
        super().half_close()
        self._due += self.answer_to_end()

    def has_sent(self, data: bytes) -> None:
        """Note that it sent DATA before it joined the loop."""
        self.sent += len(data)
        self._due += self.answer_to(data)

    def has_had(self, data: bytes) -> None:
        """Note that it received DATA before it joined the loop."""
        if data:
            self.received += len(data)
            self._came_in(data)

    def expect_answer(self) -> None:
        """Expect the answer to everything sent and queued."""
        self.session.wait(
            lambda: self.due == 0,
            f"{self.name} does not get {self.wants}",
            what="answer",
            expected=in_bytes(self.received + self.due),
            received=self._received,
            awaited=[self],
        )

    def _received(self) -> str:
        """What has come back, and what is missing."""
        missing = bytes(self._due[:_QUOTED]) or bytes(self._queue[:_QUOTED])
        more = "…" if self.due > len(missing) else ""
        begin = f'the missing ones begin with "{quote(missing)}{more}"'
        return f"{in_bytes(self.received)}; {begin}"

    def converse(self, data: bytes) -> None:
        """Send DATA, and expect the answer."""
        self.send(data)
        self.expect_answer()

    def finish_sending(self) -> None:
        """Half-close once the last queued byte has gone out."""
        self.session.wait(
            lambda: self.queued == 0,
            f"{self.name} cannot send all of its bytes",
            what="input",
            expected=f"{in_bytes(self.sent + self.queued)} to be taken",
            received=lambda: f"{in_bytes(self.sent)} taken",
            awaited=[self],
        )
        self.half_close()

    def expect_end(self) -> None:
        """Expect everything that is still due, then the server's close."""
        self.expect_answer()
        has_all = " and has all its bytes" if self.received else ""
        got = f"all {in_bytes(self.received)}, but no end" if self.received else "none"
        self.session.wait(
            lambda: self.ended != "",
            f"the server does not close the connection of {self.name}, "
            f"which has ended its side{has_all}",
            what="end",
            expected="the end of the connection",
            received=lambda: got,
            awaited=[self],
        )
        if self.ended != "end":
            raise self.session.failure(
                f"the server resets the connection of {self.name}, "
                "which has ended its side",
                "a clean end (FIN)",
                "a reset (RST), which tells the client that bytes may be lost",
                what="clean_end",
            )

    def note_due(self, finding: Finding) -> bool:
        """See Connection. Notes how many bytes are due, how many came, and the first
        one due."""
        if not self.due:
            return False
        finding.due, finding.came = self.due, self.received
        finding.first_due = self.first_due()
        return True

    def first_due(self) -> str:
        """The first byte that is due, or still to be sent, as C would write it."""
        return quote(bytes(self._due[:1] or self._queue[:1]))

    def forget_queue(self) -> int:
        """Drop what is still queued. Returns the number of bytes dropped."""
        count = len(self._queue)
        self._queue.clear()
        self.session.update(self)
        return count

    def hold_back(self) -> None:
        """Have the kernel keep what is sent until it can travel together with the
        end of the connection (tcp(7), TCP_CORK)."""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)

    def check(self) -> Fault | None:
        """See Connection."""
        if self._fault or not self.ended or self.closed or self.may_be_cut:
            return self._fault
        if self.ended == "reset" and not self.connected:
            return _refused(self)
        if self.due or not self.half_closed:
            return _hung_up(self)
        return None


def _difference(client: Client, due: bytes, data: bytes) -> Fault:
    """The fault that CLIENT got DATA instead of what was DUE: where they differ, and
    what DATA looks like."""
    at = first_difference(due, data)
    offset = client.received - len(data) + at
    facts = {"offset": offset, "all_came_before": at == len(due)}
    if at == len(due):
        facts["surplus"] = len(data) - at
        message = f"{client.name} got {in_bytes(len(data) - at)} {client.unasked_for}"
    else:
        message = f"{client.name} got a wrong byte, at offset {offset}"
    before = bytes(client._returned + data[:at])[-_REMEMBERED:]
    return Fault(
        message,
        around(due, at, offset),
        around(data, at, offset),
        client.likeness(bytes(client._due[at:]), data[at:], before),
        facts,
    )


def _hung_up(client: Client) -> Fault:
    """The fault that the server ended CLIENT's connection before it was over."""
    missing = client.due
    how = "reset" if client.ended == "reset" else "closed"
    message = f"the server {how} the connection of {client.name}"
    if missing:
        message += f", which still lacked {in_bytes(missing)}"
    elif not client.half_closed:
        message += ", which had not left"
    whole = client.whole_answer(client.sent, client.received + missing)
    stays = "" if client.half_closed else "an open connection"
    return Fault(
        message,
        ", and ".join(filter(None, [whole, stays])),
        f"{in_bytes(client.received)}, then the end",
        Finding(
            "hung_up",
            "The connection shows",
            due=missing,
            came=client.received,
            first_due=client.first_due() if missing else "",
            hung_up=how,
        ),
    )


def _refused(client: Client) -> Fault:
    """The fault that CLIENT could not connect to the server."""
    port = client.session.ports(client)[1]
    tasks = procfs.tasks(client.session.program.pid or 0)
    calls = [task.call.shown() for task in tasks if task.call]
    return Fault(
        f"{client.name} could not connect: nothing listens",
        "a connection: the kernel makes one for any listening socket",
        "the kernel refused it (RST)",
        Finding("refused", port=port, shown=min(calls, default="")),
    )
