"""Continuing the grading of a class: which grades from before are still valid, and what
the user is told about the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from grader.errors import CannotGrade
from grader.teaching import cohort
from grader.teaching.cohort import Cohort, Provenance

# Why a grade is no longer valid.
_BY_ANOTHER_GRADER = "Graded by another version of the grader"
_WITH_OTHER_OPTIONS = "Graded with other options"
_CHANGED = "Changed since they were graded"
_INCOMPLETE = "Incomplete results"
_ASKED_FOR = "Asked for with --again"


@dataclass(frozen=True)
class Wanted:
    """What to grade: the names in ITS_OWN, which are SHARD (I/N) of EVERYBODY. For each
    name that can be graded, MADE_FROM says what a grade would be made from now. The
    names in AGAIN are graded even if they have a valid grade."""

    shard: str
    everybody: Collection[str]
    its_own: Collection[str]
    made_from: dict[str, Provenance]
    again: Collection[str]


def go_on(out: Path, wanted: Wanted) -> tuple[Cohort, list[str]]:
    """The grades in OUT that are still valid, and lines that say what happens to the
    others. Raises CannotGrade unless OUT is empty or holds grades of the same shard."""
    kept = Cohort(shards={wanted.shard})
    found = cohort.read_to_go_on(out)
    if found is None:
        return kept, []
    had, before = found
    _refuse_another_class(out, had, before, wanted)
    notes, reasons = [], Counter[str]()
    for name in had:
        if name not in wanted.its_own:
            gone = "is in another shard now" if name in wanted.everybody else "is gone"
            notes.append(f"{name} {gone}: its grade is dropped, its folder stays.")
        elif name in wanted.made_from:
            if reason := _reason_to_grade_again(name, before, wanted):
                reasons[reason] += 1
            else:
                kept.graded[name] = before.graded[name]
                kept.provenance[name] = before.provenance[name]
    for reason, count in reasons.items():
        which = "all" if 1 < count == len(had) else str(count)
        notes.append(f"{reason}: grading {which} again.")
    if failed := sum(name in wanted.made_from for name in before.ungraded):
        notes.append(f"Could not be graded before: trying {failed} again.")
    if kept.graded:
        grades = "1 grade" if len(kept.graded) == 1 else f"{len(kept.graded)} grades"
        notes.append(f"Kept {grades} from before.")
    return kept, notes


def _refuse_another_class(
    out: Path, had: list[str], before: Cohort, wanted: Wanted
) -> None:
    """Raise CannotGrade if OUT holds another shard, or another class."""
    # The whole class may have been merged from its shards.
    is_whole = wanted.shard == "1/1" and not before.missing()
    if before.shards != {wanted.shard} and not is_whole:
        shards = " and ".join(sorted(before.shards))
        raise CannotGrade(f"{out} has shard {shards} of a class, not {wanted.shard}")
    if had and not set(had) & set(wanted.everybody):
        raise CannotGrade(f"{out} is for another class: no name in it is handed in")


def _reason_to_grade_again(name: str, before: Cohort, wanted: Wanted) -> str:
    """Why the grade that NAME has in BEFORE is not valid; "" if it is."""
    if name in wanted.again:
        return _ASKED_FOR
    was, now = before.provenance.get(name), wanted.made_from[name]
    if was is None or was.grader != now.grader:
        return _BY_ANOTHER_GRADER
    if was.options != now.options:
        return _WITH_OTHER_OPTIONS
    if was.submission != now.submission:
        return _CHANGED
    return "" if name in before.graded else _INCOMPLETE
