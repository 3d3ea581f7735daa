"""Every byte comes back unchanged, in order, and at once."""

from __future__ import annotations

import random
from collections.abc import Callable

from grader.harness.payload import COMMANDS, EVERY_BYTE, line, readable
from grader.harness.server import Server
from grader.stages.common import check
from grader.stages.common.pacing import as_time_allows, many_turns, unless_held_back

PAUSE_SECONDS = 0.3


@check("echo/line")
def test_it_echoes_a_line(server: Server) -> None:
    client = server.connect("a client")
    client.converse(b"Hello, server!\n")
    server.expect_alive("after it had echoed a line")


@check("echo/every_byte_value")
def test_it_echoes_every_byte_value(server: Server) -> None:
    client = server.connect("a client")
    client.converse(EVERY_BYTE)
    client.converse(b"\0")
    client.converse(b"a\0b\n\0\n")
    for word in as_time_allows(COMMANDS, 4):
        client.converse(word)
    server.expect_alive("after it had echoed every byte value")


@check("echo/large")
def test_it_echoes_megabytes_streamed_both_ways(
    server: Server, rng: random.Random
) -> None:
    client = server.connect("a client")
    client.converse(readable(rng, 1 << 20))
    if not many_turns(server):
        client.converse(readable(rng, 8 << 20))


@check("echo/single_bytes")
def test_it_echoes_each_byte_as_it_comes(server: Server) -> None:
    client = server.connect("a client")
    for byte in unless_held_back(b"by bytes\n", server, 5):
        client.converse(bytes([byte]))


@check("echo/pause")
def test_it_goes_on_after_a_pause(server: Server, rng: random.Random) -> None:
    client = server.connect("a client")
    for _ in range(3):
        client.send(readable(rng, 12))
        client.expect_answer()
        server.run_for(PAUSE_SECONDS)
        client.converse(line(rng))


@check("echo/half_close")
def test_it_echoes_everything_to_a_client_that_has_half_closed(
    start: Callable[..., Server], rng: random.Random
) -> None:
    for length in (1, 200, 300_000):
        client = start().connect("a client")
        client.hold_back()  # the last bytes and the end arrive as one event
        client.send(readable(rng, length))
        client.finish_sending()
        client.expect_end()
