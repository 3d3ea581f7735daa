"""The header of a wrong program, which says what it is:

Base:       (patches only) what it patches: "solution", or "right/NAME"
Mistake:    what is wrong with it; everything else is right
Must fail:  the checks that it fails every time
May fail:   checks that it fails in some runs only; or "any", where nobody can tell
            whom the mistake hurts
Says:       words in the lesson of a check that it must fail

The last two are optional. All other checks pass, or are skipped because one that they
need has failed. The header is at the top of a patch, or in the comment at the top of a
C file; a line that begins with two spaces continues the one above it.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from grader.errors import CannotGrade

# The name of each field, and how it is written.
Fields = dict[str, str]

# In "May fail": the program may fail any check.
ANY = "any"

BASE = "Base"
ASKED = ("Mistake", "Must fail", "May fail", "Says")
_NEEDED = ("Mistake", "Must fail")
_ALL = (BASE, *ASKED)

_WIDTH = 80
_COMMENT = re.compile(r"/\*(.*?)\*/\n", re.DOTALL)
_DIFF = re.compile(r"^--- ", re.MULTILINE)


@dataclass(frozen=True)
class Header:
    """A wrong program's header, field by field."""

    mistake: str
    must: frozenset[str]
    may: frozenset[str]
    says: str


def parse(top: str, where: str) -> Fields:
    """The fields in TOP, the lines of a header; WHERE is its file. Raises CannotGrade
    for a line that does not belong in a header."""
    fields: Fields = {}
    last = ""
    for line in filter(str.strip, top.splitlines()):
        name, colon, words = line.partition(":")
        if line.startswith("  ") and last:
            fields[last] = f"{fields[last]} {line.strip()}".strip()
        elif colon and name in _ALL and name not in fields:
            last = name
            fields[name] = words.strip()
        else:
            raise CannotGrade(f"{where}: the header has a line {line.strip()!r}")
    return fields


def check(fields: Fields, where: str) -> Header:
    """The header that FIELDS make up. Raises CannotGrade for the first field that is
    missing, empty, or cannot stand in a C comment."""
    for name in _NEEDED:
        if name not in fields:
            raise CannotGrade(f"{where}: the header has no '{name}:'")
    for name, words in fields.items():
        if not words:
            raise CannotGrade(f"{where}: '{name}:' is still to be filled in")
        if "/*" in words or "*/" in words:
            raise CannotGrade(f"{where}: '{name}:' would end the comment it is in")
    must, may = (_listed(fields.get(name, "")) for name in ("Must fail", "May fail"))
    return Header(fields["Mistake"], must, may, fields.get("Says", ""))


def _listed(words: str) -> frozenset[str]:
    return frozenset(filter(None, map(str.strip, words.split(","))))


def write(fields: Fields, width: int = _WIDTH) -> str:
    """FIELDS as lines of a header, none longer than WIDTH."""
    wrap = textwrap.TextWrapper(
        width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    lines = (wrap.wrap(f"{name}: {fields[name]}") for name in _ALL if name in fields)
    return "".join(f"{line}\n" for some in lines for line in some)


def comment(fields: Fields) -> str:
    """FIELDS as the comment at the top of a C file. The base is left out, since the
    file is the whole program."""
    told = {name: words for name, words in fields.items() if name != BASE}
    lines = write(told, _WIDTH - len(" * ")).splitlines()
    return "".join(["/*\n", *(f" * {line}\n" for line in lines), " */\n"])


def divide_source(text: str) -> tuple[str, str]:
    """The text of the comment that TEXT, a C file, begins with ("" if there is none),
    and the source below it."""
    found = _COMMENT.match(text)
    if not found:
        return "", text
    lines = (re.sub(r"^ \* ?", "", line) for line in found[1].splitlines())
    return "\n".join(lines), text[found.end() :]


def divide_patch(text: str) -> tuple[str, str]:
    """The header of TEXT, a patch, and its diff."""
    found = _DIFF.search(text)
    start = found.start() if found else len(text)
    return text[:start], text[start:]
