"""Grades every right program again and again, and counts how often each check failed.

/usr/bin/python3 -m grader.tests.flake [RUNS [AT_ONCE]]     (make flake RUNS=100)

AT_ONCE graders (2) share the machine; in the second half every processor is kept busy
besides. One point lost by a right program is a fault of the grader.
"""

from __future__ import annotations

import collections
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from grader.submission import REPOSITORY, STAGES
from grader.tests.conftest import Graded, run_grader
from grader.tests.matrix import Program, grade, programs

_BUSY = ["/usr/bin/python3", "-c", "while True: pass"]
SOLUTIONS = [Program("solutions", stage, "") for stage in STAGES]


@contextlib.contextmanager
def busy_processors() -> Iterator[None]:
    """Keep every processor busy with something else."""
    burners = [subprocess.Popen(_BUSY) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def _grade(program: Program) -> tuple[Program, Graded]:
    if program.kind != "solutions":
        return program, grade(program)
    solutions = REPOSITORY / "solutions"
    return program, run_grader(str(program.stage), "--submission", solutions)


def _run(rounds: int, at_once: int, lost: collections.Counter[str]) -> int:
    """Grade all right programs ROUNDS times, AT_ONCE of them: how many gradings."""
    chosen = (SOLUTIONS + programs("right")) * rounds
    with ThreadPoolExecutor(at_once) as pool:
        for done, (program, graded) in enumerate(pool.map(_grade, chosen)):
            if done and done % 50 == 0:
                print(f"… {done} gradings: {lost.total()} checks failed", flush=True)
            if not graded.result or graded.result["max_score"] == 0:
                lost[f"{program} was not graded: {graded.err}"] += 1
                continue
            for id, check in graded.checks(program.stage).items():
                if check["status"] != "passed":
                    says = check["evidence"].get("says", "")
                    why = f"{program} {id}: {check['message']} ({says})"
                    lost[why] += 1
                    print(why, flush=True)
    return len(chosen)


def main(runs: int = 100, at_once: int = 2) -> int:
    """Grade every right program RUNS times, AT_ONCE of them: 1 if any ever lost a
    point, else 0."""
    lost: collections.Counter[str] = collections.Counter()
    began = time.monotonic()
    done = _run(runs - runs // 2, at_once, lost)
    print(
        f"{done} gradings, {at_once} at once: {lost.total()} checks failed", flush=True
    )
    with busy_processors():
        more = _run(runs // 2, at_once, lost)
    minutes = (time.monotonic() - began) / 60
    print(f"{more} more with all processors busy, {minutes:.0f} minutes in all")
    print(f"{lost.total()} checks failed in {done + more} gradings")
    for why, count in lost.most_common():
        print(f"  {count} times {why}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
