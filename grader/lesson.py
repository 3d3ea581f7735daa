"""A failure, told so that one can learn from it: what was done, what should have
happened, what did, why, and where to read on. In parts, of which each report makes
its own; and as plain text of 80 columns, no longer than a screen."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from grader import causes, rubric
from grader.failure import Failure
from grader.rubric import Check
from grader.transcript import Line, left_out

WIDTH = 78
# With its title above it, a lesson of so many lines fills a screen of 24.
SCREEN = 23
# However little room the rest leaves, so many lines are the story's.
_LEAST_STORY = 4
# Of what others wrote so many lines are shown, and each goes over so many at most.
_ERROR_LINES, _OUTPUT_LINES, _ROWS = 4, 6, 2

# What numbers count in the height of a text: their own width shall not decide whether
# a step more is shown, or the same failure is told differently each time.
_NUMBER, _WIDE_NUMBER = re.compile(r"\d{4,}"), "00000000"


@dataclass(frozen=True)
class Part:
    """One part of a lesson. kind: prose, story (which has lines in place of a text),
    bytes (whose columns matter), output (others' lines), command, or link, to where
    LINK says in the repository. All of it is printable."""

    kind: str
    label: str
    text: str = ""
    story: list[Line] = field(default_factory=list)
    link: str = ""


# What GitHub's runner takes for a command: "::" where a line's text begins, and
# "##[" anywhere.
_COMMAND = re.compile(r"(?<!\S):(?=:)|#(?=#\[)")


def printable(text: str) -> str:
    """TEXT without anything that a terminal or a CI log would take for a command:
    that is shown as \\x1b and the like."""
    text = "".join(
        c if c == "\n" or c.isprintable() else ascii(c)[1:-1]
        for c in text.expandtabs(8)
    )
    return defused(text)


def defused(text: str) -> str:
    """TEXT without anything that a CI log would take for a command. To be applied
    to whole lines, too: breaking a long line can make a new beginning."""
    return _COMMAND.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def one_line(text: str) -> str:
    """TEXT as one printable line."""
    return printable(" ".join(text.split()))


def parts(
    check: Check,
    stage: int,
    failure: Failure,
    asked: str = "",
    warnings: Sequence[str] = (),
    refused: Sequence[str] = (),
) -> list[Part]:
    """The lesson of FAILURE, which CHECK of STAGE ended with; ASKED is what make was
    told besides, WARNINGS are the compiler's, of wrong use of memory, and REFUSED are
    functions that the program calls, and that its cell refuses."""
    loaded = rubric.load(stage)
    requirement = loaded.requirements[check.requirement]
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
        says = f"{calls} cannot be had in the grader's cell. If it cannot do without"
        made.append(_prose("Perhaps:", f"{says}, this is no mistake of its own."))
    section, where = loaded.section_of(check), stage
    if cause and cause.section:
        section, where = cause.section, cause.lesson or stage
    again = one_line(f"make grade STAGE={stage} ONLY={check.id} {asked}".rstrip())
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
    crashed = finding.evidence.get("signal") in ("SIGSEGV", "SIGABRT", "SIGBUS")
    return crashed or finding.kind in ("sanitizer", "never_set")


def anchor(heading: str) -> str:
    """What GitHub calls HEADING in a link to it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def read(data: Iterable[dict[str, Any]]) -> list[Part]:
    """The parts of a lesson, as a result file has them."""
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
    """LESSON as plain text of at most MOST lines, if that can be: it is the story that
    is folded."""
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
    """What was expected, what came instead, and what the finding says of it."""
    due, _, due_caret = failure.expected.partition("\n")
    came, _, caret = failure.received.partition("\n")
    finding = failure.finding
    says = finding.says if finding else ""
    made = []
    if caret and caret == due_caret and caret.lstrip().startswith("^"):
        # Up to the caret both are the same: it stands under both.
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
    """A line stands beside its label, many stand below it."""
    if "\n" not in text:
        return _prose(label, text)
    lines = text.splitlines()
    more = len(lines) - _OUTPUT_LINES
    rest = [f"… {more} lines more"] if more > 0 else []
    return _output(label, lines[:_OUTPUT_LINES] + rest)


def _output(label: str, lines: list[str]) -> Part:
    return Part("output", label, "\n".join(printable(line) for line in lines))


def _printable_story(story: list[Line]) -> list[Line]:
    return [
        Line(line.position, line.lead, one_line(line.says), line.rank) for line in story
    ]


def _counted(lines: list[str]) -> list[str]:
    """LINES, with those that come again and again as one."""
    counted = [(line, len(list(same))) for line, same in itertools.groupby(lines)]
    return [line if n == 1 else f"{line} ({n} times)" for line, n in counted]


# -- as plain text ------------------------------------------------------------


def _laid_out(part: Part) -> list[str]:
    """The lines of PART, which is no story."""
    if part.kind == "command":  # to be copied, and so in one line
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
    """Others' lines, indented, and cut if they are very long."""
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
    """The lines that PART would have if all of its numbers were long."""
    return _laid_out(Part(part.kind, part.label, _NUMBER.sub(_WIDE_NUMBER, part.text)))


def _told(story: list[Line], room: int) -> list[str]:
    """STORY in at most ROOM lines: those of its steps that matter most, in order."""
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
    """How many lines the CHOSEN steps need, with what is said of those between."""
    gaps = sum(position - 1 not in chosen for position in chosen if position > 1)
    return gaps + sum(
        len(_step(line.lead, _NUMBER.sub(_WIDE_NUMBER, line.says)))
        for line in chosen.values()
    )


def _step(lead: str, says: str) -> list[str]:
    """One step, whose words stand under each other."""
    indent = " " * (2 + len(lead))
    return textwrap.wrap(
        defused(says),
        WIDTH,
        initial_indent=f"  {lead}",
        subsequent_indent=indent,
        break_on_hyphens=False,
    ) or [f"  {lead}"]
