"""Verdicts: what is skipped and why, and what is lost when time is up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grader.course import Check
from grader.errors import CannotGrade
from grader.grading import verdicts
from grader.grading.result import CheckResult
from grader.grading.verdicts import Verdicts

FOREVER = float("inf")


def _check(id: str, *needs: str, stays: bool = False) -> Check:
    return Check(id, id, "1.1", 5, "", needs, stays=stays)


def _verdicts(*checks: Check, until: float = FOREVER) -> Verdicts:
    results = [CheckResult(check.id, check.title, "1.1", 5) for check in checks]
    return Verdicts({check.id: check for check in checks}, results, until)


def _record(known: Verdicts, id: str, status: str, seconds: float = 0.1) -> None:
    answer = replace(known.results[id], status=status, seconds=seconds)
    known.record(id, answer)


def test_what_builds_on_a_failed_check_is_skipped_and_names_the_first_cause() -> None:
    known = _verdicts(_check("a"), _check("b", "a"), _check("c", "b"), _check("d"))
    assert known.needs_are_done("a") and not known.needs_are_done("b")
    _record(known, "a", "failed")
    for id in ("b", "c"):
        assert known.needs_are_done(id) and known.skips(id)
        result = known.results[id]
        assert (result.status, result.blocked_by) == ("skipped", "a")
        assert result.message == "it builds on a, which failed"
    assert not known.skips("d")
    assert known.done == {"a", "b", "c"}


def test_a_check_that_was_not_asked_for_is_not_waited_for() -> None:
    known = _verdicts(_check("b", "a"))
    assert known.needs_are_done("b") and not known.skips("b")


def test_a_check_that_nobody_answered_is_the_graders_fault() -> None:
    known = _verdicts(_check("a"), _check("b", "a"))
    known.record("a", None)
    assert known.results["a"].status == "error"
    assert known.skips("b") and known.results["b"].blocked_by == "a"


def test_when_failing_took_too_long_the_rest_is_lost() -> None:
    known = _verdicts(_check("a"), _check("b"), _check("c"))
    _record(known, "a", "failed", verdicts.FAILING_SECONDS)
    assert not known.skips("c")
    _record(known, "b", "failed", 0.1)
    assert known.skips("c")
    result = known.results["c"]
    assert (result.status, result.blocked_by) == ("skipped", "b")
    assert result.message == "the checks that failed took 300 s"


def test_passing_takes_as_long_as_it_takes() -> None:
    known = _verdicts(_check("a"), _check("b"))
    _record(known, "a", "passed", verdicts.FAILING_SECONDS + 1)
    assert not known.skips("b")


def test_one_that_stays_took_no_time_of_its_own() -> None:
    known = _verdicts(_check("a", stays=True), _check("b"))
    _record(known, "a", "failed", verdicts.FAILING_SECONDS + 1)
    assert not known.skips("b")


def test_no_stage_may_take_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 1000.0)
    assert _verdicts(_check("a")).left() == verdicts.STAGE_SECONDS
    assert _verdicts(_check("a"), until=1010.0).left() == 10
    assert _verdicts(_check("a"), until=990.0).left() == 0


@pytest.mark.parametrize(
    "failing, passing, under_way, proved",
    [(5.0, 1.0, 1.0, True), (5.0, 4.0, 1.0, False), (0.0, 0.0, 0.0, False)],
)
def test_when_time_is_up_what_is_left_is_lost_only_if_failing_took_most_of_it(
    failing: float, passing: float, under_way: float, proved: bool
) -> None:
    known = _verdicts(_check("a"), _check("b"), _check("c"))
    _record(known, "a", "failed", failing)
    _record(known, "b", "passed", passing)
    if not proved:
        with pytest.raises(CannotGrade, match="time is up, and 1 of 3 checks are not"):
            known.time_is_up(under_way)
        assert known.done == {"a", "b"}
        return
    known.time_is_up(under_way)
    result = known.results["c"]
    assert (result.status, result.blocked_by) == ("skipped", "a")
    assert result.message == "the checks that failed took all the time"
