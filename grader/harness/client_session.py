"""A client under test, run against our own server, which does what a check says.

    session = connect()                      # the client, told where we listen
    session.types(b"Hello!\\n")
    server = session.expect_connection()
    server.expect(b"Hello!\\n")
    server.send(b"Hello!\\n")
    session.ends_input()
    session.expect_printed(b"Hello!\\n")
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable

from grader.harness import post_mortem
from grader.harness.connection import Connection, Fault
from grader.harness.difference import around, first_difference, likeness
from grader.harness.finding import Finding
from grader.harness.ports import free_port
from grader.harness.session import Session
from grader.sandbox.program import Program
from grader.text import in_bytes, quote


# How many bytes beyond those typed a client may send and still have them shown. Small
# enough that a client that sends a short line without end gets there in seconds.
UNTYPED = 1 << 18


class Keyboard(Connection):
    """The client's standard input: a pipe that we write into."""

    verb = "types"

    def __init__(self, session: Session) -> None:
        self.their_end, ours = os.pipe()
        os.set_blocking(ours, False)
        super().__init__(session, _Pipe(ours), "the user")  # type: ignore
        self.connected = True
        self.reading = False
        self._ending = False

    def _write(self, piece: memoryview) -> int:
        return os.write(self.sock.fileno(), piece)

    def end(self) -> None:
        """End the input once everything typed has gone in."""
        self._ending = True
        if not self.queued and not self.closed:
            self.session.note(self.name, "ends the input")
            self._close()

    def push(self) -> bool:
        """See Connection."""
        moved = super().push()
        if self._ending:
            self.end()
        return moved


