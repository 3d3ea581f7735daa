"""The bounds of a program in use of the machine, and who sees to them.

What the kernel can bound is bounded by rlimits (setrlimit(2)) and by the size of
the cell's only writable folder. What all processes of a program use together it
bounds only with control groups, which an ordinary user may not have: so that is
looked at from outside, and a program that passes a bound is ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from grader import procfs

MEMORY_BYTES = 1 << 30
PROCESSOR_SECONDS = 120
PROCESSES = 2000  # threads are counted, too: a thread for each of 1000 clients is fine
SOCKETS = 12000  # in our network, our clients' own among them
OUTPUT_BYTES = 256 << 20
FILE_BYTES = 16 << 20

_EVERY_SECONDS = 0.05


def limits(descriptors: tuple[int, int], count_processes: bool) -> list[str]:
    """The options of prlimit(1) for a program that may open so many DESCRIPTORS,
    softly and at most. Processes are counted for each user: with COUNT_PROCESSES
    the program has a user, or a user namespace, of its own."""
    options = [
        f"--nofile={descriptors[0]}:{descriptors[1]}",
        f"--fsize={FILE_BYTES}",
        f"--cpu={PROCESSOR_SECONDS}",
        "--core=0",
        "--memlock=0",
        "--msgqueue=0",
    ]
    return [*options, f"--nproc={PROCESSES}"] if count_processes else options


class Guard:
    """Looks, now and then, at what the processes below ROOT use together."""

    def __init__(self, root: int, alone: bool, printed: Callable[[], int]) -> None:
        """ALONE says whether our network is shared with the program and nobody
        else; PRINTED says how many bytes the program has written so far."""
        self._root = root
        self._alone = alone
        self._printed = printed
        self._next = 0.0

    def passed(self) -> str:
        """The bound that has been passed, in words ("it used …"), or ""."""
        now = time.monotonic()
        if now < self._next:
            return ""
        said = self._look()
        # A thousand processes take long to look at: leave time for all else.
        self._next = now + max(_EVERY_SECONDS, 10 * (time.monotonic() - now))
        return said

    def _look(self) -> str:
        if self._printed() > OUTPUT_BYTES:
            return f"it printed more than {OUTPUT_BYTES >> 20} MiB"
        use = procfs.use(self._root)
        # Pages that processes share were counted for each of them.
        if use.memory_bytes > MEMORY_BYTES:
            if procfs.proportional_bytes(self._root) > MEMORY_BYTES:
                return f"it used more than {MEMORY_BYTES >> 30} GiB of memory"
        if use.processor_seconds > PROCESSOR_SECONDS:
            return f"it used more than {PROCESSOR_SECONDS} s of processor time"
        if use.tasks > PROCESSES:
            return f"it started more than {PROCESSES} processes and threads"
        # What the kernel keeps for a socket is in nobody's memory.
        if self._alone and procfs.sockets_in_use() > SOCKETS:
            return f"it opened more than {SOCKETS} sockets"
        return ""
