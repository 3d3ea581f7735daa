"""The circumstances of a failure, as facts: what was expected, and what had been done.
What was seen of the program itself is in the finding.

Likely causes are chosen by these facts and the finding's, never by our wording.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any


@dataclass
class Circumstances:
    """What a session knows. A fact that does not hold, or is not known, is false,
    empty, or None."""

    # What was expected, in one word: listening, connection, line, answer, end, exit,
    # refusal, idle, descriptors, memory, input, output, …
    expected: str = ""
    # What was being tried, where a check tries several things in turn.
    during: str = ""

    # What had happened before.
    someone_came: bool = False
    someone_left: bool = False
    was_stopped: bool = False
    was_restarted: bool = False

    # For a program that was given something to refuse, or that should have ended.
    given: str | None = None
    goes_on: bool = False
    has_exited: bool = False
    error_lines: int | None = None  # [ERROR] lines on standard error
    error_on_stdout: bool = False

    # Where it listens instead, and whether that is a port that the kernel chose, the
    # right port with its bytes swapped, or the very port that is taken already.
    listens_on: list[int] = field(default_factory=list)
    kernel_chose: bool = False
    bytes_are_swapped: bool = False
    is_the_same_port: bool = False

    # A line that it should print.
    nothing_printed: bool = False
    on_stderr: bool = False
    too_often: bool = False
    waits_for_accept: bool = False  # the client that the line is about

    # Wrong bytes: the offset of the first one, how many bytes too many came (negative:
    # too few), and whether everything due came before them.
    offset: int | None = None
    surplus: int = 0
    all_came_before: bool = False

    def forget_outcome(self) -> None:
        """Reset what one failed expectation noted; keep what has happened."""
        fresh = Circumstances()
        for one in fields(self):
            if one.name not in _LASTING:
                setattr(self, one.name, getattr(fresh, one.name))

    def as_facts(self) -> dict[str, Any]:
        """All facts, by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


_LASTING = ("during", "someone_came", "someone_left", "was_stopped", "was_restarted")
