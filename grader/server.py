"""A server under test and its clients: what the checks of stages 1 and 3 are
written with.

    idle = server.connect("the idle one")
    other = server.connect("the other one")
    other.send(b"hello")
    other.expect_echo()
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence

from grader import procfs, sockets
from grader.backpressure import Backpressure
from grader.client import LOCALHOST, Client, Connection
from grader.guard import most_clients
from grader.program import Program
from grader.scene import Scene
from grader.sockets import Socket
from grader.watch import DOZING_SECONDS

# How many connections may wait to be accepted before we wait, too, if there is room
# for them: one more than the backlog says. (Beyond it SYNs are dropped, and sent again
# after a second: no fault of the server's.)
_MOST_WAITING = 3

# What the backlog is where the kernel does not say.
_USUAL_BACKLOG = 100

# A program may take its time before it listens, in a sleep() for instance.
_START_DOZING_SECONDS = 15.0


class Server(Backpressure):
    """A running server that listens on PORT, and all the clients it has."""

    def __init__(self, program: Program, port: int) -> None:
        super().__init__(program)
        self.port = port
        self._ports: dict[Connection, int] = {}
        self._listener_inode = 0
        self._may_wait = 0
        self.backlog = _USUAL_BACKLOG

    def listener(self) -> Socket | None:
        """Its listening socket as the kernel shows it, None if it has none."""
        found = [s for s in sockets.listening() if s.local_port == self.port]
        if not any(s.inode == self._listener_inode for s in found):
            found = [s for s in self.listeners() if s.local_port == self.port]
        self._listener_inode = found[0].inode if found else 0
        if found and found[0].backlog >= 0:
            self.backlog = found[0].backlog
        return found[0] if found else None

    @property
    def room(self) -> int:
        """How many connections may wait to be accepted before the next one is made."""
        return min(_MOST_WAITING, self.backlog + 1)

    def listeners(self) -> list[Socket]:
        """All listening sockets that are the program's own."""
        pids = procfs.tree(self.program.pid) if self.program.pid else []
        links = {link for pid in pids for link in procfs.descriptors(pid).values()}
        return [s for s in sockets.listening() if f"socket:[{s.inode}]" in links]

    def expect_listening(self) -> Socket:
        """Expect it to listen on its port. Nobody connects for that: the first
        client might be the only one that it serves."""
        message = f"the server does not listen on port {self.port}"
        expected = f"a listening socket on port {self.port}"
        self.dozing_seconds = _START_DOZING_SECONDS
        self.wait(
            lambda: self.listener() is not None,
            message,
            expected=expected,
            received=self._listens_where,
        )
        self.dozing_seconds = DOZING_SECONDS
        self.note("the server", f"listens on port {self.port}")
        listener = self.listener()
        if listener is None:
            raise self.failure(message, expected, self._listens_where())
        return listener

    def _listens_where(self) -> str:
        ports = sorted({s.local_port for s in self.listeners()})
        if not ports:
            return "no listening socket"
        where = f"it listens on port {', '.join(map(str, ports))} instead"
        if socket.htons(self.port) in ports:
            where += f", which is {self.port} with its two bytes swapped"
        return where

    def ports(self, connection: Connection) -> tuple[int, int]:
        """See Scene."""
        return self._ports.get(connection, 0), self.port

    def waiting(self) -> int:
        """How many connections wait to be accepted."""
        listener = self.listener()
        self._may_wait = listener.rx_queue if listener else 0
        return self._may_wait

    def start_connecting(
        self, name: str, window: int = 0, twin: Client | None = None
    ) -> Client:
        """A client that has begun to connect; it does not wait. WINDOW bytes are
        asked for as its receive buffer (socket(7), SO_RCVBUF); 0 is the default. It
        comes from the same port as its TWIN, if it has one, of another address."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if window:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        client = Client(self, sock, name)
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
        """A client that is connected. That is the kernel's doing, and says
        nothing yet of the server's: see expect_accepted(). WINDOW and TWIN are as
        start_connecting() has them."""
        # Each adds one at the most: the kernel is not asked where there must be room.
        if self._may_wait >= self.room and self.waiting() >= self.room:
            self.expect_accepted(self.room - 1)
        client = self.start_connecting(name, window, twin)
        self.expect_connected(client)
        return client

    def expect_connected(self, client: Client) -> None:
        """Expect CLIENT, which has begun to connect, to be connected (else Failure)."""
        words = f"{client.name} cannot connect"
        self.wait(lambda: client.connected, words, awaited=[client])

    def connect_crowd(self, count: int, name: str = "client") -> list[Client]:
        """COUNT clients, connected and accepted, every one of them."""
        crowd = [self.connect(f"{name} {i + 1}") for i in range(count)]
        self.expect_accepted()
        return crowd

    def burst(self, count: int) -> list[Client]:
        """COUNT clients that come at once: as many as the server's backlog has room
        for, without a pause. (Those beyond it the kernel would turn away.)"""
        self.listener()
        room = self.backlog + 1
        crowd: list[Client] = []
        while len(crowd) < count:
            with self.held_down(os.SCHED_IDLE):
                for _ in range(min(room, count - len(crowd))):
                    crowd.append(self.start_connecting(f"client {len(crowd) + 1}"))
            self.expect_accepted()
        return crowd

    @contextlib.contextmanager
    def held_down(self, policy: int) -> Iterator[None]:
        """As long as we are at work, the server is not: it gets the processor that
        we use, and only when we leave it (sched(7), POLICY: SCHED_IDLE, or
        SCHED_BATCH for some milliseconds). So what we do here is there all at once
        when it looks."""
        pid, ours = self.program.pid or 0, os.sched_getaffinity(0)
        # The one we are on: graders at work side by side shall not all meet on one.
        one, normal = {procfs.processor()} & ours or {min(ours)}, os.sched_param(0)
        try:
            os.sched_setscheduler(pid, policy, normal)
            os.sched_setaffinity(pid, one)
            os.sched_setaffinity(0, one)
        except OSError:
            pass  # ended, or not allowed: they come nearly at once
        try:
            yield
        finally:
            os.sched_setaffinity(0, ours)
            with contextlib.suppress(OSError):
                os.sched_setaffinity(pid, ours)
                os.sched_setscheduler(pid, os.SCHED_OTHER, normal)

    def take_in(self, client: Client) -> None:
        """Look after CLIENT, which has connected, or begun to, outside the loop."""
        self._ports[client] = client.sock.getsockname()[1]
        self.add(client)

    def let_go(self, client: Client) -> None:
        """Look after CLIENT no more."""
        self.remove(client)
        del self._ports[client]

    def expect_accepted(self, but: int = 0) -> None:
        """Expect all connections (BUT so many) to be accepted by the server."""
        open_ones = [c for c in self.connections if not c.closed]
        self.wait(
            lambda: self.waiting() <= but,
            "the server does not accept clients that have come",
            expected="every connection accepted",
            received=lambda: still_waiting(self.waiting()),
            awaited=open_ones[-1:],
        )

    def expect_echoes(self, clients: Sequence[Client]) -> None:
        """Expect each of CLIENTS to get all its bytes back."""

        def unserved() -> list[Client]:
            return [client for client in clients if client.due]

        def received() -> str:
            left = unserved()
            done = len(clients) - len(left)
            return f"all for {done} of {len(clients)}, but not for {left[0].name}"

        pending = list(clients)

        def done() -> bool:
            while pending and not pending[-1].due:
                pending.pop()
            return not pending

        self.wait(
            done,
            "not all clients get their bytes back",
            expected=f"all bytes back for {len(clients)} of {len(clients)}",
            received=received,
            awaited=list(clients),
        )

    def connection_descriptors(self) -> int:
        """How many sockets the server has open, the listening one too."""
        links = procfs.descriptors(self.program.pid or 0).values()
        return sum(link.startswith("socket:") for link in links)

    def all_descriptors(self) -> int:
        """How many descriptors of all kinds the server has open."""
        return len(procfs.numbers(f"/proc/{self.program.pid}/fd"))

    def other_descriptors(self) -> dict[int, str]:
        """What else the server has open, by descriptor."""
        links = procfs.descriptors(self.program.pid or 0).items()
        return {fd: link for fd, link in links if not link.startswith("socket:")}

    def expect_descriptors(
        self, count: int, gone: Sequence[Connection], how: str
    ) -> None:
        """Expect COUNT open sockets, now that the clients GONE have left HOW."""
        self.wait(
            lambda: self.connection_descriptors() <= count,
            f"the server keeps the descriptors of clients that {how}",
            expected=f"{open_sockets(count)}, as before they came",
            received=lambda: open_sockets(self.connection_descriptors()),
            awaited=list(gone),
        )

    def expect_alive(self, after: str) -> None:
        """Expect the server to have gone through AFTER."""
        self.settle()
        self.check()
        if self.program.ended():
            self.see_what_it_left()
            raise self.failure(f"the server ended {after}", "", "", self.gone())

    def expect_line(
        self, line: str, times: int = 1, awaited: Sequence[Client] = ()
    ) -> None:
        """Expect LINE on standard output, so many TIMES and no more, for the clients
        AWAITED."""

        def lines() -> list[str]:
            return self.program.output.text().replace("\r", "").split("\n")

        def received() -> str:
            if line in self.program.errors.text():
                return "the line is on standard error, not on standard output"
            printed = "\n".join(lines()).strip() or "nothing"
            waits = "; its client still waits for accept()" if self.waiting() else ""
            return printed + waits

        self.wait(
            lambda: lines().count(line) >= times,
            "a line is missing from the server's standard output",
            expected=line if times == 1 else f"{line} ({times} times)",
            received=received,
            awaited=list(awaited),
        )
        self.settle()
        self.program.take_output()
        if (printed := lines().count(line)) > times:
            raise self.failure(
                "a line is on the server's standard output more often than it should",
                f"{line} ({'once' if times == 1 else f'{times} times'})",
                f"{line} ({printed} times)",
            )

    def expect_exit(self, gone: Client, after: str) -> int:
        """Expect the server to end by itself AFTER its client has GONE: its status."""
        self.wait(
            self.program.ended,
            f"the server does not exit {after}",
            expected="its end, with status 0",
            received=lambda: "it is still running",
            awaited=[gone],
        )
        self.program.all_output_read()
        return self.program.status() or 0

    def stop_and_continue(self) -> None:
        """Stop it (SIGSTOP), see that it stands, and let it go on (SIGCONT)."""
        with self.stopped():
            self.note("the server", "is stopped (SIGSTOP) and continued (SIGCONT)")

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """The server stands (SIGSTOP) meanwhile, and goes on then (SIGCONT)."""
        self.settle()
        self.program.signal(signal.SIGSTOP)
        self._await_state(lambda state: state == "T")
        try:
            yield
        finally:
            self.program.signal(signal.SIGCONT)
            self._await_state(lambda state: state != "T")

    def _await_state(self, right: Callable[[str], bool]) -> None:
        end = time.monotonic() + 30
        while not self.program.ended() and time.monotonic() < end:
            tasks = procfs.tasks(self.program.pid or 0)
            if tasks and right(tasks[0].state):
                return
            time.sleep(0.002)


def still_waiting(count: int) -> str:
    """COUNT connections at the door, in words."""
    return f"{count} of them still {'waits' if count == 1 else 'wait'} for accept()"


def open_sockets(count: int) -> str:
    """COUNT of them, in words."""
    return f"{count} open socket{'' if count == 1 else 's'}"


def expect_refusal(scene: Scene, what: str) -> None:
    """Expect a program that was started with WHAT to say no: one `[ERROR]` line on
    standard error, exit status 1. Raises Failure."""
    expected = "one [ERROR] line on standard error, and exit status 1"

    def received() -> str:
        listens = scene.listeners() if isinstance(scene, Server) else []
        ports = ", ".join(str(listener.local_port) for listener in listens)
        return "it goes on" + (f", and listens on port {ports}" if ports else "")

    scene.wait(
        scene.program.ended,
        f"{what} is not refused",
        expected=expected,
        received=received,
    )
    scene.program.all_output_read()
    lines = scene.program.errors.text().splitlines()
    marked = sum(line.startswith("[ERROR]") for line in lines)
    if scene.program.status() != 1 or marked != 1:
        raise scene.failure(
            f"{what} is not refused as it should be",
            expected,
            f"it {scene.program.ending()}, {scene.error_lines()}",
        )


def crowd_size(wanted: int) -> int:
    """How many clients we can be, WANTED if our own descriptors allow it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(wanted, most_clients())
