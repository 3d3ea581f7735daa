"""Where a program runs: a network of its own, and a cell with nothing else in it.

The network namespace is entered once, by the grader itself, because its clients
have to be on the same loopback as the server: there is no way out of it, and
every port is free. The cell is bubblewrap's, one for each program: see bwrap(1),
namespaces(7), user_namespaces(7).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from grader.failure import CannotGrade

# What a program built by us may be linked with; nothing else of the machine is
# there, least of all another program to run.
_LIBRARIES = (
    "libc.so.6", "libm.so.6", "libpthread.so.0", "librt.so.1", "libdl.so.2",
    "libgcc_s.so.1", "libstdc++.so.6", "libasan.so.*", "libubsan.so.*",
    "libsubunit.so.0",
)  # fmt: skip
_LOADERS = ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1")

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

_NAMESPACES = (
    "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
    "--unshare-cgroup-try", "--disable-userns", "--cap-drop", "ALL",
    "--die-with-parent", "--new-session", "--clearenv",
)  # fmt: skip


def enter(wanted: str) -> tuple[str, str]:
    """Prepare isolation as WANTED: auto, required or off.

    To be called once, before any thread is started. Returns which isolation
    there is now ("bubblewrap" or "off"), and why it is not more ("" if wanted
    so). Raises CannotGrade where it is required and cannot be had.
    """
    if wanted == "off":
        return "off", ""
    reason = _obstacle()
    if not reason:
        _enter_network()
        return "bubblewrap", ""
    if wanted == "required":
        raise CannotGrade(f"no isolation: {reason}")
    return "off", reason


def _obstacle() -> str:
    """Why programs cannot be isolated here, or "". Tried out in a child."""
    if not shutil.which("bwrap", path="/usr/bin:/bin"):
        return "bubblewrap is not installed (make setup installs it)"
    child = os.fork()
    if child == 0:
        try:
            _enter_network()
            command = cell(
                "/usr/bin/true", ["true"], extra=["--ro-bind", "/usr", "/usr"]
            )
            done = subprocess.run(command, capture_output=True, timeout=30)
            os._exit(3 if done.returncode else 0)
        except OSError:
            os._exit(2)
        finally:
            os._exit(4)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 0:
        return ""
    what = {2: "a network namespace", 3: "a bubblewrap cell"}.get(status, "namespaces")
    return f"this system does not let us make {what}"


def _enter_network() -> None:
    """Move this process into a network namespace where only loopback is."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    flags = _CLONE_NEWNET if uid == 0 else _CLONE_NEWUSER | _CLONE_NEWNET
    if libc.unshare(flags) < 0:
        raise OSError(ctypes.get_errno(), "unshare")
    # A namespace has its own table of connections, and a small one that is read
    # in no time, if the one that it was made in says so (ip-sysctl, Linux 6.1).
    if _set("tcp_child_ehash_entries", "4096"):
        libc.unshare(_CLONE_NEWNET)
    if flags & _CLONE_NEWUSER:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, request)
        up = struct.unpack("16sh14x", answer)[1] | _IFF_UP
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", up))
    # The kernel's buffers shall not grow beyond 1 MiB, so that a client which does
    # not read is felt sooner (tcp(7)). Where they do, it only takes longer.
    _set("tcp_rmem", "4096 131072 1048576")
    _set("tcp_wmem", "4096 16384 1048576")


def _set(name: str, value: str) -> bool:
    """Set a sysctl of our network; in some containers they are read-only."""
    try:
        Path("/proc/sys/net/ipv4", name).write_text(value)
    except OSError:
        return False
    return True


def libraries() -> list[str]:
    """The paths of the shared libraries that a program may need."""
    folders = [f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}", "/usr/lib64"]
    found = [loader for loader in _LOADERS if os.path.exists(loader)]
    for folder in map(Path, folders):
        for pattern in _LIBRARIES:
            for path in folder.glob(pattern):
                found += [str(path), str(path).removeprefix("/usr")]
    return found


def cell(
    program: str,
    argv: Sequence[str],
    extra: Sequence[str] = (),
    environment: dict[str, str] | None = None,
    status_fd: int | None = None,
) -> list[str]:
    """The command that runs PROGRAM with ARGV (its name first) in a cell.

    EXTRA are more options for bwrap. On STATUS_FD it reports its child's pid
    and exit status, as JSON.
    """
    command = ["/usr/bin/bwrap", *_NAMESPACES]
    for path in libraries():
        command += ["--ro-bind", os.path.realpath(path), path]
    command += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    if os.path.dirname(program) != "/usr/bin":
        command += ["--ro-bind", program, f"/{argv[0]}"]
        program = f"/{argv[0]}"
    for name, value in (environment or {}).items():
        command += ["--setenv", name, value]
    if status_fd is not None:
        command += ["--json-status-fd", str(status_fd)]
    return [*command, "--chdir", "/tmp", *extra, "--", program, *argv[1:]]


def compiler_cell(folder: Path, command: Sequence[str]) -> list[str]:
    """The command that runs the compiler's COMMAND in FOLDER, in a cell with the
    system's programs and headers, and nothing else but that folder."""
    cell_ = [
        "/usr/bin/bwrap",
        *_NAMESPACES,
        "--unshare-net",
        "--ro-bind",
        "/usr",
        "/usr",
    ]
    for name in ("bin", "lib", "lib64", "lib32", "libx32"):
        if os.path.exists(f"/{name}"):
            cell_ += ["--symlink", f"usr/{name}", f"/{name}"]
    cell_ += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    cell_ += ["--bind", str(folder), "/build", "--chdir", "/build"]
    for name, value in (("PATH", "/usr/bin"), ("LC_ALL", "C"), ("TMPDIR", "/tmp")):
        cell_ += ["--setenv", name, value]
    return [*cell_, "--", *command]
