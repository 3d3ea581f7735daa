"""Is a program stuck, and how is that known?

A verdict rests on what the kernel shows, not on a stopwatch. While something is
awaited, the program's threads are looked at again and again. Three looks alike
over 45 ms (the same call with the same arguments, stack and program counter, and
not one context switch in between), with nothing on its way in the kernel, prove
that nothing will come: a thread that had been woken would be runnable at once,
on a busy machine too, where it would merely have to wait for a processor.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from grader import procfs, sockets
from grader.failure import Finding
from grader.procfs import Call, Task
from grader.program import Program
from grader.sockets import Socket
from grader.transcript import in_bytes

SAMPLES, STABLE_SECONDS = 3, 0.045
_PAUSE_SECONDS = 0.01

# Sleeping with a time-out is no proof by itself: a server may wake ten times a
# second and be right. Whoever sleeps as long as this without serving is not.
DOZING_SECONDS = 5.0

# Whoever sleeps so long and longer, again and again, and does something in between,
# is told the sum of it. In seconds.
LONG_NAP_SECONDS = 0.1

# Processor time without one byte moved: so much, and for each client besides, since
# a server may take what all of them have sent before it answers the first.
SPINNING_SECONDS, SPINNING_SECONDS_EACH = 2.0, 0.005
LAST_RESORT_SECONDS = 60.0

# Output since anything moved that is too much in any case, and what is much for
# a program that is busy with nothing else. In bytes.
TOO_MUCH_OUTPUT, MUCH_OUTPUT = 64 << 20, 1 << 20

_SENDING = {"sendto", "sendmsg", "write", "writev"}
_RECEIVING = {"recvfrom", "recvmsg", "read", "readv"}
_ACCEPTING = {"accept", "accept4"}

# Our end of a connection whose beginning, or whose end, the kernel still deals with.
_IN_TRANSITION = {
    sockets.SYN_SENT,
    sockets.SYN_RECV,
    sockets.FIN_WAIT1,
    sockets.CLOSING,
}


@dataclass(frozen=True)
class Peer:
    """The other end of one of the program's connections, as the grader knows it."""

    name: str
    port: int  # of our end
    program_port: int
    reading: bool  # whether we take what comes
    awaited: bool  # whether its answer or its end is what we wait for


@dataclass
class Naps:
    """How long a program has slept, in all of a story, where it waited for nothing but
    time, while somebody waited for it. In seconds; a nap that is short is not counted:
    how long it really was, a busy machine does not tell."""

    seconds: float = 0.0


