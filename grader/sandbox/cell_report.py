"""What bubblewrap reports of a cell: lines of JSON, on a descriptor of their own."""

from __future__ import annotations

import json
import os
import select

from grader.kernel import procfs

_WAIT_SECONDS = 1.0


class CellReport:
    """The report of one cell, as it comes. Where there is no cell, nothing comes.

    THEIRS is the end for bubblewrap: close it once bubblewrap has it.
    """

    def __init__(self) -> None:
        self._ours, self.theirs = os.pipe()
        self._read = b""
        self.init: int | None = None  # the pid of the cell's init, when it is known

    def child_of_init(self) -> int | None:
        """The pid of what init has started, or None as long as there is nothing.
        Waits a second, at most, for the report to begin."""
        # bubblewrap writes it in pieces.
        if self.init is None and select.select([self._ours], [], [], _WAIT_SECONDS)[0]:
            self._read += os.read(self._ours, 4096)
            line, ends, _ = self._read.partition(b"\n")
            self.init = json.loads(line)["child-pid"] if ends else None
        if self.init is None:
            return None
        family = procfs.tree(self.init)
        return family[1] if len(family) > 1 else None

    def whole(self) -> bytes:
        """All of it, once bubblewrap has ended."""
        while piece := os.read(self._ours, 4096):
            self._read += piece
        return self._read

    def close(self) -> None:
        """Close our end."""
        os.close(self._ours)


def was_entered(report: bytes) -> bool:
    """Whether a cell that has ended was ever entered, by its REPORT: it has an exit
    status only of what could be started in it."""
    return b"exit-code" in report
