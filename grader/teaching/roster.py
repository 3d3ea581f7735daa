"""A class in a terminal: a line for each submission, and a summary of all."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import Any

from grader.report.outcome import outcomes
from grader.text import one_line, printable

_LOST_MOST_OFTEN = 5


def line(name: str, outcome: dict[str, Any] | str) -> str:
    """The line for NAME when it is done. OUTCOME is its result, or why it has none."""
    shown = one_line(printable(name))
    if isinstance(outcome, str):
        return f"  {'–':>9}  {shown}: not graded: {outcome}"
    stages = [f"{s['stage']}: {_score(s)}" for s in outcome["stages"]]
    points = f"{outcome['score']}/{outcome['max_score']}"
    return f"  {points:>9}  {shown} (stage {', '.join(stages)})"


def _score(stage: dict[str, Any]) -> str:
    words = {"build_failed": "does not compile", "missing": "missing"}
    return words.get(stage["status"], f"{stage['score']}")


def summary(results: dict[str, dict[str, Any]]) -> list[str]:
    """The summary of all RESULTS, in lines."""
    if not results:
        return []
    scores = [result["score"] for result in results.values()]
    full = sum(r["score"] == r["max_score"] for r in results.values())
    middle = f"{statistics.median(scores):g}"
    lines = [
        f"{len(results)} graded: from {min(scores)} to {max(scores)} points, half of "
        f"them {middle} or more; full marks for {full}."
    ]
    failed = Counter(
        outcome.id
        for result in results.values()
        for outcome in outcomes(result)
        if outcome.status == "failed"
    )
    if failed:
        lines.append("Lost most often:")
    for id, count in failed.most_common(_LOST_MOST_OFTEN):
        lines.append(f"  {count:>9}  {id}")
    return lines
