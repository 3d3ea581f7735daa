"""A class is graded as a whole and in shards, and no submission gets lost."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from grader.course import ROOT
from grader.tests import programs, runner
from grader.tests.classroom import (
    QUICK,
    SOLUTION,
    echoes_once,
    hand_in,
    rows,
    run,
    ungraded,
)
from grader.tests.runner import Run, Runner, commit, git

# What each student gets in stage 1; those without a number cannot be graded.
SCORES = {"ana": 100, "ben@school.example": 38, "cyd": 0, "D'Arcy, É.": 0}
UNGRADED = {
    "=1+1": "a name has letters",
    "finn": "a link",
    "gus": "none of the folders",
}


@pytest.fixture(scope="module")
def submissions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good submissions, bad ones, and things that are not submissions at all."""
    folder = tmp_path_factory.mktemp("class") / "submissions"
    hand_in(folder, "ana", SOLUTION)
    hand_in(folder, "ben@school.example", echoes_once())
    hand_in(folder, "cyd", "int main(")
    (folder / "D'Arcy, É." / "1").mkdir(parents=True)
    hand_in(folder, "=1+1", SOLUTION)
    (folder / "finn").symlink_to("ana")
    (folder / "gus").mkdir()
    (folder / ".git").mkdir()
    (folder / "README.md").touch()
    return folder


@pytest.fixture(scope="module")
def whole(
    submissions: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """The output of grading all of them, and the folder that it left."""
    out = tmp_path_factory.mktemp("out") / "new"
    return run("class", submissions, "--out", out, "--jobs", "3"), out


Whole = tuple[subprocess.CompletedProcess[str], Path]


def test_everybody_gets_a_grade_or_is_named(whole: Whole) -> None:
    done, out = whole
    assert {name: int(row["Grade"]) for name, row in rows(out).items()} == SCORES
    assert set(ungraded(out)) == set(UNGRADED)
    for name, words in UNGRADED.items():
        assert words in ungraded(out)[name]
        assert f"{name}: not graded" in done.stdout
    assert done.returncode == 2
    assert done.stderr == (
        f"grader: 3 of 7 could not be graded: {out}/class.json says why\n"
    )


def test_the_table_says_what_was_lost_and_is_read_back(whole: Whole) -> None:
    table = rows(whole[1])
    assert table["ana"]["Feedback"] == "Stage 1: 100 of 100"
    assert table["ben@school.example"]["Feedback"] == (
        "Stage 1: 38 of 100, lost: 1.5 echoes a line"
    )
    assert table["cyd"]["Feedback"].endswith("it does not compile")
    assert table["D'Arcy, É."]["Feedback"].endswith("it is missing")
    assert {(r["Maximum"], r["Stage 1"], r["Stage 3"]) for r in table.values()} == {
        ("100", "100", ""), ("100", "38", ""), ("100", "0", ""),
    }  # fmt: skip


def test_each_has_a_result_and_a_page_of_its_own(whole: Whole) -> None:
    for name, score in SCORES.items():
        result = json.loads((whole[1] / name / "result.json").read_text())
        assert (result["score"], result["isolation"]) == (score, "bubblewrap")
        assert "</html>" in (whole[1] / name / "report.html").read_text()


def test_the_terminal_tells_of_each_and_of_all(whole: Whole) -> None:
    said = whole[0].stdout
    assert re.search(r"   38/100  ben@school.example \(stage 1: 38\)[;\n]", said)
    assert re.search(r"    0/100  cyd \(stage 1: does not compile\)[;\n]", said)
    assert "4 graded: from 0 to 100 points" in said and "full marks for 1." in said
    assert "Lost most often:\n          1  stage-1/echo/line\n" in said
    assert all(
        len(line) <= 80 for line in said.splitlines() if "not graded" not in line
    )


def test_shards_put_together_are_the_whole(
    submissions: Path, whole: Whole, tmp_path: Path
) -> None:
    shards = [tmp_path / str(number) for number in (1, 2, 3)]
    for number, out in enumerate(shards, start=1):
        run("class", submissions, "--out", out, "--shard", f"{number}/3")
    done = run("merge", *shards, "--out", tmp_path / "all")
    assert "3 of 7 could not be graded" in done.stderr
    for name in ("grades.csv", *(f"{name}/report.html" for name in SCORES)):
        assert (tmp_path / "all" / name).exists()
    assert rows(tmp_path / "all") == rows(whole[1])
    assert ungraded(tmp_path / "all") == ungraded(whole[1])

    done = run("merge", *shards[:2], "--out", tmp_path / "most")
    assert (done.returncode, done.stderr.partition(",")[0]) == (
        2, "grader: shard 3/3 is missing",
    )  # fmt: skip
    done = run("merge", shards[0], shards[0], "--out", tmp_path / "twice")
    assert done.returncode == 2 and " is in " in done.stderr
    assert not (tmp_path / "twice").exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["class", "/nonexistent", "--out", "new"], "no folder /nonexistent"),
        (["class", "empty", "--out", "new"], "empty has no folder"),
        (["class", "full", "--out", "full"], "full is not empty"),
        (["class", "full", "--out", "file"], "file: File exists"),
        (["class", "full", "--out", "new", "--again", "ana"], "no submission 'ana' in"),
        (["class", "full"], "required: --out"),
        (["class", "full", "--out", "new", "--jobs", "0"], "no number from 1 to 64"),
        (["class", "full", "--out", "new", "--shard", "3/2"], "no shard I/N"),
        (["class", "full", "--out", "new", "--shard", "0/2"], "no shard I/N"),
        (["merge", "full", "--out", "new"], "full is not what grading a class leaves"),
        (["merge", "file", "--out", "new"], "file is not what grading a class leaves"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full" / "somebody").mkdir(parents=True)
    (tmp_path / "file").touch()
    done = subprocess.run(
        ["/usr/bin/python3", "-m", "grader", *arguments],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("fault", runner.FAULTS)
def test_a_fault_of_the_grader_is_nobodys_grade(tmp_path: Path, fault: str) -> None:
    hand_in(tmp_path / "in", "ana", SOLUTION)
    course = runner.course(tmp_path / "course")
    runner.break_grader(course, fault)
    command = ["/usr/bin/python3", "-m", "grader", "class", str(tmp_path / "in")]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out")],
        cwd=course,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and "1 of 1 could not be graded" in done.stderr
    assert rows(tmp_path / "out") == {}
    assert set(ungraded(tmp_path / "out")) == {"ana"}


def test_nobody_is_called_like_a_file_of_the_graders(tmp_path: Path) -> None:
    for name in ("ana", "class.json", "grades.csv"):
        hand_in(tmp_path / "in", name, QUICK)
    done = run("class", tmp_path / "in", "--out", tmp_path / "out")
    assert done.returncode == 2 and set(rows(tmp_path / "out")) == {"ana"}
    assert set(ungraded(tmp_path / "out")) == {"class.json", "grades.csv"}


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM])
def test_what_was_known_is_there_after_an_interruption(
    tmp_path: Path, way: signal.Signals
) -> None:
    hand_in(tmp_path / "in", "ana", "int main(")
    hand_in(tmp_path / "in", "ben", SOLUTION)
    hand_in(tmp_path / "in", "cyd", SOLUTION)
    # If these tests run in the background, everything below them ignores SIGINT.
    command = ["/usr/bin/env", "--default-signal=INT", "/usr/bin/python3"]
    command += ["-m", "grader", "class", str(tmp_path / "in"), "--jobs", "1"]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as grader:
        assert grader.stdout
        assert "cyd" not in grader.stdout.readline()
        os.kill(grader.pid, way)
        _, err = grader.communicate(timeout=60)
    assert (grader.returncode, err) == (2, "grader: interrupted; not all was graded\n")
    assert set(rows(tmp_path / "out")) == {"ana"}
    done = run("merge", tmp_path / "out", "--out", tmp_path / "merged")
    assert done.returncode == 0 and set(rows(tmp_path / "merged")) == {"ana"}


