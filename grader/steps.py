"""Where a stage's lesson says what comes next: the steps of "The work", read from
the stage's README."""

from __future__ import annotations

import re
from collections.abc import Sequence

from grader.result import Milestone
from grader.submission import REPOSITORY

_STEP = re.compile(r"^(\d+)\. (.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
# How a milestone fails whose function is not there (milestones.h).
_NO_FUNCTION = "there is no function"
_MILESTONES = re.compile(r"\*Milestones?: ([^.]+)\.")


def for_milestones(stage: int) -> dict[str, str]:
    """Which step, or steps, of STAGE's README lead to each milestone: "step 3", or
    "steps 4 to 5" where the first of them has none. Empty without the README."""
    path = REPOSITORY / "stages" / str(stage) / "README.md"
    try:
        readme = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    work = readme.partition("\n## The work\n")[2].partition("\n## ")[0]
    leading: dict[str, str] = {}
    first = 1
    for number, text in _STEP.findall(work):
        last = int(number)
        for names in _MILESTONES.findall(text):
            said = f"step {last}" if first == last else f"steps {first} to {last}"
            leading |= {name: said for name in re.findall(r"`(\w+)`", names)}
            first = last + 1
    return leading


def next_milestone(milestones: Sequence[Milestone], score: int) -> str:
    """The first of MILESTONES that is ahead; "" if there is none, or if its function
    is not there and whoever has left it out does without: has a SCORE, or has passed
    no other. All in main() can get full marks, and is on no ladder."""
    ahead = [one for one in milestones if one.status != "passed"]
    if not ahead:
        return ""
    is_missing = ahead[0].message.startswith(_NO_FUNCTION)
    if is_missing and (score or len(ahead) == len(milestones)):
        return ""
    return ahead[0].name
