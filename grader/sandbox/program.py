"""One running program: its process, its output, its signals, its end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from grader.errors import CannotGrade
from grader.kernel import usage
from grader.sandbox import launch, orphans
from grader.sandbox.cell_report import CellReport
from grader.sandbox.isolation import Isolation, NoIsolation
from grader.sandbox.keeper import Keeper
from grader.sandbox.launch import Launch
from grader.sandbox.output import Outputs

# What a program may open, softly and at most, unless a check says otherwise.
DESCRIPTORS = (1024, 4096)

_LAUNCH_SECONDS, _OUTPUT_SECONDS = 30, 10


class Program:
    """A program of the student's, started in isolation, and all that is left of
    it when it has been stopped.

    PID is its process as we see it, or None if it ended before it was seen.
    """

    def __init__(
        self,
        path: Path,
        arguments: Sequence[str] = (),
        isolation: Isolation | None = None,
        *,
        name: str = "program",
        terminal: bool = True,
        stdin: int | None = None,
        descriptors: tuple[int, int] = DESCRIPTORS,
        environment: dict[str, str] | None = None,
        libraries: tuple[str, ...] = (),
    ) -> None:
        """Start PATH with ARGUMENTS, in ISOLATION or without any.

        Its standard output is a terminal, as when a student runs it (stdio then
        writes line by line), or with TERMINAL false a pipe, whose bytes arrive
        as they are. Its standard input is STDIN; without one it is that terminal, or
        another pipe, where nobody ever types. DESCRIPTORS are its soft and its hard
        limit, LIBRARIES what it is linked with besides the C library.
        """
        self._isolation = isolation or NoIsolation()
        self._oom_kills = usage.oom_kills()
        self._stopped = False
        self.name = name
        self._outputs = Outputs(terminal)
        self.output, self.errors = self._outputs.output, self._outputs.errors
        self._report = CellReport()
        silent, self._keyboard = os.pipe()
        silence = self._outputs.theirs[0] if terminal else silent
        argv = [name, *arguments]
        wanted = Launch(path, argv, descriptors, environment or {}, libraries)
        stdin = silence if stdin is None else stdin
        self._process = launch.start(
            wanted, self._isolation, stdin, self._outputs, self._report
        )
        os.close(silent)
        self._begin()

    def _begin(self) -> None:
        """Look after what has just been launched, and find the program in it."""
        launched = self._process.pid
        orphans.know(launched)
        # If the kernel must kill something for its memory, then this.
        with contextlib.suppress(OSError):
            Path(f"/proc/{launched}/oom_score_adj").write_text("1000")
        alone = self._isolation.own_network
        self._keeper = Keeper(launched, alone, self._outputs, self._kill)
        try:
            self.pid = self._find()
        except BaseException:
            self.stop()
            raise

    def _find(self) -> int | None:
        """The program's own process, below prlimit or bubblewrap."""
        deadline = time.monotonic() + _LAUNCH_SECONDS
        while time.monotonic() < deadline:
            pid = self._isolation.find(self._process.pid, self._report)
            if pid and not launch.is_launcher(pid):
                return pid
            if self.ended():
                self.all_output_read()
                if not self.over_limit:  # for which it was killed, perhaps unseen
                    said = self.errors.text().strip()
                    launch.expect_started(
                        self._process, self._isolation, self._report, said
                    )
                return None
            time.sleep(0.001)
        within = f"within {_LAUNCH_SECONDS} seconds"
        raise CannotGrade(f"a program could not be started {within}")

    # -- while it runs --------------------------------------------------------

    @property
    def over_limit(self) -> str:
        """The bound for which it was ended, in words; "" if it passed none."""
        return self._keeper.over_limit

    @property
    def printed(self) -> int:
        """How many bytes it has written so far."""
        return self._outputs.count

    def take_output(self) -> None:
        """Take what it has written by now. Where processors are rare, the thread that
        does so may not have come to it; and then it is not missing."""
        self._outputs.take_all()

    def signal(self, number: int) -> None:
        """Send it a signal; one that has ended feels nothing."""
        if self.pid and not self.ended():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    # -- its end --------------------------------------------------------------

    def ended(self) -> bool:
        """Whether it has ended by now."""
        return self._process.poll() is not None

    def all_output_read(self) -> None:
        """Wait, at most ten seconds, until what an ended program wrote is here."""
        self._keeper.wait(_OUTPUT_SECONDS)

    def status(self) -> int | None:
        """Exit status, negative for the signal that killed it, None if running."""
        code = self._process.poll()
        return None if code is None else self._isolation.exit_status(code)

    def starved(self) -> bool:
        """Whether the kernel killed it, or may have, for want of memory."""
        killed = self.status() == -signal.SIGKILL and not self.over_limit
        return killed and usage.oom_kills() > self._oom_kills

    def ending(self) -> str:
        """How it ended, in words."""
        status = self.status()
        if status is None:
            return "is still running"
        return ending(status, self.over_limit)

    def _kill(self) -> None:
        launch.kill(self._process, self._report)

    def stop(self) -> None:
        """End it and all that it started, and close what was ours of it. A second
        time it does nothing."""
        if self._stopped:
            return
        self._stopped = True
        if not self.ended():
            self._kill()
        self._process.wait()
        orphans.forget(self._process.pid)
        orphans.end()
        self.all_output_read()
        self._outputs.close()
        self._report.close()
        os.close(self._keyboard)


def ending(status: int, over_limit: str = "") -> str:
    """How a program ended, in words: by its exit STATUS, negative for a signal, or
    because it went OVER_LIMIT, which is a limit in words."""
    if over_limit:
        return f"was ended by the grader: {over_limit}"
    if status >= 0:
        return f"exited with status {status}"
    return f"was killed by {signal_name(-status)}"


def signal_name(number: int) -> str:
    """SIGPIPE and so on."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
