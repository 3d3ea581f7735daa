"""The handout: what students get. It is this repository without what would spoil the
exercise: the solutions, and the grader's own tests with their right and wrong programs.
It is read from git's HEAD, so that nobody's work in stages/ is handed out."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from grader.course import ROOT
from grader.errors import CannotGrade

# What is handed out, and what of that is kept back. Everything else stays here, so that
# a new folder isn't given away because nobody thought of it.
_HANDED_OUT = (
    "stages", "grader", "Makefile", "README.md", "LICENSE",
    ".clang-format", ".clang-tidy", ".editorconfig", ".gitignore",
    ".github/workflows/grade.yml", ".github/workflows/report.yml",
)  # fmt: skip
_KEPT_BACK = ("grader/tests", "grader/SECURITY.md", "grader/FINDINGS.md")
_SOLUTIONS = "solutions"

# The lines around text about what is kept back (comments in Markdown and in the
# Makefile).
_BEGIN, _END = "not in a handout", "in a handout again"

# What git says in a folder that is in no repository.
_NOT_IN_GIT = (b"not a git repository", b"current working directory is untracked")


@dataclass(frozen=True)
class File:
    """A file of the repository; path is relative to its root."""

    path: str
    content: bytes
    executable: bool = False


def write(folder: Path) -> list[str]:
    """Write the handout into FOLDER, which is new or empty: lines for the user.

    FOLDER gets all of it or nothing. Raises CannotGrade if it can't be written.
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
        if target == ROOT or ROOT in target.parents:
            raise CannotGrade(f"{folder} is inside this repository: choose another")
        if not target.parent.is_dir():
            raise CannotGrade(f"no folder {target.parent}")
        if target.exists() and any(target.iterdir()):
            raise CannotGrade(f"{folder} is not empty")
    except OSError as error:
        raise CannotGrade(f"cannot write {folder}: {error.strerror}") from None
    return target


def _is_handed_out(path: str) -> bool:
    return _is_below(path, _HANDED_OUT) and not _is_below(path, _KEPT_BACK)


def _is_below(path: str, tops: tuple[str, ...]) -> bool:
    return any(path == top or path.startswith(f"{top}/") for top in tops)


def _for_students(file: File) -> File:
    """FILE without its text about what is kept back."""
    if file.path != "Makefile" and not file.path.endswith(".md"):
        return file
    kept = True
    lines = []
    for line in file.content.decode().splitlines(keepends=True):
        mark = line.strip("#<!-> \n")
        if mark in (_BEGIN, _END):
            if kept != (mark == _BEGIN):
                raise CannotGrade(f"{file.path}: '{mark}' is out of order")
            kept = mark == _END
        elif kept:
            lines.append(line)
    if not kept:
        raise CannotGrade(f"{file.path}: no '{_END}' after '{_BEGIN}'")
    text = re.sub(r"\n{3,}", "\n\n", "".join(lines)).rstrip("\n") + "\n"
    return replace(file, content=text.encode())


def _refuse_solved(chosen: list[File], files: list[File]) -> None:
    """Raise CannotGrade if a solution was put into stages/: a file in CHOSEN has the
    content of a file of the solutions in FILES."""
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
    """Run `git ARGUMENTS` here, even if the user's environment names another
    repository. Raises CannotGrade if git is not installed."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=ROOT,
            env={**own, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
    except FileNotFoundError:
        raise CannotGrade("git is not installed (make setup installs it)") from None


def _refusal(done: subprocess.CompletedProcess[bytes]) -> CannotGrade:
    said = done.stderr.decode(errors="replace").split()
    return CannotGrade(f"git: {' '.join(said)}")


def _committed() -> list[File] | None:
    """The files of the last commit, or None where there is no git repository.
    Raises CannotGrade if there is one that cannot be read."""
    done = _git("archive", "--format=tar", "HEAD")
    if done.returncode != 0:
        if any(words in done.stderr for words in _NOT_IN_GIT):
            return None
        raise _refusal(done)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        return [
            File(member.name, content.read(), bool(member.mode & 0o100))
            for member in archive.getmembers()
            if (content := archive.extractfile(member)) and member.isfile()
        ]


def _present() -> list[File]:
    """The files here that git does not ignore."""
    found = []
    for name in _not_ignored():
        path = ROOT / name
        if name.endswith("/"):  # git does not look into it
            raise CannotGrade(f"{name} is a git repository of its own")
        if path.is_file() and not path.is_symlink():
            found.append(File(name, path.read_bytes(), os.access(path, os.X_OK)))
    return found


def _not_ignored() -> list[str]:
    """The paths that `git add` would take if this were a new repository. Only our own
    .gitignore files count, not what the user has git ignore everywhere."""
    with tempfile.TemporaryDirectory() as empty:
        steps = [_git("init", "--quiet", "--bare", "--template=", empty)]
        options = [f"--git-dir={empty}", f"--work-tree={ROOT}"]
        options += ["-c", "core.excludesFile="]
        listing = ["ls-files", "--others", "--exclude-standard", "-z", "--"]
        steps += [_git(*options, *listing, *_HANDED_OUT, _SOLUTIONS)]
        for step in steps:
            if step.returncode != 0:
                raise _refusal(step)
    return sorted(os.fsdecode(steps[-1].stdout).split("\0")[:-1])


def _whence(committed: bool) -> list[str]:
    """Lines for the user about where the files came from, if there is need for any."""
    if not committed:
        return ["This is no git repository: check that stages/ is as you want it."]
    listed = _git("diff", "--name-only", "-z", "--relative", "HEAD").stdout
    listed += _git("ls-files", "--others", "--exclude-standard", "-z").stdout
    paths = listed.decode(errors="replace").split("\0")
    changed = [path for path in paths if _is_handed_out(path)]
    if not changed:
        return []
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return [f"It is as committed: changes to {changed[0]}{more} are not in it."]
