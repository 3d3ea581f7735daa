"""The two ways in which grading can go wrong: the student's, and ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from grader.transcript import Line


@dataclass(frozen=True)
class Finding:
    """What was seen of a program that did not do what was asked.

    kind is one word for machines (blocked_sending, lost, spinning …), says is
    one sentence for people, evidence is what was read, for both; witness is who
    says so.
    """

    kind: str
    says: str
    evidence: dict[str, Any] = field(default_factory=dict)
    witness: str = "The kernel shows"


@dataclass
class Failure(Exception):
    """A check does not hold, and this is how that is known.

    message is one line; transcript is what every client did and saw until then, and
    picture is the same for programs; errors is the end of what the program wrote on
    its standard error.
    """

    message: str
    expected: str = ""
    received: str = ""
    finding: Finding | None = None
    transcript: list[Line] = field(default_factory=list)
    errors: str = ""
    picture: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message


class CannotGrade(Exception):
    """The grader cannot do its work here: no verdict, and exit status 2."""


@contextlib.contextmanager
def a_missing_package_is_named() -> Iterator[None]:
    """Raise CannotGrade for a Python package that is imported here and is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        raise CannotGrade(
            f"the Python package {name} is missing: run 'make setup'"
        ) from None