class Watch:
    """Looks at a program while something is awaited from it.

    PEERS tells of our ends of its connections, PORT is where it listens (0 if
    it does not). DOZING seconds it may sleep in calls that end by themselves.
    """

    def __init__(
        self,
        program: Program,
        peers: Callable[[], list[Peer]],
        port: int = 0,
        dozing: float = DOZING_SECONDS,
        naps: Naps | None = None,
    ) -> None:
        self._program = program
        self._dozing = dozing
        self._naps = naps or Naps()
        self._peers = peers
        self._port = port
        self.moved()

    def moved(self) -> None:
        """Something was sent or received: begin to look anew."""
        self._since = self._last = time.monotonic()
        self._next = self._since + _PAUSE_SECONDS
        self._dozed = 0.0
        self._used_before: float | None = None
        self._used = 0.0
        self._printed_before = self._program.printed
        self._same: list[tuple[float, list[Task]]] = []
        self._napping: list[Task] = []
        self.slept: tuple[float, str] | None = None

    def asleep(self) -> list[Task] | None:
        """Look once more. All threads, if they have slept unmoved in the same
        calls for three looks; else None. slept says since when, and in which."""
        now = time.monotonic()
        if now < self._next:
            return None
        pid = self._program.pid
        tasks = procfs.tasks(pid) if pid else []
        used = procfs.processor_seconds(pid) if pid else 0.0
        if self._used_before is None:
            self._used_before = used
        self._used = used - self._used_before
        # A thousand threads take long to look at: leave them time to do something.
        self._next = time.monotonic() + max(
            _PAUSE_SECONDS, 4 * (time.monotonic() - now)
        )
        asleep = all(task.state == "S" for task in tasks)
        self._napping = tasks if asleep else []
        if asleep:
            self._dozed += now - self._last
        self._last = now
        if not tasks or any(task.state not in "ST" for task in tasks):
            self._same.clear()
            return None
        if self._same and self._same[-1][1] != tasks:
            self._same.clear()
        if self._same and now - self._same[0][0] > LONG_NAP_SECONDS:
            napping = any(task.call and task.call.naps() for task in tasks)
            if napping and any(peer.awaited for peer in self._peers()):
                self._naps.seconds += now - self._same[-1][0]
        self._same.append((now, tasks))
        if len(self._same) < SAMPLES or now - self._same[0][0] < STABLE_SECONDS:
            return None
        calls = [task.call.shown() for task in tasks if task.call]
        self.slept = self._same[0][0], min(calls, default="")
        return tasks

    def dozes(self) -> bool:
        """Whether it has slept for the most part since anything moved."""
        return self._dozed > (time.monotonic() - self._since) / 2

    def processor_seconds(self) -> float:
        """Processor time that it has used since anything moved."""
        return self._used

    def look(self) -> Finding | None:
        """Look once more: a proof that what is awaited will not come, or None."""
        finding = self._proof()
        pid = self._program.pid
        return observed(finding, pid, self._port) if finding and pid else finding

    def _proof(self) -> Finding | None:
        tasks = self.asleep()
        if tasks is None and self._dozed > self._dozing and self.dozes():
            tasks = self._napping  # never for long, and yet for the most part
        if tasks and (finding := self._asleep_in(tasks)):
            return finding
        printed = self._program.printed - self._printed_before
        spinning = self._used > SPINNING_SECONDS and self._used > (
            SPINNING_SECONDS + SPINNING_SECONDS_EACH * len(self._peers())
        )
        if printed > (MUCH_OUTPUT if spinning else TOO_MUCH_OUTPUT):
            says = f"the program prints without end: {printed >> 20} MiB by now"
            return Finding("prints_without_end", says, {"bytes": printed})
        if spinning:
            says = (
                f"the program is busy: it has used {self._used:.1f} s of processor "
                "time since anything was last sent or received"
            )
            return Finding(
                "spinning", says, {"processor_seconds": round(self._used, 1)}
            )
        if time.monotonic() - self._since > LAST_RESORT_SECONDS:
            says = f"nothing has moved for {LAST_RESORT_SECONDS:.0f} s"
            return Finding("silent", says)
        return None

    def _asleep_in(self, tasks: list[Task]) -> Finding | None:
        """What it means that all threads sleep where they sleep."""
        if any(task.state == "T" for task in tasks):
            return Finding("stopped", "the program is stopped (SIGSTOP, SIGTSTP)")
        calls = [(task, task.call) for task in tasks if task.call]
        timed = len(calls) < len(tasks) or any(call.timed() for _, call in calls)
        timed = timed or any(
            procfs.may_be_woken(pid) for pid in {task.pid for task in tasks}
        )
        asleep_seconds = max(self._dozed, self._naps.seconds)
        if timed and asleep_seconds < self._dozing:
            return None
        view = _View(tasks[0].pid, self._peers(), self._port)
        if view.something_is_on_its_way():
            return None
        for task, call in calls:
            if is_our_output(task.pid, call):
                return None  # we shall read it in a moment
        finding = view.explain(calls)
        if timed:
            finding.evidence["asleep_seconds"] = round(asleep_seconds, 1)
        if finding.kind in ("lost", "forgot") and any(c.naps() for _, c in calls):
            return replace(finding, kind="sleeping")
        return finding


def observed(finding: Finding, pid: int, port: int) -> Finding:
    """FINDING, with what else there is to be seen of process PID, which listens on
    PORT, whatever it does or does not do just now."""
    evidence = finding.evidence
    says = _taken_for_the_listener(pid, port, evidence)
    says += _out_of_descriptors(pid, evidence)
    if finding.kind == "busy":
        says += _told_of_room(pid, evidence)
    return replace(finding, says=finding.says + says)


def _taken_for_the_listener(pid: int, port: int, evidence: dict[str, object]) -> str:
    """Whether epoll hands back the same data for a connection as for who listens."""
    doors = {f"socket:[{s.inode}]" for s in sockets.listening() if s.local_port == port}
    links = procfs.descriptors(pid)
    for data in procfs.handed_back(pid).values():
        of_doors = {data[fd]: fd for fd in data if links.get(fd) in doors}
        for fd in data:
            if data[fd] in of_doors and links.get(fd, "") not in doors:
                evidence["same_data"] = fd
                return (
                    f"; epoll hands back the same data ({data[fd]:#x}) for descriptor "
                    f"{fd} as for the listening socket, {of_doors[data[fd]]}"
                )
    return ""


