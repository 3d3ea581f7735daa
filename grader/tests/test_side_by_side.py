"""Checks that run side by side have the same results as one after the other."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grader import cli, course, grade_cli
from grader.course import ROOT
from grader.grading.order import urgency
from grader.tests.conftest import Graded, run_grader
from grader.tests.programs import Program

Submit = Callable[[int, str | bytes | Path], Path]
SOLUTIONS = ROOT / "solutions"


def _verdicts(graded: Graded, stage: int) -> list[tuple[str, ...]]:
    """What does not vary about the checks of STAGE, in the result's order."""
    said = ("id", "status", "message", "blocked_by")
    return [
        tuple(check[key] for key in said) for check in graded.checks(stage).values()
    ]


@pytest.mark.parametrize(
    "program",
    [
        Program("wrong", 1, "never_binds"),  # the first check fails: skips all
        Program("wrong", 1, "waits_for_eof"),  # skips some
        Program("wrong", 2, "strips_the_newline"),
    ],
    ids=str,
)
def test_verdicts_do_not_depend_on_how_many_are_done_at_once(
    submit: Submit, program: Program
) -> None:
    folder = submit(program.stage, program.text)
    one, many = (
        run_grader(str(program.stage), "--jobs", jobs, "--submission", folder)
        for jobs in ("1", "8")
    )
    assert _verdicts(one, program.stage) == _verdicts(many, program.stage)
    in_order = list(course.stage(program.stage).checks)
    assert [id for id, *_ in _verdicts(many, program.stage)] == in_order
    told = re.findall(r"(?m)^  . +(\d\.\d+)  ", many.out)
    assert told == [c["requirement"] for c in many.checks(program.stage).values()]


# A worker dies in the middle of a check.
DIES = """
import os, signal, sys
from grader import cli
from grader.grading.checking import CheckingPlugin
work = CheckingPlugin._work
def dies(self, job):
    if job == "echo/line":
        os.kill(os.getpid(), signal.SIGKILL)
    return work(self, job)
CheckingPlugin._work = dies
sys.exit(cli.main(["grade", "1", *sys.argv[1:]]))
"""


def _run(script: str, tmp_path: Path, *arguments: str) -> tuple[int, str, Any]:
    """Run SCRIPT with ARGUMENTS: its exit status, its last words, and the stage's
    result."""
    report = tmp_path / "result.json"
    asked = ["--json", str(report), "--submission", str(SOLUTIONS), *arguments]
    done = subprocess.run(
        ["/usr/bin/python3", "-c", script, *asked],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stderr, json.loads(report.read_text())["stages"][0]


def test_a_worker_that_dies_is_the_graders_fault_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    status, said, stage = _run(DIES, tmp_path)
    assert status == 2
    assert said.startswith("grader: echo/line: the grader failed: the process")
    assert said.count("\n") == 1
    checks = {check["id"]: check for check in stage["checks"]}
    assert stage["status"] == "grader_error"
    assert checks["echo/line"]["status"] == "error"
    assert checks["start/bad_port"]["status"] == "passed"
    assert checks["echo/pause"]["blocked_by"] == "echo/line"


# -- a budget -------------------------------------------------------------------

# Time is up when this many checks are done; failing is what took the time, or not.
SPENT = """
import sys, time
from grader import cli
from grader.grading.verdicts import Verdicts
real = Verdicts.left
def left(self):
    if len(self.done) < 12:
        return real(self)
    self._failing_seconds = {seconds}
    return 0.0
Verdicts.left = left
sys.exit(cli.main(["grade", "1", "--jobs", "1", *sys.argv[1:]]))
"""


def test_when_time_is_up_what_is_known_is_kept_and_is_no_grade(tmp_path: Path) -> None:
    status, said, stage = _run(SPENT.format(seconds=0), tmp_path)
    assert status == 2
    left = len(stage["checks"]) - 12
    assert f"time is up, and {left} of {len(stage['checks'])} checks are not" in said
    assert said.count("\n") == 1
    assert stage["status"] == "grader_error"
    statuses = [check["status"] for check in stage["checks"]]
    assert statuses[:12] == ["passed"] * 12


def test_who_took_all_the_time_is_graded_by_what_was_proved(
    tmp_path: Path, submit: Submit
) -> None:
    wrong = submit(1, Program("wrong", 1, "other_words").text)
    asked = ("--submission", str(wrong))
    status, said, stage = _run(SPENT.format(seconds=500), tmp_path, *asked)
    assert (status, said) == (1, "")
    checks = {check["id"]: check for check in stage["checks"]}
    assert checks["start/listens"]["status"] == "passed"
    messages = {c["message"] for c in checks.values() if c["status"] == "skipped"}
    assert "the checks that failed took all the time" in messages


def test_a_budget_of_a_second_ends_a_grade_of_stage_3_soon() -> None:
    graded = run_grader("3", "--budget", "1", "--submission", SOLUTIONS)
    assert graded.status == 2
    assert graded.err.startswith("grader: time is up, and ")
    assert graded.result["seconds"] < 60


@pytest.mark.parametrize(
    "asked, seconds",
    [
        ([], float("inf")),
        (["--prairielearn", "a"], 570),
        (["--prairielearn", "a", "--classroom50", "b"], 570),
        (["--classroom50", "b"], 720),
        (["--classroom50", "b", "--budget", "30"], 30),
        (["--autolab", "a"], float("inf")),
    ],
)
def test_who_reads_the_grade_sets_the_budget(asked: list[str], seconds: float) -> None:
    assert grade_cli.budget_of(cli.parser().parse_args(["grade", *asked])) == seconds


# -- the order of starting ------------------------------------------------------


def test_a_check_is_as_urgent_as_all_that_builds_on_it() -> None:
    def check(id: str, takes: float, *needs: str) -> course.Check:
        return course.Check(id, "", "", 1, "", needs, takes)

    checks = [check("a", 1), check("b", 2, "a"), check("c", 4), check("d", 3, "b", "a")]
    seconds = urgency({check.id: check for check in checks})
    assert seconds == {"a": 6, "b": 5, "c": 4, "d": 3}


@pytest.mark.parametrize("jobs", ["1", "8"])
def test_what_is_wanted_first_is_told_first_after_what_it_builds_on(jobs: str) -> None:
    asked = ("--only", "start", "--first", "start/restart,start/bad_port")
    graded = run_grader("1", *asked, "--jobs", jobs, "--submission", SOLUTIONS)
    told = re.findall(r"(?m)^  . +\d\.\d+  (.{12})", graded.out)
    titles = {id: check["title"] for id, check in graded.checks(1).items()}
    assert list(titles) == list(course.stage(1).select("start"))
    first = ["start/listens", "start/restart", "start/bad_port"]
    assert sorted(told[:3]) == sorted(titles[id][:12] for id in first)


# -- a crowd --------------------------------------------------------------------


def test_the_report_says_how_many_clients_there_were(submit: Submit) -> None:
    """This server takes three descriptors for each client."""
    right = Program("right", 3, "two_more_descriptors_for_everyone")
    command = ["/usr/bin/prlimit", "--nofile=20000:20000", "/usr/bin/python3"]
    asked = ["--submission", submit(3, right.text), "--only", "concurrency/thousand"]
    done = subprocess.run(
        [*command, "-m", "grader", "grade", "3", *map(str, asked)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    assert "'ulimit -Hn' says 20000: only 6661 clients came at once." in done.stdout
