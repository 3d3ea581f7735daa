"""Grades what a pull request hands in: its stages, with this grader.

This repository is the pull request's base; the grader, the rubric and the threshold are
the base's. From the pull request's head we use only the sources of the stages, and run
them only in a cell.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grader import course
from grader.course import ROOT
from grader.errors import CannotGrade
from grader.github import changes, event
from grader.github.annotations import annotate
from grader.github.changes import Changes, is_workflow
from grader.grading import worker
from grader.grading.result import read
from grader.report.inert import code, short

# What all stages together may take, and how long the grader then has to end by itself.
# That is far less than grade.yml gives the job: if GitHub ends it, nobody is told why,
# and a student who wants no grade could have that at will.
_SECONDS, _ENDING_SECONDS = 20 * 60, 60

_PATHS_NAMED = 10
_NO_EFFECT = "with no effect on the grade"
_REPORT = "report.md"


def grade(head: Path, out: Path) -> int:
    """Grade the stages that the pull request checked out in HEAD touches, and leave
    result.json and report.html in OUT: exit status.

    0, it has the points that it needs to pass, or there is nothing to grade; 1, it has
    fewer; 2, it could not be graded. Raises CannotGrade.
    """
    commit, touched = _look_at(head)
    for path in touched.outside[:_PATHS_NAMED]:
        effect = "which may change this grade" if is_workflow(path) else _NO_EFFECT
        print(f"Outside stages/, {effect}: {short(path, 200)}")
    if not touched.stages:
        _say("Nothing to grade: no stage is touched.", touched)
        return 0
    _make_room(out)
    with tempfile.TemporaryDirectory(prefix="echolab-pull-") as name:
        place = Path(name)
        refused = changes.unpack(head, commit, touched.stages, place)
        try:
            _run_grader(place, touched.stages, out)
            result = read(out / "result.json")
            report = (place / _REPORT).read_text(encoding="utf-8")
        except CannotGrade as reason:
            _say(f"Not graded: {reason}; the log says more.", touched, refused)
            return 2
    if os.environ.get("GITHUB_ACTIONS"):
        print("\n".join(annotate(result)), flush=True)
    passed, verdict = _verdict(result)
    _say(verdict, touched, refused, report)
    return 0 if passed else 1


def _look_at(head: Path) -> tuple[str, Changes]:
    """The commit to grade, and what it touches: everything, if there is no event."""
    if not (head / ".git").exists():
        raise CannotGrade(f"{head} is not a git checkout")
    happened = event.load()
    if happened is None:
        return changes.commit_of(head), Changes()
    commit = event.sha(happened, "pull_request", "head", "sha")
    base = event.sha(happened, "pull_request", "base", "sha")
    return commit, changes.between(head, base, commit)


def _make_room(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in ("result.json", "report.html"):
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise CannotGrade(f"cannot write to {out}: {error.strerror}") from None


def _run_grader(place: Path, stages: list[int], out: Path) -> None:
    """Grade PLACE/stages as `make grade` does. Raises CannotGrade if it cannot.

    It runs in PLACE, where paths are as the student knows them and there is nothing but
    the sources; -P keeps Python from looking for modules there.
    """
    out = out.absolute()
    command = [sys.executable, "-P", "-m", "grader", "grade", *map(str, stages)]
    command += ["--submission", "stages", "--isolation", "required"]
    command += ["--budget", str(_SECONDS)]
    command += ["--json", str(out / "result.json"), "--html", str(out / "report.html")]
    command += ["--markdown", _REPORT]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (
        _no_workflow_commands(),
        subprocess.Popen(command, cwd=place, env=environment) as grader,
    ):
        try:
            status = grader.wait(_SECONDS + _ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            minutes = _SECONDS / 60
            reason = f"the grader did not finish in {minutes:g} minutes"
            raise CannotGrade(reason) from None
        finally:
            _end(grader)
    if status not in (0, 1):
        raise CannotGrade("the grader could not finish")


def _end(grader: subprocess.Popen[bytes]) -> None:
    """End GRADER if it is still running. Unless it is stuck, it saves what it has."""
    if grader.poll() is None:
        grader.terminate()
        try:
            grader.wait(worker.ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            grader.kill()


@contextmanager
def _no_workflow_commands() -> Iterator[None]:
    """Keep the runner from obeying workflow commands in what is printed inside. Only a
    random word turns them on again. (The grader's report also spells commands out.)"""
    word = secrets.token_hex(16) if os.environ.get("GITHUB_ACTIONS") else ""
    print(f"::stop-commands::{word}" if word else "", end="\n" if word else "")
    sys.stdout.flush()
    try:
        yield
    finally:
        if word:
            print(f"\n::{word}::", flush=True)


def _verdict(result: dict[str, Any]) -> tuple[bool, str]:
    """Whether RESULT is enough for the pull request to pass, and that in words."""
    wanted = course.passes_with()
    enough = 100 * result["score"] >= wanted * result["max_score"]
    points = f"{result['score']} of {result['max_score']} points"
    verdict = "Passed" if enough else "Not passed"
    return enough, f"{verdict}: {points}; {wanted:g} % are needed."


def _say(
    verdict: str, touched: Changes, refused: list[str] | None = None, report: str = ""
) -> None:
    """Print VERDICT, and add it to the summary with everything that readers have to
    know: folders that were REFUSED, what else is TOUCHED, and the REPORT."""
    notes = [f"{folder}, and nothing of it is graded." for folder in refused or []]
    if not touched.known:
        notes.append("It is not known which stages are touched, so all were graded.")
    print("\n".join([*notes, verdict]), flush=True)
    parts = [f"**{verdict}**", *notes, _outside(touched.outside), report]
    _add_to_summary("\n\n".join(filter(None, parts)) + "\n")


def _outside(paths: list[str]) -> str:
    """What the summary says about PATHS outside stages/."""
    ours = [path for path in paths if is_workflow(path)]
    others = [path for path in paths if path not in ours]
    said = []
    if ours:
        said.append(
            "This pull request can change how it is graded, because it brings its own "
            f"version of the workflow that grades it: {_named(ours)}."
        )
    if others:
        said.append(
            "This pull request also touches files outside `stages/`. They have no "
            "effect on this grade, which was made with the base's version of them: "
            f"{_named(others)}."
        )
    return "\n\n".join(said)


def _named(paths: list[str]) -> str:
    named = ", ".join(code(path) for path in paths[:_PATHS_NAMED])
    more = len(paths) - _PATHS_NAMED
    return f"{named}{f' and {more} more' if more > 0 else ''}"


def _add_to_summary(markdown: str) -> None:
    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        return
    try:
        with open(name, "a", encoding="utf-8") as file:
            file.write(markdown)
    except OSError as error:
        raise CannotGrade(f"cannot write {name}: {error.strerror}") from None
