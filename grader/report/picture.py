"""A timeline as a picture: a rail for the program and for each client, time from top to
bottom, and next to them what happens, in words. This computes the places; page.html
draws.

Each moment has a line to itself, so that no words overlap. The longer nothing happened,
the larger the gap between two lines, but only logarithmically.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from grader.report.screen import cut, wrapped
from grader.report.timeline import Row, Timeline
from grader.text import one_line

# In pixels: the room for the time, between two rails, and for a line of words. Many
# rails are closer together, so that a phone still has room for the words.
_TIME, _LANE, _NARROW_LANE, _LINE = 42.0, 22.0, 12.0, 17.0
_FEW_LANES = 4
# The width of a letter at most, in words and in bytes (page.css has their sizes).
_LETTER, _BYTE = 7.5, 7.0
# The width of a phone's screen without the margins.
_WIDTH = 347.0
_LONGEST_DATA = 28
_LONGEST_GAP = 36.0
# Bars that are no further apart than this look like one, and are drawn as one.
_NEARLY = 4.0

# The first words of what somebody does, and how that is drawn. "sends" and "receives"
# are an arrow to the program or from it.
_KINDS = {
    "connects": "connects",
    "sends": "sends",
    "types": "sends",
    "receives": "receives",
    "half-closes": "half_closes",
    "ends the input": "closes",
    "closes": "closes",
    "resets its connection": "breaks",
    "finds its connection reset": "breaks",
    "cannot send": "breaks",
    "is refused": "breaks",
    "sees the other side close": "sees_the_end",
}
_ENDS = ("closes", "breaks")


@dataclass
class Words:
    """A line of text whose baseline is at y. kind: name, who, data, left_out, asleep or
    verdict. who comes before the rest."""

    x: float
    y: float
    text: str
    kind: str = ""
    who: str = ""


@dataclass
class Mark:
    """What somebody does, on the rail at x; the program's rail is at program_x."""

    kind: str
    x: float
    y: float


@dataclass
class Rail:
    """A line down the picture. It is faint from start, where its name is, but not
    from begin to end, while there is a connection."""

    x: float
    start: float
    begin: float
    end: float


@dataclass
class Picture:
    """The whole picture and its size. times: y and text; sleeps: y and height; verdict:
    y of the line, if there is one. Words begin at words_x."""

    width: float = 0.0
    height: float = 0.0
    program_x: float = _TIME + _LANE / 2
    words_x: float = 0.0
    rails: list[Rail] = field(default_factory=list)
    sleeps: list[tuple[float, float]] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    words: list[Words] = field(default_factory=list)
    times: list[tuple[float, str]] = field(default_factory=list)
    verdict: float | None = None


def picture(drawn: Timeline) -> Picture:
    """The places of everything in DRAWN."""
    made = Picture()
    apart = _LANE if len(drawn.lanes) <= _FEW_LANES else _NARROW_LANE
    for lane, name in enumerate(drawn.lanes):
        x, y = made.program_x + lane * apart, _LINE * (lane + 1)
        made.rails.append(Rail(x, y, y, y))
        room = int((_WIDTH - x - 9) / _LETTER)
        made.words.append(Words(x + 9, y, cut(one_line(name), room), "name"))
    made.words_x = made.rails[-1].x + _LANE / 2 + 2
    placed = _placed(made, drawn.rows, _LINE * (len(drawn.lanes) + 1) + 9)
    for row, y in placed:
        _write(made, row, y)
    made.height = made.words[-1].y + 8
    _lay_rails(made, drawn.lanes, placed)
    made.sleeps = _apart(_bar(since, until, placed) for since, until in drawn.sleeps)
    made.width = max(_right(words) for words in made.words)
    return made


def _lines(made: Picture, row: Row) -> list[str]:
    room = int((_WIDTH - made.words_x) / _LETTER)
    return wrapped(f"{row.who} {row.words}".strip(), room) or [""]


