"""Picks the likely cause of a failure from what was seen: stages/N/causes.toml.

Causes that several stages share are in stages/common/causes.toml, each under a name.
Each stage's own file says where in its order they come.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from grader.course import STAGES, Check, Stage
from grader.errors import CannotGrade
from grader.harness.failure import Failure
from grader.harness.finding import Finding, Watched

# The one fact whose text the student wrote: search it only with a pattern.
_STUDENTS_TEXT = "errors"


@dataclass(frozen=True)
class Cause:
    """One likely cause.

    when maps the name of a fact (facts()) to the value it must have (fits()). section
    is the heading of the lesson to read next (in stage LESSON, if that is not 0).
    shown_by names wrong programs of this stage that are told this cause.
    """

    text: str
    when: dict[str, Any]
    shown_by: tuple[str, ...] = ()
    section: str = ""
    lesson: int = 0

    def explains(self, facts: Mapping[str, Any]) -> bool:
        """Whether FACTS meets every condition in when."""
        return all(fits(facts.get(key), wanted) for key, wanted in self.when.items())


def fits(fact: Any, wanted: Any) -> bool:
    """Whether FACT matches WANTED, which can be:

    true, false     whether the fact is present and holds
    a number        the same number
    a string        the same string, or one that fits the pattern ("epoll_*"); in a
                    list, one item must fit
    a list          any of its items
    {not = …}       anything else
    {least = N}     a number that is N or more
    {matches = …}   the student's text, if the regular expression is found in it
    """
    if isinstance(wanted, bool):
        return bool(fact) == wanted
    if isinstance(wanted, dict):
        ((how, what),) = wanted.items()
        if how == "not":
            return not fits(fact, what)
        if how == "least":
            return fact is not None and bool(fact >= what)
        return re.search(what, str(fact), re.MULTILINE) is not None
    if isinstance(wanted, list):
        return any(fits(fact, one) for one in wanted)
    if isinstance(fact, list):
        return any(fits(item, wanted) for item in fact)
    if isinstance(wanted, str):
        return fact is not None and fnmatchcase(str(fact), wanted)
    return bool(fact == wanted) and not isinstance(fact, bool)


def likely(stage: Stage, check: Check, failure: Failure) -> Cause | None:
    """The likely cause of FAILURE, which ended CHECK of STAGE; None if what was seen is
    not enough to tell."""
    known = facts(check, failure)
    found = next((cause for cause in table(stage) if cause.explains(known)), None)
    return replace(found, text=found.text.format_map(known)) if found else None


def facts(check: Check, failure: Failure) -> dict[str, Any]:
    """All facts about FAILURE, which ended CHECK: the circumstances, the finding, and
    what the program wrote on its standard error (errors)."""
    finding = failure.finding or Finding("")
    seen = {one.name: getattr(finding, one.name) for one in fields(finding)}
    return {
        **failure.circumstances.as_facts(),
        **seen,
        **finding.as_data(),
        "is_watched": _yes_or_no(finding.watched),
        "watched_for": finding.watched.names if finding.watched else None,
        "listener_watched_for": finding.listener.names if finding.listener else None,
        "watches": sum(map(len, (finding.instances or {}).values())),
        "instances": len(finding.instances or {}),
        "check": check.id,
        _STUDENTS_TEXT: failure.errors,
    }


def _yes_or_no(watched: Watched | None) -> str | None:
    """Whether epoll watches the descriptor concerned; None if we do not know."""
    if watched is None:
        return None
    return "no" if watched.events is None else "yes"


@functools.cache
def table(stage: Stage) -> list[Cause]:
    """The causes of STAGE, in order: the first that fits is the likely one. Raises
    CannotGrade, with one line that says what is wrong with the file."""
    path = stage.judge / "causes.toml"
    return read(path) if path.is_file() else []


def read(path: Path) -> list[Cause]:
    """The causes in the file PATH. Raises CannotGrade, like table()."""
    try:
        return [_cause(row) for row in _read(path)["causes"]]
    except KeyError as error:
        said = f"there is no {error}"
    except (OSError, TypeError, ValueError) as error:
        said = str(error).replace("Cause.__init__()", "a cause")
    raise CannotGrade(f"{path}: {said}") from None


def _cause(row: dict[str, Any]) -> Cause:
    name = row.pop("common", None)
    row = (_common()[name] if name else {}) | row
    row["shown_by"] = tuple(row.get("shown_by", ()))
    cause = Cause(**row)
    for key, wanted in cause.when.items():
        if key not in known():
            raise ValueError(f"there is no fact {key!r}")
        if key != _STUDENTS_TEXT and "'matches'" in repr(wanted):
            raise ValueError(f"{key} is not the student's text, and is not matched")
    return cause


@functools.cache
def known() -> frozenset[str]:
    """The names of all facts."""
    found = facts(Check("", "", "", 0, ""), Failure(""))
    # Present only while a client is in that state.
    return frozenset(found) | {"awaited", "left_open", "read_and_unanswered", "unread"}


@functools.cache
def _common() -> dict[str, dict[str, Any]]:
    return _read(STAGES / "common" / "causes.toml")


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))
