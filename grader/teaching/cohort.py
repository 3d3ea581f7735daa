"""The grades of a class, and the folder that holds them.

    OUT/NAME/result.json and report.html    one grade
    OUT/class.json and grades.csv           all of them

A class can be graded in shards, each on its own machine; merge puts the results
together. A submission that could not be graded has no grade, which is not the same
as 0.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from grader.errors import CannotGrade
from grader.grading.result import read as read_result, write
from grader.report import grades

_SCHEMA = "echolab/class/v1"

RESULT, PAGE = "result.json", "report.html"
_CLASS, _GRADES = "class.json", "grades.csv"

# Folders in OUT for grades that are being made begin with this.
IN_THE_MAKING = ".grading-"
# What a killed grader leaves behind in OUT.
_LEFTOVERS = (IN_THE_MAKING, f".{_CLASS}.", f".{_GRADES}.")

# A name becomes a folder, a line in a log, and a cell in a spreadsheet, which takes a
# text that begins with = or - for a formula.
_NAME = re.compile(r"\w[\w.@+, '-]*")

Result = dict[str, Any]


@dataclass(frozen=True)
class Provenance:
    """What a grade was made from: the fingerprints of the submission and of the grader
    (see fingerprint.py), and the options that the grader was given."""

    submission: str
    grader: str
    options: str


@dataclass
class Cohort:
    """By name: the results, why a submission could not be graded, and what each grade
    was made from (unknown if an older grader made it). shards says which shards I/N of
    the class these are."""

    graded: dict[str, Result] = field(default_factory=dict)
    ungraded: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Provenance] = field(default_factory=dict)
    shards: set[str] = field(default_factory=set)

    def missing(self) -> list[str]:
        """The shards that are missing."""
        counts = {int(shard.partition("/")[2]) for shard in self.shards}
        all_of_them = {f"{i + 1}/{count}" for count in counts for i in range(count)}
        return sorted(all_of_them - self.shards)

    def put(self, out: Path) -> None:
        """Save in OUT what is known by now. Raises CannotGrade."""
        provenance = {
            name: asdict(self.provenance[name])
            for name in sorted(self.graded)
            if name in self.provenance
        }
        known = {
            "schema": _SCHEMA,
            "shards": sorted(self.shards),
            "graded": sorted(self.graded),
            "ungraded": dict(sorted(self.ungraded.items())),
            "provenance": provenance,
        }
        write(out / _CLASS, json.dumps(known, indent=1) + "\n")
        write(out / _GRADES, grades.render(self.graded))


def read(folder: Path) -> Cohort:
    """The grades of a class in FOLDER. Raises CannotGrade if any of it is missing."""
    try:
        names, whole = _read_class(folder)
        for name in names:
            whole.graded[name] = read_result(folder / name / RESULT)
        return whole
    except (FileNotFoundError, NotADirectoryError, ValueError, CannotGrade):
        why = "is not what grading a class leaves, or not all of it"
        raise CannotGrade(f"{folder} {why}") from None


def read_to_go_on(folder: Path) -> tuple[list[str], Cohort] | None:
    """The names that have a grade in FOLDER, and a Cohort of those grades that are
    complete; None if FOLDER is empty. Raises CannotGrade if it holds something else."""
    try:
        names, whole = _read_class(folder)
    except (FileNotFoundError, ValueError):
        if _is_empty(folder):
            return None
        why = "is not empty, and not what grading a class leaves"
        raise CannotGrade(f"{folder} {why}") from None
    for name in names:
        with contextlib.suppress(CannotGrade, NotADirectoryError):
            if (folder / name / PAGE).is_file():
                whole.graded[name] = read_result(folder / name / RESULT)
    return names, whole


def _read_class(folder: Path) -> tuple[list[str], Cohort]:
    """The names that have a grade in FOLDER, and a Cohort without the results. Raises
    OSError, and ValueError if class.json is not one that put() wrote."""
    known = json.loads((folder / _CLASS).read_bytes())
    try:
        if known["schema"] != _SCHEMA:
            raise ValueError(known["schema"])
        provenance = {
            name: Provenance(one["submission"], one["grader"], one["options"])
            for name, one in known.get("provenance", {}).items()
        }
        names = [name for name in known["graded"] if why_no_name(name) == ""]
        if names != known["graded"]:  # names become paths, which must stay in OUT
            raise ValueError("a name that cannot be graded")
        ungraded, shards = dict(known["ungraded"]), set(known["shards"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from None
    return names, Cohort({}, ungraded, provenance, shards)


def merge(folders: list[Path], out: Path) -> Cohort:
    """Put the graded shards in FOLDERS together in OUT, which is new or empty. Raises
    CannotGrade."""
    cohort = Cohort()
    whence: dict[str, Path] = {}
    for folder in folders:
        shard = read(folder)
        for name in sorted({*shard.graded, *shard.ungraded}):
            if name in whence:
                raise CannotGrade(f"{name!a} is in {whence[name]} and in {folder}")
            whence[name] = folder
        cohort.graded |= shard.graded
        cohort.ungraded |= shard.ungraded
        cohort.provenance |= shard.provenance
        cohort.shards |= shard.shards
    with held(out):
        if not _is_empty(out):
            raise CannotGrade(f"{out} is not empty")
        clear_leftovers(out)
        for name in cohort.graded:
            shutil.copytree(whence[name] / name, out / name)
        cohort.put(out)
    return cohort


@contextlib.contextmanager
def held(out: Path) -> Iterator[None]:
    """Lock OUT, which is created if necessary, so that no other class grading writes
    there. Raises CannotGrade if one already does."""
    out.mkdir(parents=True, exist_ok=True)
    folder = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # NFS can't lock a folder. There, it is up to the user.
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CannotGrade(f"another grader is at work in {out}") from None
        yield
    finally:
        os.close(folder)


def clear_leftovers(out: Path) -> None:
    """Remove what a killed grader left unfinished in OUT, which is locked."""
    for path in filter(_is_left_over, list(out.iterdir())):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_empty(folder: Path) -> bool:
    return all(map(_is_left_over, folder.iterdir()))


def _is_left_over(path: Path) -> bool:
    return path.name.startswith(_LEFTOVERS)


def why_no_name(name: str) -> str:
    """Why NAME can't have a grade; "" if it can."""
    if not _NAME.fullmatch(name):
        return "a name has letters, digits and _, then also spaces and . @ + , ' -"
    return "the grader has a file of that name" if name in (_CLASS, _GRADES) else ""
