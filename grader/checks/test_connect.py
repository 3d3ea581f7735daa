"""Stage 2: the client finds its server, or says why not."""

from __future__ import annotations

import random
from collections.abc import Callable

from grader import sockets
from grader.checks import check
from grader.checks.test_start import NOT_PORTS
from grader.failure import CannotGrade
from grader.payload import line
from grader.peer import Session
from grader.scene import free_port
from grader.server import expect_refusal

Connect = Callable[..., Session]


@check("connect/where_told")
def test_it_connects_to_the_host_and_port_that_it_is_given(session: Connect) -> None:
    session().expect_connection()
    session(host="127.0.0.2").expect_connection()


@check("connect/default")
def test_it_connects_to_localhost_8080_by_default(session: Connect) -> None:
    if any(sock.local_port == 8080 for sock in sockets.listening()):
        raise CannotGrade("another program listens on port 8080: end it, or isolate")
    first = session(port=8080, arguments=())
    first.expect_connection()
    first.close()
    only_host = session(host="127.0.0.2", port=8080, arguments=("127.0.0.2",))
    only_host.expect_connection()


@check("connect/bad_port")
def test_it_refuses_what_is_not_a_port(session: Connect) -> None:
    for port in NOT_PORTS:
        refusing = session(arguments=("127.0.0.1", port), listens=False)
        expect_refusal(refusing, f'the port "{port}"')
    # What a careless conversion makes of these is a port where somebody listens.
    number = free_port()
    for text in (f"{number}a", str(number + 65536), str(number - 65536)):
        refusing = session(port=number, arguments=("127.0.0.1", text))
        expect_refusal(refusing, f'the port "{text}"')
        refusing.close()


@check("connect/refused")
def test_it_says_so_when_nobody_listens(session: Connect, rng: random.Random) -> None:
    lonely = session(listens=False)
    lonely.types(line(rng))
    lonely.expect_exit(1, "when nobody listens where it is told to connect")
    # Taken for an address all the same, each of these is the machine's own.
    for host in ("abc", "300.1.1.1", ""):
        port = free_port()
        astray = session(port=port, arguments=(host, str(port)))
        expect_refusal(astray, f'the host "{host}"')
