"""What a program's calls and its connections look like at one moment, put together,
and what that means: findings.

A picture is taken in this order: the tasks, the sockets, the descriptors and interest
lists, the sockets again, and the tasks again (View.holds). If the program has not run
in between, and no queue has changed, all of it was true at the same time. FINDINGS.md
says what each finding claims, and what could have made it false.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from grader import procfs, sockets
from grader.failure import Finding
from grader.procfs import Call, Task
from grader.sockets import Socket
from grader.transcript import in_bytes

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
    address: int  # of our end, IPv4
    port: int
    program_port: int
    reading: bool  # whether we take what comes
    awaited: bool  # whether its answer or its end is what we wait for


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


# Both ends of each connection, and the listening socket.
Connections = list[tuple[Socket | None, Socket | None]]


class View:
    """The program's calls and its connections at one moment, put together."""

    def __init__(self, pid: int, peers: list[Peer], port: int) -> None:
        """A picture of process PID, which listens on PORT, and of its PEERS. To be
        made after its tasks were looked at."""
        self._pid = pid
        self._peers = peers
        self._port = port
        self._look()

    @functools.cached_property
    def _links(self) -> dict[int, str]:
        """Its descriptors. A server may have thousands: they are looked at once."""
        return procfs.descriptors(self._pid)

    @functools.cached_property
    def _watched(self) -> dict[int, dict[int, int]]:
        """Its interest lists."""
        return procfs.watched(self._pid)

    def _look(self) -> None:
        port, seen = self._port, sockets.in_use()
        connections = [s for s in seen if s.state != sockets.LISTEN]
        self._of_ours = {
            (s.local_address, s.local_port, s.remote_port): s for s in connections
        }
        self._of_theirs = {
            (s.remote_address, s.remote_port, s.local_port): s for s in connections
        }
        self._listener = next(
            (
                socket
                for socket in seen
                if socket.state == sockets.LISTEN and socket.local_port == port
            ),
            None,
        )

    @property
    def connections(self) -> Connections:
        """All that is to be seen of them, to be compared with another picture."""
        both = [(self._ours(peer), self._theirs(peer)) for peer in self._peers]
        return [*both, (self._listener, None)]

    def holds(self, tasks: list[Task]) -> bool:
        """Whether all that was seen since TASKS were looked at was there at the same
        time: neither has the program run, nor has the kernel moved anything."""
        before = self.connections
        self._look()
        return self.connections == before and procfs.tasks(self._pid) == tasks

    def _ours(self, peer: Peer) -> Socket | None:
        return self._of_ours.get((peer.address, peer.port, peer.program_port))

    def _theirs(self, peer: Peer) -> Socket | None:
        return self._of_theirs.get((peer.address, peer.port, peer.program_port))

    def something_is_on_its_way(self) -> bool:
        """Whether the kernel will deliver more without anybody's help."""
        for peer in self._peers:
            ours, theirs = self._ours(peer), self._theirs(peer)
            if theirs and theirs.state == sockets.SYN_RECV and peer.awaited:
                return True  # TCP_DEFER_ACCEPT, or an ACK that found no room
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
        links = self._links if pid == self._pid else procfs.descriptors(pid)
        link = links.get(fd, "") if fd is not None else ""
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
        evidence["loop"] = any(self._watched.values())
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
        if self._would_be_told(call, inode, evidence):
            kind, watched = "withheld", watched + ", and the kernel does not tell it"
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
            if theirs.rx_queue or "unread" not in evidence:
                evidence["inode"] = theirs.inode
        if len(parts) > 2:
            parts = [parts[0], f"so it is with {len(parts) - 1} clients more"]
        return f", while {', and '.join(parts)}" if parts else ""

    def _accepted(self) -> int:
        """How many clients it has accepted, of those who are there."""
        ends = self._of_ours.values()
        return sum(end.local_port == self._port and end.inode > 0 for end in ends)

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
        links, name = self._links.items(), f"socket:[{inode}]"
        return next((fd for fd, link in links if link == name), None)

    def _door(self, call: Call, evidence: dict[str, object]) -> str:
        """For whom waits to be accepted: whether epoll watches the listening socket."""
        if call.name not in procfs.EPOLL_CALLS or not evidence.get("backlog"):
            return ""
        fd = self._descriptor_of(self._listener.inode) if self._listener else None
        if fd is None:
            return ""
        for interest in self._watched.values():
            if fd in interest:
                events = procfs.event_names(interest[fd])
                evidence["door_watched_for"] = events
                return f" (epoll watches its listening socket for {events})"
        evidence["door_watched_for"] = "not at all"
        return " (epoll does not watch its listening socket)"

    def _would_be_told(
        self, call: Call, inode: object, evidence: dict[str, object]
    ) -> bool:
        """Whether CALL waits for an epoll instance that would say at once that the
        socket INODE has something to be read, or the listening socket somebody to be
        accepted, as EVIDENCE has it: that is watched for EPOLLIN, by level."""
        if call.name not in procfs.EPOLL_CALLS:
            return False
        if not evidence.get("unread"):
            waits = self._listener if evidence.get("backlog") else None
            inode = waits.inode if waits else 0
        fd = self._descriptor_of(inode) if inode else None
        events = self._watched.get(call.args[0], {}).get(fd or -1, 0)
        return events & (procfs.EPOLLIN | procfs.EPOLLET) == procfs.EPOLLIN

    def _interest(self, inode: object, evidence: dict[str, object]) -> str:
        """Whether its epoll instance watches the socket INODE, that it should serve."""
        watched = self._watched
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
