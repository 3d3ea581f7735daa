"""Grading a class resumes: valid grades are kept, and no others."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from grader.course import ROOT
from grader.teaching import fingerprint
from grader.tests import runner
from grader.tests.classroom import QUICK, SOLUTION, hand_in, rows, run, told, ungraded


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with submissions, in/, and what grading them left, out/."""
    folder = tmp_path_factory.mktemp("graded")
    for name in ("ana", "ben", "cyd"):
        hand_in(folder / "in", name, QUICK)
    done = run("class", folder / "in", "--out", folder / "out")
    assert (done.returncode, sorted(told(done))) == (0, ["ana", "ben", "cyd"])
    return folder


@pytest.fixture
def desk(graded: Path, tmp_path: Path) -> Path:
    """A copy of that folder that a test may change."""
    for name in ("in", "out"):
        shutil.copytree(graded / name, tmp_path / name)
    return tmp_path


def go_on(desk: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run("class", desk / "in", "--out", desk / "out", *options)


def test_what_has_not_changed_is_kept(desk: Path) -> None:
    os.utime(desk / "in/ana/1/tcp_server.c")
    (desk / "in/ana/1/notes.txt").write_text("nobody grades this")
    before = (desk / "out/ana/result.json").read_bytes()
    (desk / "in/ben/1/tcp_server.c").write_text("int main(int")
    hand_in(desk / "in", "dan", QUICK)
    done = go_on(desk)
    assert (done.returncode, sorted(told(done))) == (0, ["ben", "dan"])
    assert "Changed since they were graded: grading 1 again.\n" in done.stdout
    assert "Kept 2 grades from before.\n[3/4] " in done.stdout
    assert set(rows(desk / "out")) == {"ana", "ben", "cyd", "dan"}
    assert (desk / "out/ana/result.json").read_bytes() == before
    done = go_on(desk)
    assert (done.returncode, told(done)) == (0, [])
    assert "Kept 4 grades from before.\n" in done.stdout


def test_who_is_gone_loses_the_row_and_not_the_folder(desk: Path) -> None:
    shutil.rmtree(desk / "in/ben")
    done = go_on(desk)
    assert (done.returncode, told(done)) == (0, [])
    assert "ben is gone: its grade is dropped, its folder stays.\n" in done.stdout
    assert set(rows(desk / "out")) == {"ana", "cyd"}
    assert (desk / "out/ben/report.html").exists()


def test_one_can_be_graded_again_although_nothing_changed(desk: Path) -> None:
    done = go_on(desk, "--again", "cyd", "--again", "ana")
    assert sorted(told(done)) == ["ana", "cyd"]
    assert (
        "Asked for with --again: grading 2 again.\nKept 1 grade from before.\n"
        in done.stdout
    )
    before = (desk / "out/class.json").read_bytes()
    done = go_on(desk, "--again", "zed")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"grader: no submission 'zed' in {desk}/in\n"
    assert (desk / "out/class.json").read_bytes() == before


def test_make_says_whom_to_grade_again(desk: Path) -> None:
    variables = [f"SUBMISSIONS={desk}/in", f"OUT={desk}/out", "AGAIN=ben"]
    done = subprocess.run(
        ["make", "class", *variables], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, told(done)) == (0, ["ben"])


def test_who_could_not_be_graded_is_tried_again(desk: Path) -> None:
    (desk / "in/gus").mkdir()
    assert go_on(desk).returncode == 2
    assert set(ungraded(desk / "out")) == {"gus"}
    shutil.rmtree(desk / "in/gus")
    hand_in(desk / "in", "gus", QUICK)
    done = go_on(desk)
    assert (done.returncode, told(done)) == (0, ["gus"])
    assert "Could not be graded before: trying 1 again.\n" in done.stdout
    assert ungraded(desk / "out") == {} and "gus" in rows(desk / "out")


def test_who_cannot_be_graded_any_more_has_no_grade(desk: Path) -> None:
    shutil.rmtree(desk / "in/ana/1")
    assert go_on(desk).returncode == 2
    assert set(ungraded(desk / "out")) == {"ana"}
    assert set(rows(desk / "out")) == {"ben", "cyd"}
    assert not (desk / "out/ana/result.json").exists()


def test_half_of_what_grading_leaves_is_no_grade(desk: Path) -> None:
    path = desk / "out/ana/result.json"
    result = json.loads(path.read_text())
    result["stages"][0]["status"] = "grader_error"
    path.write_text(json.dumps(result))
    (desk / "out/ben/report.html").unlink()
    done = go_on(desk)
    assert (done.returncode, sorted(told(done))) == (0, ["ana", "ben"])
    assert "Incomplete results: grading 2 again.\n" in done.stdout


def test_grades_of_another_version_are_made_anew(desk: Path, tmp_path: Path) -> None:
    course = runner.course(tmp_path / "course")
    arguments = ("class", desk / "in", "--out", desk / "out")
    assert told(run(*arguments, cwd=course)) == []  # a copy is the same version
    edited = course / "grader/stages/1/stage.toml"
    edited.write_text(f"{edited.read_text()}# An edit.\n")
    done = run(*arguments, cwd=course)
    assert len(told(done)) == 3 and "Kept" not in done.stdout
    said = "Graded by another version of the grader: grading all again.\n"
    assert done.stdout.count(said) == 1
    assert told(run(*arguments, cwd=course)) == []


@pytest.mark.parametrize(
    "key, value, words",
    [
        ("options", "--patience 1", "Graded with other options"),
        ("grader", "0.9", "Graded by another version of the grader"),
        (None, None, "Graded by another version of the grader"),
    ],
)
def test_a_grade_holds_for_what_it_was_made_from(
    desk: Path, key: str | None, value: str, words: str
) -> None:
    path = desk / "out/class.json"
    known = json.loads(path.read_text())
    if key is None:  # as an older grader left it
        del known["provenance"]
    else:
        known["provenance"]["ana"][key] = value
    path.write_text(json.dumps(known))
    done = go_on(desk)
    assert sorted(told(done)) == (["ana"] if key else ["ana", "ben", "cyd"])
    assert f"{words}: grading {1 if key else 'all'} again.\n" in done.stdout


def _another_shard(desk: Path) -> tuple[list[str], str]:
    return ["--shard", "1/2"], "out has shard 1/1 of a class, not 1/2\n"


def _another_class(desk: Path) -> tuple[list[str], str]:
    shutil.rmtree(desk / "in")
    hand_in(desk / "in", "zed", QUICK)
    return [], "out is for another class: no name in it is handed in\n"


def _no_class(desk: Path) -> tuple[list[str], str]:
    (desk / "out/class.json").unlink()
    return [], "out is not empty, and not what grading a class leaves\n"


def _half_a_class(desk: Path) -> tuple[list[str], str]:
    (desk / "out/class.json").write_text('{"schema": "echolab/class/v1"')
    return [], "out is not empty, and not what grading a class leaves\n"


def _names_that_lead_out(desk: Path) -> tuple[list[str], str]:
    text = (desk / "out/class.json").read_text()
    (desk / "out/class.json").write_text(text.replace('"ana"', '"../in/ana"'))
    return [], "out is not empty, and not what grading a class leaves\n"


def _others_at_work(desk: Path) -> tuple[list[str], str]:
    folder = os.open(desk / "out", os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(folder, fcntl.LOCK_EX)  # until this process ends
    return [], f"another grader is at work in {desk}/out\n"


@pytest.mark.parametrize(
    "prepare",
    [
        _another_shard, _another_class, _no_class, _half_a_class,
        _names_that_lead_out, _others_at_work,
    ],
)  # fmt: skip
def test_where_it_cannot_go_on_it_says_so_and_changes_nothing(
    desk: Path, prepare: Callable[[Path], tuple[list[str], str]]
) -> None:
    options, words = prepare(desk)

    def everything() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in desk.rglob("*") if p.is_file()}

    before = everything()
    done = go_on(desk, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("grader: ") and done.stderr.count("\n") == 1
    assert done.stderr.endswith(words)
    assert everything() == before


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_was_interrupted_goes_on(tmp_path: Path, way: signal.Signals) -> None:
    for name in ("ana", "ben", "cyd"):
        hand_in(tmp_path / "in", name, QUICK)
    # Grading this takes far longer than interrupting it.
    shutil.copytree(ROOT / "solutions/3", tmp_path / "in/ben/3")
    # If these tests run in the background, everything below them ignores SIGINT.
    command = ["/usr/bin/env", "--default-signal=INT", "/usr/bin/python3", "-m"]
    command += ["grader", "class", str(tmp_path / "in"), "--jobs", "1"]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as grader:
        assert grader.stdout
        assert "ana" in grader.stdout.readline()
        grader.send_signal(way)
        out, err = grader.communicate(timeout=60)
    if way is signal.SIGKILL:
        assert list((tmp_path / "out").glob(".grading-*"))
    else:
        assert out == "1 of 3 done. Run the same command again to go on.\n"
        assert err == "grader: interrupted; not all was graded\n"
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
            "ana", "class.json", "grades.csv",
        ]  # fmt: skip
    shutil.rmtree(tmp_path / "in/ben/3")
    done = go_on(tmp_path)
    assert (done.returncode, sorted(told(done))) == (0, ["ben", "cyd"])
    assert set(rows(tmp_path / "out")) == {"ana", "ben", "cyd"}
    assert not list((tmp_path / "out").glob(".*"))


def test_shards_put_together_go_on_as_the_whole(tmp_path: Path) -> None:
    for name in ("ana", "ben"):
        hand_in(tmp_path / "in", name, QUICK)
    for shard in ("1", "2"):
        where = ("--out", tmp_path / shard, "--shard", f"{shard}/2")
        run("class", tmp_path / "in", *where)
    run("merge", tmp_path / "1", tmp_path / "2", "--out", tmp_path / "out")
    hand_in(tmp_path / "in", "cyd", QUICK)
    assert told(go_on(tmp_path)) == ["cyd"]
    assert set(rows(tmp_path / "out")) == {"ana", "ben", "cyd"}
    # Ben, now second, becomes third when another student comes.
    hand_in(tmp_path / "in", "amy", QUICK)
    where = ("--out", tmp_path / "2", "--shard", "2/2")
    done = run("class", tmp_path / "in", *where)
    assert "ben is in another shard now: its grade is dropped" in done.stdout
    assert sorted(told(done)) == ["ana", "cyd"]


def test_the_grades_may_lie_beside_the_submissions(tmp_path: Path) -> None:
    hand_in(tmp_path / "in", "ana", QUICK)
    for names in (["ana"], []):
        done = run("class", tmp_path / "in", "--out", tmp_path / "in/grades")
        assert (done.returncode, told(done)) == (0, names)


# -- what counts as the same -------------------------------------------------------


def _link_to(target: Path) -> Callable[[Path], None]:
    def spoil(file: Path) -> None:
        file.unlink(missing_ok=True)
        file.symlink_to(target)

    return spoil


def _fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write_text(QUICK + " "),
        lambda file: file.unlink(),
        lambda file: file.with_suffix(".h").write_text(""),
        lambda file: (file.parent.parent / "2").mkdir(),
        lambda file: shutil.copytree(file.parent, file.parent.parent / "3"),
        lambda file: file.write_bytes(b"/" * (2 << 20)),
        _link_to(SOLUTION),
        _fifo,
    ],
)
def test_a_fingerprint_shows_a_change_in_what_is_graded(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    file = hand_in(tmp_path, "ana", QUICK)
    before = fingerprint.of_submission(tmp_path / "ana")
    change(file)
    assert fingerprint.of_submission(tmp_path / "ana") != before


def test_a_fingerprint_is_of_what_is_graded_only(tmp_path: Path) -> None:
    file = hand_in(tmp_path, "ana", QUICK)
    before = fingerprint.of_submission(tmp_path / "ana")
    file.with_name("Makefile").write_text("all:")
    (tmp_path / "ana/9").mkdir()
    os.utime(file, (0, 0))
    assert fingerprint.of_submission(tmp_path / "ana") == before
    shutil.copytree(tmp_path / "ana", tmp_path / "elsewhere/ben")
    assert fingerprint.of_submission(tmp_path / "elsewhere/ben") == before


def test_a_fingerprint_does_not_follow_a_link_out(tmp_path: Path) -> None:
    outside = hand_in(tmp_path, "outside", QUICK)
    for inside, target in (("1/tcp_server.c", outside), ("1", outside.parent)):
        link = tmp_path / f"ana-{len(inside)}" / inside
        link.parent.mkdir(parents=True)
        outside.write_text(QUICK)
        link.symlink_to(target)
        before = fingerprint.of_submission(tmp_path / f"ana-{len(inside)}")
        outside.write_text(QUICK + "another, and longer")
        assert fingerprint.of_submission(tmp_path / f"ana-{len(inside)}") == before
