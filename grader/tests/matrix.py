"""The wrong and the right programs that the grader is tried on, and the matrix of
what it says of each: programs down, checks across.

/usr/bin/python3 -m grader.tests.matrix [--hesitant] [NAME ...]     (make matrix)

programs/wrong.toml has for each wrong program the checks that it must fail, those
that it may fail, and words that the lesson of a failed check must contain. All
others must pass, or be skipped because of a failed one. That is so at any pace: with
--hesitant each of them now and then stands at a system call (hesitant.h), and so does
the grader (hesitant_grader.c).
"""

from __future__ import annotations

import functools
import os
import string
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader import rubric
from grader.lesson import SCREEN
from grader.submission import REPOSITORY, STAGES
from grader.tests.conftest import Graded, run_grader
from grader.watch import IMPOSSIBLE

PROGRAMS = Path(__file__).with_name("programs")
HESITANT = Path(__file__).with_name("hesitant.h")
TABLE: dict[str, dict[str, Any]] = tomllib.loads((PROGRAMS / "wrong.toml").read_text())

# Grading is half waiting: more runs than processors share them well, each with some of
# its checks at once.
AT_ONCE = 1 + (os.cpu_count() or 1)
_JOBS = 3

# Servers that hang up on the silent have to be given the time: more than any waits.
_LONG_PATIENCE, _PATIENCE_CHECK = 10, "lifecycle/patience"

_LETTERS = string.ascii_letters
_MARKS = {"passed": "·", "failed": "x", "skipped": " ", "error": "!"}


@dataclass(frozen=True, order=True)
class Program:
    """One program that the grader is tried on: programs/KIND/STAGE/NAME.c, or a
    solution, whose kind is "solutions"."""

    kind: str
    stage: int
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.stage}/{self.name}"

    @property
    def source(self) -> Path:
        """Where it stands."""
        folder = REPOSITORY if self.kind == "solutions" else PROGRAMS
        return folder / f"{self}.c"

    @property
    def expected(self) -> dict[str, Any]:
        """What the table says of a wrong one; nothing of a right one."""
        return dict(TABLE[str(self.stage)][self.name]) if self.kind == "wrong" else {}

    @property
    def must(self) -> set[str]:
        """The checks that it fails each time."""
        return set(self.expected.get("must", ()))

    def may_lose(self, id: str, status: str) -> bool:
        """Whether it is no surprise that it fails a check, or that the check is
        skipped (a STATUS), because one before it was failed by chance."""
        may = self.expected.get("may", ())
        if status == "failed":
            return id in self.must or id in may or "*" in may
        return status == "skipped" and "*" in may

    def disagreement(self, graded: Graded) -> str:
        """What GRADED says of it that the table does not, or ""."""
        stage = graded.stage(self.stage)
        if stage["status"] != "graded":
            return f"it is not graded: {graded.err}"
        checks = {check["id"]: check for check in stage["checks"]}
        failed = {id: c for id, c in checks.items() if c["status"] == "failed"}
        lost = {id for id, c in checks.items() if self.may_lose(id, c["status"])}
        parts = [f"passes {id}" for id in sorted(self.must - lost)]
        for id in sorted(set(failed) - lost):
            says = failed[id]["evidence"].get("says", "")
            parts.append(f"fails {id}: {failed[id]['message']} ({says})")
        if IMPOSSIBLE in graded.err and not any(map(_is_withheld, failed.values())):
            parts.append(f"the grader saw what cannot be: {graded.err}")
        parts += [
            f"more than a screen of {id}" for id in failed if _is_long(failed[id])
        ]
        words = self.expected.get("says", "")
        told = sorted(self.must & set(failed))
        lessons = " ".join(failed[id]["details"] for id in told)
        if words not in " ".join(lessons.split()):
            parts.append(f"no lesson says {words!r}")
        return "; ".join(parts)


def _is_withheld(check: dict[str, Any]) -> bool:
    """Whether CHECK found that the kernel really keeps something to itself."""
    return bool(check["evidence"].get("kind") == "withheld")


def _is_long(check: dict[str, Any]) -> bool:
    """Whether the lesson of CHECK, with its title, does not fit on a small screen."""
    return len(check["details"].splitlines()) > SCREEN


def programs(kind: str) -> list[Program]:
    """All programs of a KIND (right or wrong), by stage and name."""
    return [
        Program(kind, stage, path.stem)
        for stage in STAGES
        for path in sorted((PROGRAMS / kind / str(stage)).glob("*.c"))
    ]


def named(among: list[Program], names: list[str]) -> list[Program]:
    """Those AMONG them that have one of NAMES in theirs; all, if there are no NAMES.
    A name that none of them has ends it, with status 2."""
    for name in names:
        if not any(name in str(program) for program in among):
            print(f"no program has {name!r} in its name", file=sys.stderr)
            sys.exit(2)
    return [p for p in among if not names or any(name in str(p) for name in names)]


def grade(program: Program, hesitant: bool = False) -> Graded:
    """What the grader says of PROGRAM; or, HESITANT, of the same program that stands at
    its system calls now and then, as the grader does at its own."""
    with tempfile.TemporaryDirectory(prefix="programs-") as folder:
        place = Path(folder, str(program.stage))
        place.mkdir()
        before = HESITANT.read_text() if hesitant else ""
        copy = place / f"{STAGES[program.stage]}.c"
        copy.write_text(before + program.source.read_text())
        asked = ["--no-milestones", "--jobs", str(_JOBS), "--submission", folder]
        if _PATIENCE_CHECK in program.must:
            asked += ["--patience", str(_LONG_PATIENCE)]
        return run_grader(str(program.stage), *asked, hesitant=hesitant)


def table(verdicts: dict[Program, Graded]) -> str:
    """The matrix: a line for each program, a column for each check of its stage."""
    lines = []
    for stage in STAGES:
        rows = {p: g for p, g in sorted(verdicts.items()) if p.stage == stage}
        if not rows:
            continue
        checks = rubric.load(stage).checks.values()
        lines += [f"Stage {stage}: x fails, ! fails against the table, · passes", ""]
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
        lost = program.may_lose(id, status)
        wrong = not lost and (status == "failed" or id in program.must)
        marks += "!" if wrong else _MARKS[status]
    return marks


def main(arguments: list[str]) -> int:
    """Grade all programs, or those that have one of ARGUMENTS in their names; print
    the matrix, and what disagrees with the table: 1 if anything does."""
    names = [name for name in arguments if name != "--hesitant"]
    one = functools.partial(grade, hesitant="--hesitant" in arguments)
    chosen = named(programs("right") + programs("wrong"), names)
    verdicts, disagreements = {}, []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for program, graded in zip(chosen, pool.map(one, chosen)):
            verdicts[program] = graded
            if said := program.disagreement(graded):
                disagreements.append(f"{program} {said}")
            if sys.stderr.isatty():
                print(f"\r{len(verdicts)}/{len(chosen)} ", end="", file=sys.stderr)
    print(table(verdicts))
    print("\n".join(disagreements) or "All as the table has it.")
    return 1 if disagreements else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
