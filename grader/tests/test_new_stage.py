"""A new stage is four new folders, and nothing else: puts the toy stage into a copy of
this repository, and grades, watches, hands out and reports it there."""

from __future__ import annotations

import csv
import json
import os
import re
import select
import shutil
import subprocess
import time
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from grader import course
from grader.course import ROOT
from grader.tests import toy
from grader.tests.golden import fits, without_chance
from grader.tests.runner import commit, git

NUMBER = max(course.stages()) + 1
SOURCE = "line_reverser.c"
WRONG = "each_piece_a_line"

# What the copy leaves out; programs of the other stages are not needed.
_LEFT_OUT = shutil.ignore_patterns(
    ".git", "__pycache__", ".*_cache", "attacks", "programs", "golden"
)

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with one more stage."""
    house = tmp_path_factory.mktemp("new_stage") / "house"
    shutil.copytree(ROOT, house, ignore=_LEFT_OUT)
    toy.add_to(house, NUMBER)
    git(house, "init", "--quiet", "--initial-branch=main")
    commit(house)
    return house


def run(house: Path, *command: str | Path, **variables: str) -> Done:
    """Run COMMAND in HOUSE."""
    return subprocess.run(
        list(map(str, command)),
        cwd=house,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(house), **variables},
        capture_output=True,
        text=True,
        timeout=600,
    )


def grader(house: Path, *arguments: str | Path, **variables: str) -> Done:
    """Run `grader ARGUMENTS` in HOUSE."""
    return run(house, "/usr/bin/python3", "-m", "grader", *arguments, **variables)


def hand_in(house: Path, folder: Path, source: Path) -> Path:
    """Put SOURCE, a path in HOUSE, into FOLDER as its submission for the new stage."""
    (folder / str(NUMBER)).mkdir(parents=True)
    shutil.copy(house / source, folder / str(NUMBER) / SOURCE)
    return folder


def program(kind: str, name: str) -> Path:
    """The path of one of the toy stage's programs, relative to a house."""
    return Path("grader/tests/stages") / str(NUMBER) / kind / f"{name}.c"


def test_the_solution_gets_full_marks_and_each_report_says_so(
    house: Path, tmp_path: Path
) -> None:
    kinds = ("json", "html", "markdown", "junit", "gradescope", "autolab")
    asked_for = [f"--{kind}={tmp_path / kind}" for kind in (*kinds, "prairielearn")]
    done = grader(house, "grade", str(NUMBER), "--submission", "solutions", *asked_for)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Stage {NUMBER} ({SOURCE}): 100/100" in done.stdout
    assert "Milestones: 2 of 2" in done.stdout
    (stage,) = json.loads((tmp_path / "json").read_text())["stages"]
    assert (stage["stage"], stage["score"], stage["max_score"]) == (NUMBER, 100, 100)
    assert [check["id"] for check in stage["checks"]] == [
        "start/listens", "reversal/line", "reversal/pieces", "visits/one_after_another",
    ]  # fmt: skip
    for kind in ("html", "markdown"):
        assert f"Stage {NUMBER}" in (tmp_path / kind).read_text()
    suite = ElementTree.parse(tmp_path / "junit").getroot()
    assert len(list(suite.iter("testcase"))) == 4
    gradescope = json.loads((tmp_path / "gradescope").read_text())
    assert sum(test["score"] for test in gradescope["tests"]) == 100
    scores = json.loads((tmp_path / "autolab").read_text())["scores"]
    assert scores == {f"stage{NUMBER}": 100}
    assert json.loads((tmp_path / "prairielearn").read_text())["score"] == 1


def test_the_starter_gets_nothing_and_is_told_where_to_begin(house: Path) -> None:
    done = run(house, "make", "grade", f"STAGE={NUMBER}")
    assert f"Stage {NUMBER} ({SOURCE}): 0/100" in done.stdout
    step = f"the next step: stages/{NUMBER}/README.md, step 1"
    assert re.search(f"→ create_server +{step}", done.stdout)
    assert done.returncode == 2  # what make exits with when points were lost


def test_in_its_own_folder_make_grades_it(house: Path) -> None:
    done = run(house / "stages" / str(NUMBER), "make", "grade", "ONLY=start/listens")
    assert f"Stage {NUMBER} ({SOURCE}): 0/20" in done.stdout


