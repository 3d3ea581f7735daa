"""Grading: builds each stage, and runs its milestones and its checks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from grader import course
from grader.grading import checking, submission, testbed
from grader.grading.order import in_order
from grader.grading.progress import Progress
from grader.grading.request import Request
from grader.grading.result import CheckResult, Result, StageResult
from grader.sandbox import compiler


def begin(request: Request) -> Result:
    """The result before anything is known: it says that nothing is graded yet, in case
    that it stays like that."""
    stages = []
    for number in request.stages:
        checks = course.stage(number).select(request.only).values()
        stage = StageResult(number, sum(check.points for check in checks))
        stage.checks = [
            CheckResult(c.id, c.title, c.requirement, c.points, hint=c.hint)
            for c in checks
        ]
        stages.append(stage)
    return Result(request.seed, request.isolation.name, stages)


def grade(
    request: Request, result: Result, progress: Progress, keep: Callable[[], None]
) -> None:
    """Grade what REQUEST names. Call KEEP each time that RESULT has grown by it.

    Raises CannotGrade and KeyboardInterrupt; what is known by then is in RESULT.
    """
    for stage in result.stages:
        with compiler.folder() as folder:
            _grade_stage(request, stage, folder, progress, keep)
        progress.stage_ends(stage)
        keep()


def _grade_stage(
    request: Request,
    result: StageResult,
    folder: Path,
    progress: Progress,
    keep: Callable[[], None],
) -> None:
    stage = course.stage(result.stage)
    shown = request.folder / str(stage.number) / stage.source
    progress.stage_begins(result, submission.shown_path(shown))
    try:
        found = submission.find(request.folder, stage)
    except submission.Missing as missing:
        result.status = "missing"
        result.build["output"] = str(missing)
        progress.built(result)
        return
    build, made = testbed.build(
        found, folder, request.isolation, seed=request.seed, patience=request.patience
    )
    result.build = {
        "ok": build.ok,
        "seconds": round(build.seconds, 2),
        "output": build.output,
    }
    if made is None:
        result.status = "build_failed"
        progress.built(result)
        return
    progress.built(result)
    keep()
    checks = in_order(stage.select(request.only), request.first)
    checking.run(made, checks, result, request, progress, keep)
    if all(check.status != "error" for check in result.checks):
        result.status = "graded"
