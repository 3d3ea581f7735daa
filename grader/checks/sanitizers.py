"""What AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer report, and what
depends on memory that was never set.

Only that is judged here: whatever else goes wrong on the tour has a check of its own.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from grader.bench import Bench
from grader.failure import Failure, Finding
from grader.sanitizer import Report, first_report
from grader.scene import Scene

# LeakSanitizer stops the program with ptrace, which some containers forbid.
_LOOKED, _LOOKING_SECONDS = "[looked for leaks]", 30.0
_REPORT_CHARACTERS = 16_000
_CANNOT_LOOK = "LeakSanitizer has encountered a fatal error"


@contextlib.contextmanager
def expect_no_report(scene: Scene) -> Iterator[None]:
    """Expect the tour inside to pass without a sanitizer's report."""
    try:
        yield
    except Failure:
        scene.went_wrong = True
    if scene.program.ended():
        scene.program.all_output_read()
    errors = scene.program.errors.text()
    report = first_report(errors)
    if not report or _CANNOT_LOOK in errors:
        return
    evidence = {"report": report.text[:_REPORT_CHARACTERS]}
    witness = "The sanitizers report"
    raise Failure(
        "the sanitizers see wrong use of memory",
        "no report of AddressSanitizer and UndefinedBehaviorSanitizer",
        _way(report),
        Finding("sanitizer", report.says, evidence, witness),
        scene.transcript.lines(""),
        picture=scene.transcript.as_data(),
    )


def _way(report: Report) -> str:
    """By which calls of the student's it came there, where that is not said anyhow."""
    if not report.frames:
        return report.text.splitlines()[0]
    return "\n".join(report.frames) if len(report.frames) > 1 else ""


def leak_signal(scene: Scene) -> None:
    """Have a program that never exits look for leaks (see ask_for_leaks.c), and
    wait until it has."""
    scene.note("the grader", "asks for memory that is lost")
    scene.program.signal(signal.SIGRTMAX - 1)
    end = time.monotonic() + _LOOKING_SECONDS
    while _LOOKED not in scene.program.errors.text() and time.monotonic() < end:
        if scene.program.ended():
            return
        scene.let_pass(0.01)


def expect_the_same_filled(
    bench: Bench, sanitized: Sequence[Scene], tour: Callable[[str], None]
) -> None:
    """Expect TOUR, which is told how the program is to be built, to pass with the
    filled build if it passes with the plain one: to a right program it is all the same
    what is in memory that was never set. (Those that were SANITIZED had rubbish there,
    too: where all went well then, it would now.)"""
    if not any(scene.went_wrong for scene in sanitized) or not bench.can_be_filled():
        return
    failure = _failure_of(tour, "filled")
    if not failure or _failure_of(tour, "plain") or not _failure_of(tour, "filled"):
        return  # nothing, or something that has nothing to do with it
    says = f"so built, {failure.message}"
    if seen := failure.finding:
        says += f"; {seen.witness[0].lower()}{seen.witness[1:]}: {seen.says}"
    raise replace(
        failure,
        message="it depends on what is in memory that it has never set",
        expected="no difference where something else is in there "
        "(gcc -ftrivial-auto-var-init=pattern, MALLOC_PERTURB_)",
        received=f"{failure.message}, and without that it is right",
        finding=Finding("never_set", says, witness="The other build shows"),
    )


def _failure_of(tour: Callable[[str], None], built: str) -> Failure | None:
    try:
        tour(built)
    except Failure as failure:
        return failure
    return None
