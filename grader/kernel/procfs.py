"""What the kernel shows of a process: a read-only view of /proc.

Everything here is a snapshot. A process or a descriptor may be gone by the time we
look at it; then it is left out, which is never an error. Source: proc(5).
"""

from __future__ import annotations

import os
import platform
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass

_X86_64 = {
    0: "read", 1: "write", 3: "close", 7: "poll", 16: "ioctl", 19: "readv",
    20: "writev", 23: "select", 34: "pause", 35: "nanosleep", 42: "connect",
    43: "accept", 44: "sendto", 45: "recvfrom", 46: "sendmsg", 47: "recvmsg",
    61: "wait4", 128: "rt_sigtimedwait", 130: "rt_sigsuspend", 202: "futex",
    219: "restart_syscall", 230: "clock_nanosleep", 232: "epoll_wait", 247: "waitid",
    270: "pselect6",
    271: "ppoll", 281: "epoll_pwait", 288: "accept4", 426: "io_uring_enter",
    441: "epoll_pwait2",
}  # fmt: skip
_AARCH64 = {
    22: "epoll_pwait", 29: "ioctl", 57: "close", 63: "read", 64: "write", 65: "readv",
    66: "writev", 72: "pselect6", 73: "ppoll", 95: "waitid", 98: "futex",
    101: "nanosleep", 115: "clock_nanosleep", 128: "restart_syscall",
    133: "rt_sigsuspend",
    137: "rt_sigtimedwait", 202: "accept", 203: "connect", 206: "sendto",
    207: "recvfrom", 211: "sendmsg", 212: "recvmsg", 242: "accept4", 260: "wait4",
    426: "io_uring_enter", 441: "epoll_pwait2",
}  # fmt: skip
_SYSCALLS = _AARCH64 if platform.machine() == "aarch64" else _X86_64

_EVENTS = {
    "EPOLLIN": 1, "EPOLLPRI": 2, "EPOLLOUT": 4, "EPOLLRDHUP": 1 << 13,
    "EPOLLEXCLUSIVE": 1 << 28, "EPOLLONESHOT": 1 << 30, "EPOLLET": 1 << 31,
}  # fmt: skip
EPOLLIN, EPOLLOUT, EPOLLET = (
    _EVENTS[name] for name in ("EPOLLIN", "EPOLLOUT", "EPOLLET")
)
EPOLL_CALLS = {"epoll_wait", "epoll_pwait", "epoll_pwait2"}

# Which argument says how long a call may sleep: a C int of milliseconds (-1: for
# ever), or a pointer to a time (NULL: for ever).
_TIMEOUT_INT = {"epoll_wait": 3, "epoll_pwait": 3, "poll": 2}
_TIMEOUT_POINTER = {"epoll_pwait2": 3, "ppoll": 2, "select": 4, "pselect6": 4}
# restart_syscall(2) continues a sleep that was interrupted.
_ALWAYS_TIMED = {"nanosleep", "clock_nanosleep", "restart_syscall"}

# In a mask of signals, bit N - 1 stands for signal N: proc_pid_status(5).
_ALARMS = sum(
    1 << number - 1 for number in (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF)
)


# How many bytes of a file we ask for at once.
_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Call:
    """The system call that a sleeping thread is in."""

    name: str
    args: tuple[int, ...]
    place: tuple[int, int]  # stack pointer and program counter

    def shown(self) -> str:
        """Its name as a C programmer writes it: "recv()"."""
        short = {"sendto": "send", "recvfrom": "recv", "accept4": "accept"}
        name = short.get(self.name, self.name)
        return name if " " in name else f"{name}()"

    def timed(self) -> bool:
        """Whether the call ends by itself after some time."""
        if self.name in _ALWAYS_TIMED:
            return True
        if self.name in _TIMEOUT_INT:
            return self.args[_TIMEOUT_INT[self.name]] & 0xFFFFFFFF < 0x80000000
        if self.name in _TIMEOUT_POINTER:
            return self.args[_TIMEOUT_POINTER[self.name]] != 0
        return self.name == "futex" and self.args[3] != 0

    def naps(self) -> bool:
        """Whether it waits for time alone, or for time and some of the events that the
        program may get. epoll_wait, which can wait for all of them, does not nap."""
        return self.timed() and self.name not in EPOLL_CALLS

    def descriptor(self) -> int | None:
        """The descriptor that the call is about; None if it isn't about one."""
        if self.name in {"poll", "ppoll", "select", "pselect6", "wait4", "waitid"}:
            return None
        if self.name in _ALWAYS_TIMED | {"futex", "pause"} or "sig" in self.name:
            return None
        return None if self.name.startswith("system call") else self.args[0]


