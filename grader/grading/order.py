"""The order in which checks begin."""

from __future__ import annotations

from collections.abc import Collection

from grader.course import Check


def untried_needs(checks: dict[str, Check], chosen: Collection[str]) -> list[str]:
    """The ids of those CHECKS that the CHOSEN ones build on, but that are not chosen
    themselves."""
    needs = (id for chosen_id in chosen for id in checks[chosen_id].needs)
    return [id for id in dict.fromkeys(needs) if id not in chosen]


def in_order(checks: dict[str, Check], first: Collection[str]) -> dict[str, Check]:
    """CHECKS in the order in which to try them: first those that FIRST names, each
    after what it builds on, and then the others."""
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
    """For each of CHECKS, by id: how many seconds it takes, at the least, until it and
    all that builds on it are done."""
    seconds = {id: check.takes for id, check in checks.items()}
    for id in reversed(list(checks)):
        for needed in checks[id].needs:
            if needed in checks:
                longest = checks[needed].takes + seconds[id]
                seconds[needed] = max(seconds[needed], longest)
    return seconds
