"""Keeping strangers' programs apart from the machine: what of it can be had here,
and entering it.

The grader enters a network namespace itself, and each of its workers another one,
because clients have to be on the same loopback as the server: there is no way out of
it, and every port is free. All else is each program's own (sandbox.py). See
network_namespaces(7) and user_namespaces(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir

from grader import strays
from grader.failure import CannotGrade
from grader.sandbox import cell, own_etc
from grader.syscalls import refused_system_calls

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

# Users that systemd gives to services for a moment: nobody's, mostly.
_FIRST_STRANGER, _STRANGERS = 61184, 4000

# The least, usual, and largest size of receive buffers, in bytes: tcp(7).
_RECEIVE_BUFFERS = "4096 131072 1048576"

# How what prlimit and its like say of their own failures begins.
LAUNCHERS_SAY = ("prlimit:", "setpriv:")

# What forbids user namespaces: a file below /proc/sys, the value with which it
# does, who it is, and what to set so that it allows them (until the next boot).
_FORBIDDERS = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor", "0"),
    ("kernel/unprivileged_userns_clone", "0", "the kernel", "1"),
    ("user/max_user_namespaces", "0", "the kernel", "10000"),
)


def enter(wanted: str) -> tuple[str, str]:
    """Prepare isolation as WANTED: auto, required or off.

    To be called once, before any thread is started. Returns which isolation
    there is now ("bubblewrap" or "off"), and why it is not more ("" if wanted
    so). Raises CannotGrade where it is required and cannot be had.
    """
    strays.adopt()
    _there_are_strangers()
    if wanted == "off":
        return "off", ""
    reason = _obstacle()
    if not reason:
        _enter_network()
        return "bubblewrap", ""
    if wanted == "required":
        raise CannotGrade(f"no isolation: {reason}")
    return "off", reason


def require() -> None:
    """Raise CannotGrade where programs cannot be isolated; prepare nothing."""
    if reason := _obstacle():
        raise CannotGrade(f"no isolation: {reason}")


def _obstacle() -> str:
    """Why programs cannot be isolated here, or "". Tried out in a child."""
    if not shutil.which("bwrap", path="/usr/bin:/bin"):
        return "bubblewrap is not installed (make setup installs it)"
    if os.getuid() == 0 and stranger() is None:
        return forbidden() or "root may not become another user here, to run them as"
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(theirs, _try_isolation().encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours, encoding="utf-8", errors="replace") as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return "" if said == "it works" else forbidden() or said or "it does not work here"


def _try_isolation() -> str:
    """Enter a network and a cell: "it works", or what went wrong."""
    try:
        _enter_network()
        bind = ["--ro-bind", "/usr/bin", "/usr/bin", "--ro-bind", gettempdir(), "/mnt"]
        with refused_system_calls() as filter_fd, own_etc(*runs_as()) as etc:
            command = cell("/usr/bin/true", ["true"], filter_fd, etc, extra=bind)
            done = subprocess.run(
                [*as_stranger(), *command],
                capture_output=True,
                pass_fds=[filter_fd, *etc.values()],
                timeout=30,
            )
    except OSError as error:
        return f"this system lets us have no network namespace: {error.strerror}"
    if done.returncode == 0:
        return "it works"
    said = done.stderr.decode(errors="replace").strip() or "bwrap fails"
    sentence = said.splitlines()[-1].partition(". ")[0].rstrip(".")
    return f"this system lets us have no cell: {sentence}"


def forbidden(settings: Path = Path("/proc/sys")) -> str:
    """Who forbids user namespaces here, and how to allow them; "" if nobody does."""
    for name, value, who, allow in _FORBIDDERS:
        with contextlib.suppress(OSError):
            if (settings / name).read_text().strip() == value:
                allowed = f"{name.replace('/', '.')}={allow}"
                return (
                    f"{who} forbids user namespaces to ordinary users; "
                    f"'sudo sysctl -w {allowed}' allows them until the next boot"
                )
    return ""


def allow(settings: Path = Path("/proc/sys")) -> list[str]:
    """Allow user namespaces to ordinary users until the next boot, where that is
    forbidden: what was set, as lines. Raises CannotGrade if it cannot be."""
    done = []
    for name, value, who, allowed in _FORBIDDERS:
        path = settings / name
        if not path.exists() or path.read_text().strip() != value:
            continue
        sudo = [] if os.getuid() == 0 else ["sudo"]
        if sudo and not shutil.which("sudo"):
            raise CannotGrade(f"neither root nor sudo: {forbidden(settings)}")
        if sudo and not os.isatty(0):
            sudo.append("-n")  # nobody could type a password
        command = [*sudo, "tee", str(path)]
        wrote = subprocess.run(
            command, input=allowed, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        if wrote.returncode:
            said = (wrote.stderr.strip().splitlines() or ["tee failed"])[-1]
            raise CannotGrade(f"{said}; {forbidden(settings)}")
        done.append(f"isolation: set {name.replace('/', '.')}={allowed}, for {who}")
    return done


def stranger() -> int | None:
    """The user and group that run this process's programs for root: nobody's, and
    other ones for each process of each grader, for limits are counted by user, and
    root is bound by none. None for an ordinary user, and where root may not become
    another one."""
    return _some_stranger() if _there_are_strangers() else None


def _some_stranger() -> int:
    return _FIRST_STRANGER + os.getpid() % _STRANGERS


@functools.cache
def _there_are_strangers() -> bool:
    """Whether we are root, and may become another user. Tried out in a child."""
    if os.getuid() != 0:
        return False
    child = os.fork()
    if child == 0:
        try:
            user = _some_stranger()
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def runs_as() -> tuple[int, int]:
    """The user and the group that programs run as."""
    user = stranger()
    return (os.getuid(), os.getgid()) if user is None else (user, user)


def as_stranger(in_a_cell: bool = False) -> list[str]:
    """What to put before a command so that it can gain no privileges, and has
    none of root's to begin with. (IN_A_CELL bubblewrap sees to the first.)"""
    user = stranger()
    if user is None and in_a_cell:
        return []
    command = ["/usr/bin/setpriv", "--no-new-privs"]
    if user is not None:
        command += [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return [*command, "--"]


def _enter_network() -> None:
    """Move this process into a network namespace where only loopback is."""
    _unshare_network()
    # A namespace has its own table of connections, and a small one that is read
    # in no time, if the one that it was made in says so (ip-sysctl, Linux 6.1).
    if _set("tcp_child_ehash_entries", "4096"):
        ctypes.CDLL(None).unshare(_CLONE_NEWNET)
    _set_up_network()


def enter_own_network() -> None:
    """Move this process, which is in a network of ours, into another one like it, and
    an ordinary user's into a user namespace of its own, by which the processes of its
    programs are counted (user_namespaces(7))."""
    _unshare_network()
    _set_up_network()


def _unshare_network() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    flags = _CLONE_NEWNET if uid == 0 else _CLONE_NEWUSER | _CLONE_NEWNET
    if libc.unshare(flags) < 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if flags & _CLONE_NEWUSER:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def _set_up_network() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, request)
        up = struct.unpack("16sh14x", answer)[1] | _IFF_UP
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", up))
    # The kernel's buffers shall not grow beyond 1 MiB, so that a client which does
    # not read is felt sooner (tcp(7)). Where they do, it only takes longer.
    _set("tcp_rmem", _RECEIVE_BUFFERS)
    _set("tcp_wmem", "4096 16384 1048576")
    _set("tcp_child_ehash_entries", "4096")
    # A table of that size keeps 2,048 connections in TIME_WAIT, and ten thousand
    # clients leave more. The kernel drops the rest, and then a server without
    # SO_REUSEADDR could bind its port again (ip-sysctl).
    _set("tcp_max_tw_buckets", "262144")


@contextlib.contextmanager
def large_receive_buffers() -> Iterator[None]:
    """In our network, a socket that begins to listen meanwhile has connections whose
    receive buffers are large from the beginning."""
    _set("tcp_rmem", "4096 1048576 1048576")
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
