"""Running the checks of a stage, which are pytest tests, and judging each of them."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from grader import text
from grader.course import STAGES, Check
from grader.errors import CannotGrade
from grader.grading import milestones
from grader.grading.pool import Workers
from grader.grading.progress import Progress
from grader.grading.request import Request
from grader.grading.result import StageResult
from grader.grading.scheduler import MILESTONES, Answer, Scheduler
from grader.grading.testbed import Testbed, TestbedPlugin
from grader.grading.verdicts import Verdicts
from grader.harness import wording
from grader.harness.failure import Failure
from grader.harness.session import Session
from grader.lessons import lesson


def run(
    testbed: Testbed,
    checks: dict[str, Check],
    stage: StageResult,
    request: Request,
    progress: Progress,
    keep: Callable[[], None],
) -> None:
    """Run CHECKS on TESTBED as REQUEST says. STAGE grows by their verdicts; each time
    it is saved (KEEP), and then PROGRESS is told.

    Raises CannotGrade, KeyboardInterrupt, and whatever KEEP and PROGRESS raise. What is
    known by then is in STAGE.
    """
    verdicts = Verdicts(checks, stage.checks, request.until)
    scheduler = Scheduler(checks, verdicts, stage, request, progress, keep)
    plugin = CheckingPlugin(testbed, verdicts, scheduler, request)
    arguments = [
        *map(str, testbed.stage.tests()),
        "-c", str(STAGES / "pytest.ini"), "--rootdir", str(STAGES),
        "--capture=no", "--assert=plain",  # our own words, and nothing rewritten
        "-p", "no:terminal", "-p", "no:cacheprovider",
    ]  # fmt: skip
    with _our_own_pytest():
        status = pytest.main(arguments, plugins=[TestbedPlugin(testbed), plugin])
    if plugin.broken_by is not None:
        raise plugin.broken_by
    if status == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    for id, result in verdicts.results.items():
        if id not in verdicts.done:
            result.status = "error"
            result.message = "the grader failed: this check was not run"


class CheckingPlugin:
    """The plugin that has pytest run the checks when SCHEDULER says so, and that turns
    the outcome of a test into the verdict on the check.

    BROKEN_BY is the exception that stopped pytest, if one did.
    """

    def __init__(
        self,
        testbed: Testbed,
        verdicts: Verdicts,
        scheduler: Scheduler,
        request: Request,
    ) -> None:
        self.broken_by: BaseException | None = None
        self._testbed = testbed
        self._results = verdicts.results
        self._scheduler = scheduler
        self._request = request
        self._items: dict[str, pytest.Item] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run all that was collected."""
        self._items = {self._check(item).id: item for item in session.items}
        workers = Workers(self._request.jobs, self._request.isolation, self._work)
        self._testbed.others_are_done = workers.others_are_done
        self._scheduler.run(self._items, workers)
        return True

    def _check(self, item: pytest.Item) -> Check:
        marker = item.get_closest_marker("check")
        assert marker is not None, "the collection keeps marked tests only"
        return self._testbed.stage.checks[str(marker.args[0])]

    def _work(self, job: str) -> Answer:
        """Do a job, in a worker."""
        if job == MILESTONES:
            return milestones.run(self._testbed.workshop, self._testbed.isolation)
        item = self._items[job]
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return self._results[job]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[None]:
        """Judge one phase of a test: its setup, itself, or its cleaning up."""
        yield
        check = self._check(item)
        result = self._results[check.id]
        result.seconds = round(result.seconds + call.duration, 3)
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, Failure):
            self._fails(check, error)
        elif error is not None:
            result.status = "error"
            what = error if isinstance(error, CannotGrade) else repr(error)
            result.message = f"the grader failed: {what}"
            result.details = "".join(traceback.format_exception(error, limit=-3))
        elif call.when == "call":
            result.status = "passed"
            result.evidence = _picture(item) | dict(item.user_properties)
        result.points = result.max_points if result.status == "passed" else 0

    def _fails(self, check: Check, failure: Failure) -> None:
        """CHECK fails, with a lesson."""
        result, testbed = self._results[check.id], self._testbed
        result.status = "failed"
        result.message = text.one_line(failure.message)
        result.lesson = lesson.parts(
            check,
            testbed.stage,
            failure,
            self._request.asked_of_make(),
            testbed.warnings,
            testbed.refused_functions(),
        )
        result.details = lesson.write(result.lesson)
        if failure.finding:
            says = {"says": wording.says(failure.finding)}
            result.evidence = failure.finding.as_data() | says
        result.evidence |= failure.timeline

    def pytest_internalerror(
        self, excinfo: pytest.ExceptionInfo[BaseException]
    ) -> bool:
        """Note what broke between two tests, such as a full disk: run() raises it."""
        self.broken_by = excinfo.value
        return True


def _picture(item: pytest.Item) -> dict[str, Any]:
    """The transcript of a check that passed: of the last program that it started."""
    sessions: list[Session] = getattr(item, "funcargs", {}).get("sessions", [])
    return sessions[-1].transcript.as_data() if sessions else {}


@contextmanager
def _our_own_pytest() -> Iterator[None]:
    """Keep the environment from changing what pytest does."""
    kept = {k: v for k, v in os.environ.items() if k.startswith("PYTEST_")}
    for name in kept:
        del os.environ[name]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        os.environ.update(kept)
