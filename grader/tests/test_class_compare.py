"""Compares two gradings of a class: whose grade changed, and why."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grader import course
from grader.course import ROOT
from grader.tests.classroom import QUICK, SOLUTION, echoes_once, hand_in, run

Change = Callable[[dict[str, Any]], None]

NONE = f"gus has none of the folders {course.listed()}"


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class graded twice: old/, and new/ after some have handed in again."""
    folder = tmp_path_factory.mktemp("graded")
    hand_in(folder / "in", "ana", SOLUTION)
    hand_in(folder / "in", "ben", echoes_once())
    hand_in(folder / "in", "cyd", QUICK)
    hand_in(folder / "in", "dan", QUICK)
    (folder / "in/gus").mkdir()
    run("class", folder / "in", "--out", folder / "old")
    shutil.copytree(folder / "old", folder / "new")
    (folder / "in/ana/1/tcp_server.c").write_text(echoes_once())
    shutil.copy(SOLUTION, folder / "in/ben/1/tcp_server.c")
    shutil.rmtree(folder / "in/cyd")
    hand_in(folder / "in", "eve", QUICK)
    run("class", folder / "in", "--out", folder / "new")
    return folder


@pytest.fixture
def desk(graded: Path, tmp_path: Path) -> Path:
    """Two copies of old/, called old/ and new/, that a test may change."""
    for name in ("old", "new"):
        shutil.copytree(graded / "old", tmp_path / name)
    return tmp_path


def test_it_says_whose_grade_changed_and_why(graded: Path) -> None:
    done = run("compare", graded / "old", graded / "new")
    assert (done.returncode, done.stderr) == (1, "")
    said = done.stdout
    assert said.startswith(
        "ana: 100/100 -> 38/100 (the submission changed)\n"
        "  stage 1: 100/100 -> 38/100\n"
        "    ✗ passed -> failed: 1.5 echoes a line\n        "
    )
    assert "    – passed -> skipped: 1.5 echoes every byte value, NUL too; " in said
    assert "        it builds on echo/line, which failed\n" in said
    assert "\nben: 38/100 -> 100/100 (the submission changed)\n" in said
    assert "    ✓ failed -> passed: 1.5 echoes a line\n    ✓ skipped -> pass" in said
    assert "\ncyd: only in OLD: 0/100\n" in said
    assert "\neve: only in NEW: 0/100\n" in said
    assert f"\ngus: not graded: {NONE}, as before\n" in said
    assert "dan" not in said
    assert said.endswith(
        "\n\n3 graded in both: 1 unchanged, 2 changed.\nMean difference: +0.0 points.\n"
        "1 only in OLD.\n1 only in NEW.\n"
        "1 could not be graded in OLD.\n1 could not be graded in NEW.\n"
    )
    assert all(len(line) <= 80 for line in said.splitlines())


