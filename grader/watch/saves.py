"""Saves: when a stage's files have changed, and are whole again.

Editors save in many ways: they overwrite the file, or put a new one in its place, or
remove the old one first. The kernel (inotify(7), by way of watchdog) says only that
something happened in the folder. We look at the files to find out what.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from pathlib import Path

from watchdog.events import FileSystemEvent
from watchdog.observers import Observer

from grader import course
from grader.errors import CannotGrade

# One save can take several steps. It is over when no file has changed for this long.
_SETTLED_SECONDS = 0.1

# For each file: when it was written, its inode, and its size; None if it is missing.
_State = tuple[tuple[int, int, int] | None, ...]


class _Bell:
    """Writes to a pipe whenever something happens in a folder."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self.folders_changed = False

    def dispatch(self, event: FileSystemEvent) -> None:
        """Called for each event, in watchdog's own thread."""
        if event.is_directory and event.event_type in ("created", "deleted", "moved"):
            self.folders_changed = True
        with contextlib.suppress(BlockingIOError):  # the pipe is full: that will do
            os.write(self._pipe, b"!")


class Saves:
    """Watches the files of STAGE in FOLDER, laid out like stages/.

    Wait until its fileno() is readable, and then ask changed(). Raises CannotGrade if
    FOLDER does not exist (any more), or cannot be watched.
    """

    def __init__(self, folder: Path, stage: int) -> None:
        place = folder / str(stage)
        self._folders = (folder, place)
        self._files = [place / name for name in course.stage(stage).files]
        self._ours, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._pipes = (self._ours, theirs)
        self._bell = _Bell(theirs)
        self._observer = Observer()
        self._settled: _State = ()

    def __enter__(self) -> Saves:
        self._observer.start()
        self._watch_folders()
        self.settle()
        return self

    def __exit__(self, *_: object) -> None:
        self._observer.stop()
        self._observer.join()
        for descriptor in self._pipes:
            os.close(descriptor)

    def fileno(self) -> int:
        """A descriptor that is readable when something has happened."""
        return self._ours

    @property
    def there(self) -> bool:
        """Whether there was a source to grade when the files last settled."""
        return self._settled[0] is not None

    def changed(self) -> bool:
        """Whether the files have changed since they last settled."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._ours, 4096):
                pass
        if self._bell.folders_changed:
            self._watch_folders()
        return self._state() != self._settled

    def settle(self) -> None:
        """Wait until the files have not changed for a moment."""
        self._settled = self._state()
        quiet = time.monotonic() + _SETTLED_SECONDS
        while (left := quiet - time.monotonic()) > 0:
            select.select([self], [], [], left)
            if self.changed():
                self._settled = self._state()
                quiet = time.monotonic() + _SETTLED_SECONDS

    def wait(self) -> None:
        """Wait until the files have changed, and have settled."""
        while not self.changed():
            select.select([self], [], [])
        self.settle()

    def _state(self) -> _State:
        return tuple(map(_look_at, self._files))

    def _watch_folders(self) -> None:
        """Watch the folders that exist now: a save may have replaced them."""
        self._bell.folders_changed = False
        self._observer.unschedule_all()
        for folder in self._folders:
            try:
                self._observer.schedule(self._bell, str(folder))
            except FileNotFoundError:
                if folder == self._folders[0]:
                    raise CannotGrade(f"no folder {folder}") from None
            except OSError as error:
                raise CannotGrade(f"cannot watch {folder}: {error.strerror}") from None


def _look_at(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
