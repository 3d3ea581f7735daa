"""The wrong and right programs that the grader is tried on, and a matrix of its
verdicts: programs down, checks across.

/usr/bin/python3 -m grader.tests.matrix [--hesitant] [--table=FILE] [NAME ...]
                                                                    (make matrix)

A wrong program's header lists the checks it must fail, those it may fail, and words
that the lesson of a failed check must contain (headers.py). All other checks must pass,
or be skipped because of a failed one. That must hold at any pace: with --hesitant, each
program now and then stands still at a system call (hesitant.h), and so does the grader
(hesitant_grader.c). FILE gets all verdicts as a plain table (verdicts.py).
"""

from __future__ import annotations

import functools
import os
import string
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from grader import course
from grader.errors import CannotGrade
from grader.harness.stuck import IMPOSSIBLE
from grader.lessons.lesson import SCREEN
from grader.tests import verdicts
from grader.tests.conftest import Graded, run_grader
from grader.tests.headers import ANY
from grader.tests.programs import Program, programs

HESITANT = Path(__file__).with_name("hesitant.h")

# Half of grading is waiting, so it pays to run more gradings than there are processors,
# each with several checks at once.
AT_ONCE = 1 + (os.cpu_count() or 1)
_JOBS = 3

# Servers that hang up on silent clients need time to do so: more than they ever wait.
_LONG_PATIENCE, _PATIENCE_CHECK = 10, "lifecycle/patience"

_HESITANT, _TABLE = "--hesitant", "--table="

_LETTERS = string.ascii_letters
_MARKS = {"passed": "·", "failed": "x", "skipped": " ", "error": "!"}


def may_lose(program: Program, id: str, status: str) -> bool:
    """Whether PROGRAM may get STATUS, a failed or skipped check, without surprise: its
    header allows it, or a check before it was failed by chance."""
    if program.kind != "wrong":
        return False
    header = program.header
    if status == "failed":
        return id in header.must or id in header.may or ANY in header.may
    return status == "skipped" and ANY in header.may


def must_fail(program: Program) -> frozenset[str]:
    """The checks that PROGRAM fails every time."""
    return program.header.must if program.kind == "wrong" else frozenset()


def disagreement(program: Program, graded: Graded) -> str:
    """How GRADED disagrees with the header of PROGRAM, or ""."""
    stage = graded.stage(program.stage)
    if stage["status"] != "graded":
        return f"it is not graded: {graded.err}"
    must = must_fail(program)
    checks = {check["id"]: check for check in stage["checks"]}
    failed = {id: c for id, c in checks.items() if c["status"] == "failed"}
    lost = {id for id, c in checks.items() if may_lose(program, id, c["status"])}
    parts = [f"passes {id}" for id in sorted(must - lost)]
    for id in sorted(set(failed) - lost):
        says = failed[id]["evidence"].get("says", "")
        parts.append(f"fails {id}: {failed[id]['message']} ({says})")
    if IMPOSSIBLE in graded.err and not any(map(_is_withheld, failed.values())):
        parts.append(f"the grader saw what cannot be: {graded.err}")
    parts += [f"more than a screen of {id}" for id in failed if _is_long(failed[id])]
    words = program.header.says if program.kind == "wrong" else ""
    lessons = " ".join(failed[id]["details"] for id in sorted(must & set(failed)))
    if words not in " ".join(lessons.split()):
        parts.append(f"no lesson says {words!r}")
    return "; ".join(parts)


def _is_withheld(check: dict[str, Any]) -> bool:
    """Whether CHECK found that the kernel itself holds bytes back."""
    return bool(check["evidence"].get("kind") == "withheld")


def _is_long(check: dict[str, Any]) -> bool:
    """Whether the lesson of CHECK, with its title, is too long for a small screen."""
    return len(check["details"].splitlines()) > SCREEN


def named(among: list[Program], names: list[str]) -> list[Program]:
    """The programs AMONG them with one of NAMES in their own name; all, if NAMES is
    empty. If a name fits none of them, exits with status 2."""
    for name in names:
        if not any(name in str(program) for program in among):
            print(f"no program has {name!r} in its name", file=sys.stderr)
            sys.exit(2)
    return [p for p in among if not names or any(name in str(p) for name in names)]


