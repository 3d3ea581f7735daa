"""Failed checks and the compiler's messages as annotations: workflow commands that
show them in the pull request, at file and line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from grader.github.inert import command, short
from grader.lesson import printable
from grader.submission import STAGES

# GitHub shows no more of each kind for one step.
_MOST = 10

_LINE = re.compile(r"\b(tcp_(?:server|client)\.[ch]):(\d{1,6})\b")
_COMPILER = re.compile(
    r"^stages/\d+/(tcp_(?:server|client)\.[ch]):(\d{1,6}):(?:(\d{1,4}):)? "
    r"(?:fatal )?(error|warning): (.*)$",
    re.MULTILINE,
)


def annotate(result: dict[str, Any]) -> list[str]:
    """The commands for RESULT (as its JSON has it), at most ten of each kind."""
    said = [*_compiler(result), *_checks(result)]
    errors = [line for line in said if line.startswith("::error")]
    warnings = [line for line in said if line.startswith("::warning")]
    return errors[:_MOST] + warnings[:_MOST]


def _compiler(result: dict[str, Any]) -> Iterator[str]:
    for stage in result["stages"]:
        for found in _COMPILER.finditer(stage["build"]["output"]):
            name, line, column, kind, words = found.groups()
            where: dict[str, str | int] = {"file": f"stages/{stage['stage']}/{name}"}
            where |= {"line": line} | ({"col": column} if column else {})
            yield command(kind, short(words, 500), **where, title="The compiler")


def _checks(result: dict[str, Any]) -> Iterator[str]:
    for stage in result["stages"]:
        for check in stage["checks"]:
            if check["status"] == "failed":
                yield _check(stage["stage"], check)


def _check(stage: int, check: dict[str, Any]) -> str:
    says = str(check["evidence"].get("says", ""))
    spoken_of = _LINE.search(says)
    name, line = spoken_of.groups() if spoken_of else (f"{STAGES[stage]}.c", "1")
    words = [check["message"], says]
    words.append(f"Again: make grade STAGE={stage} ONLY={check['id']}")
    return command(
        "error",
        "\n".join(printable(short(text, 1000)) for text in words if text),
        file=f"stages/{stage}/{name}",
        line=line,
        title=short(f"{check['requirement']} {check['title']}", 200),
    )
