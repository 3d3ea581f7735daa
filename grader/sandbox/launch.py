"""Launching a program: prlimit, setpriv and bubblewrap, each becoming the next one by
exec, until one of them becomes the program (or, in a cell, starts it)."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from grader.errors import CannotGrade
from grader.kernel import procfs
from grader.sandbox import limits
from grader.sandbox.cell import ENVIRONMENT
from grader.sandbox.cell_report import CellReport
from grader.sandbox.isolation import Isolation
from grader.sandbox.output import Outputs

_LAUNCHERS = ("/usr/bin/prlimit", "/usr/bin/setpriv", "/usr/bin/bwrap")


@dataclass(frozen=True)
class Launch:
    """What to start: the file PATH with ARGV (its name first). It may have DESCRIPTORS
    open, softly and at most. ENVIRONMENT is what it has besides ours, LIBRARIES what it
    is linked with besides the C library."""

    path: Path
    argv: list[str]
    descriptors: tuple[int, int]
    environment: dict[str, str]
    libraries: tuple[str, ...]


def start(
    launch: Launch,
    isolation: Isolation,
    stdin: int,
    outputs: Outputs,
    report: CellReport,
) -> subprocess.Popen[bytes]:
    """Start LAUNCH in ISOLATION with STDIN as its standard input. It has its ends of
    OUTPUTS and of REPORT then, and ours of them are closed."""
    allowed = limits.of(launch.descriptors, isolation.counts_processes())
    launchers = ["/usr/bin/prlimit", *allowed, "--", *isolation.launchers()]
    prepared = isolation.running(
        launch.path, launch.argv, launch.environment, launch.libraries, report.theirs
    )
    with prepared as (command, passed):
        process = subprocess.Popen(
            [*launchers, *command],
            env=ENVIRONMENT | launch.environment,
            stdin=stdin,
            stdout=outputs.theirs[0],
            stderr=outputs.theirs[1],
            pass_fds=passed,
            start_new_session=True,
            cwd="/",
        )
    for fd in (*outputs.theirs, report.theirs):
        os.close(fd)
    return process


def expect_started(
    process: subprocess.Popen[bytes],
    isolation: Isolation,
    report: CellReport,
    said: str,
) -> None:
    """Raise CannotGrade if PROCESS, which has ended, never became the program, but a
    launcher failed; SAID is what came on its standard error."""
    if isolation.launch_failed(process.returncode, report.whole(), said):
        raise CannotGrade(f"a program could not be started: {said}")


def kill(process: subprocess.Popen[bytes], report: CellReport) -> None:
    """Kill PROCESS and all that it started. With a cell's init all in it dies."""
    for pid in (report.init, *reversed(procfs.tree(process.pid))):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid or process.pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def is_launcher(pid: int) -> bool:
    """Whether PID still runs what is only to become the program. The files are
    compared: by its name, a program could pass itself off for one."""
    try:
        runs = os.stat(f"/proc/{pid}/exe")
    except PermissionError:  # it hides, which no launcher does
        return False
    except OSError:  # it has ended
        return True
    return any(os.path.samestat(runs, launcher) for launcher in _launchers())


@functools.cache
def _launchers() -> list[os.stat_result]:
    return [os.stat(path) for path in _LAUNCHERS if os.path.exists(path)]
