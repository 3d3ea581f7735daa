"""Compiles a submission with our flags: plainly, with sanitizers, filled, and as the
object that the milestones are linked with. The compiler runs in a cell, too: #include
reaches the submission and the system's headers, and nothing else."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.course import STAGES
from grader.grading import objects
from grader.grading.submission import Submission
from grader.sandbox.compiler import FILE_BYTES, compile_in, hand_over
from grader.sandbox.isolation import Isolation

PLAIN = ("-std=gnu17", "-O2", "-g", "-Wall", "-Wextra", "-pthread")
# Variables hold bytes of 0xFE until they are set, instead of what happens to be there.
# GCC can do that since version 12.
FILL = "-ftrivial-auto-var-init=pattern"
SANITIZED = (
    "-std=gnu17", "-O1", "-g", "-pthread", "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
)  # fmt: skip
# The static libcheck needs the libraries after it. With --wrap the milestones see, and
# shorten, the student's reads and writes.
UNIT_TESTS = ("-std=gnu17", "-pthread")
MILESTONES = (
    *UNIT_TESTS, "-Wl,--wrap=send,--wrap=recv,--wrap=write,--wrap=read", "-lcheck",
    "-lsubunit", "-lm", "-lrt",
)  # fmt: skip
# Sections with code that runs before main(), or after it. In the milestones, that would
# be the student's code in the process that writes the log.
RUNS_BY_ITSELF = (".preinit_array*", ".init*", ".fini*", ".ctors*", ".dtors*")

_OF_MEMORY = re.compile(
    r": warning: .*\[-W(stringop-over|array-bounds|(maybe-)?uninitialized"
    r"|use-after-free|free-nonheap|dangling-pointer|return-local-addr)"
)

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Build:
    """What came of a build: the program, if there is one, and the compiler's output."""

    program: Path | None
    seconds: float
    output: str

    @property
    def ok(self) -> bool:
        """Whether there is a program."""
        return self.program is not None

    def warnings(self) -> list[str]:
        """The compiler's warnings about wrong use of memory, a line each."""
        lines = self.output.splitlines()
        return [re.sub(r"^\S*/", "", line) for line in lines if _OF_MEMORY.search(line)]


@dataclass(frozen=True)
class _Own:
    """A source of ours to link a program with, the headers that it includes, and the
    flags to compile it with."""

    source: Path
    headers: tuple[Path, ...]
    flags: tuple[str, ...]


