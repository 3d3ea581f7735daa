"""The verdicts on a stage's checks, as far as they are known: which are done, which are
skipped, and why; and how long all of it may take."""

from __future__ import annotations

import time

from grader.course import Check
from grader.errors import CannotGrade
from grader.grading.result import CheckResult

# When failed checks have taken this long, the others are not tried, and are lost. A
# right program fails no check, so that it loses none in this way.
FAILING_SECONDS = 300.0

# A program that takes this long, and mostly not for what it fails, is not graded:
# nobody can say whether it is to blame, or the machine. A right one takes seconds.
STAGE_SECONDS = 900.0


class Verdicts:
    """What is known of CHECKS. RESULTS are their verdicts, in the order of the report,
    and UNTIL is when all have to be done, by time.monotonic()."""

    def __init__(
        self, checks: dict[str, Check], results: list[CheckResult], until: float
    ) -> None:
        self.results = {result.id: result for result in results}
        self.done: set[str] = set()  # the ids of those that are known
        self._checks = checks
        self._until = min(until, time.monotonic() + STAGE_SECONDS)
        self._failing_seconds = self._passing_seconds = 0.0
        self._failed_last = ""

    def left(self) -> float:
        """How much of the time is left, in seconds."""
        return max(0.0, self._until - time.monotonic())

    def record(self, id: str, answer: CheckResult | None) -> None:
        """ANSWER is what the check ID came to; None if nobody answered."""
        result = self.results[id]
        if answer is None:
            result.status = "error"
            result.message = "the grader failed: the process that ran it has ended"
        else:
            vars(result).update(vars(answer))
        # One that stays is not counted: it takes as long as the others.
        seconds = 0.0 if self._checks[id].stays else result.seconds
        if result.status == "failed":
            self._failing_seconds += seconds
            self._failed_last = id
        else:
            self._passing_seconds += seconds
        self.done.add(id)

    # -- what is skipped ------------------------------------------------------

    def needs_are_done(self, id: str) -> bool:
        """Whether all checks that the check ID builds on are done."""
        needs = self._checks[id].needs
        return all(n in self.done or n not in self.results for n in needs)

    def skips(self, id: str) -> bool:
        """Skip the check ID if something that it builds on failed, or if the failed
        checks took too long already. Returns whether it is skipped."""
        if self.lacks_foundation(id):
            return True
        if self._failing_seconds > FAILING_SECONDS:
            why = f"the checks that failed took {FAILING_SECONDS:.0f} s"
            self._skip(id, self._failed_last, why)
            return True
        return False

    def lacks_foundation(self, id: str) -> bool:
        """Skip the check ID if something that it builds on failed. Returns whether it
        did."""
        for needed in map(self.results.get, self._checks[id].needs):
            if needed and needed.status != "passed":
                blocked_by = needed.blocked_by or needed.id
                self._skip(id, blocked_by, f"it builds on {blocked_by}, which failed")
                return True
        return False

    def time_is_up(self, under_way_seconds: float) -> None:
        """Skip all checks that are not done, if it is proved that the program is what
        took so long: if most of the time went into checks that it failed. Otherwise
        nobody can say, and CannotGrade is raised. UNDER_WAY_SECONDS is how long the
        checks in progress have taken so far."""
        left = [id for id in self.results if id not in self.done]
        if not self._failing_seconds > self._passing_seconds + under_way_seconds:
            many = f"{len(left)} of {len(self.results)} checks"
            raise CannotGrade(f"time is up, and {many} are not done")
        for id in left:
            why = "the checks that failed took all the time"
            self._skip(id, self._failed_last, why)

    def _skip(self, id: str, blocked_by: str, why: str) -> None:
        result = self.results[id]
        result.status, result.blocked_by, result.message = "skipped", blocked_by, why
        self.done.add(id)
