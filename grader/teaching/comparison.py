"""Compares two gradings of a class, for example after a regrade: whose grade changed,
and why.

A grade also counts as changed if its score is the same but its checks are not.
"""

from __future__ import annotations

import statistics
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from grader.lessons.lesson import WIDTH
from grader.report.outcome import Outcome, outcomes
from grader.report.screen import MARKS
from grader.teaching.cohort import Cohort
from grader.text import one_line, printable

Result = dict[str, Any]
Stage = dict[str, Any]

_STATUS = {
    "graded": "graded",
    "build_failed": "does not compile",
    "missing": "missing",
}


@dataclass(frozen=True)
class Comparison:
    """The comparison in lines of at most 80 columns, and whether anything changed."""

    lines: list[str]
    has_changes: bool


def compare(old: Cohort, new: Cohort) -> Comparison:
    """What changed from OLD to NEW."""
    lines: list[str] = []
    count: Counter[str] = Counter()
    for name in sorted({*old.graded, *old.ungraded, *new.graded, *new.ungraded}):
        if name in old.graded and name in new.graded:
            told = _change_of_grade(name, old, new)
            count["changed" if told else "unchanged"] += 1
        else:
            told = _without_two_grades(name, old, new)
            in_neither = name in old.ungraded and name in new.ungraded
            count["graded in neither" if in_neither else "graded in one"] += 1
        lines += told
    gap = [""] if lines else []
    has_changes = count["changed"] + count["graded in one"] > 0
    return Comparison([*lines, *gap, *_summary(old, new, count)], has_changes)


# -- a submission without a grade on one side, or on both ------------------------


def _state(cohort: Cohort, name: str) -> str:
    """What COHORT has for NAME: a score, the reason why there is none, or ""."""
    if name in cohort.graded:
        return _score(cohort.graded[name])
    if name in cohort.ungraded:
        return f"not graded: {one_line(cohort.ungraded[name])}"
    return ""


def _without_two_grades(name: str, old: Cohort, new: Cohort) -> list[str]:
    """Lines about NAME, which does not have a grade on both sides."""
    before, now = _state(old, name), _state(new, name)
    if not before:
        said = f"only in NEW: {now}"
    elif not now:
        said = f"only in OLD: {before}"
    else:
        said = f"{now}, as before" if before == now else f"{before} -> {now}"
    return _wrapped("", f"{_shown(name)}: {said}")


# -- a submission with two grades ------------------------------------------------


def _change_of_grade(name: str, old: Cohort, new: Cohort) -> list[str]:
    """Lines about NAME, which has two grades; none if they are the same."""
    before, now = old.graded[name], new.graded[name]
    stages = list(_stages(before, now))
    was, is_now = _score(before), _score(now)
    if was == is_now and not stages:
        return []
    scores = f"{was} -> {is_now}" if was != is_now else f"{was} as before"
    why = _what_else_changed(name, old, new)
    return [*_wrapped("", f"{_shown(name)}: {scores} ({why})"), *stages]


def _what_else_changed(name: str, old: Cohort, new: Cohort) -> str:
    """Which of the things that NAME's two grades were made from changed, in words."""
    before, now = old.provenance.get(name), new.provenance.get(name)
    if before is None or now is None:
        versions = old.graded[name].get("grader"), new.graded[name].get("grader")
        same = versions[0] == versions[1]
        return "no record of what changed" if same else "the grader changed"
    changed = []
    if before.submission != now.submission:
        changed.append("the submission changed")
    if before.grader != now.grader:
        changed.append("the grader changed")
    if before.options != now.options:
        changed.append("the options changed")
    return ", ".join(changed) or "neither the submission nor the grader changed"


