"""The progress of grading a class: a line for each verdict as it comes, and an estimate
of the time left. On a terminal, a live line shows the estimate and the names that are
being graded; in a pipe, the estimate is at the end of each verdict."""

from __future__ import annotations

import statistics
import time
from collections.abc import Collection
from typing import Any, TextIO

from grader.report.screen import Screen
from grader.teaching import roster
from grader.text import one_line, printable

# How many verdicts an estimate needs. The quick ones come first, so that fewer would
# give too short an estimate.
_FEWEST = 3


class ClassProgress:
    """Shows the progress on OUT (see grade_class.ClassProgress)."""

    def __init__(self, out: TextIO) -> None:
        self._screen = Screen(out)
        self._total = 0
        self._done = 0
        self._at_once = 1
        self._began: dict[str, float] = {}  # by name, those that are being graded
        self._took: list[float] = []  # seconds, of those that this run graded

    def begins(self, notes: list[str], total: int, kept: int, at_once: int) -> None:
        """See grade_class.ClassProgress."""
        self._total, self._done, self._at_once = total, kept, at_once
        for note in notes:
            self._screen.line(note)

    def submission_begins(self, name: str) -> None:
        """See grade_class.ClassProgress."""
        self._began[name] = time.monotonic()
        self.goes_on()

    def goes_on(self) -> None:
        """See grade_class.ClassProgress."""
        names = ", ".join(one_line(printable(name)) for name in self._began)
        left = self._left()
        self._screen.live(f"{self._count()} {left + ': ' if left else ''}{names}")

    def submission_ends(self, name: str, outcome: dict[str, Any] | str) -> None:
        """See grade_class.ClassProgress."""
        self._done += 1
        began = self._began.pop(name, None)
        if began is not None:  # otherwise it was refused at once
            self._took.append(time.monotonic() - began)
        line = self._count() + roster.line(name, outcome)
        left = "" if self._screen.is_terminal else self._left()
        self._screen.line(f"{line}; {left}" if left else line)
        if self._began:
            self.goes_on()

    def stops(self) -> None:
        """The user has interrupted the run: say how to continue."""
        if self._total:
            done = f"{self._done} of {self._total} done"
            self._screen.line(f"{done}. Run the same command again to go on.")

    def clear(self) -> None:
        """Take the live line away."""
        self._screen.clear_live()

    def _count(self) -> str:
        width = len(str(self._total))
        return f"[{self._done:>{width}}/{self._total}]"

    def _left(self) -> str:
        """How long the rest will take, in words; "" if that is not known yet."""
        now = time.monotonic()
        running = [now - began for began in self._began.values()]
        waiting = self._total - self._done - len(running)
        seconds = seconds_left(self._took, running, waiting, self._at_once)
        return "" if seconds is None else f"{in_words(seconds)} left"


def seconds_left(
    took: Collection[float], running: Collection[float], waiting: int, at_once: int
) -> float | None:
    """An estimate of the seconds until all submissions are graded. TOOK has the seconds
    that each graded one took, RUNNING those since each of the current ones started;
    WAITING ones have not started, and AT_ONCE are graded at a time. None if nothing is
    left, or too few are done to tell."""
    if len(took) < max(_FEWEST, at_once) or not running and not waiting:
        return None
    mean = statistics.fmean(took)
    to_go = [max(0.0, mean - seconds) for seconds in running]
    together = (sum(to_go) + mean * waiting) / at_once
    # However many are done, each of the current ones needs its own time.
    return max([together, *to_go])


def in_words(seconds: float) -> str:
    """SECONDS as people say them."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes} min" if minutes < 90 else f"about {seconds / 3600:.1f} h"