class Workshop:
    """Where one submission is built, below FOLDER. Each build has a folder of its own,
    which no other build can have tampered with."""

    def __init__(
        self, submission: Submission, folder: Path, isolation: Isolation
    ) -> None:
        self._submission = submission
        self._stage = submission.stage
        self._folder = folder
        self._isolation = isolation

    def build(self) -> Build:
        """The program as students build it."""
        place, _ = self._place("plain")
        return self._gcc(place, [*PLAIN, "-o", "program", self._stage.source])

    def build_sanitized(self) -> Build:
        """The same with AddressSanitizer and UndefinedBehaviorSanitizer, and filled, if
        the compiler can do that."""
        if said := self._tells_sanitizers():
            return Build(None, 0.0, f"it tells the sanitizers what to do: {said}")
        asks = _Own(_HERE / "ask_for_leaks.c", (), SANITIZED)
        place, linked = self._place("sanitized", asks)
        arguments = [*SANITIZED, "-o", "program", self._stage.source, *linked]
        built = self._gcc(place, [FILL, *arguments])
        return built if built.ok else self._gcc(place, arguments)

    def build_filled(self) -> Build:
        """The same, with rubbish in variables that were never set."""
        place, _ = self._place("filled")
        return self._gcc(place, [*PLAIN, FILL, "-o", "program", self._stage.source])

    def build_milestones(self) -> Build:
        """The unit tests, linked with the submission's functions."""
        place, linked = self._place("milestones", *self._unit_tests())
        # With -g, there would still be references to what is removed below.
        alone = [*PLAIN, "-g0", "-c", "-o", "student.o", self._stage.source]
        built = self._gcc(place, alone)
        if not built.ok:
            return built
        if why_not := self._keep_functions(place):
            return Build(None, built.seconds, why_not)
        linked.append("student.o")
        return self._gcc(place, ["-o", "milestones", *linked, *MILESTONES])

    def _unit_tests(self) -> list[_Own]:
        """Our part of the milestones, which is linked with the student's functions."""
        common = STAGES / "common"
        own, of_stage = common / "milestones.h", self._stage.judge / "milestones.c"
        return [
            _Own(of_stage, (own, self._stage_header), UNIT_TESTS),
            _Own(common / "run_milestones.c", (own,), UNIT_TESTS),
        ]

    def refused_functions(self) -> list[str]:
        """The names of the functions that the program calls, and that its isolation
        refuses."""
        refused = self._isolation.refused_functions
        if not refused:
            return []
        nm, place = ["/usr/bin/nm", "-D", "--undefined-only", "program"], "plain"
        _, symbols = compile_in(self._folder / place, nm, self._isolation, FILE_BYTES)
        called = set(re.findall(r"\bU (\w+)", symbols))
        return sorted(called & refused)

    def _keep_functions(self, place: Path) -> str:
        """Reduce PLACE's student.o to what the milestones call. Returns why that cannot
        be done, or ""."""
        # Only the functions of the header stay visible: we have another main(), and
        # other names may clash by chance.
        header = self._stage_header.read_text()
        named = sorted(set(re.findall(r"\b(\w+)\(", header)))
        seen = [f"--keep-global-symbol={function}" for function in named]
        dropped = [f"--remove-section={pattern}" for pattern in RUNS_BY_ITSELF]
        objcopy = ["/usr/bin/objcopy", *seen, *dropped, "student.o"]
        if compile_in(place, objcopy, self._isolation)[0]:
            return "what runs before main() cannot be left out: it is used elsewhere"
        # The loader runs code, too, to choose a function (ifunc). An object with such a
        # function is marked as GNU's (elf(5), EI_OSABI).
        if (place / "student.o").read_bytes()[7] != 0:
            return "they run no function that the loader chooses (ifunc)"
        return ""

    def _tells_sanitizers(self) -> str:
        """A function of the sanitizers that the plain program defines or calls; "" if
        none. With these it could make them look away."""
        nm, place = ["/usr/bin/nm", "program"], self._folder / "plain"
        status, symbols = compile_in(place, nm, self._isolation, FILE_BYTES)
        if status:
            return "there are too many names in it to look them through"
        found = re.search(r"\b__(?:asan|lsan|ubsan|sanitizer)_\w+", symbols)
        return found[0] if found else ""

    def _place(self, name: str, *own: _Own) -> tuple[Path, list[str]]:
        """Make a folder with the submission, and with our OWN parts that it is linked
        with, ready to build in. Returns the folder, and the names of these parts."""
        place = self._folder / name
        place.mkdir()
        linked = [self._put(place, part) for part in own]
        (place / self._stage.source).write_bytes(self._submission.source)
        (place / self._stage.header).write_bytes(self._submission.header)
        hand_over(place)
        return place, linked

    def _put(self, place: Path, part: _Own) -> str:
        """Put PART into PLACE, to be linked with. Returns the name of its file."""
        if self._stage_header in part.headers and self._has_own_header():
            return objects.put_sources(place, part.source, part.headers)
        return objects.link_with(
            place, part.source, part.headers, part.flags, self._isolation
        )

    def _has_own_header(self) -> bool:
        """Whether the student has changed what the unit tests include."""
        return self._submission.header != self._stage_header.read_bytes()

    @property
    def _stage_header(self) -> Path:
        return self._stage.given / self._stage.header

    def _gcc(self, place: Path, arguments: Sequence[str]) -> Build:
        began = time.monotonic()
        gcc = ["/usr/bin/gcc", "-fdiagnostics-color=never", *arguments]
        status, output = compile_in(place, gcc, self._isolation)
        program = place / arguments[arguments.index("-o") + 1]
        done = status == 0 and program.is_file()
        seconds = time.monotonic() - began
        return Build(program if done else None, seconds, self._as_known(output))

    def _as_known(self, output: str) -> str:
        """OUTPUT with the path that the student knows in each line."""
        shown = str(Path(self._submission.shown).parent) + "/"
        return re.sub(rf"\b(?={self._stage.program}\.[ch]:\d)", shown, output)
