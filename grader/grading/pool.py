"""Checks run side by side: in workers, each a process with a network of its own.

A worker is forked from the grader when there is something to do. It runs one check
after the other, and sends each verdict back through a pipe. If the grader dies, so do
its workers, and everything that they have started.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Generic, NoReturn, TypeVar

from grader.errors import CannotGrade
from grader.kernel import usage
from grader.sandbox import orphans
from grader.sandbox.isolation import Isolation
from grader.sandbox.limits import MEMORY_BYTES

_PR_SET_PDEATHSIG = 1
# Found by experiment: with fewer a processor is idle at times, and more of them spoil
# each other's caches.
_TO_A_PROCESSOR = 3

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

Answer = TypeVar("Answer")


@dataclass(eq=False)
class _Worker:
    """A worker: its process, the pipe to it, and the job that it does now, if any."""

    pid: int
    pipe: Connection
    job: str = ""
    stays: bool = False
    since: float = 0.0


class Workers(Generic[Answer]):
    """At most COUNT workers. A job is a name, and DO, called in a worker, returns the
    answer to it. With ISOLATION each worker has a network of its own.

    A job that stays is not counted: it goes on until it learns that all the others are
    done."""

    def __init__(
        self, count: int, isolation: Isolation, do: Callable[[str], Answer]
    ) -> None:
        self._count = count
        self._isolation = isolation
        self._do = do
        self._workers: list[_Worker] = []
        self._are_done, self._tell = Pipe(duplex=False)  # so all others are

    @property
    def busy(self) -> list[str]:
        """The jobs in progress, the oldest first, and then those that stay."""
        return [w.job for w in self._at_work() + self._at_work(stays=True)]

    def _at_work(self, stays: bool = False) -> list[_Worker]:
        return [w for w in self._workers if w.job and w.stays is stays]

    def seconds(self) -> list[float]:
        """How long the jobs in progress have taken so far, in seconds. Those that stay
        are not counted: they take as long as the others."""
        now = time.monotonic()
        return [now - worker.since for worker in self._at_work()]

    @property
    def have_room(self) -> bool:
        """Whether one more job may be given now."""
        return len(self._at_work()) < self._count

    def others_are_done(self) -> bool:
        """For a job that stays: whether all the others are done."""
        return self._are_done.poll()  # and nobody ever reads from it

    def tell_who_stays(self) -> None:
        """Tell the jobs that stay that all the others are done."""
        if not self.others_are_done():
            self._tell.send_bytes(b"!")

    def give(self, job: str, stays: bool = False) -> None:
        """Have a worker do JOB, on top of the others if it STAYS."""
        free = next((worker for worker in self._workers if not worker.job), None)
        if free is None:
            free = self._hire()
        else:  # the last in the list is the one that began last
            self._workers.remove(free)
        self._workers.append(free)
        free.job, free.stays, free.since = job, stays, time.monotonic()
        free.pipe.send(job)

    def done(self, seconds: float) -> list[tuple[str, Answer | None]]:
        """Wait up to SECONDS until a job is done. Returns those that are, each with its
        answer, or None if its worker died. Raises CannotGrade if a job did."""
        at_work = {worker.pipe: worker for worker in self._workers if worker.job}
        answers: list[tuple[str, Answer | None]] = []
        for pipe in wait(list(at_work), seconds):
            worker = at_work[pipe]  # type: ignore[index]
            job, worker.job = worker.job, ""
            try:
                answer = worker.pipe.recv()
            except (EOFError, ConnectionError):
                self._dismiss(worker)
                answer = None
            if isinstance(answer, CannotGrade):
                raise answer
            answers.append((job, answer))
        return answers

    def give_up(self, job: str) -> None:
        """End JOB, if it is in progress: nobody needs its answer any more."""
        for worker in [worker for worker in self._workers if worker.job == job]:
            self._dismiss(worker)
        orphans.end()

    def end(self) -> None:
        """End all of them, and what they have started."""
        for worker in list(self._workers):
            self._dismiss(worker)
        orphans.end()
        self._are_done.close()
        self._tell.close()

    def _hire(self) -> _Worker:
        ours, theirs = Pipe()
        parent = os.getpid()
        gc.freeze()  # so that no worker's collector touches, and so copies, all this
        pid = os.fork()
        if pid == 0:
            ours.close()
            for worker in self._workers:
                worker.pipe.close()
            self._work(theirs, parent)
        gc.unfreeze()
        theirs.close()
        orphans.know(pid)
        return _Worker(pid, ours)

    def _dismiss(self, worker: _Worker) -> None:
        with suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGKILL)
        os.waitpid(worker.pid, 0)
        orphans.forget(worker.pid)
        worker.pipe.close()
        self._workers.remove(worker)

    def _answer(self, job: str) -> Answer | CannotGrade:
        """The answer to JOB, or the reason why there is none."""
        try:
            return self._do(job)
        except CannotGrade as reason:
            return reason

    def _work(self, pipe: Connection, parent: int) -> NoReturn:
        """The life of a worker."""
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it ended before we could say so
                os._exit(1)
            _set_signals()
            orphans.begin()
            _keep_memory()
            self._isolation.enter_another_network()
            while True:
                pipe.send(self._answer(pipe.recv()))
        except BaseException:  # the code that called fork() must not go on here
            traceback.print_exc()
        finally:
            os._exit(1)


def _set_signals() -> None:
    """Leave Ctrl-C to the grader, which ends us. And ignore no signal: programs that we
    start would inherit that (execve(2)) from nohup(1), or from a CI that does it.
    subprocess takes care of SIGPIPE and SIGXFSZ."""
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, lambda number, frame: None)


def as_many_as_serve() -> int:
    """How many workers suit this machine: more than it has processors, since checks
    mostly wait; but there has to be memory for each one's program."""
    processors = len(os.sched_getaffinity(0))
    return max(1, min(_TO_A_PROCESSOR * processors, _room()))


def checks_for_each_grader(graders: int, processors: int) -> int:
    """How many checks each of GRADERS that run at once should run side by side, so that
    together they keep all PROCESSORS busy, and fit into the free memory."""
    together = min(_TO_A_PROCESSOR * processors, _room())
    return max(1, together // graders)


def _room() -> int:
    """How many programs fit into the memory that is free now."""
    return usage.available_bytes() // MEMORY_BYTES


def _keep_memory() -> None:
    """Keep freed memory: checks allocate and free megabytes all the time, and getting
    their pages from the kernel each time is slow (mallopt(3))."""
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_TRIM_THRESHOLD, 256 << 20)
    libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
