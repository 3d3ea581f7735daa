"""Compiles a submission with our flags: plainly, with sanitizers, and as the
object that the milestones are linked with. The compiler runs in a cell, too:
its includes reach the submission and the system's headers, and nothing else."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grader import objects
from grader.submission import REPOSITORY, Submission
from grader.syscalls import REFUSED_FUNCTIONS
from grader.workplace import FILE_BYTES, compile_in, hand_over

PLAIN = ("-std=gnu17", "-O2", "-g", "-Wall", "-Wextra", "-pthread")
# Variables hold bytes of 0xFE until they are set, and not what happens to be there. GCC
# can do that from version 12 on.
FILL = "-ftrivial-auto-var-init=pattern"
SANITIZED = (
    "-std=gnu17", "-O1", "-g", "-pthread", "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
)  # fmt: skip
# The static libcheck leaves it to us to name what it needs. With --wrap the
# milestones see, and shorten, the student's reads and writes.
UNIT_TESTS = ("-std=gnu17", "-pthread")
MILESTONES = (
    *UNIT_TESTS, "-Wl,--wrap=send,--wrap=recv,--wrap=write,--wrap=read", "-lcheck",
    "-lsubunit", "-lm", "-lrt",
)  # fmt: skip
# Sections of what runs by itself, before main() and after it: in the milestones,
# that would be the student's code in the process that keeps the log.
RUNS_BY_ITSELF = (".preinit_array*", ".init*", ".fini*", ".ctors*", ".dtors*")

_OF_MEMORY = re.compile(
    r": warning: .*\[-W(stringop-over|array-bounds|(maybe-)?uninitialized"
    r"|use-after-free|free-nonheap|dangling-pointer|return-local-addr)"
)

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Build:
    """What became of a build: the program, if it is there, and what was said."""

    program: Path | None
    seconds: float
    output: str

    @property
    def ok(self) -> bool:
        """Whether there is a program."""
        return self.program is not None

    def warnings(self) -> list[str]:
        """The compiler's warnings that tell of wrong use of memory, a line each."""
        lines = self.output.splitlines()
        return [re.sub(r"^\S*/", "", line) for line in lines if _OF_MEMORY.search(line)]


@dataclass(frozen=True)
class _Own:
    """A source of ours that a program is linked with, the headers that it includes, and
    the flags that it is compiled with."""

    source: Path
    headers: tuple[Path, ...]
    flags: tuple[str, ...]


