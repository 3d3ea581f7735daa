"""A server comes up where it should, says so, and can say no."""

from __future__ import annotations

import socket
from collections.abc import Callable

from grader import sockets
from grader.bench import Bench
from grader.checks import check
from grader.failure import CannotGrade
from grader.server import Server, expect_refusal

Start = Callable[..., Server]

NOT_PORTS = ("abc", "", "65536", "-1", "80a", "99999999999999999999")


@check("start/listens")
def test_it_listens_on_the_port_that_it_is_given(launch: Start) -> None:
    server = launch()
    listener = server.expect_listening()
    if not listener.any_address:
        raise server.failure(
            "the server listens on one address of the machine only",
            "the address 0.0.0.0 (INADDR_ANY), which stands for all of them",
            f"port {server.port} of a single address",
        )


@check("start/default_port")
def test_it_listens_on_8080_without_an_argument(launch: Start) -> None:
    if any(sock.local_port == 8080 for sock in sockets.listening()):
        raise CannotGrade("another program listens on port 8080: end it, or isolate")
    launch(port=8080).expect_listening()


@check("start/announces")
def test_it_says_that_it_listens_and_that_a_client_came(
    server: Server, bench: Bench
) -> None:
    came = "[INFO] Client connected to server"
    server.expect_line(f"[INFO] Server listening on port {server.port}")
    client = server.connect("a client")
    server.expect_line(came, awaited=[client])
    if bench.stage == 3:  # stage 1's is there for its first client alone
        another = server.connect("another client")
        with server.another_check_tells():  # whether it is served
            another.converse(b"Is anybody there?\n")
        if another.received:
            server.expect_line(came, times=2)
    server.expect_line(f"[INFO] Server listening on port {server.port}")


@check("start/bad_port")
def test_it_refuses_what_is_not_a_port(launch: Start) -> None:
    for port in NOT_PORTS:
        expect_refusal(launch(port), f'the port "{port}"')


@check("start/port_taken")
def test_it_says_so_when_the_port_is_taken(launch: Start, server: Server) -> None:
    again = launch(str(server.port), port=server.port)
    expect_refusal(again, f"port {server.port}, where it listens already,")
    with socket.create_server(("0.0.0.0", 0)) as holder:
        port = holder.getsockname()[1]
        server = launch(str(port), port=port)
        expect_refusal(server, f"port {port}, on which another program listens,")


@check("start/restart")
def test_it_can_be_started_again_at_once(start: Start, launch: Start) -> None:
    first = start()
    client = first.connect("a client")
    first.expect_accepted()
    # The server ends first, and so the port's old connection is the one that the
    # kernel keeps: in FIN_WAIT2 now, in TIME_WAIT when the client has closed too.
    client.may_be_cut = True
    first.program.stop()
    first.note("the server", "is ended (SIGKILL)")
    first.let_pass(0.01)
    client.close()
    second = launch(port=first.port)
    second.transcript = first.transcript
    second.note("the server", "is started again, on the same port")
    second.expect_listening()
