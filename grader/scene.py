"""A program on stage with our ends of its connections: the loop that moves
everything on, waits for what is awaited, and fails with what was seen."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Callable, Iterator

from grader import procfs, sockets
from grader.client import Connection, Fault
from grader.failure import CannotGrade, Failure, Finding
from grader.program import Program, signal_name
from grader.transcript import Transcript
from grader.view import Peer, View, observed
from grader.watch import DOZING_SECONDS, Naps, Watch

# No wait lasts longer than this, even while something still moves; nor one in which the
# program, and the kernel, had nothing to do for so long, all in all: who trickles.
PATIENCE_SECONDS, TRICKLING_SECONDS = 180.0, 15.0

# Who works, or wakes now and then, is not waited for any longer than this to come to
# rest, and less and less if it never does; and what the kernel has on its way, for as
# long as its own timers may take.
RESTING_SECONDS, LEAST_RESTING_SECONDS, DELIVERY_SECONDS = 0.3, 0.02, 5.0

IDLE_WINDOW_SECONDS, IDLE_SHARE, BUSY_SECONDS, IDLE_PATIENCE = 0.25, 0.02, 0.2, 5.0


class Scene:
    """What server.py and peer.py have in common."""

    port = 0
    dozing_seconds = DOZING_SECONDS

    def __init__(self, program: Program) -> None:
        self.program = program
        self.connections: list[Connection] = []
        self._awaited: set[Connection] = set()
        self._selector = selectors.DefaultSelector()
        self._masks: dict[Connection, int] = {}
        self._fault: Fault | None = None
        self._excused: set[Connection] = set()
        self._naps = Naps()
        self.resting_seconds = RESTING_SECONDS  # of processor time
        self._busy_before: float | None = None  # the wait that lasts grew long
        self.went_wrong = False  # with something that another check tells
        self.held_back = 0  # how often the kernel took its time to deliver something
        self.transcript = Transcript()
        self.closing = contextlib.ExitStack()  # what is done when the program has ended

    def note(self, who: str, does: str, data: bytes = b"", count: int = 0) -> None:
        """Remember that WHO DOES something, with COUNT bytes that begin with DATA."""
        self.transcript.note(who, does, data, count)

    # -- moving everything on -----------------------------------------------

    def add(self, connection: Connection) -> None:
        """Take a connection into the loop."""
        self.connections.append(connection)
        self.update(connection)

    def remove(self, connection: Connection) -> None:
        """Take a connection out of the loop."""
        self.connections.remove(connection)
        if self._masks.pop(connection, 0):
            self._selector.unregister(connection.sock)

    def update(self, connection: Connection) -> None:
        """Watch for what a connection wants now, and see whether it is all right."""
        if not self._fault and connection not in self._excused:
            self._fault = connection.check()
        mask = selectors.EVENT_READ if connection.wants_read() else 0
        mask |= selectors.EVENT_WRITE if connection.wants_write() else 0
        if mask == self._masks.get(connection, 0):
            return
        if connection in self._masks:
            self._selector.unregister(connection.sock)
            del self._masks[connection]
        if mask:
            self._selector.register(connection.sock, mask, connection)
            self._masks[connection] = mask

    def pump(self, timeout: float) -> bool:
        """Move on whoever can be, waiting at most TIMEOUT seconds for one; whether
        anything moved."""
        moved = False
        for key, mask in self._selector.select(timeout):
            connection: Connection = key.data
            if mask & selectors.EVENT_READ:
                moved |= connection.pull()
            if mask & selectors.EVENT_WRITE and connection.wants_write():
                moved |= connection.push()
            self.update(connection)
        return moved

    # -- waiting ------------------------------------------------------------

    def _peers(self) -> list[Peer]:
        peers = []
        for connection in self.connections:
            if connection.closed and connection not in self._awaited:
                continue
            near, far = self.ports(connection)
            awaited = connection in self._awaited
            peers.append(
                Peer(
                    connection.name,
                    connection.address,
                    near,
                    far,
                    connection.reading,
                    awaited,
                )
            )
        return peers

    def ports(self, connection: Connection) -> tuple[int, int]:
        """The ports of our end of a connection, and of the program's."""
        raise NotImplementedError

    def wait(
        self,
        done: Callable[[], bool],
        message: str,
        *,
        expected: str = "",
        received: Callable[[], str] = str,
        awaited: list[Connection] | None = None,
        may_end: bool = False,
    ) -> None:
        """Move everything on until DONE() is true.

        Raises Failure, with MESSAGE and with what was EXPECTED and RECEIVED, as
        soon as it is proved that it will not become true; AWAITED are those whose
        answers are waited for. With MAY_END the program's end is no failure.
        """
        finding = self._wait(done, awaited or [], may_end)
        if finding:
            raise self.failure(message, expected, received(), finding)

    def _wait(
        self, done: Callable[[], bool], awaited: list[Connection], may_end: bool
    ) -> Finding | None:
        self._awaited = set(awaited)
        dozing = self.dozing_seconds
        watch = Watch(self.program, self._peers, self.port, dozing, self._naps)
        began, held_before = time.monotonic(), self.held_back
        self._busy_before = None
        while not done():
            if self.pump(0.002):
                self.held_back += watch.is_held_back
                watch.moved()
                self.check()
                continue
            self.check()
            if self.program.ended():
                self.see_what_it_left()
                if done() or may_end:
                    return None
                return self.gone()
            finding = self._look(watch, awaited)
            # What came between our last look and the proof makes it void.
            if finding:
                self.program.take_output()
            if finding and self.pump(0):
                watch.moved()
            elif finding and not done():
                return finding
            if self._patience_is_at_its_end(began, self.held_back > held_before):
                says = f"it is not done after {time.monotonic() - began:.0f} s"
                return Finding("slow", says)
        return None

    def _patience_is_at_its_end(self, began: float, was_held_back: bool) -> bool:
        """Whether a wait that BEGAN then has lasted too long; or the program has been
        idle in it for too long, neither at work nor waiting for a processor, and the
        kernel never took its time to deliver something (WAS_HELD_BACK)."""
        waited = time.monotonic() - began
        if waited < TRICKLING_SECONDS:
            return False
        busy = procfs.busy_seconds(self.program.pid or 0)
        if self._busy_before is None:
            self._busy_before = busy
        idle = waited - TRICKLING_SECONDS - (busy - self._busy_before)
        trickles = idle > TRICKLING_SECONDS and not was_held_back
        return waited > PATIENCE_SECONDS or trickles

    def _look(self, watch: Watch, awaited: list[Connection]) -> Finding | None:
        """What WATCH finds, and what the first of those AWAITED lacks."""
        finding = watch.look()
        if finding and watch.slept:
            self.transcript.note_sleep(*watch.slept)
        lacking = [lack for one in awaited if (lack := one.lacks())]
        if finding and lacking:
            finding.evidence.update(lacking[0])
        return finding

    def error_lines(self) -> str:
        """The [ERROR] lines of a program that has ended, in words."""
        self.program.all_output_read()
        marked, printed = (
            sum(line.startswith("[ERROR]") for line in stream.text().splitlines())
            for stream in (self.program.errors, self.program.output)
        )
        if marked:
            return (
                "with an [ERROR] line"
                if marked == 1
                else f"with {marked} [ERROR] lines"
            )
        elsewhere = " (there is one on standard output)" if printed else ""
        return f"without an [ERROR] line on standard error{elsewhere}"

    def gone(self) -> Finding:
        """The finding that the program has ended. Raises CannotGrade if that may
        not have been its own fault."""
        if self.program.starved():
            raise CannotGrade("the kernel had no memory left, and killed the program")
        says = f"the program {self.program.ending()}"
        if self.program.over_limit:
            return Finding("over_limit", says, {"bound": self.program.over_limit})
        status = self.program.status() or 0
        evidence = {"status": status} | (
            {"signal": signal_name(-status)} if status < 0 else {}
        )
        return Finding("gone", says, evidence)

    def settle(self, done: Callable[[], bool] = lambda: False) -> bool:
        """Move everything on until nothing moves any more, in the kernel neither, and
        the program sleeps; or until DONE() is true: whether it came to one of the two.
        This sets the pace of a story, and judges nothing; so one that wakes or works
        for nothing is not waited for any longer than this.
        """
        watch = Watch(self.program, self._peers, self.port)
        moved = time.monotonic()
        while not self.program.ended() and not self._fault:
            if self.pump(0.002):
                watch.moved()
                moved = time.monotonic()
            elif done():
                return True
            elif watch.asleep() is not None and self._all_is_delivered(moved):
                self.transcript.note_sleep(*watch.slept or (moved, ""))
                return True
            elif watch.processor_seconds() > self.resting_seconds:
                shorter = self.resting_seconds / 2
                self.resting_seconds = max(shorter, LEAST_RESTING_SECONDS)
                return False
            elif time.monotonic() - moved > RESTING_SECONDS and watch.dozes():
                if self._all_is_delivered(moved):
                    return True
        return False

    def _all_is_delivered(self, moved: float) -> bool:
        """Whether the kernel has nothing on its way, as it has where small windows, or
        answers that are held back (tcp(7), TCP_CORK), move by its timers alone; or
        whether it has taken too long for that, since something MOVED."""
        if time.monotonic() - moved > DELIVERY_SECONDS:
            return True
        view = View(self.program.pid or 0, self._peers(), self.port)
        return not view.something_is_on_its_way()

    def see_what_it_left(self) -> None:
        """Take what the program said and sent before it ended: a client that it hung
        up on tells more than the end itself, and shall be heard whichever of the two
        is seen first."""
        self.program.all_output_read()
        while self.pump(0.02):
            self.check()

    def let_pass(self, seconds: float) -> None:
        """Move everything on for so long, whatever comes."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.pump(left)
            self.check()

    def forget_closed(self) -> None:
        """Drop the connections that we have closed: they are history."""
        self.connections = [c for c in self.connections if not c.closed]

    @contextlib.contextmanager
    def another_check_tells(self) -> Iterator[None]:
        """Whatever goes wrong inside is no failure of this check; nor is what goes
        wrong later with the clients that were there: it may be the same mistake."""
        try:
            yield
        except Failure:
            self.went_wrong = True
        self._fault = None
        self._excused.update(self.connections)

    def check(self) -> None:
        """Raise Failure if any connection has seen something wrong."""
        if self._fault:
            raise self.failure(*self._fault)

    def failure(
        self,
        message: str,
        expected: str = "",
        received: str = "",
        finding: Finding | None = None,
    ) -> Failure:
        """A failure that carries the story so far."""
        hung_up = finding is not None and finding.kind in ("hung_up", "refused")
        if finding is None or hung_up:
            # A closed connection may be the first that we see of the server's end.
            end, asleep = time.monotonic() + 2.0, 0
            while not self.program.ended() and time.monotonic() < end and asleep < 5:
                tasks = procfs.tasks(self.program.pid or 0)
                ending = not tasks or any(task.state != "S" for task in tasks)
                asleep = 0 if ending else asleep + 1
                time.sleep(0.005)
            if self.program.ended():
                self.program.all_output_read()
                lacks = finding.evidence if finding else {}
                finding = self.gone()
                finding.evidence.update(lacks)
                if hung_up:  # and that is why
                    message = message.replace("the server", "it", 1)
                    message = f"the server {self.program.ending()}: {message}"
        about = f"{message} {finding.says if finding else ''}"
        return Failure(
            message,
            expected,
            received,
            finding,
            self.transcript.lines(about),
            self.program.errors.text(),
            self.transcript.as_data(about),
        )

    def _in_queues(self) -> list[tuple[int, int, int]]:
        """Whose bytes the kernel holds now, and how many, both ways."""
        return sorted(
            (s.local_port, s.rx_queue, s.tx_queue)
            for s in sockets.in_use()
            if self.port in (s.local_port, s.remote_port) and (s.rx_queue or s.tx_queue)
        )

    def expect_idle(self, when: str) -> None:
        """Expect next to no processor time to be used WHEN nothing happens.

        A server that only sleeps is idle at the first glance, however busy the
        machine is; one that spins is caught by the time that it has used.
        """
        self.settle()
        pid = self.program.pid or 0
        began, used_before = time.monotonic(), procfs.processor_seconds(pid)
        window, used_at_window = began, used_before
        queues, end = self._in_queues(), began + PATIENCE_SECONDS
        while True:
            self.pump(0.02)
            if self.program.ended():
                raise self.failure(f"the server ended {when}", "", "", self.gone())
            now, used = time.monotonic(), procfs.processor_seconds(pid)
            # As long as bytes come out of a queue, or into one, it has work to do.
            if queues != (queues := self._in_queues()) and now < end:
                began, used_before = now, used
                window, used_at_window = now, used
            busy = used - used_before
            if now - window >= IDLE_WINDOW_SECONDS:
                if used - used_at_window <= IDLE_SHARE * (now - window):
                    return
                window, used_at_window = now, used
            if busy > BUSY_SECONDS or now - began > IDLE_PATIENCE:
                break
        seconds = now - began
        calls = {task.call.name for task in procfs.tasks(pid) if task.call}
        says = f"it used {busy:.2f} s of processor time in {seconds:.2f} s"
        evidence = {"processor_seconds": round(busy, 2), "seconds": round(seconds, 2)}
        finding = Finding("busy", says, evidence | {"calls": sorted(calls)})
        finding = observed(finding, pid, self.port)
        raise self.failure(
            f"the server is busy {when}",
            "no processor time to speak of: it has nothing to do",
            finding.says,
            finding,
        )

    def close(self) -> None:
        """End the program, and close what is ours."""
        for connection in self.connections:
            if not connection.closed:
                connection.closed = True
                with contextlib.suppress(OSError):
                    connection.sock.close()
        self._selector.close()
        self.program.stop()
        self.closing.close()


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody has now, below those that the kernel gives to clients, and
    that no other grader takes before the program has come to bind it: who chooses one
    reserves a name for it, of which a network has as many as it has ports (unix(7),
    abstract addresses)."""
    global _next_port
    while True:
        _next_port = 20000 + (_next_port - 19999) % 8000
        name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            name.bind(f"\0echolab port {_next_port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, _next_port))
        except OSError:
            name.close()
            continue
        _reserved.append(name)
        if len(_reserved) > _RESERVATIONS:
            _reserved.pop(0).close()
        return _next_port


_next_port = 20000
_reserved: list[socket.socket] = []

# Who chose the port has long bound it when we come to the next but so many.
_RESERVATIONS = 16
