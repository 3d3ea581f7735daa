"""The course: its stages, and what each of them asks for.

A stage is a number, and four folders with that name: stages/N (what students get),
solutions/N, grader/stages/N (what grades it), and grader/tests/stages/N (what tests
that). grader/stages/N/stage.toml says what is particular to the stage, and is read
here. Nothing else in the grader knows which stages there are.
"""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader.errors import CannotGrade

# The repository.
ROOT = Path(__file__).resolve().parent.parent

# What grades each stage.
STAGES = ROOT / "grader" / "stages"

# Each run sends the same bytes, unless asked otherwise.
DEFAULT_SEED = 1

ROLES = ("server", "client")

# The heading of a lesson to read about a requirement, unless stage.toml names another.
_REQUIREMENTS = "Requirements"

_SENTENCE = re.compile(
    r"^- \*\*(\d+\.\d+)\*\* (.+?)(?=\n- |\n\n|\n#|\Z)", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Check:
    """One check of a stage.

    id is theme/name. needs are the ids of the checks that it builds on. takes is about
    how many seconds it takes with a right program. A check that stays runs beside all
    others, from the first to the last.
    """

    id: str
    title: str
    requirement: str
    points: int
    hint: str
    needs: tuple[str, ...] = ()
    takes: float = 0.2
    stays: bool = False

    @property
    def theme(self) -> str:
        """The first half of its id."""
        return self.id.partition("/")[0]


@dataclass(frozen=True, eq=False)
class Stage:
    """A stage of the course.

    program is the name of the student's program, and role what it is: the server or
    the client of the conversation. checks are in the order of the report. sections
    maps a requirement's number to the heading of the lesson to read on under. shared
    holds the themes that this stage shares with others, with their options.
    """

    number: int
    program: str
    role: str
    checks: dict[str, Check]
    sections: dict[str, str] = field(default_factory=dict)
    shared: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The name of the file that students write."""
        return f"{self.program}.c"

    @property
    def header(self) -> str:
        """The name of the header that comes with it."""
        return f"{self.program}.h"

    @property
    def files(self) -> tuple[str, str]:
        """The names of all graded files: the source and the header."""
        return self.source, self.header

    @property
    def under_test(self) -> str:
        """What lessons call the student's program."""
        return f"the {self.role}"

    @property
    def points(self) -> int:
        """What the whole stage is worth."""
        return sum(check.points for check in self.checks.values())

    @property
    def given(self) -> Path:
        """The folder with the lesson and the starter."""
        return ROOT / "stages" / str(self.number)

    @property
    def judge(self) -> Path:
        """The folder with the checks, the causes, and the milestones."""
        return STAGES / str(self.number)

    def tests(self) -> list[Path]:
        """The files with the stage's checks: its own, and those of shared themes."""
        common = [STAGES / "common" / f"test_{theme}.py" for theme in self.shared]
        return [*sorted(self.judge.glob("test_*.py")), *common]

    @property
    def lesson(self) -> str:
        """The text of the stage's README, or "" if it is missing."""
        try:
            path = self.given / "README.md"
            return path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    @functools.cached_property
    def requirements(self) -> dict[str, str]:
        """The sentence of each requirement in the lesson, by its number."""
        return {
            number: " ".join(words.split())
            for number, words in _SENTENCE.findall(self.lesson)
        }

    def section_of(self, check: Check) -> str:
        """The heading of the lesson to read on under after CHECK."""
        return self.sections.get(check.requirement, _REQUIREMENTS)

    def select(self, only: str) -> dict[str, Check]:
        """The checks with the id ONLY, of the theme ONLY, or for the requirement with
        that number; all checks for ""."""
        return {
            id: check
            for id, check in self.checks.items()
            if only in ("", id, check.theme, check.requirement)
        }

    def names(self, only: str) -> list[str]:
        """What can be asked for instead of ONLY, which names nothing: the checks of its
        theme if there is such a theme, else the themes."""
        theme = only.partition("/")[0]
        return list(self.select(theme) if theme else ()) or list(
            dict.fromkeys(check.theme for check in self.checks.values())
        )


def stages() -> dict[int, Stage]:
    """The stages of the course, by number, in order. Raises CannotGrade if one of the
    stage.toml files cannot be used."""
    return dict(_stages())


def stage(number: int) -> Stage:
    """The stage with that NUMBER. Raises CannotGrade if there is none."""
    if number not in _stages():
        raise CannotGrade(f"the course has no stage {number}; it has {listed()}")
    return _stages()[number]


def listed() -> str:
    """The numbers of all stages, for people."""
    return ", ".join(map(str, _stages()))


def example() -> Check:
    """Any check of the course, to show what names look like."""
    return next(check for one in _stages().values() for check in one.checks.values())


def passes_with() -> float:
    """The percentage of the points that a pull request needs to pass."""
    return float(_read(STAGES / "course.toml")["pull_request"]["passes_with"])


# -- stage.toml ---------------------------------------------------------------

# The keys of a stage and of a check, with the types that their values may have; and
# the keys that may be left out. CONTRIBUTING.md says what each key means.
_STAGE_KEYS: dict[str, tuple[type, ...]] = {
    "program": (str,), "role": (str,), "shared": (dict,), "sections": (dict,),
    "checks": (list,),
}  # fmt: skip
_CHECK_KEYS: dict[str, tuple[type, ...]] = {
    "id": (str,), "title": (str,), "requirement": (str,), "points": (int,),
    "hint": (str,), "needs": (str, list), "takes": (int, float), "stays": (bool,),
}  # fmt: skip
_OPTIONAL = ("shared", "sections", "needs", "takes", "stays")

_CALLED = {
    str: "a string", int: "a whole number", float: "a number", bool: "true or false",
    list: "a list", dict: "a table",
}  # fmt: skip

_PROGRAM = re.compile(r"[a-z][a-z0-9_]*")
_ID = re.compile(r"[a-z0-9_]+/[a-z0-9_]+")

# What every stage is worth.
_POINTS = 100


@functools.cache
def _stages() -> dict[int, Stage]:
    """All stages. A folder that git has emptied is not a stage, though Python may have
    left its __pycache__ there."""
    folders = [path for path in STAGES.iterdir() if path.name.isdecimal()]
    numbers = sorted(int(path.name) for path in folders if any(path.glob("*.*")))
    return {number: load(STAGES / str(number)) for number in numbers}


def load(folder: Path) -> Stage:
    """The stage that FOLDER describes, whose name is the stage's number. Raises
    CannotGrade, with one line that says what is wrong.

    This looks only at stage.toml itself: the lesson is the student's to edit, and no
    grade may depend on it. (test_course.py keeps the two consistent.)
    """
    path = folder / "stage.toml"
    data = _read(path)
    try:
        _expect_keys(data, _STAGE_KEYS, "")
        checks = _checks(data.pop("checks"))
        found = Stage(number=int(folder.name), checks=checks, **data)
        _expect_sound(found)
    except ValueError as error:
        raise CannotGrade(f"{_shown(path)}: {error}") from None
    return found


def _checks(entries: list[Any]) -> dict[str, Check]:
    """The checks, by id. Raises ValueError if something is wrong with one."""
    checks: dict[str, Check] = {}
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            raise ValueError(f"check {number} is not a table")
        who = f"check {entry.get('id', number)}: "
        _expect_keys(entry, _CHECK_KEYS, who)
        needs = entry.get("needs", [])
        needs = (needs,) if isinstance(needs, str) else tuple(needs)
        check = Check(**entry | {"needs": needs})
        if not _ID.fullmatch(check.id):
            raise ValueError(f"{who}its id is not theme/name, in small letters")
        if check.id in checks:
            raise ValueError(f"two checks have the id {check.id}")
        if unknown := [id for id in needs if id not in checks]:
            raise ValueError(f"{who}it needs {unknown[0]}, which is not above it")
        if check.points < 1:
            raise ValueError(f"{who}points is {check.points}, and not 1 or more")
        checks[check.id] = check
    return checks


def _expect_keys(
    data: dict[str, Any], known: dict[str, tuple[type, ...]], who: str
) -> None:
    """Raise ValueError, whose text begins with WHO, unless DATA has the keys in KNOWN,
    each with a value of the right type."""
    for key, value in data.items():
        if key not in known:
            raise ValueError(
                f"{who}there is no key {key!r}; the keys are {', '.join(known)}"
            )
        if type(value) not in known[key]:
            wanted = " or ".join(_CALLED[kind] for kind in known[key])
            raise ValueError(f"{who}{key} is {value!r}, and not {wanted}")
    for key in known:
        if key not in data and key not in _OPTIONAL:
            raise ValueError(f"{who}the key {key!r} is missing")


def _expect_sound(stage: Stage) -> None:
    """Raise ValueError if something in STAGE cannot be right."""
    if not _PROGRAM.fullmatch(stage.program):
        raise ValueError(f"program is {stage.program!r}, and no name in small letters")
    if stage.role not in ROLES:
        raise ValueError(f"role is {stage.role!r}, and not {' or '.join(ROLES)}")
    for check in stage.checks.values():
        if not re.fullmatch(rf"{stage.number}\.\d+", check.requirement):
            wrong = f"requirement is {check.requirement!r}, and not {stage.number}.1 or"
            raise ValueError(f"check {check.id}: {wrong} the like")
    for theme, options in stage.shared.items():
        if not (STAGES / "common" / f"test_{theme}.py").is_file():
            raise ValueError(f"there is no shared theme {theme!r}")
        if not isinstance(options, dict):
            raise ValueError(f"shared.{theme} is {options!r}, and not a table")
    required = {check.requirement for check in stage.checks.values()}
    for number, heading in stage.sections.items():
        if number not in required:
            raise ValueError(f"sections has {number!r}, which no check is for")
        if not isinstance(heading, str):
            raise ValueError(f"sections.{number} is {heading!r}, and not a string")
    if stage.points != _POINTS:
        raise ValueError(f"its points add up to {stage.points}, and not to {_POINTS}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CannotGrade(f"cannot read {_shown(path)}: {error.strerror}") from None
    except ValueError as error:  # TOML's, or UTF-8's
        raise CannotGrade(f"{_shown(path)}: {error}") from None


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
