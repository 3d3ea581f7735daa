"""The command line of a class: grade it, merge its shards, and compare two gradings.
(What these need is imported when they are asked for: see cli.py.)"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader import argument_types
from grader.failure import CannotGrade, a_missing_package_is_named

if TYPE_CHECKING:
    from grader.cohort import Cohort


def add_to(commands: Any) -> None:
    """Add the commands to COMMANDS, the subparsers of the command line."""
    everyone = commands.add_parser("class", help="grade many submissions")
    everyone.add_argument(
        "submissions", type=Path, metavar="SUBMISSIONS",
        help="a folder with one for each submission, laid out like stages/",
    )  # fmt: skip
    everyone.add_argument(
        "--jobs", type=argument_types.count, metavar="N",
        default=len(os.sched_getaffinity(0)),
        help="so many at once (default: one for each processor)",
    )  # fmt: skip
    everyone.add_argument(
        "--shard", type=argument_types.shard, default=(1, 1), metavar="I/N",
        help="of N parts of the class number I only",
    )  # fmt: skip
    everyone.add_argument(
        "--again", action="append", default=[], metavar="NAME",
        help="grade this one even if nothing has changed; may be repeated",
    )  # fmt: skip
    everyone.add_argument(
        "--out", type=Path, required=True, metavar="DIR",
        help="a new or empty folder, or one to go on in: valid grades are kept",
    )  # fmt: skip
    everyone.set_defaults(do=_class)
    merge = commands.add_parser("merge", help="put graded shards of a class together")
    merge.add_argument(
        "folders", nargs="+", type=Path, metavar="DIR", help="what grading one left"
    )
    merge.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a new or empty folder"
    )  # fmt: skip
    merge.set_defaults(do=_merge)
    compare = commands.add_parser("compare", help="compare two gradings of a class")
    for which in ("old", "new"):
        compare.add_argument(
            which, type=Path, metavar=which.upper(), help="what grading a class left"
        )
    compare.set_defaults(do=_compare)


def _class(options: argparse.Namespace) -> int:
    with a_missing_package_is_named():
        from grader import grade_class
        from grader import isolation as isolating
        from grader.report.class_progress import ClassProgress

    isolating.require()
    request = grade_class.Request(
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
    from grader import cohort
    from grader.report import comparison
    from grader.report.screen import Screen

    old, new = cohort.read(options.old), cohort.read(options.new)
    screen = Screen(sys.stdout)
    compared = comparison.compare(old, new)
    for line in compared.lines:
        screen.line(line)
    return 1 if compared.has_changes else 0


def _merge(options: argparse.Namespace) -> int:
    from grader import cohort

    whole = cohort.merge(options.folders, options.out)
    return _tell_of_class(whole, options.out, whole.missing())


def _tell_of_class(whole: Cohort, out: Path, missing: Iterable[str] = ()) -> int:
    """Tell what became of a class, and which of its shards are MISSING."""
    from grader.report import roll

    told = [*roll.summary(whole.graded), f"The grades: {out / 'grades.csv'}"]
    print("", *told, sep="\n")
    lacks = [f"shard {shard} is missing" for shard in missing]
    if whole.ungraded:
        many = f"{len(whole.ungraded)} of {len(whole.graded) + len(whole.ungraded)}"
        lacks.append(f"{many} could not be graded: {out / 'class.json'} says why")
    if lacks:
        raise CannotGrade(", and ".join(lacks))
    return 0
