"""Whether the system lets ordinary users have namespaces, and how to allow them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from grader.errors import CannotGrade

# What forbids user namespaces: a file below /proc/sys, the value with which it
# does, who it is, and what to set so that it allows them (until the next boot).
_FORBIDDERS = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor", "0"),
    ("kernel/unprivileged_userns_clone", "0", "the kernel", "1"),
    ("user/max_user_namespaces", "0", "the kernel", "10000"),
)


def forbidden(settings: Path = Path("/proc/sys")) -> str:
    """Who forbids user namespaces here, and how to allow them; "" if nobody does."""
    for name, value, who, allow in _FORBIDDERS:
        with contextlib.suppress(OSError):
            if (settings / name).read_text().strip() == value:
                allowed = f"{name.replace('/', '.')}={allow}"
                return (
                    f"{who} forbids user namespaces to ordinary users; "
                    f"'sudo sysctl -w {allowed}' allows them until the next boot"
                )
    return ""


def allow(settings: Path = Path("/proc/sys")) -> list[str]:
    """Allow user namespaces to ordinary users until the next boot, where that is
    forbidden: what was set, as lines. Raises CannotGrade if it cannot be."""
    done = []
    for name, value, who, allowed in _FORBIDDERS:
        path = settings / name
        if not path.exists() or path.read_text().strip() != value:
            continue
        sudo = [] if os.getuid() == 0 else ["sudo"]
        if sudo and not shutil.which("sudo"):
            raise CannotGrade(f"neither root nor sudo: {forbidden(settings)}")
        if sudo and not os.isatty(0):
            sudo.append("-n")  # nobody could type a password
        command = [*sudo, "tee", str(path)]
        wrote = subprocess.run(
            command, input=allowed, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        if wrote.returncode:
            said = (wrote.stderr.strip().splitlines() or ["tee failed"])[-1]
            raise CannotGrade(f"{said}; {forbidden(settings)}")
        done.append(f"isolation: set {name.replace('/', '.')}={allowed}, for {who}")
    return done
