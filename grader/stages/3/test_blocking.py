"""Stage 3: a client that sends and does not read harms only itself."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable

from grader.harness.client import Client
from grader.harness.failure import Failure
from grader.harness.payload import line, readable
from grader.harness.scheduling import deprioritized
from grader.harness.server import Server
from grader.kernel import procfs
from grader.stages.common import check
from grader.stages.common.pacing import as_time_allows, many_turns
from grader.stages.common.stalled import FLOOD, MIB, PIECE, stalled_reader

MEMORY_BOUND = 24 * MIB

# After that, we send single bytes until the server has woken up for them SINGLE_BYTES
# times: enough to notice if it keeps a page each time. We send MOST_SINGLE_BYTES at
# most. After each AT_A_TIME we look whether it wakes for each byte; if not, it gets
# more time.
SINGLE_BYTES, MOST_SINGLE_BYTES = 7_000, 60_000
AT_A_TIME, LET_IT_COME_SECONDS = 256, 50e-6

# How many clients leave answers unread: more than a small pool of buffers has room for.
STALLED = 18


@check("blocking/never_reads")
def test_a_client_that_never_reads_delays_nobody(
    server: Server, rng: random.Random
) -> None:
    other = server.connect("the other client")
    other.converse(line(rng))
    stalled = stalled_reader(server)
    server.flood(stalled, readable(rng, MIB), FLOOD)
    other.converse(line(rng))
    server.connect("a newcomer").converse(line(rng))
    other.converse(readable(rng, MIB))


@check("blocking/slow_reader")
def test_a_slow_reader_gets_every_byte_in_order(
    server: Server, rng: random.Random
) -> None:
    slow = stalled_reader(server, "the slow client")
    server.flood(slow, readable(rng, MIB), FLOOD)
    for _ in range(6):  # read a little now and then, and send some more
        server.sip(slow, 40_000)
        slow.send(readable(rng, 30_000))
        server.settle()
    slow.read_again()
    slow.expect_answer()
    slow.converse(line(rng))
    if _goes_on_when_stalled_readers_vanish(server, rng):
        late = stalled_reader(server, "the late client")
        server.fill(late, readable(rng, PIECE), FLOOD)
        late.read_again()
        late.expect_answer()
        if many_turns(server):
            return
        late.stop_reading()
        server.flood(late, readable(rng, MIB), late.sent + 16 * MIB)
        late.read_again()
        late.expect_answer()


def _goes_on_when_stalled_readers_vanish(server: Server, rng: random.Random) -> bool:
    """Have clients leave with answers unread; newcomers must inherit nothing from them.
    Whether the server is well after that; if not, another check reports it."""
    much = readable(rng, 4 * MIB)
    try:
        for number in range(STALLED):
            stalled = stalled_reader(server, f"stalled client {number + 1}")
            server.flood(stalled, much, 4 * MIB)
            stalled.reset() if number % 2 else stalled.close()
        server.expect_alive("after clients had left answers unread")
    except Failure:
        return False
    return True


@check("blocking/half_close")
def test_answers_on_their_way_arrive_after_a_half_close(
    server: Server, rng: random.Random
) -> None:
    other = server.connect("the other client")
    other.converse(line(rng))

    def take_it_all_after_a_half_close(stalled: Client) -> None:
        stalled.half_close()
        server.settle()
        other.converse(line(rng))
        stalled.read_again()
        stalled.expect_end()

    stalled = stalled_reader(server, "the client with small messages")
    server.fill(stalled, readable(rng, PIECE), FLOOD)
    take_it_all_after_a_half_close(stalled)
    for length in (60_000, 150_000, 500_000, FLOOD):
        stalled = stalled_reader(server, f"the client with {length} bytes")
        server.flood(stalled, readable(rng, min(length, MIB)), length)
        take_it_all_after_a_half_close(stalled)


@check("blocking/memory")
def test_memory_stays_bounded_while_a_client_only_sends(
    start: Callable[..., Server], rng: random.Random
) -> None:
    server = start()
    server.connect("the other client").converse(line(rng))
    pid = server.program.pid or 0
    before = procfs.memory_bytes(pid)
    stalled = stalled_reader(server)
    sent = server.flood(stalled, readable(rng, MIB), FLOOD)
    # A client that is always behind must not cost more than one that never reads.
    with server.another_check_tells():
        for _ in range(MEMORY_BOUND // MIB // 2 + 2):
            server.sip(stalled, 2 * MIB)
            sent = server.flood(stalled, readable(rng, 2 * MIB), stalled.sent + 2 * MIB)
            if many_turns(server):
                break
    _expect_bounded(server, before, f"{sent / MIB:.0f} MiB were sent")
    _expect_single_bytes_to_be_bounded(start(), rng)


def _expect_single_bytes_to_be_bounded(server: Server, rng: random.Random) -> None:
    """What a server keeps for each unanswered message counts for small ones, too."""
    server.connect("the other client").converse(line(rng))
    pid = server.program.pid or 0
    before = procfs.memory_bytes(pid)
    stalled = stalled_reader(server, "the client that sends single bytes")
    server.fill(stalled, readable(rng, PIECE), FLOOD)
    sent = came = 0
    awake = _times_awake(pid)
    # All on one processor, so that the server takes the bytes one by one (or a few at a
    # time). A send that finds no more room is right, too.
    with deprioritized(server.program, os.SCHED_OTHER), contextlib.suppress(OSError):
        for _ in as_time_allows(
            range(MOST_SINGLE_BYTES // AT_A_TIME), SINGLE_BYTES // AT_A_TIME
        ):
            came_before, lags = came, 2 * came < sent
            for _ in range(AT_A_TIME):
                stalled.sock.send(b"x")
                time.sleep(LET_IT_COME_SECONDS) if lags else os.sched_yield()
            sent += AT_A_TIME
            came = _times_awake(pid) - awake
            if came >= SINGLE_BYTES:
                break
            if server.unread(stalled) and _has_slept_since(pid, awake + came_before):
                break  # it has stopped reading, which is right
    server.note(stalled.name, f"sends {sent} single bytes")
    _expect_bounded(server, before, f"{sent} single bytes were sent")


def _times_awake(pid: int) -> int:
    """How often the server has left the processor, and so how often it was awake."""
    return sum(task.switches for task in procfs.tasks(pid))


def _has_slept_since(pid: int, awake: int) -> bool:
    """Whether the server sleeps, and has since its _times_awake() was AWAKE."""
    tasks = procfs.tasks(pid)
    slept = sum(task.switches for task in tasks) == awake
    return slept and all(task.state == "S" for task in tasks)


def _expect_bounded(server: Server, before: int, after: str) -> None:
    """Expect the server's memory, BEFORE bytes at first, to have grown by no more than
    one client may take, AFTER something that this client did."""
    server.expect_alive("while a client only sent")
    growth = procfs.memory_bytes(server.program.pid or 0) - before
    if growth >= MEMORY_BOUND:
        raise server.failure(
            "the server's memory grows while a client sends and does not read",
            f"less than {MEMORY_BOUND // MIB} MiB for one client",
            f"{growth / MIB:.0f} MiB more, after {after}",
            what="memory",
        )