def _stages(before: Result, now: Result) -> Iterator[str]:
    """Lines about each stage that changed."""
    old = {stage["stage"]: stage for stage in before["stages"]}
    new = {stage["stage"]: stage for stage in now["stages"]}
    for number in sorted({*old, *new}):
        was, is_now = old.get(number), new.get(number)
        if was is None or is_now is None:
            where, there = ("NEW", is_now) if was is None else ("OLD", was)
            assert there
            yield f"  stage {number} only in {where}: {_stage_score(there)}"
        elif {was["status"], is_now["status"]} == {"graded"}:
            changes = list(_checks(number, before, now))
            if changes:
                yield f"  stage {number}: {_stage_score(was)} -> {_stage_score(is_now)}"
            yield from changes
        elif _stage_score(was) != _stage_score(is_now):
            yield f"  stage {number}: {_stage_score(was)} -> {_stage_score(is_now)}"
            yield from _wrapped("      ", _why_not_graded(is_now))


def _stage_score(stage: Stage) -> str:
    """The score of STAGE and, if its checks were not run, why."""
    score = f"{stage['score']}/{stage['max_score']}"
    if stage["status"] == "graded":
        return score
    return f"{score}, {_STATUS.get(stage['status'], stage['status'])}"


def _why_not_graded(stage: Stage) -> str:
    """The line of the build's output that says why the checks of STAGE were not run;
    "" if they were."""
    if stage["status"] == "graded":
        return ""
    lines = stage["build"]["output"].splitlines()
    errors = [line for line in lines if "error:" in line]
    return one_line((errors or lines or [""])[0])


def _checks(stage: int, before: Result, now: Result) -> Iterator[str]:
    """Lines about the checks of STAGE that changed. Those that changed in the same way
    and have the same message share a line."""
    old = {outcome.id: outcome for outcome in outcomes(before, stage)}
    new = {outcome.id: outcome for outcome in outcomes(now, stage)}
    alike: dict[tuple[str, str, str], list[str]] = {}
    for id in {**old, **new}:
        was, is_now = old.get(id), new.get(id)
        there = is_now or was
        assert there
        if change := _change(was, is_now):
            message = is_now.message if is_now and is_now.status != "passed" else ""
            kind = (MARKS.get(there.status, "?"), change, message)
            alike.setdefault(kind, []).append(there.name)
    for (mark, change, message), names in alike.items():
        yield from _wrapped(f"    {mark} ", f"{change}: {'; '.join(names)}")
        yield from _wrapped("        ", message)


def _change(was: Outcome | None, is_now: Outcome | None) -> str:
    """How a check changed, in words; "" if it did not."""
    if was is None or is_now is None:
        there = is_now or was
        assert there
        return f"{'new check' if was is None else 'removed check'}, {there.status}"
    if was.status != is_now.status:
        return f"{was.status} -> {is_now.status}"
    if was.max_points != is_now.max_points:
        return f"{is_now.status}, worth {was.max_points} -> {is_now.max_points} points"
    return ""


# -- all of them -----------------------------------------------------------------


def _summary(old: Cohort, new: Cohort, count: Counter[str]) -> Iterator[str]:
    both = sorted(old.graded.keys() & new.graded.keys())
    yield (
        f"{len(both)} graded in both: {count['unchanged']} unchanged, "
        f"{count['changed']} changed."
    )
    if both:
        by = (new.graded[name]["score"] - old.graded[name]["score"] for name in both)
        yield f"Mean difference: {statistics.fmean(by):+.1f} points."
    for which, one, other in (("OLD", old, new), ("NEW", new, old)):
        known = {*other.graded, *other.ungraded}
        if alone := sum(name not in known for name in (*one.graded, *one.ungraded)):
            yield f"{alone} only in {which}."
    for which, cohort in (("OLD", old), ("NEW", new)):
        if cohort.ungraded:
            yield f"{len(cohort.ungraded)} could not be graded in {which}."


def _score(result: Result) -> str:
    return f"{result['score']}/{result['max_score']}"


def _shown(name: str) -> str:
    return one_line(printable(name))


def _wrapped(lead: str, text: str) -> list[str]:
    """TEXT in lines, with LEAD before the first and spaces before the others; no lines
    if TEXT is empty."""
    indent = " " * max(len(lead), 4)
    return textwrap.wrap(
        text, WIDTH, initial_indent=lead, subsequent_indent=indent,
        break_on_hyphens=False,
    )  # fmt: skip
