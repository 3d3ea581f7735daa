"""Failed checks and the compiler's messages as annotations: workflow commands that
show them in the pull request, at file and line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from grader import course
from grader.course import Stage
from grader.report.inert import command, short
from grader.text import printable

# GitHub shows at most this many of each kind for one step.
_MOST = 10


def annotate(result: dict[str, Any]) -> list[str]:
    """The commands for RESULT, a result's JSON: at most ten of each kind."""
    said = [*_compiler(result), *_checks(result)]
    errors = [line for line in said if line.startswith("::error")]
    warnings = [line for line in said if line.startswith("::warning")]
    return errors[:_MOST] + warnings[:_MOST]


def _compiler(result: dict[str, Any]) -> Iterator[str]:
    for stage in result["stages"]:
        line_of = _line_of(course.stage(stage["stage"]))
        message = re.compile(
            rf"^stages/\d+/{line_of}:(?:(\d{{1,4}}):)? "
            r"(?:fatal )?(error|warning): (.*)$",
            re.MULTILINE,
        )
        for found in message.finditer(stage["build"]["output"]):
            name, line, column, kind, words = found.groups()
            where: dict[str, str | int] = {"file": f"stages/{stage['stage']}/{name}"}
            where |= {"line": line} | ({"col": column} if column else {})
            yield command(kind, short(words, 500), **where, title="The compiler")


def _line_of(stage: Stage) -> str:
    """A pattern for a line of one of STAGE's files, FILE:LINE, with both as groups."""
    return rf"({'|'.join(map(re.escape, stage.files))}):(\d{{1,6}})"


def _checks(result: dict[str, Any]) -> Iterator[str]:
    for stage in result["stages"]:
        for check in stage["checks"]:
            if check["status"] == "failed":
                yield _check(course.stage(stage["stage"]), check)


def _check(stage: Stage, check: dict[str, Any]) -> str:
    says = str(check["evidence"].get("says", ""))
    spoken_of = re.search(rf"\b{_line_of(stage)}\b", says)
    name, line = spoken_of.groups() if spoken_of else (stage.source, "1")
    words = [check["message"], says]
    words.append(f"Again: make grade STAGE={stage.number} ONLY={check['id']}")
    return command(
        "error",
        "\n".join(printable(short(text, 1000)) for text in words if text),
        file=f"stages/{stage.number}/{name}",
        line=line,
        title=short(f"{check['requirement']} {check['title']}", 200),
    )