def _out_of_descriptors(pid: int, evidence: dict[str, object]) -> str:
    """Whether it has as many descriptors as it may have, so that accept() fails."""
    soft, hard = procfs.descriptor_limits(pid)
    if not soft or len(procfs.numbers(f"/proc/{pid}/fd")) < soft:
        return ""
    evidence |= {"full": soft, "may_raise": soft < hard}
    return f"; it has {soft} descriptors open, as many as its soft limit allows"


def _told_of_room(pid: int, evidence: dict[str, object]) -> str:
    """Whether epoll tells it, as often as it asks, that it could send to somebody to
    whom nothing is on its way."""
    empty = {f"socket:[{s.inode}]" for s in sockets.in_use() if not s.tx_queue}
    links = procfs.descriptors(pid)
    for interest in procfs.watched(pid).values():
        for fd, events in interest.items():
            always = events & procfs.EPOLLOUT and not events & procfs.EPOLLET
            if always and links.get(fd) in empty:
                evidence["room"] = fd
                return f"; epoll tells it of room to send (EPOLLOUT) on descriptor {fd}"
    return ""


def is_our_output(pid: int, call: Call) -> bool:
    """Whether a call of process PID writes to the standard output or error that we
    read."""
    if call.name not in _SENDING:
        return False
    link = procfs.descriptors(pid).get(call.args[0], "")
    return link.startswith(("/dev/pts/", "pipe:"))


