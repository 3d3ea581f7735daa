"""Workers: jobs run side by side, and nothing is left of the workers that do them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from grader.course import ROOT
from grader.grading.pool import Workers, as_many_as_serve
from grader.kernel import procfs
from grader.sandbox.isolation import NoIsolation
from grader.sandbox.users import sandbox_user


@contextmanager
def hired(count: int, do: Callable[[str], object]) -> Iterator[Workers[object]]:
    """At most COUNT workers that DO the jobs they get."""
    workers = Workers(count, NoIsolation(), do)
    try:
        yield workers
    finally:
        workers.end()


def _all_done(workers: Workers[object]) -> dict[str, object]:
    answers: dict[str, object] = {}
    while workers.busy:
        answers |= workers.done(60)
    return answers


def test_jobs_are_done_side_by_side_and_each_is_answered() -> None:
    """Each worker waits until the other is there, too."""
    ours, theirs = os.pipe(), os.pipe()
    ways = {"one": (ours[1], theirs[0]), "other": (theirs[1], ours[0])}

    def meet(job: str) -> str:
        there, here = ways[job]
        os.write(there, b"!")
        return f"{job} met {os.read(here, 1).decode()}"

    with hired(2, meet) as workers:
        for job in ways:
            assert workers.have_room
            workers.give(job)
        assert not workers.have_room and workers.busy == ["one", "other"]
        assert _all_done(workers) == {"one": "one met !", "other": "other met !"}
        assert workers.have_room


def test_a_worker_that_is_free_is_given_the_next_job() -> None:
    with hired(1, lambda job: os.getpid()) as workers:
        answers = []
        for job in ("first", "second"):
            workers.give(job)
            answers.append(_all_done(workers)[job])
        assert answers[0] == answers[1] != os.getpid()


def test_one_that_stays_comes_on_top_and_is_told_when_all_others_are_done() -> None:
    ours, theirs = os.pipe()

    def do(job: str) -> bool:
        if job == "works":
            return bool(os.read(ours, 1))
        before = workers.others_are_done()
        os.write(theirs, b"!")
        while not workers.others_are_done():
            time.sleep(0.01)
        return before

    with hired(1, do) as workers:
        workers.give("stays", stays=True)
        assert workers.have_room
        workers.give("works")
        assert not workers.have_room and workers.busy == ["works", "stays"]
        assert len(workers.seconds()) == 1
        assert workers.done(60) == [("works", True)]
        workers.tell_who_stays()
        assert _all_done(workers) == {"stays": False}


def test_a_worker_that_ends_leaves_no_answer_and_its_place() -> None:
    def do(job: str) -> str:
        if job == "ends":
            os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    with hired(1, do) as workers:
        workers.give("ends")
        assert _all_done(workers) == {"ends": None}
        workers.give("goes on")
        assert _all_done(workers) == {"goes on": "done"}


GIVES_UP = """
import os, subprocess
from grader.grading.pool import Workers
from grader.kernel import procfs
from grader.sandbox import orphans
from grader.sandbox.isolation import NoIsolation
orphans.adopt()
ours, theirs = os.pipe()
def start(job):
    sleeper = subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
    os.write(theirs, b"%d" % sleeper.pid)
    sleeper.wait()
workers = Workers(1, NoIsolation(), start)
workers.give("sleeps")
sleeper = int(os.read(ours, 100))
assert procfs.tasks(sleeper)
workers.give_up("sleeps")
assert not procfs.tasks(sleeper) and workers.have_room
"""


def test_a_job_that_nobody_waits_for_is_ended_with_all_that_it_started() -> None:
    command = ["/usr/bin/python3", "-c", GIVES_UP]
    subprocess.run(command, cwd=ROOT, timeout=60, check=True)


def test_what_a_worker_starts_ignores_no_signal() -> None:
    """As when nohup(1) or some CI systems start the grader with signals ignored."""

    def look(job: str) -> str:
        return subprocess.check_output(["/bin/cat", "/proc/self/status"], text=True)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with hired(1, look) as workers:
            workers.give("looks")
            (status,) = _all_done(workers).values()
    finally:
        signal.signal(signal.SIGHUP, before)
    ignored = int(str(status).split("SigIgn:")[1].split()[0], 16)
    # glibc keeps the last two for its threads and locales.
    assert ignored & (1 << 31) - 1 == 0


BOSS = """
import sys, time
from grader.grading.pool import Workers
from grader.sandbox.isolation import NoIsolation
workers = Workers(2, NoIsolation(), lambda job: time.sleep(600))
workers.give("one")
workers.give("other")
print(*[worker.pid for worker in workers._workers], flush=True)
time.sleep(600)
"""


def test_workers_die_with_the_grader() -> None:
    command = ["/usr/bin/python3", "-c", BOSS]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as boss:
        assert boss.stdout
        family = list(map(int, boss.stdout.readline().split()))
        assert len(family) == 2 and all(map(procfs.tasks, family))
        boss.kill()
    end = time.monotonic() + 30
    while any(map(_runs, family)) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(map(_runs, family))


def _runs(pid: int) -> bool:
    """Whether PID is running, and not just waiting for some init to reap it."""
    return any(task.state != "Z" for task in procfs.tasks(pid))


def test_there_are_no_more_than_have_room_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plenty = as_many_as_serve()
    assert plenty >= 1
    monkeypatch.setattr("grader.kernel.usage.available_bytes", lambda: 1 << 30)
    assert as_many_as_serve() == 1
    monkeypatch.setattr("grader.kernel.usage.available_bytes", lambda: 0)
    assert as_many_as_serve() == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root runs programs as other users")
def test_each_worker_runs_programs_as_a_sandbox_user_of_its_own() -> None:
    """Limits are counted per user: two programs must not share one."""
    together = multiprocessing.Barrier(2)

    def who(job: str) -> str:
        together.wait(60)
        return str(sandbox_user())

    with hired(2, who) as workers:
        workers.give("one")
        workers.give("other")
        users = set(_all_done(workers).values())
    assert len(users) == 2 and "None" not in users
