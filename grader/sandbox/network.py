"""A network of our own, where only loopback is.

The grader enters a network namespace itself, and each of its workers another one,
because clients have to be on the same loopback as the server: there is no way out of
it, and every port is free. See network_namespaces(7) and user_namespaces(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

# The least, usual, and largest size of receive buffers, in bytes: tcp(7).
_RECEIVE_BUFFERS = "4096 131072 1048576"
_LARGE_RECEIVE_BUFFERS = "4096 1048576 1048576"


def enter_first() -> None:
    """Move this process from the machine's network into one of ours. Raises OSError
    where that is not allowed."""
    _unshare()
    # A namespace has its own table of connections, and a small one that is read
    # in no time, if the one that it was made in says so (ip-sysctl, Linux 6.1).
    if _set("tcp_child_ehash_entries", "4096"):
        ctypes.CDLL(None).unshare(_CLONE_NEWNET)
    _set_up()


def enter_another() -> None:
    """Move this process, which is in a network of ours, into another one like it, and
    an ordinary user's into a user namespace of its own, by which the processes of its
    programs are counted (user_namespaces(7)). Raises OSError."""
    _unshare()
    _set_up()


def _unshare() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    flags = _CLONE_NEWNET if uid == 0 else _CLONE_NEWUSER | _CLONE_NEWNET
    if libc.unshare(flags) < 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if flags & _CLONE_NEWUSER:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def _set_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, request)
        up = struct.unpack("16sh14x", answer)[1] | _IFF_UP
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", up))
    # Keep the kernel's buffers below 1 MiB, so that a server notices sooner when a
    # client does not read (tcp(7)). If we may not set that, it only takes longer.
    _set("tcp_rmem", _RECEIVE_BUFFERS)
    _set("tcp_wmem", "4096 16384 1048576")
    _set("tcp_child_ehash_entries", "4096")
    # A table of that size keeps 2,048 connections in TIME_WAIT, and ten thousand
    # clients leave more. The kernel would drop the rest, and a server without
    # SO_REUSEADDR could bind its port again (ip-sysctl).
    _set("tcp_max_tw_buckets", "262144")


@contextlib.contextmanager
def large_receive_buffers() -> Iterator[None]:
    """In a network of ours: connections of a socket that begins to listen meanwhile
    have large receive buffers from the beginning."""
    _set("tcp_rmem", _LARGE_RECEIVE_BUFFERS)
    try:
        yield
    finally:
        _set("tcp_rmem", _RECEIVE_BUFFERS)


def _set(name: str, value: str) -> bool:
    """Set a sysctl of our network; in some containers they are read-only."""
    try:
        Path("/proc/sys/net/ipv4", name).write_text(value)
    except OSError:
        return False
    return True