class _View:
    """The program's calls and its connections at one moment, put together."""

    def __init__(self, pid: int, peers: list[Peer], port: int) -> None:
        self._pid = pid
        self._peers = peers
        seen = sockets.in_use()
        self._pairs = {
            (socket.local_port, socket.remote_port): socket
            for socket in seen
            if socket.state != sockets.LISTEN
        }
        self._listener = next(
            (
                socket
                for socket in seen
                if socket.state == sockets.LISTEN and socket.local_port == port
            ),
            None,
        )

    def _ours(self, peer: Peer) -> Socket | None:
        return self._pairs.get((peer.port, peer.program_port))

    def _theirs(self, peer: Peer) -> Socket | None:
        return self._pairs.get((peer.program_port, peer.port))

    def something_is_on_its_way(self) -> bool:
        """Whether the kernel will deliver more without anybody's help."""
        for peer in self._peers:
            ours, theirs = self._ours(peer), self._theirs(peer)
            if ours and ours.state in _IN_TRANSITION:
                # An unacknowledged end behind bytes that are not read is stuck.
                if not (theirs and theirs.rx_queue):
                    return True
            if ours and ours.tx_queue and not (theirs and theirs.rx_queue):
                return True
            if peer.reading and (
                (ours and ours.rx_queue) or (theirs and theirs.tx_queue)
            ):
                return True
        return False

    def _named(self, pid: int, call: Call) -> tuple[str, Peer | None]:
        """Words for what a call is about, and the peer if it is a connection."""
        fd = call.descriptor()
        link = procfs.descriptors(pid).get(fd, "") if fd is not None else ""
        for peer in self._peers:
            theirs = self._theirs(peer)
            if theirs and link == f"socket:[{theirs.inode}]":
                return f"on the connection of {peer.name} (descriptor {fd})", peer
        if self._listener and link == f"socket:[{self._listener.inode}]":
            return f"on its listening socket (descriptor {fd})", None
        if fd == 0:
            return "on its standard input", None
        return f"on descriptor {fd}" if fd is not None else "", None

    def explain(self, calls: list[tuple[Task, Call]]) -> Finding:
        """The finding for threads that sleep in CALLS."""
        task, call = min(calls, key=_interest, default=(None, None))
        evidence: dict[str, object] = {"pid": self._pid}
        waiting = self._what_waits(evidence)
        inode = evidence.pop("inode", None)
        evidence["loop"] = any(procfs.watched(self._pid).values())
        if task is None or call is None:
            return Finding("asleep", f"the program sleeps{waiting}", evidence)
        about, peer = self._named(task.pid, call)
        evidence |= {"call": call.name, "descriptor": call.descriptor()}
        if peer:
            evidence["client"] = peer.name
        who = "the program"
        if len(calls) > 1:
            evidence["threads"] = len(calls)
            who = f"one of its {len(calls)} threads"
        where = f"{who} sleeps in {call.shown()} {about}".rstrip()
        if call.name in _SENDING and peer:
            why = "" if peer.reading else f", and {peer.name} does not read"
            return Finding("blocked_sending", where + why + waiting, evidence)
        if call.name in _RECEIVING and peer:
            nothing = f", from where nothing more comes{waiting}"
            return Finding("blocked_receiving", where + nothing, evidence)
        if call.name in _ACCEPTING:
            return Finding("blocked_accepting", where + waiting, evidence)
        if call.name in procfs.EPOLL_CALLS:
            where = f"{who} sleeps in {call.shown()}"
        kind = "forgot" if evidence.get("unread") else "lost"
        watched = self._interest(inode, evidence) + self._door(call, evidence)
        return Finding(kind, where + waiting + watched, evidence)

    def _what_waits(self, evidence: dict[str, object]) -> str:
        """What the kernel holds that the program should have dealt with."""
        parts = []
        for peer in self._peers:
            theirs = self._theirs(peer)
            if not peer.awaited or not theirs:
                continue
            open_here = theirs.state in (sockets.ESTABLISHED, sockets.CLOSE_WAIT)
            if theirs.inode == 0 and open_here:
                parts.append(f"{peer.name} waits to be accepted")
                evidence["backlog"] = self._listener.rx_queue if self._listener else 1
                evidence["accepted"] = self._accepted()
            elif theirs.rx_queue:
                parts.append(self._unread(peer, theirs))
                evidence |= {"unread": theirs.rx_queue, "awaited": peer.name}
            elif theirs.state == sockets.CLOSE_WAIT:
                parts.append(
                    f"{peer.name} has ended its side, all of that has been "
                    "read, and its connection is still open"
                )
                evidence |= {"left_open": peer.name}
            else:
                parts.append(
                    f"it has read all that {peer.name} sent, and nothing "
                    "is on its way back"
                )
                evidence |= {"read_and_unanswered": peer.name}
            evidence["inode"] = theirs.inode
        if len(parts) > 2:
            parts = [parts[0], f"so it is with {len(parts) - 1} clients more"]
        return f", while {', and '.join(parts)}" if parts else ""

    def _accepted(self) -> int:
        """How many of those who are there it has accepted."""
        theirs = (self._theirs(peer) for peer in self._peers)
        return sum(socket is not None and socket.inode > 0 for socket in theirs)

    def _unread(self, peer: Peer, theirs: Socket) -> str:
        """What of PEER waits unread, and on which descriptor."""
        # The end that has come, and was not received, counts as a byte there.
        count = theirs.rx_queue - (theirs.state == sockets.CLOSE_WAIT)
        what = f"{in_bytes(count)} from" if count else "the end of"
        verb = "wait" if count > 1 else "waits"
        fd = self._descriptor_of(theirs.inode)
        where = "" if fd is None else f" on descriptor {fd}"
        return f"{what} {peer.name} {verb} unread{where}"

    def _descriptor_of(self, inode: object) -> int | None:
        """The descriptor by which the program has the socket INODE."""
        links = procfs.descriptors(self._pid).items()
        return next((fd for fd, link in links if link == f"socket:[{inode}]"), None)

    def _door(self, call: Call, evidence: dict[str, object]) -> str:
        """For whom waits to be accepted: whether epoll watches the listening socket."""
        if call.name not in procfs.EPOLL_CALLS or not evidence.get("backlog"):
            return ""
        fd = self._descriptor_of(self._listener.inode) if self._listener else None
        if fd is None:
            return ""
        for interest in procfs.watched(self._pid).values():
            if fd in interest:
                events = procfs.event_names(interest[fd])
                evidence["door_watched_for"] = events
                return f" (epoll watches its listening socket for {events})"
        evidence["door_watched_for"] = "not at all"
        return " (epoll does not watch its listening socket)"

    def _interest(self, inode: object, evidence: dict[str, object]) -> str:
        """Whether its epoll instance watches the socket INODE, that it should serve."""
        watched = procfs.watched(self._pid)
        if not inode or not watched:
            return ""
        fd = self._descriptor_of(inode)
        if fd is None:
            return ""
        named = bool(evidence.get("unread"))  # what is unread says on which it is
        for interest in watched.values():
            if fd in interest:
                events = procfs.event_names(interest[fd])
                evidence["watched_for"] = events
                which = "" if named else f", descriptor {fd},"
                return f" (epoll watches it{which} for {events})"
        evidence["watched_for"] = "not at all"
        return f" (epoll does not watch it{'' if named else f': descriptor {fd}'})"


def _interest(pair: tuple[Task, Call]) -> int:
    """The thread that says most about why nothing happens comes first."""
    name = pair[1].name
    for rank, names in enumerate((_SENDING, procfs.EPOLL_CALLS, _RECEIVING)):
        if name in names:
            return rank
    return 3
