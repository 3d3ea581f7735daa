"""The result in others' formats: nothing gets lost; passed, failed, not tried and the
grader's own fault stay distinct; and what a student wrote cannot act as a command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from grader.course import ROOT
from grader.errors import CannotGrade
from grader.grading.result import CheckResult, Result, StageResult
from grader.report import autolab, classroom50, gradescope, junit, prairielearn
from grader.tests import programs
from grader.tests.conftest import run_grader

Submit = Callable[[int, str | bytes | Path], Path]

HOSTILE = '</failure><x a="1">&\x1b[31m\0\ufffe]]>\n::error::no\n'

RUNNER = {
    "CLASSROOM": "networks",
    "ASSIGNMENT": "echo",
    "SUBMISSION_TAG": "submit/1",
    "COMMIT_URL": "https://example.org/commit/1",
    "RELEASE_URL": "https://example.org/release/1",
}


def _result(*statuses: str, stage_status: str = "graded") -> dict[str, Any]:
    """A result with a check worth 10 points for each of STATUSES."""
    stage = StageResult(3, 10 * len(statuses), stage_status)
    for number, status in enumerate(statuses):
        check = CheckResult(f"echo/{number}", HOSTILE, "3.4", 10, status)
        check.points = 10 if status == "passed" else 0
        check.message, check.details = (
            (HOSTILE, HOSTILE) if status != "passed" else ("", "")
        )
        check.blocked_by = "echo/1" if status == "skipped" else ""
        stage.checks.append(check)
    return Result(1, "bubblewrap", [stage], 2.5).as_json()


ALL_FOUR = ("passed", "failed", "skipped", "error")
GRADED = _result("passed", "failed", "skipped")
FAULT = _result(*ALL_FOUR, stage_status="grader_error")


def test_junit_keeps_the_four_ways_apart() -> None:
    suite = ElementTree.fromstring(junit.render(FAULT))[0]
    counts = {
        name: suite.get(name) for name in ("tests", "failures", "skipped", "errors")
    }
    assert counts == {"tests": "4", "failures": "1", "skipped": "1", "errors": "1"}
    ways = [[element.tag for element in case] for case in suite]
    assert ways == [[], ["failure"], ["skipped"], ["error"]]
    told = "".join(suite.itertext())
    assert "</failure><x" in told and "\x1b" not in told and "\n::error" not in told
    assert "it builds on echo/1" in told


def test_gradescope_gets_each_check_with_its_points() -> None:
    report = json.loads(gradescope.render(GRADED))
    assert (report["score"], report["execution_time"]) == (10, 2.5)
    assert [t["status"] for t in report["tests"]] == ["passed", "failed", "failed"]
    assert [t["score"] for t in report["tests"]] == [10, 0, 0]
    assert sum(t["max_score"] for t in report["tests"]) == GRADED["max_score"]
    assert report["tests"][2]["output"].startswith("Not tried: it builds on")
    assert "\x1b" not in report["tests"][1]["output"]


def test_classroom_50_gets_whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in RUNNER.items():
        monkeypatch.setenv(name, value)
    report = json.loads(classroom50.render(GRADED))
    assert set(report) == {
        "schema", "classroom", "assignment", "submission", "commit", "release",
        "review", "datetime", "score", "max-score", "tests",
    }  # fmt: skip
    assert report["schema"] == "classroom50/result/v1"
    assert report["datetime"].endswith("Z")
    assert sum(test["score"] for test in report["tests"]) == report["score"] == 10
    assert sum(test["max-score"] for test in report["tests"]) == report["max-score"]
    assert [test["passed"] for test in report["tests"]] == [True, False, False]


def test_classroom_50_without_its_runner_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in RUNNER:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CannotGrade, match="CLASSROOM"):
        classroom50.render(GRADED)


def test_autolab_gets_one_line() -> None:
    text = autolab.render(GRADED)
    assert text.count("\n") == 1
    assert json.loads(text)["scores"] == {"stage3": 10}


def test_prairielearn_gets_a_share_of_one() -> None:
    report = json.loads(prairielearn.render(GRADED))
    assert report["gradable"] is True
    assert report["score"] == pytest.approx(1 / 3)
    assert [test["points"] for test in report["tests"]] == [10, 0, 0]


def test_prairielearn_does_not_grade_what_is_not_there() -> None:
    missing = _result("skipped", stage_status="missing")
    missing["stages"][0]["build"]["output"] = "there is no tcp_server.c"
    report = json.loads(prairielearn.render(missing))
    assert report == {"gradable": False, "message": "there is no tcp_server.c"}


def _does_not_compile(said: str) -> dict[str, Any]:
    """A result of three stages with 20 checks each; none compiles, and SAID is why."""
    stages = []
    for number in (1, 2, 3):
        (stage,) = _result(*["skipped"] * 20, stage_status="build_failed")["stages"]
        stage["build"]["output"] = said
        for check in stage["checks"]:
            check["blocked_by"] = ""
        stages.append(stage | {"stage": number})
    return GRADED | {"score": 0, "max_score": 600, "stages": stages}


def test_what_the_compiler_said_is_there_once_for_each_stage() -> None:
    result = _does_not_compile("x.c:1: error: of the student's")
    for render in (gradescope.render, junit.render):
        text = render(result)
        assert text.count("of the student's") == 3
        assert text.count("it does not compile") >= 60
    report = json.loads(prairielearn.render(result))
    assert report["output"].count("of the student's") == 3
    assert report["tests"][1]["output"] == "Not tried: it does not compile."


def test_prairielearn_gets_no_more_than_it_takes() -> None:
    result = _does_not_compile("é" * 70_000)
    for stage in result["stages"]:
        stage["checks"][5] |= {"status": "failed", "details": "é" * 9_000 + "because"}
    text = prairielearn.render(result)
    assert len(text.encode()) <= 1_000_000
    report = json.loads(text)
    assert len(report["tests"]) == 60 and len(report["output"]) > 10_000
    assert report["tests"][5]["output"].endswith("because")


def test_one_grading_writes_them_all_and_they_agree(
    submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in RUNNER.items():
        monkeypatch.setenv(name, value)
    names = ("junit", "gradescope", "classroom50", "autolab", "prairielearn")
    files = {name: tmp_path / name for name in names}
    asked = [f"--{name}={file}" for name, file in files.items()]
    wrong = programs.find("3/waits_for_newline").text
    graded = run_grader("3", "--submission", submit(3, wrong), "--only", "echo", *asked)
    score, whole = graded.result["score"], graded.result["max_score"]
    assert (graded.status, 0 < score < whole) == (1, True)
    read = {name: json.loads(files[name].read_text()) for name in names[1:]}
    assert read["gradescope"]["score"] == read["classroom50"]["score"] == score
    assert read["autolab"]["scores"] == {"stage3": score}
    assert read["prairielearn"]["score"] == pytest.approx(score / whole)
    suite = ElementTree.parse(files["junit"]).getroot()[0]
    failed = [c for c in graded.checks(3).values() if c["status"] == "failed"]
    assert int(suite.get("failures", "")) == len(failed)


def test_what_cannot_be_exported_is_said_and_no_grade_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLASSROOM", raising=False)
    files = [tmp_path / name for name in ("gradescope", "classroom50")]
    asked = [f"--{file.name}={file}" for file in files]
    solutions = ROOT / "solutions"
    only = ("1", "--only", "echo/line", "--submission", solutions)
    graded = run_grader(*only, *asked)
    assert graded.status == 2
    assert graded.err.count("\n") == 1 and "CLASSROOM, which is not set" in graded.err
    assert not any(file.exists() for file in files)


# The grader gives up at once, which is its own fault.
GIVES_UP = """
import sys
from grader import cli
from grader.grading import verdicts
verdicts.STAGE_SECONDS = 0
sys.exit(cli.main(["grade", "1", "--only", "echo/line", *sys.argv[1:]]))
"""


def test_after_a_fault_of_the_grader_nobody_gets_a_grade(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("gradescope", "prairielearn", "autolab")]
    asked = [f"--{file.name}={file}" for file in files]
    command = ["/usr/bin/python3", "-c", GIVES_UP, *asked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=300)
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def gradescope_machine(tmp_path: Path) -> Path:
    """A folder laid out like one of Gradescope's machines, with our autograder for
    stage 1 on it, set up."""
    root, archive = tmp_path / "autograder", tmp_path / "autograder.zip"
    command = ["make", "-s", "gradescope", f"FILE={archive}", "STAGE=1"]
    subprocess.run(command, cwd=ROOT, check=True)
    for name in ("source", "submission", "results"):
        (root / name).mkdir(parents=True)
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            file = packed.extract(entry, root / "source")
            os.chmod(file, entry.external_attr >> 16)
    environment = {**os.environ, "AUTOGRADER": str(root)}
    subprocess.run([root / "source" / "setup.sh"], env=environment, check=True)
    return root


# The one in Ubuntu 22.04: too old, and without modules that the grader imports.
OLD_PYTHON = "#!/bin/sh\necho 'ModuleNotFoundError: tomllib' >&2\nexit 1\n"


def test_gradescopes_machine_that_is_too_old_gives_no_grade(
    gradescope_machine: Path, tmp_path: Path
) -> None:
    old = tmp_path / "python3"
    old.write_text(OLD_PYTHON)
    old.chmod(0o755)
    results = gradescope_machine / "results" / "results.json"
    results.write_text('{"score": 100}')  # of somebody graded before
    said = {}
    for script in ("setup.sh", "run_autograder"):
        done = subprocess.run(
            [gradescope_machine / "source" / script],
            env={
                **os.environ,
                "AUTOGRADER": str(gradescope_machine),
                "PYTHON": str(old),
            },
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout) == (2, "")
        said[script] = done.stderr.splitlines()[-1]
    assert "too old: choose Ubuntu 24.04 or Debian 12" in said["setup.sh"]
    assert "left no grade" in said["run_autograder"]
    assert not results.exists()


def _run_autograder(root: Path) -> dict[str, Any]:
    subprocess.run(
        [root / "source" / "run_autograder"],
        cwd="/",
        env={**os.environ, "AUTOGRADER": str(root)},
        check=True,
        timeout=300,
    )
    results: dict[str, Any] = json.loads((root / "results/results.json").read_text())
    return results


def test_gradescopes_machine_grades_what_is_uploaded(gradescope_machine: Path) -> None:
    uploaded = gradescope_machine / "submission"
    solution = (ROOT / "solutions/1/tcp_server.c").read_text()
    (uploaded / "tcp_server.c").write_text(solution)  # a single file
    assert _run_autograder(gradescope_machine)["score"] == 100
    (uploaded / "tcp_server.c").unlink()
    (uploaded / "1").mkdir()  # and laid out like stages/
    wrong = programs.find("1/waits_for_eof").text
    (uploaded / "1" / "tcp_server.c").write_text(wrong)
    assert 0 < _run_autograder(gradescope_machine)["score"] < 100
    assert not (gradescope_machine / "source/lab/solutions").exists()


def test_an_old_grade_is_not_left_for_a_grading_that_was_broken_off(
    tmp_path: Path,
) -> None:
    file = tmp_path / "scores"
    file.write_text('{"scores": {"stage1": 100}}')
    command = ["/usr/bin/python3", "-m", "grader", "grade", "1", "--autolab", str(file)]
    with subprocess.Popen(
        [*command, "--submission", "solutions"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as grader:
        assert grader.stdout and grader.stdout.readline().startswith("Stage 1")
        grader.terminate()
        grader.communicate(timeout=60)
    assert grader.returncode == 2
    assert not file.exists()


@pytest.fixture
def classroom50_runner(tmp_path: Path) -> Path:
    """A folder with what Classroom 50's runner fetches, bundle/, and a student's
    checkout, which contains a grader and a result of its own."""
    bundle, checkout = tmp_path / "bundle", tmp_path / "checkout"
    bundle.mkdir()
    for folder in (bundle / "lab", checkout):
        command = ["make", "-s", "handout", f"DIR={folder}"]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    shutil.copy(ROOT / "grader/teaching/classroom50/autograder.py", bundle)
    (bundle / "stage").write_text("1\n")
    for name in ("grader/__main__.py", "grader/setup.sh", "subprocess.py", "pytest.py"):
        (checkout / name).write_text("raise SystemExit('of the student')")
    (checkout / "result.json").write_text('{"score": 1000}')
    return tmp_path


def _run_classroom50(root: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/usr/bin/python3", str(root / "bundle" / "autograder.py")],
        cwd=root / "checkout",
        env={"PATH": os.environ["PATH"]} | variables,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("source, score", [("solutions/1", 100), ("stages/1", 0)])
def test_classroom_50_runs_our_grader_and_not_the_students(
    classroom50_runner: Path, source: str, score: int
) -> None:
    checkout = classroom50_runner / "checkout"
    shutil.copy(ROOT / source / "tcp_server.c", checkout / "stages" / "1")
    done = _run_classroom50(classroom50_runner, **RUNNER)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "of the student" not in done.stdout + done.stderr
    report = json.loads((checkout / "result.json").read_text())
    assert (report["score"], report["max-score"]) == (score, 100)


def test_classroom_50_gets_an_error_where_there_is_no_grade(
    classroom50_runner: Path,
) -> None:
    done = _run_classroom50(classroom50_runner)  # nothing handed in
    assert done.returncode == 2 and "CLASSROOM, which is not set" in done.stderr
    assert not (classroom50_runner / "checkout" / "result.json").exists()
