"""A check's story as a picture: a lane for the program and for each client, a row for
each moment, and when the program was asleep. Rows and lanes only; page.html draws them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

# More lanes than these are hard to follow: a crowd's others share a row.
_LANES = 7

# So long a pause, in milliseconds, is drawn as one; and so long as a long one.
_PAUSE, _LONG_PAUSE = 20.0, 200.0


@dataclass
class Row:
    """One moment. who did what is in the lane of who; asleep is the call that the
    program is asleep in then, begins whether it has just gone to sleep; left_out
    counts steps that are not shown; pause is "", "pause" or "long"."""

    ms: float | None = None
    who: str = ""
    does: str = ""
    bytes: int = 0
    data: str = ""
    asleep: str = ""
    begins: bool = False
    left_out: int = 0
    pause: str = ""


@dataclass
class Timeline:
    """The program's lane first. others is how many clients have no lane."""

    lanes: list[str]
    rows: list[Row] = field(default_factory=list)
    others: int = 0
    ended_ms: float | None = None


def timeline(stage: int, check: dict[str, Any]) -> Timeline | None:
    """The timeline of a CHECK of STAGE, as the result has it; None if it has none."""
    evidence = check.get("evidence") or {}
    story = [entry for entry in _dicts(evidence.get("story")) if entry]
    if not story:
        return None
    program = "the client" if stage == 2 else "the server"
    about = f"{check.get('message', '')} {evidence.get('says', '')}"
    lanes, others = _lanes(program, story, about)
    drawn = Timeline(lanes, others=others, ended_ms=_number(evidence, "ended_ms"))
    drawn.rows = _with_pauses(_folded(_rows(story, lanes)))
    _put_to_sleep(drawn, list(_dicts(evidence.get("asleep"))))
    return drawn


def _dicts(entries: Any) -> Iterable[dict[str, Any]]:
    return (entry for entry in entries or [] if isinstance(entry, dict))


def _number(data: dict[str, Any], key: str) -> float | None:
    value = data.get(key)
    return float(value) if isinstance(value, (int, float)) else None


def _lanes(
    program: str, story: list[dict[str, Any]], about: str
) -> tuple[list[str], int]:
    """Whose lanes are drawn, and how many are not: first those whom the text ABOUT
    names, then those who came last."""
    names = list(dict.fromkeys(str(e["who"]) for e in story if "who" in e))
    clients = [name for name in names if name != program]
    last = list(dict.fromkeys(str(e["who"]) for e in reversed(story) if "who" in e))
    chosen = sorted(clients, key=lambda name: (name not in about, last.index(name)))
    chosen = chosen[: _LANES - 1]
    shown = [name for name in clients if name in chosen]
    return [program, *shown], len(clients) - len(shown)


def _rows(story: list[dict[str, Any]], lanes: list[str]) -> Iterable[Row]:
    for entry in story:
        if "left_out" in entry:
            yield Row(left_out=int(_number(entry, "left_out") or 0))
        elif str(entry.get("who")) not in lanes:
            yield Row(left_out=1)
        else:
            count = int(_number(entry, "bytes") or 0)
            who, does = str(entry["who"]), str(entry.get("does", ""))
            data = str(entry.get("data", ""))
            yield Row(_number(entry, "ms"), who, does, count, data)


def _folded(rows: Iterable[Row]) -> list[Row]:
    """Steps that are left out, one after the other, are one row."""
    folded: list[Row] = []
    for row in rows:
        if row.left_out and folded and folded[-1].left_out:
            folded[-1].left_out += row.left_out
        else:
            folded.append(row)
    return folded


def _with_pauses(rows: list[Row]) -> list[Row]:
    before: float | None = None
    for row in rows:
        if row.ms is None:
            before = None
            continue
        waited = row.ms - before if before is not None else 0.0
        row.pause = "pause" if waited >= _PAUSE else ""
        row.pause = "long" if waited >= _LONG_PAUSE else row.pause
        before = row.ms
    return rows


def _put_to_sleep(drawn: Timeline, sleeps: list[dict[str, Any]]) -> None:
    """Say of each row whether the program is asleep then; a sleep that falls between
    two rows, or after the last, gets a row of its own."""
    for sleep in sleeps:
        since, until = _number(sleep, "from_ms"), _number(sleep, "to_ms")
        if since is None or until is None:
            continue
        call = str(sleep.get("in", ""))
        at = next(
            (
                index
                for index, row in enumerate(drawn.rows)
                if row.ms is not None and row.ms >= since
            ),
            len(drawn.rows),
        )
        before = drawn.rows[at - 1] if at else Row()
        if not (before.begins and before.asleep == call):
            drawn.rows.insert(at, Row(since, asleep=call, begins=True))
        for row in drawn.rows[at + 1 :]:
            if row.ms is not None and row.ms > until:
                break
            row.asleep = row.asleep or call
