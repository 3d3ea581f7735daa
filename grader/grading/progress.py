"""Who is told how a grading goes on."""

from __future__ import annotations

from typing import Protocol

from grader.course import Check
from grader.grading.result import CheckResult, StageResult


class Progress(Protocol):
    """Is told how the grading goes on: the terminal, for one."""

    def stage_begins(self, stage: StageResult, shown: str) -> None:
        """The grading of a stage begins; SHOWN is the path of its source."""

    def built(self, stage: StageResult) -> None:
        """The stage was built, or could not be."""

    def milestones_done(self, stage: StageResult) -> None:
        """Its milestones are known, if they were asked for. The checks follow."""

    def checks_begin(self, under_way: list[Check], done: int) -> None:
        """UNDER_WAY are the checks in progress, the oldest first; DONE is how many are
        done."""

    def check_ends(self, check: CheckResult) -> None:
        """The verdict on CHECK is known. They come in the order of the report."""

    def stage_ends(self, stage: StageResult) -> None:
        """The grading of a stage is done."""
