"""Stage 3: it is done with one thread and one epoll instance, as the kernel shows."""

from __future__ import annotations

import random
from collections.abc import Iterator

from grader import procfs, sockets
from grader.checks import as_time_allows, check
from grader.checks.test_blocking import FLOOD, MIB, deaf_client
from grader.failure import Failure, Finding
from grader.payload import line, readable
from grader.server import Server
from grader.view import is_our_output

LOOKS, LOOKS_AT_AN_ANSWER = 30, 8


def _three_clients(server: Server, rng: random.Random) -> None:
    """Connect three clients, have all of them accepted, and one served."""
    crowd = server.connect_crowd(3)
    crowd[1].converse(line(rng))
    server.settle()


@check("epoll/one_thread")
def test_it_is_one_process_with_one_thread(server: Server, rng: random.Random) -> None:
    _three_clients(server, rng)
    with server.another_check_tells():
        server.flood(deaf_client(server), readable(rng, MIB), FLOOD)
    tasks = procfs.tasks(server.program.pid or 0)
    processes = len({task.pid for task in tasks})
    if len(tasks) > 1:
        how_many = "1 process" if processes == 1 else f"{processes} processes"
        raise server.failure(
            "the server is more than one thread, with four clients",
            "one process, one thread",
            f"{how_many} with {len(tasks)} threads in all",
        )


def _socket_descriptors(server: Server) -> tuple[list[int], list[int]]:
    """The server's descriptors of its listening socket, and of connections."""
    listening = {f"socket:[{listener.inode}]" for listener in server.listeners()}
    links = procfs.descriptors(server.program.pid or 0)
    # A pair for signals, say, is no connection.
    tcp = {f"socket:[{sock.inode}]" for sock in sockets.in_use()}
    theirs = [fd for fd, link in links.items() if link in tcp]
    return (
        [fd for fd in theirs if links[fd] in listening],
        [fd for fd in theirs if links[fd] not in listening],
    )


def _expect_watched(server: Server, connections: bool, what: str) -> None:
    """Expect exactly one epoll instance, and its listening socket, or its CONNECTIONS,
    to be watched for EPOLLIN by it; not at each moment, but when it has had time."""
    for _ in silence(server):
        failure = _not_watched(server, _socket_descriptors(server)[connections], what)
        if failure is None:
            return
    assert failure
    raise failure


def _not_watched(server: Server, fds: list[int], what: str) -> Failure | None:
    """What is wrong with what is watched now."""
    instances = procfs.watched(server.program.pid or 0)
    shown = [
        f"descriptor {epoll_fd} watches "
        + (
            ", ".join(
                f"{fd} for {procfs.event_names(events)}"
                for fd, events in sorted(watched.items())
            )
            or "nothing"
        )
        for epoll_fd, watched in instances.items()
    ]
    watched = {fd: e for watches in instances.values() for fd, e in watches.items()}
    # It may be watched by another descriptor of the same socket: dup(2).
    links = procfs.descriptors(server.program.pid or 0)
    heard = {links.get(fd) for fd, events in watched.items() if events & procfs.EPOLLIN}
    missing = [fd for fd in fds if links.get(fd) not in heard]
    if len(instances) == 1 and fds and not missing:
        return None
    says = "; ".join(shown) or "the server has no epoll instance"
    return server.failure(
        f"{what} is not watched by one epoll instance, for EPOLLIN",
        f"descriptor {', '.join(map(str, missing or fds))} watched for EPOLLIN",
        says,
        Finding("not_watched", says, {"descriptors": fds, "not_watched": missing}),
    )


@check("epoll/listener")
def test_epoll_watches_the_listening_socket(server: Server, rng: random.Random) -> None:
    _three_clients(server, rng)
    _expect_watched(server, False, "the listening socket")


@check("epoll/connections")
def test_epoll_watches_every_connection(server: Server, rng: random.Random) -> None:
    _three_clients(server, rng)
    _expect_watched(server, True, "a connection")


def sleeps_in(server: Server) -> set[str]:
    """The calls that the server sleeps in now, but for epoll's; a write of what we are
    about to read is no waiting of its own."""
    return {
        task.call.shown()
        for task in procfs.tasks(server.program.pid or 0)
        if task.state == "S"
        and task.call
        and task.call.name not in procfs.EPOLL_CALLS
        and not is_our_output(task.pid, task.call)
    }


def silence(server: Server) -> Iterator[None]:
    """Nobody says anything, for some looks."""
    for _ in range(LOOKS):
        server.let_pass(0.01)
        yield


def _talk(server: Server, rng: random.Random) -> Iterator[None]:
    """One client talks: looks while its answer is awaited, and shortly after."""
    talker = server.connect("the talking one")
    for _ in as_time_allows(range(LOOKS), 5):
        talker.send(line(rng))
        for _ in range(LOOKS_AT_AN_ANSWER):
            server.pump(0.0002)
            yield
        talker.expect_echo()


def _flood(server: Server, rng: random.Random) -> Iterator[None]:
    """One client sends and does not read: looks until nothing more goes, and on."""
    deaf = deaf_client(server)
    deaf.send(readable(rng, 8 * MIB))
    still = 0
    while still < LOOKS and not server.program.ended():
        still = 0 if server.pump(0.0002) else still + 1
        yield
    deaf.forget_queue()
    yield from silence(server)


def _farewells(server: Server, rng: random.Random) -> Iterator[None]:
    """Clients leave, one after the other: looks at how the server takes it."""
    crowd = server.connect_crowd(LOOKS, "the leaving one")
    for client in crowd:
        client.send(line(rng))
    server.expect_echoes(crowd)
    for client in crowd:
        client.close()
        for _ in range(LOOKS_AT_AN_ANSWER):
            server.pump(0.0002)
            yield


def expect_no_other_sleep(server: Server, when: str, looks: Iterator[None]) -> None:
    """Expect each wait of the server, seen at one of LOOKS, to be epoll's."""
    seen: set[str] = set()
    with server.another_check_tells():
        for _ in looks:
            seen |= sleeps_in(server)
    if elsewhere := sorted(seen):
        says = f"{when}, it sleeps in {', '.join(elsewhere)}"
        raise server.failure(
            "the server waits elsewhere than in epoll_wait()",
            "every wait in epoll_wait()",
            says,
            Finding("waits_elsewhere", says, {"calls": elsewhere}),
        )


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
