"""The report of `make watch`: what is mended, what is still wrong, what broke anew; the
first lesson; and the score. On a terminal that is one screen, which is drawn again as
it grows; in a pipe the same comes line by line."""

from __future__ import annotations

from typing import TextIO

from grader.lessons.lesson import SCREEN
from grader.report.screen import Screen, wrapped
from grader.text import one_line
from grader.watch import changes, layout
from grader.watch.changes import Before, Data, is_known
from grader.watch.layout import Told

# How many lines of the compiler's output are shown in a pipe.
_BUILD_LINES = 20


class ChangeReport:
    """Writes to OUT how a grading of a stage differs from the last whole one."""

    def __init__(self, out: TextIO) -> None:
        self._screen = Screen(out)
        self._told = Told("")
        self._before = Before()
        self._known: set[str] = set()  # ids of checks on which there is a verdict

    def stage_begins(self, stage: int, shown: str) -> None:
        """STAGE is watched from now on. SHOWN is the path of its source."""
        if self._told.title and not self._screen.is_terminal:
            self._screen.line("")
        title = self._screen.bold(f"Stage {stage}: {one_line(shown)}")
        self._before = Before()
        # The last notes on the stage before stay until they have been read.
        self._told = Told(title, news=self._told.notes)

    def begins(self) -> None:
        """A grading begins."""
        news = [] if self._before.statuses else self._told.news
        self._told = Told(self._told.title, news)
        self._known = set()
        self._show([self._told.title])
        self._screen.live("compiling")

    def grows(self, stage: Data) -> None:
        """STAGE may have new verdicts. Its checks are in the order of being tried."""
        checks = stage["checks"]
        for check in checks:
            if is_known(check) and check["id"] not in self._known:
                self._known.add(check["id"])
                self._tell(check)
        ahead = [check for check in checks if not is_known(check)]
        if stage["build"]["ok"] and ahead:
            number = len(checks) - len(ahead) + 1
            self._screen.live(f"[{number}/{len(checks)}] {ahead[0]['title']}")

    def _tell(self, check: Data) -> None:
        """Show the verdict on CHECK, if it failed, or changed."""
        if word := changes.word_for(check, self._before):
            self._told.verdicts.append((word, check))
            self._show([layout.verdict_line(word, check, self._screen)])

    def ends(self, stage: Data) -> None:
        """The grading is done, and STAGE is its result."""
        told, screen = self._told, self._screen
        said, lines = changes.said_by_the_compiler(stage)
        if lines:
            heading = screen.coloured("failed", f"  {said}")
            told.compiler = [heading, *(f"    {line}" for line in lines)]
        if stage["status"] == "missing":
            what = one_line(stage["build"]["output"])
            told.counts.append(f"  nothing to grade: {what}")
        if stage["status"] == "graded":
            told.counts += [
                f"  {screen.mark(status)} {words}"
                for status, words in changes.counted(stage["checks"], self._before)
            ]
            told.result += ["", screen.bold(changes.score(stage, self._before))]
            told.result += filter(None, [changes.next_step(stage)])
            statuses = {check["id"]: check["status"] for check in stage["checks"]}
            self._before = Before(statuses, stage["score"])
        build = layout.compiler_lines(told, screen, _BUILD_LINES)
        lesson = layout.lesson_lines(told, screen, SCREEN)
        self._show([*build, *told.counts, *lesson, *told.result])

    def _show(self, lines: list[str]) -> None:
        """Write LINES, which are new; on a terminal, draw the whole screen again."""
        if self._screen.is_terminal:
            rows = self._screen.draws() - 1  # where the cursor waits
            lines = layout.fitted(self._told, self._screen, rows)
        for line in lines:
            self._screen.line(line)

    # -- notes -----------------------------------------------------------------

    def says(self, text: str) -> None:
        """Show TEXT as a note."""
        lines = wrapped(text, self._screen.width)
        if lines and lines != self._told.notes[-len(lines) :]:
            self._told.notes += lines
            self._show(lines)

    def waits(self) -> None:
        """Say that nothing happens until the next save."""
        self.says("Waiting for the next save; Ctrl-C ends this.")

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._screen.clear_live()
