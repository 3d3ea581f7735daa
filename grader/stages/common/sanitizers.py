"""What AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer report, and what
depends on memory that was never set.

Nothing else is judged here: other checks cover whatever else goes wrong on the tour.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from grader.grading.testbed import Testbed
from grader.harness import wording
from grader.harness.failure import Failure
from grader.harness.finding import Finding
from grader.harness.session import Session
from grader.lessons.sanitizer import Report, first_report

# LeakSanitizer stops the program with ptrace, which some containers forbid.
_LOOKED, _LOOKING_SECONDS = "[looked for leaks]", 30.0
_REPORT_CHARACTERS = 16_000
_CANNOT_LOOK = "LeakSanitizer has encountered a fatal error"

# How often each build is tried. A program that fails half of all tours by chance would
# have to do so in the filled build alone, every time: that happens in one run of 256.
_TIMES = 4


@contextlib.contextmanager
def expect_no_report(session: Session) -> Iterator[None]:
    """Expect the tour inside to pass without a sanitizer's report."""
    try:
        yield
    except Failure:
        session.went_wrong = True
    if session.program.ended():
        session.program.all_output_read()
    errors = session.program.errors.text()
    report = first_report(errors, f"{session.program.name}.c")
    if not report or _CANNOT_LOOK in errors:
        return
    finding = Finding(
        "sanitizer",
        "The sanitizers report",
        reported=report.says,
        report=report.text[:_REPORT_CHARACTERS],
        mistake=report.mistake,
        function=report.function,
    )
    raise Failure(
        "the sanitizers report that memory is misused",
        "no report of AddressSanitizer and UndefinedBehaviorSanitizer",
        _way(report),
        finding,
        session.transcript.lines(""),
        timeline=session.transcript.as_data(),
    )


def _way(report: Report) -> str:
    """The student's calls that led there, unless the report already says it all."""
    if not report.frames:
        return report.text.splitlines()[0]
    return "\n".join(report.frames) if len(report.frames) > 1 else ""


def leak_signal(session: Session) -> None:
    """Have a program that never exits look for leaks (see ask_for_leaks.c), and wait
    until it has done so."""
    session.note("the grader", "looks for memory that was leaked")
    session.program.signal(signal.SIGRTMAX - 1)
    end = time.monotonic() + _LOOKING_SECONDS
    while _LOOKED not in session.program.errors.text() and time.monotonic() < end:
        if session.program.ended():
            return
        session.run_for(0.01)


def expect_the_same_filled(
    testbed: Testbed, sanitized: Sequence[Session], tour: Callable[[str], None]
) -> None:
    """Expect TOUR to pass with the filled build if it passes with the plain one: a
    right program does not depend on memory that was never set. TOUR takes the name of
    the build. Both are tried in turn, so that what fails by chance is not mistaken for
    that. (The SANITIZED sessions had rubbish there, too: if all went well in them, it
    would here.)"""
    if (
        not any(session.went_wrong for session in sanitized)
        or not testbed.can_be_filled()
    ):
        return
    if not (failure := _failure_when_filled(tour)):
        return
    reported = failure.message
    if seen := failure.finding:
        witness = f"{seen.witness[0].lower()}{seen.witness[1:]}"
        reported += f"; {witness}: {wording.says(seen)}"
    raise replace(
        failure,
        message="it depends on memory that it has never set",
        expected="the same behaviour, whatever that memory holds "
        "(gcc -ftrivial-auto-var-init=pattern, MALLOC_PERTURB_)",
        received=f"{failure.message}, but only in this build",
        finding=Finding("never_set", "The other build shows", reported=reported),
    )


def _failure_when_filled(tour: Callable[[str], None]) -> Failure | None:
    """How TOUR fails, if it fails every time with the filled build and never with the
    plain one; else None."""
    failure = None
    for _ in range(_TIMES):
        failure = _failure_of(tour, "filled")
        if not failure or _failure_of(tour, "plain"):
            return None
    return failure


def _failure_of(tour: Callable[[str], None], built: str) -> Failure | None:
    try:
        tour(built)
    except Failure as failure:
        return failure
    return None
