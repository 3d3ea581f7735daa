"""How much of the machine a program may use, and what enforces that.

Where the kernel can enforce a limit, it does: by rlimits (setrlimit(2)), and by the
size of the only folder in a cell that can be written to. For what all processes of a
program use together it would need control groups, which an ordinary user may not have.
So we look at that from outside, and end a program that exceeds a limit.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

from grader.errors import CannotGrade
from grader.kernel import procfs, sockets, usage
from grader.sandbox.cell import SCRATCH_BYTES

MEMORY_BYTES = 1 << 30
PROCESSOR_SECONDS = 120
PROCESSES = 2000  # threads are counted, too: a thread for each of 1000 clients is fine
CONNECTIONS = 24000  # ends of them, in our network: our clients' own are among them
OTHER_SOCKETS = 500
QUEUED_BYTES = 256 << 20  # sent or received, and not yet taken
FILES = 1000
OPEN_FILES = 50_000
MAPPINGS = 500_000
SHARED_BYTES = 512 << 20  # of memory that processes share
OUTPUT_BYTES = 256 << 20
FILE_BYTES = 16 << 20

# How many clients connect at once (more than fit into a table of 1000, or an fd_set of
# 1024), how many are connected at the same time, and how few are still enough; and how
# many descriptors the grader needs for itself.
CROWD, MULTITUDE, FEWEST_CLIENTS, _DESCRIPTORS_OF_OUR_OWN = 1100, 10_000, 200, 100

_EVERY_SECONDS = 0.05

# How much the kernel's own memory grows before we find out whose that is.
_NOTED_BYTES = 256 << 20


def most_descriptors() -> int:
    """How many descriptors we, and any program, may have open on this machine."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def most_clients() -> int:
    """How many clients we can be at once."""
    return most_descriptors() - _DESCRIPTORS_OF_OUR_OWN


def shortage() -> str:
    """What cannot be tried in full here because there are too few descriptors, in
    words; "" if nothing. Raises CannotGrade if there are too few to grade at all."""
    most = most_clients()
    if most < FEWEST_CLIENTS:
        needed = FEWEST_CLIENTS + _DESCRIPTORS_OF_OUR_OWN
        raise CannotGrade(
            f"'ulimit -Hn' says {most_descriptors()}: {needed} are needed"
        )
    return fewer(most) if most < CROWD else ""


def fewer(clients: int) -> str:
    """Says that no more than CLIENTS were connected at the same time because there are
    too few descriptors; "" if that is as many as planned."""
    if clients >= MULTITUDE:
        return ""
    limit = most_descriptors()
    return f"'ulimit -Hn' says {limit}: only {clients} clients came at once"


def of(descriptors: tuple[int, int], count_processes: bool) -> list[str]:
    """The options of prlimit(1) for a program. DESCRIPTORS are its soft and its hard
    limit of open files. The kernel counts processes per user: COUNT_PROCESSES says that
    the program has a user, or a user namespace, to itself."""
    soft, hard = (min(count, most_descriptors()) for count in descriptors)
    options = [
        f"--nofile={soft}:{hard}",
        f"--fsize={FILE_BYTES}",
        f"--cpu={PROCESSOR_SECONDS}",
        "--core=1",  # 0 does not keep the kernel from calling a crash reporter: core(5)
        "--memlock=0",
        "--msgqueue=0",
    ]
    return [*options, f"--nproc={PROCESSES}"] if count_processes else options


class Limiter:
    """Looks now and then at what the process ROOT and its descendants use together."""

    def __init__(self, root: int, alone: bool, printed: Callable[[], int]) -> None:
        """ALONE says whether the program is in a cell, and shares its network with
        nobody but us; PRINTED tells how many bytes it has written so far."""
        self._root = root
        self._alone = alone
        self._printed = printed
        self._next = 0.0
        self._ran: list[tuple[float, float]] = []
        self._files_before = usage.open_files()
        self._notes_before = usage.kernel_bytes()
        self._shared_before = usage.shared_bytes()

    def passed(self) -> str:
        """The limit that was exceeded, in words ("it used …"), or ""."""
        now = time.monotonic()
        if now < self._next:
            return ""
        # As long as these do not change, its threads have done nothing.
        ran = list(procfs.scheduled_seconds(self._root))
        said = "" if ran and ran == self._ran else self._look()
        self._ran = ran
        # Looking at a thousand processes takes long: leave time for everything else.
        self._next = now + max(_EVERY_SECONDS, 2 * (time.monotonic() - now))
        return said

    def _look(self) -> str:
        if self._printed() > OUTPUT_BYTES:
            return f"it printed more than {OUTPUT_BYTES >> 20} MiB"
        use = usage.use(self._root)
        # This counts shared pages once for each process.
        if use.memory_bytes > MEMORY_BYTES:
            if usage.proportional_bytes(self._root) > MEMORY_BYTES:
                return f"it used more than {MEMORY_BYTES >> 30} GiB of memory"
        if use.processor_seconds > PROCESSOR_SECONDS:
            return f"it used more than {PROCESSOR_SECONDS} s of processor time"
        if use.tasks > PROCESSES:
            return f"it started more than {PROCESSES} processes and threads"
        return self._kept_by_the_kernel() or (self._alone and self._in_its_cell()) or ""

    def _kept_by_the_kernel(self) -> str:
        """The limit that was exceeded on what lies in the kernel's memory, or in that
        of no process. The total for the whole machine is cheap to get; whose it is, we
        find out only if the total grew.
        """
        if usage.open_files() - self._files_before > OPEN_FILES:
            if usage.has_open(self._root, OPEN_FILES):
                return f"it had more than {OPEN_FILES} files open"
        if usage.shared_bytes() - self._shared_before > SHARED_BYTES:
            if usage.has_shared(self._root, SHARED_BYTES):
                return f"it shared more than {SHARED_BYTES >> 20} MiB of memory"
        if usage.kernel_bytes() - self._notes_before > _NOTED_BYTES:
            if usage.has_mapped(self._root, MAPPINGS):
                return f"its memory was in more than {MAPPINGS} pieces"
        return ""

    def _in_its_cell(self) -> str:
        """The limit that was exceeded in our network, or in the cell's /tmp."""
        ends, others = usage.sockets_in_use()
        if ends > CONNECTIONS:
            return f"it opened more than {CONNECTIONS // 2} connections to itself"
        if others > OTHER_SOCKETS:
            return f"it opened more than {OTHER_SOCKETS} sockets that are not TCP's"
        if usage.tcp_memory_bytes() > QUEUED_BYTES:
            queued = sum(s.tx_queue + s.rx_queue for s in sockets.in_use())
            if queued > QUEUED_BYTES:
                return f"it left more than {QUEUED_BYTES >> 20} MiB in connections"
        # A process that has ended, or has not entered the cell yet, does not see its
        # /tmp; one that sees it sees all of it.
        seen = (usage.files_in_tmp(p, SCRATCH_BYTES) for p in procfs.tree(self._root))
        if next(filter(None, seen), 0) > FILES:
            return f"it made more than {FILES} files"
        return ""
