"""Grading again at each save: `make watch`.

Each grading is a process of its own, `grader grade`, for that enters namespaces for
good, and a save in its middle ends it. It is told to try first what failed the last
time, and its result file is read as it grows: a line on its standard output says
that there is something new in it.
"""

from __future__ import annotations

import json
import os
import selectors
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from grader import child, rubric, submission, workplace
from grader.report.changes import Changes, Data, is_known
from grader.saves import Saves


@dataclass(frozen=True)
class Request:
    """What is to be watched: these stages of the folder, one after the other."""

    folder: Path
    stages: list[int]
    only: str


def watch(request: Request, out: TextIO) -> None:
    """Grade the first stage of REQUEST at each save, tell OUT, and go on to the next
    one when it is complete. Ends by KeyboardInterrupt or CannotGrade only."""
    view = Changes(out)
    with workplace.folder() as place:
        try:
            for stage in request.stages:
                _Watch(request, stage, place / "result.json", view).run()
        finally:
            view.close()


class _Watch:
    """The gradings of one stage."""

    def __init__(
        self, request: Request, stage: int, report: Path, view: Changes
    ) -> None:
        self._request = request
        self._stage = stage
        self._report = report
        self._view = view
        self._checks = rubric.select(rubric.load(stage), request.only)
        self._failed: set[str] = set()  # when they were tried the last time
        self._order: list[str] = []  # in which they are tried this time
        self._data: Data = {}
        self._isolated = True

    def run(self) -> None:
        """Grade at each save, until the stage is complete and another one follows."""
        name = f"{self._stage}/{submission.STAGES[self._stage]}.c"
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
        """Grade what is there now: whether that was done before the next save."""
        self._report.unlink(missing_ok=True)
        self._order = list(rubric.in_order(self._checks, self._failed))
        self._data = {}
        self._view.begins()
        with child.running(*self._arguments()) as grader:
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
        """Read what is known by now, and tell it."""
        try:
            result = json.loads(self._report.read_bytes())
        except FileNotFoundError:
            return
        if not result["stages"]:
            return
        self._isolated = result["isolation"] != "off"
        (self._data,) = result["stages"]
        self._data["checks"].sort(key=lambda check: self._order.index(check["id"]))
        for check in filter(is_known, self._data["checks"]):
            if check["status"] == "passed":
                self._failed.discard(check["id"])
            elif check["status"] == "failed":
                self._failed.add(check["id"])
        self._view.grows(self._data)

    def _is_complete(self) -> bool:
        """Whether there is nothing more to gain in this stage."""
        whole = self._data and self._data["status"] == "graded"
        whole = whole and not self._request.only
        return bool(whole and self._data["score"] == self._data["max_score"])

    def _goes_on(self) -> bool:
        """Tell what is next after this stage: whether that can be watched."""
        following = self._stage + 1
        if following not in submission.STAGES:
            self._view.says(f"Stage {self._stage} is complete: it was the last one.")
            return False
        lesson = f"stages/{following}/README.md"
        self._view.says(f"Stage {self._stage} is complete. Next: {lesson}")
        return following in self._request.stages
