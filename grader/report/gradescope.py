"""For Gradescope: /autograder/results/results.json.

Source: "Autograder Specifications" in Gradescope's documentation (results.json). There,
a test has passed or failed, and nothing else: one that was not tried has failed, and
says why.
"""

from __future__ import annotations

import json
from typing import Any

from grader.report.outcome import outcomes


def render(result: dict[str, Any]) -> str:
    """RESULT as Gradescope reads it."""
    tests = [
        {
            "name": outcome.name,
            "number": outcome.number,
            "score": outcome.points,
            "max_score": outcome.max_points,
            "status": "passed" if outcome.status == "passed" else "failed",
            "output": outcome.says,
            "output_format": "text",
            "visibility": "visible",
            "tags": [outcome.id],
        }
        for outcome in outcomes(result)
    ]
    report: dict[str, Any] = {
        "score": result["score"],
        "execution_time": result["seconds"],
        "output": "\n".join(_stage(stage) for stage in result["stages"]),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
        "leaderboard": [{"name": "Score", "value": result["score"], "order": "desc"}],
    }
    return json.dumps(report, indent=1) + "\n"


def _stage(stage: dict[str, Any]) -> str:
    return f"Stage {stage['stage']}: {stage['score']} of {stage['max_score']} points"
