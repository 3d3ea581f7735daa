"""Grades a class: each submission in a process of its own, several at once.

    SUBMISSIONS/NAME/STAGE/PROGRAM.c   ->   OUT/NAME/result.json and report.html
                                            OUT/grades.csv and class.json, for all

However this ends, OUT holds what was known by then, and another run continues from it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from grader.errors import CannotGrade
from grader.grading import pool, worker
from grader.grading.result import read
from grader.teaching import cohort, fingerprint, resume
from grader.teaching.cohort import PAGE, RESULT, Cohort, Provenance, Result
from grader.text import one_line

# A class is graded once, and nobody waits for it.
_PATIENCE_SECONDS = 10.0
# What decides a grade besides the submission and the grader.
_OPTIONS = ("--isolation", "required", "--patience", str(_PATIENCE_SECONDS))


class ClassProgress(Protocol):
    """Shows how the grading of a class goes on."""

    def begins(self, notes: list[str], total: int, kept: int, at_once: int) -> None:
        """Of TOTAL submissions, KEPT have a valid grade; the others will be graded,
        AT_ONCE at a time. NOTES are lines for the user about that."""

    def submission_begins(self, name: str) -> None:
        """A grader has started on the submission NAME."""

    def goes_on(self) -> None:
        """One of the graders has made progress."""

    def submission_ends(self, name: str, outcome: Result | str) -> None:
        """The submission NAME has a result, or a reason why it has none."""


@dataclass(frozen=True)
class ClassRequest:
    """Grade the submissions in FOLDER into OUT, JOBS at once. SHARD (I, N) selects
    part I of N. The names in AGAIN are graded even if OUT has a valid grade."""

    folder: Path
    out: Path
    jobs: int = 1
    shard: tuple[int, int] = (1, 1)
    again: tuple[str, ...] = ()


def grade(request: ClassRequest, progress: ClassProgress) -> Cohort:
    """Grade the submissions that have no valid grade in OUT yet: the grades of all.
    Raises CannotGrade and KeyboardInterrupt, after saving what is known in OUT."""
    number, count = request.shard
    everybody = _names(request)
    names = everybody[number - 1 :: count]
    for name in request.again:
        if name not in names:
            where = f"shard {number}/{count} of " if count > 1 else ""
            raise CannotGrade(f"no submission {name!a} in {where}{request.folder}")
    refused = {name: why for name in names if (why := _refused(request.folder / name))}
    grader = fingerprint.of_grader()
    wanted = resume.Wanted(
        f"{number}/{count}",
        everybody,
        names,
        {n: _made_from(request, n, grader) for n in names if n not in refused},
        request.again,
    )
    with cohort.held(request.out):
        whole, notes = resume.go_on(request.out, wanted)
        cohort.clear_leftovers(request.out)
        whole.put(request.out)
        left = [n for n in names if n not in whole.graded and n not in refused]
        at_once = max(1, min(request.jobs, len(left)))
        progress.begins(notes, len(names), len(whole.graded), at_once)
        run = _Run(request, grader, at_once, whole, progress)
        for name, why in refused.items():
            run.ends(name, why)
        run.grade_all(left)
    return whole


def _names(request: ClassRequest) -> list[str]:
    """The submissions: all folders except hidden ones and OUT. Raises CannotGrade."""
    folder = request.folder
    if not folder.is_dir():
        raise CannotGrade(f"no folder {folder}")
    out = os.path.realpath(request.out)
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.is_dir()
            and entry.name[0] != "."
            and os.path.realpath(entry.path) != out
        ]
    if not names:
        raise CannotGrade(f"{folder} has no folder, and so no submission")
    return sorted(names)


def _refused(path: Path) -> str:
    """Why the submission PATH is not even tried; "" if it is."""
    why = "it is a link" if path.is_symlink() else ""
    return cohort.why_no_name(path.name) or why


def _made_from(request: ClassRequest, name: str, grader: str) -> Provenance:
    """What a grade of NAME by this version of the GRADER would be made from now."""
    submission = fingerprint.of_submission(request.folder / name)
    return Provenance(submission, grader, " ".join(_OPTIONS))


@dataclass(eq=False)
class _Grader:
    """A process that grades the submission NAME and writes into FOLDER. Closing OWN
    ends the process and removes the folder."""

    name: str
    folder: Path
    process: subprocess.Popen[bytes]
    made_from: Provenance
    own: contextlib.ExitStack


class _Run:
    """One run over a class with this version of the GRADER. Its results go into WHOLE,
    and are saved from there."""

    def __init__(
        self, request: ClassRequest, grader: str, at_once: int, whole: Cohort,
        progress: ClassProgress,
    ) -> None:  # fmt: skip
        self._request = request
        self._grader = grader
        self._at_once = at_once
        self._whole = whole
        self._progress = progress
        self._at_work: list[_Grader] = []
        processors = len(os.sched_getaffinity(0))
        self._checks = pool.checks_for_each_grader(at_once, processors)

    def ends(self, name: str, outcome: Result | str) -> None:
        """NAME is done: save its OUTCOME and show it."""
        if isinstance(outcome, str):
            self._whole.ungraded[name] = outcome
        else:
            self._whole.graded[name] = outcome
        self._whole.put(self._request.out)
        self._progress.submission_ends(name, outcome)

    def grade_all(self, names: list[str]) -> None:
        """Grade NAMES, AT_ONCE at a time."""
        left = iter(names)
        with contextlib.ExitStack() as graders, selectors.DefaultSelector() as events:

            def begin(name: str) -> None:
                grader = self._begin(
                    name, graders.enter_context(contextlib.ExitStack())
                )
                assert grader.process.stdout
                events.register(grader.process.stdout, selectors.EVENT_READ, grader)

            try:
                for _, name in zip(range(self._at_once), left):
                    begin(name)
                while self._at_work:
                    for key, _ in events.select():
                        # Its report is also in its files; all that matters here is
                        # when it ends.
                        if os.read(key.fd, 1 << 16):
                            self._progress.goes_on()
                            continue
                        events.unregister(key.fd)
                        status, said = self._end(key.data)
                        if following := next(left, ""):
                            begin(following)
                        self._take(key.data, status, said)
            except BaseException:
                worker.end(*(grader.process for grader in self._at_work))
                raise

    def _begin(self, name: str, own: contextlib.ExitStack) -> _Grader:
        """Start a grader for NAME, which runs until OWN is closed."""
        # Taken before the grader reads the files: if they change in between, the next
        # run notices.
        made_from = _made_from(self._request, name, self._grader)
        # If we are killed, the grader lives on for a moment. It must not write to the
        # same place as the next run's grader.
        folder = own.enter_context(
            tempfile.TemporaryDirectory(
                dir=self._request.out.absolute(),
                prefix=cohort.IN_THE_MAKING,
                ignore_cleanup_errors=True,
            )
        )
        arguments = self._arguments(name, Path(folder))
        process = own.enter_context(
            worker.running(*arguments, cwd=self._request.folder)
        )
        grader = _Grader(name, Path(folder), process, made_from, own)
        self._at_work.append(grader)
        self._progress.submission_begins(name)
        return grader

    def _arguments(self, name: str, folder: Path) -> list[str]:
        """The arguments that grade NAME into FOLDER. They are for a grader that runs in
        the parent of NAME's folder, so that the paths in the report are short."""
        files = ["--json", str(folder / RESULT), "--html", str(folder / PAGE)]
        return ["--submission", name, *_OPTIONS, "--jobs", str(self._checks), *files]

    def _end(self, grader: _Grader) -> tuple[int, str]:
        """Wait for GRADER, which has closed its output, and move its files into place:
        its exit status and its standard error."""
        assert grader.process.stderr
        said = grader.process.stderr.read().decode(errors="replace")
        status = grader.process.wait()
        _replace(grader.folder, self._request.out / grader.name)
        grader.own.close()
        self._at_work.remove(grader)
        return status, said

    def _take(self, grader: _Grader, status: int, said: str) -> None:
        """Record the outcome of GRADER, which exited with STATUS and wrote SAID to
        standard error."""
        outcome = _outcome(self._request.out / grader.name, status, said)
        if not isinstance(outcome, str):
            self._whole.provenance[grader.name] = grader.made_from
        self.ends(grader.name, outcome)


def _replace(made: Path, own: Path) -> None:
    """Move the files in the folder MADE to the folder OWN, replacing what is there."""
    own.mkdir(exist_ok=True)
    for name in (RESULT, PAGE):
        try:
            os.replace(made / name, own / name)
        except FileNotFoundError:  # then the old file, if any, is out of date
            (own / name).unlink(missing_ok=True)


def _outcome(own: Path, status: int, said: str) -> Result | str:
    """The result that a grader left in the folder OWN, or why there is none. It exited
    with STATUS and wrote SAID to standard error."""
    if status in (0, 1):
        try:
            return read(own / RESULT)
        except CannotGrade as reason:
            return str(reason)
    last = said.strip().rpartition("\n")[2].removeprefix("grader: ")
    return one_line(last) or f"its grader ended with status {status}"
