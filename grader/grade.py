"""Grading: each stage is built, its milestones and its checks are run, and what
comes out is a Result."""

from __future__ import annotations

import os
import shlex
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from grader import ladder, lesson, rubric, submission, workplace
from grader.bench import PATIENCE_SECONDS, Bench, BenchPlugin
from grader.build import Workshop
from grader.failure import CannotGrade, Failure
from grader.result import DEFAULT_SEED, CheckResult, Result, StageResult
from grader.rubric import Check
from grader.scene import Scene

_CHECKS = Path(__file__).resolve().parent / "checks"

# When checks have failed for so long, those that are left are not tried: whoever
# keeps us waiting loses them. A right program fails none, and loses none to this.
FAILING_SECONDS = 600.0

# Who takes so long and fails nothing has not been graded: what is to blame, the
# program or the machine, nobody can say. A right program takes half a minute.
STAGE_SECONDS = 1800.0


class Progress(Protocol):
    """Who is told how the grading goes on."""

    def stage_begins(self, stage: StageResult, shown: str) -> None:
        """A stage is going to be graded; SHOWN is its source's path."""

    def built(self, stage: StageResult) -> None:
        """It was built, or not; its milestones are known."""

    def check_begins(self, check: Check) -> None:
        """A check is tried now."""

    def check_ends(self, check: CheckResult) -> None:
        """And this is its verdict."""

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
    if not request.only:
        stage.milestones = ladder.climb(workshop, request.isolation)
    progress.built(stage)
    keep()
    bench = Bench(
        stage.stage, checks, workshop, build.program, request.isolation, request.seed,
        request.patience, build.warnings(),
    )  # fmt: skip
    run = _Run(bench, stage, request.asked_of_make(), progress, keep)
    _run_pytest(run)
    if all(check.status != "error" for check in stage.checks):
        stage.status = "graded"


class _Run:
    """The pytest plugin that turns what a test did into a verdict."""

    def __init__(
        self,
        bench: Bench,
        stage: StageResult,
        asked: str,
        progress: Progress,
        keep: Callable[[], None],
    ) -> None:
        self.bench = bench
        self.asked = asked
        self.progress = progress
        self.keep = keep
        self.results = {check.id: check for check in stage.checks}
        self.done: set[str] = set()
        self.broken_by: BaseException | None = None
        self._now = ""
        self._began = time.monotonic()
        self._failing_seconds = 0.0
        self._failed_last = ""

    def _check(self, item: pytest.Item) -> Check:
        marker = item.get_closest_marker("check")
        assert marker is not None, "the collection keeps marked tests only"
        return self.bench.checks[str(marker.args[0])]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip a check whose foundation failed."""
        check = self._check(item)
        self._now = check.id
        for id in check.needs:
            needed = self.results.get(id)
            if needed and needed.status != "passed":
                blocked_by = needed.blocked_by or needed.id
                self.results[check.id].blocked_by = blocked_by
                pytest.skip(f"it builds on {blocked_by}, which failed")
        if self._failing_seconds > FAILING_SECONDS:
            self.results[check.id].blocked_by = self._failed_last
            minutes = FAILING_SECONDS / 60
            pytest.skip(f"the checks that failed took {minutes:.0f} minutes")
        if time.monotonic() - self._began > STAGE_SECONDS:
            minutes = STAGE_SECONDS / 60
            raise CannotGrade(f"the stage is not done after {minutes:.0f} minutes")
        self.progress.check_begins(check)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[None]:
        """Judge one phase of a test: its setup, itself, or its cleaning up."""
        yield
        check = self._check(item)
        result = self.results[check.id]
        result.seconds = round(result.seconds + call.duration, 3)
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, Failure):
            result.status = "failed"
            self._failing_seconds += result.seconds
            self._failed_last = check.id
            result.message = lesson.one_line(error.message)
            result.lesson = lesson.parts(
                check,
                self.bench.stage,
                error,
                self.asked,
                self.bench.warnings,
                self.bench.refused_functions(),
            )
            result.details = lesson.write(result.lesson)
            if error.finding:
                evidence = {"kind": error.finding.kind, "says": error.finding.says}
                result.evidence = evidence | error.finding.evidence
            result.evidence |= error.picture
        elif isinstance(error, pytest.skip.Exception):
            result.status = "skipped"
            result.message = str(error)
        elif error is not None:
            result.status = "error"
            what = error if isinstance(error, CannotGrade) else repr(error)
            result.message = f"the grader failed: {what}"
            result.details = "".join(traceback.format_exception(error, limit=-3))
        elif call.when == "call":
            result.status = "passed"
            result.evidence = _picture(item)
        result.points = result.max_points if result.status == "passed" else 0
        if result.points:
            self.bench.passed.add(check.id)

    def pytest_internalerror(
        self, excinfo: pytest.ExceptionInfo[BaseException]
    ) -> bool:
        """Something broke between two tests (a full disk): it is for us to tell."""
        self.broken_by = excinfo.value
        return True

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """A test is done with."""
        self.done.add(self._now)
        self.keep()  # before it is told: whoever reads that can look it up
        self.progress.check_ends(self.results[self._now])


def _picture(item: pytest.Item) -> dict[str, Any]:
    """The story of a check that passed: of the last program that it started."""
    scenes: list[Scene] = getattr(item, "funcargs", {}).get("scenes", [])
    return scenes[-1].transcript.as_data() if scenes else {}


@contextmanager
def _our_own_pytest() -> Iterator[None]:
    """Nothing in the environment or around us changes what pytest does."""
    kept = {k: v for k, v in os.environ.items() if k.startswith("PYTEST_")}
    for name in kept:
        del os.environ[name]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        os.environ.update(kept)


def _run_pytest(run: _Run) -> None:
    arguments = [
        str(_CHECKS), "-c", str(_CHECKS / "pytest.ini"), "--rootdir", str(_CHECKS),
        "--capture=no", "-p", "no:terminal", "-p", "no:cacheprovider",
    ]  # fmt: skip
    with _our_own_pytest():
        status = pytest.main(arguments, plugins=[run, BenchPlugin(run.bench)])
    if run.broken_by:
        raise run.broken_by
    if status == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    for id, result in run.results.items():
        if id not in run.done:
            result.status = "error"
            result.message = "the grader failed: this check was not run"
