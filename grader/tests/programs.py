"""The programs that the grader is tried on: right but unusual ones, and wrong ones with
one mistake each.

/usr/bin/python3 -m grader.tests.programs [--save] NAME DIR     (make program)

They are in these folders of the tests:

stages/N/right/NAME.c       a right program
stages/N/wrong/NAME.patch   a wrong program: its changes to a base
stages/N/wrong/NAME.c       a wrong program that is far from every base
stages/N/lessons/NAME.txt   the lesson for a wrong program (golden.py)

A base is the stage's solution, or one of its right programs; diff and patch write and
apply the changes (patches.py). The comment at the top of a C file is not part of the
program, and patches apply to a base without it; in a wrong program it is the header
(headers.py).
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from grader import course
from grader.course import ROOT
from grader.errors import CannotGrade
from grader.tests import headers, patches
from grader.tests.headers import ANY, BASE, Fields, Header

STAGES = Path(__file__).with_name("stages")

# A wrong program is stored as a patch if it changes at most this many lines of a base.
LIMIT = 30

_WRONG = "wrong/"
_NAME = re.compile(r"(\d+)/(\w+)", re.ASCII)


@dataclass(frozen=True, order=True)
class Program:
    """One program. kind is "right", "wrong", or "solution" (then name is that of the
    program that students write)."""

    kind: str
    stage: int
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.stage}/{self.name}"

    @property
    def file(self) -> Path:
        """Where its file is, or would be."""
        if self.kind == "solution":
            return ROOT / "solutions" / str(self.stage) / f"{self.name}.c"
        folder = STAGES / str(self.stage) / self.kind
        patch = folder / f"{self.name}.patch"
        return patch if patch.exists() else folder / f"{self.name}.c"

    @property
    def is_patch(self) -> bool:
        """Whether it is stored as a patch."""
        return self.file.suffix == ".patch"

    @property
    def fields(self) -> Fields:
        """The header of a wrong program as written. Raises CannotGrade."""
        return headers.parse(self._divided()[0], shown(self.file))

    @property
    def header(self) -> Header:
        """The header of a wrong program. Raises CannotGrade if it is not complete, or
        names a check that its stage does not have."""
        header = headers.check(self.fields, shown(self.file))
        known = course.stage(self.stage).checks
        if unknown := sorted((header.must | header.may - {ANY}) - set(known)):
            near = _nearest(unknown[0], list(known))
            where = f"{shown(self.file)}: stage {self.stage}"
            raise CannotGrade(f"{where} has no check {unknown[0]!r}{near}")
        return header

    @property
    def base(self) -> Program:
        """The program that it patches. Raises CannotGrade if there is no such base."""
        known = {base_name(base): base for base in bases(self.stage)}
        named = self.fields.get(BASE, "")
        if named not in known:
            near = _nearest(named, list(known))
            raise CannotGrade(f"{shown(self.file)}: no base {named!r}{near}")
        return known[named]

    @property
    def body(self) -> str:
        """Its source, without the comment at the top. Raises CannotGrade if its patch
        does not apply."""
        rest = self._divided()[1]
        if not self.is_patch:
            return rest
        try:
            return patches.apply(rest, self.base.body)
        except CannotGrade as error:
            what = f"{shown(self.file)} does not apply to {self.base}"
            raise CannotGrade(f"{what}: {error}") from None

    @property
    def text(self) -> str:
        """Its source, as it is graded. Raises CannotGrade if its header or its patch
        cannot be used."""
        if self.kind != "wrong":
            return _read(self.file)
        return headers.comment(self.fields) + self.body

    def _divided(self) -> tuple[str, str]:
        divide = headers.divide_patch if self.is_patch else headers.divide_source
        return divide(_read(self.file))


# -- finding --------------------------------------------------------------------------


def programs(kind: str) -> list[Program]:
    """All programs of KIND (right or wrong), by stage and name."""
    return [
        Program(kind, stage, name)
        for stage in course.stages()
        for name in sorted(
            path.stem
            for path in (STAGES / str(stage) / kind).glob("*")
            if path.suffix in (".c", ".patch")
        )
    ]


def solution(stage: int) -> Program:
    """The solution of STAGE."""
    return Program("solution", stage, course.stage(stage).program)


def bases(stage: int) -> list[Program]:
    """The programs that a wrong program of STAGE can patch."""
    return [solution(stage), *(p for p in programs("right") if p.stage == stage)]


def base_name(base: Program) -> str:
    """How a header refers to BASE."""
    return base.kind if base.kind == "solution" else f"{base.kind}/{base.name}"


def find(name: str) -> Program:
    """The program called NAME: "3/blocking_send" and "wrong/3/blocking_send" are the
    same wrong one, and "right/3/quiet" is a right one. Raises CannotGrade, with similar
    names, if there is none."""
    everything = programs("wrong") + programs("right")
    known = {str(program).removeprefix(_WRONG): program for program in everything}
    wanted = name.removeprefix(_WRONG)
    if wanted not in known:
        raise CannotGrade(f"no program {name!r}{_nearest(wanted, list(known))}")
    return known[wanted]


def _nearest(name: str, known: list[str]) -> str:
    """The end of a sentence: which of the KNOWN names resemble NAME."""
    if len(known) < 5:
        return f": there is {', '.join(known)}"
    near = difflib.get_close_matches(name, known, n=3)
    near += [other for other in known if name and name in other and other not in near]
    return f": did you mean {', '.join(near[:5])}?" if near else ""


def nearest_base(stage: int, body: str) -> tuple[Program, str] | None:
    """The base of STAGE from which BODY, a source without its comment, differs in the
    fewest lines, and the diff; None if it differs from each in more than LIMIT."""
    found, least = None, LIMIT + 1
    for base in bases(stage):
        source = base.body
        if patches.at_least(source, body) >= least:
            continue
        diff = patches.difference(source, body)
        if patches.changed_lines(diff) < least:
            found, least = (base, diff), patches.changed_lines(diff)
    return found


# -- writing and saving ---------------------------------------------------------------


def lay_out(program: Program, folder: Path) -> Path:
    """Write the source of PROGRAM into FOLDER, laid out as a submission of its stage;
    return its path. Raises CannotGrade if a file is there that we did not write."""
    text, file = program.text, _submitted(program, folder)
    if os.path.exists(file) and not _is_ours(_read(file), program.stage):
        raise CannotGrade(f"{file} is not as it was written: save it, or delete it")
    _write(file, text)
    return file


def _is_ours(text: str, stage: int) -> bool:
    """Whether TEXT is the source of a right or wrong program of STAGE, so that writing
    over it loses nothing."""
    ours = [p for p in programs("right") + programs("wrong") if p.stage == stage]
    alike = [
        program
        for program in ours
        if program.kind == "right" or text.startswith(headers.comment(program.fields))
    ]
    return any(program.text == text for program in alike)


def save(name: str, folder: Path) -> Program:
    """Write the source in FOLDER back as the wrong program called NAME, as a patch or
    whole. A new one gets a header to fill in. Raises CannotGrade."""
    program = _to_save(name)
    is_new = not program.file.exists()
    source = _submitted(program, folder)
    top, body = headers.divide_source(_read(source))
    if is_new:
        fields = dict.fromkeys(headers.ASKED, "")
    else:
        fields = program.fields
        _expect_same_header(program, top, source)
    for base in bases(program.stage):
        if base.body == body:
            raise CannotGrade(f"{source} is the same program as {base}")
    old = program.file
    file, text = _stored(program, body, fields)
    _write(file, text)
    if old != file:
        old.unlink(missing_ok=True)
    return program


def _stored(program: Program, body: str, fields: Fields) -> tuple[Path, str]:
    """The file to save PROGRAM in, and its text: BODY as a patch on its present base if
    it is still close to that, or on the nearest one; or as a whole program."""
    folder = STAGES / str(program.stage) / program.kind
    found = nearest_base(program.stage, body)
    if BASE in fields:
        diff = patches.difference(program.base.body, body)
        if patches.changed_lines(diff) <= LIMIT:
            found = program.base, diff
    if not found:
        return folder / f"{program.name}.c", headers.comment(fields) + body
    base, diff = found
    top = headers.write({**fields, BASE: base_name(base)})
    return folder / f"{program.name}.patch", f"{top}\n{diff}"


def _to_save(name: str) -> Program:
    """The wrong program called NAME, which exists or can be created."""
    wanted = name.removeprefix(_WRONG)
    found = _NAME.fullmatch(wanted)
    if not found:
        raise CannotGrade(
            f"{name!r} is no name of a wrong program, like 3/blocking_send"
        )
    return Program("wrong", course.stage(int(found[1])).number, found[2])


def _expect_same_header(program: Program, top: str, source: Path) -> None:
    """Raise CannotGrade if TOP, the comment of SOURCE, differs from the header of
    PROGRAM: saving would lose it."""
    if not top.strip().startswith(headers.ASKED):
        return
    ours = {name: words for name, words in program.fields.items() if name != BASE}
    if headers.parse(top, str(source)) != ours:
        where = shown(program.file)
        raise CannotGrade(
            f"{source} has another header than {where}: edit that one only"
        )


def _submitted(program: Program, folder: Path) -> Path:
    """The path of PROGRAM's source in FOLDER, a submission."""
    return folder / str(program.stage) / course.stage(program.stage).source


