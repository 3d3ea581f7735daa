"""What it means that a program sleeps where it does, or does what it does: findings,
made from its calls and a snapshot of its connections."""

from __future__ import annotations

import os

from grader.harness.finding import (
    Finding, Role, SameData, State, Waiting, Watched,
)  # fmt: skip
from grader.harness.snapshot import Peer, Snapshot
from grader.kernel import procfs, sockets
from grader.kernel.procfs import Call, Task
from grader.kernel.sockets import Socket

_SENDING = {"sendto", "sendmsg", "write", "writev"}
_RECEIVING = {"recvfrom", "recvmsg", "read", "readv"}
_ACCEPTING = {"accept", "accept4"}


def is_our_output(pid: int, call: Call) -> bool:
    """Whether CALL, made by process PID, writes to the standard output or error that
    we read."""
    if call.name not in _SENDING:
        return False
    link = procfs.descriptors(pid).get(call.args[0], "")
    return link.startswith(("/dev/pts/", "pipe:"))


# -- asleep -------------------------------------------------------------------


def explain(snapshot: Snapshot, calls: list[tuple[Task, Call]]) -> Finding:
    """The finding for threads that sleep in CALLS, with SNAPSHOT of the connections."""
    finding = Finding("asleep", pid=snapshot.pid)
    waits = _who_waits(snapshot, finding)
    finding.loop = any(snapshot.interests.values())
    task, call = min(calls, key=_interest, default=(None, None))
    if task is None or call is None:
        return finding
    finding.call, finding.shown = call.name, call.shown()
    finding.threads = len(calls)
    peer = _see_descriptor(snapshot, task.pid, call, finding)
    if call.name in _SENDING and peer:
        finding.kind = "blocked_sending"
    elif call.name in _RECEIVING and peer:
        finding.kind = "blocked_receiving"
    elif call.name in _ACCEPTING:
        finding.kind = "blocked_accepting"
    else:
        _see_who_is_watched(snapshot, call, waits, finding)
    return finding


def _interest(pair: tuple[Task, Call]) -> int:
    """Sort key: the thread that says most about why nothing happens comes first."""
    name = pair[1].name
    for rank, names in enumerate((_SENDING, procfs.EPOLL_CALLS, _RECEIVING)):
        if name in names:
            return rank
    return 3


def _see_descriptor(
    snapshot: Snapshot, pid: int, call: Call, finding: Finding
) -> Peer | None:
    """Put down in FINDING which descriptor of process PID its CALL is about. Returns
    the peer if that is a connection."""
    number = finding.descriptor = call.descriptor()
    if number is None:
        return None
    links = snapshot.links if pid == snapshot.pid else procfs.descriptors(pid)
    link = links.get(number, "")
    flags = procfs.status_flags(pid, number)
    finding.nonblocking = None if flags is None else bool(flags & os.O_NONBLOCK)
    for peer in snapshot.peers:
        theirs = snapshot.theirs(peer)
        if theirs and link == f"socket:[{theirs.inode}]":
            finding.role, finding.client = Role.CONNECTION, peer.name
            finding.client_reads = peer.reading
            return peer
    listener = snapshot.listener
    if listener and link == f"socket:[{listener.inode}]":
        finding.role = Role.LISTENER
    elif call.name not in procfs.EPOLL_CALLS:
        finding.role = Role.OTHER if number else Role.INPUT
    return None


def _who_waits(snapshot: Snapshot, finding: Finding) -> Socket | None:
    """Put down in FINDING what the kernel holds that the program should have dealt
    with. Returns the socket that holds it."""
    waits, unread = None, False
    found = []
    for peer in snapshot.peers:
        theirs = snapshot.theirs(peer)
        if not peer.awaited or not theirs:
            continue
        found.append(_waiting(snapshot, peer, theirs))
        if found[-1].state is State.TO_BE_ACCEPTED:
            listener = snapshot.listener
            finding.backlog = listener.rx_queue if listener else 1
            finding.accepted = snapshot.accepted()
        unread |= found[-1].state is State.UNREAD
        if theirs.rx_queue or not unread:
            waits = theirs
    finding.waiting = tuple(found)
    return waits


