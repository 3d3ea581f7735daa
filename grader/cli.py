"""The command line: what may be asked, and the exit status that answers.

0 full marks on all that was graded; 1 points were lost; 2 could not grade, with
one line on standard error that says why. What nobody foresaw is the grader's own
fault: 2, with Python's own words before that line.

What only one command needs is imported when it is asked for: most ask for a grade.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import signal
import sys
import time
import traceback
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from grader import argument_types, class_cli, rubric, strays, submission
from grader.failure import CannotGrade, a_missing_package_is_named
from grader.lesson import one_line
from grader.result import DEFAULT_SEED, Result, write, write_json


# Reports for people, rendered by grader/report/NAME.py: of whatever is known, each
# time that more is.
_REPORTS = {
    "html": "the report as a page for a browser",
    "markdown": "the report for GitHub's step summary",
}

# Who else reads a grade: grader/report/NAME.py renders it. It is written at the end,
# and not at all if the grader failed: that is no grade.
_EXPORTS = {
    "junit": "tools that read JUnit's XML",
    "gradescope": "Gradescope",
    "classroom50": "Classroom 50",
    "autolab": "Autolab",
    "prairielearn": "PrairieLearn",
}


# How long one of these waits for a grade, in seconds, less what it needs to begin and
# to end: PrairieLearn's external graders have 600 at the most, Gradescope's 600 unless
# somebody allows more, and Classroom 50's 900, in which packages are installed, too.
_BUDGETS = {"prairielearn": 570.0, "gradescope": 570.0, "classroom50": 720.0}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"grader: {message}; see --help\n")


def _add_what_is_graded(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--submission", type=Path, default=submission.REPOSITORY / "stages",
        metavar="DIR", help="a folder laid out like stages/, which is the default",
    )  # fmt: skip
    command.add_argument(
        "--only", default="", metavar="CHECK",
        help="one check (echo/line), a theme (echo), or a requirement (3.4)",
    )  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="grader", description="Grades the stages of Echo Lab.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    grade = commands.add_parser("grade", help="grade a submission")
    grade.add_argument(
        "stages", nargs="*", type=argument_types.stage, metavar="STAGE",
        help=f"which ({submission.listed()}); without, all that the submission has",
    )  # fmt: skip
    _add_what_is_graded(grade)
    grade.add_argument(
        "--first", type=lambda text: tuple(text.split(",")), default=(),
        metavar="CHECK,...", help="checks to try before the others",
    )  # fmt: skip
    grade.add_argument(
        "--seed",
        type=int,
        default=DEFAULT_SEED,
        metavar="N",
        help="what random bytes come from",
    )
    grade.add_argument(
        "--json", type=Path, metavar="FILE", help="write the result there"
    )
    grade.add_argument(
        "--patience", type=argument_types.seconds, default=4.0, metavar="SECONDS",
        help="how long silent clients stay connected, at the least (4)",
    )  # fmt: skip
    grade.add_argument(
        "--jobs", type=argument_types.count, metavar="N",
        help="so many checks at once (default: as many as serve the machine)",
    )  # fmt: skip
    grade.add_argument(
        "--budget", type=argument_types.budget, metavar="SECONDS",
        help="the time that all may take (default: what who reads the grade allows)",
    )  # fmt: skip
    grade.add_argument(
        "--no-milestones", action="store_true",
        help="leave the milestones out, which carry no points",
    )  # fmt: skip
    for name, what in _REPORTS.items():
        grade.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write {what}")
    for name, for_whom in _EXPORTS.items():
        grade.add_argument(
            f"--{name}",
            type=Path,
            metavar="FILE",
            help=f"write the grade for {for_whom}",
        )
    grade.add_argument(
        "--isolation", choices=("auto", "required", "off"), default="auto",
        help="a network and a cell of its own for the program: if possible (auto)",
    )  # fmt: skip
    grade.set_defaults(do=_grade)
    watch = commands.add_parser("watch", help="grade a stage again at each save")
    watch.add_argument(
        "stages", nargs="?", type=lambda text: [argument_types.stage(text)], default=[],
        metavar="STAGE", help="from which stage on; without, from the first one",
    )  # fmt: skip
    _add_what_is_graded(watch)
    watch.set_defaults(do=_watch)
    class_cli.add_to(commands)
    out = commands.add_parser("handout", help="write what students get")
    out.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder")
    out.set_defaults(do=_handout)
    zipped = commands.add_parser("gradescope", help="write Gradescope's autograder")
    zipped.add_argument("file", type=Path, metavar="FILE", help="a zip")
    zipped.add_argument(
        "--stage",
        type=argument_types.stage,
        metavar="STAGE",
        help="for this one, uploaded by itself",
    )
    zipped.set_defaults(do=_gradescope)
    _add_github(commands)
    return parser


def _add_github(commands: Any) -> None:
    allow = commands.add_parser("isolation", help="allow what isolation needs")
    allow.set_defaults(do=_isolation)
    pull = commands.add_parser("pull-request", help="grade a pull request's checkout")
    pull.add_argument(
        "head", type=Path, metavar="HEAD", help="git's checkout of its head"
    )
    pull.add_argument(
        "--out", type=Path, default=Path("grade"), metavar="DIR",
        help="where result.json and report.html are left (default: grade)",
    )  # fmt: skip
    pull.set_defaults(do=_pull_request)
    comment = commands.add_parser("comment", help="comment on a graded pull request")
    comment.add_argument(
        "artifact", type=Path, metavar="DIR", help="what pull-request left"
    )
    comment.set_defaults(do=_comment)


def _stages(options: argparse.Namespace) -> list[int]:
    """The stages to grade: those asked for, or all that are there, and of these
    the ones that have the check asked for. Raises CannotGrade if none is left."""
    present = submission.stages_in(options.submission)
    stages = sorted(set(options.stages)) or present
    chosen = [n for n in stages if rubric.select(rubric.load(n), options.only)]
    if not chosen:
        where = f"stage {stages[0]} has" if len(stages) == 1 else "the stages have"
        known = dict.fromkeys(
            name for n in stages for name in rubric.names(rubric.load(n), options.only)
        )
        raise CannotGrade(f"{where} no check '{options.only}', but {', '.join(known)}")
    return chosen


def _grade(options: argparse.Namespace) -> int:
    with a_missing_package_is_named():
        if find_spec("hypothesis") is None:  # one check imports it, when it is tried
            raise ModuleNotFoundError(name="hypothesis")
        from grader import grade as grading
        from grader import guard
        from grader import isolation as isolating
        from grader import workers
        from grader.report.terminal import Terminal

    if options.classroom50:
        importlib.import_module("grader.report.classroom50").handed_over()
    stages = _stages(options)
    isolation, reason = isolating.enter(options.isolation)
    shortage = guard.shortage()
    request = grading.Request(
        options.submission,
        stages,
        options.only,
        options.seed,
        isolation,
        options.first,
        options.patience,
        options.jobs or workers.as_many_as_serve(),
        time.monotonic() + _budget_of(options),
        not options.no_milestones,
        not any(getattr(options, name) for name in _EXPORTS),
    )
    result = grading.begin(request)
    progress = Terminal(sys.stdout)
    began = time.monotonic()

    def keep() -> None:
        result.seconds = time.monotonic() - began
        if options.json:
            write_json(options.json, result)
        _write(options, result, _REPORTS)

    keep()  # a result that cannot be written is said at once
    _forget_exports(options)
    try:
        grading.grade(request, result, progress, keep)
    finally:
        strays.end()  # one that was being launched when we were interrupted
        progress.clear()
        keep()
    notes = [f"The programs ran without isolation: {reason}." if reason else ""]
    clients = [check.evidence.get("clients") for check in result.checks]
    shortage = next((guard.fewer(count) for count in clients if count), shortage)
    notes.append(f"{shortage}." if shortage else "")
    progress.ends(result, "\n".join(filter(None, notes)))
    if result.failed:
        faults = [check for check in result.checks if check.status == "error"]
        raise CannotGrade(f"{faults[0].id}: {faults[0].message}")
    _write(options, result, _EXPORTS)
    return 0 if result.score == result.max_score else 1


def _budget_of(options: argparse.Namespace) -> float:
    """How many seconds all may take: what was asked for, or what is allowed by whoever
    reads the grade."""
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
    """Remove the grades that an earlier grading wrote: if this one writes none, they
    shall not be taken for its own."""
    for path in (getattr(options, name) for name in _EXPORTS):
        if path and path.is_file():
            path.unlink()


def _watch(options: argparse.Namespace) -> int:
    with a_missing_package_is_named():
        from grader import regrade

    stage, *_ = _stages(options)
    present = submission.stages_in(options.submission)
    if stage not in present:
        raise CannotGrade(f"no folder {options.submission / str(stage)}")
    # Some checks of a stage are not all of it: nothing follows from them.
    stages = [stage] if options.only else [n for n in present if n >= stage]
    with contextlib.suppress(KeyboardInterrupt):  # that is how watching ends
        regrade.watch(
            regrade.Request(options.submission, stages, options.only), sys.stdout
        )
    return 0


def _handout(options: argparse.Namespace) -> int:
    from grader import handout

    for line in handout.write(options.folder):
        print(line)
    return 0


def _gradescope(options: argparse.Namespace) -> int:
    from grader import autograder

    autograder.write(options.file, options.stage)
    print(f"{options.file}: upload it as the autograder of an assignment")
    return 0


def _isolation(options: argparse.Namespace) -> int:
    with a_missing_package_is_named():
        from grader import isolation as isolating

    for done in isolating.allow():
        print(done)
    print(f"isolation: {isolating.enter('required')[0]} works")
    return 0


def _pull_request(options: argparse.Namespace) -> int:
    from grader.github import pull_request

    return pull_request.grade(options.head, options.out)


def _comment(options: argparse.Namespace) -> int:
    from grader.github import conversation

    return conversation.comment_on(options.artifact)


def _interrupted(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line (ARGUMENTS, default sys.argv) asks: exit status."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)
    try:
        done: int = options.do(options)
        return done
    except CannotGrade as reason:
        said = str(reason)
    except BrokenPipeError:
        said = "nobody reads the report any more"
    except OSError as error:  # a full disk, no descriptors left, and the like
        said = f"{error.filename or 'the system'}: {error.strerror}"
    except KeyboardInterrupt:
        said = "interrupted"
        said += "; not all was graded" if options.command in ("grade", "class") else ""
    except Exception as fault:  # Python's exit status for it is our "points were lost"
        with contextlib.suppress(OSError):
            traceback.print_exc()
        said = f"a fault of the grader's own: {type(fault).__name__}: {fault}"
    with contextlib.suppress(OSError):
        print(f"grader: {one_line(said)}", file=sys.stderr)
    return 2