def _placed(made: Picture, rows: list[Row], y: float) -> list[tuple[Row, float]]:
    """ROWS, each with the y of its first line; that of the first row is Y."""
    placed: list[tuple[Row, float]] = []
    before: float | None = None
    for row in rows:
        if row.ms is not None and before is not None:
            quiet = max(0.0, row.ms - before)
            y += min(_LONGEST_GAP, 12 * math.log10(1 + quiet / 5))
        before = row.ms if row.ms is not None else before
        y += 8 if row.kind == "verdict" else 0
        placed.append((row, y))
        y += _LINE * (len(_lines(made, row)) + bool(row.data)) + 5
    return placed


def _write(made: Picture, row: Row, y: float) -> None:
    """Add the words of ROW and its time to MADE, at Y."""
    x = made.words_x
    if row.left_out:
        made.times.append((y, "⋮"))
    elif row.ms is not None:
        made.times.append((y, f"{row.ms:.1f}" if row.ms < 10 else f"{row.ms:.0f}"))
    if row.kind == "verdict":
        made.verdict = y - 14
    first, *others = _lines(made, row)
    who = one_line(row.who)
    known = bool(who) and first.startswith(who)
    text = first[len(who) :].lstrip() if known else first
    made.words.append(Words(x, y, text, row.kind, who if known else ""))
    if row.data:
        others.append(f'"{cut(one_line(row.data), _LONGEST_DATA)}"')
    for number, line in enumerate(others, 1):
        kind = "data" if row.data and number == len(others) else row.kind
        made.words.append(Words(x, y + number * _LINE, line, kind))


def _lay_rails(
    made: Picture, lanes: list[str], placed: list[tuple[Row, float]]
) -> None:
    """Add the rails and the marks on them to MADE."""
    bottom = made.height if made.verdict is None else made.verdict
    for lane, (name, rail) in enumerate(zip(lanes, made.rails)):
        rail.end = bottom
        steps = [(r, y - 4) for r, y in placed if r.who == name and r.kind == "step"]
        for row, y in steps:
            kind = next(
                (k for does, k in _KINDS.items() if row.does.startswith(does)), ""
            )
            made.marks.append(Mark(kind if lane else "", rail.x, y))
            if kind == "connects" and lane:
                rail.begin, rail.end = y, bottom
            elif kind in _ENDS:
                rail.end = y


def _bar(
    since: float, until: float, placed: list[tuple[Row, float]]
) -> tuple[float, float]:
    """The y and the height of the bar for a sleep from SINCE to UNTIL. Between two
    rows, time passes evenly; among rows of the same moment, a bar begins at the first
    and ends at the last."""
    moments, places = [0.0], [placed[0][1]]
    for row, y in placed:
        if row.ms is not None:
            moments.append(max(row.ms, moments[-1]))
            places.append(y - (14 if row.kind == "verdict" else 4))

    def place(ms: float, after: int) -> float:
        if after in (0, len(moments)):
            return places[min(after, len(places) - 1)]
        past = (ms - moments[after - 1]) / (moments[after] - moments[after - 1])
        return places[after - 1] + past * (places[after] - places[after - 1])

    top = place(since, bisect_left(moments, since))
    bottom = place(until, bisect_right(moments, until))
    return top, max(6.0, bottom - top)


def _apart(bars: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """BARS, with those that touch, or nearly touch, merged."""
    apart: list[tuple[float, float]] = []
    for top, height in sorted(bars):
        before, its = apart[-1] if apart else (0.0, -2 * _NEARLY)
        if top <= before + its + _NEARLY:
            apart[-1] = before, max(its, top + height - before)
        else:
            apart.append((top, height))
    return apart


def _right(words: Words) -> float:
    letters = len(f"{words.who} {words.text}".strip())
    return words.x + letters * (_BYTE if words.kind == "data" else _LETTER)
