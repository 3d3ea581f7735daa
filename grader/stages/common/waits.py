"""The calls that a server waits in, according to the kernel."""

from __future__ import annotations

from collections.abc import Iterator

from grader.harness import wording
from grader.harness.diagnosis import is_our_output
from grader.harness.finding import Finding
from grader.harness.server import Server
from grader.kernel import procfs

# How often we look at the server while nobody speaks.
LOOKS = 30


def sleeps_in(server: Server) -> set[str]:
    """The calls other than epoll's that the server sleeps in now. Writing what we are
    about to read does not count."""
    return {
        task.call.shown()
        for task in procfs.tasks(server.program.pid or 0)
        if task.state == "S"
        and task.call
        and task.call.name not in procfs.EPOLL_CALLS
        and not is_our_output(task.pid, task.call)
    }


def silence(server: Server) -> Iterator[None]:
    """Nobody speaks while the caller looks at the server LOOKS times."""
    for _ in range(LOOKS):
        server.run_for(0.01)
        yield


def expect_no_other_sleep(server: Server, when: str, looks: Iterator[None]) -> None:
    """Expect every wait of the server that one of LOOKS sees to be in epoll."""
    seen: set[str] = set()
    with server.another_check_tells():
        for _ in looks:
            seen |= sleeps_in(server)
    if elsewhere := sorted(seen):
        finding = Finding("waits_elsewhere", when=when, calls=elsewhere)
        raise server.failure(
            "the server waits elsewhere than in epoll_wait()",
            "every wait in epoll_wait()",
            wording.says(finding),
            finding,
            what="waiting_in_epoll",
        )
