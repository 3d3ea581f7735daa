"""The users that programs run as: if the grader is root, a user who owns nothing."""

from __future__ import annotations

import functools
import os

# Users that systemd lends to services while they run. Mostly they are nobody's.
_FIRST_USER, _USERS = 61184, 4000


def sandbox_user() -> int | None:
    """The user and group that run this process's programs if the grader is root.

    Limits are counted by user, and bind everyone but root: so each process of each
    grader has a user of its own. None for an ordinary user, and where root may not
    become another user.
    """
    return _own_sandbox_user() if can_change_user() else None


def _own_sandbox_user() -> int:
    return _FIRST_USER + os.getpid() % _USERS


@functools.cache
def can_change_user() -> bool:
    """Whether we are root, and may become another user. It is tried out in a child, the
    first time: call it before any thread is started."""
    if os.getuid() != 0:
        return False
    child = os.fork()
    if child == 0:
        try:
            user = _own_sandbox_user()
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def runs_as() -> tuple[int, int]:
    """The user and the group that programs run as."""
    user = sandbox_user()
    return (os.getuid(), os.getgid()) if user is None else (user, user)


def as_sandbox_user(in_a_cell: bool = False) -> list[str]:
    """What to put before a command so that it can gain no privileges, and has none of
    root's to begin with. (IN_A_CELL bubblewrap sees to the first.)"""
    user = sandbox_user()
    if user is None and in_a_cell:
        return []
    command = ["/usr/bin/setpriv", "--no-new-privs"]
    if user is not None:
        command += [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return [*command, "--"]
