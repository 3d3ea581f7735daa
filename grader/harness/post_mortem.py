"""What is known of a program that has ended."""

from __future__ import annotations

import time

from grader.errors import CannotGrade
from grader.harness.circumstances import Circumstances
from grader.harness.finding import Finding
from grader.kernel import procfs
from grader.sandbox.program import Program, signal_name

# A program that has closed a connection may be about to end. It gets this long, in
# seconds, to do so. One found asleep this many times in a row is not about to end.
_LAST_MOMENTS_SECONDS, _LOOK_SECONDS, _LOOKS_ASLEEP = 2.0, 0.005, 5


def gone(program: Program, seen: Finding | None = None) -> Finding:
    """The finding that PROGRAM has ended, with what was due according to SEEN, an
    earlier finding, if there is one. Raises CannotGrade if the end may not have been
    the program's own fault."""
    if program.starved():
        raise CannotGrade("the kernel had no memory left, and killed the program")
    if program.over_limit:
        finding = Finding("over_limit", bound=program.over_limit)
    else:
        status = program.status() or 0
        signal = signal_name(-status) if status < 0 else ""
        finding = Finding("gone", status=status, signal=signal)
    if seen:
        finding.due, finding.came = seen.due, seen.came
        finding.first_due, finding.hung_up = seen.first_due, seen.hung_up
    return finding


def is_ending(program: Program) -> bool:
    """Whether PROGRAM has ended, or does so within moments."""
    end, asleep = time.monotonic() + _LAST_MOMENTS_SECONDS, 0
    while not program.ended() and time.monotonic() < end and asleep < _LOOKS_ASLEEP:
        tasks = procfs.tasks(program.pid or 0)
        ending = not tasks or any(task.state != "S" for task in tasks)
        asleep = 0 if ending else asleep + 1
        time.sleep(_LOOK_SECONDS)
    return program.ended()


def error_lines(program: Program, circumstances: Circumstances) -> str:
    """The [ERROR] lines of PROGRAM, which has ended, in words. Also put down in
    CIRCUMSTANCES."""
    program.all_output_read()
    marked, printed = (
        sum(line.startswith("[ERROR]") for line in stream.text().splitlines())
        for stream in (program.errors, program.output)
    )
    circumstances.has_exited = (program.status() or 0) >= 0
    circumstances.error_lines = marked
    circumstances.error_on_stdout = not marked and bool(printed)
    if marked == 1:
        return "with an [ERROR] line"
    if marked:
        return f"with {marked} [ERROR] lines"
    elsewhere = " (there is one on standard output)" if printed else ""
    return f"without an [ERROR] line on standard error{elsewhere}"
