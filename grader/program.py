"""One running program: its descriptors, its output, its signals, its end."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import signal
import subprocess
import threading
import time
import tty
from collections.abc import Sequence
from pathlib import Path

from grader import guard, procfs, strays, usage
from grader.failure import CannotGrade
from grader.guard import Guard
from grader.isolation import LAUNCHERS_SAY, as_stranger, runs_as, stranger
from grader.sandbox import ENVIRONMENT, SANITIZERS, cell, own_etc, was_entered
from grader.syscalls import refused_system_calls

# What a program may open, softly and at most, unless a check says otherwise.
DESCRIPTORS = (1024, 4096)

# What becomes the program by exec, one after the other.
_LAUNCHERS = ("/usr/bin/prlimit", "/usr/bin/setpriv", "/usr/bin/bwrap")


class Stream:
    """What a program wrote: the first and the last bytes kept, all counted."""

    def __init__(self, keep: int = 64 << 10) -> None:
        self._keep = keep
        self._head = bytearray()
        self._tail = bytearray()
        self.count = 0

    def add(self, data: bytes) -> None:
        """Take what has just been read."""
        self.count += len(data)
        room = self._keep - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        del self._tail[: -self._keep]

    def bytes(self) -> bytes:
        """All that is kept; where something was thrown away, a line says so."""
        lost = self.count - len(self._head) - len(self._tail)
        gap = b"\n[%d bytes left out]\n" % lost if lost > 0 else b""
        return bytes(self._head + gap + self._tail)

    def text(self) -> str:
        """The same as text."""
        return self.bytes().decode(errors="replace")


class Program:
    """A program of the student's, started in its cell, and all that is left of
    it when it has been stopped.

    PID is its process as we see it, or None if it ended before it was seen.
    """

    def __init__(
        self,
        path: Path,
        arguments: Sequence[str] = (),
        isolation: str = "off",
        *,
        name: str = "program",
        terminal: bool = True,
        stdin: int | None = None,
        descriptors: tuple[int, int] = DESCRIPTORS,
        environment: dict[str, str] | None = None,
        libraries: tuple[str, ...] = (),
    ) -> None:
        """Start PATH with ARGUMENTS.

        Its standard output is a terminal, as when a student runs it (stdio then
        writes line by line), or with TERMINAL false a pipe, whose bytes arrive
        as they are. Its standard input is STDIN; without one it is that terminal, or
        another pipe, where nobody ever types. DESCRIPTORS are its soft and its hard
        limit, LIBRARIES what it is linked with besides the C library.
        """
        self.output = Stream(64 << 10 if terminal else 16 << 20)
        self.errors = Stream()
        self.isolation = isolation
        self.over_limit = ""
        self._oom_kills = usage.oom_kills()
        self._taking = threading.Lock()
        self._report = b""
        self._init: int | None = None
        self._stopped = False
        launchers = self._launchers(descriptors)
        theirs = self._open_outputs(terminal)
        silent, self._keyboard = os.pipe()
        silence = theirs[0] if terminal else silent
        self._status_fd, their_status = os.pipe()
        with (
            refused_system_calls(tracing=SANITIZERS == libraries) as filter_fd,
            own_etc(*runs_as()) as etc,
        ):
            passed = [their_status, filter_fd, *etc.values()]
            command = [str(path), *arguments]
            if isolation == "bubblewrap":
                command = cell(
                    str(path), [name, *arguments], filter_fd, etc,
                    environment, their_status, libraries,
                )  # fmt: skip
            else:
                passed = []
            self._process = subprocess.Popen(
                [*launchers, *command],
                env=ENVIRONMENT | (environment or {}),
                stdin=stdin if stdin is not None else silence,
                stdout=theirs[0],
                stderr=theirs[1],
                pass_fds=passed,
                start_new_session=True,
                cwd="/",
            )
        for fd in (*theirs, silent, their_status):
            os.close(fd)
        self._begin()

    def _open_outputs(self, terminal: bool) -> tuple[int, int]:
        """Where its standard output and error go: the ends that are for it."""
        ours, theirs = os.openpty() if terminal else os.pipe()
        if terminal:
            tty.setraw(theirs)
        errors, their_errors = os.pipe()
        self._streams = {ours: self.output, errors: self.errors}
        for fd in self._streams:
            os.set_blocking(fd, False)
        if (user := stranger()) is not None:
            for fd in (theirs, their_errors):
                os.fchown(fd, user, user)  # so that it can open /dev/stdout
        return theirs, their_errors

    def _begin(self) -> None:
        """Look after what has just been launched, and find the program in it."""
        strays.know(self._process.pid)
        # If the kernel must kill something for its memory, then this.
        with contextlib.suppress(OSError):
            Path(f"/proc/{self._process.pid}/oom_score_adj").write_text("1000")
        process = os.pidfd_open(self._process.pid)
        self._keeper = threading.Thread(target=self._keep, args=[process], daemon=True)
        self._keeper.start()
        try:
            self.pid = self._find()
        except BaseException:
            self.stop()
            raise

    def _launchers(self, descriptors: tuple[int, int]) -> list[str]:
        """What stands before the program, or its cell, each becoming the next."""
        in_a_cell = self.isolation == "bubblewrap"
        limits = guard.limits(descriptors, in_a_cell or stranger() is not None)
        command = ["/usr/bin/prlimit", *limits, "--", *as_stranger(in_a_cell)]
        if not in_a_cell:  # a cell ends with us by itself
            command += ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"]
        return command

    def _find(self) -> int | None:
        """The program's own process, below prlimit or bubblewrap."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            pid: int | None = self._process.pid
            if self.isolation == "bubblewrap":
                pid = self._child_of_init()
            if pid and not _is_launcher(pid):
                return pid
            if self.ended():
                self._expect_started()
                return None
            time.sleep(0.001)
        raise CannotGrade("a program could not be started within 30 seconds")

    def _expect_started(self) -> None:
        """Raise CannotGrade if it has ended before it began: a launcher has failed.

        Without a cell there are only the launchers' own words, by how they begin.
        """
        self.all_output_read()
        said = self.errors.text().strip()
        if self.isolation == "bubblewrap":
            while piece := os.read(self._status_fd, 4096):
                self._report += piece
            started = was_entered(self._report) or bool(self.over_limit)
        else:
            started = not said.startswith(LAUNCHERS_SAY)
        if not started:
            raise CannotGrade(f"a program could not be started: {said}")

    def _child_of_init(self) -> int | None:
        # bubblewrap writes its report in pieces.
        if self._init is None and select.select([self._status_fd], [], [], 1.0)[0]:
            self._report += os.read(self._status_fd, 4096)
            line, ends, _ = self._report.partition(b"\n")
            self._init = json.loads(line)["child-pid"] if ends else None
        if self._init is None:
            return None
        family = procfs.tree(self._init)
        return family[1] if len(family) > 1 else None

    def _keep(self, process: int) -> None:
        """Take all that it writes, so that it never waits for us, and see to it
        that it stays within its bounds. PROCESS is a descriptor of it."""
        poll = select.poll()
        open_ = {process, *self._streams}
        for fd in open_:
            poll.register(fd, select.POLLIN)
        shared = self.isolation == "bubblewrap"
        watchman = Guard(self._process.pid, shared, lambda: self.printed)
        while open_:
            for fd, _ in poll.poll(50):  # milliseconds
                if fd == process or self._take(fd) is None:
                    poll.unregister(fd)
                    open_.discard(fd)
            if not self.over_limit and (said := watchman.passed()):
                self.over_limit = said
                self._kill()
        os.close(process)

    def _take(self, fd: int) -> bool | None:
        """Take what there is to read: whether there was anything; None at the end."""
        with self._taking:
            try:
                data = os.read(fd, 1 << 16)
            except BlockingIOError:
                return False
            except OSError:  # EIO: nobody has the terminal open any more
                return None
            self._streams[fd].add(data)
            return True if data else None

    def take_output(self) -> None:
        """Take what it has written by now. Where processors are rare, the thread that
        does so may not have come to it; and then it is not missing."""
        for fd in self._streams:
            for _ in range(16):  # in case that it prints without end
                if not self._take(fd):
                    break

    @property
    def printed(self) -> int:
        """How many bytes it has written so far."""
        return self.output.count + self.errors.count

    def ended(self) -> bool:
        """Whether it has ended by now."""
        return self._process.poll() is not None

    def all_output_read(self, timeout: float = 10) -> bool:
        """Wait, at most TIMEOUT seconds, until what an ended program wrote is here."""
        self._keeper.join(timeout)
        return not self._keeper.is_alive()

    def status(self) -> int | None:
        """Exit status, negative for the signal that killed it, None if running."""
        code = self._process.poll()
        if code is not None and self.isolation == "bubblewrap" and 128 < code <= 192:
            return 128 - code  # bubblewrap's init reports as a shell does
        return code  # up to 255, which is what exit(-1) comes out as

    def starved(self) -> bool:
        """Whether the kernel killed it, or may have, for want of memory."""
        killed = self.status() == -signal.SIGKILL and not self.over_limit
        return killed and usage.oom_kills() > self._oom_kills

    def signal(self, number: int) -> None:
        """Send it a signal; one that has ended feels nothing."""
        if self.pid and not self.ended():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _kill(self) -> None:
        """Kill it and all that it started. With a cell's init all in it dies."""
        for pid in (self._init, *reversed(procfs.tree(self._process.pid))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid or self._process.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """End it and all that it started, and close what was ours of it. A second
        time it does nothing."""
        if self._stopped:
            return
        self._stopped = True
        if not self.ended():
            self._kill()
        self._process.wait()
        strays.forget(self._process.pid)
        strays.end()
        self.all_output_read()
        for fd in (*self._streams, self._keyboard, self._status_fd):
            os.close(fd)

    def ending(self) -> str:
        """How it ended, in words."""
        status = self.status()
        if status is None:
            return "is still running"
        if self.over_limit:
            return f"was ended by the grader: {self.over_limit}"
        if status >= 0:
            return f"exited with status {status}"
        return f"was killed by {signal_name(-status)}"


def _is_launcher(pid: int) -> bool:
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


def signal_name(number: int) -> str:
    """SIGPIPE and so on."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
