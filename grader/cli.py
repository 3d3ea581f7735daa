"""The command line, and its exit status.

0: full marks on all that was graded. 1: points were lost. 2: it could not grade, and
one line on standard error says why. An exception that nobody foresaw is the grader's
own fault: 2, with Python's traceback before that line.

A command imports what only it needs when it runs, so that `grade` starts fast.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from grader import argument_types, grade_cli
from grader.errors import CannotGrade, a_missing_package_is_named
from grader.grading import submission
from grader.teaching import cli as teaching_cli
from grader.text import one_line


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"grader: {message}; see --help\n")


def parser() -> argparse.ArgumentParser:
    """The parser of the command line, which sets do to the function of the command."""
    whole = _Parser(prog="grader", description="Grades the stages of Echo Lab.")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    grade_cli.add_to(commands)
    _add_watch(commands)
    teaching_cli.add_to(commands)
    _add_github(commands)
    return whole


def _add_watch(commands: Any) -> None:
    watch = commands.add_parser("watch", help="grade a stage again at each save")
    watch.add_argument(
        "stages", nargs="?", type=lambda text: [argument_types.stage(text)], default=[],
        metavar="STAGE", help="from which stage on; without, from the first one",
    )  # fmt: skip
    grade_cli.add_what_is_graded(watch)
    watch.set_defaults(do=_watch)


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


def _watch(options: argparse.Namespace) -> int:
    with a_missing_package_is_named():
        from grader.watch import regrade

    stage, *_ = grade_cli.chosen_stages(options)
    present = submission.stages_in(options.submission)
    if stage not in present:
        raise CannotGrade(f"no folder {options.submission / str(stage)}")
    # Some checks of a stage are not all of it: nothing follows from them.
    stages = [stage] if options.only else [n for n in present if n >= stage]
    with contextlib.suppress(KeyboardInterrupt):  # that is how watching ends
        regrade.watch(
            regrade.Focus(options.submission, stages, options.only), sys.stdout
        )
    return 0


def _isolation(options: argparse.Namespace) -> int:
    with a_missing_package_is_named():
        from grader.sandbox import isolation, namespaces

    for done in namespaces.allow():
        print(done)
    isolated, _ = isolation.enter("required")
    print(f"isolation: {isolated.name} works")
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
    try:
        options = parser().parse_args(arguments)
    except CannotGrade as reason:  # the parser knows the course
        print(f"grader: {one_line(str(reason))}", file=sys.stderr)
        return 2
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
