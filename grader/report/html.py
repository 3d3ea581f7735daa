"""The report as one page for a browser. It loads nothing, runs no script, and shows
whatever came from the student's program as text.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from grader import course
from grader.grading.result import Milestone
from grader.harness.transcript import left_out
from grader.lessons.lesson import Part, read
from grader.report.links import to_lesson
from grader.report.picture import picture
from grader.report.steps import next_milestone
from grader.report.timeline import timeline
from grader.text import printable

_HERE = Path(__file__).parent
_MARKS = {"passed": "✓", "failed": "✗", "skipped": "–", "error": "!"}
_TOLD = ("failed", "error")


def render(result: dict[str, Any]) -> str:
    """The page for RESULT, a result's JSON."""
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    page = (_HERE / "page.html").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["printable"] = printable
    return environment.from_string(page).render(
        result=result,
        stages=[_stage(stage) for stage in result["stages"]],
        marks=_MARKS,
        # Our own, and the only style that the page's policy allows.
        style=Markup(style),
        style_hash=_hash(style),
    )


def _hash(style: str) -> str:
    """The name of STYLE in a Content-Security-Policy (CSP Level 3, hash-source)."""
    digest = hashlib.sha256(style.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _stage(stage: dict[str, Any]) -> dict[str, Any]:
    """STAGE, with what else the page shows of it."""
    number = stage["stage"]
    told = {
        check["id"]: _anchor(number, check["id"])
        for check in stage["checks"]
        if check["status"] in _TOLD
    }
    milestones = [Milestone(**one) for one in stage["milestones"]]
    return {
        **stage,
        "file": course.stage(number).source,
        "checks": [_check(number, check, told) for check in stage["checks"]],
        "next_step": next_milestone(milestones, stage["score"]),
    }


def _check(stage: int, check: dict[str, Any], told: dict[str, str]) -> dict[str, Any]:
    """CHECK of STAGE, with its place on the page and its picture. TOLD has the places
    of the checks whose lessons are on the page."""
    drawn = timeline(stage, check)
    return {
        **check,
        "anchor": _anchor(stage, check["id"]),
        "blocker": told.get(check["blocked_by"], ""),
        "timeline": drawn,
        "picture": picture(drawn) if drawn else None,
        "lesson": [_part(part) for part in read(check["lesson"])],
    }


def _part(part: Part) -> dict[str, Any]:
    """PART of a lesson with its story in rows: of each step its number, its time and
    its words; of those that are left out, how many, in words only."""
    rows: list[tuple[str, str, str]] = []
    before = 0
    for line in part.story:
        if line.position > before + 1:
            rows.append(("", "", left_out(line.position - before - 1)))
        number, _, time = line.lead.strip().partition(".")
        rows.append((f"{number}." if number else "", time.strip(), line.says))
        before = line.position
    label = part.label.removesuffix(":")
    kind, text = part.kind, part.text
    return {"kind": kind, "label": label, "text": text, "rows": rows} | {
        "href": to_lesson(part.link)
    }


def _anchor(stage: int, id: str) -> str:
    return re.sub(r"\W+", "-", f"stage-{stage}-{id}")
