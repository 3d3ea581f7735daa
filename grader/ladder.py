"""The milestones: Check unit tests of the functions that a stage's header names.

They run the student's functions inside a test process, which a submission could
cheat. So they guide, and carry no points. Even so what they show is what their
own process says: its log is signed with a token that the tests do not see.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time

from grader.build import Workshop
from grader.program import Program
from grader.result import Milestone
from grader.sandbox import CHECK

_SECONDS = 60

# What Check itself says of a function, and what it means.
_IN_OTHER_WORDS = {
    "Test timeout expired": "it was still waiting, or busy, after some seconds",
    "Early exit": "it ended the whole program",
}

# Who has not come to an end there may be waiting for somebody who has left.
_LEFT_ALONE = {"recv_all", "echo_lines"}


def climb(workshop: Workshop, isolation: str) -> list[Milestone]:
    """Each milestone of the submission, in the order of the work; if the unit
    tests cannot be built for it, or do not come to their end, the one failed
    milestone that says so."""
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
        # Not before it has been found: it hides its memory then, and its name, too.
        with contextlib.suppress(BrokenPipeError), open(theirs, "w") as secret:
            secret.write(token)
        how = _wait(program)
    finally:
        program.stop()
    found = parse(program.output.text(), token)
    return found or [Milestone("the unit tests come to their end", "failed", how)]


def _wait(program: Program) -> str:
    """Wait until the unit tests have ended: how they did."""
    end = time.monotonic() + _SECONDS
    while not program.ended() and time.monotonic() < end:
        time.sleep(0.002)
    if not program.ended():
        return f"the unit tests were not done after {_SECONDS} seconds"
    return f"the unit tests ended before they were done: the program {program.ending()}"


def parse(log: str, token: str) -> list[Milestone]:
    """The milestones in the lines of the LOG that TOKEN signs: one for each test,
    with the function it is about, and what failed; none if the end is missing."""
    if not re.search(rf"^{token} end$", log, re.MULTILINE):
        return []
    found = []
    line = re.compile(rf"^{token} (passed|failed) (\w+) (.*)$", re.MULTILINE)
    for status, name, said in line.findall(log):
        for theirs, ours in _IN_OTHER_WORDS.items():
            said = ours if said.startswith(theirs) else said
        if name in _LEFT_ALONE and said == _IN_OTHER_WORDS["Test timeout expired"]:
            said += "; the server may leave early, and that has to end it, too"
        found.append(Milestone(name, status, said))
    return found
