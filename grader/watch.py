"""Is a program stuck, and how is that known?

A verdict rests on what the kernel shows, not on a stopwatch. While something is
awaited, the program's threads are looked at again and again. Three looks alike
over 45 ms (the same call with the same arguments, stack and program counter, and
not one context switch in between) show that it sleeps. Then three pictures of its
connections, over 45 ms again, have to be alike, each consistent in itself (view.py),
with nothing on its way in the kernel. That proves that nothing will come: a thread
that had been woken would be runnable at once, on a busy machine too, where it would
merely have to wait for a processor.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from grader import procfs
from grader.failure import Finding
from grader.guard import CROWD
from grader.procfs import Task
from grader.program import Program
from grader.view import Connections, Peer, View, is_our_output, observed

SAMPLES, STABLE_SECONDS = 3, 0.045
_PAUSE_SECONDS = 0.01

# Sleeping with a time-out is no proof by itself: a server may wake ten times a
# second and be right. Whoever sleeps as long as this without serving is not.
DOZING_SECONDS = 5.0

# Whoever sleeps so long and longer, again and again, and does something in between,
# is told the sum of it. In seconds.
LONG_NAP_SECONDS = 0.1

# Processor time without one byte moved: so much, and for each client besides, since
# a server may take what all who speak at once have sent before it answers the first.
SPINNING_SECONDS, SPINNING_SECONDS_EACH = 2.0, 0.002
LAST_RESORT_SECONDS = 60.0

# A program that stands (signal(7), SIGSTOP) is believed to have done that by itself
# after so long.
STOPPED_SECONDS = 1.0

# How long a picture has to last, in seconds, where that is not STABLE_SECONDS. One that
# cannot be is believed at last: the kernel may have been told to keep quiet. Who sleeps
# in recv() may have told it to wake him after a moment. (SO_RCVLOWAT and SO_RCVTIMEO
# in socket(7); neither can be seen from outside.)
LASTING_SECONDS = {"withheld": 3.0, "blocked_receiving": 1.0}

# Output since anything moved that is too much in any case, and what is much for
# a program that is busy with nothing else. In bytes.
TOO_MUCH_OUTPUT, MUCH_OUTPUT = 64 << 20, 1 << 20


# Where this is in the environment, such a picture is told of on standard error.
LOUD, IMPOSSIBLE = "ECHOLAB_LOUD", "a picture that cannot be"


@dataclass
class Naps:
    """How long a program has slept, in all of a story, where it waited for nothing but
    time, while somebody waited for it. In seconds; a nap that is short is not counted:
    how long it really was, a busy machine does not tell."""

    seconds: float = 0.0


class Watch:
    """Looks at a program while something is awaited from it.

    PEERS tells of our ends of its connections, PORT is where it listens (0 if
    it does not). DOZING seconds it may sleep in calls that end by themselves.
    """

    def __init__(
        self,
        program: Program,
        peers: Callable[[], list[Peer]],
        port: int = 0,
        dozing: float = DOZING_SECONDS,
        naps: Naps | None = None,
    ) -> None:
        self._program = program
        self._dozing = dozing
        self._naps = naps or Naps()
        self._peers = peers
        self._port = port
        self.moved()

    def moved(self) -> None:
        """Something was sent or received: begin to look anew."""
        self._since = self._last = time.monotonic()
        self._next = self._since + _PAUSE_SECONDS
        self._dozed = 0.0
        self._used_before: float | None = None
        self._used = 0.0
        self._printed_before = self._program.printed
        self._same: list[tuple[float, list[Task]]] = []
        self._napping: list[Task] = []
        self._pictures: list[tuple[float, Connections]] = []
        self.is_held_back = False  # asleep, with something on its way in the kernel
        self.slept: tuple[float, str] | None = None

    def asleep(self) -> list[Task] | None:
        """Look once more. All threads, if they have slept unmoved in the same
        calls for three looks; else None. slept says since when, and in which."""
        now = time.monotonic()
        if now < self._next:
            return None
        pid = self._program.pid
        tasks = procfs.tasks(pid) if pid else []
        used = procfs.processor_seconds(pid) if pid else 0.0
        if self._used_before is None:
            self._used_before = used
        self._used = used - self._used_before
        # A thousand threads take long to look at: leave them time to do something.
        self._next = time.monotonic() + max(
            _PAUSE_SECONDS, 4 * (time.monotonic() - now)
        )
        asleep = all(task.state == "S" for task in tasks)
        self._napping = tasks if asleep else []
        if asleep:
            self._dozed += now - self._last
        self._last = now
        if not tasks or any(task.state not in "ST" for task in tasks):
            self._same.clear()
            return None
        if self._same and self._same[-1][1] != tasks:
            self._same.clear()
        if self._same and now - self._same[0][0] > LONG_NAP_SECONDS:
            napping = any(task.call and task.call.naps() for task in tasks)
            if napping and any(peer.awaited for peer in self._peers()):
                self._naps.seconds += now - self._same[-1][0]
        self._same.append((now, tasks))
        if len(self._same) < SAMPLES or now - self._same[0][0] < STABLE_SECONDS:
            return None
        calls = [task.call.shown() for task in tasks if task.call]
        self.slept = self._same[0][0], min(calls, default="")
        return tasks

    def dozes(self) -> bool:
        """Whether it has slept for the most part since anything moved."""
        return self._dozed > (time.monotonic() - self._since) / 2

    def processor_seconds(self) -> float:
        """Processor time that it has used since anything moved."""
        return self._used

    def look(self) -> Finding | None:
        """Look once more: a proof that what is awaited will not come, or None."""
        finding = self._proof()
        pid = self._program.pid
        return observed(finding, pid, self._port) if finding and pid else finding

    def _proof(self) -> Finding | None:
        tasks = self.asleep()
        if tasks is None and self._dozed > self._dozing and self.dozes():
            tasks = self._napping  # never for long, and yet for the most part
        if tasks and (finding := self._asleep_in(tasks)):
            return finding
        printed = self._program.printed - self._printed_before
        spinning = self._used > SPINNING_SECONDS and self._used > (
            SPINNING_SECONDS + SPINNING_SECONDS_EACH * min(len(self._peers()), CROWD)
        )
        if printed > (MUCH_OUTPUT if spinning else TOO_MUCH_OUTPUT):
            says = f"the program prints without end: {printed >> 20} MiB by now"
            return Finding("prints_without_end", says, {"bytes": printed})
        if spinning:
            says = (
                f"the program is busy: it has used {self._used:.1f} s of processor "
                "time since anything was last sent or received"
            )
            return Finding(
                "spinning", says, {"processor_seconds": round(self._used, 1)}
            )
        if time.monotonic() - self._since > LAST_RESORT_SECONDS:
            says = f"nothing has moved for {LAST_RESORT_SECONDS:.0f} s"
            return Finding("silent", says)
        return None

    def _asleep_in(self, tasks: list[Task]) -> Finding | None:
        """What it means that all threads sleep where they sleep."""
        if any(task.state == "T" for task in tasks):
            if time.monotonic() - self._since < STOPPED_SECONDS:
                return None  # somebody else's doing, perhaps, and over soon
            return Finding("stopped", "the program is stopped (SIGSTOP, SIGTSTP)")
        calls = [(task, task.call) for task in tasks if task.call]
        timed = len(calls) < len(tasks) or any(call.timed() for _, call in calls)
        timed = timed or any(
            procfs.may_be_woken(pid) for pid in {task.pid for task in tasks}
        )
        asleep_seconds = max(self._dozed, self._naps.seconds)
        if timed and asleep_seconds < self._dozing:
            return None
        # What writes to us we shall read in a moment.
        if any(is_our_output(task.pid, call) for task, call in calls):
            return None
        view = View(tasks[0].pid, self._peers(), self._port)
        if view.something_is_on_its_way():
            self.is_held_back = True
            self._pictures.clear()
            return None
        finding = view.explain(calls)
        if not (view.holds(tasks) and self._has_lasted(view.connections, finding)):
            return None
        if timed:
            finding.evidence["asleep_seconds"] = round(asleep_seconds, 1)
        if finding.kind in ("lost", "forgot") and any(c.naps() for _, c in calls):
            return replace(finding, kind="sleeping")
        return finding

    def _has_lasted(self, connections: Connections, finding: Finding) -> bool:
        """Whether what FINDING says of CONNECTIONS has been so for long enough. Where
        a processor is taken away from the kernel while it delivers bytes, they are
        in the queue, and for that moment nobody has been woken."""
        now = time.monotonic()
        if self._pictures and self._pictures[-1][1] != connections:
            self._pictures.clear()
        self._pictures.append((now, connections))
        lasted = now - self._pictures[0][0]
        if len(self._pictures) < SAMPLES or lasted < STABLE_SECONDS:
            return False
        if finding.kind == "withheld":
            _say_loudly(finding)
        return lasted >= LASTING_SECONDS.get(finding.kind, STABLE_SECONDS)


def _say_loudly(finding: Finding) -> None:
    """Tell the grader's own tests of a picture that cannot be: a fault of ours, unless
    it lasts."""
    if LOUD in os.environ:
        print(f"{IMPOSSIBLE}: {finding.says}", file=sys.stderr, flush=True)
