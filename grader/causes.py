"""The likely cause of a failure: causes.toml, read, and matched with what was seen."""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grader.failure import Failure
from grader.rubric import Check


@dataclass(frozen=True)
class Cause:
    """One row of the table.

    when maps what must have been seen (a key of a finding's evidence, or of what
    facts() has besides) to a regular expression for the whole of it, or to true or
    false: it is there, or is not. section is a heading of the lesson (of stage LESSON,
    if not of its own), shown_by are wrong programs that it is said of: "3/silent".
    """

    text: str
    when: dict[str, Any]
    shown_by: tuple[str, ...] = ()
    section: str = ""
    lesson: int = 0

    def explains(self, facts: dict[str, Any]) -> bool:
        """Whether all that it asks for is among FACTS."""
        return all(_fits(facts.get(key), wanted) for key, wanted in self.when.items())


def _fits(fact: Any, wanted: Any) -> bool:
    if isinstance(wanted, bool):
        return bool(fact) == wanted
    text = "" if fact is None else str(fact)
    return re.fullmatch(str(wanted), text, re.DOTALL) is not None


@functools.cache
def table() -> list[Cause]:
    """All rows, in their order: the first that fits is the likely cause."""
    path = Path(__file__).with_name("causes.toml")
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["causes"]
    return [Cause(**row | {"shown_by": tuple(row["shown_by"])}) for row in rows]


def likely(stage: int, check: Check, failure: Failure) -> Cause | None:
    """The likely cause of FAILURE, which CHECK of STAGE ended with; None if what was
    seen is not enough to say."""
    known = facts(stage, check, failure)
    found = next((cause for cause in table() if cause.explains(known)), None)
    return replace(found, text=found.text.format_map(known)) if found else None


def facts(stage: int, check: Check, failure: Failure) -> dict[str, Any]:
    """All that was seen of FAILURE, for the table to be matched with."""
    finding = failure.finding
    return {
        **(finding.evidence if finding else {}),
        "kind": finding.kind if finding else "",
        "says": finding.says if finding else "",
        "stage": stage,
        "check": check.id,
        "requirement": check.requirement,
        "message": failure.message,
        "received": failure.received,
        "errors": failure.errors,
        "story": "\n".join(step.says for step in failure.transcript),
    }
