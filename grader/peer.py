"""Stage 2's client, run against a server of ours that does what a check says.

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

from grader.client import Connection, Fault
from grader.difference import around, likeness, parting
from grader.program import Program
from grader.scene import Scene, free_port
from grader.transcript import in_bytes, quote


# What is sent beyond all that was typed is shown, as much as this of it: in bytes.
UNTYPED = 1 << 20


class Keyboard(Connection):
    """The client's standard input: a pipe that we write into."""

    verb = "types"

    def __init__(self, scene: Scene) -> None:
        self.their_end, ours = os.pipe()
        os.set_blocking(ours, False)
        super().__init__(scene, _Pipe(ours), "somebody")  # type: ignore
        self.connected = True
        self.reading = False
        self._ending = False

    def _write(self, piece: memoryview) -> int:
        return os.write(self.sock.fileno(), piece)

    def end(self) -> None:
        """End the input, as soon as all that was typed has gone in."""
        self._ending = True
        if not self.queued and not self.closed:
            self.scene.note(self.name, "ends the input")
            self._close()

    def push(self) -> bool:
        """See Connection."""
        moved = super().push()
        if self._ending:
            self.end()
        return moved


class _Pipe:
    """As much of a socket as a Connection uses to write and to close."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def setblocking(self, _: bool) -> None:
        """It is set already."""

    def close(self) -> None:
        os.close(self._fd)


class Peer(Connection):
    """Our server's end of the client's connection.

    What comes is kept in taken, or with echoes set, sent back at once.
    """

    def __init__(self, scene: Session, sock: socket.socket, echoes: bool) -> None:
        super().__init__(scene, sock, "the server")
        self.scene: Session
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
        """See Connection. When the client has ended its side we end ours, as stage 1's
        server does: a client may wait for that before it closes."""
        moved = super().pull()
        if self.ended == "end" and not self.queued and not self.half_closed:
            self.half_close()
        return moved

    def check(self) -> Fault | None:
        """See Connection: a client that sends without end."""
        if self.received <= self.scene.typed + UNTYPED:
            return None
        return Fault(
            "the client sends what nobody has typed",
            f"{in_bytes(self.scene.typed)} at the most",
            f"{in_bytes(self.received)} by now",
        )

    def expect(self, data: bytes) -> None:
        """Expect DATA, and not a byte of anything else, to come from the client."""
        self._await(data)
        compare(self.scene, "the client sends something else", data, self.taken)
        self.taken.clear()

    def expect_alone(self, data: bytes) -> None:
        """Expect DATA, and nothing that follows it before it has been answered."""
        self._await(data)
        if self.taken.startswith(data):
            self.expect_nothing_after(data, self.taken[len(data) :])
        self.expect(data)

    def expect_nothing_after(self, data: bytes, more: bytes | bytearray) -> None:
        """Expect that there is no MORE that came after DATA, and is not due yet."""
        if more:
            raise self.scene.failure(
                "the client sends the next line before it has its answer",
                f"nothing more than {in_bytes(len(data))} until they are answered",
                f"{in_bytes(len(more))} more",
            )

    def _received(self, data: bytes) -> str:
        """What has come of DATA, in words."""
        at = parting(data, self.taken)
        if at == len(self.taken):
            begin = quote(data[at : at + 12])
            return f'{in_bytes(at)}; the missing ones begin with "{begin}…"'
        return f"{in_bytes(len(self.taken))}, from offset {at} on other ones"

    def lacks(self) -> dict[str, object]:
        """See Connection: how many bytes came, and whether they are other ones."""
        at = parting(self._awaited, self.taken)
        return {"came": len(self.taken), "displaced": at < len(self.taken)}

    def _await(self, data: bytes) -> None:
        self._awaited = data
        self.scene.wait(
            lambda: len(self.taken) >= len(data) or self.ended != "",
            "the client does not send what it has read",
            expected=f"{in_bytes(len(data))}, which are answered when all have come",
            received=lambda: self._received(data),
            awaited=[self],
        )


class Session(Scene):
    """One run of the client, and our server.

    It listens on HOST and PORT (0 for a free one) unless LISTENS is false. The
    client's arguments are these, unless ARGUMENTS are given.
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
        """See Scene."""
        return self.server_port, self._ports.get(connection, 0)

    def expect_connection(self, echoes: bool = False) -> Peer:
        """Expect the client to connect: our end of it."""
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
            expected=f"a connection to {where}",
            received=lambda: "none",
        )
        sock, port = accepted[0]
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(self, sock, echoes)
        peer.address = int(ipaddress.IPv4Address(self._host))
        self._ports[peer] = port
        self.note("the client", f"connects to {where}")
        self.add(peer)
        return peer

    @property
    def typed(self) -> int:
        """How many bytes were typed so far."""
        return self._keyboard.sent + self._keyboard.queued

    def types(self, data: bytes) -> None:
        """Write DATA to the client's standard input."""
        self._keyboard.send(data)

    def ends_input(self) -> None:
        """End the client's standard input, when all that was typed has gone in."""
        self._keyboard.end()

    def expect_exit(self, status: int, after: str) -> None:
        """Expect the client to end AFTER something, with STATUS; and for a status
        that is not 0 with an [ERROR] line."""
        expected = f"its end, with exit status {status}"
        expected += " and an [ERROR] line on standard error" if status else ""
        self.wait(
            self.program.ended,
            f"the client does not exit {after}",
            expected=expected,
            received=lambda: "it is still running",
            awaited=self.connections[1:],
        )
        self.program.all_output_read()
        errors = self.program.errors.text().splitlines()
        marked = any(line.startswith("[ERROR]") for line in errors)
        if self.program.status() != status or (status and not marked):
            lacks = "" if marked or not status else f", {self.error_lines()}"
            raise self.failure(
                f"the client does not exit as it should {after}",
                expected,
                f"it {self.program.ending()}{lacks}",
            )

    def expect_printed(self, data: bytes) -> None:
        """Expect the client to end with status 0, and to have printed DATA on its
        standard output, no byte more."""
        self.expect_exit(0, "at the end of its input")
        printed = self.program.output.bytes()
        compare(self, "the client prints something else", data, printed)

    def close(self) -> None:
        """See Scene."""
        self._listener.close()
        super().close()


def compare(scene: Scene, message: str, expected: bytes, got: bytes) -> None:
    """Raise Failure unless both are the same bytes."""
    if expected == got:
        return
    at = parting(expected, got)
    more = len(got) - len(expected)
    if at == min(len(expected), len(got)):
        message += f": {_amiss(more)}"
    else:
        message += f", from offset {at} on"
        if more:
            message += f"; {_amiss(more)} in all"
    alike = likeness(expected[at:], bytes(got[at:]), expected[:at], {})
    raise scene.failure(message, around(expected, at, at), around(got, at, at), alike)


def _amiss(more: int) -> str:
    """How many bytes too many there are, or, below zero, too few."""
    return f"{in_bytes(abs(more))} too {'many' if more > 0 else 'few'}"
