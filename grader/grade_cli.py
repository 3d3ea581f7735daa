"""The command `grade`: its options, the grading, and the reports that are written.
(It imports most when it runs: see cli.py.)"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader import argument_types, course
from grader.course import DEFAULT_SEED
from grader.errors import CannotGrade, a_missing_package_is_named
from grader.grading import submission
from grader.grading.result import Result, write, write_json
from grader.sandbox import orphans

if TYPE_CHECKING:
    from grader.grading.request import Request
    from grader.report.terminal import Terminal
    from grader.sandbox.isolation import Isolation

# Reports for people, rendered by grader/report/NAME.py. They are written each time that
# more is known.
_REPORTS = {
    "html": "the report as a page for a browser",
    "markdown": "the report for GitHub's step summary",
}

# Who else reads a grade, which grader/report/NAME.py renders. It is written at the end,
# and not at all if the grader failed, for then there is no grade.
_EXPORTS = {
    "junit": "tools that read JUnit's XML",
    "gradescope": "Gradescope",
    "classroom50": "Classroom 50",
    "autolab": "Autolab",
    "prairielearn": "PrairieLearn",
}

# How long some of these wait for a grade, in seconds, less the time to begin and end.
# PrairieLearn's external graders have 600 at most, Gradescope's 600 by default, and
# Classroom 50's 900, in which packages are installed, too.
_BUDGETS = {"prairielearn": 570.0, "gradescope": 570.0, "classroom50": 720.0}


def add_to(commands: Any) -> None:
    """Add the command to COMMANDS, the subparsers of the command line."""
    command = commands.add_parser("grade", help="grade a submission")
    command.add_argument(
        "stages", nargs="*", type=argument_types.stage, metavar="STAGE",
        help=f"which ({course.listed()}); without, all that the submission has",
    )  # fmt: skip
    add_what_is_graded(command)
    _add_how(command)
    _add_what_is_written(command)
    command.add_argument(
        "--isolation", choices=("auto", "required", "off"), default="auto",
        help="run programs in a cell, with a network of its own: if possible (auto)",
    )  # fmt: skip
    command.set_defaults(do=_grade)


def add_what_is_graded(command: argparse.ArgumentParser) -> None:
    """Add to COMMAND the options that say which submission, and which of its checks."""
    command.add_argument(
        "--submission", type=Path, default=course.ROOT / "stages",
        metavar="DIR", help="a folder laid out like stages/, which is the default",
    )  # fmt: skip
    example = course.example()
    command.add_argument(
        "--only", default="", metavar="CHECK",
        help=f"one check ({example.id}), a theme ({example.theme}), or a requirement "
        f"({example.requirement})",
    )  # fmt: skip


def _add_how(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--first", type=lambda text: tuple(text.split(",")), default=(),
        metavar="CHECK,...", help="checks to try before the others",
    )  # fmt: skip
    command.add_argument(
        "--seed", type=int, default=DEFAULT_SEED, metavar="N",
        help="where random bytes come from",
    )  # fmt: skip
    command.add_argument(
        "--patience", type=argument_types.seconds, default=4.0, metavar="SECONDS",
        help="how long silent clients stay connected at the least (4)",
    )  # fmt: skip
    command.add_argument(
        "--jobs", type=argument_types.count, metavar="N",
        help="how many checks run at once (default: as many as suit this machine)",
    )  # fmt: skip
    command.add_argument(
        "--budget", type=argument_types.budget, metavar="SECONDS",
        help="how long the grade may take (default: what its readers allow)",
    )  # fmt: skip
    command.add_argument(
        "--no-milestones", action="store_true",
        help="do not run the milestones, which carry no points",
    )  # fmt: skip


def _add_what_is_written(command: argparse.ArgumentParser) -> None:
    for name, what in {
        "json": "the result there",
        **_REPORTS,
        **{name: f"the grade for {for_whom}" for name, for_whom in _EXPORTS.items()},
    }.items():
        command.add_argument(
            f"--{name}", type=Path, metavar="FILE", help=f"write {what}"
        )


def chosen_stages(options: argparse.Namespace) -> list[int]:
    """The stages to grade: those asked for, or all that are there, and of these
    the ones that have the check asked for. Raises CannotGrade if none is left."""
    present = submission.stages_in(options.submission)
    stages = sorted(set(options.stages)) or present
    chosen = [n for n in stages if course.stage(n).select(options.only)]
    if not chosen:
        where = f"stage {stages[0]} has" if len(stages) == 1 else "the stages have"
        known = dict.fromkeys(
            name for n in stages for name in course.stage(n).names(options.only)
        )
        raise CannotGrade(
            f"{where} no check '{options.only}'; choose from {', '.join(known)}"
        )
    return chosen


def _grade(options: argparse.Namespace) -> int:
    with a_missing_package_is_named():
        if find_spec("hypothesis") is None:  # one check imports it, when it is tried
            raise ModuleNotFoundError(name="hypothesis")
        from grader.report.terminal import Terminal
        from grader.sandbox import isolation, limits

    if options.classroom50:
        importlib.import_module("grader.report.classroom50").handed_over()
    stages = chosen_stages(options)
    isolated, reason = isolation.enter(options.isolation)
    shortage = limits.shortage()
    request = _request(options, stages, isolated)
    progress = Terminal(sys.stdout)
    result = _run(options, request, progress)
    notes = [f"The programs ran without isolation: {reason}." if reason else ""]
    clients = [check.evidence.get("clients") for check in result.checks]
    shortage = next((limits.fewer(count) for count in clients if count), shortage)
    notes.append(f"{shortage}." if shortage else "")
    progress.ends(result, "\n".join(filter(None, notes)))
    if result.failed:
        faults = [check for check in result.checks if check.status == "error"]
        raise CannotGrade(f"{faults[0].id}: {faults[0].message}")
    _write(options, result, _EXPORTS)
    return 0 if result.score == result.max_score else 1


def _request(
    options: argparse.Namespace, stages: list[int], isolation: Isolation
) -> Request:
    with a_missing_package_is_named():
        from grader.grading import pool
        from grader.grading.request import Request

    return Request(
        options.submission,
        stages,
        options.only,
        options.seed,
        isolation,
        options.first,
        options.patience,
        options.jobs or pool.as_many_as_serve(),
        time.monotonic() + budget_of(options),
        not options.no_milestones,
        not any(getattr(options, name) for name in _EXPORTS),
    )


def _run(options: argparse.Namespace, request: Request, progress: Terminal) -> Result:
    """Grade what REQUEST names, and tell PROGRESS: what came of it, of which reports
    are written as it grows."""
    with a_missing_package_is_named():
        from grader.grading import grade

    result = grade.begin(request)
    began = time.monotonic()

    def keep() -> None:
        result.seconds = time.monotonic() - began
        if options.json:
            write_json(options.json, result)
        _write(options, result, _REPORTS)

    keep()  # a result that cannot be written is said at once
    _forget_exports(options)
    try:
        grade.grade(request, result, progress, keep)
    finally:
        orphans.end()  # one that was being launched when we were interrupted
        progress.clear()
        keep()
    return result


def budget_of(options: argparse.Namespace) -> float:
    """How many seconds the grade may take: what was asked for, or else what those who
    read the grade allow."""
    if options.budget:
        return float(options.budget)
    asked_for = [name for name in _BUDGETS if getattr(options, name)]
    return min((_BUDGETS[name] for name in asked_for), default=float("inf"))


def _write(options: argparse.Namespace, result: Result, names: Iterable[str]) -> None:
    """Write RESULT in those of the forms NAMES that OPTIONS ask for. Raises
    CannotGrade."""
    for name in names:
        if path := getattr(options, name):
            with a_missing_package_is_named():
                report = importlib.import_module(f"grader.report.{name}")
            write(path, report.render(result.as_json()))


def _forget_exports(options: argparse.Namespace) -> None:
    """Remove the files of an earlier grade, so that nobody takes them for this one's if
    it fails."""
    for path in (getattr(options, name) for name in _EXPORTS):
        if path and path.is_file():
            path.unlink()
