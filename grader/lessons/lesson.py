"""Turns a failure into a lesson: what was done, what should have happened, what did,
why, and where to read on. A lesson is a list of parts that each report lays out in its
own way, or plain text of 80 columns that fits on one screen."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from grader.course import Check, Stage
from grader.harness import wording
from grader.harness.failure import Failure
from grader.harness.transcript import Line, left_out
from grader.lessons import causes
from grader.text import defused, one_line, printable

WIDTH = 78
# With the title above it, a lesson of this height in lines fills a screen of 24.
SCREEN = 23
# The transcript gets at least this many lines, however little room is left.
_LEAST_STORY = 4
# How many lines of others' text we show, and how many rows each may wrap to.
_ERROR_LINES, _OUTPUT_LINES, _ROWS = 4, 6, 2

# Count every long number as this wide when measuring height. Otherwise its width could
# decide whether one more step fits, and the same failure would read differently.
_NUMBER, _WIDE_NUMBER = re.compile(r"\d{4,}"), "00000000"


@dataclass(frozen=True)
class Part:
    """One part of a lesson. kind is prose, story (a transcript: lines instead of text),
    bytes (whose columns matter), output (others' lines), command, or link (LINK is its
    target in the repository). All of it is printable."""

    kind: str
    label: str
    text: str = ""
    story: list[Line] = field(default_factory=list)
    link: str = ""


def parts(
    check: Check,
    stage: Stage,
    failure: Failure,
    asked: str = "",
    warnings: Sequence[str] = (),
    refused: Sequence[str] = (),
) -> list[Part]:
    """The lesson of FAILURE, which ended CHECK of STAGE. ASKED is what else was passed
    to make, WARNINGS are the compiler's about wrong use of memory, and REFUSED are
    functions that the program calls and its cell refuses."""
    requirement = stage.requirements.get(check.requirement, "")
    made = [
        _prose(f"Requirement {check.requirement}:", requirement),
        _prose("What is wrong:", failure.message),
        Part("story", "What was done:", story=_printable_story(failure.transcript)),
        *_seen(failure),
    ]
    cause = causes.likely(stage, check, failure)
    if cause:
        made.append(_prose("Likely cause:", cause.text))
    else:
        made.append(_prose("To think about:", check.hint))
    errors = _counted(failure.errors.strip().splitlines())[-_ERROR_LINES:]
    made.append(_output("Its standard error ends with:", errors))
    if _is_of_memory(failure):
        made.append(_output("The compiler warned:", list(warnings)[:_ERROR_LINES]))
    if refused:
        calls = ", ".join(f"{name}()" for name in refused)
        says = f"{calls} is refused in the grader's sandbox. If the program needs"
        made.append(_prose("Perhaps:", f"{says}, this is no mistake of its own."))
    section, where = stage.section_of(check), stage.number
    if cause and cause.section:
        section, where = cause.section, cause.lesson or stage.number
    again = one_line(
        f"make grade STAGE={stage.number} ONLY={check.id} {asked}".rstrip()
    )
    made.append(Part("command", "Again:", again))
    page = f"stages/{where}/README.md"
    on = f'{page}, "{section}"'
    made.append(Part("link", "Read on:", on, link=f"{page}#{anchor(section)}"))
    return [part for part in made if part.text or part.story]


def _is_of_memory(failure: Failure) -> bool:
    """Whether FAILURE may come from wrong use of memory."""
    finding = failure.finding
    if finding is None:
        return False
    crashed = finding.signal in ("SIGSEGV", "SIGABRT", "SIGBUS")
    return crashed or finding.kind in ("sanitizer", "never_set")


def anchor(heading: str) -> str:
    """The anchor that GitHub gives HEADING."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def read(data: Iterable[dict[str, Any]]) -> list[Part]:
    """The parts of a lesson, from the data in a result file."""
    return [
        Part(
            one["kind"],
            one["label"],
            one["text"],
            [Line(**line) for line in one["story"]],
            one["link"],
        )
        for one in data
    ]


def write(lesson: list[Part], most: int = SCREEN) -> str:
    """LESSON as plain text of at most MOST lines if possible; only the
    transcript is shortened."""
    others = sum(len(_wide(part)) for part in lesson if part.kind != "story")
    room = max(_LEAST_STORY, most - others - 1)
    return "\n".join(
        line
        for part in lesson
        for line in (
            [part.label, *_told(part.story, room)]
            if part.kind == "story"
            else _laid_out(part)
        )
    )


