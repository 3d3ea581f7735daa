"""The report of a grading that follows another one: what is mended, what is still
wrong, what broke anew; one lesson, the first; and the score. On a terminal that is
one screen, drawn again as it grows; in a pipe the same comes line by line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, TextIO

from grader import steps
from grader.lesson import SCREEN, one_line, printable, read, write
from grader.report.screen import Screen, cut, wrapped
from grader.result import Milestone
from grader.submission import STAGES

# So much of what the compiler said is shown in a pipe; on a terminal as much as has
# room, and a few rows of it if there is a lesson to learn besides.
_BUILD_LINES, _WARNING_ROWS = 20, 4
_FEWEST_VERDICTS = 3
_WORDS = {
    ("failed", "passed"): "mended",
    ("failed", "failed"): "still wrong",
    ("passed", "failed"): "broke anew",
}
_ORDER = ("mended", "broke anew", "still wrong", "wrong", "the grader failed")

Data = dict[str, Any]  # a stage or a check, as it is in a result file


def is_known(check: Data) -> bool:
    """Whether there is a verdict on CHECK already, while its stage is graded."""
    return check["status"] != "skipped" or bool(check["message"])


class Changes:
    """Tells OUT how one grading of a stage differs from the last whole one."""

    def __init__(self, out: TextIO) -> None:
        self._screen = Screen(out)
        self._stage = 0
        self._notes: list[str] = []

    def stage_begins(self, stage: int, shown: str) -> None:
        """From now on it is STAGE, whose source is SHOWN."""
        if self._stage and not self._screen.is_terminal:
            self._screen.line("")
        self._stage = stage
        self._title = self._screen.bold(f"Stage {stage}: {one_line(shown)}")
        self._before: dict[str, str] = {}
        self._score: int | None = None
        # What was said last, of the stage before, stays until it has been read.
        self._forget(news=self._notes)

    def _forget(self, news: list[str]) -> None:
        """Begin anew, with nothing to tell but NEWS."""
        self._news = news
        self._notes = []
        self._verdicts: list[tuple[str, Data]] = []
        self._compiler: list[str] = []
        self._counts: list[str] = []
        self._result: list[str] = []
        self._told: set[str] = set()

    def begins(self) -> None:
        """A grading begins."""
        self._forget(self._news if not self._before else [])
        self._show([self._title])
        self._screen.live("compiling")

    def grows(self, data: Data) -> None:
        """There are new verdicts, perhaps, in DATA, with its checks as tried."""
        checks = data["checks"]
        for check in checks:
            if is_known(check) and check["id"] not in self._told:
                self._told.add(check["id"])
                self._tell(check)
        ahead = [check for check in checks if not is_known(check)]
        if data["build"]["ok"] and ahead:
            number = len(checks) - len(ahead) + 1
            self._screen.live(f"[{number}/{len(checks)}] {ahead[0]['title']}")

    def _tell(self, check: Data) -> None:
        """Tell of one verdict, if it is bad, or new."""
        status = check["status"]
        word = _WORDS.get((self._before.get(check["id"], ""), status), "")
        if status == "error":
            word = "the grader failed"
        elif status == "failed":
            word = word or "wrong"
        if word:
            self._verdicts.append((word, check))
            self._show([self._verdict(word, check)])

    def _verdict(self, word: str, check: Data) -> str:
        room = self._screen.width - len(word) - 11
        text = f"{check['requirement']:>5}  {cut(check['title'], room):<{room}} {word}"
        return f"  {self._screen.mark(check['status'])}{text}"

    def ends(self, data: Data) -> None:
        """The grading is done, and DATA is what came out."""
        self._compiler = self._of_compiler(data)
        if data["status"] == "missing":
            what = f"  nothing to grade: {one_line(data['build']['output'])}"
            self._counts.append(what)
        if data["status"] == "graded":
            self._count(data["checks"])
            self._sum_up(data)
            self._before = {check["id"]: check["status"] for check in data["checks"]}
            self._score = data["score"]
        build = self._build(_BUILD_LINES, lambda _: 1)
        self._show([*build, *self._counts, *self._lesson(SCREEN), *self._result])

    def _of_compiler(self, data: Data) -> list[str]:
        """What the compiler said: first, what names a line of the source."""
        failed = data["status"] == "build_failed"
        lines = printable(data["build"]["output"]).splitlines()
        if data["status"] == "missing" or not lines:
            return []
        kind = "(fatal )?error" if failed else "warning"
        located = re.compile(rf"\S+:\d+:(\d+:)? {kind}:")
        begin = next((n for n, line in enumerate(lines) if located.match(line)), 0)
        said = "it does not compile:" if failed else "the compiler warns:"
        said = self._screen.coloured("failed", f"  {said}")
        return [said, *(f"    {line}" for line in lines[begin:])]

    def _count(self, checks: list[Data]) -> None:
        """Say in a line each of what many checks have in common."""
        waiting = sum(check["status"] == "skipped" for check in checks)
        if waiting:
            mark = self._screen.mark("skipped")
            verb = "waits" if waiting == 1 else "wait"
            self._counts.append(
                f"  {mark} {waiting} more {verb} for what is wrong here"
            )
        could_not = {id for id, status in self._before.items() if status == "skipped"}
        now = sum(c["status"] == "passed" and c["id"] in could_not for c in checks)
        if now:
            verb = "passes" if now == 1 else "pass"
            mark = self._screen.mark("passed")
            self._counts.append(f"  {mark} {now} more can be tried now, and {verb}")

    def _sum_up(self, data: Data) -> None:
        """The score, and which step is next."""
        gained = data["score"] - (data["score"] if self._score is None else self._score)
        change = f", {abs(gained)} {'more' if gained > 0 else 'fewer'} than before"
        name = f"Stage {self._stage} ({STAGES[self._stage]}.c)"
        score = f"{name}: {data['score']}/{data['max_score']}"
        bold = self._screen.bold(score + (change if gained else ""))
        self._result += ["", bold]
        if data["score"] < data["max_score"]:
            milestones = [Milestone(**one) for one in data["milestones"]]
            leading = steps.for_milestones(self._stage)
            ahead = steps.next_milestone(milestones, data["score"])
            if ahead in leading:
                step = f"stages/{self._stage}/README.md, {leading[ahead]}"
                self._result.append(f"→ {ahead} is the next step: {step}")

    def _lesson(self, most: int) -> list[str]:
        """The lesson of the first that is wrong, in MOST lines if that can be; with
        its title, if that is not just what stands above it."""
        wrong = [check for _, check in self._verdicts if check["status"] == "failed"]
        if not wrong:
            return []
        title = f"  ✗ {wrong[0]['requirement']} {wrong[0]['title']}"
        above = ["", *([self._screen.coloured("failed", title)] if wrong[1:] else [])]
        parts = read(wrong[0]["lesson"])
        text = write(parts, most - len(above))
        if len(above) + self._rows(text.splitlines()) > most:
            # It is run again at each save, anyway.
            others = [part for part in parts if part.kind != "command"]
            text = write(others, most - len(above))
        return [*above, *(f"  {line}" for line in text.splitlines())]

    def _rows(self, lines: list[str]) -> int:
        return sum(map(self._screen.rows_of, lines))

    # -- on a terminal, one screen --------------------------------------------

    def _show(self, lines: list[str]) -> None:
        """LINES are new: they come after the others, or all is drawn again."""
        if self._screen.is_terminal:
            self._draw()
            return
        for line in lines:
            self._screen.line(line)

    def _draw(self) -> None:
        """Put all that is known on the screen. Nothing scrolls away: what has no room
        is left out, the story's middle before the verdicts, of these the last."""
        above = [*self._news, self._title]
        below = [*self._result, *self._notes]
        room = self._screen.draws() - 1  # where the cursor waits
        room -= self._rows([*above, *self._counts, *below])
        failed = self._compiler and not self._verdicts
        rows = room if failed else _WARNING_ROWS
        build = self._build(rows, self._screen.rows_of)
        room -= self._rows(build)
        fewest = min(len(self._verdicts), _FEWEST_VERDICTS)
        lesson = self._lesson(min(SCREEN, room - fewest))
        room -= self._rows(lesson)
        verdicts = self._in_rows(room)
        if len(verdicts) > room and below[:1] == [""]:
            below.pop(0)
        for line in (*above, *build, *verdicts, *self._counts, *lesson, *below):
            self._screen.line(line)

    def _build(self, rows: int, rows_of: Callable[[str], int]) -> list[str]:
        """What the compiler said, from its first error on, in so many ROWS."""
        shown: list[str] = []
        for line in self._compiler:
            rows -= rows_of(line)
            if rows < 1 and len(shown) > 1:
                break
            shown.append(line)
        left = len(self._compiler) - len(shown)
        return shown + ([f"    … {left} lines more"] if left else [])

    def _in_rows(self, rows: int) -> list[str]:
        """The verdicts, in so many ROWS, or in one if there are fewer."""
        ordered = sorted(self._verdicts, key=lambda told: _ORDER.index(told[0]))
        lines = [self._verdict(*told) for told in ordered]
        if len(lines) <= max(rows, 1):
            return lines
        shown = max(rows - 1, 0)
        left = Counter(word for word, _ in ordered[shown:])
        counted = ", ".join(f"{number} {word}" for word, number in left.items())
        return [*lines[:shown], f"    … {'and ' if shown else ''}{counted}"]

    # -- what is no verdict ---------------------------------------------------

    def says(self, text: str) -> None:
        """Tell TEXT, which is no verdict."""
        lines = wrapped(text, self._screen.width)
        if lines and lines != self._notes[-len(lines) :]:
            self._notes += lines
            self._show(lines)

    def waits(self) -> None:
        """Nothing happens until something is saved."""
        self.says("Waiting for the next save; Ctrl-C ends this.")

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._screen.clear_live()
