"""Stage 2: the client finds its server, or says why not."""

from __future__ import annotations

import random
from collections.abc import Callable

from grader.errors import CannotGrade
from grader.harness.client_session import ClientSession
from grader.harness.payload import NOT_PORTS, line
from grader.harness.ports import free_port
from grader.harness.refusal import expect_refusal
from grader.kernel import sockets
from grader.stages.common import check

Connect = Callable[..., ClientSession]


@check("connect/where_told")
def test_it_connects_to_the_host_and_port_that_it_is_given(
    start_client: Connect,
) -> None:
    start_client().expect_connection()
    start_client(host="127.0.0.2").expect_connection()


@check("connect/default")
def test_it_connects_to_localhost_8080_by_default(start_client: Connect) -> None:
    if any(sock.local_port == 8080 for sock in sockets.listening()):
        raise CannotGrade("another program listens on port 8080: end it, or isolate")
    first = start_client(port=8080, arguments=())
    first.expect_connection()
    first.close()
    only_host = start_client(host="127.0.0.2", port=8080, arguments=("127.0.0.2",))
    only_host.expect_connection()


@check("connect/bad_port")
def test_it_refuses_what_is_not_a_port(start_client: Connect) -> None:
    for port in NOT_PORTS:
        refusing = start_client(arguments=("127.0.0.1", port), listens=False)
        expect_refusal(refusing, f'the port "{port}"', port)
    # Converted carelessly, each of these becomes a port where somebody listens.
    number = free_port()
    for text in (f"{number}a", str(number + 65536), str(number - 65536)):
        refusing = start_client(port=number, arguments=("127.0.0.1", text))
        expect_refusal(refusing, f'the port "{text}"', text)
        refusing.close()


@check("connect/refused")
def test_it_says_so_when_nobody_listens(
    start_client: Connect, rng: random.Random
) -> None:
    lonely = start_client(listens=False)
    lonely.types(line(rng))
    lonely.expect_exit(1, "when nobody listens where it is told to connect")
    # If taken for an address anyway, each of these means this machine.
    for host in ("abc", "300.1.1.1", ""):
        port = free_port()
        astray = start_client(port=port, arguments=(host, str(port)))
        expect_refusal(astray, f'the host "{host}"', host)
