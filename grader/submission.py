"""The submission: which file is graded for a stage, and whether it can be."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from grader.failure import CannotGrade

REPOSITORY = Path(__file__).resolve().parent.parent
STAGES = {1: "tcp_server", 2: "tcp_client", 3: "tcp_server"}

# Far more than anybody writes by hand for one stage.
_LARGEST = 1 << 20


class Missing(Exception):
    """There is nothing to grade for a stage; the message says what is missing."""


@dataclass(frozen=True)
class Submission:
    """The source of one stage: its bytes, and the path that the student knows."""

    stage: int
    source: bytes
    header: bytes
    shown: str

    @property
    def name(self) -> str:
        """The program's name: tcp_server or tcp_client."""
        return STAGES[self.stage]


def listed() -> str:
    """The numbers of all stages, for people."""
    return ", ".join(map(str, sorted(STAGES)))


def stages_in(folder: Path) -> list[int]:
    """The stages that FOLDER has a folder for. Raises CannotGrade if none."""
    if not folder.is_dir():
        raise CannotGrade(f"no folder {folder}")
    found = [stage for stage in STAGES if (folder / str(stage)).is_dir()]
    if not found:
        raise CannotGrade(f"{folder} has none of the folders {listed()}")
    return found


def find(folder: Path, stage: int) -> Submission:
    """The submission for STAGE in FOLDER, laid out like stages/.

    The student's own header is used if it is there, else the stage's. Raises
    Missing, and CannotGrade for a folder that is not there at all.
    """
    if not folder.is_dir():
        raise CannotGrade(f"no folder {folder}")
    name = STAGES[stage]
    if (folder / str(stage)).is_symlink():  # to somebody else's, or to the solution
        raise Missing(f"{shown_path(folder / str(stage))} is a link")
    source_path = folder / str(stage) / f"{name}.c"
    header_path = folder / str(stage) / f"{name}.h"
    if not os.path.lexists(header_path):
        header_path = REPOSITORY / "stages" / str(stage) / f"{name}.h"
    source = read(source_path)
    if not source.strip():
        raise Missing(f"{shown_path(source_path)} is empty")
    return Submission(stage, source, read(header_path), shown_path(source_path))


def shown_path(path: Path) -> str:
    """PATH as it is short: from the current folder, if it is below that."""
    absolute = Path(os.path.abspath(path))
    try:
        return str(absolute.relative_to(Path.cwd()))
    except ValueError:
        return str(absolute)


def read(path: Path) -> bytes:
    """The bytes of a regular file of at most 1 MiB. Raises Missing for anything else: a
    link or a device could lead anywhere."""
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
