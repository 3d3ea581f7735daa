"""A check's story, sorted for a picture: whose lanes there are, and what happened in
which order. picture.py decides where everything goes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from grader import course
from grader.harness.transcript import named
from grader.text import in_bytes

# More lanes than this are hard to follow: the other clients of a crowd share a row.
_LANES = 6

_VERDICTS = {"passed": "it holds", "failed": "the verdict: it does not hold"}


@dataclass
class Row:
    """One moment. who does something; bytes is the number of bytes involved, and data
    shows the first of them (as in C, without the quotes). left_out is the number of
    steps that are not shown. kind: step, left_out, asleep (the program has gone to
    sleep) or verdict."""

    kind: str = "step"
    ms: float | None = None
    who: str = ""
    does: str = ""
    bytes: int = 0
    data: str = ""
    left_out: int = 0

    @property
    def words(self) -> str:
        """What happens, without who does it and without the bytes themselves."""
        if self.left_out:
            return (
                f"{self.left_out} {'step' if self.left_out == 1 else 'steps'} left out"
            )
        return f"{self.does} {in_bytes(self.bytes)}" if self.bytes else self.does


@dataclass
class Timeline:
    """lanes begins with the program's. sleeps has the times when the program was seen
    asleep, from and to, in ms. others is the number of clients without a lane."""

    lanes: list[str]
    rows: list[Row] = field(default_factory=list)
    sleeps: list[tuple[float, float]] = field(default_factory=list)
    others: int = 0


def timeline(stage: int, check: dict[str, Any]) -> Timeline | None:
    """The timeline of CHECK, from the result of STAGE; None if it has no story."""
    evidence = check.get("evidence") or {}
    story = list(_dicts(evidence.get("story")))
    if not story:
        return None
    program = course.stage(stage).under_test
    about = f"{check.get('message', '')} {evidence.get('says', '')}"
    lanes, clients = _lanes(program, story, about)
    # The story may not have kept everyone in a crowd. The program has a name, too.
    has_named = any(entry.get("who") == program for entry in story)
    clients = max(clients, int(_number(evidence, "names") or 0) - has_named)
    others = clients - (len(lanes) - 1)
    drawn = Timeline(lanes, _folded(_rows(story, lanes)), others=others)
    for sleep in _dicts(evidence.get("asleep")):
        since, until = _number(sleep, "from_ms"), _number(sleep, "to_ms")
        if since is not None and until is not None and since <= until:
            _put_to_sleep(drawn, since, until, str(sleep.get("in", "")))
    ended = _number(evidence, "ended_ms")
    verdict = _VERDICTS.get(str(check.get("status")))
    if verdict and ended is not None:
        drawn.rows.append(Row("verdict", ended, does=verdict))
    return drawn


def _dicts(entries: Any) -> Iterator[dict[str, Any]]:
    return (entry for entry in entries or [] if isinstance(entry, dict) and entry)


def _number(data: dict[str, Any], key: str) -> float | None:
    value = data.get(key)
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    return None


def _lanes(
    program: str, story: list[dict[str, Any]], about: str
) -> tuple[list[str], int]:
    """Whose lanes are drawn, and how many clients the STORY has. Clients that the text
    ABOUT names come first, then those that did something last."""
    names = list(dict.fromkeys(str(e["who"]) for e in story if "who" in e))
    clients = [name for name in names if name != program]
    last = list(dict.fromkeys(str(e["who"]) for e in reversed(story) if "who" in e))
    chosen = sorted(
        clients, key=lambda name: (not named(name, about), last.index(name))
    )
    chosen = chosen[: _LANES - 1]
    shown = [name for name in clients if name in chosen]
    return [program, *shown], len(clients)


def _rows(story: list[dict[str, Any]], lanes: list[str]) -> Iterator[Row]:
    for entry in story:
        if "left_out" in entry:
            yield Row("left_out", left_out=int(_number(entry, "left_out") or 0))
        elif str(entry.get("who")) not in lanes:
            yield Row("left_out", left_out=1)
        else:
            who, does = str(entry["who"]), str(entry.get("does", ""))
            count = int(_number(entry, "bytes") or 0)
            data = str(entry.get("data", ""))
            yield Row("step", _number(entry, "ms"), who, does, count, data)


def _folded(rows: Iterable[Row]) -> list[Row]:
    """ROWS, with left-out steps that follow each other as one row."""
    folded: list[Row] = []
    for row in rows:
        if row.left_out and folded and folded[-1].left_out:
            folded[-1].left_out += row.left_out
        else:
            folded.append(row)
    return folded


def _put_to_sleep(drawn: Timeline, since: float, until: float, call: str) -> None:
    """Add the program's sleep in CALL. It gets no row of its own if nothing has
    happened since another sleep in the same call."""
    drawn.sleeps.append((since, until))
    later = (n for n, row in enumerate(drawn.rows) if (row.ms or 0.0) >= since)
    at = next(later, len(drawn.rows))
    row = Row("asleep", since, drawn.lanes[0], f"is asleep in {call}")
    before = drawn.rows[at - 1] if at else Row()
    if (before.kind, before.does) != (row.kind, row.does):
        drawn.rows.insert(at, row)