def shown(path: Path) -> str:
    """PATH, for people."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _read(path: Path) -> str:
    """The text of a file, byte for byte. Raises CannotGrade if it cannot be read."""
    try:
        return path.read_bytes().decode()
    except OSError as error:
        reason = error.strerror
    except UnicodeDecodeError:
        reason = "it is not UTF-8"
    raise CannotGrade(f"cannot read {shown(path)}: {reason}")


def _write(path: Path, text: str) -> None:
    """Write TEXT into a file, and create its folder. Raises CannotGrade."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    except OSError as error:
        raise CannotGrade(f"cannot write {shown(path)}: {error.strerror}") from None


# -- the command line -----------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """Write or save a program, as ARGUMENTS say. Returns 0, or 2 if that fails."""
    parser = argparse.ArgumentParser(prog="grader.tests.programs")
    parser.add_argument("--save", action="store_true", help="write DIR's source back")
    parser.add_argument("name", metavar="NAME", help="for instance 3/blocking_send")
    parser.add_argument("folder", metavar="DIR", help="laid out like a submission")
    options = parser.parse_args(arguments)
    try:
        print(_done(options.name, options.folder, options.save))
    except CannotGrade as reason:
        print(reason, file=sys.stderr)
        return 2
    return 0


def _done(name: str, folder: str, is_saved: bool) -> str:
    """Do what was asked for, and return what to say about it."""
    if not name:
        raise CannotGrade("no program is named: NAME=3/blocking_send")
    if not folder:
        raise CannotGrade("no folder is named: DIR=...")
    if not is_saved:
        file = lay_out(find(name), Path(folder))
        return f"{file} is written"
    program = save(name, Path(folder))
    try:
        program.header
    except CannotGrade:
        return f"{shown(program.file)} is written: now fill in its header"
    return f"{shown(program.file)} is written"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