class _Pipe:
    """The part of a socket that a Connection uses to write and to close."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def setblocking(self, _: bool) -> None:
        """Do nothing: the pipe is non-blocking already."""

    def close(self) -> None:
        os.close(self._fd)


class ScriptedServer(Connection):
    """Our server's end of the client's connection.

    What comes is kept in taken and, if echoes is set, sent back at once.
    """

    def __init__(
        self, session: ClientSession, sock: socket.socket, echoes: bool
    ) -> None:
        super().__init__(session, sock, "the server")
        self.session: ClientSession
        self.connected = True
        self.echoes = echoes
        self.taken = bytearray()
        self._awaited = b""

    def _came_in(self, data: bytes) -> None:
        super()._came_in(data)
        self.taken += data
        if self.echoes:
            self.send(data)

    def pull(self) -> bool:
        """See Connection. Once the client has ended its side, we end ours: it may be
        waiting for that before it closes."""
        moved = super().pull()
        if self.ended == "end" and not self.queued and not self.half_closed:
            self.half_close()
        return moved

    def check(self) -> Fault | None:
        """See Connection. Finds a client that sends without end."""
        if self.received <= self.session.typed + UNTYPED:
            return None
        return Fault(
            "the client sends more than the user has typed",
            f"at most {in_bytes(self.session.typed)}",
            f"{in_bytes(self.received)} so far",
            facts={"what": "no_more_than_typed"},
        )

    def expect(self, data: bytes) -> None:
        """Expect exactly DATA to come from the client."""
        self._await(data)
        compare(
            self.session,
            "input",
            "the client does not send exactly what was typed",
            data,
            self.taken,
        )
        self.taken.clear()

    def expect_alone(self, data: bytes) -> None:
        """Expect DATA, and nothing after it until it has been answered."""
        self._await(data)
        self.session.settle()
        if self.taken.startswith(data):
            self.expect_nothing_after(data, self.taken[len(data) :])
        self.expect(data)

    def expect_nothing_after(self, data: bytes, more: bytes | bytearray) -> None:
        """Expect MORE, which came after DATA and is not due yet, to be empty."""
        if more:
            raise self.session.failure(
                "the client sends the next line before it has its answer",
                f"{in_bytes(len(data))}, and no more before the answer",
                f"{in_bytes(len(more))} more than that",
                what="nothing_more",
            )

    def _received(self, data: bytes) -> str:
        """How much of DATA has come, in words."""
        at = first_difference(data, self.taken)
        if at == len(self.taken):
            begin = quote(data[at : at + 12])
            return f'{in_bytes(at)}; the missing ones begin with "{begin}…"'
        return f"{in_bytes(len(self.taken))}, but wrong ones from offset {at} on"

    def note_due(self, finding: Finding) -> bool:
        """See Connection. Notes how many bytes came, and whether they are wrong."""
        at = first_difference(self._awaited, self.taken)
        finding.came, finding.displaced = len(self.taken), at < len(self.taken)
        return True

    def _await(self, data: bytes) -> None:
        self._awaited = data
        self.session.wait(
            lambda: len(self.taken) >= len(data) or self.ended != "",
            "the client does not send what was typed",
            what="input",
            expected=f"{in_bytes(len(data))}; the answer comes after the last one",
            received=lambda: self._received(data),
            awaited=[self],
        )


class ClientSession(Session):
    """One run of the client, and our server.

    Our server listens on HOST and PORT (0 for a free one) unless LISTENS is false. The
    client's arguments are HOST and PORT, unless ARGUMENTS are given.
    """

    def __init__(
        self,
        run: Callable[..., Program],
        *,
        arguments: tuple[str, ...] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        listens: bool = True,
        window: int = 0,
    ) -> None:
        self.server_port = port or free_port(host)
        self._host = host
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if window:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self._listener.setblocking(False)
        if listens:
            self._listener.bind((host, self.server_port))
            self._listener.listen(8)
        self._ports: dict[Connection, int] = {}
        self._keyboard = Keyboard(self)
        if arguments is None:
            arguments = (host, str(self.server_port))
        program = run(*arguments, stdin=self._keyboard.their_end)
        os.close(self._keyboard.their_end)
        super().__init__(program)
        self.add(self._keyboard)

    def ports(self, connection: Connection) -> tuple[int, int]:
        """See Session."""
        return self.server_port, self._ports.get(connection, 0)

    def expect_connection(self, echoes: bool = False) -> ScriptedServer:
        """Expect the client to connect. Returns our end of the connection."""
        accepted: list[tuple[socket.socket, int]] = []

        def done() -> bool:
            try:
                sock, address = self._listener.accept()
            except BlockingIOError:
                return bool(accepted)
            accepted.append((sock, address[1]))
            return True

        where = f"{self._host} port {self.server_port}"
        self.wait(
            done,
            f"the client does not connect to {where}",
            what="connection",
            expected=f"a connection to {where}",
            received=lambda: "none",
        )
        sock, port = accepted[0]
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = ScriptedServer(self, sock, echoes)
        peer.address = int(ipaddress.IPv4Address(self._host))
        self._ports[peer] = port
        self.note("the client", f"connects to {where}")
        self.add(peer)
        return peer

    @property
    def typed(self) -> int:
        """How many bytes have been typed so far."""
        return self._keyboard.sent + self._keyboard.queued

    def types(self, data: bytes) -> None:
        """Write DATA to the client's standard input."""
        self._keyboard.send(data)

    def ends_input(self) -> None:
        """End the client's standard input once everything typed has gone in."""
        self._keyboard.end()

    def expect_exit(self, status: int, after: str) -> None:
        """Expect the client to exit with STATUS AFTER something, and with an [ERROR]
        line if STATUS is not 0."""
        expected = f"the client to exit with status {status}"
        expected += " and an [ERROR] line on standard error" if status else ""
        self.wait(
            self.program.ended,
            f"the client does not exit {after}",
            what="exit",
            expected=expected,
            received=lambda: "it is still running",
            awaited=self.connections[1:],
        )
        self.program.all_output_read()
        errors = self.program.errors.text().splitlines()
        marked = any(line.startswith("[ERROR]") for line in errors)
        self.circumstances.has_exited = (self.program.status() or 0) >= 0
        if self.program.status() != status or (status and not marked):
            lacks = (
                ""
                if marked or not status
                else f", {post_mortem.error_lines(self.program, self.circumstances)}"
            )
            raise self.failure(
                f"the client does not exit correctly {after}",
                expected,
                f"it {self.program.ending()}{lacks}",
                what="exit",
            )

    def expect_printed(self, data: bytes) -> None:
        """Expect the client to exit with status 0, and to have printed exactly DATA on
        its standard output."""
        self.expect_exit(0, "at the end of its input")
        printed = self.program.output.bytes()
        compare(
            self,
            "output",
            "the client does not print exactly what the server sent",
            data,
            printed,
        )

    def close(self) -> None:
        """See Session."""
        self._listener.close()
        super().close()


def compare(
    session: Session, what: str, message: str, expected: bytes, got: bytes
) -> None:
    """Raise Failure unless EXPECTED and GOT are the same bytes. WHAT is "input" for
    what the client sends, and "output" for what it prints."""
    if expected == got:
        return
    at = first_difference(expected, got)
    more = len(got) - len(expected)
    seen = session.circumstances
    seen.offset, seen.surplus = at, more
    seen.all_came_before = at == min(len(expected), len(got))
    if seen.all_came_before:
        message += f": {_amiss(more)}"
    else:
        message += f", from offset {at} on"
        if more:
            message += f"; {_amiss(more)} in all"
    alike = likeness(expected[at:], bytes(got[at:]), expected[:at], {})
    due, came = around(expected, at, at), around(got, at, at)
    raise session.failure(message, due, came, alike, what)


def _amiss(more: int) -> str:
    """MORE bytes too many, or too few if it is negative, in words."""
    return f"{in_bytes(abs(more))} too {'many' if more > 0 else 'few'}"
