"""Measures what grading costs, two ways in turn: medians of wall time, and of processor
time (ours and all programs').

/usr/bin/python3 -m grader.tests.benchmark [ROUNDS]     (make bench)

Each line compares two ways of doing one thing, and shows their ratio; other work on the
machine slows both down.
"""

from __future__ import annotations

import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from grader import course
from grader.course import ROOT
from grader.grading import pool, submission
from grader.grading.build import Workshop
from grader.harness.crowd import Crowd
from grader.harness.echo import EchoClient
from grader.harness.ports import free_port
from grader.harness.server import Server, crowd_size

from grader.sandbox import compiler
from grader.sandbox.isolation import Isolation, NoIsolation, enter
from grader.sandbox.program import Program
from grader.tests.conftest import run_grader
from grader.tests.programs import find

SOLUTIONS = ROOT / "solutions"

# Wrong servers that take long to fail, each in a different way.
SLOW = (
    "one_client_at_a_time", "blocking_send", "spins_on_eagain", "accept_on_a_timer",
    "closes_twice", "does_not_raise_limit", "hangs_up_on_the_silent",
)  # fmt: skip

# A typical class: some right programs, some wrong ones, one hostile one.
CLASS = (
    "right/3/callbacks", "right/3/edge_triggered", "right/3/tiny_buffer",
    "right/3/quiet", "3/blocking_send", "3/knows_quit", "3/never_sleeps",
)  # fmt: skip
HOSTILE = "burns_processors"

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
    """Do ONE and the OTHER in turn, and print what each costs."""
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
        _lay_out(find(f"3/{name}").text, Path(folder))
        graded = run_grader("3", "--submission", folder, *asked)
    assert graded.status == 1, graded.err


def _lay_out(source: str, folder: Path) -> None:
    (folder / "3").mkdir(parents=True)
    (folder / "3" / course.stage(3).source).write_text(source)


def _grade_class(jobs: int) -> None:
    """Grade a small class, JOBS submissions at once."""
    attack = Path(__file__).with_name("attacks") / f"{HOSTILE}.c"
    with tempfile.TemporaryDirectory() as folder:
        for name in CLASS:
            _lay_out(find(name).text, Path(folder, "in", name.rpartition("/")[2]))
        _lay_out(attack.read_text(), Path(folder, "in", HOSTILE))
        command = ["/usr/bin/python3", "-m", "grader", "class", f"{folder}/in"]
        command += ["--out", f"{folder}/out", "--jobs", str(jobs)]
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


def _launch(program: Path, isolated: Isolation) -> None:
    """Launch PROGRAM, wait until it is seen running, and stop it."""
    Program(program, ["8080"], isolated).stop()


def _serve(program: Path, isolated: Isolation, count: int) -> None:
    """COUNT clients connect, and speak in a different order."""
    port = free_port()
    started = Program(program, [str(port)], isolated, descriptors=(1024, 30_100))
    server = Server(started, port, EchoClient)
    try:
        server.expect_listening()
        crowd = Crowd(server, random.Random(1))
        crowd.grow(crowd_size(count))
        for some in crowd.in_another_order():
            crowd.converse(some)
    finally:
        server.close()


def main(rounds: int) -> None:
    """Print the cost of each, as medians of ROUNDS."""
    many = str(pool.as_many_as_serve())
    _title("checks at once", "one", many)
    for stage in course.stages():
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
    for stage in course.stages():
        how = (
            partial(_grade_solution, stage, "--isolation", h)
            for h in ("required", "off")
        )
        _compare(f"stage {stage}'s solution", rounds, *how)
    cell, _ = enter("required")
    with compiler.folder() as folder:
        found = submission.find(SOLUTIONS, course.stage(3))
        program = Workshop(found, folder, cell).build().program
        assert program
        with_, without = (partial(_launch, program, h) for h in (cell, NoIsolation()))
        _compare("one launch", 20 * rounds, with_, without)
        _title("clients at once", "ten times", "these")
        for count in (100, 1000):
            more, fewer = (
                partial(_serve, program, cell, n) for n in (10 * count, count)
            )
            _compare(f"{count} clients", rounds, more, fewer)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
