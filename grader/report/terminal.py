"""The report that students see: a line for each check as it is done, then the
lessons, then the score. On a terminal a live line shows what is being tried; in
a pipe there are plain lines and no colours."""

from __future__ import annotations

import shutil
import textwrap
from typing import TextIO

from grader import rubric, steps
from grader.lesson import defused, one_line, printable
from grader.result import CheckResult, Result, StageResult
from grader.rubric import Check
from grader.submission import STAGES

_MARKS = {"passed": "✓", "failed": "✗", "skipped": "–", "error": "!", "next": "→"}
_COLOURS = {"passed": "32", "failed": "31", "skipped": "33", "error": "35", "next": "1"}
_BUILD_LINES = 30


class Terminal:
    """Tells OUT how the grading goes on (see grade.Progress)."""

    def __init__(self, out: TextIO, width: int = 0) -> None:
        self._out = out
        self._live = out.isatty()
        self._width = width or min(shutil.get_terminal_size((80, 24)).columns, 100)
        self._tried = 0
        self._total = 0
        encoding = (out.encoding or "").lower()
        self._plain = not encoding.startswith("utf")

    # -- as the grading goes on ---------------------------------------------

    def stage_begins(self, stage: StageResult, shown: str) -> None:
        """See grade.Progress."""
        self._tried, self._total = 0, len(stage.checks)
        self._line(self._bold(f"Stage {stage.stage}: {one_line(shown)}"))
        self._show_live("compiling")

    def built(self, stage: StageResult) -> None:
        """See grade.Progress."""
        output = printable(stage.build["output"]).splitlines()
        if stage.status == "missing":
            self._line(self._coloured("failed", f"  nothing to grade: {output[0]}"))
            return
        if stage.status == "build_failed":
            self._line(self._coloured("failed", "  it does not compile:"))
        elif output:
            self._line("  the compiler warns:")
        for line in output[:_BUILD_LINES]:
            self._line(f"    {line}")
        if len(output) > _BUILD_LINES:
            self._line(f"    … {len(output) - _BUILD_LINES} lines more")
        if stage.milestones:
            self._ladder(stage)
        if stage.status == "grader_error":  # that is, not done yet
            self._line("  Checks")

    def _ladder(self, stage: StageResult) -> None:
        """The milestones, from the first to the last, and which one is next."""
        done = sum(m.status == "passed" for m in stage.milestones)
        total = len(stage.milestones)
        self._line(f"  Milestones: {done} of {total} (they carry no points)")
        leading = steps.for_milestones(stage.stage)
        ahead = [m.name for m in stage.milestones if m.status != "passed"]
        for milestone in stage.milestones:
            name, mark = milestone.name, self._mark(milestone.status)
            if name in ahead[:1] and name in leading:
                lesson = f"stages/{stage.stage}/README.md, {leading[name]}"
                name = f"{name:<22}  the next step: {lesson}"
                mark = self._coloured("next", _MARKS["next"])
            self._line(f"  {mark} {name}")
            if milestone.message and milestone.status == "failed":
                for line in _wrapped(milestone.message, self._width - 6):
                    self._line(f"      {line}")

    def check_begins(self, check: Check) -> None:
        """See grade.Progress."""
        self._show_live(f"[{self._tried + 1}/{self._total}] {check.title}")

    def check_ends(self, check: CheckResult) -> None:
        """See grade.Progress."""
        self._tried += 1
        points = f"{check.points}/{check.max_points}"
        room = self._width - len(points) - 11
        needs = f" (needs {check.blocked_by})" if check.blocked_by else ""
        title = _cut(check.title, room - len(needs)) + needs
        text = f"{check.requirement:>5}  {title:<{room}} {points}"
        self._line(f"  {self._mark(check.status)}{text}")

    def stage_ends(self, stage: StageResult) -> None:
        """See grade.Progress."""
        for check in stage.checks:
            if check.status in ("failed", "error"):
                self._line("")
                title = f"{_MARKS[check.status]} {check.requirement} {check.title}"
                self._line(self._coloured(check.status, title))
                for line in (check.details or check.message).splitlines():
                    self._line(f"  {line}" if line else "")
        self._line("")
        name = f"{STAGES[stage.stage]}.c"
        self._line(
            self._bold(f"Stage {stage.stage} ({name}): {stage.score}/{stage.max_score}")
        )
        for line in _wrapped(_not_tried(stage), self._width):
            self._line(line)
        self._line("")

    def ends(self, result: Result, note: str) -> None:
        """The whole grading is done; NOTE says what else has to be known."""
        if len(result.stages) > 1:
            self._line(self._bold(f"Score: {result.score}/{result.max_score}"))
        if note:
            self._line(note)

    # -- how it is written --------------------------------------------------

    def _line(self, text: str) -> None:
        clear = "\r\x1b[K" if self._live else ""
        if self._plain:
            text = text.translate(_ASCII)
            text = text.encode("ascii", "replace").decode()
        self._out.write(f"{clear}{defused(text)}\n")
        self._out.flush()

    def _show_live(self, text: str) -> None:
        if self._live:
            self._out.write(f"\r\x1b[K  {text[: self._width - 4]} …")
            self._out.flush()

    def clear(self) -> None:
        """Take the live line away."""
        if self._live:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def _mark(self, status: str) -> str:
        return self._coloured(status, _MARKS[status])

    def _coloured(self, status: str, text: str) -> str:
        return f"\x1b[{_COLOURS[status]}m{text}\x1b[0m" if self._live else text

    def _bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self._live else text


_ASCII = str.maketrans({"✓": "+", "✗": "x", "–": "-", "…": "~", "—": "-", "→": ">"})


def _not_tried(stage: StageResult) -> str:
    """What the chosen checks build on that was not chosen with them; or ""."""
    chosen = [check.id for check in stage.checks]
    untried = rubric.untried_needs(rubric.load(stage.stage), chosen)
    if not untried:
        return ""
    what = chosen[0] if len(chosen) == 1 else chosen[0].partition("/")[0]
    if len(untried) == 1:
        return f"{what} builds on {untried[0]}, which was not tried."
    more = len(untried) - 1
    return f"{what} builds on {untried[0]} and {more} more, which were not tried."


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(printable(text), width)
