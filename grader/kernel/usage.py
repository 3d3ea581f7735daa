"""What a program uses of the machine: a process with all its descendants, and the
kernel's own memory, which belongs to no process.

Sources: proc_pid_status(5), proc_pid_stat(5), proc_sys_fs(5), proc_meminfo(5).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from grader.kernel.procfs import descriptors, numbers, read, tree


@dataclass(frozen=True)
class Use:
    """What a process and its descendants use together. Processor time includes that of
    descendants that have ended and been waited for."""

    tasks: int
    memory_bytes: int
    processor_seconds: float


# Page tables are memory, too: one page for each 2 MiB that was ever touched.
_HOLDS_DATA = re.compile(r"^(?:RssAnon|RssShmem|VmSwap|VmPTE):\s+(\d+)", re.M)
_PAGE_TABLES = re.compile(r"^VmPTE:\s+(\d+)", re.M)
_HOLDS_ITS_SHARE = re.compile(r"^(?:Pss_Anon|Pss_Shmem|SwapPss):\s+(\d+)", re.M)


def _kilobytes(process: int, file: str, pattern: re.Pattern[str]) -> int:
    """The sum of the numbers that PATTERN finds in FILE of PROCESS. If its first thread
    has ended, only the other threads still show the memory."""
    for tid in numbers(f"/proc/{process}/task"):
        if sizes := pattern.findall(read(f"/proc/{tid}/{file}")):
            return sum(map(int, sizes))
    return 0


def use(pid: int) -> Use:
    """What PID's tree uses now. A shared page counts once for each process that has
    it."""
    threads, kilobytes, ticks = 0, 0, 0
    for process in tree(pid):
        kilobytes += _kilobytes(process, "status", _HOLDS_DATA)
        fields = read(f"/proc/{process}/stat").rpartition(")")[2].split()
        if fields:  # numbered as in proc_pid_stat(5), less the first two
            ticks += sum(map(int, fields[14 - 3 : 18 - 3]))
            threads += int(fields[20 - 3])
    return Use(threads, kilobytes << 10, ticks / os.sysconf("SC_CLK_TCK"))


def proportional_bytes(pid: int) -> int:
    """Memory of PID's tree that holds data; shared pages count once. Slow."""
    kilobytes = 0
    for process in tree(pid):
        kilobytes += _kilobytes(process, "smaps_rollup", _HOLDS_ITS_SHARE)
        kilobytes += _kilobytes(process, "status", _PAGE_TABLES)
    return kilobytes << 10


def sockets_in_use() -> tuple[int, int]:
    """How many TCP sockets, and how many others, our network namespace has."""
    counts = re.findall(r"^(\S+) +\d+ +(\d+) ", read("/proc/self/net/protocols"), re.M)
    tcp = sum(int(count) for name, count in counts if name.startswith("TCP"))
    return tcp, sum(int(count) for _, count in counts) - tcp


def tcp_memory_bytes() -> int:
    """Memory that TCP uses for its queues, in all network namespaces together."""
    memory = re.search(r"^TCP: .* mem (\d+)", read("/proc/self/net/sockstat"), re.M)
    return int(memory[1]) * os.sysconf("SC_PAGE_SIZE") if memory else 0


def files_in_tmp(pid: int, size: int) -> int:
    """How many files there are in PID's own /tmp, which has SIZE bytes. A process that
    is still entering its cell has another /tmp; it counts as 0."""
    try:
        state = os.statvfs(f"/proc/{pid}/root/tmp")
    except OSError:
        return 0
    own = state.f_blocks * state.f_frsize == size
    return state.f_files - state.f_ffree if own else 0


def oom_kills() -> int:
    """How many processes the kernel has killed so far because it ran out of memory."""
    count = re.search(r"^oom_kill (\d+)", read("/proc/vmstat"), re.M)
    return int(count[1]) if count else 0


def open_files() -> int:
    """How many open files the whole machine has. Cheap."""
    return int(read("/proc/sys/fs/file-nr").split()[0])


def has_open(pid: int, count: int) -> bool:
    """Whether PID's tree has more than COUNT different sockets, pipes and files open.
    Slow."""
    links: set[str] = set()
    for process in tree(pid):
        links.update(descriptors(process).values())
        if len(links) > count:
            return True
    return False


def kernel_bytes() -> int:
    """Memory that the kernel uses for its own data, on the whole machine. Cheap."""
    size = re.search(r"^SUnreclaim: +(\d+)", read("/proc/meminfo"), re.M)
    return int(size[1]) << 10 if size else 0


def shared_bytes() -> int:
    """Memory that processes share, on the whole machine. Cheap."""
    size = re.search(r"^Shmem: +(\d+)", read("/proc/meminfo"), re.M)
    return int(size[1]) << 10 if size else 0


def available_bytes() -> int:
    """Memory of the machine that is available."""
    size = re.search(r"^MemAvailable: +(\d+)", read("/proc/meminfo"), re.M)
    return int(size[1]) << 10 if size else 0


_SHARED_MAPPING = re.compile(r"^(\w+)-(\w+) ..{2}s \w+ (\S+ \d+)", re.M)


def has_shared(pid: int, size: int) -> bool:
    """Whether PID's tree has mapped more than SIZE bytes as shared memory, or hides
    what it has mapped. Shared memory stays as long as any process maps it, even if
    those that touched it are gone. Slow."""
    shared: dict[str, int] = {}
    for process in tree(pid):
        maps = read(f"/proc/{process}/maps")
        if not maps and numbers(f"/proc/{process}/task") and _has_memory(process):
            return True
        for begin, end, which in _SHARED_MAPPING.findall(maps):
            length = int(end, 16) - int(begin, 16)
            shared[which] = max(length, shared.get(which, 0))
    return sum(shared.values()) > size


def _has_memory(process: int) -> bool:
    """Whether PROCESS has not ended yet (proc_pid_status(5))."""
    return "VmSize:" in read(f"/proc/{process}/status")


def has_mapped(pid: int, count: int) -> bool:
    """Whether the memory of PID's tree is in more than COUNT pieces. Slow."""
    pieces = 0
    for process in tree(pid):
        pieces += read(f"/proc/{process}/maps").count("\n")
        if pieces > count:
            return True
    return False
