"""Checks run side by side: in workers, each a process with a network of its own.

A worker is forked from the grader when there is something for it to do. It runs one
check after the other, sends each verdict back through a pipe, and dies with the grader,
as everything does that it has started.
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

from grader import isolation, strays, usage
from grader.failure import CannotGrade
from grader.guard import MEMORY_BYTES

_PR_SET_PDEATHSIG = 1
# Found by trying: with fewer some processor waits, and with more they take from each
# other what they have in their caches.
_TO_A_PROCESSOR = 3

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

Answer = TypeVar("Answer")


@dataclass(eq=False)
class _Worker:
    """A worker: its process, the pipe to it, and what it does now, if anything."""

    pid: int
    pipe: Connection
    job: str = ""
    stays: bool = False
    since: float = 0.0


class Workers(Generic[Answer]):
    """At most COUNT workers, which do jobs that are known by name: DO, in a worker,
    makes the answer to one. They are ISOLATED if the grader is in a network of ours.

    A job that stays comes on top of those: it waits, until it is told that all others
    are done."""

    def __init__(self, count: int, isolated: bool, do: Callable[[str], Answer]) -> None:
        self._count = count
        self._isolated = isolated
        self._do = do
        self._workers: list[_Worker] = []
        self._are_done, self._tell = Pipe(duplex=False)  # so all others are

    @property
    def busy(self) -> list[str]:
        """The jobs that are being done, the oldest first, and then those that stay."""
        return [w.job for w in self._at_work() + self._at_work(stays=True)]

    def _at_work(self, stays: bool = False) -> list[_Worker]:
        return [w for w in self._workers if w.job and w.stays is stays]

    def seconds(self) -> list[float]:
        """How long the jobs that are being done have taken by now, in seconds. One that
        stays takes as long as the others do, and counts as nothing."""
        now = time.monotonic()
        return [now - worker.since for worker in self._at_work()]

    @property
    def have_room(self) -> bool:
        """Whether one more job may be given now."""
        return len(self._at_work()) < self._count

    def others_are_done(self) -> bool:
        """For a job that stays: whether there is nothing any more to stay for."""
        return self._are_done.poll()  # and nobody ever reads it

    def tell_who_stays(self) -> None:
        """Tell the jobs that stay that there is nothing left to stay for."""
        if not self.others_are_done():
            self._tell.send_bytes(b"!")

    def give(self, job: str, stays: bool = False) -> None:
        """Have a worker do JOB, on top of the others if it STAYS."""
        free = next((worker for worker in self._workers if not worker.job), None)
        if free is None:
            free = self._hire()
        else:  # the last one is the one that has just begun
            self._workers.remove(free)
        self._workers.append(free)
        free.job, free.stays, free.since = job, stays, time.monotonic()
        free.pipe.send(job)

    def done(self, seconds: float) -> list[tuple[str, Answer | None]]:
        """Wait, at most so many SECONDS, for a job to be done: those that are, each
        with its answer, or None if its worker has ended without one. Raises
        CannotGrade if one could not be done."""
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
        """Nobody waits for the answer to JOB any more, if that is being done."""
        for worker in [worker for worker in self._workers if worker.job == job]:
            self._dismiss(worker)
        strays.end()

    def end(self) -> None:
        """End all of them, and what they have started."""
        for worker in list(self._workers):
            self._dismiss(worker)
        strays.end()
        self._are_done.close()
        self._tell.close()

    def _hire(self) -> _Worker:
        ours, theirs = Pipe()
        parent = os.getpid()
        gc.freeze()  # what is there now is not looked through, and copied, in each
        pid = os.fork()
        if pid == 0:
            ours.close()
            for worker in self._workers:
                worker.pipe.close()
            self._work(theirs, parent)
        gc.unfreeze()
        theirs.close()
        strays.know(pid)
        return _Worker(pid, ours)

    def _dismiss(self, worker: _Worker) -> None:
        with suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGKILL)
        os.waitpid(worker.pid, 0)
        strays.forget(worker.pid)
        worker.pipe.close()
        self._workers.remove(worker)

    def _answer(self, job: str) -> Answer | CannotGrade:
        """What doing JOB comes to, also where it cannot be done."""
        try:
            return self._do(job)
        except CannotGrade as reason:
            return reason

    def _work(self, pipe: Connection, parent: int) -> NoReturn:
        """What a worker does, and all that it does."""
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it ended before we could say so
                os._exit(1)
            _set_signals()
            strays.begin()
            _keep_memory()
            if self._isolated:
                isolation.enter_own_network()
            while True:
                pipe.send(self._answer(pipe.recv()))
        except BaseException:  # nobody above us may go on in our place
            traceback.print_exc()
        finally:
            os._exit(1)


def _set_signals() -> None:
    """Ctrl-C is for the grader, which ends us. And the programs that we start shall
    ignore no signal that somebody above the grader did (nohup(1), some CI's), which
    they would inherit: execve(2). SIGPIPE and SIGXFSZ subprocess sees to."""
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, lambda number, frame: None)


def as_many_as_serve() -> int:
    """How many workers serve this machine: checks wait for the most part, and so there
    are more than processors; but there has to be memory for each program."""
    processors = len(os.sched_getaffinity(0))
    return max(1, min(_TO_A_PROCESSOR * processors, _room()))


def checks_for_each_grader(graders: int, processors: int) -> int:
    """How many checks each grader runs side by side if so many GRADERS run at once:
    together they keep all PROCESSORS busy, and fit into the memory that is free."""
    together = min(_TO_A_PROCESSOR * processors, _room())
    return max(1, together // graders)


def _room() -> int:
    """How many programs the memory that is free now has room for."""
    return usage.available_bytes() // MEMORY_BYTES


def _keep_memory() -> None:
    """Megabytes come and go all the time: do not ask the kernel for their pages anew
    each time (mallopt(3))."""
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_TRIM_THRESHOLD, 256 << 20)
    libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
