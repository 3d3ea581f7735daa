"""Each line comes back reversed, as soon as it is whole."""

from __future__ import annotations

import random

from grader.harness.payload import line
from grader.harness.server import Server
from grader.stages.common import check


@check("reversal/line")
def test_it_sends_a_line_back_reversed(server: Server, rng: random.Random) -> None:
    client = server.connect("a client")
    client.converse(b"stressed\n")
    client.converse(b"\n")
    client.converse(line(rng, 1024))


@check("reversal/pieces")
def test_it_waits_until_a_line_is_whole(server: Server) -> None:
    client = server.connect("a client")
    for piece in (b"str", b"es", b"sed\nand", b" back", b"\nlast\n"):
        client.send(piece)
        server.settle()
        server.check()  # nothing has come that is not due yet
    client.expect_answer()
