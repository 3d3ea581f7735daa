"""What a program writes: taken as it comes, so that the program never waits for us."""

from __future__ import annotations

import os
import threading
import tty

from grader.sandbox.users import sandbox_user

_PIECE_BYTES = 1 << 16
_MOST_PIECES = 16  # at once, in case that it prints without end


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


class Outputs:
    """Our ends of a program's standard output and standard error.

    The standard output is a terminal, as when a student runs it, or with TERMINAL
    false a pipe. THEIRS are the ends for the program: close them once it has them.
    """

    def __init__(self, terminal: bool) -> None:
        self.output = Stream(64 << 10 if terminal else 16 << 20)
        self.errors = Stream()
        self._taking = threading.Lock()
        ours, theirs = os.openpty() if terminal else os.pipe()
        if terminal:
            tty.setraw(theirs)
        errors, their_errors = os.pipe()
        self._streams = {ours: self.output, errors: self.errors}
        for fd in self._streams:
            os.set_blocking(fd, False)
        self.theirs = (theirs, their_errors)
        if (user := sandbox_user()) is not None:
            for fd in self.theirs:
                os.fchown(fd, user, user)  # so that it can open /dev/stdout

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Our ends, to wait for."""
        return tuple(self._streams)

    @property
    def count(self) -> int:
        """How many bytes the program has written so far, of those that were taken."""
        return self.output.count + self.errors.count

    def take(self, fd: int) -> bool | None:
        """Take what there is to read on FD: whether there was anything; None at the
        end."""
        with self._taking:
            try:
                data = os.read(fd, _PIECE_BYTES)
            except BlockingIOError:
                return False
            except OSError:  # EIO: nobody has the terminal open any more
                return None
            self._streams[fd].add(data)
            return True if data else None

    def take_all(self) -> None:
        """Take what the program has written by now."""
        for fd in self._streams:
            for _ in range(_MOST_PIECES):
                if not self.take(fd):
                    break

    def close(self) -> None:
        """Close our ends."""
        for fd in self._streams:
            os.close(fd)