@dataclass(frozen=True)
class Task:
    """One thread: its state letter, as in proc_pid_stat(5), and the call that it
    sleeps in."""

    pid: int
    tid: int
    state: str
    call: Call | None
    switches: int  # context switches so far, of both kinds

    def asleep(self) -> bool:
        """Whether it is asleep in a system call, not just waiting for a processor."""
        return self.state in "SD" and self.call is not None


def read(path: str) -> str:
    """The text of PATH, a file in /proc; "" if it doesn't exist."""
    pieces = []
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        while piece := os.read(file, _AT_ONCE):
            pieces.append(piece)
    except OSError:
        return ""
    finally:
        os.close(file)
    return b"".join(pieces).decode(errors="replace")


def _call(text: str) -> Call | None:
    fields = text.split()
    if len(fields) != 9:  # "running", or not for us to see
        return None
    number = int(fields[0])
    values = [int(field, 16) for field in fields[1:]]
    name = _SYSCALLS.get(number, f"system call {number}")
    return Call(name, tuple(values[:6]), (values[6], values[7]))


def children(pid: int) -> list[int]:
    """The child processes of PID."""
    pids: list[int] = []
    for tid in numbers(f"/proc/{pid}/task"):
        pids += map(int, read(f"/proc/{pid}/task/{tid}/children").split())
    return pids


def tree(pid: int) -> list[int]:
    """PID and all its descendants, parents first."""
    pids = [pid]
    for parent in pids:
        pids += children(parent)
    return pids


def numbers(folder: str) -> list[int]:
    """The numeric entries of FOLDER, a folder in /proc; none if it doesn't exist."""
    try:
        return [int(name) for name in os.listdir(folder) if name.isdigit()]
    except OSError:
        return []


def tasks(pid: int) -> list[Task]:
    """Every thread of PID and of its descendants, as they are now."""
    found = []
    for process in tree(pid):
        for tid in numbers(f"/proc/{process}/task"):
            folder = f"/proc/{process}/task/{tid}"
            before = _switches(folder)
            state = read(f"{folder}/stat").rpartition(")")[2].split()[:1]
            call = _call(read(f"{folder}/syscall"))
            # With a context switch in between, the readings would be of two moments.
            if state and before is not None and before == _switches(folder):
                found.append(Task(process, tid, state[0], call, before))
            elif state:
                found.append(Task(process, tid, "R", None, -1))
    return found


def _switches(folder: str) -> int | None:
    counts = re.findall(r"ctxt_switches:\s+(\d+)", read(f"{folder}/status"))
    return sum(map(int, counts)) if counts else None


def processor_seconds(pid: int) -> float:
    """Seconds of processor time that the living threads of PID's tree have used."""
    return sum(on_it for on_it, _ in scheduled_seconds(pid))


def busy_seconds(pid: int) -> float:
    """The total time, in seconds, that the living threads of PID's tree have been on a
    processor or have waited for one."""
    return sum(on_it + waited for on_it, waited in scheduled_seconds(pid))


