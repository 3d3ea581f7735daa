"""A program's connections at one moment, and how the program holds and watches them.

A snapshot is taken in this order: the tasks, the sockets, the descriptors and interest
lists, the sockets again, and the tasks again (Snapshot.holds). If the program has not
run in between, and no queue has changed, all of it was true at the same time.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from grader.kernel import procfs, sockets
from grader.kernel.procfs import Task
from grader.kernel.sockets import Socket

# The states of our end while the kernel is still opening or closing a connection.
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
    reading: bool  # whether we read what comes
    awaited: bool  # whether we wait for its answer or its end


# Both ends of each connection, and the listening socket.
Connections = list[tuple[Socket | None, Socket | None]]


class Snapshot:
    """The connections of process PID, which listens on PORT, with its PEERS. Look at
    its tasks before making one."""

    def __init__(self, pid: int, peers: list[Peer], port: int) -> None:
        self.pid = pid
        self.peers = peers
        self.port = port
        self._look()

    @functools.cached_property
    def links(self) -> dict[int, str]:
        """Its descriptors. A server may have thousands, so we look at them once."""
        return procfs.descriptors(self.pid)

    @functools.cached_property
    def interests(self) -> dict[int, dict[int, int]]:
        """Its epoll instances, each with the events by watched descriptor."""
        return procfs.watched(self.pid)

    def _look(self) -> None:
        port, seen = self.port, sockets.in_use()
        connections = [s for s in seen if s.state != sockets.LISTEN]
        self._of_ours = {
            (s.local_address, s.local_port, s.remote_port): s for s in connections
        }
        self._of_theirs = {
            (s.remote_address, s.remote_port, s.local_port): s for s in connections
        }
        listening = (s for s in seen if s.state == sockets.LISTEN)
        self.listener = next((s for s in listening if s.local_port == port), None)

    @property
    def connections(self) -> Connections:
        """All that can be seen of them, to compare with another snapshot's."""
        both = [(self.ours(peer), self.theirs(peer)) for peer in self.peers]
        return [*both, (self.listener, None)]

    def holds(self, tasks: list[Task]) -> bool:
        """Whether everything seen since we looked at TASKS was there at the same time:
        the program has not run, and the kernel has not moved anything."""
        before = self.connections
        self._look()
        return self.connections == before and procfs.tasks(self.pid) == tasks

    def ours(self, peer: Peer) -> Socket | None:
        """Our end of PEER's connection."""
        return self._of_ours.get((peer.address, peer.port, peer.program_port))

    def theirs(self, peer: Peer) -> Socket | None:
        """The program's end of PEER's connection."""
        return self._of_theirs.get((peer.address, peer.port, peer.program_port))

    def accepted(self) -> int:
        """How many of the present connections the program has accepted."""
        ends = self._of_ours.values()
        return sum(end.local_port == self.port and end.inode > 0 for end in ends)

    def descriptor_of(self, socket: Socket | None) -> int | None:
        """The program's descriptor for SOCKET, or None if it has none."""
        if socket is None or not socket.inode:
            return None
        name = f"socket:[{socket.inode}]"
        return next((fd for fd, link in self.links.items() if link == name), None)

    def something_is_on_its_way(self) -> bool:
        """Whether the kernel will deliver more by itself."""
        for peer in self.peers:
            ours, theirs = self.ours(peer), self.theirs(peer)
            if theirs and theirs.state == sockets.SYN_RECV and peer.awaited:
                return True  # TCP_DEFER_ACCEPT, or an ACK that found no room
            if ours and ours.state in _IN_TRANSITION:
                # An unacknowledged end behind unread bytes is stuck.
                if not (theirs and theirs.rx_queue):
                    return True
            if ours and ours.tx_queue and not (theirs and theirs.rx_queue):
                return True
            if peer.reading and (
                (ours and ours.rx_queue) or (theirs and theirs.tx_queue)
            ):
                return True
        return False
