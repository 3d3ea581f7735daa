"""Compiles a submission with our flags: plainly, with sanitizers, and as the
object that the milestones are linked with. The compiler runs in a cell, too:
its includes reach the submission and the system's headers, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grader import sandbox
from grader.failure import CannotGrade
from grader.submission import REPOSITORY, Submission

PLAIN = ("-std=gnu17", "-O2", "-g", "-Wall", "-Wextra", "-pthread")
SANITIZED = (
    "-std=gnu17", "-O1", "-g", "-pthread", "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
)  # fmt: skip
# The static libcheck leaves it to us to name what it needs. With --wrap the
# milestones see, and shorten, the student's reads and writes.
MILESTONES = (
    "-Wl,--wrap=send,--wrap=recv,--wrap=write,--wrap=read",
    "-lcheck", "-lsubunit", "-lm", "-lrt",
)  # fmt: skip

_SECONDS = 60
_LIMITS = ("--cpu=40", f"--as={4 << 30}", f"--fsize={256 << 20}", "--core=0")
_OUTPUT_BYTES = 64 << 10
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


class Workshop:
    """Where one submission is built: FOLDER, which holds its source and header."""

    def __init__(self, submission: Submission, folder: Path, isolation: str) -> None:
        self._submission = submission
        self._folder = folder
        self._isolation = isolation
        name = submission.name
        (folder / f"{name}.c").write_bytes(submission.source)
        (folder / f"{name}.h").write_bytes(submission.header)

    def build(self) -> Build:
        """The program as students build it."""
        return self._gcc([*PLAIN, "-o", "program", self._source])

    def build_sanitized(self) -> Build:
        """The same with AddressSanitizer and UndefinedBehaviorSanitizer."""
        shutil.copy(_HERE / "ask_for_leaks.c", self._folder)
        return self._gcc(
            [*SANITIZED, "-o", "sanitized", self._source, "ask_for_leaks.c"]
        )

    def build_milestones(self) -> Build:
        """The unit tests, linked with the submission's functions."""
        stage = self._submission.stage
        for path in (_HERE / "milestones").glob("*.[ch]"):
            shutil.copy(path, self._folder)
        built = self._gcc([*PLAIN, "-c", "-o", "student.o", self._source])
        if not built.ok:
            return built
        # Of the student's functions only those of the header can be seen: there
        # is another main(), and other names may be the same by chance.
        name = self._submission.name
        header = (REPOSITORY / "stages" / str(stage) / f"{name}.h").read_text()
        named = sorted(set(re.findall(r"\b(\w+)\(", header)))
        seen = [f"--keep-global-symbol={function}" for function in named]
        self._run(["/usr/bin/objcopy", *seen, "student.o"])
        sources = [f"stage_{stage}.c", "milestones.c", "student.o"]
        return self._gcc([*PLAIN, "-o", "milestones", *sources, *MILESTONES])

    @property
    def _source(self) -> str:
        return f"{self._submission.name}.c"

    def _gcc(self, arguments: Sequence[str]) -> Build:
        began = time.monotonic()
        status, output = self._run(
            ["/usr/bin/gcc", "-fdiagnostics-color=never", *arguments]
        )
        output = self._as_known(output)
        program = self._folder / arguments[arguments.index("-o") + 1]
        done = status == 0 and program.is_file()
        return Build(program if done else None, time.monotonic() - began, output)

    def _as_known(self, output: str) -> str:
        """OUTPUT with the path that the student knows in front of the lines."""
        shown = str(Path(self._submission.shown).parent) + "/"
        return re.sub(rf"\b(?={self._submission.name}\.[ch]:\d)", shown, output)

    def _run(self, command: list[str]) -> tuple[int, str]:
        """Run COMMAND in our folder: its exit status, and what it said."""
        if self._isolation == "bubblewrap":
            command = sandbox.compiler_cell(self._folder, command)
        limited = ["/usr/bin/prlimit", *_LIMITS, "--", *command]
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TMPDIR": "/tmp"}
        with tempfile.TemporaryFile(dir=self._folder) as output:
            try:
                status = subprocess.run(
                    limited,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=self._folder,
                    env=environment,
                    timeout=_SECONDS,
                ).returncode
            except subprocess.TimeoutExpired:
                return 1, f"the compiler was not done after {_SECONDS} seconds"
            except FileNotFoundError as error:
                raise CannotGrade(
                    f"{error.filename} is missing: run 'make setup'"
                ) from None
            output.seek(0)
            text = output.read(_OUTPUT_BYTES).decode(errors="replace")
        return status, text
