"""The TCP sockets of our network namespace, as the kernel shows them.

They are asked for through sock_diag(7), which can leave out those that nobody has and
nothing is in: a crowd that has gone leaves thousands in TIME_WAIT. A kernel without
it still has /proc/net/tcp, which says the same, more slowly (proc(5), and the
kernel's Documentation/networking/proc_net_tcp.rst).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

# As the kernel numbers the states of tcp(7).
ESTABLISHED, SYN_SENT, SYN_RECV, FIN_WAIT1 = 1, 2, 3, 4
TIME_WAIT, CLOSE_WAIT, LISTEN, CLOSING = 6, 8, 10, 11
_ALL = (1 << 12) - 2

# netlink(7): a request, its answer in as many messages as it takes, and their end.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY, _REQUEST_ONE, _REQUEST_DUMP = 20, 0x001, 0x301
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI48x")

# struct inet_diag_req_v2 that names one socket: its ports and addresses, and no cookie.
_ONE = struct.Struct("=BBBxI2s2s4s12x4s12x4xQ")
_NO_COOKIE = (1 << 64) - 1

# An end of a connection: its address, as a number, and its port.
End = tuple[int, int]

# struct inet_diag_msg of <linux/inet_diag.h>, less what is of no interest.
_MESSAGE = struct.Struct("=BBxxHH16s16s16xII4xI")


class Socket(NamedTuple):
    """One socket. Queues are in bytes; of a listening socket rx_queue is the number
    of connections that wait to be accepted, and backlog the number that listen(2) was
    told, -1 where that is not known. inode is 0 for what no program has yet, or has
    any more. Addresses are IPv4's, as numbers, also where a socket has them in IPv6's
    way (ipv6(7)).
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
    """Every TCP socket, but for those in TIME_WAIT."""
    return _in_states(_ALL & ~(1 << TIME_WAIT))


def listening() -> list[Socket]:
    """The listening sockets alone."""
    return _in_states(1 << LISTEN)


def queued(near: End, far: End) -> tuple[int, int]:
    """The bytes in both queues of the socket at the end NEAR of a connection whose
    other end is FAR: what it has received and nobody took, and what it has sent and
    the other end did not acknowledge. Nothing, if there is no such socket."""
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
    # The kernel answers with the listening socket, where no other is left.
    is_there = one is not None and one.state not in (LISTEN, TIME_WAIT)
    return (one.rx_queue, one.tx_queue) if one and is_there else (0, 0)


def _one_from_sock_diag(near: End, far: End) -> Socket | None:
    """The socket at NEAR that is connected with FAR; to ask for one is cheap, however
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
    """The sockets that are in one of STATES, a mask of bits. Raises OSError."""
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
    """The sockets that DATA tells of, then None at a dump's end. Raises OSError."""
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
    """The same as /proc tells it; what cannot be read is left out."""
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
    """The IPv4 address at the end of what /proc shows: words of the machine's order."""
    word = int(address[-8:], 16)
    return socket.ntohl(word)
