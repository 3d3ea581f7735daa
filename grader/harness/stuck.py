"""Is a program stuck, and how do we know?

A verdict rests on what the kernel shows, not on a stopwatch. While we await
something, we look at the program's threads again and again. Three identical looks
over 45 ms (the same call with the same arguments, stack and program counter, and
not one context switch in between) show that it sleeps. Then three snapshots of its
connections, over another 45 ms, have to be identical, each consistent in itself
(snapshot.py), with nothing on its way in the kernel. That proves that nothing will
come: a thread that had been woken would be runnable at once, even on a busy machine,
where it would only have to wait for a processor.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from grader.harness import diagnosis, wording
from grader.harness.finding import Finding
from grader.harness.snapshot import Connections, Peer, Snapshot
from grader.kernel import procfs
from grader.kernel.procfs import Task
from grader.sandbox.limits import CROWD
from grader.sandbox.program import Program

SAMPLES, STABLE_SECONDS = 3, 0.045
_PAUSE_SECONDS = 0.01

# Sleeping with a time-out proves nothing by itself: a server may wake ten times a
# second and be right. A server that sleeps this long without serving is not.
DOZING_SECONDS = 5.0

# Naps longer than this are added up, if the program takes one after another and does
# something in between. In seconds.
LONG_NAP_SECONDS = 0.1

# Processor time without one byte moved: this much, plus some for each client, since a
# server may read what all clients sent at once before it answers the first.
SPINNING_SECONDS, SPINNING_SECONDS_EACH = 2.0, 0.002
LAST_RESORT_SECONDS = 60.0

# After this long, we believe that a stopped program (signal(7), SIGSTOP) has stopped
# itself.
STOPPED_SECONDS = 1.0

# How long a snapshot has to last, in seconds, where that is not STABLE_SECONDS. We do
# believe an impossible one in the end: the program may have told the kernel to keep
# quiet. If it sleeps in recv(), it may have asked to be woken after a moment.
# (SO_RCVLOWAT and SO_RCVTIMEO in socket(7); neither can be seen from outside.)
LASTING_SECONDS = {"withheld": 3.0, "blocked_receiving": 1.0}

# Output since anything moved: too much for any program, and too much for one that is
# busy with nothing else. In bytes.
TOO_MUCH_OUTPUT, MUCH_OUTPUT = 64 << 20, 1 << 20


# With LOUD in the environment, an impossible snapshot is reported on standard error.
LOUD, IMPOSSIBLE = "ECHOLAB_LOUD", "an impossible snapshot"


@dataclass
class Naps:
    """How long a program has slept in a whole session, waiting for nothing but time
    while somebody waited for it. In seconds. Short naps do not count: on a busy machine
    we cannot tell how long they really were."""

    seconds: float = 0.0


class StuckDetector:
    """Looks at a program while something is awaited from it.

    PEERS returns our ends of its connections. PORT is where it listens (0 if it does
    not). It may sleep for DOZING seconds in calls that end by themselves.
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
        """Something was sent or received: start looking anew."""
        self._since = self._last = time.monotonic()
        self._next = self._since + _PAUSE_SECONDS
        self._dozed = 0.0
        self._used_before: float | None = None
        self._used = 0.0
        self._printed_before = self._program.printed
        self._same: list[tuple[float, list[Task]]] = []
        self._napping: list[Task] = []
        self._snapshots = _Snapshots()
        self.is_held_back = False  # asleep, with something on its way in the kernel
        self.slept: tuple[float, str] | None = None

    def asleep(self) -> list[Task] | None:
        """Look once more. Returns all threads if they have slept unmoved in the same
        calls for three looks, else None. slept says since when, and in which call."""
        now = time.monotonic()
        if now < self._next:
            return None
        pid = self._program.pid
        tasks = procfs.tasks(pid) if pid else []
        used = procfs.processor_seconds(pid) if pid else 0.0
        if self._used_before is None:
            self._used_before = used
        self._used = used - self._used_before
        # Looking at a thousand threads takes long: leave them time to do something.
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
        """Whether it has slept most of the time since anything moved."""
        return self._dozed > (time.monotonic() - self._since) / 2

    def processor_seconds(self) -> float:
        """Processor time that it has used since anything moved."""
        return self._used

    def look(self) -> Finding | None:
        """Look once more. Returns proof that what is awaited will not come, or None."""
        finding = self._proof()
        pid = self._program.pid
        return (
            diagnosis.observe(finding, pid, self._port) if finding and pid else finding
        )

    def _proof(self) -> Finding | None:
        tasks = self.asleep()
        if tasks is None and self._dozed > self._dozing and self.dozes():
            tasks = self._napping  # never for long at once, but most of the time
        if tasks and (finding := self._asleep_in(tasks)):
            return finding
        printed = self._program.printed - self._printed_before
        spinning = self._used > SPINNING_SECONDS and self._used > (
            SPINNING_SECONDS + SPINNING_SECONDS_EACH * min(len(self._peers()), CROWD)
        )
        if printed > (MUCH_OUTPUT if spinning else TOO_MUCH_OUTPUT):
            return Finding("prints_without_end", printed=printed)
        if spinning:
            return Finding("spinning", processor_seconds=round(self._used, 1))
        if time.monotonic() - self._since > LAST_RESORT_SECONDS:
            return Finding("silent", seconds=LAST_RESORT_SECONDS)
        return None

    def _asleep_in(self, tasks: list[Task]) -> Finding | None:
        """What it means that all threads sleep where they do."""
        if any(task.state == "T" for task in tasks):
            if time.monotonic() - self._since < STOPPED_SECONDS:
                return None  # somebody else's doing, perhaps, and over soon
            return Finding("stopped")
        calls = [(task, task.call) for task in tasks if task.call]
        timed = len(calls) < len(tasks) or any(call.timed() for _, call in calls)
        timed = timed or any(
            procfs.may_be_woken(pid) for pid in {task.pid for task in tasks}
        )
        asleep_seconds = max(self._dozed, self._naps.seconds)
        if timed and asleep_seconds < self._dozing:
            return None
        # We will read in a moment what it writes to us.
        if any(diagnosis.is_our_output(task.pid, call) for task, call in calls):
            return None
        snapshot = Snapshot(tasks[0].pid, self._peers(), self._port)
        if snapshot.something_is_on_its_way():
            self.is_held_back = True
            self._snapshots.clear()
            return None
        finding = diagnosis.explain(snapshot, calls)
        if not snapshot.holds(tasks):
            return None
        if not self._snapshots.show(snapshot.connections, finding):
            return None
        if timed:
            finding.asleep_seconds = round(asleep_seconds, 1)
        if finding.kind in ("lost", "forgot") and any(c.naps() for _, c in calls):
            finding.kind = "sleeping"
        return finding


