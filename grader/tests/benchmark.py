"""What grading costs, side by side and in turn: a launch and a grade, with isolation
and without; and the grade of a server that gets stuck, and of one that is right.

/usr/bin/python3 -m grader.tests.benchmark [ROUNDS]     (make bench)
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from grader import isolation, submission, workplace
from grader.build import Workshop
from grader.program import Program
from grader.submission import REPOSITORY
from grader.tests import matrix
from grader.tests.conftest import run_grader

SOLUTIONS = REPOSITORY / "solutions"

# Wrong servers that get stuck, each in another way.
STUCK = (
    "one_client_at_a_time", "recv_until_eof", "blocking_send", "waits_for_the_rest",
    "edge_triggered_reads_once", "accept_on_a_timer", "spins_on_eagain",
    "never_listens",
)  # fmt: skip


def _seconds(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def _title(one: str, other: str) -> None:
    print(f"\n{'':<36} {one:>9} {other:>9} {'ratio':>6}")


def _compare(
    what: str, rounds: int, one: Callable[[], object], other: Callable[[], object]
) -> None:
    """Do ONE and the OTHER in turn, and print the median seconds of both."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for seconds, action in zip(taken, (one, other)):
            seconds.append(_seconds(action))
    first, second = (statistics.median(seconds) for seconds in taken)
    print(f"{what:<36} {first:9.4f} {second:9.4f} {first / second:6.2f}", flush=True)


def _grade_solution(stage: int, isolation: str) -> None:
    wanted = ("--submission", SOLUTIONS, "--isolation", isolation)
    graded = run_grader(str(stage), *wanted)
    assert graded.status == 0, graded.err


def _grade_stuck(name: str) -> None:
    graded = matrix.grade(matrix.Program("wrong", 3, name))
    assert graded.status == 1, graded.err


def _launch(program: Path, isolation: str) -> None:
    """From the launch until the program is seen running, and its end."""
    Program(program, ["8080"], isolation).stop()


def main(rounds: int) -> None:
    """Print the seconds that each takes: medians of ROUNDS."""
    right = partial(_grade_solution, 3, "required")
    _title("stuck", "right")
    for name in STUCK:
        _compare(name, rounds, partial(_grade_stuck, name), right)
    _title("isolated", "without")
    for stage in submission.STAGES:
        with_, without = (
            partial(_grade_solution, stage, h) for h in ("required", "off")
        )
        _compare(f"grade stage {stage}", rounds, with_, without)
    isolation.enter("required")
    with workplace.folder() as folder:
        found = submission.find(SOLUTIONS, 3)
        program = Workshop(found, folder, "bubblewrap").build().program
        assert program
        with_, without = (partial(_launch, program, h) for h in ("bubblewrap", "off"))
        _compare("one launch", 20 * rounds, with_, without)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
