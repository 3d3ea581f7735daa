"""Lays out a grading on one screen, and leaves out what has no room there."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from grader.lessons.lesson import SCREEN, read, write
from grader.report.screen import Screen, cut
from grader.watch.changes import WORDS, Data

# If the program was built, the compiler's warnings get only a few rows: there may be a
# lesson to show, too.
_WARNING_ROWS = 4
_FEWEST_VERDICTS = 3


@dataclass
class Told:
    """What is told of one grading, from the top of the screen to its end."""

    title: str
    news: list[str] = field(default_factory=list)  # of the stage before
    compiler: list[str] = field(default_factory=list)
    verdicts: list[tuple[str, Data]] = field(default_factory=list)  # a word for each
    counts: list[str] = field(default_factory=list)
    result: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def fitted(told: Told, screen: Screen, rows: int) -> list[str]:
    """The lines that show what is TOLD in ROWS rows of SCREEN. Nothing scrolls away: if
    there is too little room, first the middle of the lesson's transcript is left out,
    then the last verdicts."""

    def height(lines: list[str]) -> int:
        return sum(map(screen.rows_of, lines))

    above = [*told.news, told.title]
    below = [*told.result, *told.notes]
    room = rows - height([*above, *told.counts, *below])
    failed = told.compiler and not told.verdicts
    build = compiler_lines(told, screen, room if failed else _WARNING_ROWS)
    room -= height(build)
    fewest = min(len(told.verdicts), _FEWEST_VERDICTS)
    lesson = lesson_lines(told, screen, min(SCREEN, room - fewest))
    room -= height(lesson)
    verdicts = _verdict_lines(told, screen, room)
    if len(verdicts) > room and below[:1] == [""]:
        below.pop(0)
    return [*above, *build, *verdicts, *told.counts, *lesson, *below]


def verdict_line(word: str, check: Data, screen: Screen) -> str:
    """The verdict on CHECK, for which there is a WORD, in one line."""
    room = screen.width - len(word) - 11
    text = f"{check['requirement']:>5}  {cut(check['title'], room):<{room}} {word}"
    return f"  {screen.mark(check['status'])}{text}"


def compiler_lines(told: Told, screen: Screen, rows: int) -> list[str]:
    """What the compiler said, in ROWS rows; but at least two lines of it, and one that
    says how much is left out."""
    shown: list[str] = []
    for line in told.compiler:
        rows -= screen.rows_of(line) if screen.is_terminal else 1
        if rows < 1 and len(shown) > 1:
            break
        shown.append(line)
    left = len(told.compiler) - len(shown)
    return shown + ([f"    … {left} more lines"] if left else [])


def lesson_lines(told: Told, screen: Screen, most: int) -> list[str]:
    """The lesson of the first check that failed, in MOST lines if possible; with its
    title, unless that stands right above it."""
    wrong = [check for _, check in told.verdicts if check["status"] == "failed"]
    if not wrong:
        return []
    title = f"  ✗ {wrong[0]['requirement']} {wrong[0]['title']}"
    above = ["", *([screen.coloured("failed", title)] if wrong[1:] else [])]
    parts = read(wrong[0]["lesson"])
    text = write(parts, most - len(above))
    if len(above) + sum(map(screen.rows_of, text.splitlines())) > most:
        # It is run again at each save, anyway.
        others = [part for part in parts if part.kind != "command"]
        text = write(others, most - len(above))
    return [*above, *(f"  {line}" for line in text.splitlines())]


def _verdict_lines(told: Told, screen: Screen, rows: int) -> list[str]:
    """The verdicts in ROWS rows; but at least one row."""
    ordered = sorted(told.verdicts, key=lambda verdict: WORDS.index(verdict[0]))
    lines = [verdict_line(*verdict, screen) for verdict in ordered]
    if len(lines) <= max(rows, 1):
        return lines
    shown = max(rows - 1, 0)
    left = Counter(word for word, _ in ordered[shown:])
    counted = ", ".join(f"{number} {word}" for word, number in left.items())
    return [*lines[:shown], f"    … {'and ' if shown else ''}{counted}"]