class _Snapshots:
    """The latest snapshots of the connections, as far back as they are identical.

    If the kernel loses the processor while it delivers bytes, they are in the queue,
    but nobody has been woken yet. So one snapshot proves nothing.
    """

    def __init__(self) -> None:
        self._taken: list[tuple[float, Connections]] = []

    def clear(self) -> None:
        """Start anew."""
        self._taken.clear()

    def show(self, connections: Connections, finding: Finding) -> bool:
        """Add one, of CONNECTIONS. Returns whether they have been identical for long
        enough to believe FINDING."""
        now = time.monotonic()
        if self._taken and self._taken[-1][1] != connections:
            self._taken.clear()
        self._taken.append((now, connections))
        lasted = now - self._taken[0][0]
        if len(self._taken) < SAMPLES or lasted < STABLE_SECONDS:
            return False
        if finding.kind == "withheld":
            _say_loudly(finding)
        return lasted >= LASTING_SECONDS.get(finding.kind, STABLE_SECONDS)


def _say_loudly(finding: Finding) -> None:
    """Report an impossible snapshot to the grader's own tests: it is a fault of ours,
    unless it lasts."""
    if LOUD in os.environ:
        print(f"{IMPOSSIBLE}: {wording.says(finding)}", file=sys.stderr, flush=True)
