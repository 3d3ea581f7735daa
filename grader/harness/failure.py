"""A check that failed: what was expected, what came, and what was seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from grader.harness.circumstances import Circumstances
from grader.harness.finding import Finding
from grader.harness.transcript import Line


@dataclass
class Failure(Exception):
    """A check failed, and this is how we know.

    message is one line. transcript is what every client did and saw until then, and
    timeline is the same for programs. errors is the end of what the program wrote to
    standard error. circumstances holds what else is known, as facts.
    """

    message: str
    expected: str = ""
    received: str = ""
    finding: Finding | None = None
    transcript: list[Line] = field(default_factory=list)
    errors: str = ""
    timeline: dict[str, Any] = field(default_factory=dict)
    circumstances: Circumstances = field(default_factory=Circumstances)

    def __str__(self) -> str:
        return self.message
