"""A failure, told so that one can learn from it: what was done, what should have
happened, what did, why, and where to read on. Plain text, 80 columns."""

from __future__ import annotations

import itertools
import re
import textwrap

from grader import causes, rubric
from grader.failure import Failure
from grader.rubric import Check

WIDTH = 78
_ERROR_LINES = 6


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


def write(check: Check, stage: int, failure: Failure) -> str:
    """The lesson of FAILURE, which CHECK of STAGE ended with."""
    loaded = rubric.load(stage)
    requirement = loaded.requirements[check.requirement]
    parts = [
        _paragraph(f"Requirement {check.requirement}:", requirement),
        _paragraph("What is wrong:", failure.message),
    ]
    if failure.transcript:
        parts.append(_block("What was done:", failure.transcript))
    parts.append(_said("Expected:", failure.expected))
    parts.append(_said("Got:", failure.received))
    if failure.finding and failure.finding.says != failure.received:
        parts.append(_paragraph(f"{failure.finding.witness}:", failure.finding.says))
    cause = causes.likely(stage, check, failure)
    if cause:
        parts.append(_paragraph("Likely cause:", cause.text))
    else:
        parts.append(_paragraph("To think about:", check.hint))
    errors = _counted(failure.errors.strip().splitlines())
    if errors:
        said = errors[-_ERROR_LINES:]
        parts.append(_block("Its standard error ends with:", said))
    section, where = loaded.section_of(check), stage
    if cause and cause.section:
        section, where = cause.section, cause.lesson or stage
    parts.append(f"Again:    make grade STAGE={stage} ONLY={check.id}")
    parts.append(f'Read on:  stages/{where}/README.md, "{section}"')
    return "\n".join(part for part in parts if part)


def _counted(lines: list[str]) -> list[str]:
    """LINES, with those that come again and again as one."""
    counted = [(line, len(list(same))) for line, same in itertools.groupby(lines)]
    return [line if n == 1 else f"{line} ({n} times)" for line, n in counted]


def _paragraph(label: str, text: str) -> str:
    text = one_line(f"{label} {text}")
    indent = "  " if label else ""
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _block(label: str, lines: list[str]) -> str:
    shown = [f"  {printable(line)}" for line in lines]
    return "\n".join([label, *(_cut(line) for line in shown)])


def _said(label: str, text: str) -> str:
    """A short text beside its label, a longer one (bytes with a caret) below it."""
    if not text:
        return ""
    if "\n" in text:
        return _block(label, text.splitlines())
    return _paragraph(label, text)


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"
