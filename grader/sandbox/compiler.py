"""Where submissions are built: a folder for each grading, one in it for each build,
and the compiler, run there within bounds and in a cell of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from grader.errors import CannotGrade
from grader.kernel import procfs
from grader.sandbox import orphans
from grader.sandbox.isolation import Isolation
from grader.sandbox.users import as_sandbox_user, sandbox_user

_SECONDS = 60
FILE_BYTES = 64 << 20
_LIMITS = ("--cpu=40", f"--as={2 << 30}", f"--fsize={FILE_BYTES}", "--core=1")
_OUTPUT_BYTES = 64 << 10

# Far more than a right submission's builds take of the disk.
_ROOM_BYTES = 256 << 20

_PREFIX = "echolab-"
_NEW_SECONDS = 60


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder to build in, which is removed afterwards. (Folders that killed graders
    left behind are removed first.) Raises CannotGrade if there is no room."""
    _sweep()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        path = Path(name)
        if _room(path) < _ROOM_BYTES:
            needed = f"{_ROOM_BYTES >> 20} MiB are needed to build in"
            raise CannotGrade(f"no space left in {path.parent}: {needed}")
        path.chmod(0o711)  # so that the compiler's user can reach the places in it
        descriptor = _open(path)
        try:
            # The kernel releases the lock when we end, however that happens (flock(2)).
            # Another grader may hold it for a moment, while it removes old folders.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield path
        finally:
            os.close(descriptor)


def hand_over(place: Path) -> None:
    """Give the folder PLACE, and what is in it, to the user who runs the compiler, if
    that is not ours. We must not write there from now on: what a submission's build
    puts there may be a link to anywhere."""
    if (user := sandbox_user()) is not None:
        place.chmod(0o755)  # another user may run what this one makes
        for path in (place, *place.iterdir()):
            os.chown(path, user, user)


def compile_in(
    place: Path, command: list[str], isolation: Isolation, most: int = _OUTPUT_BYTES
) -> tuple[int, str]:
    """Run COMMAND, a compiler's, in PLACE: its exit status, and what it said.

    At most 60 seconds, 2 GiB of memory, files of 64 MiB, and MOST bytes of what it
    says. Raises CannotGrade if it is not installed, if the disk is full, or if
    its cell cannot be made.
    """
    with (
        tempfile.TemporaryFile(dir=place.parent) as output,
        tempfile.TemporaryFile(dir=place.parent) as report,
        isolation.compiling(place, command, report.fileno()) as (isolated, passed),
    ):
        status = _run(isolated, place, output, passed)
        output.seek(0)
        text = output.read(most).decode(errors="replace")
        report.seek(0)
        reported = report.read()
    if status is None:
        return 1, f"the compiler was not done after {_SECONDS} seconds\n{text}"
    if status and _room(place) < _ROOM_BYTES // 2:
        raise CannotGrade(f"no space left in {place.parent}")
    if isolation.launch_failed(status, reported, text):
        raise CannotGrade(f"the compiler could not be started: {text}")
    return status, text


def _run(
    command: list[str], place: Path, output: IO[bytes], passed: list[int]
) -> int | None:
    """The exit status of COMMAND, which writes to OUTPUT; None if time ran out."""
    try:
        return subprocess.run(
            ["/usr/bin/prlimit", *_LIMITS, "--", *as_sandbox_user(), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=place,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TMPDIR": "/tmp"},
            pass_fds=passed,
            umask=0o022,
            timeout=_SECONDS,
        ).returncode
    except subprocess.TimeoutExpired:
        return None
    except FileNotFoundError as error:
        missing = f"{error.filename} is missing: run 'make setup'"
        raise CannotGrade(missing) from None
    finally:
        orphans.end()


def _room(path: Path) -> int:
    """Bytes that may be written below PATH."""
    state = os.statvfs(path)
    return state.f_bavail * state.f_frsize


def _open(path: Path) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags)


def _end_launches(path: Path) -> None:
    """End launches that hang since the grader that used PATH was killed: bubblewrap's
    init waits for ever for a parent that died before it gave the word to begin."""
    for pid in procfs.numbers("/proc"):
        command = procfs.read(f"/proc/{pid}/cmdline").split("\0")
        ours = any(word.startswith(f"{path}/") for word in command)
        with contextlib.suppress(OSError):
            if ours and os.readlink(f"/proc/{pid}/exe") == "/usr/bin/bwrap":
                os.kill(pid, signal.SIGKILL)


def _sweep() -> None:
    """Remove the folders of graders that have ended without doing so."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            descriptor = _open(path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # A grader that has just made its folder has not locked it yet.
                if time.time() - os.fstat(descriptor).st_mtime > _NEW_SECONDS:
                    _end_launches(path)
                    shutil.rmtree(path)
            finally:
                os.close(descriptor)
