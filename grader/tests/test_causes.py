"""The table of likely causes, row by row: the cause shown for what was seen, and for
what only looks like it. circumstances.toml has both; nothing is graded here."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from grader import course
from grader.course import ROOT
from grader.errors import CannotGrade
from grader.harness.failure import Failure
from grader.harness.finding import Finding
from grader.lessons import causes
from grader.lessons.causes import Cause
from grader.tests import programs
from grader.tests.test_programs import SHOWN_ALONE

SEEN: list[dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("circumstances.toml").read_text(encoding="utf-8")
)["seen"]


NOTHING = Failure("", finding=Finding(""))


def _facts(seen: dict[str, Any]) -> dict[str, Any]:
    """What was SEEN, as the facts that causes ask about."""
    stage, id = _of(seen)
    facts = causes.facts(course.stage(stage).checks[id], NOTHING)
    said = {key: fact for key, fact in seen.items() if key not in ("check", "told")}
    assert set(said) <= causes.known(), seen
    return facts | said


def _of(seen: dict[str, Any]) -> tuple[int, str]:
    """The stage and the check where this was SEEN."""
    stage, _, id = seen["check"].partition(" ")
    return int(stage), id


def _first(seen: dict[str, Any], facts: dict[str, Any]) -> Cause | None:
    table = causes.table(course.stage(_of(seen)[0]))
    return next((cause for cause in table if cause.explains(facts)), None)


# Each entry with the facts that the table is asked about, and the row that it chooses.
KNOWN = [(seen, facts := _facts(seen), _first(seen, facts)) for seen in SEEN]


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


TABLES = {number: causes.table(stage) for number, stage in course.stages().items()}

# Keyed by their text: rows that stages share are in several tables.
ROWS = {cause.text: cause for table in TABLES.values() for cause in table}


def _unfit(cause: Cause, facts: dict[str, Any]) -> int:
    """How many of the conditions of CAUSE do not hold."""
    asked = cause.when.items()
    return sum(not Cause("", {key: wanted}).explains(facts) for key, wanted in asked)


@pytest.mark.parametrize("text", ROWS, ids=[text[:50] for text in ROWS])
def test_each_cause_is_tried_on_what_it_is_about(text: str) -> None:
    assert any(told and told.text == text for _, _, told in KNOWN)


@pytest.mark.parametrize("text", ROWS, ids=[text[:50] for text in ROWS])
def test_each_cause_is_tried_on_what_only_looks_like_it(text: str) -> None:
    assert any(_unfit(ROWS[text], facts) == 1 for _, facts, _ in KNOWN)


SHOWN = {cause.text for table in TABLES.values() for cause in table if cause.shown_by}


@pytest.mark.parametrize("text", ROWS, ids=[text[:50] for text in ROWS])
def test_each_cause_is_shown_by_a_wrong_program(text: str) -> None:
    is_shown_alone = text.startswith(tuple(SHOWN_ALONE))
    assert (text in SHOWN) != is_shown_alone


def _headings(stage: int) -> set[str]:
    text = (ROOT / "stages" / str(stage) / "README.md").read_text()
    headings: list[str] = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return set(headings)


@pytest.mark.parametrize("number", TABLES)
def test_where_a_cause_leads_to_is_a_heading_of_the_lesson(number: int) -> None:
    for cause in TABLES[number]:
        if cause.section:
            assert cause.section in _headings(cause.lesson or number), cause.text


@pytest.mark.parametrize("number", TABLES)
def test_only_programs_that_there_are_show_a_cause(number: int) -> None:
    shown = {name for cause in TABLES[number] for name in cause.shown_by}
    assert shown <= {p.name for p in programs.programs("wrong") if p.stage == number}


@pytest.mark.parametrize(
    "wanted, yes, no",
    [
        ("gone", "gone", "gone_again"),
        (True, 20, 0),
        (False, None, "there"),
        (0, 0, None),
        (0, 0, False),
        ("epoll_*", "epoll_wait", "poll"),
        (["lost", "forgot"], "forgot", "sleeping"),
        ("EPOLLET", ["EPOLLIN", "EPOLLET"], ["EPOLLIN"]),
        ({"not": "EPOLLIN"}, ["EPOLLOUT"], ["EPOLLIN", "EPOLLOUT"]),
        ({"not": ["a", "b"]}, "c", "b"),
        ({"least": 2}, 2, 1),
        ({"least": 1}, 1, None),
        ({"matches": "^bind:"}, "[INFO] up\nbind: in use", "who binds?"),
        ({"not": {"matches": "free"}}, "assertion", "free(): invalid"),
    ],
)
def test_what_is_wanted_of_a_fact(wanted: Any, yes: Any, no: Any) -> None:
    assert causes.fits(yes, wanted) and not causes.fits(no, wanted)


@pytest.mark.parametrize(
    "row, says",
    [
        ('when = { message = "x" }', "there is no fact 'message'"),
        ('when = { kind = { matches = "x" } }', "kind is not the student's text"),
        ("when = {}\nif = 1", "if"),
        ('common = "nothing"', "nothing"),
    ],
)
def test_a_cause_that_cannot_be_is_refused(tmp_path: Path, row: str, says: str) -> None:
    (tmp_path / "causes.toml").write_text(f'[[causes]]\ntext = "It."\n{row}\n')
    with pytest.raises(CannotGrade, match=says):
        causes.read(tmp_path / "causes.toml")
