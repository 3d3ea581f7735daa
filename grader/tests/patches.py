"""Patches, written by diff(1) and applied by patch(1)."""

from __future__ import annotations

import collections
import functools
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from grader.errors import CannotGrade

# Keep empty context lines free of spaces: editors strip them on saving.
_DIFF = ["diff", "--unified", "--minimal", "--suppress-blank-empty"]
_DIFF += ["--label=base", "--label=program"]
# The context must match word for word, though line numbers may differ.
_PATCH = ["patch", "--quiet", "--forward", "--fuzz=0", "--reject-file=-"]


def difference(base: str, text: str) -> str:
    """The unified diff from BASE to TEXT; "" if they are the same."""
    with tempfile.TemporaryDirectory(prefix="patch-") as folder:
        old, new = Path(folder, "base.c"), Path(folder, "program.c")
        old.write_bytes(base.encode())
        new.write_bytes(text.encode())
        done = _run([*_DIFF, old, new])
    if done.returncode > 1:
        raise CannotGrade(f"diff says: {_first_line(done)}")
    return done.stdout.decode()


def apply(diff: str, base: str) -> str:
    """BASE with DIFF applied. Raises CannotGrade, with the reason, if DIFF does not fit
    it word for word."""
    with tempfile.TemporaryDirectory(prefix="patch-") as folder:
        old, new = Path(folder, "base.c"), Path(folder, "program.c")
        old.write_bytes(base.encode())
        done = _run([*_PATCH, f"--output={new}", old], diff)
        if done.returncode or not new.exists():
            raise CannotGrade(_first_line(done) or "there is no diff in it")
        return new.read_bytes().decode()


def _run(
    command: Sequence[str | Path], given: str = ""
) -> subprocess.CompletedProcess[bytes]:
    """Run diff or patch in its COMMAND, with GIVEN as its input."""
    try:
        return subprocess.run(
            command, input=given.encode(), capture_output=True, check=False
        )
    except FileNotFoundError:
        raise CannotGrade(f"no {command[0]} here: run 'make setup-test'") from None


def _first_line(done: subprocess.CompletedProcess[bytes]) -> str:
    said = (done.stdout + done.stderr).decode(errors="replace")
    return said.strip().partition("\n")[0].removeprefix("patch: **** ")


def changed_lines(diff: str) -> int:
    """How many lines DIFF changes; a line that replaces another counts once."""
    total = removed = added = 0
    for line in [*diff.splitlines()[2:], ""]:
        if line.startswith("-"):
            removed += 1
        elif line.startswith("+"):
            added += 1
        elif not line.startswith("\\"):  # "\ No newline at end of file"
            total += max(removed, added)
            removed = added = 0
    return total


def at_least(one: str, other: str) -> int:
    """A lower bound for the number of lines in which two texts differ: quick to find,
    and often all we need."""
    ours, theirs = _counted(one), _counted(other)
    return max((ours - theirs).total(), (theirs - ours).total())


@functools.cache
def _counted(text: str) -> collections.Counter[str]:
    return collections.Counter(text.splitlines())
