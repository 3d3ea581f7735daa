"""Grading again at each save: `make watch`.

Each grading is a process of its own, `grader grade`, because that enters namespaces and
cannot leave them. It tries first what failed the last time, and a save ends it. Its
result file is read as it grows: a line on its standard output means that there is
something new in the file.
"""

from __future__ import annotations

import json
import os
import selectors
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from grader import course
from grader.grading import submission, worker
from grader.grading.order import in_order
from grader.sandbox import compiler
from grader.sandbox.isolation import NoIsolation
from grader.watch.change_report import ChangeReport
from grader.watch.changes import Data, is_known
from grader.watch.saves import Saves


@dataclass(frozen=True)
class Focus:
    """What to watch: these stages of the folder, one after the other."""

    folder: Path
    stages: list[int]
    only: str


def watch(request: Focus, out: TextIO) -> None:
    """Grade the first stage of REQUEST at each save, report to OUT, and go on to the
    next stage when it is complete. Only KeyboardInterrupt and CannotGrade end it."""
    view = ChangeReport(out)
    with compiler.folder() as place:
        try:
            for stage in request.stages:
                _Watch(request, stage, place / "result.json", view).run()
        finally:
            view.close()


class _Watch:
    """The gradings of one stage."""

    def __init__(
        self, request: Focus, stage: int, report: Path, view: ChangeReport
    ) -> None:
        self._request = request
        self._stage = stage
        self._report = report
        self._view = view
        self._checks = course.stage(stage).select(request.only)
        self._failed: set[str] = set()  # the last time that they were tried
        self._order: list[str] = []  # of the checks, in this grading
        self._data: Data = {}
        self._isolated = True

    def run(self) -> None:
        """Grade at each save, until the stage is complete and another one follows."""
        name = f"{self._stage}/{course.stage(self._stage).source}"
        shown = submission.shown_path(self._request.folder / name)
        self._view.stage_begins(self._stage, shown)
        with Saves(self._request.folder, self._stage) as saves:
            while True:
                if not saves.there:
                    self._view.says(f"There is no {shown}: waiting for it.")
                elif not self._grade(saves):
                    saves.settle()
                    continue
                elif self._is_complete() and self._goes_on():
                    return
                else:
                    self._view.waits()
                saves.wait()

    def _grade(self, saves: Saves) -> bool:
        """Grade what is there now. Returns whether it was done before the next save."""
        self._report.unlink(missing_ok=True)
        self._order = list(in_order(self._checks, self._failed))
        self._data = {}
        self._view.begins()
        with worker.running(*self._arguments()) as grader:
            assert grader.stdout and grader.stderr
            with selectors.DefaultSelector() as events:
                events.register(grader.stdout, selectors.EVENT_READ)
                events.register(saves, selectors.EVENT_READ)
                has_ended = False
                while not has_ended:
                    ready = [key.fileobj for key, _ in events.select()]
                    if saves in ready and saves.changed():
                        return False
                    if grader.stdout in ready:
                        has_ended = not os.read(grader.stdout.fileno(), 1 << 16)
                        self._look()
            said = grader.stderr.read().decode(errors="replace").splitlines()
            grader.wait()
        if self._data:
            self._view.ends(self._data)
        if not self._isolated:
            self._view.says("The program ran without isolation: make grade says why.")
        self._view.says("".join(said[-1:]))
        return True

    def _arguments(self) -> list[str]:
        arguments = [str(self._stage), "--submission", str(self._request.folder)]
        arguments += ["--json", str(self._report), "--only", self._request.only]
        return [*arguments, "--first", ",".join(sorted(self._failed))]

    def _look(self) -> None:
        """Read and report what is known by now."""
        try:
            result = json.loads(self._report.read_bytes())
        except FileNotFoundError:
            return
        if not result["stages"]:
            return
        self._isolated = result["isolation"] != NoIsolation.name
        (self._data,) = result["stages"]
        self._data["checks"].sort(key=lambda check: self._order.index(check["id"]))
        for check in filter(is_known, self._data["checks"]):
            if check["status"] == "passed":
                self._failed.discard(check["id"])
            elif check["status"] == "failed":
                self._failed.add(check["id"])
        self._view.grows(self._data)

    def _is_complete(self) -> bool:
        """Whether this stage has full marks."""
        whole = self._data and self._data["status"] == "graded"
        whole = whole and not self._request.only
        return bool(whole and self._data["score"] == self._data["max_score"])

    def _goes_on(self) -> bool:
        """Say what comes next. Returns whether that is to be watched, too."""
        following = self._stage + 1
        if following not in course.stages():
            self._view.says(f"Stage {self._stage} is complete: it was the last one.")
            return False
        lesson = f"stages/{following}/README.md"
        self._view.says(f"Stage {self._stage} is complete. Next: {lesson}")
        return following in self._request.stages
