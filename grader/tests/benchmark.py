"""What grading costs, side by side and in turn: medians of wall time, and of processor
time (ours and all programs').

/usr/bin/python3 -m grader.tests.benchmark [ROUNDS]     (make bench)

Each line is two ways of one thing, and their ratio; what a machine is doing besides
slows both down.
"""

from __future__ import annotations

import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from grader import isolation, submission, workplace, workers
from grader.build import Workshop
from grader.program import Program
from grader.scene import free_port
from grader.server import Server, crowd_size
from grader.submission import REPOSITORY, STAGES
from grader.tests import matrix
from grader.tests.conftest import run_grader
from grader.visits import Crowd

SOLUTIONS = REPOSITORY / "solutions"

# Wrong servers that take long to condemn, each in another way.
SLOW = (
    "one_client_at_a_time", "blocking_send", "spins_on_eagain", "accept_on_a_timer",
    "closes_twice", "does_not_raise_limit", "hangs_up_on_the_silent",
)  # fmt: skip

# A class as it comes: some right ones, some wrong ones, one that is hostile.
CLASS = {
    "right": ["callbacks", "edge_triggered", "tiny_buffer", "quiet"],
    "wrong": ["blocking_send", "knows_quit", "never_sleeps"],
    "attacks": ["burns_processors"],
}

Cost = tuple[float, float]


def _cost(action: Callable[[], object]) -> Cost:
    """The seconds of wall time and of processor time that ACTION takes."""
    began, before = time.monotonic(), _processor_seconds()
    action()
    return time.monotonic() - began, _processor_seconds() - before


def _processor_seconds() -> float:
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    uses = [resource.getrusage(who) for who in whose]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def _title(what: str, one: str, other: str) -> None:
    print(f"\n{what:<27} {one:>8} {other:>8} {'ratio':>6}  {'processor':>17}")


def _compare(
    what: str, rounds: int, one: Callable[[], object], other: Callable[[], object]
) -> None:
    """Do ONE and the OTHER in turn, and print what both cost."""
    costs: tuple[list[Cost], list[Cost]] = ([], [])
    for _ in range(rounds):
        for taken, action in zip(costs, (one, other)):
            taken.append(_cost(action))
    (wall, busy), (other_wall, other_busy) = (
        [statistics.median(column) for column in zip(*taken)] for taken in costs
    )
    ratio = f"{wall:8.3f} {other_wall:8.3f} {wall / other_wall:6.2f}"
    print(f"{what:<27} {ratio}  {busy:8.3f} {other_busy:8.3f}", flush=True)


def _grade_solution(stage: int, *asked: str) -> None:
    graded = run_grader(str(stage), "--submission", SOLUTIONS, *asked)
    assert graded.status == 0, graded.err


def _grade_wrong(name: str, *asked: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _lay_out(matrix.Program("wrong", 3, name).source, Path(folder))
        graded = run_grader("3", "--submission", folder, *asked)
    assert graded.status == 1, graded.err


def _lay_out(source: Path, folder: Path) -> None:
    (folder / "3").mkdir(parents=True)
    shutil.copy(source, folder / "3" / f"{STAGES[3]}.c")


def _grade_class(jobs: int) -> None:
    """Grade a small class, so many submissions at once."""
    tests = Path(__file__).parent
    kinds = {kind: tests / "programs" / kind / "3" for kind in ("right", "wrong")}
    kinds["attacks"] = tests / "attacks"
    with tempfile.TemporaryDirectory() as folder:
        for kind, names in CLASS.items():
            for name in names:
                _lay_out(kinds[kind] / f"{name}.c", Path(folder, "in", name))
        command = ["/usr/bin/python3", "-m", "grader", "class", f"{folder}/in"]
        command += ["--out", f"{folder}/out", "--jobs", str(jobs)]
        subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, check=True)


def _launch(program: Path, isolated: str) -> None:
    """From the launch until the program is seen running, and its end."""
    Program(program, ["8080"], isolated).stop()


def _serve(program: Path, count: int) -> None:
    """COUNT clients come, and speak in another order."""
    port = free_port()
    started = Program(program, [str(port)], "bubblewrap", descriptors=(1024, 30_100))
    server = Server(started, port)
    try:
        server.expect_listening()
        crowd = Crowd(server, random.Random(1))
        crowd.grow(crowd_size(count))
        for some in crowd.in_another_order():
            crowd.converse(some)
    finally:
        server.close()


def main(rounds: int) -> None:
    """Print what each costs: medians of ROUNDS."""
    many = str(workers.as_many_as_serve())
    _title("checks at once", "one", many)
    for stage in STAGES:
        one, other = (partial(_grade_solution, stage, "--jobs", n) for n in ("1", many))
        _compare(f"stage {stage}'s solution", rounds, one, other)
    for name in SLOW:
        one, other = (partial(_grade_wrong, name, "--jobs", n) for n in ("1", many))
        _compare(name, 1, one, other)
    _title("a class of eight", "one", "all cores")
    _compare(
        "submissions at once", 1, partial(_grade_class, 1), partial(_grade_class, 2)
    )
    _title("isolation", "with", "without")
    for stage in STAGES:
        how = (
            partial(_grade_solution, stage, "--isolation", h)
            for h in ("required", "off")
        )
        _compare(f"stage {stage}'s solution", rounds, *how)
    isolation.enter("required")
    with workplace.folder() as folder:
        found = submission.find(SOLUTIONS, 3)
        program = Workshop(found, folder, "bubblewrap").build().program
        assert program
        with_, without = (partial(_launch, program, h) for h in ("bubblewrap", "off"))
        _compare("one launch", 20 * rounds, with_, without)
        _title("clients at once", "ten times", "these")
        for count in (100, 1000):
            more, fewer = (partial(_serve, program, n) for n in (10 * count, count))
            _compare(f"{count} clients", rounds, more, fewer)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
