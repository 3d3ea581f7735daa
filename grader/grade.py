"""Grading: each stage is built, its milestones and its checks are run, and what
comes out is a Result."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from grader import rubric, submission, workplace
from grader.bench import PATIENCE_SECONDS, Bench
from grader.build import Workshop
from grader.checking import Checking
from grader.result import DEFAULT_SEED, CheckResult, Result, StageResult
from grader.rubric import Check


class Progress(Protocol):
    """Who is told how the grading goes on."""

    def stage_begins(self, stage: StageResult, shown: str) -> None:
        """A stage is going to be graded; SHOWN is its source's path."""

    def built(self, stage: StageResult) -> None:
        """It was built, or not."""

    def climbed(self, stage: StageResult) -> None:
        """Its milestones are known, if they were asked for: the checks follow."""

    def checks_begin(self, under_way: list[Check], done: int) -> None:
        """These are tried now, the oldest first, and so many are done."""

    def check_ends(self, check: CheckResult) -> None:
        """This is a verdict, the next one in the order of the report."""

    def stage_ends(self, stage: StageResult) -> None:
        """A stage is done."""


@dataclass(frozen=True)
class Request:
    """What is to be graded, and how."""

    folder: Path
    stages: list[int]
    only: str
    seed: int
    isolation: str
    first: tuple[str, ...] = ()  # ids of checks to try before the others
    patience: float = PATIENCE_SECONDS
    jobs: int = 1  # so many checks at once
    until: float = float("inf")  # the end of its time, by time.monotonic()
    milestones: bool = True  # are tried, too
    is_at_hand: bool = True  # for those who read the report, too

    def asked_of_make(self) -> str:
        """What `make grade` has to be told besides, for the same to be graded in the
        same way. Whoever grades for others has it elsewhere than they."""
        named = submission.shown_path(self.folder)
        told = []
        if (
            self.is_at_hand
            and Path.cwd() == submission.REPOSITORY
            and named != "stages"
        ):
            told.append(f"SUBMISSION={shlex.quote(named)}")
        if self.seed != DEFAULT_SEED:
            told.append(f"SEED={self.seed}")
        return " ".join(told)


def begin(request: Request) -> Result:
    """The result as it is before anything is known: nothing of what is asked for is
    graded yet, and whoever finds it like that can see so."""
    stages = []
    for number in request.stages:
        checks = rubric.select(rubric.load(number), request.only).values()
        stage = StageResult(number, sum(check.points for check in checks))
        stage.checks = [
            CheckResult(c.id, c.title, c.requirement, c.points, hint=c.hint)
            for c in checks
        ]
        stages.append(stage)
    return Result(request.seed, request.isolation, stages)


def grade(
    request: Request, result: Result, progress: Progress, keep: Callable[[], None]
) -> None:
    """Grade what REQUEST names into RESULT; KEEP is called whenever that grows.

    Raises CannotGrade and KeyboardInterrupt, with all that is known in RESULT.
    """
    for stage in result.stages:
        checks = rubric.select(rubric.load(stage.stage), request.only)
        with workplace.folder() as folder:
            ordered = rubric.in_order(checks, request.first)
            _grade_stage(request, stage, ordered, folder, progress, keep)
        progress.stage_ends(stage)
        keep()


def _grade_stage(
    request: Request,
    stage: StageResult,
    checks: dict[str, Check],
    folder: Path,
    progress: Progress,
    keep: Callable[[], None],
) -> None:
    name = submission.STAGES[stage.stage]
    shown = request.folder / str(stage.stage) / f"{name}.c"
    progress.stage_begins(stage, submission.shown_path(shown))
    try:
        found = submission.find(request.folder, stage.stage)
    except submission.Missing as missing:
        stage.status = "missing"
        stage.build["output"] = str(missing)
        progress.built(stage)
        return
    workshop = Workshop(found, folder, request.isolation)
    build = workshop.build()
    stage.build = {
        "ok": build.ok,
        "seconds": round(build.seconds, 2),
        "output": build.output,
    }
    if build.program is None:
        stage.status = "build_failed"
        progress.built(stage)
        return
    progress.built(stage)
    keep()
    bench = Bench(
        stage.stage, checks, workshop, build.program, request.isolation, request.seed,
        request.patience, build.warnings(),
    )  # fmt: skip
    Checking(bench, stage, request, progress, keep).run()
    if all(check.status != "error" for check in stage.checks):
        stage.status = "graded"
