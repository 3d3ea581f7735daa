"""The system calls that a program in a cell is refused, as a seccomp filter.

Namespaces already hide the machine. This refuses the few calls that reach around them:
to what has no namespace, to memory that belongs to no process (so that we could not
tell whose it is), into the cell's init, and to large young parts of the kernel that no
exercise needs. See seccomp(2); libseccomp makes the filter.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import socket
import tempfile
import termios
from collections.abc import Iterator

import seccomp

# They fail with ENOSYS: libraries do without them, as on an older kernel.
_REFUSED = (
    # Keyrings have no namespace: the user's own could be read.
    "add_key", "keyctl", "request_key",
    # Memory outside any process. (A page that vmsplice() leaves in a pipe can be a
    # huge one.)
    "memfd_create", "memfd_secret", "shmget", "msgget", "semget", "mq_open",
    "vmsplice",
    # A limited number for the whole machine.
    "io_setup",
    # Other processes, such as init, which ends the cell when the grader ends.
    "pidfd_getfd", "process_vm_readv", "process_vm_writev",
    # Filters of its own are the kernel's memory.
    "seccomp",
    # Where most of the kernel's recent holes were.
    "bpf", "io_uring_enter", "io_uring_register", "io_uring_setup",
    "perf_event_open", "userfaultfd",
)  # fmt: skip

# Those of them that the C library has functions for, or calls in its own functions.
REFUSED_FUNCTIONS = frozenset({*_REFUSED, "shm_open", "sem_open"} - {"seccomp", "bpf"})

# Refused for one value of an argument (here its index), which is an int: the kernel
# ignores the upper half. With prctl() init could outlive the grader, and a terminal can
# make the kernel load modules.
_INT = 0xFFFFFFFF
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP = 1, 22
_REFUSED_FOR = (
    ("prctl", 0, _PR_SET_PDEATHSIG),
    ("prctl", 0, _PR_SET_SECCOMP),
    ("ioctl", 1, termios.TIOCSETD),
)

# Other families reach beyond the network namespace: to a virtual machine's host, the
# kernel's crypto, Bluetooth.
_FAMILIES = {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}
_LAST_FAMILY = max(_FAMILIES)


@functools.cache
def _filter(tracing: bool) -> bytes:
    """The filter in the kernel's format. A system call of another architecture (32
    bits) kills the program: that is libseccomp's default."""
    rules = seccomp.SyscallFilter(defaction=seccomp.ALLOW)
    for name in _REFUSED if tracing else (*_REFUSED, "ptrace"):
        with contextlib.suppress(RuntimeError):  # libseccomp is older than the call
            rules.add_rule(seccomp.ERRNO(errno.ENOSYS), name)
    for name, index, number in _REFUSED_FOR:
        same = seccomp.Arg(index, seccomp.MASKED_EQ, _INT, number)
        rules.add_rule(seccomp.ERRNO(errno.EPERM), name, same)
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
def refused_system_calls(tracing: bool = False) -> Iterator[int]:
    """A descriptor from which bwrap can read the filter, once. With TRACING the program
    may use ptrace(): LeakSanitizer stops the other threads with it."""
    ours, theirs = os.pipe()
    try:
        os.write(theirs, _filter(tracing))
        os.close(theirs)
        yield ours
    finally:
        os.close(ours)
