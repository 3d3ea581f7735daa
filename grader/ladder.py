"""The milestones: Check unit tests of the functions that a stage's header names.

They run the student's functions inside a test process, which a submission could
cheat. So they guide, and carry no points.
"""

from __future__ import annotations

import re
import time

from grader.build import Workshop
from grader.program import Program
from grader.result import Milestone

_SECONDS = 60
_LINE = re.compile(r"^(ok|not ok) \d+ - [^:]*:(\w+):\w+: (.*)$", re.MULTILINE)

# What Check itself says of a function, and what it means.
_IN_OTHER_WORDS = {
    "Test timeout expired": "it was still waiting, or busy, after some seconds",
    "Early exit": "it ended the whole program",
}


def climb(workshop: Workshop, isolation: str) -> list[Milestone]:
    """Each milestone of the submission, in the order of the work; none if the
    unit tests cannot be built for it."""
    built = workshop.build_milestones()
    if built.program is None:
        message = built.output.splitlines()[:1]
        return [Milestone("the unit tests can be linked", "failed", "".join(message))]
    program = Program(built.program, ["/dev/stdout"], isolation, name="milestones")
    try:
        end = time.monotonic() + _SECONDS
        while not program.ended() and time.monotonic() < end:
            time.sleep(0.002)
    finally:
        program.stop()
    return parse(program.output.text())


def parse(tap: str) -> list[Milestone]:
    """The milestones in what Check's TAP log says: one line for each test, with
    the function it is about, and what failed."""
    found = []
    for ok, name, said in _LINE.findall(tap):
        for theirs, ours in _IN_OTHER_WORDS.items():
            said = ours if said.startswith(theirs) else said
        passed = ok == "ok"
        found.append(Milestone(name, *(("passed", "") if passed else ("failed", said))))
    return found
