"""Isolation: how programs, and the compiler, are kept apart from the machine.

There are two kinds: a cell for each program, in a network of our own; and none.
Whatever differs between the two is a method here, so that no other module has to ask
which of them it is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import gettempdir
from typing import ClassVar

from grader.errors import CannotGrade
from grader.sandbox import namespaces, network, orphans
from grader.sandbox.cell import SANITIZERS, compiler_cell, own_etc, program_cell
from grader.sandbox.cell_report import CellReport, was_entered
from grader.sandbox.seccomp import REFUSED_FUNCTIONS, refused_system_calls
from grader.sandbox.users import as_sandbox_user, can_change_user, runs_as, sandbox_user

# A command, and the descriptors that have to be passed to it.
Prepared = tuple[list[str], list[int]]

# How error messages of prlimit and setpriv begin.
_LAUNCHERS_SAY = ("prlimit:", "setpriv:")


class Isolation(ABC):
    """What differs between a cell and no isolation."""

    name: ClassVar[str]  # in the result file
    own_network: ClassVar[bool]  # whether nobody but us is in our network
    refused_functions: ClassVar[frozenset[str]]  # of those in libraries, by name

    @abstractmethod
    def running(
        self,
        program: Path,
        argv: Sequence[str],
        environment: dict[str, str],
        libraries: tuple[str, ...],
        status_fd: int,
    ) -> AbstractContextManager[Prepared]:
        """The command that runs PROGRAM with ARGV (its name first), to be started
        before the context is left. It may need LIBRARIES besides the C library, and
        has ENVIRONMENT besides ours; on STATUS_FD comes a CellReport."""

    @abstractmethod
    def compiling(
        self, folder: Path, command: Sequence[str], status_fd: int
    ) -> AbstractContextManager[Prepared]:
        """The command that runs the compiler's COMMAND in FOLDER, as above."""

    @abstractmethod
    def launchers(self) -> list[str]:
        """What to put before the command of a program."""

    @abstractmethod
    def counts_processes(self) -> bool:
        """Whether a program has a user, or a user namespace, of its own, so that the
        kernel counts its processes and no others."""

    @abstractmethod
    def find(self, launched: int, report: CellReport) -> int | None:
        """The pid of what is the program, or becomes it, of which LAUNCHED is what we
        started; None as long as it is not there."""

    @abstractmethod
    def launch_failed(self, status: int, report: bytes, said: str) -> bool:
        """Whether what ended with STATUS was a launcher of ours, and not the program:
        by bubblewrap's REPORT, or by what was SAID on its standard error."""

    @abstractmethod
    def exit_status(self, code: int) -> int:
        """The program's exit status, negative for a signal that killed it, where CODE
        is that of the process that we started."""

    @abstractmethod
    def enter_another_network(self) -> None:
        """Give this process, which was forked from ours, a network of its own."""

    @abstractmethod
    def large_receive_buffers(self) -> AbstractContextManager[None]:
        """Connections of a socket that begins to listen meanwhile have large receive
        buffers, where we have a say in that."""


class Cell(Isolation):
    """A cell of bubblewrap's for each program, in a network of ours."""

    name = "bubblewrap"
    own_network = True
    refused_functions = REFUSED_FUNCTIONS

    @contextlib.contextmanager
    def running(
        self,
        program: Path,
        argv: Sequence[str],
        environment: dict[str, str],
        libraries: tuple[str, ...],
        status_fd: int,
    ) -> Iterator[Prepared]:
        tracing = libraries == SANITIZERS
        with refused_system_calls(tracing) as filter_fd, own_etc(*runs_as()) as etc:
            command = program_cell(
                str(program), argv, filter_fd, etc, environment, status_fd, libraries
            )
            yield command, [status_fd, filter_fd, *etc.values()]

    @contextlib.contextmanager
    def compiling(
        self, folder: Path, command: Sequence[str], status_fd: int
    ) -> Iterator[Prepared]:
        with refused_system_calls() as filter_fd:
            cell = compiler_cell(folder, command, filter_fd, status_fd)
            yield cell, [filter_fd, status_fd]

    def launchers(self) -> list[str]:
        return as_sandbox_user(in_a_cell=True)  # and it ends with us by itself

    def counts_processes(self) -> bool:
        return True

    def find(self, launched: int, report: CellReport) -> int | None:
        return report.child_of_init()

    def launch_failed(self, status: int, report: bytes, said: str) -> bool:
        return not was_entered(report)

    def exit_status(self, code: int) -> int:
        # bubblewrap's init reports as a shell does; exit(-1) comes out as 255.
        return 128 - code if 128 < code <= 192 else code

    def enter_another_network(self) -> None:
        network.enter_another()

    def large_receive_buffers(self) -> AbstractContextManager[None]:
        return network.large_receive_buffers()


