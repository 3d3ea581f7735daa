"""Clients come and go, and the server stays."""

from __future__ import annotations

import random

from grader.harness.payload import line
from grader.harness.server import Server
from grader.stages.common import check


@check("visits/one_after_another")
def test_it_serves_the_next_client_when_one_has_left(
    server: Server, rng: random.Random
) -> None:
    for name in ("the first client", "the second client"):
        client = server.connect(name)
        client.converse(line(rng))
        client.close()
    server.expect_alive("when its clients had left")
