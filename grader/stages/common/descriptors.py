"""A server's descriptors: which are open, and how many clients they suffice for."""

from __future__ import annotations

from grader.harness.server import Server
from grader.kernel import procfs
from grader.sandbox.limits import MULTITUDE, most_descriptors

# How many descriptors a server may use: requirement 3.13.
FOR_ITSELF, FOR_A_CLIENT = 15, 3

# What ten thousand clients take then, and a little more.
DESCRIPTORS = FOR_A_CLIENT * MULTITUDE + 100


def most_served(each: float) -> int:
    """How many clients a server can serve that takes EACH descriptors per client, or
    as many as it may, whichever is less."""
    for_clients = min(DESCRIPTORS, most_descriptors()) - FOR_ITSELF
    return int(for_clients / max(1, min(each, FOR_A_CLIENT)))


def all_descriptors(server: Server) -> int:
    """How many descriptors of all kinds SERVER has open."""
    return len(procfs.numbers(f"/proc/{server.program.pid}/fd"))


def other_descriptors(server: Server) -> dict[int, str]:
    """What SERVER has open besides sockets, by descriptor."""
    links = procfs.descriptors(server.program.pid or 0).items()
    return {fd: link for fd, link in links if not link.startswith("socket:")}
