"""Stage 3: the server uses one thread and one epoll instance, as the kernel shows."""

from __future__ import annotations

import random
from collections.abc import Iterator

from grader.harness import wording
from grader.harness.failure import Failure
from grader.harness.finding import Finding
from grader.harness.payload import line, readable
from grader.harness.server import Server
from grader.kernel import procfs, sockets
from grader.stages.common import check
from grader.stages.common.pacing import as_time_allows
from grader.stages.common.stalled import FLOOD, MIB, stalled_reader
from grader.stages.common.waits import LOOKS, expect_no_other_sleep, silence

LOOKS_AT_AN_ANSWER = 8


def _three_clients(server: Server, rng: random.Random) -> None:
    """Connect three clients, have all of them accepted, and one served."""
    crowd = server.connect_crowd(3)
    crowd[1].converse(line(rng))
    server.settle()


@check("epoll/one_thread")
def test_it_is_one_process_with_one_thread(server: Server, rng: random.Random) -> None:
    _three_clients(server, rng)
    with server.another_check_tells():
        server.flood(stalled_reader(server), readable(rng, MIB), FLOOD)
    tasks = procfs.tasks(server.program.pid or 0)
    processes = len({task.pid for task in tasks})
    if len(tasks) > 1:
        how_many = "1 process" if processes == 1 else f"{processes} processes"
        raise server.failure(
            "the server has more than one thread while it has four clients",
            "one process, one thread",
            f"{how_many} with {len(tasks)} threads in all",
            what="one_thread",
        )


def _socket_descriptors(server: Server) -> tuple[list[int], list[int]]:
    """The server's descriptors for its listening socket, and for its connections."""
    listening = {f"socket:[{listener.inode}]" for listener in server.listeners()}
    links = procfs.descriptors(server.program.pid or 0)
    # A socket pair for signals, for instance, is not a connection.
    tcp = {f"socket:[{sock.inode}]" for sock in sockets.in_use()}
    theirs = [fd for fd, link in links.items() if link in tcp]
    return (
        [fd for fd in theirs if links[fd] in listening],
        [fd for fd in theirs if links[fd] not in listening],
    )


def _expect_watched(server: Server, connections: bool, what: str) -> None:
    """Expect the server to have exactly one epoll instance that watches its listening
    socket, or its CONNECTIONS, for EPOLLIN: not at every moment, but given time."""
    for _ in silence(server):
        failure = _not_watched(server, _socket_descriptors(server)[connections], what)
        if failure is None:
            return
    assert failure
    raise failure


def _not_watched(server: Server, fds: list[int], what: str) -> Failure | None:
    """What is wrong with what is watched now, or None."""
    instances = procfs.watched(server.program.pid or 0)
    watched = {fd: e for watches in instances.values() for fd, e in watches.items()}
    # Another descriptor of the same socket may be watched instead: dup(2).
    links = procfs.descriptors(server.program.pid or 0)
    heard = {links.get(fd) for fd, events in watched.items() if events & procfs.EPOLLIN}
    missing = [fd for fd in fds if links.get(fd) not in heard]
    if len(instances) == 1 and fds and not missing:
        return None
    finding = Finding(
        "not_watched", instances=instances, descriptors=fds, not_watched=missing
    )
    return server.failure(
        f"{what} is not watched by one epoll instance, for EPOLLIN",
        f"descriptor {', '.join(map(str, missing or fds))} watched for EPOLLIN",
        wording.says(finding),
        finding,
        what="watched",
    )


@check("epoll/listener")
def test_epoll_watches_the_listening_socket(server: Server, rng: random.Random) -> None:
    _three_clients(server, rng)
    _expect_watched(server, False, "the listening socket")


@check("epoll/connections")
def test_epoll_watches_every_connection(server: Server, rng: random.Random) -> None:
    _three_clients(server, rng)
    _expect_watched(server, True, "a connection")


def _talk(server: Server, rng: random.Random) -> Iterator[None]:
    """One client talks; look while its answer is awaited, and shortly after."""
    talker = server.connect("the talking client")
    for _ in as_time_allows(range(LOOKS), 5):
        talker.send(line(rng))
        for _ in range(LOOKS_AT_AN_ANSWER):
            server.pump(0.0002)
            yield
        talker.expect_answer()


def _flood(server: Server, rng: random.Random) -> Iterator[None]:
    """One client sends and does not read; look until no more can be sent, and after."""
    stalled = stalled_reader(server)
    stalled.send(readable(rng, 8 * MIB))
    still = 0
    while still < LOOKS and not server.program.ended():
        still = 0 if server.pump(0.0002) else still + 1
        yield
    stalled.forget_queue()
    yield from silence(server)


def _farewells(server: Server, rng: random.Random) -> Iterator[None]:
    """Clients leave, one after the other; look at how the server takes it."""
    crowd = server.connect_crowd(LOOKS, "leaving client")
    for client in crowd:
        client.send(line(rng))
    server.expect_answers(crowd)
    for client in crowd:
        client.close()
        for _ in range(LOOKS_AT_AN_ANSWER):
            server.pump(0.0002)
            yield


@check("epoll/waits")
def test_it_waits_in_epoll_wait_and_nowhere_else(
    server: Server, rng: random.Random
) -> None:
    expect_no_other_sleep(server, "while nobody is there", silence(server))
    expect_no_other_sleep(server, "while one client talks", _talk(server, rng))
    _three_clients(server, rng)
    expect_no_other_sleep(server, "while four clients are silent", silence(server))
    expect_no_other_sleep(server, "while clients leave", _farewells(server, rng))
    expect_no_other_sleep(server, "while a client does not read", _flood(server, rng))
