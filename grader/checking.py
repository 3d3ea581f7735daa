"""The checks of a stage, run side by side by pytest, and what each came to."""

from __future__ import annotations

import itertools
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from grader import ladder, lesson
from grader.bench import Bench, BenchPlugin
from grader.failure import CannotGrade, Failure
from grader.result import CheckResult, Milestone, StageResult
from grader.rubric import Check, urgency
from grader.scene import Scene
from grader.workers import Workers

if TYPE_CHECKING:
    from grader.grade import Progress, Request

_CHECKS = Path(__file__).resolve().parent / "checks"

# When checks have failed for so long, those that are left are not tried: whoever
# keeps us waiting loses them. A right program fails none, and loses none to this.
FAILING_SECONDS = 300.0

# Who takes so long and fails nothing has not been graded: what is to blame, the
# program or the machine, nobody can say. A right program takes some seconds.
STAGE_SECONDS = 900.0

# What a worker does besides checks.
_MILESTONES = "milestones"


class Checking:
    """The pytest plugin that runs the checks of BENCH as REQUEST says, and turns what a
    test did into a verdict: STAGE grows by it. When it has, it is kept (KEEP), and then
    PROGRESS is told."""

    def __init__(
        self,
        bench: Bench,
        stage: StageResult,
        request: Request,
        progress: Progress,
        keep: Callable[[], None],
    ) -> None:
        self._bench = bench
        self._stage = stage
        self._results = {check.id: check for check in stage.checks}
        self._request = request
        self._progress = progress
        self._keep = keep
        self._until = min(request.until, time.monotonic() + STAGE_SECONDS)
        self._items: dict[str, pytest.Item] = {}
        self._workers: Workers[list[Milestone] | CheckResult] = Workers(
            request.jobs, request.isolation == "bubblewrap", self._work
        )
        bench.others_are_done = self._workers.others_are_done
        self._climbs = request.milestones and not request.only  # still
        self._failing_seconds = self._passing_seconds = 0.0
        self._failed_last = ""
        self._answers: dict[str, CheckResult | None] = {}  # not yet taken
        self._done: set[str] = set()
        self._told = 0
        self._broken_by: BaseException | None = None

    def _check(self, item: pytest.Item) -> Check:
        marker = item.get_closest_marker("check")
        assert marker is not None, "the collection keeps marked tests only"
        return self._bench.checks[str(marker.args[0])]

    # -- side by side -------------------------------------------------------

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run all that was collected."""
        self._items = {self._check(item).id: item for item in session.items}
        waiting = self._in_order()
        try:
            if self._climbs:
                self._workers.give(_MILESTONES)
            else:
                self._progress.climbed(self._stage)
            while waiting or self._workers.busy:
                waiting = [id for id in waiting if not self._is_begun(id)]
                if not waiting and all(map(self._stays, self._workers.busy)):
                    self._workers.tell_who_stays()
                self._tell()
                for job, answer in self._workers.done(min(1.0, self._left())):
                    self._take(job, answer)
                self._judge()
                if self._left() <= 0:
                    self._out_of_time()
                    break
        finally:
            self._workers.end()
        self._tell()
        return True

    def _in_order(self) -> list[str]:
        """The checks in the order in which to begin them: as they stand, or, where some
        can be done at once, those first that somebody waits for, or that most of the
        time hangs on."""
        if self._request.jobs == 1:
            return list(self._items)
        seconds, first = urgency(self._bench.checks), self._request.first
        return sorted(self._items, key=lambda id: (id not in first, -seconds[id]))

    def _is_begun(self, id: str) -> bool:
        """Begin the check ID, if all that it builds on is done, and there is room; or
        skip it. Whether either was done. One that stays begins at once, whatever
        becomes of what it builds on: its answer waits for that."""
        if self._stays(id):
            self._workers.give(id, stays=True)
            return True
        if not self._stands(id):
            return False
        if self._is_skipped(id):
            return True
        if not self._workers.have_room:
            return False
        self._workers.give(id)
        return True

    def _stays(self, job: str) -> bool:
        return job != _MILESTONES and self._bench.checks[job].stays

    def _stands(self, id: str) -> bool:
        """Whether it is known what became of all that the check ID builds on."""
        needs = self._bench.checks[id].needs
        return all(n in self._done or n not in self._results for n in needs)

    def _judge(self) -> None:
        """Take the answers to checks of which all that they build on is done; whose
        foundation has failed is skipped, if its answer is here or not."""
        for id in self._results:
            is_open = id in self._answers or id in self._workers.busy
            if not (is_open and self._stands(id)):
                continue
            if self._lacks_foundation(id):
                self._workers.give_up(id)
                self._answers.pop(id, None)
            elif id in self._answers:
                self._record(self._results[id], self._answers.pop(id))

    def _is_skipped(self, id: str) -> bool:
        """Whether the check ID is skipped: its foundation failed, or it comes too
        late."""
        if self._lacks_foundation(id):
            return True
        if self._failing_seconds > FAILING_SECONDS:
            why = f"the checks that failed took {FAILING_SECONDS:.0f} s"
            self._skip(self._results[id], self._failed_last, why)
            return True
        return False

    def _lacks_foundation(self, id: str) -> bool:
        """Skip the check ID if something that it builds on failed: whether it did."""
        for needed in map(self._results.get, self._bench.checks[id].needs):
            if needed and needed.status != "passed":
                blocked_by = needed.blocked_by or needed.id
                why = f"it builds on {blocked_by}, which failed"
                self._skip(self._results[id], blocked_by, why)
                return True
        return False

    def _left(self) -> float:
        """How much of its time is left, in seconds."""
        return max(0.0, self._until - time.monotonic())

    def _out_of_time(self) -> None:
        """Time is up. What has not been done by now is lost, if it is proved that the
        program is what took so long: that most of the time went into what it failed.
        Else nobody can say. Raises CannotGrade then."""
        left = [r for id, r in self._results.items() if id not in self._done]
        others = sum(self._workers.seconds(), self._passing_seconds)
        if not self._failing_seconds > others:
            many = f"{len(left)} of {len(self._results)} checks"
            raise CannotGrade(f"time is up, and {many} are not done")
        for result in left:
            why = "the checks that failed took all the time"
            self._skip(result, self._failed_last, why)

    def _skip(self, result: CheckResult, blocked_by: str, why: str) -> None:
        result.status, result.blocked_by, result.message = "skipped", blocked_by, why
        self._done.add(result.id)

    def _take(self, job: str, answer: list[Milestone] | CheckResult | None) -> None:
        """Take the ANSWER to a job: a verdict, or the milestones."""
        if job == _MILESTONES:
            if not isinstance(answer, list):
                raise CannotGrade("the process that ran the milestones has ended")
            self._stage.milestones = answer
            self._climbs = False
            self._keep()
            self._progress.climbed(self._stage)
            return
        self._answers[job] = answer if isinstance(answer, CheckResult) else None

    def _record(self, result: CheckResult, answer: CheckResult | None) -> None:
        """ANSWER is what RESULT is: that of a check."""
        if answer is None:
            result.status = "error"
            result.message = "the grader failed: the process that ran it has ended"
        else:
            vars(result).update(vars(answer))
        # One that stays takes as long as the others do, and counts as nothing.
        seconds = 0.0 if self._stays(result.id) else result.seconds
        if result.status == "failed":
            self._failing_seconds += seconds
            self._failed_last = result.id
        else:
            self._passing_seconds += seconds
        self._done.add(result.id)

    def _tell(self) -> None:
        """Tell what goes on, and what is known by now, in the order of the report, or
        first what was asked for first."""
        checks, untold = self._bench.checks, list(self._bench.checks)[self._told :]
        known = list(itertools.takewhile(self._done.__contains__, untold))
        if known and not self._climbs:
            self._keep()  # before it is told: whoever reads that can look it up
            self._told += len(known)
            for id in known:
                self._progress.check_ends(self._results[id])
        if under_way := [checks[job] for job in self._workers.busy if job in checks]:
            self._progress.checks_begin(under_way, len(self._done))

    def _work(self, job: str) -> list[Milestone] | CheckResult:
        """Do a job, in a worker."""
        if job == _MILESTONES:
            return ladder.climb(self._bench.workshop, self._bench.isolation)
        item = self._items[job]
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return self._results[job]

    # -- one test -----------------------------------------------------------

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
        result, bench = self._results[check.id], self._bench
        result.status = "failed"
        result.message = lesson.one_line(failure.message)
        result.lesson = lesson.parts(
            check,
            bench.stage,
            failure,
            self._request.asked_of_make(),
            bench.warnings,
            bench.refused_functions(),
        )
        result.details = lesson.write(result.lesson)
        if failure.finding:
            evidence = {"kind": failure.finding.kind, "says": failure.finding.says}
            result.evidence = evidence | failure.finding.evidence
        result.evidence |= failure.picture

    def pytest_internalerror(
        self, excinfo: pytest.ExceptionInfo[BaseException]
    ) -> bool:
        """Something broke between two tests (a full disk): it is for us to tell."""
        self._broken_by = excinfo.value
        return True

    def run(self) -> None:
        """Run it all. Raises CannotGrade, KeyboardInterrupt, and what a listener does;
        with all that is known in the results."""
        arguments = [
            str(_CHECKS), "-c", str(_CHECKS / "pytest.ini"), "--rootdir", str(_CHECKS),
            "--capture=no", "--assert=plain",  # our own words, and nothing rewritten
            "-p", "no:terminal", "-p", "no:cacheprovider",
        ]  # fmt: skip
        with _our_own_pytest():
            status = pytest.main(arguments, plugins=[BenchPlugin(self._bench), self])
        if self._broken_by is not None:
            raise self._broken_by
        if status == pytest.ExitCode.INTERRUPTED:
            raise KeyboardInterrupt
        for id, result in self._results.items():
            if id not in self._done:
                result.status = "error"
                result.message = "the grader failed: this check was not run"


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
