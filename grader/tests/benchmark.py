"""What isolation costs: one launch, and a whole grade, with it and without, side by
side and in turn.

/usr/bin/python3 -m grader.tests.benchmark [ROUNDS]     (make bench)
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from grader import isolation, submission, workplace
from grader.build import Workshop
from grader.program import Program
from grader.submission import REPOSITORY
from grader.tests.conftest import run_grader

SOLUTIONS = REPOSITORY / "solutions"


def _launch(program: Path, how: str) -> None:
    """From the launch until the program is seen running, and its end."""
    Program(program, ["8080"], how).stop()


def _seconds(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def _compare(what: str, unit: float, rounds: int, act: Callable[[str], object]) -> None:
    """Time ACT with isolation and without, in turn, and print both medians."""
    taken: dict[str, list[float]] = {"bubblewrap": [], "off": []}
    for _ in range(rounds):
        for how, seconds in taken.items():
            seconds.append(_seconds(lambda: act(how)) * unit)
    with_, without = (statistics.median(seconds) for seconds in taken.values())
    print(f"{what:<30} {with_:8.1f} {without:8.1f} {with_ / without:8.2f}")


def _grade(stage: str, how: str) -> None:
    wanted = "required" if how == "bubblewrap" else "off"
    graded = run_grader(stage, "--submission", SOLUTIONS, "--isolation", wanted)
    assert graded.status == 0, graded.err


def main(rounds: int) -> None:
    """Print what one launch and a grade of each stage take: medians of ROUNDS."""
    print(f"{'':<30} {'isolated':>8} {'without':>8} {'ratio':>8}")
    for stage in submission.STAGES:
        _compare(f"grade stage {stage}, s", 1, rounds, lambda h: _grade(str(stage), h))
    isolation.enter("required")
    with workplace.folder() as folder:
        found = submission.find(SOLUTIONS, 3)
        built = Workshop(found, folder, "bubblewrap").build()
        assert built.program, built.output
        program = built.program
        _compare("one launch, ms", 1000, 20 * rounds, lambda h: _launch(program, h))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
