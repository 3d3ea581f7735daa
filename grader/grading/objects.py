"""The grader's own C, which is linked with each submission. It is compiled once, and
kept in .gcc_cache/.

An object's name is a hash of all that went into it: sources, flags, and the installed
compiler. It contains no student's code. Where nothing can be written, it is compiled
each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from grader.sandbox.compiler import compile_in, hand_over
from grader.sandbox.isolation import Isolation

_KEPT = Path(__file__).resolve().parent.parent / ".gcc_cache"
_COMPILER = "/usr/bin/gcc"

# Files that change when another compiler, or library, is installed.
_INSTALLED = (_COMPILER, "/var/lib/dpkg/status")


def link_with(
    place: Path,
    source: Path,
    headers: Sequence[Path],
    flags: Sequence[str],
    isolation: Isolation,
) -> str:
    """What to link with in the folder PLACE, to have SOURCE in it: the name of its
    object, which is there now; or, where the compiler makes none, of the source itself,
    so that it is heard why. SOURCE includes HEADERS; FLAGS are the
    compiler's, and it runs in ISOLATION."""
    kept = _KEPT / f"{source.stem}-{_key([source, *headers], flags)}.o"
    target = place / f"{source.stem}.o"
    with contextlib.suppress(OSError):
        shutil.copyfile(kept, target)
        return target.name
    apart = place / f"for_{target.name}"
    apart.mkdir()
    put_sources(apart, source, headers)
    hand_over(apart)
    command = [_COMPILER, *flags, "-c", "-o", target.name, source.name]
    if compile_in(apart, command, isolation)[0]:
        return put_sources(place, source, headers)
    shutil.copyfile(apart / target.name, target)
    with contextlib.suppress(OSError):
        _keep(target, kept)
    return target.name


def put_sources(place: Path, source: Path, headers: Sequence[Path]) -> str:
    """Copy SOURCE, and the HEADERS that it includes, into the folder PLACE. Returns its
    name."""
    for path in (source, *headers):
        shutil.copyfile(path, place / path.name)
    return source.name


def _keep(made: Path, kept: Path) -> None:
    """Keep MADE as KEPT, atomically, and remove what was made of older sources."""
    kept.parent.mkdir(exist_ok=True)
    aside = kept.with_name(f".{kept.name}.{os.getpid()}")
    try:
        shutil.copyfile(made, aside)
        os.replace(aside, kept)
    finally:
        aside.unlink(missing_ok=True)
    for old in kept.parent.glob(f"{made.stem}-*.o"):
        if old != kept:
            old.unlink(missing_ok=True)


def _key(sources: Sequence[Path], flags: Sequence[str]) -> str:
    states = [os.stat(path) for path in _INSTALLED if os.path.exists(path)]
    facts = [*flags, *((state.st_size, state.st_mtime_ns) for state in states)]
    digest = hashlib.sha256(repr(facts).encode())
    for path in sources:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:20]
