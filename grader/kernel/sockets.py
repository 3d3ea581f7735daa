"""The TCP sockets of our network namespace, as the kernel shows them.

We ask through sock_diag(7), which can leave out sockets that nobody holds and that are
empty: a crowd that has disconnected leaves thousands in TIME_WAIT. A kernel without
sock_diag still has /proc/net/tcp, which says the same, but more slowly (proc(5), and
the kernel's Documentation/networking/proc_net_tcp.rst).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

# The kernel's numbers for the states of tcp(7).
ESTABLISHED, SYN_SENT, SYN_RECV, FIN_WAIT1 = 1, 2, 3, 4
TIME_WAIT, CLOSE_WAIT, LISTEN, CLOSING = 6, 8, 10, 11
_ALL = (1 << 12) - 2

# netlink(7): a request, then its answer in as many messages as it takes, then an end.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY, _REQUEST_ONE, _REQUEST_DUMP = 20, 0x001, 0x301
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI48x")

# struct inet_diag_req_v2 that names one socket by ports and addresses, with no cookie.
_ONE = struct.Struct("=BBBxI2s2s4s12x4s12x4xQ")
_NO_COOKIE = (1 << 64) - 1

# One end of a connection: its address, as a number, and its port.
End = tuple[int, int]

# The parts of struct inet_diag_msg, <linux/inet_diag.h>, that we use.
_MESSAGE = struct.Struct("=BBxxHH16s16s16xII4xI")


class Socket(NamedTuple):
    """One socket.

    Queues are in bytes. For a listening socket, rx_queue is the number of connections
    that wait to be accepted, and backlog is the number passed to listen(2), -1 if that
    is not known. inode is 0 if no program holds the socket yet, or any more. Addresses
    are IPv4 addresses as numbers, even if the socket maps them into IPv6 (ipv6(7)).
    """

    local_port: int
    remote_port: int
    state: int
    tx_queue: int
    rx_queue: int
    inode: int
    any_address: bool = False
    backlog: int = -1
    local_address: int = 0
    remote_address: int = 0


def in_use() -> list[Socket]:
    """Every TCP socket except those in TIME_WAIT."""
    return _in_states(_ALL & ~(1 << TIME_WAIT))


def listening() -> list[Socket]:
    """Only the listening sockets."""
    return _in_states(1 << LISTEN)


def queued(near: End, far: End) -> tuple[int, int]:
    """The bytes in both queues of the socket at the end NEAR of the connection to FAR:
    received but not yet read, and sent but not yet acknowledged. Both are 0 if there is
    no such socket."""
    try:
        one = _one_from_sock_diag(near, far)
    except FileNotFoundError:
        return 0, 0
    except OSError:
        ends = {
            ((s.local_address, s.local_port), (s.remote_address, s.remote_port)): s
            for s in from_proc(_ALL & ~(1 << TIME_WAIT))
        }
        one = ends.get((near, far))
    # If no other socket is left, the kernel answers with the listening one.
    is_there = one is not None and one.state not in (LISTEN, TIME_WAIT)
    return (one.rx_queue, one.tx_queue) if one and is_there else (0, 0)


def _one_from_sock_diag(near: End, far: End) -> Socket | None:
    """The socket at NEAR that is connected to FAR. Asking for one is cheap, however
    many there are. Raises FileNotFoundError if there is none, and OSError."""
    (our_address, our_port), (their_address, their_port) = near, far
    asked = _ONE.pack(
        socket.AF_INET, socket.IPPROTO_TCP, 0, _ALL,
        our_port.to_bytes(2, "big"), their_port.to_bytes(2, "big"),
        our_address.to_bytes(4, "big"), their_address.to_bytes(4, "big"), _NO_COOKIE,
    )  # fmt: skip
    length = _HEADER.size + len(asked)
    with _netlink() as netlink:
        head = _HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _REQUEST_ONE, 0, 0)
        netlink.send(head + asked)
        return next(_messages(netlink.recv(1 << 16)))


def _in_states(states: int) -> list[Socket]:
    try:
        return list(from_sock_diag(states))
    except OSError:
        return list(from_proc(states))


def from_sock_diag(states: int) -> Iterator[Socket]:
    """The sockets in one of STATES, a bit mask. Raises OSError."""
    with _netlink() as netlink:
        for family in (socket.AF_INET, socket.AF_INET6):
            asked = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, states)
            length = _HEADER.size + len(asked)
            head = _HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 0, 0)
            netlink.send(head + asked)
            yield from _answer(netlink)


def _netlink() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    return socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG)


def _answer(netlink: socket.socket) -> Iterator[Socket]:
    """The sockets in the answer to a dump, up to its end. Raises OSError."""
    while True:
        for one in _messages(netlink.recv(1 << 16)):
            if one is None:
                return
            yield one


def _messages(data: bytes) -> Iterator[Socket | None]:
    """The sockets in DATA, then None at the end of a dump. Raises OSError."""
    at = 0
    while at < len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        if kind == _ERROR:
            (error,) = struct.unpack_from("=i", data, at + _HEADER.size)
            raise OSError(-error, os.strerror(-error))
        if kind == _DONE:
            yield None
            return
        yield _from_message(*_MESSAGE.unpack_from(data, at + _HEADER.size))
        at += length + 3 & ~3


def _from_message(
    family: int,
    state: int,
    local: int,
    remote: int,
    local_address: bytes,
    remote_address: bytes,
    rx_queue: int,
    tx_queue: int,
    inode: int,
) -> Socket:
    four = slice(12, 16) if family == socket.AF_INET6 else slice(0, 4)
    listens = state == LISTEN
    return Socket(
        socket.ntohs(local),
        socket.ntohs(remote),
        state,
        0 if listens else tx_queue,
        rx_queue,
        inode,
        not any(local_address),
        tx_queue if listens else -1,
        int.from_bytes(local_address[four], "big"),
        int.from_bytes(remote_address[four], "big"),
    )


def from_proc(states: int) -> Iterator[Socket]:
    """The same from /proc; whatever can't be read is left out."""
    for family in ("tcp", "tcp6"):
        try:
            with open(f"/proc/self/net/{family}", encoding="ascii") as file:
                lines = file.readlines()[1:]
        except OSError:
            continue
        for line in lines:
            found = _from_line(line)
            if states >> found.state & 1:
                yield found


def _from_line(line: str) -> Socket:
    fields = line.split()
    address, port = fields[1].split(":")
    remote_address, remote_port = fields[2].split(":")
    tx_queue, rx_queue = (int(part, 16) for part in fields[4].split(":"))
    return Socket(
        int(port, 16),
        int(remote_port, 16),
        int(fields[3], 16),
        tx_queue,
        rx_queue,
        int(fields[9]),
        set(address) == {"0"},
        local_address=_last_four(address),
        remote_address=_last_four(remote_address),
    )


def _last_four(address: str) -> int:
    """The IPv4 address at the end of ADDRESS, which /proc shows as words in the
    machine's byte order."""
    word = int(address[-8:], 16)
    return socket.ntohl(word)


def is_chosen_by_the_kernel(port: int) -> bool:
    """Whether PORT is one of those that the kernel gives to sockets which ask for none
    (ip(7), ip_local_port_range)."""
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            lowest, highest = map(int, file.read().split())
    except (OSError, ValueError):
        lowest, highest = 32768, 60999  # the usual ones
    return lowest <= port <= highest
