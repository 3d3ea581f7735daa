"""Fingerprints of what a grade is made from: the submission and the grader.

They are SHA-256 digests of contents, not dates, since a checkout or a copy changes
dates only. Equal fingerprints mean that a grade is still valid; different ones mean
that it is safer to grade again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path

from grader import VERSION, course
from grader.course import ROOT
from grader.grading.submission import Missing, read

# The grader's files that can change a verdict, or how it is reported.
_SUFFIXES = (".py", ".toml", ".c", ".h", ".css", ".html")
_DIGITS_SHOWN = 12


def of_submission(folder: Path) -> str:
    """The fingerprint of the submission in FOLDER, in hexadecimal digits. It covers
    the files that are graded: each stage's source and header.

    It reads files as grading does, so it follows no link, and reads no special file
    and no file above 1 MiB. For a file that cannot be graded it covers the reason:
    the file's type, its size, and whether it is readable.
    """
    digest = hashlib.sha256()
    for stage in course.stages().values():
        place = folder / str(stage.number)
        _add(digest, f"{stage.number} {_type(place)} {os.path.isdir(place)}")
        if os.path.islink(place) or not os.path.isdir(place):
            continue
        for path in (place / name for name in stage.files):
            _add(digest, f"{path.name} {_type(path)}")
            # A submission that cannot be read must not end the grading of a class.
            with contextlib.suppress(Missing, OSError):
                _add(digest, read(path))
    return digest.hexdigest()


def of_grader() -> str:
    """The grader's version number, "+", and the start of its fingerprint, because an
    edited rubric is another version, too. The grader's tests do not count."""
    here = ROOT / "grader"
    files = [path for path in here.rglob("*") if _judges(path.relative_to(here))]
    # The stages' own folders count: a submission without a header is compiled with the
    # stage's, and the lesson has the sentences of the requirements.
    for stage in course.stages().values():
        files += [stage.given / stage.header, stage.given / "README.md"]
    files = [path for path in files if path.is_file()]
    digest = hashlib.sha256()
    for path in sorted(files):
        _add(digest, path.relative_to(ROOT).as_posix())
        _add(digest, path.read_bytes())
    return f"{VERSION}+{digest.hexdigest()[:_DIGITS_SHOWN]}"


def _judges(path: Path) -> bool:
    """Whether a verdict may depend on PATH, a file of the package."""
    if path.parts[0] == "tests" or path.name.startswith("."):
        return False
    return path.suffix in _SUFFIXES or path.parts[:2] == ("sandbox", "etc")


def _type(path: Path) -> str:
    """What PATH is: its type and, for a file, its size and whether it is readable. A
    link is not followed."""
    try:
        state = os.lstat(path)
    except OSError as error:
        return f"errno {error.errno}"
    if not stat.S_ISREG(state.st_mode):
        return f"{stat.S_IFMT(state.st_mode):o}"
    return f"file {state.st_size} {os.access(path, os.R_OK)}"


def _add(digest: hashlib._Hash, piece: str | bytes) -> None:
    """Add PIECE to DIGEST after its length, so that different sequences of pieces are
    always different bytes."""
    data = piece.encode("utf-8", "surrogateescape") if isinstance(piece, str) else piece
    digest.update(f"{len(data)}:".encode() + data)
