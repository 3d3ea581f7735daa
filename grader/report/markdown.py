"""The report for GitHub's step summary: the score, a table, and the lessons, folded
away. What came from the student's program is in fences that it can't close.
"""

from __future__ import annotations

import html
import re
from typing import Any

from grader.grading.result import Milestone
from grader.lessons.lesson import read
from grader.report.inert import code, short
from grader.report.links import to_lesson
from grader.report.steps import next_milestone
from grader.text import printable

# GitHub shows no summary of more than 1 MiB (1024k bytes for each step). Whatever does
# not fit is left out from the end, lesson by lesson.
MOST_BYTES = 1_000_000
_LESSON_CHARACTERS = 20_000
_TITLE_CHARACTERS = 200

_MARKS = {"passed": "✅", "failed": "❌", "skipped": "➖", "error": "⚠️"}
_MEANS_SOMETHING = re.compile(r"([\\`*_{}\[\]()#+!|<>&~$])")

# What GitHub still turns into links: names, numbers, addresses. An invisible word
# joiner in the middle prevents that.
_LINKS = re.compile(r"[@#](?=\\?\w)|:(?=//)|\bwww(?=\.)", re.IGNORECASE)
_JOINER = "\u2060"


def render(result: dict[str, Any]) -> str:
    """RESULT, a result's JSON, in GitHub's Markdown: at most MOST_BYTES."""
    parts = [f"# Echo Lab: {result['score']} of {result['max_score']} points\n"]
    parts.append(_how(result))
    lessons: list[str] = []
    for stage in result["stages"]:
        parts += [_heading(stage), *_compiler(stage), _table(stage)]
        lessons += _lessons(stage)
    room = MOST_BYTES - sum(len(part.encode()) for part in parts) - 200
    left_out = 0
    for lesson in lessons:
        room -= len(lesson.encode())
        left_out += room < 0
        parts += [lesson] if room >= 0 else []
    if left_out:
        parts.append(f"{left_out} more have no room here: see the report's page.\n")
    return "\n".join(parts)


def _how(result: dict[str, Any]) -> str:
    """When and how it was graded."""
    return (
        f"{_plain(result['started'])}, {result['seconds']:.0f} s; "
        f"isolation: {_plain(result['isolation'])}; seed {result['seed']}; "
        f"grader {_plain(result['grader'])}\n"
    )


def _climbed(stage: dict[str, Any]) -> str:
    """How many milestones are done, and which one is next."""
    milestones = [Milestone(**one) for one in stage["milestones"]]
    passed = sum(one.status == "passed" for one in milestones)
    done = f"Milestones: {passed} of {len(milestones)}"
    ahead = next_milestone(milestones, stage["score"])
    return f"{done}, and {code(ahead)} is next.\n" if ahead else f"{done}.\n"


def _heading(stage: dict[str, Any]) -> str:
    number, score, most = stage["stage"], stage["score"], stage["max_score"]
    return f"## Stage {number}: {score} of {most}\n"


def _compiler(stage: dict[str, Any]) -> list[str]:
    """What to read about STAGE's build. It comes before the table, which has nothing
    but skipped checks if the build failed."""
    if not stage["build"]["output"]:
        return []
    what = {"build_failed": "It does not compile", "missing": "Nothing to grade"}
    heading = what.get(stage["status"], "The compiler warns")
    heading = f"Stage {stage['stage']}: {heading}"
    return [_folded(heading, stage["build"]["output"], opened=True)]


def _table(stage: dict[str, Any]) -> str:
    lines = []
    if stage["milestones"]:
        lines.append(_climbed(stage))
    if stage["status"] == "grader_error":
        lines.append("**Not all of it was graded: this is not a grade.**\n")
    lines += ["| | | Check | Points |", "|---|---|---|--:|"]
    for check in stage["checks"]:
        title, needs = _plain(check["title"]), check["blocked_by"]
        if needs:  # a bar ends a cell even in code (GFM 0.29, section 4.10)
            title += f" (needs {code(needs)})".replace("|", "\\|")
        mark = f"{_MARKS.get(check['status'], '?')} {_plain(check['status'])}"
        points = f"{check['points']}/{check['max_points']}"
        lines.append(
            f"| {mark} | {_plain(check['requirement'])} | {title} | {points} |"
        )
    return "\n".join(lines) + "\n"


def _lessons(stage: dict[str, Any]) -> list[str]:
    """The lesson of each failed check of STAGE, and the error of each that the grader
    could not finish."""
    said = []
    for check in stage["checks"]:
        if check["status"] in ("failed", "error"):
            mark = _MARKS[check["status"]]
            heading = f"{mark} {check['requirement']} {check['title']}"
            text = check["details"] or check["message"]
            said.append(_folded(heading, text, _links(check)))
    return said


def _links(check: dict[str, Any]) -> str:
    """Where to read on after CHECK. These links stand outside the fence, because there
    are none inside."""
    said = ""
    for part in read(check["lesson"]):
        if address := to_lesson(part.link):
            said += f"{part.label} [{_plain(part.text)}]({address})\n\n"
    return said


def _folded(heading: str, text: str, more: str = "", opened: bool = False) -> str:
    """TEXT as code, folded away under HEADING (unless OPENED), then MORE, which is
    Markdown. The fence is longer than any row of backticks in TEXT (CommonMark 0.31,
    section 4.5)."""
    if len(text) > _LESSON_CHARACTERS:
        text = text[:_LESSON_CHARACTERS] + "\n… and more"
    text = printable(text)
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    tag = "<details open>" if opened else "<details>"
    title = _LINKS.sub(rf"\g<0>{_JOINER}", short(heading, _TITLE_CHARACTERS))
    summary = f"<summary>{html.escape(title)}</summary>"
    return f"{tag}{summary}\n\n{fence}text\n{text}\n{fence}\n\n{more}</details>\n"


def _plain(text: str) -> str:
    """TEXT as one line in which nothing has a meaning in Markdown or HTML."""
    line = _MEANS_SOMETHING.sub(r"\\\1", short(text, _TITLE_CHARACTERS))
    return _LINKS.sub(rf"\g<0>{_JOINER}", line)
