"""The submission: which file is graded for a stage, and whether that can be read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from grader import course
from grader.course import Stage
from grader.errors import CannotGrade

# Far more than anybody writes for one stage by hand.
_LARGEST = 1 << 20


class Missing(Exception):
    """There is nothing to grade for a stage; the message says what is missing."""


@dataclass(frozen=True)
class Submission:
    """The source of one stage: its bytes, and the path that the student knows."""

    stage: Stage
    source: bytes
    header: bytes
    shown: str


def stages_in(folder: Path) -> list[int]:
    """The stages that FOLDER has a folder for. Raises CannotGrade if none."""
    if not folder.is_dir():
        raise CannotGrade(f"no folder {folder}")
    found = [number for number in course.stages() if (folder / str(number)).is_dir()]
    if not found:
        raise CannotGrade(f"{folder} has none of the folders {course.listed()}")
    return found


def find(folder: Path, stage: Stage) -> Submission:
    """The submission for STAGE in FOLDER, laid out like stages/.

    The student's own header is used if it is there, else the stage's. Raises
    Missing, and CannotGrade for a folder that is not there at all.
    """
    if not folder.is_dir():
        raise CannotGrade(f"no folder {folder}")
    place = folder / str(stage.number)
    if place.is_symlink():  # to somebody else's, or to the solution
        raise Missing(f"{shown_path(place)} is a link")
    source_path, header_path = place / stage.source, place / stage.header
    if not os.path.lexists(header_path):
        header_path = stage.given / stage.header
    source = read(source_path)
    if not source.strip():
        raise Missing(f"{shown_path(source_path)} is empty")
    return Submission(stage, source, read(header_path), shown_path(source_path))


def shown_path(path: Path) -> str:
    """PATH in its shorter form: relative to the current folder, if it is below that."""
    absolute = Path(os.path.abspath(path))
    try:
        return str(absolute.relative_to(Path.cwd()))
    except ValueError:
        return str(absolute)


def read(path: Path) -> bytes:
    """The bytes of a regular file of at most 1 MiB. Raises Missing for anything else,
    also for a link or a device, which could lead anywhere."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Missing(f"{shown_path(path)} is not a regular file")
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise Missing(f"there is no {shown_path(path)}") from None
    except OSError as error:
        reason = "a link" if path.is_symlink() else error.strerror
        raise Missing(f"{shown_path(path)} cannot be read: {reason}") from None
    if len(content) > _LARGEST:
        raise Missing(f"{shown_path(path)} is larger than {_LARGEST >> 20} MiB")
    return content