# -- the parts ----------------------------------------------------------------


def _seen(failure: Failure) -> list[Part]:
    """What was expected, what came instead, and what the finding says about it."""
    due, _, due_caret = failure.expected.partition("\n")
    came, _, caret = failure.received.partition("\n")
    finding = failure.finding
    says = wording.says(finding) if finding else ""
    made = []
    if caret and caret == due_caret and caret.lstrip().startswith("^"):
        # The two match up to the caret, so one caret serves both.
        rows = [f"Expected: {due}", f"Got:      {came}", f"{'':10}{caret}"]
        made.append(Part("bytes", "", printable("\n".join(rows))))
    else:
        made.append(_said("Expected:", failure.expected))
        is_repeated = bool(finding and finding.kind == "sanitizer")
        if not is_repeated or failure.received not in says:
            made.append(_said("Got:", failure.received))
    if finding and says != failure.received:
        made.append(_prose(f"{finding.witness}:", says))
    return made


def _prose(label: str, text: str) -> Part:
    return Part("prose", one_line(label), one_line(text))


def _said(label: str, text: str) -> Part:
    """One line goes beside its label; several go below it."""
    if "\n" not in text:
        return _prose(label, text)
    lines = text.splitlines()
    more = len(lines) - _OUTPUT_LINES
    rest = [f"… {more} more lines"] if more > 0 else []
    return _output(label, lines[:_OUTPUT_LINES] + rest)


def _output(label: str, lines: list[str]) -> Part:
    return Part("output", label, "\n".join(printable(line) for line in lines))


def _printable_story(story: list[Line]) -> list[Line]:
    return [
        Line(line.position, line.lead, one_line(line.says), line.rank) for line in story
    ]


def _counted(lines: list[str]) -> list[str]:
    """LINES, with each run of equal lines merged into one."""
    counted = [(line, len(list(same))) for line, same in itertools.groupby(lines)]
    return [line if n == 1 else f"{line} ({n} times)" for line, n in counted]


# -- as plain text ------------------------------------------------------------


def _laid_out(part: Part) -> list[str]:
    """The lines of PART, which is not a transcript."""
    if part.kind == "command":  # one line, so that it can be copied
        return [f"{part.label:<9} {part.text}"]
    if part.kind == "bytes":
        return part.text.splitlines()
    if part.kind == "output":
        return [part.label, *_rows(part.text)]
    label = f"{part.label:<9}" if part.kind == "link" else part.label
    return textwrap.wrap(
        defused(f"{label} {part.text}"),
        WIDTH,
        subsequent_indent="  ",
        break_on_hyphens=False,
    )


def _rows(text: str) -> list[str]:
    """Others' lines, indented, and cut short if they are very long."""
    return [
        row
        for line in text.splitlines()
        for row in textwrap.wrap(
            line,
            WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
            max_lines=_ROWS,
            placeholder="…",
            break_on_hyphens=False,
        )
        or [""]
    ]


def _wide(part: Part) -> list[str]:
    """The lines that PART would take if all its numbers were wide."""
    return _laid_out(Part(part.kind, part.label, _NUMBER.sub(_WIDE_NUMBER, part.text)))


def _told(story: list[Line], room: int) -> list[str]:
    """STORY in at most ROOM lines: the most important steps, in order."""
    chosen: dict[int, Line] = {}
    for line in sorted(story, key=lambda line: line.rank):
        wider = chosen | {line.position: line}
        if not chosen or _height(wider) <= room:
            chosen = wider
    told, before = [], 0
    for position, line in sorted(chosen.items()):
        if position > before + 1:
            told.append(f"       {left_out(position - before - 1)}")
        told += _step(line.lead, line.says)
        before = position
    return told


def _height(chosen: dict[int, Line]) -> int:
    """How many lines the CHOSEN steps take, with the notes about gaps between them."""
    gaps = sum(position - 1 not in chosen for position in chosen if position > 1)
    return gaps + sum(
        len(_step(line.lead, _NUMBER.sub(_WIDE_NUMBER, line.says)))
        for line in chosen.values()
    )


def _step(lead: str, says: str) -> list[str]:
    """One step; its wrapped lines are aligned."""
    indent = " " * (2 + len(lead))
    return textwrap.wrap(
        defused(says),
        WIDTH,
        initial_indent=f"  {lead}",
        subsequent_indent=indent,
        break_on_hyphens=False,
    ) or [f"  {lead}"]