def expect_usable(chosen: list[Program]) -> None:
    """Raise CannotGrade if a CHOSEN program's header or patch is wrong."""
    for program in chosen:
        program.text
        must_fail(program)


def grade(program: Program, hesitant: bool = False, only: str = "") -> Graded:
    """The grader's result for PROGRAM, or for its check ONLY. If HESITANT, both the
    program and the grader stand still at their system calls now and then."""
    with tempfile.TemporaryDirectory(prefix="programs-") as folder:
        place = Path(folder, str(program.stage))
        place.mkdir()
        before = HESITANT.read_text() if hesitant else ""
        copy = place / course.stage(program.stage).source
        copy.write_text(before + program.text)
        asked = ["--no-milestones", "--jobs", str(_JOBS), "--submission", folder]
        if _PATIENCE_CHECK in must_fail(program):
            asked += ["--patience", str(_LONG_PATIENCE)]
        if only:
            asked += ["--only", only]
        return run_grader(str(program.stage), *asked, hesitant=hesitant)


def table(verdicts: dict[Program, Graded]) -> str:
    """The matrix: a line for each program, a column for each check of its stage."""
    lines = []
    for stage in course.stages():
        rows = {p: g for p, g in sorted(verdicts.items()) if p.stage == stage}
        if not rows:
            continue
        checks = course.stage(stage).checks.values()
        lines += [f"Stage {stage}: x fails, ! fails against its header, · passes", ""]
        lines += [f"  {a} {c.id}" for a, c in zip(_LETTERS, checks)]
        lines += ["", f"{'':38}{_LETTERS[: len(checks)]}"]
        for program, graded in rows.items():
            lines.append(f"{str(program):<37.37} {_row(program, graded)}".rstrip())
        lines.append("")
    return "\n".join(lines)


def _row(program: Program, graded: Graded) -> str:
    marks = ""
    for id, check in graded.checks(program.stage).items():
        status = check["status"]
        lost = may_lose(program, id, status)
        wrong = not lost and (status == "failed" or id in must_fail(program))
        marks += "!" if wrong else _MARKS[status]
    return marks


def _write_table(file: Path | None, lines: list[str]) -> None:
    """Write LINES to FILE, if there is one. Raises CannotGrade."""
    try:
        if file:
            file.write_text("".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise CannotGrade(f"cannot write {file}: {error.strerror}") from None


def _options(arguments: list[str]) -> tuple[bool, Path | None, list[str]]:
    """What ARGUMENTS ask for: whether to hesitate, where the table of verdicts goes,
    and the names of programs."""
    tables = [a.removeprefix(_TABLE) for a in arguments if a.startswith(_TABLE)]
    names = [a for a in arguments if a != _HESITANT and not a.startswith(_TABLE)]
    return _HESITANT in arguments, Path(tables[-1]) if tables else None, names


def main(arguments: list[str]) -> int:
    """Grade all programs, or those with one of ARGUMENTS in their names; print the
    matrix, and where it disagrees with the headers. Returns 1 if it does anywhere, 2 if
    a program or the table of verdicts is unusable, else 0."""
    hesitant, file, names = _options(arguments)
    chosen = named(programs("right") + programs("wrong"), names)
    try:
        # Find everything that can be wrong now, not after half an hour.
        expect_usable(chosen)
        _write_table(file, [])
    except CannotGrade as reason:
        print(reason, file=sys.stderr)
        return 2
    graded, disagreements = {}, []
    one = functools.partial(grade, hesitant=hesitant)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for program, done in zip(chosen, pool.map(one, chosen)):
            graded[program] = done
            if said := disagreement(program, done):
                disagreements.append(f"{program} {said}")
            if sys.stderr.isatty():
                print(f"\r{len(graded)}/{len(chosen)} ", end="", file=sys.stderr)
    _write_table(file, verdicts.lines(graded))
    print(table(graded))
    print("\n".join(disagreements) or "All as the headers have it.")
    return 1 if disagreements else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
