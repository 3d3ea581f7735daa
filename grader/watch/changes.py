"""How one grading of a stage differs from the one before: the facts, in words.

Stages and checks are dictionaries, as in a result file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from grader import course
from grader.grading.result import Milestone
from grader.report import steps
from grader.text import printable

_WORDS = {
    ("failed", "passed"): "mended",
    ("failed", "failed"): "still wrong",
    ("passed", "failed"): "broke anew",
}

# All words for a verdict. If there is little room, the first of these are shown.
WORDS = ("mended", "broke anew", "still wrong", "wrong", "the grader failed")

Data = dict[str, Any]  # a stage or a check, as it is in a result file


@dataclass
class Before:
    """The last whole grading: each check's status by its id, and the score. Both are
    empty if there was none."""

    statuses: dict[str, str] = field(default_factory=dict)
    score: int | None = None


def is_known(check: Data) -> bool:
    """Whether there is a verdict on CHECK already, while its stage is graded."""
    return check["status"] != "skipped" or bool(check["message"])


def word_for(check: Data, before: Before) -> str:
    """The word for CHECK if it failed, or changed since BEFORE; else ""."""
    status = check["status"]
    if status == "error":
        return "the grader failed"
    word = _WORDS.get((before.statuses.get(check["id"], ""), status), "")
    return word or ("wrong" if status == "failed" else "")


def counted(checks: list[Data], before: Before) -> list[tuple[str, str]]:
    """What several CHECKS have in common: pairs of a status, and words for it."""
    told = []
    waiting = sum(check["status"] == "skipped" for check in checks)
    if waiting:
        verb = "waits" if waiting == 1 else "wait"
        told.append(("skipped", f"{waiting} more {verb} for what is wrong here"))
    could_not = {id for id, status in before.statuses.items() if status == "skipped"}
    now = sum(c["status"] == "passed" and c["id"] in could_not for c in checks)
    if now:
        verb = "passes" if now == 1 else "pass"
        told.append(("passed", f"{now} more can be tried now, and {verb}"))
    return told


def said_by_the_compiler(stage: Data) -> tuple[str, list[str]]:
    """What became of the build of STAGE, in words; and the compiler's output, from the
    first line that names a line of the source. No lines if there was no output."""
    failed = stage["status"] == "build_failed"
    lines = printable(stage["build"]["output"]).splitlines()
    if stage["status"] == "missing" or not lines:
        return "", []
    kind = "(fatal )?error" if failed else "warning"
    located = re.compile(rf"\S+:\d+:(\d+:)? {kind}:")
    begin = next((n for n, line in enumerate(lines) if located.match(line)), 0)
    said = "it does not compile:" if failed else "the compiler warns:"
    return said, lines[begin:]


def score(stage: Data, before: Before) -> str:
    """The score of STAGE, and by how much it differs from the one BEFORE."""
    gained = 0 if before.score is None else stage["score"] - before.score
    change = f", {abs(gained)} {'more' if gained > 0 else 'fewer'} than before"
    name = f"Stage {stage['stage']} ({course.stage(stage['stage']).source})"
    told = f"{name}: {stage['score']}/{stage['max_score']}"
    return told + (change if gained else "")


def next_step(stage: Data) -> str:
    """Which milestone of STAGE is next, and where to read about it; "" if none is."""
    if stage["score"] >= stage["max_score"]:
        return ""
    milestones = [Milestone(**one) for one in stage["milestones"]]
    leading = steps.for_milestones(stage["stage"])
    ahead = steps.next_milestone(milestones, stage["score"])
    if ahead not in leading:
        return ""
    step = f"stages/{stage['stage']}/README.md, {leading[ahead]}"
    return f"→ {ahead} is the next step: {step}"
