"""The result that a pull request's own run left, which is not trusted.

Anyone who can edit a workflow can put anything there. So the result is refused unless
it is small, exactly what the schema says, and its sums are right. Of its words, we take
only a line for each check; titles and numbers come from our own rubric.
"""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from grader import course

_LARGEST = 8 << 20
_MOST_CHECKS = 200
_MOST_POINTS = 10_000
_ID = re.compile(r"[a-z0-9_]{1,40}/[a-z0-9_]{1,40}")


class Refused(Exception):
    """This is not a result. The message says why, in our words only."""


@dataclass(frozen=True)
class ReportedCheck:
    """The verdict on one check. status is passed, failed, skipped or error. message,
    and says (what the kernel showed), are words that we do not trust."""

    id: str
    status: str
    points: int
    max_points: int
    message: str
    says: str


@dataclass(frozen=True)
class ReportedStage:
    """One stage; status is graded, build_failed, missing or grader_error."""

    number: int
    status: str
    checks: list[ReportedCheck]

    @property
    def score(self) -> int:
        """The points that were earned."""
        return sum(check.points for check in self.checks)

    @property
    def max_score(self) -> int:
        """The points that the stage is worth."""
        return sum(check.max_points for check in self.checks)

    def ids(self, status: str) -> list[str]:
        """The checks that ended in STATUS."""
        return [check.id for check in self.checks if check.status == status]


def is_id(text: object) -> bool:
    """Whether TEXT can be the id of a check."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def read(folder: Path) -> list[ReportedStage] | None:
    """The stages in FOLDER/result.json; None if there is none. Raises Refused."""
    content = _content(folder / "result.json")
    if content is None:
        return None
    try:
        data = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Refused("it is not JSON, or nested too deeply") from None
    _demand(isinstance(data, dict), "it is not an object")
    _demand(data.get("schema") == "echolab/result/v1", "its schema is a different one")
    stages = [_stage(one) for one in _listed(data, "stages", len(course.stages()))]
    numbers = [stage.number for stage in stages]
    _demand(
        len(set(numbers)) == len(numbers) > 0,
        "a stage is there twice, or there is none",
    )
    _sums_up(data, sum(s.score for s in stages), sum(s.max_score for s in stages))
    return stages


def _content(path: Path) -> bytes | None:
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(path, flags), "rb") as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(_LARGEST + 1) if regular else b""
    except FileNotFoundError:
        return None
    except OSError:
        raise Refused("it is not a file that can be read") from None
    _demand(regular, "it is not a regular file")
    _demand(len(content) <= _LARGEST, f"it is larger than {_LARGEST >> 20} MiB")
    return content


def _stage(data: Any) -> ReportedStage:
    _demand(isinstance(data, dict), "a stage is not an object")
    number = _number(data, "stage", max(course.stages()))
    _demand(number in course.stages(), "it has a stage that does not exist")
    statuses = ("graded", "build_failed", "missing", "grader_error")
    _demand(data.get("status") in statuses, "a stage has an unknown status")
    checks = [_check(one) for one in _listed(data, "checks", _MOST_CHECKS)]
    _demand(len({c.id for c in checks}) == len(checks), "a check is there twice")
    stage = ReportedStage(number, data["status"], checks)
    _sums_up(data, stage.score, stage.max_score)
    return stage


def _check(data: Any) -> ReportedCheck:
    _demand(isinstance(data, dict), "a check is not an object")
    _demand(is_id(data.get("id")), "a check has no proper id")
    statuses = ("passed", "failed", "skipped", "error")
    _demand(data.get("status") in statuses, "a check has an unknown status")
    most = _number(data, "max_points", _MOST_POINTS)
    points = _number(data, "points", most)
    earned = most if data["status"] == "passed" else 0
    _demand(points == earned, "a check's points do not fit its status")
    _demand(isinstance(data.get("message"), str), "a check has no message")
    _demand(isinstance(data.get("evidence"), dict), "a check has no evidence")
    says = data["evidence"].get("says", "")
    _demand(isinstance(says, str), "a check's evidence says nothing")
    return ReportedCheck(
        data["id"], data["status"], points, most, data["message"], says
    )


def _sums_up(data: dict[str, Any], score: int, max_score: int) -> None:
    sums = (data.get("score"), data.get("max_score"))
    _demand(sums == (score, max_score), "its points do not add up")


def _listed(data: dict[str, Any], name: str, most: int) -> list[Any]:
    found = data.get(name)
    _demand(isinstance(found, list), f"it has no list of {name}")
    assert isinstance(found, list)
    _demand(len(found) <= most, f"it has too many {name}")
    return found


def _number(data: dict[str, Any], name: str, most: int) -> int:
    found = data.get(name)
    _demand(type(found) is int and 0 <= found <= most, f"a {name} is out of bounds")
    assert isinstance(found, int)
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Refused(otherwise)