def test_nobody_outlives_a_class_that_is_killed(tmp_path: Path) -> None:
    hand_in(tmp_path / "in", "ana", "int main(")
    hand_in(tmp_path / "in", "ben", SOLUTION)
    with subprocess.Popen(
        ["/usr/bin/python3", "-m", "grader", "class", str(tmp_path / "in")]
        + ["--jobs", "1", "--out", str(tmp_path / "out")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as grader:
        assert grader.stdout
        grader.stdout.readline()
        children = _children(grader.pid)
        grader.kill()
    assert children
    for pid in children:
        _await_end(pid)


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def _await_end(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([pidfd], [], [], 60)[0], f"{pid} is still there"
    finally:
        os.close(pidfd)


def test_the_workflow_grades_the_shards_and_merges_them(tmp_path: Path) -> None:
    course = runner.course(tmp_path / "course")
    git(course, "checkout", "--quiet", "--orphan", "handed-in")
    git(course, "rm", "-rf", "--quiet", ".")
    for name in ("ana", "ben", "cyd", "dan", "eve"):
        hand_in(course, name, SOLUTION if name == "ana" else "int main(")
    commit(course)
    git(course, "checkout", "--quiet", "main")

    def job(name: str, shard: int = 0) -> Run:
        known = {
            "vars.SUBMISSIONS": "refs/o/heads/handed-in",
            "matrix.shard": str(shard),
            "strategy.job-total": "4",
        }
        desk = Runner(tmp_path / "run", course, {}, tmp_path / "kept", known=known)
        return desk.run(course / ".github/workflows/class.yml", name)

    shards = [job("grade", number) for number in (1, 2, 3, 4)]
    assert [(run.status, run.left) for run in shards] == [(0, "")] * 4, shards[0].log
    merged = job("merge")
    assert merged.status == 0, merged.log
    scores = {name: row["Grade"] for name, row in rows(tmp_path / "kept/class").items()}
    assert scores == {"ana": "100", "ben": "0", "cyd": "0", "dan": "0", "eve": "0"}
    shutil.rmtree(tmp_path / "kept/class")
    shutil.rmtree(tmp_path / "kept/class-2")  # as if a machine had been lost
    merged = job("merge")
    assert merged.status == 2 and "shard 2/4 is missing" in merged.log


def test_a_class_waits_longer_for_a_server_to_hang_up(tmp_path: Path) -> None:
    """This one does so after eight seconds: longer than a single grade waits."""
    source = programs.find("3/hangs_up_after_eight_seconds").text
    file = tmp_path / "in" / "ana" / "3" / "tcp_server.c"
    file.parent.mkdir(parents=True)
    file.write_text(source)
    done = run("class", tmp_path / "in", "--out", tmp_path / "out")
    assert done.returncode == 0
    result = json.loads((tmp_path / "out" / "ana" / "result.json").read_text())
    failed = [c["id"] for c in result["stages"][0]["checks"] if c["status"] == "failed"]
    assert "lifecycle/patience" in failed
