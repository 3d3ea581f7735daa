"""stage.toml is read strictly, and agrees with the lesson and the checks.

Every grading validates stage.toml by itself, and stops at a mistake. Only these tests
compare it with other files: students have a copy of the lesson, too, and no grade may
depend on that.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader import course
from grader.course import ROOT, Stage
from grader.errors import CannotGrade
from grader.tests import toy

_CHECK = re.compile(r'^@check\("([^"]*)"\)$', re.MULTILINE)


def faults(stage: Stage) -> Iterator[str]:
    """Where STAGE's stage.toml and its other files disagree, a line each."""
    given, solution = stage.given, course.ROOT / "solutions" / str(stage.number)
    needed = [given / name for name in ("README.md", "Makefile", *stage.files)]
    needed += [solution / stage.source, stage.judge / "milestones.c"]
    for path in needed:
        if not path.is_file():
            yield f"there is no {path.relative_to(course.ROOT)}"
    yield from _of_lesson(stage)
    yield from _of_tests(stage)


def _of_lesson(stage: Stage) -> Iterator[str]:
    asked_for = {check.requirement for check in stage.checks.values()}
    for number in sorted(asked_for - set(stage.requirements)):
        yield f"the lesson has no sentence for requirement {number}"
    for number in sorted(set(stage.requirements) - asked_for):
        yield f"no check is for requirement {number}"
    for number, words in stage.requirements.items():
        if not words.endswith("."):
            yield f"requirement {number} is no sentence: {words}"
    headings = re.findall(r"^##+ (.+)$", stage.lesson, re.MULTILINE)
    for heading in {stage.section_of(check) for check in stage.checks.values()}:
        if heading not in headings:
            yield f"the lesson has no heading {heading!r}"


def _of_tests(stage: Stage) -> Iterator[str]:
    tests = {path: _CHECK.findall(path.read_text()) for path in stage.tests()}
    everywhere = [id for ids in tests.values() for id in ids]
    for id, check in stage.checks.items():
        if everywhere.count(id) != 1:
            yield f"{id} has {everywhere.count(id)} tests, and not one"
        for path, ids in tests.items():
            if id in ids and path.stem != f"test_{check.theme}":
                yield f"the test of {id} is not in test_{check.theme}.py"
    for path, ids in tests.items():
        for id in ids:
            if path.parent == stage.judge and id not in stage.checks:
                yield f"{path.name} tests {id}, which is not in stage.toml"
    for theme, options in stage.shared.items():
        text = (course.STAGES / "common" / f"test_{theme}.py").read_text()
        for option in options:
            if f'"{option}"' not in text:
                yield f"the shared theme {theme!r} knows no option {option!r}"


@pytest.mark.parametrize("stage", course.stages())
def test_the_files_of_a_stage_are_in_step(stage: int) -> None:
    assert not list(faults(course.stage(stage)))


def test_a_stage_is_one_name_in_each_folder() -> None:
    numbers = {str(number) for number in course.stages()}
    for folder in ("stages", "solutions"):
        assert {p.name for p in (ROOT / folder).iterdir() if p.is_dir()} == numbers


def test_each_shared_test_is_some_stages_check() -> None:
    for path in (course.STAGES / "common").glob("test_*.py"):
        for id in _CHECK.findall(path.read_text()):
            theme = path.stem.removeprefix("test_")
            used = [s for s in course.stages().values() if theme in s.shared]
            assert any(id in stage.checks for stage in used), id


@pytest.mark.parametrize("stage", course.stages())
def test_all_requirements_are_read_from_the_lesson(stage: int) -> None:
    text = (ROOT / "stages" / str(stage) / "README.md").read_text()
    numbers = re.findall(r"\*\*(\d+\.\d+)\*\*", text)
    assert list(course.stage(stage).requirements) == numbers
    for words in course.stage(stage).requirements.values():
        assert words in " ".join(text.split())