def test_make_compares_two_that_are_the_same(graded: Path) -> None:
    variables = [f"OLD={graded}/old", f"NEW={graded}/old"]
    done = subprocess.run(
        ["make", "compare", *variables], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout == (
        f"gus: not graded: {NONE}, as before\n\n"
        "4 graded in both: 4 unchanged, 0 changed.\nMean difference: +0.0 points.\n"
        "1 could not be graded in OLD.\n1 could not be graded in NEW.\n"
    )


def edit(path: Path, change: Change) -> None:
    """Apply CHANGE to the JSON in PATH."""
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def _of_ana(change: Change) -> Callable[[Path], None]:
    return lambda new: edit(new / "ana/result.json", change)


def _of_all(change: Change) -> Callable[[Path], None]:
    return lambda new: edit(new / "class.json", change)


def _worth_more(result: dict[str, Any]) -> None:
    check = result["stages"][0]["checks"][0]
    check["points"], check["max_points"] = 9, 9
    result["score"], result["max_score"] = 107, 107


def _a_new_check(result: dict[str, Any]) -> None:
    checks = result["stages"][0]["checks"]
    message = {"message": "too loud", "details": "x", "title": "shouts"}
    checks.append(checks[0] | {"id": "echo/shout", "status": "failed"} | message)


def _a_check_less(result: dict[str, Any]) -> None:
    del result["stages"][0]["checks"][0]


def _does_not_compile(result: dict[str, Any]) -> None:
    result["score"] = result["stages"][0]["score"] = 0
    result["stages"][0]["status"] = "build_failed"
    output = "1/tcp_server.c: In main:\n1/tcp_server.c:3:1: error: expected ';'\n"
    result["stages"][0]["build"] = {"ok": False, "seconds": 0, "output": output}


def _one_stage_more(result: dict[str, Any]) -> None:
    result["stages"].append(result["stages"][0] | {"stage": 2, "score": 7})


def _ungraded(known: dict[str, Any]) -> None:
    known["graded"].remove("ana")
    known["ungraded"]["ana"] = "the grader did not finish"


@pytest.mark.parametrize(
    "change, words",
    [
        (_of_ana(_worth_more), "ana: 100/100 -> 107/107 ("),
        (_of_ana(_worth_more), "    ✓ passed, worth 10 -> 9 points: 1."),
        (_of_ana(_a_new_check), "ana: 100/100 as before ("),
        (
            _of_ana(_a_new_check),
            "    ✗ new check, failed: 1.1 shouts\n        too loud\n",
        ),
        (_of_ana(_a_check_less), "    ✓ removed check, passed: 1."),
        (
            _of_ana(_does_not_compile),
            "  stage 1: 100/100 -> 0/100, does not compile\n"
            "      1/tcp_server.c:3:1: error: expected ';'\n",
        ),
        (_of_ana(_one_stage_more), "  stage 2 only in NEW: 7/100\n"),
        (
            _of_all(_ungraded),
            "ana: 100/100 -> not graded: the grader did not finish\n",
        ),
    ],
)
def test_whatever_changes_in_a_grade_is_told(
    desk: Path, change: Callable[[Path], None], words: str
) -> None:
    change(desk / "new")
    done = run("compare", desk / "old", desk / "new")
    assert (done.returncode, done.stderr) == (1, "")
    assert words in done.stdout
    assert "4 graded in both: 4 unchanged" not in done.stdout


def _with(key: str) -> Callable[[Path], None]:
    def change(known: dict[str, Any]) -> None:
        known["provenance"]["ana"][key] = "another one"

    return _of_all(change)


def _forget_provenance(known: dict[str, Any]) -> None:
    del known["provenance"]


def _by_version_two(result: dict[str, Any]) -> None:
    result["grader"] = "2.0"


def _of_before(new: Path) -> None:
    edit(new / "class.json", _forget_provenance)


def _of_version_two(new: Path) -> None:
    _of_before(new)
    edit(new / "ana/result.json", _by_version_two)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda new: None, "neither the submission nor the grader changed"),
        (_with("submission"), "the submission changed"),
        (_with("grader"), "the grader changed"),
        (_with("options"), "the options changed"),
        (_of_version_two, "the grader changed"),
        (_of_before, "no record of what changed"),
    ],
)
def test_it_says_what_else_is_not_the_same(
    desk: Path, change: Callable[[Path], None], words: str
) -> None:
    change(desk / "new")
    assert run("compare", desk / "old", desk / "new").returncode == 0
    edit(desk / "new/ana/result.json", _worth_more)
    done = run("compare", desk / "old", desk / "new")
    assert f"ana: 100/100 -> 107/107 ({words})\n" in done.stdout


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda new: shutil.rmtree(new), "is not what grading a class leaves"),
        (lambda new: (new / "class.json").write_text("[]"), "is not what grading a"),
        (lambda new: (new / "ana/result.json").unlink(), "or not all of it"),
        (lambda new: (new / "ana/result.json").write_text("1"), "or not all of it"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(
    desk: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(desk / "new")
    for folders in (("old", "new"), ("new", "old")):
        done = run("compare", *(desk / name for name in folders))
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"grader: {desk}/new ")
        assert words in done.stderr and done.stderr.count("\n") == 1
