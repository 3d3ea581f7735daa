"""Grades every right program many times, and counts how often each check fails.

/usr/bin/python3 -m grader.tests.flake [RUNS [AT_ONCE]]     (make flake RUNS=100)

AT_ONCE graders (2) share the machine. In the second half, every processor is also kept
busy, and both the programs and the grader hesitate (hesitant.h, hesitant_grader.c). If
a right program ever loses a point, the grader is at fault.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from grader import course
from grader.tests.matrix import grade
from grader.tests.programs import programs, solution

_BUSY = ["/usr/bin/python3", "-c", "while True: pass"]
SOLUTIONS = [solution(stage) for stage in course.stages()]


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


def _run(
    rounds: int, at_once: int, hesitant: bool, lost: collections.Counter[str]
) -> int:
    """Grade all right programs ROUNDS times, AT_ONCE at a time; return the number of
    gradings."""
    chosen = (SOLUTIONS + programs("right")) * rounds
    one = functools.partial(grade, hesitant=hesitant)
    with ThreadPoolExecutor(at_once) as pool:
        for done, (program, graded) in enumerate(zip(chosen, pool.map(one, chosen))):
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
    """Grade every right program RUNS times, AT_ONCE at a time. Returns 1 if any program
    ever lost a point, else 0."""
    lost: collections.Counter[str] = collections.Counter()
    began = time.monotonic()
    done = _run(runs - runs // 2, at_once, False, lost)
    print(
        f"{done} gradings, {at_once} at once: {lost.total()} checks failed", flush=True
    )
    with busy_processors():
        more = _run(runs // 2, at_once, True, lost)
    minutes = (time.monotonic() - began) / 60
    print(f"{more} more of hesitant ones, with all processors busy")
    print(f"{minutes:.0f} minutes in all")
    print(f"{lost.total()} checks failed in {done + more} gradings")
    for why, count in lost.most_common():
        print(f"  {count} times {why}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
