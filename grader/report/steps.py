"""What comes next, according to a stage's lesson: the steps under "The work", read from
the stage's README."""

from __future__ import annotations

import re
from collections.abc import Sequence

from grader import course
from grader.grading.result import Milestone

_STEP = re.compile(r"^(\d+)\. (.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
# How a milestone fails whose function is not there (milestones.h).
_NO_FUNCTION = "there is no function"
_MILESTONES = re.compile(r"\*Milestones?: ([^.]+)\.")


def for_milestones(stage: int) -> dict[str, str]:
    """By milestone, the step or steps of STAGE's README that lead to it: "step 3", or
    "steps 4 to 5" if step 4 has no milestone of its own. Empty if there is no README.
    """
    readme = course.stage(stage).lesson
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
    """The first of MILESTONES that has not passed yet; "" if there is none. Also "" if
    its function is missing and the student seems to do without: has a SCORE above 0, or
    has passed no milestone. A program that is all in main() can get full marks."""
    ahead = [one for one in milestones if one.status != "passed"]
    if not ahead:
        return ""
    is_missing = ahead[0].message.startswith(_NO_FUNCTION)
    if is_missing and (score or len(ahead) == len(milestones)):
        return ""
    return ahead[0].name
