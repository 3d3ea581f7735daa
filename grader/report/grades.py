"""The grades of a class as a table (CSV, RFC 4180), as Moodle's gradebook imports it.

Source: "Grade import" in Moodle's documentation. The first column has the name of the
submission's folder: map it to the user name, the e-mail address or the ID number. Map
the others to a grade item and its feedback. A submission that could not be graded gets
no row, so that an import leaves its present grade as it is.
"""

from __future__ import annotations

import csv
import io
from typing import Any

from grader import course
from grader.text import one_line

_STATUS = {"build_failed": "does not compile", "missing": "is missing"}


def render(results: dict[str, dict[str, Any]]) -> str:
    """RESULTS, by name, as a table: a row for each, with its feedback."""
    table = io.StringIO()
    writer = csv.writer(table)
    stages = [f"Stage {number}" for number in course.stages()]
    writer.writerow(["Username", "Grade", "Maximum", *stages, "Feedback"])
    for name, result in sorted(results.items()):
        scores = {stage["stage"]: stage["score"] for stage in result["stages"]}
        writer.writerow(
            [
                name,
                result["score"],
                result["max_score"],
                *(scores.get(number, "") for number in course.stages()),
                "; ".join(map(_feedback, result["stages"])),
            ]
        )
    return table.getvalue()


def _feedback(stage: dict[str, Any]) -> str:
    """The feedback on STAGE of a result."""
    words = f"Stage {stage['stage']}: {stage['score']} of {stage['max_score']}"
    if stage["status"] in _STATUS:
        return f"{words}, it {_STATUS[stage['status']]}"
    # outcomes() would make all lessons printable. That is too slow here, because the
    # table is written again after each submission.
    failed = [
        one_line(f"{check['requirement']} {check['title']}")
        for check in stage["checks"]
        if check["status"] == "failed"
    ]
    return f"{words}, lost: {', '.join(failed)}" if failed else words
