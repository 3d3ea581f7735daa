"""A snapshot of a program and its connections is consistent, or void; and it must last
before the grader draws a conclusion from it."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from grader.course import ROOT
from grader.harness import snapshot, stuck
from grader.harness.client import Client
from grader.harness.crowd import Crowd
from grader.harness.echo import EchoClient
from grader.harness.failure import Failure
from grader.harness.finding import Finding
from grader.harness.ports import free_port
from grader.harness.server import Server
from grader.harness.snapshot import Snapshot
from grader.kernel import procfs, sockets
from grader.kernel.sockets import Socket
from grader.sandbox import compiler
from grader.sandbox.program import Program
from grader.tests import programs

Starts = Callable[[str], Server]


@pytest.fixture
def starts() -> Iterator[Starts]:
    """Starts one of the programs of stage 3, and waits until it listens."""
    started: list[Server] = []
    place = ExitStack()
    folder = place.enter_context(compiler.folder())

    def start(name: str) -> Server:
        built = folder / "program"
        source, header = folder / "program.c", ROOT / "stages" / "3"
        source.write_text(programs.find(name).text)
        gcc = ["gcc", "-std=gnu17", "-O2", "-I", str(header), "-o", str(built)]
        subprocess.run([*gcc, str(source)], check=True)
        port = free_port()
        server = Server(Program(built, [str(port)]), port, EchoClient)
        started.append(server)
        server.expect_listening()
        return server

    yield start
    for server in started:
        server.close()
    place.close()


def _snapshot(server: Server, client: Client) -> Snapshot:
    near, far = server.ports(client)
    peer = snapshot.Peer(client.name, client.address, near, far, True, True)
    return Snapshot(server.program.pid or 0, [peer], server.port)


def _asleep(server: Server) -> list[procfs.Task]:
    server.settle()
    return procfs.tasks(server.program.pid or 0)


def test_a_snapshot_in_which_nothing_moved_holds(starts: Starts) -> None:
    server = starts("right/3/backlog_5")
    client = server.connect("a client")
    client.converse(b"hello\n")
    tasks = _asleep(server)
    assert _snapshot(server, client).holds(tasks)


def test_a_snapshot_into_which_bytes_fell_is_void(starts: Starts) -> None:
    server = starts("right/3/backlog_5")
    client = server.connect("a client")
    client.converse(b"hello\n")
    tasks = _asleep(server)
    taken = _snapshot(server, client)
    client.send(b"between the sockets and the tasks\n")
    assert not taken.holds(tasks)
    client.expect_answer()


def test_a_snapshot_in_which_the_program_ran_is_void(starts: Starts) -> None:
    """Even if everything is as before when we look again."""
    server = starts("right/3/backlog_5")
    client = server.connect("a client")
    client.converse(b"hello\n")
    tasks = _asleep(server)
    taken = _snapshot(server, client)
    client.converse(b"there and back\n")
    server.settle()
    assert not taken.holds(tasks)


def test_bytes_that_come_after_the_tasks_were_looked_at_are_not_forgotten(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the kernel delivered by a timer at the worst moment of each look: the
    server sleeps with unread bytes, and is woken before the look is over."""
    server = starts("right/3/backlog_5")
    client = server.connect("a client")
    client.converse(b"hello\n")
    ask, near = sockets.in_use, server.ports(client)[0]

    def as_if_bytes_had_just_come() -> list[Socket]:
        client.sock.send(b"x")
        client.sock.setblocking(True)
        client.sock.recv(1)
        client.sock.setblocking(False)
        return [s._replace(rx_queue=20) if s.remote_port == near else s for s in ask()]

    monkeypatch.setattr(sockets, "in_use", as_if_bytes_had_just_come)
    # Even longer than what seems impossible has to last before it is believed.
    end = time.monotonic() + stuck.LASTING_SECONDS["withheld"] + 2.0
    with pytest.raises(TimeoutError):
        server.wait(
            lambda: _is_over(end), "nothing is wrong", what="answer", awaited=[client]
        )


def _is_over(end: float) -> bool:
    if time.monotonic() > end:
        raise TimeoutError
    return False


def test_what_lasts_is_found(starts: Starts) -> None:
    server = starts("wrong/3/edge_triggered_reads_once")
    client = server.connect("a client")
    client.send(bytes(300_000))
    with pytest.raises(Failure) as failed:
        client.expect_answer()
    assert failed.value.finding and failed.value.finding.kind == "forgot"


def test_what_another_check_tells_leaves_no_facts_behind(starts: Starts) -> None:
    server = starts("right/3/quiet")
    with server.another_check_tells():
        server.expect_line(f"[INFO] Server listening on port {server.port}", times=0)
    assert server.went_wrong
    assert not server.failure("something else").circumstances.too_often


def test_what_cannot_be_is_said_loudly_and_has_to_last(
    starts: Starts, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Here it lasts: the kernel was told to hold three bytes back."""
    monkeypatch.setenv(stuck.LOUD, "1")
    server = starts("wrong/3/waits_in_the_kernel_for_more")
    client = server.connect("a client")
    client.converse(b"long enough\n")
    client.send(b"abc")
    began = time.monotonic()
    with pytest.raises(Failure) as failed:
        client.expect_answer()
    found: Finding | None = failed.value.finding
    assert found and found.kind == "withheld"
    assert time.monotonic() - began > stuck.LASTING_SECONDS["withheld"]
    assert stuck.IMPOSSIBLE in capfd.readouterr().err


def test_two_connections_from_the_same_port_are_told_apart(starts: Starts) -> None:
    server = starts("right/3/dual_stack")
    one = server.connect("the one")
    another = server.connect("another", twin=one)
    another.converse(b"hello\n")
    seen = {
        (s.remote_address, s.remote_port)
        for s in sockets.in_use()
        if s.local_port == server.port and s.state == sockets.ESTABLISHED
    }
    port = server.ports(one)[0]
    assert seen == {(one.address, port), (another.address, port)}


def test_who_is_late_to_connect_because_the_server_stands_is_waited_for(
    starts: Starts,
) -> None:
    server = starts("right/3/backlog_5")
    server.program.signal(signal.SIGSTOP)
    for number in range(5 + 1):  # there is no room for more (listen(2))
        server.start_connecting(f"filler {number}")
    going_on = threading.Timer(0.8, server.program.signal, [signal.SIGCONT])
    going_on.start()
    crowd = Crowd(server, random.Random(1))
    crowd.grow(3)
    crowd.converse([1, 2, 3])
    going_on.join()


@pytest.mark.parametrize(
    "name, rests", [("wrong/3/never_sleeps", False), ("right/3/edge_triggered", True)]
)
def test_who_never_rests_is_waited_for_less_and_less(
    starts: Starts, name: str, rests: bool
) -> None:
    server = starts(name)
    at_first = server.resting_seconds
    assert [server.settle() for _ in range(3)] == [rests] * 3
    assert server.resting_seconds == (at_first if rests else at_first / 8)
