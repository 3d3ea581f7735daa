"""Keeps a running program company: takes its output, and holds it to its bounds."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable

from grader.sandbox.limits import Limiter
from grader.sandbox.output import Outputs

_EVERY_MILLISECONDS = 50


class Keeper:
    """A thread that takes all that the process PID and its descendants write, and
    calls KILL when they pass a bound. ALONE says whether they have our network to
    themselves. It ends when they have closed their OUTPUTS, and PID has ended."""

    def __init__(
        self, pid: int, alone: bool, outputs: Outputs, kill: Callable[[], None]
    ) -> None:
        self.over_limit = ""  # the bound that was passed, in words
        self._pid = pid
        self._alone = alone
        self._outputs = outputs
        self._kill = kill
        process = os.pidfd_open(pid)
        self._thread = threading.Thread(target=self._run, args=[process], daemon=True)
        self._thread.start()

    def wait(self, timeout: float) -> None:
        """Wait, at most TIMEOUT seconds, until there is nothing more to take."""
        self._thread.join(timeout)

    def _run(self, process: int) -> None:
        """PROCESS is a descriptor of the process, which is closed at the end."""
        poll = select.poll()
        open_ = {process, *self._outputs.descriptors}
        for fd in open_:
            poll.register(fd, select.POLLIN)
        limiter = Limiter(self._pid, self._alone, lambda: self._outputs.count)
        while open_:
            for fd, _ in poll.poll(_EVERY_MILLISECONDS):
                if fd == process or self._outputs.take(fd) is None:
                    poll.unregister(fd)
                    open_.discard(fd)
            if not self.over_limit and (said := limiter.passed()):
                self.over_limit = said
                self._kill()
        os.close(process)
