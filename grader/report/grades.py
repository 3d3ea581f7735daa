"""The grades of a class as a table (CSV, RFC 4180), as Moodle's gradebook imports it.

Source: "Grade import" in Moodle's documentation. One column says who it is (map it to
the user's name, e-mail address or ID number, whatever the folders are called by), and
the others are mapped to a grade item and its feedback. Who could not be graded has no
line, so that an import leaves the grade that is there as it is.
"""

from __future__ import annotations

import csv
import io
from typing import Any

from grader.lesson import one_line
from grader.submission import STAGES

_STATUS = {"build_failed": "does not compile", "missing": "is missing"}


def render(results: dict[str, dict[str, Any]]) -> str:
    """RESULTS by name as a table, with a line for each and its feedback."""
    table = io.StringIO()
    writer = csv.writer(table)
    stages = [f"Stage {number}" for number in STAGES]
    writer.writerow(["Username", "Grade", "Maximum", *stages, "Feedback"])
    for name, result in sorted(results.items()):
        scores = {stage["stage"]: stage["score"] for stage in result["stages"]}
        writer.writerow(
            [
                name,
                result["score"],
                result["max_score"],
                *(scores.get(number, "") for number in STAGES),
                "; ".join(map(_feedback, result["stages"])),
            ]
        )
    return table.getvalue()


def _feedback(stage: dict[str, Any]) -> str:
    """What there is to say about one STAGE of a result, in words."""
    words = f"Stage {stage['stage']}: {stage['score']} of {stage['max_score']}"
    if stage["status"] in _STATUS:
        return f"{words}, it {_STATUS[stage['status']]}"
    # outcomes() would make all lessons printable. That is too slow here: the table is
    # written again after each submission.
    failed = [
        one_line(f"{check['requirement']} {check['title']}")
        for check in stage["checks"]
        if check["status"] == "failed"
    ]
    return f"{words}, lost: {', '.join(failed)}" if failed else words