class Workshop:
    """Where one submission is built, below FOLDER: each build in a place of its own,
    where nothing is left of the others."""

    def __init__(self, submission: Submission, folder: Path, isolation: str) -> None:
        self._submission = submission
        self._folder = folder
        self._isolation = isolation

    def build(self) -> Build:
        """The program as students build it."""
        place, _ = self._place("plain")
        return self._gcc(place, [*PLAIN, "-o", "program", self._source])

    def build_sanitized(self) -> Build:
        """The same with AddressSanitizer and UndefinedBehaviorSanitizer, and filled, if
        that can be had."""
        if said := self._tells_sanitizers():
            return Build(None, 0.0, f"it tells the sanitizers what to do: {said}")
        asks = _Own(_HERE / "ask_for_leaks.c", (), SANITIZED)
        place, linked = self._place("sanitized", asks)
        arguments = [*SANITIZED, "-o", "program", self._source, *linked]
        built = self._gcc(place, [FILL, *arguments])
        return built if built.ok else self._gcc(place, arguments)

    def build_filled(self) -> Build:
        """The same, with nothing but rubbish in variables that were never set."""
        place, _ = self._place("filled")
        return self._gcc(place, [*PLAIN, FILL, "-o", "program", self._source])

    def build_milestones(self) -> Build:
        """The unit tests, linked with the submission's functions."""
        place, linked = self._place("milestones", *self._unit_tests())
        # With -g, what is removed below would still be spoken of.
        alone = [*PLAIN, "-g0", "-c", "-o", "student.o", self._source]
        built = self._gcc(place, alone)
        if not built.ok:
            return built
        if why_not := self._keep_functions(place):
            return Build(None, built.seconds, why_not)
        linked.append("student.o")
        return self._gcc(place, ["-o", "milestones", *linked, *MILESTONES])

    def _unit_tests(self) -> list[_Own]:
        """What the milestones are made of, besides the student's functions."""
        tests = _HERE / "milestones"
        own, of_stage = tests / "milestones.h", f"stage_{self._submission.stage}.c"
        return [
            _Own(tests / of_stage, (own, self._stage_header), UNIT_TESTS),
            _Own(tests / "milestones.c", (own,), UNIT_TESTS),
        ]

    def refused_functions(self) -> list[str]:
        """The functions that the program calls and that a cell refuses, by name; none
        where there is no cell."""
        if self._isolation != "bubblewrap":
            return []
        nm, place = ["/usr/bin/nm", "-D", "--undefined-only", "program"], "plain"
        _, symbols = compile_in(self._folder / place, nm, self._isolation, FILE_BYTES)
        called = set(re.findall(r"\bU (\w+)", symbols))
        return sorted(called & REFUSED_FUNCTIONS)

    def _keep_functions(self, place: Path) -> str:
        """Leave in PLACE's student.o what the milestones call: why that cannot be
        done, or ""."""
        # Of the student's functions only those of the header can be seen: there
        # is another main(), and other names may be the same by chance.
        header = self._stage_header.read_text()
        named = sorted(set(re.findall(r"\b(\w+)\(", header)))
        seen = [f"--keep-global-symbol={function}" for function in named]
        dropped = [f"--remove-section={pattern}" for pattern in RUNS_BY_ITSELF]
        objcopy = ["/usr/bin/objcopy", *seen, *dropped, "student.o"]
        if compile_in(place, objcopy, self._isolation)[0]:
            return "what runs before main() cannot be left out: it is used elsewhere"
        # The loader, too, runs code, to choose a function (ifunc). An object that
        # has such a one is marked as GNU's (elf(5), EI_OSABI).
        if (place / "student.o").read_bytes()[7] != 0:
            return "they run no function that the loader chooses (ifunc)"
        return ""

    def _tells_sanitizers(self) -> str:
        """A function of the sanitizers that the plain program has, or calls if it is
        there; "" if none. So it could have them look away."""
        nm, place = ["/usr/bin/nm", "program"], self._folder / "plain"
        status, symbols = compile_in(place, nm, self._isolation, FILE_BYTES)
        if status:
            return "there are too many names in it to look them through"
        found = re.search(r"\b__(?:asan|lsan|ubsan|sanitizer)_\w+", symbols)
        return found[0] if found else ""

    def _place(self, name: str, *own: _Own) -> tuple[Path, list[str]]:
        """A new folder with the submission, ready to build in, and of our OWN what
        is to be linked with it, there, too."""
        place = self._folder / name
        place.mkdir()
        linked = [self._put(place, part) for part in own]
        program = self._submission.name
        (place / f"{program}.c").write_bytes(self._submission.source)
        (place / f"{program}.h").write_bytes(self._submission.header)
        hand_over(place)
        return place, linked

    def _put(self, place: Path, part: _Own) -> str:
        """Have PART in PLACE, to be linked: the name of its file."""
        if self._stage_header in part.headers and self._has_own_header():
            return objects.put_sources(place, part.source, part.headers)
        headers, flags, how = part.headers, part.flags, self._isolation
        return objects.link_with(place, part.source, headers, flags, how)

    def _has_own_header(self) -> bool:
        """Whether the student has changed what the unit tests include."""
        return self._submission.header != self._stage_header.read_bytes()

    @property
    def _stage_header(self) -> Path:
        stage, name = self._submission.stage, self._submission.name
        return REPOSITORY / "stages" / str(stage) / f"{name}.h"

    @property
    def _source(self) -> str:
        return f"{self._submission.name}.c"

    def _gcc(self, place: Path, arguments: Sequence[str]) -> Build:
        began = time.monotonic()
        gcc = ["/usr/bin/gcc", "-fdiagnostics-color=never", *arguments]
        status, output = compile_in(place, gcc, self._isolation)
        program = place / arguments[arguments.index("-o") + 1]
        done = status == 0 and program.is_file()
        seconds = time.monotonic() - began
        return Build(program if done else None, seconds, self._as_known(output))

    def _as_known(self, output: str) -> str:
        """OUTPUT with the path that the student knows in front of the lines."""
        shown = str(Path(self._submission.shown).parent) + "/"
        return re.sub(rf"\b(?={self._submission.name}\.[ch]:\d)", shown, output)
