"""A server under test and its clients.

    idle = server.connect("the idle client")
    other = server.connect("the other client")
    other.send(b"hello")
    other.expect_answer()
"""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence

from grader.harness import post_mortem
from grader.harness.backpressure import Backpressure
from grader.harness.client import Client
from grader.harness.connection import Connection
from grader.harness.scheduling import deprioritized
from grader.kernel import procfs
from grader.sandbox.limits import most_clients


class Server(Backpressure):
    """A running server, and all the clients it has."""

    def connect_crowd(self, count: int, name: str = "client") -> list[Client]:
        """COUNT clients, all connected and accepted."""
        crowd = [self.connect(f"{name} {i + 1}") for i in range(count)]
        self.expect_accepted()
        return crowd

    def burst(self, count: int) -> list[Client]:
        """COUNT clients that connect without a pause, as many at once as the server's
        backlog has room for. (The kernel would turn away any more.)"""
        self.listener()
        room = self.backlog + 1
        crowd: list[Client] = []
        while len(crowd) < count:
            with deprioritized(self.program, os.SCHED_IDLE):
                for _ in range(min(room, count - len(crowd))):
                    crowd.append(self.start_connecting(f"client {len(crowd) + 1}"))
            self.expect_accepted()
        return crowd

    def expect_answers(self, clients: Sequence[Client]) -> None:
        """Expect each of CLIENTS to get everything it is due."""

        def unserved() -> list[Client]:
            return [client for client in clients if client.due]

        def received() -> str:
            left = unserved()
            done = len(clients) - len(left)
            rest = f"{left[0].name} still lacks some"
            return f"all bytes back for {done} of {len(clients)}; {rest}"

        pending = list(clients)

        def done() -> bool:
            while pending and not pending[-1].due:
                pending.pop()
            return not pending

        self.wait(
            done,
            f"not every client gets {self.client.wants}",
            what="answer",
            expected=f"all bytes back for {len(clients)} of {len(clients)}",
            received=received,
            awaited=list(clients),
        )

    def connection_descriptors(self) -> int:
        """How many sockets the server has open, including the listening one."""
        links = procfs.descriptors(self.program.pid or 0).values()
        return sum(link.startswith("socket:") for link in links)

    def expect_descriptors(
        self, count: int, gone: Sequence[Connection], how: str
    ) -> None:
        """Expect COUNT open sockets, now that the clients GONE have left. HOW says how
        they left."""
        self.wait(
            lambda: self.connection_descriptors() <= count,
            f"the server keeps the descriptors of clients that {how}",
            what="descriptors",
            expected=f"{open_sockets(count)}, as before they came",
            received=lambda: open_sockets(self.connection_descriptors()),
            awaited=list(gone),
        )

    def expect_alive(self, after: str) -> None:
        """Expect the server to be still running AFTER something."""
        self.settle()
        self.check()
        if self.program.ended():
            self.drain_after_exit()
            finding = post_mortem.gone(self.program)
            message = f"the server ended {after}"
            raise self.failure(message, finding=finding, what="alive")

    def expect_line(
        self, line: str, times: int = 1, awaited: Sequence[Client] = ()
    ) -> None:
        """Expect LINE on standard output, exactly TIMES times, for the clients
        AWAITED."""

        def lines() -> list[str]:
            return self.program.output.text().replace("\r", "").split("\n")

        def received() -> str:
            self.circumstances.on_stderr = line in self.program.errors.text()
            if self.circumstances.on_stderr:
                return "the line is on standard error, not on standard output"
            printed = "\n".join(lines()).strip()
            seen = self.circumstances
            seen.waits_for_accept = bool(self.waiting())
            seen.nothing_printed = not printed and not seen.waits_for_accept
            waits = "; its client still waits for accept()"
            return (printed or "nothing") + waits * seen.waits_for_accept

        self.wait(
            lambda: lines().count(line) >= times,
            "a line is missing from the server's standard output",
            what="line",
            expected=line if times == 1 else f"{line} ({times} times)",
            received=received,
            awaited=list(awaited),
        )
        self.settle()
        self.program.take_output()
        if (printed := lines().count(line)) > times:
            self.circumstances.too_often = True
            raise self.failure(
                "a line is on the server's standard output too often",
                f"{line} ({'once' if times == 1 else f'{times} times'})",
                f"{line} ({printed} times)",
                what="line",
            )

    def expect_exit(self, gone: Client, after: str) -> int:
        """Expect the server to exit by itself AFTER something, now that its client is
        GONE. Returns its status."""
        self.wait(
            self.program.ended,
            f"the server does not exit {after}",
            what="exit",
            expected="exit status 0",
            received=lambda: "it is still running",
            awaited=[gone],
        )
        self.program.all_output_read()
        status = self.program.status() or 0
        self.circumstances.has_exited = status >= 0
        return status


def open_sockets(count: int) -> str:
    """COUNT open sockets, in words."""
    return f"{count} open socket{'' if count == 1 else 's'}"


def crowd_size(wanted: int) -> int:
    """How many clients we can be: WANTED, if our own descriptors allow it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(wanted, most_clients())
