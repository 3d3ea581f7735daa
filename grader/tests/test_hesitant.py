"""At any pace: programs that hesitate at their system calls, as on a busy machine, get
the same verdicts from a grader that hesitates, too (hesitant.h, hesitant_grader.c)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from grader import course
from grader.tests import matrix, programs
from grader.tests.conftest import hesitant_grader, run_grader

Submit = Callable[[int, str | bytes | Path], Path]

CLOSES_NOTHING = """
#include <errno.h>

int main(void)
{
    while (hesitations < 3)
        if (close(-1) != -1 || errno != EBADF)
            return 1;
    return 0;
}
"""


def test_a_hesitant_program_hesitates_and_knows_why_a_call_failed(
    tmp_path: Path,
) -> None:
    source, program = tmp_path / "closes.c", tmp_path / "closes"
    source.write_text(matrix.HESITANT.read_text() + CLOSES_NOTHING)
    strict = ["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run(["gcc", *strict, "-o", program, source], check=True)
    assert subprocess.run([program], timeout=60, check=False).returncode == 0


LOOKS = """
import os
def switches():
    lines = open("/proc/thread-self/status").read().splitlines()
    return int(next(l for l in lines if l.startswith("voluntary")).split()[1])
before = switches()
for _ in range(50_000):
    os.close(os.open("/proc/self/stat", os.O_RDONLY))
print(switches() - before, "LD_PRELOAD" in os.environ)
"""


def test_a_hesitant_grader_sleeps_at_its_system_calls_and_those_it_starts_do_not() -> (
    None
):
    command = ["/usr/bin/python3", "-c", LOOKS]
    loaded = {"LD_PRELOAD": str(hesitant_grader())}
    done = subprocess.run(command, env=loaded, capture_output=True, check=True)
    sleeps, is_inherited = done.stdout.split()
    assert int(sleeps) >= 3 and is_inherited == b"False"
    done = subprocess.run(command, env={"LANG": "C"}, capture_output=True, check=True)
    assert int(done.stdout.split()[0]) < int(sleeps)


@pytest.mark.parametrize("stage", course.stages())
def test_a_solution_that_hesitates_gets_full_marks(stage: int) -> None:
    solution = programs.solution(stage)
    graded = matrix.grade(solution, hesitant=True)
    assert {c["message"] for c in graded.checks(stage).values()} == {""}
    assert graded.stage(stage)["score"] == 100


def test_who_hangs_up_fails_the_check_that_is_about_it_whenever_that_is_seen(
    submit: Submit,
) -> None:
    """Here it is seen before the line that start/announces waits for."""
    source = programs.find("3/hangs_up_after_a_short_read").text
    line = 'printf("[INFO] Client connected to server\\n");'
    left = 'printf("[INFO] Client %d left\\n", fd);'
    assert source.count(line) == source.count(left) == 1
    source = source.replace(line, "{ static int came; if (!came++) " + line + " }")
    source = source.replace(left, f"usleep(100000); {line}")
    only = ("--only", "start/announces")
    graded = run_grader("3", *only, "--submission", submit(3, source))
    assert graded.checks(3)["start/announces"]["status"] == "passed"
