"""The system calls that a program in a cell is refused, as a seccomp filter.

Namespaces already hide the machine. Refused are, besides, the few calls that
reach around them: to what has no namespace, to memory that belongs to no process
(so that nobody could say whose it is), and to large young parts of the kernel
that no exercise needs. See seccomp(2); libseccomp makes the filter.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import mmap
import os
import socket
import tempfile
from collections.abc import Iterator

import seccomp

# With ENOSYS libraries do without, as on an older kernel.
_REFUSED = (
    # Keyrings have no namespace: the user's own could be read.
    "add_key", "keyctl", "request_key",
    # Memory outside any process.
    "memfd_create", "memfd_secret", "shmget", "msgget", "semget", "mq_open",
    # Where most of the kernel's recent holes were.
    "bpf", "io_uring_enter", "io_uring_register", "io_uring_setup",
    "perf_event_open", "userfaultfd",
)  # fmt: skip

_MAP_SHARED_VALIDATE, _MAP_TYPE = 0x03, 0x0F

# What lies behind other families (a virtual machine's host, the kernel's crypto,
# Bluetooth) is not in the network namespace.
_FAMILIES = {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}
_LAST_FAMILY = max(_FAMILIES)


@functools.cache
def _filter() -> bytes:
    """The filter as the kernel takes it. Calls of another architecture (32 bits)
    kill, which is what libseccomp does unless told otherwise."""
    rules = seccomp.SyscallFilter(defaction=seccomp.ALLOW)
    for name in _REFUSED:
        with contextlib.suppress(RuntimeError):  # libseccomp is older than the call
            rules.add_rule(seccomp.ERRNO(errno.ENOSYS), name)
    # Shared memory outlives the process that touched it, in no process's sight.
    for how in (mmap.MAP_SHARED, _MAP_SHARED_VALIDATE):
        shared = seccomp.Arg(3, seccomp.MASKED_EQ, _MAP_TYPE, how)
        rules.add_rule(seccomp.ERRNO(errno.EPERM), "mmap", shared)
    no_family = seccomp.ERRNO(errno.EAFNOSUPPORT)
    later = seccomp.Arg(0, seccomp.GT, int(_LAST_FAMILY))
    rules.add_rule(no_family, "socket", later)
    for family in set(range(_LAST_FAMILY)) - _FAMILIES:
        rules.add_rule(no_family, "socket", seccomp.Arg(0, seccomp.EQ, int(family)))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


@contextlib.contextmanager
def refused_system_calls() -> Iterator[int]:
    """A descriptor from which one bwrap can read the filter, once."""
    ours, theirs = os.pipe()
    try:
        os.write(theirs, _filter())
        os.close(theirs)
        yield ours
    finally:
        os.close(ours)
