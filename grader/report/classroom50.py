"""For Classroom 50: result.json, schema classroom50/result/v1.

Source: foundation50/classroom50, "Advanced Autograding" in its wiki. Scores are whole
numbers, and a test has passed or not. The runner passes what it knows (whose
submission, which commit) in the environment.
"""

from __future__ import annotations

import json
import os
from typing import Any

from grader.errors import CannotGrade
from grader.report.outcome import outcomes

# The runner's variables, whose values the result has to repeat.
_HANDED_OVER = {
    "classroom": "CLASSROOM",
    "assignment": "ASSIGNMENT",
    "submission": "SUBMISSION_TAG",
    "commit": "COMMIT_URL",
    "release": "RELEASE_URL",
}


def handed_over() -> dict[str, str]:
    """What the runner passes in the environment. Raises CannotGrade if anything is
    missing."""
    missing = [name for name in _HANDED_OVER.values() if not os.environ.get(name)]
    if missing:
        raise CannotGrade(f"Classroom 50's runner sets {missing[0]}, which is not set")
    known = {key: os.environ[name] for key, name in _HANDED_OVER.items()}
    return known | {"review": os.environ.get("REVIEW_URL") or known["commit"]}


def render(result: dict[str, Any]) -> str:
    """RESULT as Classroom 50 reads it. Raises CannotGrade."""
    report = {
        "schema": "classroom50/result/v1",
        **handed_over(),
        "datetime": result["started"].replace("+00:00", "Z"),
        "score": result["score"],
        "max-score": result["max_score"],
        "tests": [
            {
                "test-name": outcome.name,
                "passed": outcome.status == "passed",
                "score": outcome.points,
                "max-score": outcome.max_points,
            }
            for outcome in outcomes(result)
        ],
    }
    return json.dumps(report, indent=1) + "\n"
