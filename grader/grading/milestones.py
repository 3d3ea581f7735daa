"""The milestones: Check unit tests of the functions that a stage's header names.

They run the student's functions in the process of the tests, which a submission could
tamper with. So they guide, and carry no points. Even so their log cannot be forged
easily: it is signed with a token that the tests do not see.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time

from grader.grading.build import Workshop
from grader.grading.result import Milestone
from grader.sandbox.cell import CHECK
from grader.sandbox.isolation import Isolation
from grader.sandbox.program import Program

_SECONDS = 60

# What Check's own messages mean.
_IN_OTHER_WORDS = {
    "Test timeout expired": "it was still waiting, or busy, after some seconds",
    "Early exit": "it ended the whole program",
}


def run(workshop: Workshop, isolation: Isolation) -> list[Milestone]:
    """The milestones of the submission, in the order of the work. If the unit tests
    cannot be built, or do not finish, there is one failed milestone that says so."""
    built = workshop.build_milestones()
    if built.program is None:
        message = built.output.splitlines()[:1]
        return [Milestone("the unit tests can be linked", "failed", "".join(message))]
    token = secrets.token_hex(16)
    ours, theirs = os.pipe()
    try:
        program = Program(
            built.program, (), isolation, name="milestones", terminal=False,
            stdin=ours, libraries=CHECK,
        )  # fmt: skip
    except BaseException:
        os.close(theirs)
        raise
    finally:
        os.close(ours)
    try:
        # Only now that its process was found: it hides when it has the token.
        with contextlib.suppress(BrokenPipeError), open(theirs, "w") as secret:
            secret.write(token)
        how = _wait(program)
    finally:
        program.stop()
    found = parse(program.output.text(), token)
    return found or [Milestone("the unit tests come to their end", "failed", how)]


def _wait(program: Program) -> str:
    """Wait until the unit tests have ended. Returns how they did, in words."""
    end = time.monotonic() + _SECONDS
    while not program.ended() and time.monotonic() < end:
        time.sleep(0.002)
    if not program.ended():
        return f"the unit tests were not done after {_SECONDS} seconds"
    return f"the unit tests ended before they were done: the program {program.ending()}"


def parse(log: str, token: str) -> list[Milestone]:
    """The milestones in those lines of LOG that begin with TOKEN: one for each test,
    with its function, and what failed. There are none if the last line is missing."""
    if not re.search(rf"^{token} end$", log, re.MULTILINE):
        return []
    found = []
    line = re.compile(rf"^{token} (passed|failed) (\w+) (.*)$", re.MULTILINE)
    for status, name, said in line.findall(log):
        for theirs, ours in _IN_OTHER_WORDS.items():
            if said.startswith(theirs):  # the stage's own words follow a semicolon
                said = ours + "".join(said.partition(";")[1:])
        found.append(Milestone(name, status, said))
    return found
