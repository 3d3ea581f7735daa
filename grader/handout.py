"""The handout: what students get, which is this repository without what would spoil
it for them: the solutions, and the grader's own tests with their right and wrong
programs. Read from git's HEAD, so that nobody's work in stages/ is handed out."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from grader.failure import CannotGrade
from grader.submission import REPOSITORY

# What is handed out, and what of it is not. All else stays here, so that a new
# folder is not given away because nobody thought of it.
_HANDED_OUT = (
    "stages", "grader", "Makefile", "README.md", "LICENSE",
    ".clang-format", ".clang-tidy", ".editorconfig", ".gitignore",
    ".github/workflows/grade.yml", ".github/workflows/report.yml",
)  # fmt: skip
_KEPT = ("grader/tests", "grader/SECURITY.md", "grader/FINDINGS.md")
_SOLUTIONS = "solutions"

# The lines between which a text speaks of what is kept (in Markdown and in the
# Makefile they are comments).
_BEGIN, _END = "not in a handout", "in a handout again"

# What git says in a folder that it knows nothing of.
_NOT_IN_GIT = (b"not a git repository", b"current working directory is untracked")


@dataclass(frozen=True)
class File:
    """A file of the repository; path is relative to it."""

    path: str
    content: bytes
    executable: bool = False


def write(folder: Path) -> list[str]:
    """Write the handout into FOLDER, which is new or empty: what to tell about it.

    FOLDER gets all of it or nothing. Raises CannotGrade where that cannot be.
    """
    target = _accepted(folder)
    committed = _committed()
    files = _present() if committed is None else committed
    chosen = [_for_students(file) for file in files if _is_handed_out(file.path)]
    _refuse_solved(chosen, files)
    aside = target.parent / f".{target.name}.{os.getpid()}"
    try:
        try:
            for file in chosen:
                _put(aside / file.path, file)
            os.rename(aside, target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise CannotGrade(f"cannot write {folder}: {error.strerror}") from None
    what = f"{len(chosen)} files, without the solutions and the grader's own tests"
    return [f"{folder}: {what}.", *_whence(committed is not None)]


def _accepted(folder: Path) -> Path:
    """The absolute path of FOLDER, if a handout may be written there."""
    try:
        target = Path(os.path.realpath(folder))
        if target == REPOSITORY or REPOSITORY in target.parents:
            raise CannotGrade(f"{folder} is inside this repository: choose another")
        if not target.parent.is_dir():
            raise CannotGrade(f"no folder {target.parent}")
        if target.exists() and any(target.iterdir()):
            raise CannotGrade(f"{folder} is not empty")
    except OSError as error:
        raise CannotGrade(f"cannot write {folder}: {error.strerror}") from None
    return target


def _is_handed_out(path: str) -> bool:
    return _is_below(path, _HANDED_OUT) and not _is_below(path, _KEPT)


def _is_below(path: str, tops: tuple[str, ...]) -> bool:
    return any(path == top or path.startswith(f"{top}/") for top in tops)


def _for_students(file: File) -> File:
    """FILE without what it says of what is kept."""
    if file.path != "Makefile" and not file.path.endswith(".md"):
        return file
    kept = True
    lines = []
    for line in file.content.decode().splitlines(keepends=True):
        mark = line.strip("#<!-> \n")
        if mark in (_BEGIN, _END):
            if kept != (mark == _BEGIN):
                raise CannotGrade(f"{file.path}: '{mark}' stands there out of turn")
            kept = mark == _END
        elif kept:
            lines.append(line)
    if not kept:
        raise CannotGrade(f"{file.path}: no '{_END}' after '{_BEGIN}'")
    text = re.sub(r"\n{3,}", "\n\n", "".join(lines)).rstrip("\n") + "\n"
    return replace(file, content=text.encode())


def _refuse_solved(chosen: list[File], files: list[File]) -> None:
    """Whoever has put a solution into stages/ shall not hand it out."""
    solved = {f.content: f.path for f in files if _is_below(f.path, (_SOLUTIONS,))}
    for file in chosen:
        if file.content in solved:
            raise CannotGrade(f"{file.path} is the same as {solved[file.content]}")


def _put(path: Path, file: File) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags, 0o777 if file.executable else 0o666)

    with open(path, "xb", opener=opener) as out:
        out.write(file.content)


# -- where the files come from -------------------------------------------------


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    own = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    return subprocess.run(
        ["git", *arguments],
        cwd=REPOSITORY,
        env={**own, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )


def _committed() -> list[File] | None:
    """The files of the last commit, or None where there is no git repository.
    Raises CannotGrade if there is one that cannot be read."""
    try:
        done = _git("archive", "--format=tar", "HEAD")
    except FileNotFoundError:
        if (REPOSITORY / ".git").exists():
            raise CannotGrade("git is not installed") from None
        return None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        if any(words in done.stderr for words in _NOT_IN_GIT):
            return None
        raise CannotGrade(f"git: {' '.join(said)}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        return [
            File(member.name, content.read(), bool(member.mode & 0o100))
            for member in archive.getmembers()
            if (content := archive.extractfile(member)) and member.isfile()
        ]


def _present() -> list[File]:
    """The files that are here, without what .gitignore says is built."""
    ignored = _ignored((REPOSITORY / ".gitignore").read_text().splitlines())
    found = []
    for top in (*_HANDED_OUT, _SOLUTIONS):
        paths = [REPOSITORY / top, *sorted((REPOSITORY / top).rglob("*"))]
        for path in paths:
            name = path.relative_to(REPOSITORY).as_posix()
            if path.is_file() and not path.is_symlink() and not ignored(name):
                found.append(File(name, path.read_bytes(), os.access(path, os.X_OK)))
    return found


def _ignored(patterns: list[str]) -> Callable[[str], bool]:
    """Whether a path is one of those that PATTERNS, lines of .gitignore, name:
    "/a/b" from the top, all others in whatever folder (gitignore(5))."""
    lines = [line.strip().rstrip("/") for line in patterns]
    lines = [line for line in lines if line and not line.startswith("#")]

    def ignored(path: str) -> bool:
        return any(
            fnmatch(path, line[1:])
            if line.startswith("/")
            else any(fnmatch(part, line) for part in path.split("/"))
            for line in lines
        )

    return ignored


def _whence(committed: bool) -> list[str]:
    """What is to be told of where the files came from, if anything."""
    if not committed:
        return ["Here is no git repository: look whether stages/ is as you want it."]
    listed = _git("diff", "--name-only", "-z", "--relative", "HEAD").stdout
    listed += _git("ls-files", "--others", "--exclude-standard", "-z").stdout
    paths = listed.decode(errors="replace").split("\0")
    changed = [path for path in paths if _is_handed_out(path)]
    if not changed:
        return []
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return [f"It is as committed: what changed in {changed[0]}{more} is not in it."]
