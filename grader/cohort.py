"""A whole class: many submissions, each graded by a grader of its own.

    SUBMISSIONS/NAME/3/tcp_server.c   ->   OUT/NAME/result.json and report.html
                                           OUT/grades.csv and class.json, for all

A class can be graded in shards, each on a machine of its own: then merge puts together
what they left. Who could not be graded has no grade, which is not the same as 0.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader import child
from grader.failure import CannotGrade
from grader.lesson import one_line
from grader.report import grades
from grader.result import read, write

_SCHEMA = "echolab/class/v1"
# A class is graded once, and by nobody who waits for it.
_PATIENCE_SECONDS = 10.0

_CLASS, _GRADES, _RESULT, _PAGE = (
    "class.json", "grades.csv", "result.json", "report.html",
)  # fmt: skip

# A name becomes a folder, a line in a log, and a cell of a table in a spreadsheet, to
# which what begins with = or - is a formula.
_NAME = re.compile(r"\w[\w.@+, '-]*")

Result = dict[str, Any]


@dataclass
class Cohort:
    """Results by name; by name, too, why somebody could not be graded; and which
    shards I/N of the class these are."""

    graded: dict[str, Result] = field(default_factory=dict)
    ungraded: dict[str, str] = field(default_factory=dict)
    shards: set[str] = field(default_factory=set)

    def missing(self) -> list[str]:
        """The shards that there are no names from."""
        counts = {int(shard.partition("/")[2]) for shard in self.shards}
        all_of_them = {f"{i + 1}/{count}" for count in counts for i in range(count)}
        return sorted(all_of_them - self.shards)

    def put(self, out: Path) -> None:
        """Write down in OUT what is known by now. Raises CannotGrade."""
        known = {
            "schema": _SCHEMA,
            "shards": sorted(self.shards),
            "graded": sorted(self.graded),
            "ungraded": dict(sorted(self.ungraded.items())),
        }
        write(out / _CLASS, json.dumps(known, indent=1) + "\n")
        write(out / _GRADES, grades.render(self.graded))


@dataclass(frozen=True)
class Request:
    """The submissions in FOLDER, of N shards number I only, are to be graded into OUT,
    which is new or empty, JOBS at once."""

    folder: Path
    out: Path
    jobs: int = 1
    shard: tuple[int, int] = (1, 1)


def grade(request: Request, tell: Callable[[str, Result | str], None]) -> Cohort:
    """Grade what REQUEST names; TELL is called with each name and its result, or why
    there is none. Raises CannotGrade and KeyboardInterrupt, with all that is known by
    then in its folder."""
    number, count = request.shard
    names = _names(request.folder)[number - 1 :: count]
    _prepare(request.out)
    cohort = Cohort(shards={f"{number}/{count}"})

    def done(name: str, outcome: Result | str) -> None:
        if isinstance(outcome, str):
            cohort.ungraded[name] = outcome
        else:
            cohort.graded[name] = outcome
        cohort.put(request.out)
        tell(name, outcome)

    cohort.put(request.out)
    for name in names:
        if why := _refused(request.folder / name):
            done(name, why)
    left = [name for name in names if name not in cohort.ungraded]
    _grade_all(request, left, done)
    return cohort


def merge(folders: list[Path], out: Path) -> Cohort:
    """Put what gradings of shards left in FOLDERS together in OUT, which is new or
    empty. Raises CannotGrade."""
    cohort = Cohort()
    whence: dict[str, Path] = {}
    for folder in folders:
        shard = _read(folder)
        for name in sorted({*shard.graded, *shard.ungraded}):
            if name in whence:
                raise CannotGrade(f"{name!a} is in {whence[name]} and in {folder}")
            whence[name] = folder
        cohort.graded |= shard.graded
        cohort.ungraded |= shard.ungraded
        cohort.shards |= shard.shards
    _prepare(out)
    for name in cohort.graded:
        shutil.copytree(whence[name] / name, out / name)
    cohort.put(out)
    return cohort


def _read(folder: Path) -> Cohort:
    """What a grading left in FOLDER. Raises CannotGrade."""
    try:
        known = json.loads((folder / _CLASS).read_bytes())
        if known["schema"] != _SCHEMA:
            raise ValueError
        results = {
            name: json.loads((folder / name / _RESULT).read_bytes())
            for name in known["graded"]
        }
        return Cohort(results, known["ungraded"], set(known["shards"]))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError):
        why = "is not what grading a class leaves, or not all of it"
        raise CannotGrade(f"{folder} {why}") from None


def _names(folder: Path) -> list[str]:
    """The submissions: all folders in FOLDER but hidden ones. Raises CannotGrade."""
    if not folder.is_dir():
        raise CannotGrade(f"no folder {folder}")
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.is_dir() and e.name[0] != "."]
    if not names:
        raise CannotGrade(f"{folder} has no folder, and so no submission")
    return sorted(names)


def _refused(path: Path) -> str:
    """Why the submission PATH is not even tried; "" if it is."""
    if not _NAME.fullmatch(path.name):
        return "a name has letters, digits and _, then also spaces and . @ + , ' -"
    return "it is a link" if path.is_symlink() else ""


def _prepare(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise CannotGrade(f"{out} is not empty")


def _grade_all(
    request: Request, names: list[str], done: Callable[[str, Result | str], None]
) -> None:
    """Grade NAMES, as many at once as REQUEST says, and call DONE with each."""
    left = iter(names)
    with contextlib.ExitStack() as graders, selectors.DefaultSelector() as events:

        def begin(name: str) -> None:
            own = graders.enter_context(contextlib.ExitStack())
            grader = own.enter_context(
                child.running(*_arguments(request, name), cwd=request.folder)
            )
            assert grader.stdout
            events.register(grader.stdout, selectors.EVENT_READ, (name, grader, own))

        for _, name in zip(range(request.jobs), left):
            begin(name)
        while events.get_map():
            for key, _ in events.select():
                # What it says there is in its files, too. It says it until it ends.
                if os.read(key.fd, 1 << 16):
                    continue
                events.unregister(key.fd)
                name, grader, own = key.data
                said = grader.stderr.read().decode(errors="replace")
                own.close()
                if following := next(left, ""):
                    begin(following)
                done(name, _outcome(request.out / name, grader.wait(), said))


def _arguments(request: Request, name: str) -> list[str]:
    """How the submission NAME is graded: in its folder's parent, so that the paths in
    its report are short."""
    own = request.out.absolute() / name
    own.mkdir()
    files = ["--json", str(own / _RESULT), "--html", str(own / _PAGE)]
    asked = ["--isolation", "required", "--patience", str(_PATIENCE_SECONDS)]
    return ["--submission", name, *asked, *files]


def _outcome(own: Path, status: int, said: str) -> Result | str:
    """The result in the folder OWN of a grader that ended with STATUS, or why there is
    none."""
    if status in (0, 1):
        try:
            return read(own / _RESULT)
        except CannotGrade as reason:
            return str(reason)
    last = said.strip().rpartition("\n")[2].removeprefix("grader: ")
    return one_line(last) or f"its grader ended with status {status}"
