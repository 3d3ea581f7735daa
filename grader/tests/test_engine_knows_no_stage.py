"""The engine knows no stage: everything particular to one is in the folders with its
number, and is read from there. So adding a stage does not change the engine."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader import course
from grader.course import ROOT

GRADER = ROOT / "grader"
PACKAGES = (
    "kernel", "sandbox", "harness", "fuzz", "grading", "lessons", "report", "github",
    "watch", "teaching",
)  # fmt: skip
MODULES = (
    "cli.py", "grade_cli.py", "course.py", "argument_types.py", "text.py", "errors.py",
)  # fmt: skip

# The files read besides Python; the other kinds never mention a stage.
OTHERS = (".c", ".h", ".html", ".sh", ".toml", "")

STAGES = course.stages().values()


def _any(words: set[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words))


PROGRAMS = {stage.program for stage in STAGES}
THEMES = {check.theme for stage in STAGES for check in stage.checks.values()}
NUMBERS = {check.requirement for stage in STAGES for check in stage.checks.values()}

# What no line of the engine may contain.
FORBIDDEN = {
    "a program's name": rf"\b({_any(PROGRAMS)})(?![a-z])",
    "a stage's folder": r"(?<![\w.])(stages|solutions)/\d",
    "a stage's number": r"\b[Ss]tages? ?\d+\b",
    "a comparison with one": r"\bstage(\.number)?\b['\"\])]*\s*([=!]=|[<>]=?|in|is)\s*"
    r"[\[({]*\d",
    "a check's id": rf"(?<![\w/.-])({_any(THEMES)})/[a-z_]+\b(?![./])",
    "a stage's module": r"\bgrader\.stages\b|\bfrom grader import .*\bstages\b(?!\()",
}
# Numbers like 1.2 are also floats in code, and sections of other documents.
REQUIREMENT = rf"(?<![\w.])(?<!section )(?<!Linux )({_any(NUMBERS)})(?![\w.]|\.\d)"


def offences(name: str, text: str) -> Iterator[str]:
    """Where the TEXT of the file NAME names a stage, as NAME:LINE: and words."""
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        for what, pattern in FORBIDDEN.items():
            if found := re.search(pattern, line):
                yield f"{name}:{number}: {what}: {found[0]!r} in {line.strip()!r}"
    if name.endswith(".py"):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in (tokenize.STRING, tokenize.COMMENT):
                for row, words in enumerate(token.string.splitlines(), token.start[0]):
                    if found := re.search(REQUIREMENT, words):
                        said = lines[row - 1].strip()
                        yield f"{name}:{row}: a requirement: {found[0]!r} in {said!r}"


def _files() -> Iterator[Path]:
    for module in MODULES:
        yield GRADER / module
    for package in PACKAGES:
        for path in sorted((GRADER / package).rglob("*")):
            if path.is_file() and path.suffix in (".py", *OTHERS):
                yield path


def test_the_engine_names_no_stage() -> None:
    found = [
        offence
        for path in _files()
        for offence in offences(str(path.relative_to(ROOT)), path.read_text())
    ]
    assert not found, "\n".join(found)


def test_all_of_the_engine_is_read() -> None:
    read = {path.relative_to(GRADER).parts[0] for path in _files()}
    known = {"__init__.py", "__main__.py", "stages", "tests"}
    here = {p.name for p in GRADER.iterdir() if p.suffix == ".py" or p.is_dir()}
    assert here - read - known <= {"__pycache__", ".gcc_cache"}
    assert read == {*MODULES, *PACKAGES}


def test_what_runs_and_checks_the_course_names_no_stage() -> None:
    files = [ROOT / name for name in ("Makefile", ".gitignore", ".mypy.ini", ".flake8")]
    files += sorted((ROOT / ".github/workflows").glob("*.yml"))
    files += [ROOT / ".ci/run", GRADER / "setup.sh"]
    for path in files:
        # Options of make are shown with examples.
        text = re.sub(r"##.*|# More options.*", "", path.read_text())
        assert not list(offences(path.name, text)), path


@pytest.mark.parametrize(
    "line",
    [
        'shown = re.sub(r"tcp_server\\.c", "", text)',
        "if stage == 3:",
        "if stage.number in (1, 3):",
        'if data["stage"] != 2:',
        '"""Stage 2\'s client."""',
        "# as stage 1's server does",
        'path = ROOT / "stages/3"',
        'PATIENCE = "lifecycle/patience"',
        "from grader.stages.common.vigil import Vigil",
        "x = 1  # requirement 3.4 says so",
        '"""As 1.10 asks for."""',
    ],
)
def test_each_way_of_naming_a_stage_is_found(line: str) -> None:
    assert len(list(offences("engine.py", f"a = 0\n{line}\n"))) >= 1


@pytest.mark.parametrize(
    "line",
    [
        'path = "/proc/sys/net/ipv4/tcp_rmem"',
        "wait(1.5)",
        "# XML 1.0, section 2.2",
        "# since Linux 3.1",
        "stage_id = f\"stage-{one['stage']}/{check['id']}\"",
        "from grader import course",
        "stages = course.stages()",
    ],
)
def test_what_only_looks_like_it_is_no_stage(line: str) -> None:
    assert not list(offences("engine.py", f"{line}\n"))
