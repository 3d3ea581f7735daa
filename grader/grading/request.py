"""What is to be graded, and how."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from grader import course
from grader.course import DEFAULT_SEED
from grader.grading import submission
from grader.grading.testbed import PATIENCE_SECONDS
from grader.sandbox.isolation import Isolation


@dataclass(frozen=True)
class Request:
    """What is to be graded, and how."""

    folder: Path
    stages: list[int]
    only: str
    seed: int
    isolation: Isolation
    first: tuple[str, ...] = ()  # ids of checks to try before the others
    patience: float = PATIENCE_SECONDS
    jobs: int = 1  # how many checks run at once
    until: float = float("inf")  # when time is up, by time.monotonic()
    milestones: bool = True  # whether they are tried, too
    is_at_hand: bool = True  # whether who reads the report has the folder, too

    def asked_of_make(self) -> str:
        """The variables that `make grade` needs to grade the same in the same way. If
        the reader of the report does not have FOLDER, they do not name it."""
        named = submission.shown_path(self.folder)
        told = []
        if self.is_at_hand and Path.cwd() == course.ROOT and named != "stages":
            told.append(f"SUBMISSION={shlex.quote(named)}")
        if self.seed != DEFAULT_SEED:
            told.append(f"SEED={self.seed}")
        return " ".join(told)
