"""What each check is worth, and which requirement it enforces: rubric.toml, read."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Check:
    """One check of a stage. needs are the ids of those it builds on; takes says about
    how many seconds it takes a right program. One that stays is there from the first to
    the last, beside the others."""

    id: str
    title: str
    requirement: str
    points: int
    hint: str
    needs: tuple[str, ...] = ()
    takes: float = 0.2
    stays: bool = False


@dataclass(frozen=True)
class Rubric:
    """A stage's checks, in the order in which they are tried, the text of each
    numbered requirement, and where the lesson has most to say about it."""

    stage: int
    checks: dict[str, Check]
    requirements: dict[str, str]
    sections: dict[str, str]

    @property
    def points(self) -> int:
        """What the whole stage is worth."""
        return sum(check.points for check in self.checks.values())

    def section_of(self, check: Check) -> str:
        """The heading in the stage's README to read on at after CHECK."""
        return self.sections.get(check.requirement, "Requirements")


def _read() -> dict[str, Any]:
    path = Path(__file__).with_name("rubric.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def passes_with() -> float:
    """The percentage of its points that a pull request passes with."""
    return float(_read()["pull_request"]["passes_with"])


def load(stage: int) -> Rubric:
    """The rubric of STAGE."""
    data = _read()[str(stage)]
    checks = [Check(**entry | {"needs": _needs(entry)}) for entry in data["checks"]]
    by_id = {check.id: check for check in checks}
    return Rubric(stage, by_id, data["requirements"], data["sections"])


def _needs(entry: dict[str, Any]) -> tuple[str, ...]:
    needs = entry.get("needs", [])
    return (needs,) if isinstance(needs, str) else tuple(needs)


def select(rubric: Rubric, only: str) -> dict[str, Check]:
    """The checks with the id ONLY, of the theme ONLY, or for the requirement with that
    number; all for ""."""
    return {
        id: check
        for id, check in rubric.checks.items()
        if only in ("", id, id.partition("/")[0], check.requirement)
    }


def names(rubric: Rubric, only: str) -> list[str]:
    """What one can ask for where there is no ONLY: the checks of its theme, if there is
    one of that name, else the themes."""
    theme = only.partition("/")[0]
    return list(select(rubric, theme) if theme else ()) or list(
        dict.fromkeys(id.partition("/")[0] for id in rubric.checks)
    )


def untried_needs(rubric: Rubric, chosen: Collection[str]) -> list[str]:
    """The ids of the checks that the CHOSEN ones build on, and that are not among
    them."""
    needs = (id for chosen_id in chosen for id in rubric.checks[chosen_id].needs)
    return [id for id in dict.fromkeys(needs) if id not in chosen]


def in_order(checks: dict[str, Check], first: Collection[str]) -> dict[str, Check]:
    """CHECKS in the order in which to try them: the ones that FIRST names, each after
    those that it builds on, and then the others."""
    ordered: dict[str, Check] = {}

    def put(id: str) -> None:
        if id in checks and id not in ordered:
            for needed in checks[id].needs:
                put(needed)
            ordered[id] = checks[id]

    for id in (*(id for id in checks if id in first), *checks):
        put(id)
    return ordered


def urgency(checks: dict[str, Check]) -> dict[str, float]:
    """For each of CHECKS, by id, how many seconds have to pass, at the least, from its
    beginning until all that builds on it is done, too."""
    seconds = {id: check.takes for id, check in checks.items()}
    for id in reversed(list(checks)):
        for needed in checks[id].needs:
            if needed in checks:
                longest = checks[needed].takes + seconds[id]
                seconds[needed] = max(seconds[needed], longest)
    return seconds
