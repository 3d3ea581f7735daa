"""The table of likely causes, row by row: what is told of what was seen, and of what
only looks like it. circumstances.toml has both; nothing is graded here."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grader import causes, rubric
from grader.causes import Cause
from grader.failure import Failure, Finding
from grader.submission import REPOSITORY, STAGES
from grader.tests import matrix
from grader.transcript import Line

SEEN: list[dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("circumstances.toml").read_text(encoding="utf-8")
)["seen"]


def _facts(seen: dict[str, Any]) -> dict[str, Any]:
    """What was SEEN, as the table is asked about it."""
    evidence = dict(seen)
    stage, _, id = evidence.pop("check").partition(" ")
    evidence.pop("told")
    words = {
        key: evidence.pop(key, "")
        for key in ("message", "received", "errors", "story", "kind", "says")
    }
    failure = Failure(
        words["message"],
        received=words["received"],
        finding=Finding(words["kind"], words["says"], evidence),
        transcript=[Line(0, "", says) for says in words["story"].splitlines()],
        errors=words["errors"],
    )
    return causes.facts(int(stage), rubric.load(int(stage)).checks[id], failure)


def _first(facts: dict[str, Any]) -> Cause | None:
    return next((cause for cause in causes.table() if cause.explains(facts)), None)


# Each with the facts that the table is asked about, and the row that is told.
KNOWN = [(seen, facts := _facts(seen), _first(facts)) for seen in SEEN]


def _name(seen: dict[str, Any]) -> str:
    return f"{seen['check']} {seen['told'] or 'nothing'}"


@pytest.mark.parametrize(
    "seen, cause",
    [(seen, cause) for seen, _, cause in KNOWN],
    ids=[_name(seen) for seen in SEEN],
)
def test_of_what_was_seen_the_likely_cause_is_told_and_no_other(
    seen: dict[str, Any], cause: Cause | None
) -> None:
    assert (cause.text if cause else "")[: len(seen["told"]) or None] == seen["told"]


ROWS = [pytest.param(cause, id=cause.text[:50]) for cause in causes.table()]


def _unfit(cause: Cause, facts: dict[str, Any]) -> int:
    """How many of the things that CAUSE asks for are not so."""
    asked = cause.when.items()
    return sum(not Cause("", {key: wanted}).explains(facts) for key, wanted in asked)


@pytest.mark.parametrize("cause", ROWS)
def test_each_cause_is_tried_on_what_it_is_about(cause: Cause) -> None:
    assert any(told is cause for _, _, told in KNOWN)


@pytest.mark.parametrize("cause", ROWS)
def test_each_cause_is_tried_on_what_only_looks_like_it(cause: Cause) -> None:
    assert any(_unfit(cause, facts) == 1 for _, facts, _ in KNOWN)


def _headings(stage: int) -> set[str]:
    text = (REPOSITORY / "stages" / str(stage) / "README.md").read_text()
    headings: list[str] = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return set(headings)


def _stages(cause: Cause) -> Iterator[int]:
    """The stages in which CAUSE is told of something here."""
    for seen, _, told in KNOWN:
        if told is cause:
            yield int(seen["check"][0])


@pytest.mark.parametrize("cause", ROWS)
def test_where_a_cause_leads_to_is_a_heading_of_the_lesson(cause: Cause) -> None:
    stages = set(_stages(cause)) | {int(name[0]) for name in cause.shown_by}
    assert stages <= set(STAGES)
    for stage in stages if cause.section else ():
        assert cause.section in _headings(cause.lesson or stage)


def test_only_programs_that_there_are_show_a_cause() -> None:
    shown = {name for cause in causes.table() for name in cause.shown_by}
    assert shown <= {f"{p.stage}/{p.name}" for p in matrix.programs("wrong")}


def test_a_cause_asks_for_the_whole_of_a_fact_or_for_its_being_there() -> None:
    def explains(when: dict[str, Any], **facts: Any) -> bool:
        return Cause("", when).explains(facts)

    assert explains({"kind": "gone"}, kind="gone")
    assert not explains({"kind": "gone"}, kind="gone_again")
    assert explains({"stage": 3, "unread": True}, stage=3, unread=20)
    assert not explains({"unread": True}, unread=0)
    assert explains({"backlog": False}, unread=20)
    assert explains({"status": "0"}, status=0)
    assert not explains({"status": "0"}, kind="lost")