def _waiting(snapshot: Snapshot, peer: Peer, theirs: Socket) -> Waiting:
    open_here = theirs.state in (sockets.ESTABLISHED, sockets.CLOSE_WAIT)
    if theirs.inode == 0 and open_here:
        return Waiting(peer.name, State.TO_BE_ACCEPTED)
    if theirs.rx_queue:
        # An end that has come but was not received counts as a byte in the queue.
        ended = theirs.state == sockets.CLOSE_WAIT
        number, count = snapshot.descriptor_of(theirs), theirs.rx_queue - ended
        return Waiting(peer.name, State.UNREAD, number, count, ended)
    ended = theirs.state == sockets.CLOSE_WAIT
    return Waiting(peer.name, State.LEFT_OPEN if ended else State.UNANSWERED)


def _see_who_is_watched(
    snapshot: Snapshot, call: Call, waits: Socket | None, finding: Finding
) -> None:
    """Put down in FINDING whether epoll watches the socket that WAITS and, if a client
    is to be accepted, the listening one."""
    unread = bool(finding.who_waits(State.UNREAD))
    finding.kind = "forgot" if unread else "lost"
    if snapshot.interests:
        finding.watched = _watched(snapshot, waits)
    if call.name not in procfs.EPOLL_CALLS:
        return
    if finding.backlog:
        finding.listener = _watched(snapshot, snapshot.listener)
    # If this instance watched that socket for EPOLLIN, by level, the call would return
    # at once when there is something to read or a client to accept. Does it?
    waits = waits if unread else snapshot.listener if finding.backlog else None
    number = snapshot.descriptor_of(waits)
    events = snapshot.interests.get(call.args[0], {}).get(number or -1, 0)
    if events & (procfs.EPOLLIN | procfs.EPOLLET) == procfs.EPOLLIN:
        finding.kind = "withheld"


def _watched(snapshot: Snapshot, socket: Socket | None) -> Watched | None:
    """How epoll watches SOCKET, or None if the program does not have it."""
    number = snapshot.descriptor_of(socket)
    if number is None:
        return None
    for interest in snapshot.interests.values():
        if number in interest:
            return Watched(number, interest[number])
    return Watched(number, None)


# -- whatever it does ---------------------------------------------------------


def observe(finding: Finding, pid: int, port: int) -> Finding:
    """Put down in FINDING what else can be seen of process PID, which listens on PORT,
    whatever it is doing right now. Returns FINDING."""
    finding.same_data = _taken_for_the_listener(pid, port)
    soft, hard = procfs.descriptor_limits(pid)
    # With as many descriptors open as it may have, accept() fails.
    if soft and len(procfs.numbers(f"/proc/{pid}/fd")) >= soft:
        finding.full, finding.may_raise = soft, soft < hard
    if finding.kind == "busy":
        finding.room = _told_of_room(pid)
    return finding


def _taken_for_the_listener(pid: int, port: int) -> SameData | None:
    """Whether epoll hands back the same data for a connection as for the listener."""
    ours = (s for s in sockets.listening() if s.local_port == port)
    listeners = {f"socket:[{s.inode}]" for s in ours}
    links = procfs.descriptors(pid)
    for data in procfs.handed_back(pid).values():
        of_listeners = {data[fd]: fd for fd in data if links.get(fd) in listeners}
        for fd in data:
            if data[fd] in of_listeners and links.get(fd, "") not in listeners:
                return SameData(fd, of_listeners[data[fd]], data[fd])
    return None


def _told_of_room(pid: int) -> int | None:
    """A descriptor on which epoll reports room to send, each time it is asked, though
    nothing is on its way to that client."""
    empty = {f"socket:[{s.inode}]" for s in sockets.in_use() if not s.tx_queue}
    links = procfs.descriptors(pid)
    for interest in procfs.watched(pid).values():
        for fd, events in interest.items():
            always = events & procfs.EPOLLOUT and not events & procfs.EPOLLET
            if always and links.get(fd) in empty:
                return fd
    return None
