"""The report that students see: a line for each check when it is done, then the
lessons, then the score. On a terminal, a live line shows what is being tried."""

from __future__ import annotations

from typing import TextIO

from grader import course
from grader.course import Check
from grader.grading.order import untried_needs
from grader.grading.result import CheckResult, Result, StageResult
from grader.report import steps
from grader.report.screen import MARKS, Screen, cut, wrapped
from grader.text import one_line, printable

_BUILD_LINES = 30


class Terminal:
    """Shows the progress of a grading on OUT (see grade.Progress)."""

    def __init__(self, out: TextIO) -> None:
        self._screen = Screen(out)
        self._total = 0

    def stage_begins(self, stage: StageResult, shown: str) -> None:
        """See grade.Progress."""
        self._total = len(stage.checks)
        self._screen.line(self._screen.bold(f"Stage {stage.stage}: {one_line(shown)}"))
        self._screen.live("compiling")

    def built(self, stage: StageResult) -> None:
        """See grade.Progress."""
        output = printable(stage.build["output"]).splitlines()
        if stage.status == "missing":
            self._screen.line(
                self._screen.coloured("failed", f"  nothing to grade: {output[0]}")
            )
            return
        if stage.status == "build_failed":
            self._screen.line(self._screen.coloured("failed", "  it does not compile:"))
        elif output:
            self._screen.line("  the compiler warns:")
        for line in output[:_BUILD_LINES]:
            self._screen.line(f"    {line}")
        if len(output) > _BUILD_LINES:
            self._screen.line(f"    … {len(output) - _BUILD_LINES} more lines")

    def milestones_done(self, stage: StageResult) -> None:
        """See grade.Progress."""
        if stage.milestones:
            self._milestones(stage)
        self._screen.line("  Checks")

    def _milestones(self, stage: StageResult) -> None:
        """The milestones, from the first to the last, and which one is next."""
        done = sum(m.status == "passed" for m in stage.milestones)
        total = len(stage.milestones)
        self._screen.line(f"  Milestones: {done} of {total} (they carry no points)")
        leading = steps.for_milestones(stage.stage)
        ahead = steps.next_milestone(stage.milestones, stage.score)
        for milestone in stage.milestones:
            name, mark = milestone.name, self._screen.mark(milestone.status)
            if name == ahead and name in leading:
                lesson = f"stages/{stage.stage}/README.md, {leading[name]}"
                name = f"{name:<22}  the next step: {lesson}"
                mark = self._screen.coloured("next", MARKS["next"])
            self._screen.line(f"  {mark} {name}")
            if milestone.message and milestone.status == "failed":
                for line in wrapped(milestone.message, self._screen.width - 6):
                    self._screen.line(f"      {line}")

    def checks_begin(self, under_way: list[Check], done: int) -> None:
        """See grade.Progress."""
        more = f", and {len(under_way) - 1} more" if under_way[1:] else ""
        self._screen.live(f"[{done}/{self._total}] {under_way[0].title}{more}")

    def check_ends(self, check: CheckResult) -> None:
        """See grade.Progress."""
        points = f"{check.points}/{check.max_points}"
        room = self._screen.width - len(points) - 11
        needs = f" (needs {check.blocked_by})" if check.blocked_by else ""
        title = cut(check.title, room - len(needs)) + needs
        text = f"{check.requirement:>5}  {title:<{room}} {points}"
        self._screen.line(f"  {self._screen.mark(check.status)}{text}")

    def stage_ends(self, stage: StageResult) -> None:
        """See grade.Progress."""
        for check in stage.checks:
            if check.status in ("failed", "error"):
                self._screen.line("")
                title = f"{MARKS[check.status]} {check.requirement} {check.title}"
                self._screen.line(self._screen.coloured(check.status, title))
                for line in (check.details or check.message).splitlines():
                    self._screen.line(f"  {line}" if line else "")
        self._screen.line("")
        name = course.stage(stage.stage).source
        self._screen.line(
            self._screen.bold(
                f"Stage {stage.stage} ({name}): {stage.score}/{stage.max_score}"
            )
        )
        for line in wrapped(_not_tried(stage), self._screen.width):
            self._screen.line(line)
        self._screen.line("")

    def ends(self, result: Result, note: str) -> None:
        """The whole grading is done; NOTE says what else the user has to know."""
        if len(result.stages) > 1:
            self._screen.line(
                self._screen.bold(f"Score: {result.score}/{result.max_score}")
            )
        if note:
            self._screen.line(note)

    def clear(self) -> None:
        """Remove the live line."""
        self._screen.clear_live()


def _not_tried(stage: StageResult) -> str:
    """A note on checks that the chosen ones build on but that were not chosen; "" if
    there are none."""
    chosen = [check.id for check in stage.checks]
    untried = untried_needs(course.stage(stage.stage).checks, chosen)
    if not untried:
        return ""
    themes = sorted({id.partition("/")[0] for id in chosen})
    what = chosen[0] if len(chosen) == 1 else " and ".join(themes)
    builds = "builds" if len(themes) == 1 else "build"
    if len(untried) == 1:
        return f"{what} {builds} on {untried[0]}, which was not tried."
    more = untried[1] if len(untried) == 2 else f"{len(untried) - 1} more"
    return f"{what} {builds} on {untried[0]} and {more}, which were not tried."