# -- mistakes are reported ------------------------------------------------------


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A course in place of ours; the toy stage is its first and only stage."""
    toy.add_to(tmp_path, 1)
    shutil.copytree(ROOT / "grader/stages/common", tmp_path / "grader/stages/common")
    monkeypatch.setattr(course, "ROOT", tmp_path)
    monkeypatch.setattr(course, "STAGES", tmp_path / "grader/stages")
    course._stages.cache_clear()
    yield tmp_path
    course._stages.cache_clear()


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


FIRST = 'id = "start/listens"'
LAST = 'id = "visits/one_after_another"'

# What is changed in stage.toml, and what is said about it.
MISTAKES = {
    "an unknown key": (
        'role = "server"', 'role = "server"\nrolle = "server"',
        "there is no key 'rolle'; the keys are program, role, shared, sections, checks",
    ),
    "a key of a check that is unknown": (
        LAST, LAST + '\nneed = "reversal/line"',
        "check visits/one_after_another: there is no key 'need'; the keys are id, "
        "title, requirement, points, hint, needs, takes, stays",
    ),
    "a missing key": ('program = "line_reverser"', "", "the key 'program' is missing"),
    "a check without a title": (
        'title = "listens on the port it is given"', "",
        "check start/listens: the key 'title' is missing",
    ),
    "a check without an id": (FIRST, "", "check 1: the key 'id' is missing"),
    "a number that is a string": (
        "points = 40", 'points = "40"',
        "check reversal/line: points is '40', and not a whole number",
    ),
    "a number that is true": (
        "points = 40", "points = true",
        "check reversal/line: points is True, and not a whole number",
    ),
    "a truth that is a number": (
        FIRST, FIRST + "\nstays = 1",
        "check start/listens: stays is 1, and not true or false",
    ),
    "needs that are a number": (
        FIRST, FIRST + "\nneeds = 1",
        "check start/listens: needs is 1, and not a string or a list",
    ),
    "no points at all": (
        "points = 40", "points = 0",
        "check reversal/line: points is 0, and not 1 or more",
    ),
    "an id twice": (LAST, FIRST, "two checks have the id start/listens"),
    "an id without a theme": (
        FIRST, 'id = "listens"',
        "check listens: its id is not theme/name, in small letters",
    ),
    "a need that comes later": (
        FIRST, FIRST + '\nneeds = "reversal/line"',
        "check start/listens: it needs reversal/line, which is not above it",
    ),
    "a requirement of another stage": (
        'requirement = "1.1"', 'requirement = "2.1"',
        "check start/listens: requirement is '2.1', and not 1.1 or the like",
    ),
    "points that are too few": (
        "points = 40", "points = 39", "its points add up to 99, and not to 100",
    ),
    "a role that there is not": (
        'role = "server"', 'role = "peer"', "role is 'peer', and not server or client",
    ),
    "a program with a path": (
        'program = "line_reverser"', 'program = "../x"',
        "program is '../x', and no name in small letters",
    ),
    "a shared theme that there is not": (
        "start = {}", "shout = {}", "there is no shared theme 'shout'",
    ),
    "a shared theme without a table": (
        "start = {}", "start = true", "shared.start is True, and not a table",
    ),
    "a section for nothing": (
        '"1.2" = "Pitfalls"', '"1.99" = "Pitfalls"',
        "sections has '1.99', which no check is for",
    ),
    "a section that is a number": (
        '"1.2" = "Pitfalls"', '"1.2" = 7', "sections.1.2 is 7, and not a string",
    ),
    "no TOML": ('role = "server"', "role = ", "Invalid value (at line 5, column 8)"),
}  # fmt: skip


@pytest.mark.parametrize("old, new, says", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_stage_toml_is_one_line(
    house: Path, old: str, new: str, says: str
) -> None:
    _edit(house / "grader/stages/1/stage.toml", old, new)
    with pytest.raises(CannotGrade) as caught:
        course.stages()
    assert str(caught.value) == f"grader/stages/1/stage.toml: {says}"


def test_a_stage_without_checks_is_refused(house: Path) -> None:
    path = house / "grader/stages/1/stage.toml"
    path.write_text('program = "a"\nrole = "server"\nchecks = []\n')
    with pytest.raises(CannotGrade, match="points add up to 0"):
        course.stages()


def test_a_folder_without_stage_toml_is_refused_unless_it_is_as_good_as_empty(
    house: Path,
) -> None:
    (house / "grader/stages/2/__pycache__").mkdir(parents=True)
    assert list(course.stages()) == [1]
    course._stages.cache_clear()
    (house / "grader/stages/2/test_a.py").touch()
    with pytest.raises(CannotGrade) as caught:
        course.stages()
    said = "cannot read grader/stages/2/stage.toml: No such file or directory"
    assert str(caught.value) == said


def test_the_command_line_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    skip = shutil.ignore_patterns("tests", "__pycache__", ".*_cache")
    shutil.copytree(ROOT / "grader", tmp_path / "grader", ignore=skip)
    toy.add_to(tmp_path, 77)
    _edit(tmp_path / "grader/stages/77/stage.toml", "points = 20", "point = 20")
    done = subprocess.run(
        ["/usr/bin/python3", "-m", "grader", "grade"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    begin = "grader: grader/stages/77/stage.toml: check start/listens: there is no key"
    assert done.stderr.startswith(begin)


# What is changed in which file of the stage, and what faults() says about it.
OUT_OF_STEP = {
    "a requirement without a sentence": (
        "stages/1/README.md", "- **1.3** It", "- 1.3 It",
        "the lesson has no sentence for requirement 1.3",
    ),
    "a sentence without a check": (
        "stages/1/README.md", "- **1.3** It", "- **1.11** It is fast.\n- **1.3** It",
        "no check is for requirement 1.11",
    ),
    "a requirement that is no sentence": (
        "stages/1/README.md", "by itself.", "by itself",
        "requirement 1.3 is no sentence: It serves one client after another, and never "
        "exits by itself",
    ),
    "a heading that there is not": (
        "stages/1/README.md", "## Pitfalls", "## Traps",
        "the lesson has no heading 'Pitfalls'",
    ),
    "a check without a test": (
        "grader/stages/1/test_visits.py", '@check("visits/one_after_another")\n', "",
        "visits/one_after_another has 0 tests, and not one",
    ),
    "a test without a check": (
        "grader/stages/1/test_visits.py", '@check("visits/one_after_another")\n',
        '@check("visits/two")\ndef test_two() -> None:\n    pass\n\n\n'
        '@check("visits/one_after_another")\n',
        "test_visits.py tests visits/two, which is not in stage.toml",
    ),
    "a check with another theme than its test": (
        "grader/stages/1/stage.toml", LAST, 'id = "stays/one_after_another"',
        "stays/one_after_another has 0 tests, and not one",
    ),
    "an option that a theme does not know": (
        "grader/stages/1/stage.toml", "start = {}", "start = { quick = true }",
        "the shared theme 'start' knows no option 'quick'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("path, old, new, says", OUT_OF_STEP.values(), ids=OUT_OF_STEP)
def test_what_is_not_in_step_is_found(
    house: Path, path: str, old: str, new: str, says: str
) -> None:
    assert not list(faults(course.stage(1)))
    course._stages.cache_clear()
    _edit(house / path, old, new)
    assert says in list(faults(course.stage(1)))


def test_a_file_that_a_stage_lacks_is_named(house: Path) -> None:
    (house / "grader/stages/1/milestones.c").unlink()
    assert list(faults(course.stage(1))) == ["there is no grader/stages/1/milestones.c"]


def test_a_test_in_the_file_of_another_theme_is_found(house: Path) -> None:
    judge = house / "grader/stages/1"
    (judge / "test_visits.py").rename(judge / "test_stays.py")
    said = "the test of visits/one_after_another is not in test_visits.py"
    assert list(faults(course.stage(1))) == [said]


def test_no_grade_depends_on_the_lesson(house: Path) -> None:
    (house / "stages/1/README.md").unlink()
    stage = course.stage(1)
    assert stage.points == 100 and stage.requirements == {}
    assert stage.section_of(stage.checks["reversal/line"]) == "Pitfalls"


# -- the checks -----------------------------------------------------------------


def test_checks_can_be_run_by_hand_with_pytest() -> None:
    done = subprocess.run(
        [
            "/usr/bin/python3", "-m", "pytest", "-c", "grader/stages/pytest.ini",
            "grader/stages", "--stage", "1", "--submission", "solutions",
            "-k", "line or pause", "-p", "no:cacheprovider",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
