"""Stage 2: how the session ends, whether the client or the server ends it."""

from __future__ import annotations

import random
from collections.abc import Callable

from grader.harness.client_session import ClientSession
from grader.harness.payload import line
from grader.stages.common import check

Connect = Callable[..., ClientSession]


@check("ending/end_of_input")
def test_it_closes_and_exits_with_zero_at_the_end_of_input(
    start_client: Connect, rng: random.Random
) -> None:
    for text in (b"", line(rng)):
        talk = start_client()
        server = talk.expect_connection(echoes=True)
        talk.types(text)
        server.expect(text)
        talk.ends_input()
        talk.expect_printed(text)
        talk.wait(
            lambda: server.ended != "",
            "the client's connection is not closed",
            what="end",
            expected="the end of the connection",
            received=lambda: "it is still open",
            may_end=True,
        )
        if server.ended != "end":
            raise talk.failure(
                "the client resets its connection at the end of its input",
                "a clean close (FIN)",
                "a reset (RST)",
                what="clean_end",
            )


@check("ending/server_leaves")
def test_it_notices_a_server_that_leaves_in_mid_answer(
    start_client: Connect, rng: random.Random
) -> None:
    text = line(rng, 100)
    for answered in (0, 40):
        talk = start_client()
        server = talk.expect_connection()
        talk.types(text)
        server.expect(text)
        server.send(text[:answered])
        talk.settle()
        server.close()
        after = f"when the server has left after {answered} of {len(text)} bytes"
        talk.expect_exit(1, after)


@check("ending/server_gone")
def test_it_survives_a_server_that_has_gone(
    start_client: Connect, rng: random.Random
) -> None:
    broken_off = start_client()
    server = broken_off.expect_connection()
    text = line(rng, 100)
    broken_off.types(text)
    server.expect(text)
    server.reset()
    broken_off.expect_exit(1, "when the server has reset the connection")

    # First the end, then the reset: the next send() fails with EPIPE.
    gone = start_client()
    server = gone.expect_connection()
    gone.types(text)
    server.expect(text)
    server.send(text)
    gone.settle()
    server.half_close()
    server.reset()
    gone.settle()
    if not gone.program.ended():
        gone.types(text)
    gone.expect_exit(1, "when it sends to a server that has gone")
