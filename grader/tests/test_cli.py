"""The command line, its exit statuses, and how it deals with bad input."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from grader.course import ROOT
from grader.tests.conftest import run_grader, session_members

SOLUTIONS = ROOT / "solutions"
Submit = Callable[[int, str | bytes | Path], Path]


def test_zero_is_for_full_marks_on_what_was_graded() -> None:
    graded = run_grader("1", "--only", "echo", "--submission", SOLUTIONS)
    assert graded.status == 0
    assert graded.result["score"] == graded.result["max_score"] == 43
    assert set(graded.checks(1)) == {
        "echo/line", "echo/every_byte_value", "echo/large", "echo/single_bytes",
        "echo/pause", "echo/half_close",
    }  # fmt: skip


def test_a_requirement_can_be_graded_by_its_number() -> None:
    graded = run_grader("--only", "3.2", "--submission", SOLUTIONS)
    assert graded.status == 0
    (stage,) = graded.result["stages"]
    assert {check["requirement"] for check in stage["checks"]} == {"3.2"}


def test_the_result_is_what_the_contract_says() -> None:
    only = "start/listens"
    graded = run_grader("3", "--only", only, "--submission", SOLUTIONS, "--seed", "7")
    result = graded.result
    assert result["schema"] == "echolab/result/v1"
    assert set(result) == {
        "schema", "score", "max_score", "stages", "seed", "isolation", "grader",
        "started", "seconds",
    }  # fmt: skip
    assert result["seed"] == 7
    stage = graded.stage(3)
    assert set(stage) == {
        "stage", "score", "max_score", "status", "build", "milestones", "checks",
    }  # fmt: skip
    assert set(stage["checks"][0]) == {
        "id", "title", "requirement", "status", "points", "max_points", "seconds",
        "message", "details", "lesson", "evidence", "hint", "blocked_by",
    }  # fmt: skip


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["4"], "there is no stage '4'"),
        (["three"], "there is no stage 'three'"),
        (["--submission", "/nowhere"], "no folder /nowhere"),
        (["--submission", "/usr/share"], "has none of the folders"),
        (
            ["3", "--only", "echo/nothing"],
            "no check 'echo/nothing'; choose from echo/line, ",
        ),
        (["3", "--only", "nonsense"], "no check 'nonsense'; choose from start, echo, "),
        (["--isolation", "perhaps"], "invalid choice"),
        (["--json", "/nowhere/result.json"], "cannot write /nowhere/result.json"),
        (["--seed", "x"], "invalid int value"),
        (["--patience", "x"], "'x' is no time from 0 to 60 seconds"),
        (["--patience", "1e9"], "'1e9' is no time from 0 to 60 seconds"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    arguments: list[str], words: str
) -> None:
    done = subprocess.run(
        ["/usr/bin/python3", "-m", "grader", "grade", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_ctrl_c_keeps_what_was_known_and_leaves_nothing_running(
    tmp_path: Path,
) -> None:
    report = tmp_path / "result.json"
    # If these tests run in the background, everything below them ignores SIGINT.
    command = ["/usr/bin/env", "--default-signal=INT", "/usr/bin/python3"]
    command += [
        "-m",
        "grader",
        "grade",
        "3",
        "--submission",
        str(SOLUTIONS),
        "--json",
        str(report),
    ]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as grader:
        assert grader.stdout and grader.stderr
        for line in grader.stdout:
            if "every byte value" in line:
                break
        os.killpg(grader.pid, signal.SIGINT)
        _, err = grader.communicate(timeout=60)
    assert grader.returncode == 2
    assert err == "grader: interrupted; not all was graded\n"
    assert '"score": ' in report.read_text()
    assert session_members(grader.pid) == []


def test_a_stage_that_is_not_there_is_missing(tmp_path: Path) -> None:
    (tmp_path / "3").mkdir()
    graded = run_grader("3", "--submission", tmp_path)
    assert graded.stage(3)["status"] == "missing"
    assert (graded.status, graded.result["score"]) == (1, 0)
    assert "there is no" in graded.out


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda path: path.write_text(" \n"), "is empty"),
        (lambda path: path.symlink_to(SOLUTIONS / "1/tcp_server.c"), "a link"),
        (lambda path: os.mkfifo(path), "not a regular file"),
        (lambda path: path.mkdir(), "cannot be read"),
        (lambda path: path.write_bytes(b"/" * (2 << 20)), "larger than 1 MiB"),
    ],
)
def test_a_file_that_is_none_is_missing(
    tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    (tmp_path / "1").mkdir()
    spoil(tmp_path / "1" / "tcp_server.c")
    graded = run_grader("1", "--submission", tmp_path)
    assert graded.stage(1)["status"] == "missing"
    assert words in graded.stage(1)["build"]["output"]
    assert graded.status == 1


def test_a_stage_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "1").symlink_to(SOLUTIONS / "1")
    graded = run_grader("1", "--submission", tmp_path)
    assert graded.stage(1)["status"] == "missing"
    assert "is a link" in graded.stage(1)["build"]["output"]


def test_a_compiler_error_is_shown_where_the_student_knows_it(submit: Submit) -> None:
    folder = submit(3, '#include "tcp_server.h"\nint main(void) { return x; }\n')
    graded = run_grader("3", "--submission", folder)
    assert graded.stage(3)["status"] == "build_failed"
    assert f"{folder}/3/tcp_server.c:2:25: error: 'x' undeclared" in graded.out
    assert graded.status == 1


def test_what_is_not_c_does_not_compile(submit: Submit) -> None:
    graded = run_grader("3", "--submission", submit(3, bytes(range(256)) * 10))
    assert graded.stage(3)["status"] == "build_failed"


ENDLESS = """
#include <stdio.h>
int main(void) { for (;;) puts("on and on and on and on and on and on and on"); }
"""
SLEEPS = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"


@pytest.mark.parametrize(
    "source, words",
    [
        ("int main(void) { return 3; }\n", "the program exited with status 3"),
        ("int main(void) { return *(volatile int *)8; }\n", "killed by SIGSEGV"),
        (SLEEPS, "the program sleeps in pause()"),
        (ENDLESS, "the program prints endlessly"),
        ("int main(void) { for (;;); }\n", "of processor time"),
    ],
)
def test_whatever_it_does_there_is_a_verdict(
    submit: Submit, source: str, words: str
) -> None:
    graded = run_grader("3", "--submission", submit(3, source))
    check = graded.checks(3)["start/listens"]
    assert check["status"] == "failed"
    assert words in " ".join(check["details"].split())
    assert (graded.status, graded.result["score"]) == (1, 0)


def test_without_isolation_it_says_so_only_if_that_was_not_asked_for() -> None:
    asked = ("--submission", SOLUTIONS, "--isolation", "off")
    graded = run_grader("1", "--only", "echo/line", *asked)
    assert (graded.status, graded.result["isolation"]) == (0, "off")
    assert "isolation" not in graded.out


def test_the_report_in_a_pipe_is_plain_and_fits_eighty_columns() -> None:
    graded = run_grader("3", "--only", "start")
    assert "\x1b" not in graded.out and "\r" not in graded.out
    assert max(map(len, graded.out.splitlines())) <= 80


def test_a_report_that_nobody_reads_is_no_crash() -> None:
    done = subprocess.run(
        "/usr/bin/python3 -m grader grade 1 | head -1",
        shell=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("Stage 1")
    assert "Traceback" not in done.stderr


BREAKS = """
import sys
from grader import cli
from grader.grading import submission
def find(*_):
    raise KeyError("of ours")
submission.find = find
sys.exit(cli.main(["grade", "1", "--submission", "solutions"]))
"""


def test_what_nobody_foresaw_is_the_graders_own_fault() -> None:
    command = ["/usr/bin/python3", "-c", BREAKS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("Traceback")
    last = done.stderr.splitlines()[-1]
    assert last == "grader: a fault of the grader's own: KeyError: 'of ours'"
