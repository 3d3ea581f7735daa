"""How grading a class reports its progress, and how all of it shares the machine."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grader.course import ROOT
from grader.grading import pool, worker
from grader.kernel import usage
from grader.teaching.progress import in_words, seconds_left
from grader.tests.classroom import QUICK, hand_in, run


@pytest.fixture(scope="module")
def submissions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("class")
    for name in ("ana", "ben", "cyd", "dan", "eve"):
        hand_in(folder, name, QUICK)
    return folder


def test_in_a_pipe_each_verdict_is_counted_and_says_what_is_left(
    submissions: Path, tmp_path: Path
) -> None:
    done = run("class", submissions, "--out", tmp_path / "out", "--jobs", "1")
    lines = done.stdout.splitlines()[:5]
    assert [line.partition("]")[0] for line in lines] == [
        "[1/5", "[2/5", "[3/5", "[4/5", "[5/5",
    ]  # fmt: skip
    left = re.compile(r"; (less than a minute|about \d+ min) left$")
    # Two are too few for an estimate, and after the last there is none to make.
    assert [bool(left.search(line)) for line in lines] == [0, 0, 1, 1, 0]
    assert "\x1b" not in done.stdout and "\r" not in done.stdout


def test_on_a_terminal_a_live_line_says_who_is_graded(
    submissions: Path, tmp_path: Path
) -> None:
    command = ["/usr/bin/python3", "-m", "grader", "class", str(submissions)]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "out"), "--jobs", "1"],
        cwd=ROOT,
        stdout=theirs,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "COLUMNS": "80"},
    ) as grader:
        os.close(theirs)
        said = _all_of(ours)
    assert grader.returncode == 0
    live = "\r\x1b[K"
    assert f"{live}  [0/5] ana …" in said and f"{live}  [2/5] cyd …" in said
    assert re.search(r"\x1b\[K  \[4/5\] (about|less than) .* left: eve …", said)
    # A verdict replaces the live line, without repeating what it says.
    assert f"{live}[4/5]      0/100  dan (stage 1: does not compile)\r\n" in said
    assert said.rindex("…") < said.rindex(live) < said.rindex("5 graded")


def _all_of(terminal: int) -> str:
    """Everything written to TERMINAL until nobody has it open any more."""
    said = b""
    try:
        while more := os.read(terminal, 1 << 16):
            said += more
    except OSError:  # how a terminal ends
        pass
    os.close(terminal)
    return said.decode()


@pytest.mark.parametrize(
    "took, running, waiting, at_once, seconds",
    [
        ([10, 20], [1], 5, 1, None),  # too few are done
        ([10, 20, 30], [1], 5, 4, None),  # fewer than are graded at once
        ([10, 20, 30], [], 0, 1, None),  # nothing is left
        ([10, 20, 30], [5], 4, 1, 95),
        ([10, 20, 30], [5, 10], 4, 2, 52.5),
        ([10, 20, 30], [5, 60], 0, 2, 15),  # the last one alone
        ([10, 20, 30], [60], 0, 1, 0),
    ],
)
def test_what_is_left_is_estimated_from_what_this_run_has_graded(
    took: list[float],
    running: list[float],
    waiting: int,
    at_once: int,
    seconds: float | None,
) -> None:
    assert seconds_left(took, running, waiting, at_once) == seconds


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0, "less than a minute"),
        (45, "about 1 min"),
        (250, "about 4 min"),
        (7200, "about 2.0 h"),
    ],
)
def test_what_is_left_is_told_in_round_figures(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


@pytest.mark.parametrize(
    "graders, processors, gibibytes, checks",
    [
        (2, 2, 64, 3),
        (16, 16, 64, 3),
        (1, 2, 64, 6),  # the only one has all of the machine
        (64, 2, 64, 1),
        (2, 2, 4, 2),  # each check needs memory for a program
        (2, 2, 0, 1),
    ],
)
def test_all_graders_together_use_the_machine_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
    graders: int,
    processors: int,
    gibibytes: int,
    checks: int,
) -> None:
    monkeypatch.setattr(usage, "available_bytes", lambda: gibibytes << 30)
    assert pool.checks_for_each_grader(graders, processors) == checks


def test_each_grader_is_told_how_many_checks_to_run_at_once(tmp_path: Path) -> None:
    hand_in(tmp_path / "in", "ana", QUICK)
    for name in ("ben", "cyd"):  # they take long enough to be looked at
        shutil.copytree(ROOT / "solutions/3", tmp_path / "in" / name / "3")
    command = ["/usr/bin/python3", "-m", "grader", "class", str(tmp_path / "in")]
    with subprocess.Popen(
        [*command, "--jobs", "2", "--out", str(tmp_path / "out")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as grader:
        assert grader.stdout and "ana" in grader.stdout.readline()
        children = Path(f"/proc/{grader.pid}/task/{grader.pid}/children").read_text()
        commands = [
            Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            for pid in children.split()
        ]
        grader.terminate()
    jobs = [command[command.index("--jobs") + 1] for command in commands]
    processors = len(os.sched_getaffinity(0))
    assert jobs == [str(pool.checks_for_each_grader(2, processors))] * 2


WAITS = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(len(sys.stdin.read())))
print(flush=True)
signal.pause()
"""


def _waits(stdin: int, *inherited: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", WAITS],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=inherited,
    )


def test_graders_are_all_told_to_end_before_one_is_waited_for() -> None:
    ours, theirs = os.pipe()
    # The first ends when the second does, which holds the other end of its pipe.
    first = _waits(ours)
    second = _waits(subprocess.DEVNULL, theirs)
    os.close(ours)
    os.close(theirs)
    for grader in (first, second):
        assert grader.stdout and grader.stdout.readline()
    worker.end(first, second)
    assert (first.returncode, second.returncode) == (0, 0)
