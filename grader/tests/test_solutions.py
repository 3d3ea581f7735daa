"""Solutions get full marks, and what a starter already does earns nothing."""

from __future__ import annotations

import pytest

from grader import course
from grader.course import ROOT
from grader.tests.conftest import run_grader


@pytest.mark.parametrize("stage", course.stages())
def test_a_solution_gets_full_marks_and_climbs_every_milestone(stage: int) -> None:
    graded = run_grader(str(stage), "--submission", ROOT / "solutions")
    result = graded.stage(stage)
    lost = {i: c["message"] for i, c in graded.checks(stage).items() if not c["points"]}
    assert not lost
    assert (result["status"], result["score"], result["max_score"]) == (
        "graded",
        100,
        100,
    )
    assert {m["status"] for m in result["milestones"]} == {"passed"}
    assert (graded.status, graded.err) == (0, "")


def test_the_starters_compile_without_a_warning_and_score_nothing() -> None:
    graded = run_grader()
    assert graded.status == 1
    for stage in course.stages():
        result = graded.stage(stage)
        assert result["status"] == "graded"
        assert result["build"]["output"] == ""
        assert result["score"] == 0
        assert {m["status"] for m in result["milestones"]} == {"failed"}
        first, *others = result["checks"]
        assert first["status"] == "failed"
        assert {check["blocked_by"] for check in others} == {first["id"]}
