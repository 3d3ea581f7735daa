"""The cell that a program runs in, made by bubblewrap: of the machine there is only the
program, and the libraries that it is linked with. Whatever else every Linux system has
is our own: the files of etc/, a host name, an environment. See bwrap(1)."""

from __future__ import annotations

import contextlib
import functools
import os
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

# What programs are linked with. There is nothing else, least of all another program to
# run. A thread that ends loads libgcc_s.
_LIBRARIES = ("libc.so.6", "libgcc_s.so.1")
SANITIZERS = ("libasan.so.*", "libubsan.so.*", "libstdc++.so.6", "libm.so.6")
CHECK = ("libsubunit.so.0", "libm.so.6")
_LOADERS = ("ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1")

_NAMESPACES = (
    "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
    "--unshare-cgroup-try", "--disable-userns", "--cap-drop", "ALL",
    "--die-with-parent", "--new-session", "--clearenv",
)  # fmt: skip

# The environment of every program, in a cell or without one.
ENVIRONMENT = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    "TZ": "UTC",
    "USER": "student",
}
_HOST_NAME = "echolab"
_ETC = Path(__file__).with_name("etc")
_LOCALE = "/usr/lib/locale/C.utf8"

# Only /tmp can be written to, and only so much: it is memory.
SCRATCH_BYTES, _COMPILER_SCRATCH_BYTES = 16 << 20, 512 << 20


@functools.cache
def libraries(more: tuple[str, ...] = ()) -> list[str]:
    """bwrap's options for the shared libraries that a program may need: the C library,
    and MORE. /lib and /lib64 are links, as in Debian and Ubuntu."""
    folder = f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}"
    options = ["--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"]
    found = [f"/usr/{lib}/{name}" for lib in ("lib", "lib64") for name in _LOADERS]
    for pattern in (*_LIBRARIES, *more):
        found += map(str, Path(folder).glob(pattern))
    for path in filter(os.path.exists, found):
        options += ["--ro-bind", os.path.realpath(path), path]
    return options


@functools.cache
def _etc(user: int, group: int) -> dict[str, bytes]:
    """The files of a cell's /etc, for a program that runs as USER and GROUP."""
    return {
        path.name: path.read_text(encoding="ascii")
        .replace("{user}", str(user))
        .replace("{group}", str(group))
        .encode()
        for path in sorted(_ETC.iterdir())
    }


@contextlib.contextmanager
def own_etc(user: int, group: int) -> Iterator[dict[str, int]]:
    """The files of one cell's /etc, by name: descriptors from which bwrap can read
    them, once. (As USER it may not be allowed to read the files themselves.)"""
    opened: dict[str, int] = {}
    try:
        for name, content in _etc(user, group).items():
            opened[name], theirs = os.pipe()
            os.write(theirs, content)
            os.close(theirs)
        yield opened
    finally:
        for descriptor in opened.values():
            os.close(descriptor)


def program_cell(
    program: str,
    argv: Sequence[str],
    filter_fd: int,
    etc: dict[str, int],
    environment: dict[str, str] | None = None,
    status_fd: int | None = None,
    more: tuple[str, ...] = (),
    extra: Sequence[str] = (),
) -> list[str]:
    """The command that runs PROGRAM with ARGV (its name first) in a cell.

    bwrap reads the filter of system calls from FILTER_FD, and the files of ETC from
    their descriptors (own_etc). It writes its report to STATUS_FD (cell_report.py).
    MORE are libraries in addition to the C library (SANITIZERS or CHECK), EXTRA are
    more options for bwrap.
    """
    command = ["/usr/bin/bwrap", *_NAMESPACES, "--seccomp", str(filter_fd)]
    command += ["--hostname", _HOST_NAME]
    command += libraries(more)
    if os.path.exists(_LOCALE):
        command += ["--ro-bind", _LOCALE, _LOCALE]
    for name, descriptor in etc.items():
        command += ["--perms", "0444", "--file", str(descriptor), f"/etc/{name}"]
    command += _own_folders(SCRATCH_BYTES)
    if os.path.dirname(program) != "/usr/bin":
        command += ["--ro-bind", program, f"/{argv[0]}"]
        program = f"/{argv[0]}"
    for name, value in (ENVIRONMENT | (environment or {})).items():
        command += ["--setenv", name, value]
    if status_fd is not None:
        command += ["--json-status-fd", str(status_fd)]
    command += [*extra, "--remount-ro", "/", "--chdir", "/tmp"]
    return [*command, "--", program, *argv[1:]]


def _own_folders(scratch_bytes: int) -> list[str]:
    """bwrap's options for a cell's own /proc, /dev and /tmp. It must not see what init
    has open, nor use up the machine's terminals."""
    return [
        "--proc", "/proc", "--tmpfs", "/proc/1", "--remount-ro", "/proc/1",
        "--dev", "/dev", "--tmpfs", "/dev/pts", "--remount-ro", "/dev/pts",
        "--remount-ro", "/dev",
        "--size", str(scratch_bytes), "--tmpfs", "/tmp",
    ]  # fmt: skip


def compiler_cell(
    folder: Path, command: Sequence[str], filter_fd: int, status_fd: int
) -> list[str]:
    """The command that runs the compiler's COMMAND in FOLDER, in a cell where there are
    that folder, and the system's programs, libraries and headers."""
    cell_ = ["/usr/bin/bwrap", *_NAMESPACES, "--unshare-net"]
    cell_ += ["--seccomp", str(filter_fd), "--json-status-fd", str(status_fd)]
    for name in ("bin", "lib", "lib64", "lib32", "libx32"):
        if os.path.exists(f"/usr/{name}"):
            cell_ += ["--ro-bind", f"/usr/{name}", f"/usr/{name}"]
            cell_ += ["--symlink", f"usr/{name}", f"/{name}"]
    for name in ("include", "libexec"):
        if os.path.exists(f"/usr/{name}"):
            cell_ += ["--ro-bind", f"/usr/{name}", f"/usr/{name}"]
    cell_ += _own_folders(_COMPILER_SCRATCH_BYTES)
    cell_ += ["--bind", str(folder), "/build", "--remount-ro", "/"]
    for name, value in (("PATH", "/usr/bin"), ("LC_ALL", "C"), ("TMPDIR", "/tmp")):
        cell_ += ["--setenv", name, value]
    return [*cell_, "--chdir", "/build", "--", *command]
