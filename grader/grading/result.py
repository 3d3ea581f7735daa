"""The result of a grading: one structure, which every report is a view of.

It grows during the grading, and is written each time, so that what was known is there
whatever happens. Schema: echolab/result/v1.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from grader import VERSION
from grader.errors import CannotGrade
from grader.lessons.lesson import Part


@dataclass
class CheckResult:
    """The verdict on one check. status: passed, failed, skipped or error. details is
    the lesson as plain text, and lesson are its parts (see lesson.Part)."""

    id: str
    title: str
    requirement: str
    max_points: int
    status: str = "skipped"
    points: int = 0
    seconds: float = 0.0
    message: str = ""
    details: str = ""
    lesson: list[Part] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)
    hint: str = ""
    blocked_by: str = ""


@dataclass
class Milestone:
    """One unit test of the student's functions. status: passed, failed, skipped."""

    name: str
    status: str
    message: str = ""


@dataclass
class StageResult:
    """One stage. status: graded, build_failed, missing or grader_error (which it also
    is until the stage is done)."""

    stage: int
    max_score: int
    status: str = "grader_error"
    build: dict[str, Any] = field(
        default_factory=lambda: {"ok": False, "seconds": 0.0, "output": ""}
    )
    milestones: list[Milestone] = field(default_factory=list)
    checks: list[CheckResult] = field(default_factory=list)

    @property
    def score(self) -> int:
        """The points that were earned."""
        return sum(check.points for check in self.checks)


@dataclass
class Result:
    """The result of one grading."""

    seed: int
    isolation: str
    stages: list[StageResult] = field(default_factory=list)
    seconds: float = 0.0
    started: str = field(
        default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds")
    )

    @property
    def score(self) -> int:
        """The points of all graded stages."""
        return sum(stage.score for stage in self.stages)

    @property
    def max_score(self) -> int:
        """The points that all graded stages are worth."""
        return sum(stage.max_score for stage in self.stages)

    @property
    def checks(self) -> list[CheckResult]:
        """The checks of all graded stages."""
        return [check for stage in self.stages for check in stage.checks]

    @property
    def failed(self) -> bool:
        """Whether the grader itself failed anywhere."""
        return any(stage.status == "grader_error" for stage in self.stages)

    def as_json(self) -> dict[str, Any]:
        """The result in the form of the result file."""
        stages = []
        for stage in self.stages:
            data = asdict(stage)
            stages.append({"stage": data.pop("stage"), "score": stage.score, **data})
        return {
            "schema": "echolab/result/v1",
            "score": self.score,
            "max_score": self.max_score,
            "stages": stages,
            "seed": self.seed,
            "isolation": self.isolation,
            "grader": VERSION,
            "started": self.started,
            "seconds": round(self.seconds, 2),
        }


def write(path: Path, text: str) -> None:
    """Put TEXT into PATH, whole or not at all. Raises CannotGrade if that fails."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:  # also an interrupt, which may come after the last step
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise
    except OSError as error:
        raise CannotGrade(f"cannot write {path}: {error.strerror}") from None


def write_json(path: Path, result: Result) -> None:
    """Write RESULT to PATH. Raises CannotGrade if that fails."""
    text = json.dumps(result.as_json(), indent=1, ensure_ascii=True)
    write(path, text + "\n")


def read(path: Path) -> dict[str, Any]:
    """The result file PATH, as JSON. Raises CannotGrade if there is none, or if it is
    no grade: what a failed grader did not try would count as 0."""
    try:
        result: dict[str, Any] = json.loads(path.read_bytes())
        statuses = [stage["status"] for stage in result["stages"]]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        raise CannotGrade("the grader left no result") from None
    if not statuses or "grader_error" in statuses:
        raise CannotGrade("the grader did not finish")
    return result
