"""A session: a program under test, with all our ends of its connections. It waits for
what is expected, and fails with what was seen instead.

server.py has the session with a server under test, where we are its clients.
client_session.py has the one with a client under test, where we are its server.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from grader.harness import post_mortem, wording
from grader.harness.connection import Connection
from grader.harness.failure import Failure
from grader.harness.finding import Finding
from grader.harness.settling import Settling
from grader.harness.stuck import DOZING_SECONDS, Naps, StuckDetector
from grader.kernel import procfs
from grader.sandbox.program import Program

# No wait lasts longer than PATIENCE_SECONDS, even while something still moves. A wait
# also ends when the program and the kernel have had nothing to do for TRICKLING_SECONDS
# in all: such a program only trickles.
PATIENCE_SECONDS, TRICKLING_SECONDS = 180.0, 15.0


class _Patience:
    """How long one wait for PROGRAM may last."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._began = time.monotonic()
        self._busy_before: float | None = None  # when the wait grew long

    @property
    def waited(self) -> float:
        """How long it has lasted, in seconds."""
        return time.monotonic() - self._began

    def is_at_its_end(self, was_held_back: bool) -> bool:
        """Whether the wait has lasted too long, or the program has been idle in it for
        too long: neither at work nor waiting for a processor. Idleness does not count
        if it WAS_HELD_BACK by the kernel, which took its time to deliver something."""
        waited = self.waited
        if waited < TRICKLING_SECONDS:
            return False
        busy = procfs.busy_seconds(self._program.pid or 0)
        if self._busy_before is None:
            self._busy_before = busy
        idle = waited - TRICKLING_SECONDS - (busy - self._busy_before)
        trickles = idle > TRICKLING_SECONDS and not was_held_back
        return waited > PATIENCE_SECONDS or trickles


class Session(Settling):
    """What the sessions with a server and with a client under test have in common.

    held_back counts how often the kernel took its time to deliver something. went_wrong
    says that something went wrong that another check reports. closing holds what to do
    once the program has ended.
    """

    dozing_seconds = DOZING_SECONDS

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self._naps = Naps()
        self.went_wrong = False
        self.held_back = 0
        self.closing = contextlib.ExitStack()

    def wait(
        self,
        done: Callable[[], bool],
        message: str,
        *,
        what: str,
        expected: str = "",
        received: Callable[[], str] = str,
        awaited: list[Connection] | None = None,
        may_end: bool = False,
    ) -> None:
        """Move everything on until DONE() is true.

        Raises Failure as soon as it is proved that it will not become true: with
        MESSAGE, with what was EXPECTED and RECEIVED, and with WHAT was expected in one
        word (Circumstances.expected). AWAITED are the connections whose answers we wait
        for. With MAY_END the program's end is no failure.
        """
        finding = self._wait(done, awaited or [], may_end)
        if finding:
            raise self.failure(message, expected, received(), finding, what=what)

    def _wait(
        self, done: Callable[[], bool], awaited: list[Connection], may_end: bool
    ) -> Finding | None:
        self._awaited = set(awaited)
        detector = StuckDetector(
            self.program, self.peers, self.port, self.dozing_seconds, self._naps
        )
        patience, held_before = _Patience(self.program), self.held_back
        while not done():
            if self.pump(0.002):
                self.held_back += detector.is_held_back
                detector.moved()
                self.check()
                continue
            self.check()
            if self.program.ended():
                self.drain_after_exit()
                if done() or may_end:
                    return None
                return post_mortem.gone(self.program)
            finding = self._look(detector, awaited)
            # What came between our last look and the proof makes the proof void.
            if finding:
                self.program.take_output()
            if finding and self.pump(0):
                detector.moved()
            elif finding and not done():
                return finding
            if patience.is_at_its_end(self.held_back > held_before):
                return Finding("slow", seconds=round(patience.waited))
        return None

    def _look(
        self, detector: StuckDetector, awaited: list[Connection]
    ) -> Finding | None:
        """What DETECTOR finds, and what the first of AWAITED still lacks."""
        finding = detector.look()
        if finding and detector.slept:
            self.transcript.note_sleep(*detector.slept)
        if finding:
            any(one.note_due(finding) for one in awaited)
        return finding

    def drain_after_exit(self) -> None:
        """Take what the program printed and sent before it ended. A client that it hung
        up on says more than its end does, whichever of the two we see first."""
        self.program.all_output_read()
        while self.pump(0.02):
            self.check()

    def run_for(self, seconds: float) -> None:
        """Move everything on for SECONDS, whatever comes."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.pump(left)
            self.check()

    @contextlib.contextmanager
    def another_check_tells(self) -> Iterator[None]:
        """What goes wrong inside does not fail this check. Nor does what goes wrong
        later with the clients that were there: it may be the same mistake."""
        try:
            yield
        except Failure:
            self.went_wrong = True
            self.circumstances.forget_outcome()
        self._excuse_faults()

    def check(self) -> None:
        """Raise Failure if something is wrong with any connection."""
        if self._fault:
            one = self._fault
            said = one.message, one.expected, one.received, one.finding
            raise self.failure(*said, **one.facts)

    def failure(
        self,
        message: str,
        expected: str = "",
        received: str = "",
        finding: Finding | None = None,
        what: str = "",
        **facts: Any,
    ) -> Failure:
        """A failure with the transcript and the circumstances so far, and with FACTS.
        The other arguments are as in wait()."""
        hung_up = finding is not None and finding.kind in ("hung_up", "refused")
        # A closed connection may be the first sign of the program's end.
        if (finding is None or hung_up) and post_mortem.is_ending(self.program):
            self.program.all_output_read()
            finding = post_mortem.gone(self.program, finding)
            if hung_up:  # and that is why
                message = message.replace("the server", "it", 1)
                message = f"the server {self.program.ending()}: {message}"
        about = f"{message} {wording.says(finding) if finding else ''}"
        return Failure(
            message,
            expected,
            received,
            finding,
            self.transcript.lines(about),
            self.program.errors.text(),
            self.transcript.as_data(about),
            replace(self.circumstances, expected=what, **facts),
        )

    def close(self) -> None:
        """End the program, and close our own ends."""
        self._close_connections()
        self.program.stop()
        self.closing.close()
