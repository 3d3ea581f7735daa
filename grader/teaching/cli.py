"""The commands for instructors: grade a class, merge its shards, compare two gradings,
write what students get, and write an autograder for Gradescope.
(They import most when they run: see cli.py.)"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader import argument_types
from grader.errors import CannotGrade, a_missing_package_is_named

if TYPE_CHECKING:
    from grader.teaching.cohort import Cohort


def add_to(commands: Any) -> None:
    """Add the commands to COMMANDS, the subparsers of the command line."""
    _add_class(commands)
    _add_merge(commands)
    _add_compare(commands)
    _add_handout(commands)
    _add_gradescope(commands)


def _add_class(commands: Any) -> None:
    everyone = commands.add_parser("class", help="grade many submissions")
    everyone.add_argument(
        "submissions", type=Path, metavar="SUBMISSIONS",
        help="a folder with one for each submission, laid out like stages/",
    )  # fmt: skip
    everyone.add_argument(
        "--jobs", type=argument_types.count, metavar="N",
        default=len(os.sched_getaffinity(0)),
        help="how many to grade at once (default: one for each processor)",
    )  # fmt: skip
    everyone.add_argument(
        "--shard", type=argument_types.shard, default=(1, 1), metavar="I/N",
        help="only part I of N parts of the class",
    )  # fmt: skip
    everyone.add_argument(
        "--again", action="append", default=[], metavar="NAME",
        help="grade this submission even if nothing has changed; may be repeated",
    )  # fmt: skip
    everyone.add_argument(
        "--out", type=Path, required=True, metavar="DIR",
        help="a new or empty folder, or one to continue in: valid grades are kept",
    )  # fmt: skip
    everyone.set_defaults(do=_class)


def _add_merge(commands: Any) -> None:
    merge = commands.add_parser("merge", help="put graded shards of a class together")
    merge.add_argument(
        "folders", nargs="+", type=Path, metavar="DIR", help="what grading one left"
    )
    merge.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a new or empty folder"
    )  # fmt: skip
    merge.set_defaults(do=_merge)


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser("compare", help="compare two gradings of a class")
    for which in ("old", "new"):
        compare.add_argument(
            which, type=Path, metavar=which.upper(), help="what grading a class left"
        )
    compare.set_defaults(do=_compare)


def _add_handout(commands: Any) -> None:
    out = commands.add_parser("handout", help="write what students get")
    out.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder")
    out.set_defaults(do=_handout)


def _add_gradescope(commands: Any) -> None:
    zipped = commands.add_parser("gradescope", help="write Gradescope's autograder")
    zipped.add_argument("file", type=Path, metavar="FILE", help="a zip")
    zipped.add_argument(
        "--stage", type=argument_types.stage, metavar="STAGE",
        help="for this one, uploaded by itself",
    )  # fmt: skip
    zipped.set_defaults(do=_gradescope)


def _class(options: argparse.Namespace) -> int:
    with a_missing_package_is_named():
        from grader.teaching import grade_class
        from grader.sandbox import isolation
        from grader.teaching.progress import ClassProgress

    isolation.require()
    request = grade_class.ClassRequest(
        options.submissions,
        options.out,
        options.jobs,
        options.shard,
        tuple(options.again),
    )
    progress = ClassProgress(sys.stdout)
    try:
        whole = grade_class.grade(request, progress)
    except KeyboardInterrupt:
        progress.stops()
        raise
    finally:
        progress.clear()
    return _tell_of_class(whole, options.out)


def _compare(options: argparse.Namespace) -> int:
    """0 if nothing changed, 1 if a grade did."""
    from grader.teaching import cohort
    from grader.teaching import comparison
    from grader.report.screen import Screen

    old, new = cohort.read(options.old), cohort.read(options.new)
    screen = Screen(sys.stdout)
    compared = comparison.compare(old, new)
    for line in compared.lines:
        screen.line(line)
    return 1 if compared.has_changes else 0


def _merge(options: argparse.Namespace) -> int:
    from grader.teaching import cohort

    whole = cohort.merge(options.folders, options.out)
    return _tell_of_class(whole, options.out, whole.missing())


def _tell_of_class(whole: Cohort, out: Path, missing: Iterable[str] = ()) -> int:
    """Print a summary of a class. Raises CannotGrade if some submissions could not be
    graded, or if shards are MISSING."""
    from grader.teaching import roster

    told = [*roster.summary(whole.graded), f"The grades: {out / 'grades.csv'}"]
    print("", *told, sep="\n")
    lacks = [f"shard {shard} is missing" for shard in missing]
    if whole.ungraded:
        many = f"{len(whole.ungraded)} of {len(whole.graded) + len(whole.ungraded)}"
        lacks.append(f"{many} could not be graded: {out / 'class.json'} says why")
    if lacks:
        raise CannotGrade(", and ".join(lacks))
    return 0


def _handout(options: argparse.Namespace) -> int:
    from grader.teaching import handout

    for line in handout.write(options.folder):
        print(line)
    return 0


def _gradescope(options: argparse.Namespace) -> int:
    from grader.teaching import autograder

    for line in autograder.write(options.file, options.stage):
        print(line)
    return 0
