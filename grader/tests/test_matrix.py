"""The table that wrong programs are held to, and how to choose some by name."""

from __future__ import annotations

import subprocess

import pytest

from grader.course import ROOT
from grader.tests.conftest import Graded
from grader.tests.matrix import disagreement
from grader.tests.programs import Program

# One must fail echo/pause and may fail any other; one must fail one and may fail none.
TIMED = Program("wrong", 3, "forgets_after_a_pause")
UNTIMED = Program("wrong", 3, "single_letter_command")


def _graded(**statuses: str) -> Graded:
    """A result of stage 3; echo_pause="failed" sets the check echo/pause."""
    checks = [
        {
            "id": name.replace("_", "/", 1),
            "status": status,
            "message": "",
            "details": "",
            "evidence": {},
        }
        for name, status in statuses.items()
    ]
    stage = {"stage": 3, "status": "graded", "checks": checks}
    return Graded(1, "", "", {"stages": [stage]})


@pytest.mark.parametrize(
    "program, statuses, words",
    [
        (UNTIMED, {"echo_single_bytes": "failed", "echo_line": "passed"}, ""),
        (UNTIMED, {"echo_single_bytes": "passed"}, "passes echo/single_bytes"),
        (UNTIMED, {"echo_single_bytes": "skipped"}, "passes echo/single_bytes"),
        (
            UNTIMED,
            {"echo_single_bytes": "failed", "echo_line": "failed"},
            "fails echo/line",
        ),
        (TIMED, {"echo_pause": "failed", "echo_line": "passed"}, ""),
        (TIMED, {"echo_pause": "failed", "echo_large": "failed"}, ""),
        (TIMED, {"echo_pause": "skipped", "echo_line": "failed"}, ""),
        (TIMED, {"echo_pause": "passed", "echo_large": "failed"}, "passes echo/pause"),
    ],
)
def test_what_the_table_does_not_say_is_a_disagreement(
    program: Program, statuses: dict[str, str], words: str
) -> None:
    assert disagreement(program, _graded(**statuses)).startswith(words)
    assert bool(disagreement(program, _graded(**statuses))) is bool(words)


@pytest.mark.parametrize("tool", ["matrix", "golden"])
@pytest.mark.parametrize("name", ["no_such_program", "--hesitate"])
def test_a_name_that_no_program_has_is_said_in_one_line(tool: str, name: str) -> None:
    done = subprocess.run(
        ["/usr/bin/python3", "-m", f"grader.tests.{tool}", "blocking_send", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"no program has '{name}' in its name\n"
