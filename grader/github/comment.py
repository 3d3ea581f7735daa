"""The one comment on a pull request: its words, and what it remembers.

It is Markdown. An invisible line of HTML says which checks passed, so that the next
comment can say what has changed since.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from grader import course
from grader.github.artifact import ReportedCheck, ReportedStage, is_id
from grader.report.inert import code

MARK = "<!-- echo-lab/grade/v1 "
_MEMORY = re.compile(re.escape(MARK) + r"(\{[^<>]{0,20000}\}) -->\n")
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")

_MOST_FAILED = 30
_MOST_CHANGED = 10
_STATES = {
    "build_failed": "does not compile",
    "missing": "nothing to grade",
}


@dataclass(frozen=True)
class Memory:
    """What was graded before: the commit, and which checks of which stage passed."""

    head: str
    passed: dict[int, list[str]]
    points: dict[int, int]


@dataclass(frozen=True)
class News:
    """What a comment is about: the commit HEAD, graded in the run whose log is at LOG.
    stages is empty if nothing could be graded. warnings and notes say why, or what else
    readers have to know: our words, in Markdown."""

    head: str
    log: str
    stages: list[ReportedStage] = field(default_factory=list)
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()


def remembered(body: str) -> Memory | None:
    """What a comment with this BODY remembers; None if that makes no sense."""
    found = _MEMORY.match(body)
    try:
        data: Any = json.loads(found[1]) if found else None
        return _memory(data["head"], data["stages"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _memory(head: str, stages: dict[str, Any]) -> Memory:
    passed = {int(number): one["passed"] for number, one in stages.items()}
    points = {int(number): one["points"] for number, one in stages.items()}
    if not (
        _SHA.fullmatch(head)
        and set(passed) <= set(course.stages())
        and all(
            isinstance(ids, list) and all(map(is_id, ids)) for ids in passed.values()
        )
        and all(type(number) is int for number in points.values())
    ):
        raise ValueError
    return Memory(head, passed, points)


def write(news: News, before: Memory | None) -> str:
    """The comment for NEWS, after a comment that remembered BEFORE."""
    memory = _memory_of(news) if news.stages else before
    parts = [_memorized(memory) + _heading(news)]
    parts += [f"> [!WARNING]\n> {warning}" for warning in news.warnings]
    parts += [_table(news.stages), _changes(news, before), _failed(news.stages)]
    parts += news.notes
    parts.append(f"[The whole report and the log]({news.log})")
    return "\n\n".join(filter(None, parts)) + "\n"


def _memory_of(news: News) -> Memory:
    """What to remember of NEWS. Ids that our rubric doesn't have are left out: there
    may be more of them than fit."""
    passed = {
        stage.number: [
            id for id in stage.ids("passed") if id in course.stage(stage.number).checks
        ]
        for stage in news.stages
    }
    return Memory(news.head, passed, {s.number: s.score for s in news.stages})


def _memorized(memory: Memory | None) -> str:
    """MEMORY as the invisible line, which has ids, numbers and a commit only."""
    data: dict[str, Any] = {}
    if memory:
        data["head"] = memory.head
        data["stages"] = {
            str(number): {"points": memory.points[number], "passed": ids}
            for number, ids in memory.passed.items()
        }
    return f"{MARK}{json.dumps(data, separators=(',', ':'))} -->\n"


def _heading(news: News) -> str:
    """The grade, and its commit: a later one may never have been graded."""
    commit = f"commit `{news.head[:7]}`"
    if not news.stages:
        return f"### Echo Lab: {commit} is not graded"
    score = sum(stage.score for stage in news.stages)
    most = sum(stage.max_score for stage in news.stages)
    enough = 100 * score >= course.passes_with() * most
    mark = "⚠️" if news.warnings else "✅" if enough else "❌"
    return f"### {mark} Echo Lab: {score} of {most} points for {commit}"


def _table(stages: list[ReportedStage]) -> str:
    if not stages:
        return ""
    rows = ["| Stage | Points | |", "|---|---|---|"]
    for stage in stages:
        failed, skipped = len(stage.ids("failed")), len(stage.ids("skipped"))
        state = f"{failed} failed" + (f", {skipped} not tried" if skipped else "")
        state = _STATES.get(stage.status, state if failed else "")
        points = f"{stage.score} of {stage.max_score}"
        rows.append(f"| {stage.number} | {points} | {state} |")
    return "\n".join(rows)


def _changes(news: News, before: Memory | None) -> str:
    """What has changed since the grade before, if the two can be compared."""
    if before is None or before.head == news.head:
        return ""
    stages = [stage for stage in news.stages if stage.number in before.passed]
    if not stages:
        return ""
    more = sum(s.score - before.points[s.number] for s in stages)
    counted = f"{abs(more)} point{'' if abs(more) == 1 else 's'}"
    parts = [
        f"{counted} {'more' if more > 0 else 'fewer'}" if more else "as many points"
    ]
    for words, wanted in (("passes now", True), ("no longer passes", False)):
        named = [
            _name(stage.number, check)
            for stage in stages
            for check in stage.checks
            if (check.id in before.passed[stage.number]) != wanted
            and (check.status == "passed") == wanted
        ]
        if named:
            parts.append(f"{words}: {_few(named)}")
    return f"**Since `{before.head[:7]}`:** " + "; ".join(parts) + "."


def _few(named: list[str]) -> str:
    more = len(named) - _MOST_CHANGED
    return ", ".join(named[:_MOST_CHANGED]) + (f" and {more} more" if more > 0 else "")


def _failed(stages: list[ReportedStage]) -> str:
    """A line for each failed check. Its message and evidence are not trusted."""
    lines = [
        f"- **{_name(stage.number, check)}** (−{check.max_points}): "
        f"{code(check.message)}{f', {code(check.says)}' if check.says else ''}"
        for stage in stages
        for check in stage.checks
        if check.status == "failed"
    ]
    more = len(lines) - _MOST_FAILED
    rest = [f"- and {more} more"] if more > 0 else []
    return "\n".join(lines[:_MOST_FAILED] + rest)


def _name(stage: int, check: ReportedCheck) -> str:
    """What our rubric calls CHECK; if it doesn't know CHECK, the id, which is harmless
    (see artifact.py)."""
    ours = course.stage(stage).checks.get(check.id)
    return f"{ours.requirement} {ours.title}" if ours else f"{stage} `{check.id}`"
