"""For PrairieLearn: /grade/results/results.json of an external grader.

Source: "External grading" in PrairieLearn's documentation. The score is a fraction of
1. A submission without a file to grade is not gradable, which costs no attempt; one
that does not compile is gradable, and gets 0. A file of more than a megabyte is
refused.
"""

from __future__ import annotations

import json
from typing import Any

from grader.report.outcome import outcomes
from grader.text import printable


_LARGEST = 1_000_000

# How many characters to keep of each text, if the whole is too large: tried in order.
_LENGTHS = (100_000, 20_000, 4_000, 800)


def render(result: dict[str, Any]) -> str:
    """RESULT as PrairieLearn reads it."""
    missing = [stage for stage in result["stages"] if stage["status"] == "missing"]
    if len(missing) == len(result["stages"]):
        says = [printable(stage["build"]["output"]) for stage in missing]
        report = {"gradable": False, "message": "\n".join(says)}
        return json.dumps(report, indent=1) + "\n"
    for most in _LENGTHS:
        text = json.dumps(_report(result, most), indent=1) + "\n"
        if len(text) <= _LARGEST:  # it is ASCII, so these are bytes
            break
    return text


def _report(result: dict[str, Any], most: int) -> dict[str, Any]:
    """RESULT with texts of at most MOST characters."""
    built = [
        stage["build"]["output"]
        for stage in result["stages"]
        if stage["status"] == "build_failed"
    ]
    return {
        "gradable": True,
        "score": result["score"] / result["max_score"],
        "message": f"{result['score']} of {result['max_score']} points",
        "output": _shortened(printable("\n".join(built)), most),
        "tests": [
            {
                "name": outcome.name,
                "description": outcome.id,
                "points": outcome.points,
                "max_points": outcome.max_points,
                "message": outcome.status,
                "output": _shortened(outcome.says, most),
            }
            for outcome in outcomes(result)
        ],
    }


def _shortened(text: str, most: int) -> str:
    """TEXT without its middle, if it has more than MOST characters: a lesson begins
    with what is wrong, and ends with why."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}\n…\n{text[-most // 2 :]}"
