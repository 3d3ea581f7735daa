"""What the exports share: every check of a result, with its words and with one of four
outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from grader.text import one_line, printable


@dataclass(frozen=True)
class Outcome:
    """One check. status is passed, failed, skipped (not tried) or error (the grader's
    own fault). says is what the student should read, "" if it passed, and message is
    that in one line."""

    id: str
    name: str
    number: str
    status: str
    points: int
    max_points: int
    seconds: float
    message: str
    says: str


def outcomes(result: dict[str, Any], stage: int | None = None) -> Iterator[Outcome]:
    """Every check of RESULT, a result's JSON, or only those of STAGE."""
    for one in result["stages"]:
        if stage not in (None, one["stage"]):
            continue
        for number, check in enumerate(one["checks"]):
            says = printable(_words(one, check, is_first=number == 0))
            yield Outcome(
                id=f"stage-{one['stage']}/{check['id']}",
                name=one_line(f"{check['requirement']} {check['title']}"),
                number=check["requirement"],
                status=check["status"],
                points=check["points"],
                max_points=check["max_points"],
                seconds=check["seconds"],
                message=one_line(check["message"]) or says.partition("\n")[0],
                says=says,
            )


def _words(stage: dict[str, Any], check: dict[str, Any], is_first: bool) -> str:
    """What the student should read about CHECK. The compiler's output is only at the
    first check: it can be long, and some platforms take no more than a megabyte."""
    if check["status"] in ("failed", "error"):
        return str(check["details"] or check["message"])
    if check["status"] == "passed":
        return ""
    if check["blocked_by"]:
        return f"Not tried: it builds on {check['blocked_by']}, which failed."
    if stage["status"] == "build_failed":
        output = stage["build"]["output"] if is_first else ""
        return f"Not tried: it does not compile.\n{output}".rstrip("\n")
    if stage["status"] == "missing":
        return f"Not tried: {stage['build']['output']}"
    return "Not tried."