def scheduled_seconds(pid: int) -> Iterator[tuple[float, float]]:
    """For each living thread of PID's tree, how many seconds it has been on a processor
    and has waited for one. (The kernel's Documentation/scheduler/sched-stats.rst.)"""
    for process in tree(pid):
        for tid in numbers(f"/proc/{process}/task"):
            fields = read(f"/proc/{process}/task/{tid}/schedstat").split()
            if fields:
                yield int(fields[0]) / 1e9, int(fields[1]) / 1e9


def memory_bytes(pid: int) -> int:
    """Memory of PID's tree that holds data: anonymous pages, swapped or not, and shared
    ones. Counted page by page, because status can miss dozens of pages
    (proc_pid_status(5))."""
    total = 0
    for process in tree(pid):
        pages = read(f"/proc/{process}/smaps_rollup")
        sizes = re.findall(
            r"^(?:Anonymous|Swap|Pss_Shmem):\s+(\d+) kB", pages, re.MULTILINE
        )
        total += sum(map(int, sizes)) * 1024
    return total


def descriptors(pid: int) -> dict[int, str]:
    """The open descriptors of PID, each with the target of its link."""
    links = {}
    for fd in numbers(f"/proc/{pid}/fd"):
        try:
            links[fd] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
    return links


def descriptor_limits(pid: int) -> tuple[int, int]:
    """How many descriptors PID may have: its soft and its hard limit. Both are 0 if PID
    is gone."""
    limits = re.search(
        r"^Max open files\s+(\d+)\s+(\d+)", read(f"/proc/{pid}/limits"), re.M
    )
    return (int(limits[1]), int(limits[2])) if limits else (0, 0)


def watched(pid: int) -> dict[int, dict[int, int]]:
    """The epoll instances of PID, each with its watched descriptors and events."""
    return _interest_lists(pid, "events")


def handed_back(pid: int) -> dict[int, dict[int, int]]:
    """The epoll instances of PID, each with its watched descriptors and the data that
    comes with their events."""
    return _interest_lists(pid, "data")


def _interest_lists(pid: int, column: str) -> dict[int, dict[int, int]]:
    found = {}
    line = re.compile(rf"^tfd:\s*(\d+) .*\b{column}:\s*([0-9a-f]+)", re.MULTILINE)
    for fd, link in descriptors(pid).items():
        if link == "anon_inode:[eventpoll]":
            pairs = line.findall(read(f"/proc/{pid}/fdinfo/{fd}"))
            found[fd] = {int(target): int(value, 16) for target, value in pairs}
    return found


def status_flags(pid: int, descriptor: int) -> int | None:
    """The file status flags (open(2): O_NONBLOCK and others) of a DESCRIPTOR of PID, or
    None if it has no such descriptor. Source: proc(5), /proc/PID/fdinfo."""
    line = re.search(
        r"^flags:\s*([0-7]+)", read(f"/proc/{pid}/fdinfo/{descriptor}"), re.MULTILINE
    )
    return int(line[1], 8) if line else None


def event_names(events: int) -> str:
    """An epoll event mask in the words of epoll_ctl(2)."""
    names = [name for name, bit in _EVENTS.items() if events & bit]
    return " | ".join(names) or "nothing"


def may_be_woken(pid: int) -> bool:
    """Whether PID may be woken by time alone: by an armed timerfd, a POSIX timer, or a
    timer of setitimer(2). The kernel hides the last kind, so a handler for one of its
    signals counts."""
    caught = re.search(r"^SigCgt:\s+(\w+)", read(f"/proc/{pid}/status"), re.MULTILINE)
    if caught and int(caught[1], 16) & _ALARMS:
        return True
    if read(f"/proc/{pid}/timers"):
        return True
    for fd, link in descriptors(pid).items():
        if link == "anon_inode:[timerfd]":
            info = read(f"/proc/{pid}/fdinfo/{fd}")
            if re.search(r"it_value: \((?!0, 0\))", info):
                return True
    return False


def processor() -> int:
    """The number of the processor that we are running on; -1 if that is not known."""
    fields = read("/proc/thread-self/stat").rpartition(")")[2].split()
    return int(fields[36]) if len(fields) > 36 else -1
