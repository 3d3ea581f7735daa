"""What a pull request touches, and what it hands in.

We read its checkout through git's objects only, never through the files that were
checked out: a link there could lead to the solutions, or anywhere. git runs nothing
that the repository names: no hook, no filter, no monitor, no helper.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from grader import course
from grader.errors import CannotGrade

_SECONDS = 120
_LISTED_BYTES = 4 << 20

# More than submission.py takes. A larger file is handed on with this size, but empty.
_FILE_BYTES = 2 << 20

# For any owner of the repository, and whatever its configuration says.
_GIT = ["/usr/bin/git", "--no-pager", "--no-replace-objects", "--literal-pathspecs"]
_GIT += ["-c", "safe.directory=*"]
_GIT += ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_ALLOW_PROTOCOL": "none",  # missing objects are not fetched
}

_STAGE = re.compile(r"stages/(\d+)(?:/|$)")
_KINDS = {"120000": "a link", "160000": "a submodule"}


@dataclass(frozen=True)
class Changes:
    """The stages that are touched, the other paths, and whether that is known: if not,
    every stage counts as touched."""

    stages: list[int] = field(default_factory=lambda: list(course.stages()))
    outside: list[str] = field(default_factory=list)
    known: bool = False


def touched(paths: list[str]) -> Changes:
    """What a pull request that touches PATHS touches."""
    stages: set[int] = set()
    outside = []
    for path in paths:
        stage = _STAGE.match(path)
        if path == "stages":
            stages |= set(course.stages())
        elif stage and int(stage[1]) in course.stages():
            stages.add(int(stage[1]))
        elif not path.startswith("stages/"):
            outside.append(path)
    return Changes(sorted(stages), sorted(outside), known=True)


def is_workflow(path: str) -> bool:
    """Whether a pull request that touches PATH can change the workflow that grades it.
    That runs in the pull request's version; everything else comes from its base."""
    return path == ".github" or path.startswith(".github/")


def between(head: Path, base: str, commit: str) -> Changes:
    """What COMMIT, in the repository HEAD, changes since it branched off from BASE."""
    command = ["diff", "--name-only", "-z", "--no-renames"]
    command += ["--no-ext-diff", "--no-textconv", "--ignore-submodules=none"]
    try:
        listed = git(head, *command, f"{base}...{commit}", "--")
    except CannotGrade:  # no common ancestor, or far too many paths
        return Changes()
    return touched([os.fsdecode(path) for path in listed.split(b"\0") if path])


def commit_of(head: Path) -> str:
    """The commit that is checked out in HEAD."""
    return git(head, "rev-parse", "--verify", "HEAD^{commit}").decode().strip()


def unpack(head: Path, commit: str, stages: list[int], place: Path) -> list[str]:
    """Write the source and the header that COMMIT has for each of STAGES into
    PLACE/stages/N. Returns a note for each stage that is not a folder in COMMIT, and so
    was left empty."""
    refused = []
    for stage in stages:
        folder = f"stages/{stage}"
        (place / folder).mkdir(parents=True)
        if none := _no_folder(head, commit, folder):
            refused.append(none)
            continue
        for name in course.stage(stage).files:
            _unpack_file(head, commit, f"{folder}/{name}", place)
    return list(dict.fromkeys(refused))


def _no_folder(head: Path, commit: str, folder: str) -> str:
    """What is there instead of FOLDER, or of stages/ itself; "" if that's folders."""
    for path in ("stages", folder):
        mode = _entry(head, commit, path)[0]
        if mode not in ("", "040000"):
            return f"{path} is {_KINDS.get(mode, 'a file')}"
    return ""


def _unpack_file(head: Path, commit: str, name: str, place: Path) -> None:
    """Write the file NAME of COMMIT into PLACE. If it is not a plain file, something
    else that is none is put there, for submission.py to refuse."""
    mode, blob, size = _entry(head, commit, name)
    path = place / name
    if mode == "120000":
        path.symlink_to("/dev/null")
    elif mode in ("040000", "160000"):
        path.mkdir()
    elif mode:
        large = size > _FILE_BYTES
        path.write_bytes(b"" if large else git(head, "cat-file", "blob", blob))
        os.truncate(path, min(size, _FILE_BYTES))


def _entry(head: Path, commit: str, path: str) -> tuple[str, str, int]:
    """The mode, object and size in bytes of PATH in COMMIT; mode "" if it isn't
    there."""
    listed = git(head, "ls-tree", "--long", "-z", "--full-tree", commit, "--", path)
    if not listed:
        return "", "", 0
    mode, _, name, size = listed.partition(b"\t")[0].decode().split()
    return mode, name, int(size) if size.isdigit() else 0


def git(repository: Path, *arguments: str) -> bytes:
    """The output of git with ARGUMENTS, at most 4 MiB. Raises CannotGrade."""
    command = [*_GIT, "--git-dir", str(repository / ".git"), *arguments]
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                env=_ENVIRONMENT,
                timeout=_SECONDS,
            )
        except FileNotFoundError:
            raise CannotGrade("git is not installed: run 'make setup'") from None
        except subprocess.TimeoutExpired:
            raise CannotGrade(f"git did not finish in {_SECONDS} seconds") from None
        output.seek(0)
        said = output.read(_LISTED_BYTES + 1)
    if done.returncode or len(said) > _LISTED_BYTES:
        words = done.stderr[:1000].decode(errors="replace") or "git printed too much"
        raise CannotGrade(f"{repository}: {words}")
    return said
