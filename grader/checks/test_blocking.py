"""Stage 3: a client that sends and does not read is nobody's burden but its own."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable

from grader import procfs
from grader.backpressure import SMALL_WINDOW
from grader.checks import as_time_allows, check, many_turns
from grader.client import Client
from grader.failure import Failure
from grader.payload import line, readable
from grader.server import Server

MIB = 1 << 20

# Beyond what the kernel's buffers take on any machine: where the server itself
# keeps nothing, it stops taking long before this.
FLOOD = 64 * MIB
MEMORY_BOUND = 24 * MIB

# So few bytes at once that there is room for more of them in a server's buffer, if it
# is not a tiny one.
PIECE = 4000

# Single bytes are sent behind that until it has come so often to take some: enough, if
# it keeps a page for each time. And so many are sent at most. It is seen now and then
# whether it comes to each of them, and if not, it is left the processor for longer.
CRUMBS, MOST_CRUMBS = 7_000, 60_000
AT_A_TIME, LET_IT_COME_SECONDS = 256, 50e-6

# So many clients leave answers unread: more than a small pool of buffers has.
STALLED = 18


def deaf_client(server: Server, name: str = "the deaf one") -> Client:
    """A client that does not read, with a small receive buffer."""
    deaf = server.connect(name, SMALL_WINDOW)
    server.expect_accepted()
    deaf.stop_reading()
    return deaf


@check("blocking/never_reads")
def test_a_client_that_never_reads_delays_nobody(
    server: Server, rng: random.Random
) -> None:
    other = server.connect("the other one")
    other.converse(line(rng))
    deaf = deaf_client(server)
    server.flood(deaf, readable(rng, MIB), FLOOD)
    other.converse(line(rng))
    server.connect("a newcomer").converse(line(rng))
    other.converse(readable(rng, MIB))


@check("blocking/slow_reader")
def test_a_slow_reader_gets_every_byte_in_order(
    server: Server, rng: random.Random
) -> None:
    slow = deaf_client(server, "the slow one")
    server.flood(slow, readable(rng, MIB), FLOOD)
    for _ in range(6):  # a sip now and then, and some more to be echoed
        server.sip(slow, 40_000)
        slow.send(readable(rng, 30_000))
        server.settle()
    slow.read_again()
    slow.expect_echo()
    slow.converse(line(rng))
    if _goes_on_when_deaf_ones_vanish(server, rng):
        late = deaf_client(server, "the late one")
        server.fill(late, readable(rng, PIECE), FLOOD)
        late.read_again()
        late.expect_echo()
        if many_turns(server):
            return
        late.stop_reading()
        server.flood(late, readable(rng, MIB), late.sent + 16 * MIB)
        late.read_again()
        late.expect_echo()


def _goes_on_when_deaf_ones_vanish(server: Server, rng: random.Random) -> bool:
    """Have clients leave with answers unread: whoever comes where they were owes
    nothing to them. Whether the server is well; if not, another check tells."""
    much = readable(rng, 4 * MIB)
    try:
        for number in range(STALLED):
            deaf = deaf_client(server, f"the deaf one {number + 1}")
            server.flood(deaf, much, 4 * MIB)
            deaf.reset() if number % 2 else deaf.close()
        server.expect_alive("after clients had left answers unread")
    except Failure:
        return False
    return True


@check("blocking/half_close")
def test_answers_on_their_way_arrive_after_a_half_close(
    server: Server, rng: random.Random
) -> None:
    other = server.connect("the other one")
    other.converse(line(rng))

    def take_it_all_after_a_half_close(deaf: Client) -> None:
        deaf.half_close()
        server.settle()
        other.converse(line(rng))
        deaf.read_again()
        deaf.expect_end()

    deaf = deaf_client(server, "the one that is owed little")
    server.fill(deaf, readable(rng, PIECE), FLOOD)
    take_it_all_after_a_half_close(deaf)
    for length in (60_000, 150_000, 500_000, FLOOD):
        deaf = deaf_client(server, f"the one with {length} bytes")
        server.flood(deaf, readable(rng, min(length, MIB)), length)
        take_it_all_after_a_half_close(deaf)


@check("blocking/memory")
def test_memory_stays_bounded_while_a_client_only_sends(
    start: Callable[..., Server], rng: random.Random
) -> None:
    server = start()
    server.connect("the other one").converse(line(rng))
    pid = server.program.pid or 0
    before = procfs.memory_bytes(pid)
    deaf = deaf_client(server)
    sent = server.flood(deaf, readable(rng, MIB), FLOOD)
    # One that is always behind is no better than one that never reads.
    with server.another_check_tells():
        for _ in range(MEMORY_BOUND // MIB // 2 + 2):
            server.sip(deaf, 2 * MIB)
            sent = server.flood(deaf, readable(rng, 2 * MIB), deaf.sent + 2 * MIB)
            if many_turns(server):
                break
    _expect_bounded(server, before, f"{sent / MIB:.0f} MiB were sent")
    _expect_crumbs_to_be_bounded(start(), rng)


def _expect_crumbs_to_be_bounded(server: Server, rng: random.Random) -> None:
    """What is kept for each message that is owed is no less if they are small."""
    server.connect("the other one").converse(line(rng))
    pid = server.program.pid or 0
    before = procfs.memory_bytes(pid)
    deaf = deaf_client(server, "the one that sends crumbs")
    server.fill(deaf, readable(rng, PIECE), FLOOD)
    crumbs = came = 0
    awake = _times_awake(pid)
    # Side by side on one processor, so that the server comes to each of them by itself
    # (or to a few of them); and if there is no more room, that is right, too.
    with server.held_down(os.SCHED_OTHER), contextlib.suppress(OSError):
        for _ in as_time_allows(range(MOST_CRUMBS // AT_A_TIME), CRUMBS // AT_A_TIME):
            came_before, lags = came, 2 * came < crumbs
            for _ in range(AT_A_TIME):
                deaf.sock.send(b"x")
                time.sleep(LET_IT_COME_SECONDS) if lags else os.sched_yield()
            crumbs += AT_A_TIME
            came = _times_awake(pid) - awake
            if came >= CRUMBS:
                break
            if server.unread(deaf) and _has_slept_since(pid, awake + came_before):
                break  # it does not read any more, which is right
    server.note(deaf.name, f"sends {crumbs} single bytes")
    _expect_bounded(server, before, f"{crumbs} single bytes were sent")


def _times_awake(pid: int) -> int:
    """How often the server has left the processor, and so has been awake."""
    return sum(task.switches for task in procfs.tasks(pid))


def _has_slept_since(pid: int, awake: int) -> bool:
    """Whether the server sleeps, and has since it had been AWAKE so many times."""
    tasks = procfs.tasks(pid)
    slept = sum(task.switches for task in tasks) == awake
    return slept and all(task.state == "S" for task in tasks)


def _expect_bounded(server: Server, before: int, after: str) -> None:
    """Expect the server's memory to be what it was BEFORE, in bytes, and no more than
    one client may have, AFTER something that this client did."""
    server.expect_alive("while a client only sent")
    growth = procfs.memory_bytes(server.program.pid or 0) - before
    if growth >= MEMORY_BOUND:
        raise server.failure(
            "the server's memory grows with what a client sends and does not read",
            f"less than {MEMORY_BOUND // MIB} MiB for one client",
            f"{growth / MIB:.0f} MiB more, after {after}",
        )
