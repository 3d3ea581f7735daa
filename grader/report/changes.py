"""The report of a grading that follows another one: what is mended, what is still
wrong, what broke anew; one lesson, the first; and the score."""

from __future__ import annotations

import re
from typing import Any, TextIO

from grader import steps
from grader.lesson import one_line, printable
from grader.report.screen import Screen, cut, wrapped
from grader.submission import STAGES

_BUILD_LINES = 20
_WORDS = {
    ("failed", "passed"): "mended",
    ("failed", "failed"): "still wrong",
    ("passed", "failed"): "broke anew",
}

Data = dict[str, Any]  # a stage or a check, as it is in a result file


def is_known(check: Data) -> bool:
    """Whether there is a verdict on CHECK already, while its stage is graded."""
    return check["status"] != "skipped" or bool(check["message"])


class Changes:
    """Tells OUT how one grading of a stage differs from the last whole one."""

    def __init__(self, out: TextIO) -> None:
        self._screen = Screen(out)
        self._stage = 0

    def stage_begins(self, stage: int, shown: str) -> None:
        """From now on it is STAGE, whose source is SHOWN."""
        if self._stage:
            self._screen.line("")
        self._stage, self._shown = stage, one_line(shown)
        self._before: dict[str, str] = {}
        self._score: int | None = None
        self._is_first = True

    def begins(self) -> None:
        """A grading begins, on an empty screen if it is not the first one."""
        if not self._is_first:
            self._screen.clear()
        self._is_first = False
        self._told: set[str] = set()
        self._taught = False
        self._screen.line(self._screen.bold(f"Stage {self._stage}: {self._shown}"))
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
        """Tell of one verdict, if it is bad, or new; and teach the first bad one."""
        status = check["status"]
        word = _WORDS.get((self._before.get(check["id"], ""), status), "")
        if status == "error":
            word = "the grader failed"
        elif status == "failed":
            word = word or "wrong"
        if not word:
            return
        room = self._screen.width - len(word) - 11
        text = f"{check['requirement']:>5}  {cut(check['title'], room):<{room}} {word}"
        self._screen.line(f"  {self._screen.mark(status)}{text}")
        if status == "failed" and not self._taught:
            self._taught = True
            for line in check["details"].splitlines():
                self._screen.line(f"  {line}".rstrip())

    def ends(self, data: Data) -> None:
        """The grading is done, and DATA is what came out."""
        self._show_compiler(data)
        if data["status"] == "missing":
            self._screen.line(
                f"  nothing to grade: {one_line(data['build']['output'])}"
            )
        if data["status"] != "graded":
            return
        self._count(data["checks"])
        self._show_score(data)
        self._before = {check["id"]: check["status"] for check in data["checks"]}
        self._score = data["score"]

    def _show_compiler(self, data: Data) -> None:
        """What the compiler said: first, what names a line of the source."""
        failed = data["status"] == "build_failed"
        lines = printable(data["build"]["output"]).splitlines()
        if data["status"] == "missing" or not lines:
            return
        kind = "(fatal )?error" if failed else "warning"
        located = re.compile(rf"\S+:\d+:(\d+:)? {kind}:")
        begin = next((n for n, line in enumerate(lines) if located.match(line)), 0)
        said = "it does not compile:" if failed else "the compiler warns:"
        self._screen.line(self._screen.coloured("failed", f"  {said}"))
        for line in lines[begin:][:_BUILD_LINES]:
            self._screen.line(f"    {line}")
        if len(lines[begin:]) > _BUILD_LINES:
            self._screen.line(f"    … {len(lines[begin:]) - _BUILD_LINES} lines more")

    def _count(self, checks: list[Data]) -> None:
        """Say in a line each of what many checks have in common."""
        waiting = sum(check["status"] == "skipped" for check in checks)
        if waiting:
            mark = self._screen.mark("skipped")
            verb = "waits" if waiting == 1 else "wait"
            self._screen.line(f"  {mark} {waiting} more {verb} for what is wrong here")
        could_not = {id for id, status in self._before.items() if status == "skipped"}
        now = sum(c["status"] == "passed" and c["id"] in could_not for c in checks)
        if now:
            verb = "passes" if now == 1 else "pass"
            mark = self._screen.mark("passed")
            self._screen.line(f"  {mark} {now} more can be tried now, and {verb}")

    def _show_score(self, data: Data) -> None:
        gained = data["score"] - (data["score"] if self._score is None else self._score)
        change = f", {abs(gained)} {'more' if gained > 0 else 'fewer'} than before"
        name = f"Stage {self._stage} ({STAGES[self._stage]}.c)"
        score = f"{name}: {data['score']}/{data['max_score']}"
        self._screen.line("")
        self._screen.line(self._screen.bold(score + (change if gained else "")))
        if data["score"] < data["max_score"]:
            leading = steps.for_milestones(self._stage)
            ahead = [m["name"] for m in data["milestones"] if m["status"] != "passed"]
            if ahead and ahead[0] in leading:
                lesson = f"stages/{self._stage}/README.md, {leading[ahead[0]]}"
                self._screen.line(f"→ {ahead[0]} is the next step: {lesson}")

    def says(self, text: str) -> None:
        """Tell TEXT, which is no verdict."""
        for line in wrapped(text, self._screen.width):
            self._screen.line(line)

    def waits(self) -> None:
        """Nothing happens until something is saved."""
        self.says("Waiting for the next save; Ctrl-C ends this.")

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._screen.clear_live()
