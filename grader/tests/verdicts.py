"""The verdicts on all programs as a plain table, and how two such tables differ.

/usr/bin/python3 -m grader.tests.verdicts OLD NEW     (make verdicts OLD=... NEW=...)

`make matrix TABLE=FILE` writes such a table: a line for each program and check, sorted,
such as

    wrong/3/blocking_send blocking/never_reads failed

Each line that differs is printed. The exit status is 1 if there are any, else 0. Checks
that a program's header says fail only in some runs do not count: their lines are
printed as "by chance, as its header says".
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from grader import course
from grader.errors import CannotGrade
from grader.tests import programs
from grader.tests.conftest import Graded
from grader.tests.headers import ANY
from grader.tests.programs import Program

# In place of a check, for a program that was not graded.
NO_CHECK = "-"

# For each program, by name, the status of each check.
Table = dict[str, dict[str, str]]


def lines(verdicts: dict[Program, Graded]) -> list[str]:
    """The lines of the table of VERDICTS."""
    found = []
    for program, graded in verdicts.items():
        stage = graded.stage(program.stage)
        if stage["status"] != "graded":
            found.append(f"{program} {NO_CHECK} {stage['status']}")
        for id, check in graded.checks(program.stage).items():
            found.append(f"{program} {id} {check['status']}")
    return sorted(found)


def read(path: Path) -> Table:
    """The table in a file. Raises CannotGrade if it is not one."""
    table: Table = {}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise CannotGrade(f"cannot read {path}: {reason}") from None
    for number, line in enumerate(text.splitlines(), 1):
        match line.split():
            case [name, id, status] if id not in table.get(name, {}):
                table.setdefault(name, {})[id] = status
            case _:
                raise CannotGrade(
                    f"{path}, line {number}: not a new program, check, status"
                )
    if not table:
        raise CannotGrade(f"{path} has no verdicts")
    return table


def differences(old: Table, new: Table) -> Iterator[tuple[str, bool]]:
    """How two tables differ, in words, and whether that can be by chance."""
    for name in sorted(old | new):
        if name not in old or name not in new:
            yield f"{name} is only in {'OLD' if name in old else 'NEW'}", False
            continue
        before, after = old[name], new[name]
        for id in sorted(before | after):
            was, now = before.get(id, "missing"), after.get(id, "missing")
            if was != now:
                chance = _can_be(name, id, before) and _can_be(name, id, after)
                yield f"{name} {id} {was} -> {now}", chance


def _can_be(name: str, id: str, statuses: dict[str, str]) -> bool:
    """Whether the header of the program NAME explains its status in the check ID.
    STATUSES are those of all its checks."""
    program = _wrong(name)
    if not program:
        return False
    header, status = program.header, statuses.get(id, "missing")
    may_fail = id in header.may or ANY in header.may
    if status == "passed":
        return id not in header.must
    if status == "failed":
        return id in header.must or may_fail
    if status != "skipped":
        return False
    failed = [i for i in _needed(program.stage, id) if statuses.get(i) == "failed"]
    return any(_can_be(name, other, statuses) for other in failed)


def _wrong(name: str) -> Program | None:
    """The wrong program called NAME, if there still is one."""
    try:
        program = programs.find(name)
    except CannotGrade:
        return None
    return program if program.kind == "wrong" else None


def _needed(stage: int, id: str) -> set[str]:
    """The checks that the check ID builds on, directly or not."""
    checks = course.stage(stage).checks
    direct = set(checks[id].needs) if id in checks else set()
    return direct.union(*(_needed(stage, other) for other in direct))


def main(arguments: list[str]) -> int:
    """Compare the tables in two files, ARGUMENTS. Returns 0, 1 if they differ, or 2 if
    they cannot be compared."""
    try:
        if len(arguments) != 2 or "" in arguments:
            raise CannotGrade("two tables are compared: OLD=FILE NEW=FILE")
        old, new = (read(Path(argument)) for argument in arguments)
        found = list(differences(old, new))
    except CannotGrade as reason:
        print(reason, file=sys.stderr)
        return 2
    for words, chance in found:
        print(f"{words} (by chance, as its header says)" if chance else words)
    return 0 if all(chance for _, chance in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
