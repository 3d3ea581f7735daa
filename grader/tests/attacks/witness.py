"""Runs a command and bears witness to what it did to the machine.

    python3 witness.py SECONDS COMMAND...

Whatever outlives the command comes to this process (prctl(2), CHILD_SUBREAPER),
and so cannot hide. What is printed is one object of JSON; see Witnessed.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_LARGEST_FILE = 1 << 30
_DYING_SECONDS = 10.0

# Above this, it is worth knowing which pages are shared.
_MUCH_BYTES = 1 << 30


@dataclasses.dataclass
class Witnessed:
    """What a command did, and what it left."""

    status: int = 0
    out: str = ""
    err: str = ""
    seconds: float = 0.0
    timed_out: bool = False
    most_bytes: int = 0
    leftovers: list[str] = dataclasses.field(default_factory=list)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def _family() -> list[int]:
    pids = _children(os.getpid())
    for pid in pids:
        pids += _children(pid)
    return pids


def _sizes(name: str, pattern: str) -> int:
    total = 0
    for pid in _family():
        for text in (_read(f"/proc/{pid}/{name}"),):
            total += sum(map(int, re.findall(pattern, text, re.MULTILINE)))
    return total << 10


def _memory() -> int:
    """What everybody below us uses, in bytes; shared pages count once if it is
    much."""
    much = _sizes("status", r"^(?:RssAnon|RssShmem):\s+(\d+)")
    if much > _MUCH_BYTES:
        return _sizes("smaps_rollup", r"^(?:Pss_Anon|Pss_Shmem):\s+(\d+)")
    return much


def _leftovers() -> list[str]:
    """Who is still there, after everybody had time to die. They die now."""
    end = time.monotonic() + _DYING_SECONDS
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            return []
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    names = []
    for pid in _children(os.getpid()):
        command = _read(f"/proc/{pid}/cmdline").replace("\0", " ")
        names.append(f"{pid} {_read(f'/proc/{pid}/comm').strip()}: {command}")
        os.kill(pid, signal.SIGKILL)
    return names


def witness(seconds: float, command: list[str]) -> Witnessed:
    """Run COMMAND, for so many SECONDS at most."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    seen = Witnessed()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        process = subprocess.Popen(command, stdin=0, stdout=out, stderr=err)
        while process.poll() is None:
            before = time.monotonic()
            seen.most_bytes = max(seen.most_bytes, _memory())
            if time.monotonic() - began > seconds and not seen.timed_out:
                seen.timed_out = True
                process.kill()
            time.sleep(0.05 + 3 * (time.monotonic() - before))
        seen.seconds = time.monotonic() - began
        seen.status = process.returncode
        seen.leftovers = _leftovers()
        for file, name in ((out, "out"), (err, "err")):
            file.seek(0)
            text = file.read().decode(errors="replace")
            setattr(seen, name, text)
    return seen


if __name__ == "__main__":
    done = witness(float(sys.argv[1]), sys.argv[2:])
    json.dump(dataclasses.asdict(done), sys.stdout)