def test_a_wrong_program_is_taught_what_the_lesson_asks_for(
    house: Path, tmp_path: Path
) -> None:
    submission = hand_in(house, tmp_path / "in", program("wrong", WRONG))
    kinds = [f"--{kind}={tmp_path / kind}" for kind in ("json", "html", "markdown")]
    done = grader(house, "grade", str(NUMBER), "--submission", submission, *kinds)
    assert f"Stage {NUMBER} ({SOURCE}): 80/100" in done.stdout
    (stage,) = json.loads((tmp_path / "json").read_text())["stages"]
    (check,) = (check for check in stage["checks"] if check["status"] == "failed")
    assert check["id"] == "reversal/pieces"
    lesson = " ".join(check["details"].split())
    assert (
        f"Requirement {NUMBER}.2: It sends back each line reversed, with the newline "
        "at the end, as soon as the whole line has come." in lesson
    )
    assert "the server listens on port" in lesson
    assert "To think about: What does your server do with half a line" in lesson
    assert f'stages/{NUMBER}/README.md, "Pitfalls"' in lesson
    for kind in ("html", "markdown"):
        assert "half a line" in (tmp_path / kind).read_text()
    reviewed = house / program("lessons", WRONG).with_suffix(".txt")
    text = f"{check['requirement']} {check['title']}\n{check['details']}\n"
    assert fits(without_chance(text, False), reviewed.read_text()), text


def test_a_right_program_gets_full_marks(house: Path, tmp_path: Path) -> None:
    submission = hand_in(house, tmp_path / "in", program("right", "stdio"))
    done = grader(house, "grade", str(NUMBER), "--submission", submission)
    assert done.returncode == 0, done.stdout


def test_one_check_can_be_chosen_and_a_wrong_name_is_answered(house: Path) -> None:
    asked = ["grade", str(NUMBER), "--submission", "solutions", "--only"]
    assert "waits until a line is whole" in grader(house, *asked, f"{NUMBER}.2").stdout
    done = grader(house, *asked, "echo")
    assert done.returncode == 2
    known = "start, reversal, visits"
    assert f"stage {NUMBER} has no check 'echo'; choose from {known}" in done.stderr


def test_the_command_line_knows_it(house: Path) -> None:
    numbers = ", ".join(map(str, [*course.stages(), NUMBER]))
    help = " ".join(grader(house, "grade", "--help").stdout.split())
    assert f"({numbers})" in help and "one check (start/listens)" in help
    done = grader(house, "grade", "--submission", ".")
    assert f"none of the folders {numbers}\n" in done.stderr


def test_it_is_handed_out_without_its_solution(house: Path, tmp_path: Path) -> None:
    out = tmp_path / "handout"
    assert run(house, "make", "handout", f"DIR={out}").returncode == 0
    there = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    given = {f"stages/{NUMBER}/{name}" for name in (SOURCE, "README.md", "Makefile")}
    assert given | {f"grader/stages/{NUMBER}/stage.toml"} <= there
    assert not any(path.startswith(("solutions", "grader/tests")) for path in there)
    done = run(out, "make", "grade", f"STAGE={NUMBER}")
    assert f"Stage {NUMBER} ({SOURCE}): 0/100" in done.stdout


def test_gradescope_grades_it(house: Path, tmp_path: Path) -> None:
    file, place = tmp_path / "autograder.zip", tmp_path / "autograder"
    done = run(house, "make", "gradescope", f"STAGE={NUMBER}", f"FILE={file}")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(file) as archive:
        archive.extractall(place / "source")
    (place / "submission").mkdir()
    (place / "results").mkdir()
    shutil.copy(house / "solutions" / str(NUMBER) / SOURCE, place / "submission")
    script = place / "source/run_autograder"
    done = run(place, "sh", script, AUTOGRADER=str(place))
    assert done.returncode == 0, done.stderr
    tests = json.loads((place / "results/results.json").read_text())["tests"]
    assert sum(test["score"] for test in tests) == 100


def test_a_class_is_graded(house: Path, tmp_path: Path) -> None:
    hand_in(house, tmp_path / "in/ana", Path("solutions") / str(NUMBER) / SOURCE)
    hand_in(house, tmp_path / "in/ben", program("wrong", WRONG))
    done = grader(house, "class", tmp_path / "in", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "out/grades.csv", encoding="utf-8", newline="") as file:
        rows = {row["Username"]: row for row in csv.DictReader(file)}
    column = f"Stage {NUMBER}"
    assert {n: row[column] for n, row in rows.items()} == {"ana": "100", "ben": "80"}
    assert "waits until a line is whole" in rows["ben"]["Feedback"]