class NoIsolation(Isolation):
    """Programs run as any other program on this machine does, within the limits."""

    name = "off"
    own_network = False
    refused_functions = frozenset()

    @contextlib.contextmanager
    def running(
        self,
        program: Path,
        argv: Sequence[str],
        environment: dict[str, str],
        libraries: tuple[str, ...],
        status_fd: int,
    ) -> Iterator[Prepared]:
        yield [str(program), *argv[1:]], []

    @contextlib.contextmanager
    def compiling(
        self, folder: Path, command: Sequence[str], status_fd: int
    ) -> Iterator[Prepared]:
        yield list(command), []

    def launchers(self) -> list[str]:
        end_with_us = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"]
        return [*as_sandbox_user(), *end_with_us]

    def counts_processes(self) -> bool:
        return sandbox_user() is not None

    def find(self, launched: int, report: CellReport) -> int | None:
        return launched

    def launch_failed(self, status: int, report: bytes, said: str) -> bool:
        # There are only words to go by, and #line can put them there, too.
        return status != 0 and said.startswith(_LAUNCHERS_SAY)

    def exit_status(self, code: int) -> int:
        return code

    def enter_another_network(self) -> None:
        """There is only the machine's."""

    def large_receive_buffers(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()


def enter(wanted: str) -> tuple[Isolation, str]:
    """Enter the isolation that is WANTED: auto, required or off.

    Call it once, before any thread is started. Returns the isolation that there is now,
    and why there is none ("" if there is, or if none was wanted). Raises CannotGrade
    where it is required and cannot be had.
    """
    orphans.adopt()
    can_change_user()
    if wanted == "off":
        return NoIsolation(), ""
    reason = _obstacle()
    if not reason:
        network.enter_first()
        return Cell(), ""
    if wanted == "required":
        raise CannotGrade(f"no isolation: {reason}")
    return NoIsolation(), reason


def require() -> None:
    """Raise CannotGrade where programs cannot be isolated; prepare nothing."""
    if reason := _obstacle():
        raise CannotGrade(f"no isolation: {reason}")


def _obstacle() -> str:
    """Why programs cannot be isolated here, or "". Tried out in a child."""
    if not shutil.which("bwrap", path="/usr/bin:/bin"):
        return "bubblewrap is not installed (make setup installs it)"
    forbidden = namespaces.forbidden()
    if os.getuid() == 0 and sandbox_user() is None:
        return forbidden or "root may not become another user here, to run them as"
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(theirs, _try_out().encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours, encoding="utf-8", errors="replace") as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return "" if said == "it works" else forbidden or said or "it does not work here"


def _try_out() -> str:
    """Enter a network and a cell: "it works", or what went wrong."""
    try:
        network.enter_first()
        bind = ["--ro-bind", "/usr/bin", "/usr/bin", "--ro-bind", gettempdir(), "/mnt"]
        with refused_system_calls() as filter_fd, own_etc(*runs_as()) as etc:
            cell = program_cell("/usr/bin/true", ["true"], filter_fd, etc, extra=bind)
            done = subprocess.run(
                [*as_sandbox_user(), *cell],
                capture_output=True,
                pass_fds=[filter_fd, *etc.values()],
                timeout=30,
            )
    except OSError as error:
        return f"this system lets us have no network namespace: {error.strerror}"
    if done.returncode == 0:
        return "it works"
    said = done.stderr.decode(errors="replace").strip() or "bwrap fails"
    sentence = said.splitlines()[-1].partition(". ")[0].rstrip(".")
    return f"this system lets us have no cell: {sentence}"
