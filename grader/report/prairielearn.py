"""For PrairieLearn: /grade/results/results.json of an external grader.

Source: "External grading" in PrairieLearn's documentation. The score is a share of 1.
A submission without a file to grade is not gradable, which costs no attempt; one that
does not compile is, and gets nothing.
"""

from __future__ import annotations

import json
from typing import Any

from grader.lesson import printable
from grader.report.outcome import outcomes


def render(result: dict[str, Any]) -> str:
    """RESULT as PrairieLearn reads it."""
    missing = [stage for stage in result["stages"] if stage["status"] == "missing"]
    if len(missing) == len(result["stages"]):
        says = [printable(stage["build"]["output"]) for stage in missing]
        report: dict[str, Any] = {"gradable": False, "message": "\n".join(says)}
        return json.dumps(report, indent=1) + "\n"
    report = {
        "gradable": True,
        "score": result["score"] / result["max_score"],
        "message": f"{result['score']} of {result['max_score']} points",
        "tests": [
            {
                "name": outcome.name,
                "description": outcome.id,
                "points": outcome.points,
                "max_points": outcome.max_points,
                "message": outcome.status,
                "output": outcome.says,
            }
            for outcome in outcomes(result)
        ],
    }
    return json.dumps(report, indent=1) + "\n"
