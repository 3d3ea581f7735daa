"""Puts the toy stage into another repository as one of its stages."""

from __future__ import annotations

import re
from pathlib import Path

from grader.course import ROOT

TOY = ROOT / "grader/tests/toy_stage"
FOLDERS = ("stages", "solutions", "grader/stages", "grader/tests/stages")


def add_to(house: Path, number: int) -> None:
    """Put the toy stage into HOUSE, a repository's folder, as stage NUMBER."""
    for folder in FOLDERS:
        top, to = TOY / folder / "N", house / folder / str(number)
        for path in filter(Path.is_file, top.rglob("*")):
            if "__pycache__" not in path.parts:
                copy = to / path.relative_to(top)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(_numbered(path.read_text(), number))


def _numbered(text: str, number: int) -> str:
    """TEXT with NUMBER in place of N; in a lesson's steps, N is their own number."""
    return "".join(
        line if "N. TIME" in line else re.sub(r"\bN\b", str(number), line)
        for line in text.splitlines(keepends=True)
    )
