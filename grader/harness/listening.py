"""A server under test: where it listens, and who connects."""

from __future__ import annotations

import socket

from grader.harness.client import Client
from grader.harness.connection import LOCALHOST, Connection
from grader.harness.session import Session
from grader.harness.stuck import DOZING_SECONDS
from grader.kernel import procfs, sockets
from grader.kernel.sockets import Socket
from grader.sandbox.program import Program

# How many connections may wait to be accepted before we wait, too, if there is room for
# them: one more than the backlog says. (Beyond that, SYNs are dropped, and sent again
# after a second, which is not the server's fault.)
_MOST_WAITING = 3

# The backlog where the kernel does not show it.
_USUAL_BACKLOG = 100

# A program may take its time before it listens, for instance in a sleep().
_START_DOZING_SECONDS = 15.0


class Listening(Session):
    """A server that listens on PORT. Its clients are of the class CLIENT, which knows
    what they are due."""

    def __init__(self, program: Program, port: int, client: type[Client]) -> None:
        super().__init__(program)
        self.port = port
        self.client = client
        self._ports: dict[Connection, int] = {}
        self._listener_inode = 0
        self._may_wait = 0
        self.backlog = _USUAL_BACKLOG

    def listener(self) -> Socket | None:
        """Its listening socket as the kernel shows it, or None if it has none."""
        found = [s for s in sockets.listening() if s.local_port == self.port]
        if not any(s.inode == self._listener_inode for s in found):
            found = [s for s in self.listeners() if s.local_port == self.port]
        self._listener_inode = found[0].inode if found else 0
        if found and found[0].backlog >= 0:
            self.backlog = found[0].backlog
        return found[0] if found else None

    @property
    def room(self) -> int:
        """How many connections may wait to be accepted before we make the next one."""
        return min(_MOST_WAITING, self.backlog + 1)

    def listeners(self) -> list[Socket]:
        """All of the program's own listening sockets."""
        pids = procfs.tree(self.program.pid) if self.program.pid else []
        links = {link for pid in pids for link in procfs.descriptors(pid).values()}
        return [s for s in sockets.listening() if f"socket:[{s.inode}]" in links]

    def expect_listening(self) -> Socket:
        """Expect it to listen on its port. This does not connect: the first client
        might be the only one that it serves."""
        message = f"the server does not listen on port {self.port}"
        expected = f"a listening socket on port {self.port}"
        self.dozing_seconds = _START_DOZING_SECONDS
        self.wait(
            lambda: self.listener() is not None,
            message,
            what="listening",
            expected=expected,
            received=lambda: _listens_where(self),
        )
        self.dozing_seconds = DOZING_SECONDS
        self.note("the server", f"listens on port {self.port}")
        listener = self.listener()
        if listener is None:
            raise self.failure(
                message, expected, _listens_where(self), what="listening"
            )
        return listener

    def ports(self, connection: Connection) -> tuple[int, int]:
        """See Session."""
        return self._ports.get(connection, 0), self.port

    def waiting(self) -> int:
        """How many connections wait to be accepted."""
        listener = self.listener()
        self._may_wait = listener.rx_queue if listener else 0
        return self._may_wait

    def start_connecting(
        self, name: str, window: int = 0, twin: Client | None = None
    ) -> Client:
        """A client that has begun to connect. This does not wait. WINDOW is the receive
        buffer to ask for, in bytes (socket(7), SO_RCVBUF); 0 means the default. With a
        TWIN, the client comes from the same port as that one, but another address."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if window:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        client = self.client(self, sock, name)
        self.circumstances.someone_came = True
        self.note(name, "connects")
        if twin:
            client.address = LOCALHOST + 1
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.2", self._ports[twin]))
        self._may_wait += 1
        try:
            sock.connect(("127.0.0.1", self.port))
        except BlockingIOError:
            pass
        except OSError:
            client.ended = "reset"
        else:
            client.connected = True
        self._ports[client] = sock.getsockname()[1]
        self.add(client)
        self.check()
        return client

    def connect(
        self, name: str = "a client", window: int = 0, twin: Client | None = None
    ) -> Client:
        """A client that is connected. The kernel does that, so it says nothing yet
        about the server: see expect_accepted(). WINDOW and TWIN are as in
        start_connecting()."""
        # Each connection adds at most one, so ask the kernel only if it may be full.
        if self._may_wait >= self.room and self.waiting() >= self.room:
            self.expect_accepted(self.room - 1)
        client = self.start_connecting(name, window, twin)
        self.expect_connected(client)
        return client

    def expect_connected(self, client: Client) -> None:
        """Expect CLIENT, which has begun to connect, to be connected. Raises Failure
        if it is not."""
        words = f"{client.name} cannot connect"
        self.wait(lambda: client.connected, words, what="connecting", awaited=[client])

    def expect_accepted(self, but: int = 0) -> None:
        """Expect the server to accept all connections, except at most BUT of them."""
        open_ones = [c for c in self.connections if not c.closed]

        def received() -> str:
            count = self.waiting()
            self.circumstances.waits_for_accept = bool(count)
            return still_waiting(count)

        self.wait(
            lambda: self.waiting() <= but,
            "the server does not accept clients that have connected",
            what="accepting",
            expected="every connection accepted",
            received=received,
            awaited=open_ones[-1:],
        )

    def take_in(self, sock: socket.socket, name: str, connected: bool = True) -> Client:
        """Add SOCK, which has connected or begun to connect outside the loop, to the
        loop as a client called NAME."""
        client = self.client(self, sock, name)
        client.connected = connected
        self._ports[client] = sock.getsockname()[1]
        self.add(client)
        return client

    def let_go(self, client: Client) -> None:
        """Remove CLIENT from the loop."""
        self.remove(client)
        del self._ports[client]


def _listens_where(server: Listening) -> str:
    """Where SERVER listens instead, in words. Also put down in the circumstances."""
    ports = sorted({s.local_port for s in server.listeners()})
    seen = server.circumstances
    seen.listens_on = ports
    seen.kernel_chose = any(map(sockets.is_chosen_by_the_kernel, ports))
    seen.bytes_are_swapped = socket.htons(server.port) in ports
    if not ports:
        return "no listening socket"
    where = f"it listens on port {', '.join(map(str, ports))} instead"
    if seen.bytes_are_swapped:
        where += f", which is {server.port} with its two bytes swapped"
    return where


def still_waiting(count: int) -> str:
    """COUNT connections that wait to be accepted, in words."""
    return f"{count} of them still {'waits' if count == 1 else 'wait'} for accept()"