def test_each_save_is_graded(house: Path, tmp_path: Path) -> None:
    submission = hand_in(house, tmp_path / "in", program("wrong", WRONG))
    command = ["/usr/bin/python3", "-m", "grader", "watch", str(NUMBER)]
    with subprocess.Popen(
        [*command, "--submission", submission],
        cwd=house,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as watching:
        try:
            assert f"({SOURCE}): 80/100" in _until_it_waits(watching)
            solution = house / "solutions" / str(NUMBER) / SOURCE
            shutil.copy(solution, submission / str(NUMBER) / SOURCE)
            told = _until_it_waits(watching)
            assert re.search(r"waits until a line is whole +mended", told), told
            assert f"({SOURCE}): 100/100, 20 more than before" in told
        finally:
            watching.terminate()
            watching.communicate(timeout=60)


def _until_it_waits(watching: subprocess.Popen[bytes]) -> str:
    """What WATCHING shows until it waits for a save."""
    assert watching.stdout
    told, end = "", time.monotonic() + 120
    while "Waiting for the next save" not in told:
        assert time.monotonic() < end, told
        if select.select([watching.stdout], [], [], 1)[0]:
            piece = os.read(watching.stdout.fileno(), 1 << 16)
            assert piece, told
            told += piece.decode()
    return told


def test_a_pull_request_is_graded_and_annotated(house: Path, tmp_path: Path) -> None:
    head = tmp_path / "head"
    git(tmp_path, "clone", "--quiet", str(house), str(head))
    source = house / program("wrong", WRONG)
    unused = "\n\nstatic int unused_one;\n"
    (head / "stages" / str(NUMBER) / SOURCE).write_text(source.read_text() + unused)
    shas = {"base": {"sha": git(house, "rev-parse", "HEAD")}}
    shas |= {"head": {"sha": commit(head)}}
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": shas}))
    variables = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": str(event)}
    out = tmp_path / "out"
    done = grader(house, "pull-request", head, "--out", out, **variables)
    assert "Passed: 80 of 100 points" in done.stdout, done.stdout + done.stderr
    file = f"file=stages/{NUMBER}/{SOURCE}"
    warned = len(source.read_text().splitlines()) + 3
    assert f"::warning {file},line={warned},col=12,title=The compiler::" in done.stdout
    title = f"title={NUMBER}.2 waits until a line is whole"
    assert f"::error {file},line=1,{title}::" in done.stdout


def test_its_checks_can_be_run_by_hand_with_pytest(house: Path) -> None:
    command = ["/usr/bin/python3", "-m", "pytest", "-c", "grader/stages/pytest.ini"]
    command += ["grader/stages", "--submission", "solutions", "-p", "no:cacheprovider"]
    done = run(house, *command, "--stage", str(NUMBER))
    assert "4 passed" in done.stdout, done.stdout


def test_the_graders_own_tests_of_courses_pass_with_it(house: Path) -> None:
    command = ["/usr/bin/python3", "-m", "pytest", "-q", "--confcutdir", str(house)]
    command += ["-p", "no:cacheprovider"]
    tests = ["test_course.py", "test_engine_knows_no_stage.py"]
    done = run(house, *command, *(f"grader/tests/{name}" for name in tests))
    assert done.returncode == 0, done.stdout
    assert (
        f"test_the_files_of_a_stage_are_in_step[{NUMBER}]"
        in run(house, *command, "--collect-only", "grader/tests/test_course.py").stdout
    )


@pytest.mark.skipif(
    not (ROOT / "grader/tests/stages").is_dir(), reason="its programs are elsewhere yet"
)
def test_the_matrix_has_its_programs(house: Path) -> None:
    command = ["/usr/bin/python3", "-m", "grader.tests.matrix", f"/{NUMBER}/"]
    done = run(house, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"wrong/{NUMBER}/{WRONG}" in done.stdout
    assert f"right/{NUMBER}/stdio" in done.stdout


def test_what_its_makefile_builds_is_known_to_be_built(house: Path) -> None:
    place = house / "stages" / str(NUMBER)
    assert run(place, "make").returncode == 0
    assert (place / "line_reverser").is_file()
    assert not git(house, "status", "--porcelain", "stages")
    assert run(house, "make", "clean").returncode == 0
    assert not (place / "line_reverser").exists()


@pytest.mark.skipif(
    not all(map(shutil.which, ("mypy", "clang-tidy", "clang-format", "black"))),
    reason="make setup-lint has not been run",
)
def test_its_files_are_linted(house: Path) -> None:
    done = run(house, "make", f"lint-{NUMBER}")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = house / "grader/stages" / str(NUMBER)
    mypy = run(house, "mypy", *sorted(folder.glob("*.py")))
    assert mypy.returncode == 0, mypy.stdout
    assert run(house, "black", "--check", folder).returncode == 0
    sources = [p for f in toy.FOLDERS[:3] for p in (house / f).glob(f"{NUMBER}/*.[ch]")]
    assert run(house, "clang-format", "--dry-run", "-Werror", *sources).returncode == 0
