"""A server starts where it should, says so, and reports when it cannot."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from grader.errors import CannotGrade
from grader.harness.payload import NOT_PORTS
from grader.harness.refusal import expect_refusal
from grader.harness.server import Server
from grader.kernel import sockets
from grader.stages.common import check

Start = Callable[..., Server]


@check("start/listens")
def test_it_listens_on_the_port_that_it_is_given(launch: Start) -> None:
    server = launch()
    listener = server.expect_listening()
    if not listener.any_address:
        raise server.failure(
            "the server listens on one address of the machine only",
            "the address 0.0.0.0 (INADDR_ANY), which stands for all of them",
            f"port {server.port} of a single address",
            what="every_address",
        )


@check("start/default_port")
def test_it_listens_on_8080_without_an_argument(launch: Start) -> None:
    if any(sock.local_port == 8080 for sock in sockets.listening()):
        raise CannotGrade("another program listens on port 8080: end it, or isolate")
    launch(port=8080).expect_listening()


@check("start/announces")
def test_it_says_that_it_listens_and_that_a_client_came(
    server: Server, options: dict[str, Any]
) -> None:
    came = "[INFO] Client connected to server"
    server.expect_line(f"[INFO] Server listening on port {server.port}")
    client = server.connect("a client")
    server.expect_line(came, awaited=[client])
    if options.get("every_client_is_announced"):
        another = server.connect("another client")
        with server.another_check_tells():  # about whether it is served
            another.converse(b"Is anybody there?\n")
        if another.received:
            server.expect_line(came, times=2)
    server.expect_line(f"[INFO] Server listening on port {server.port}")


@check("start/bad_port")
def test_it_refuses_what_is_not_a_port(launch: Start) -> None:
    for port in NOT_PORTS:
        expect_refusal(launch(port), f'the port "{port}"', port)


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
    # The server ends first, so the kernel keeps the old connection on its port: in
    # FIN_WAIT2 now, and in TIME_WAIT once the client has closed, too.
    client.may_be_cut = True
    first.program.stop()
    first.note("the server", "is ended (SIGKILL)")
    first.run_for(0.01)
    client.close()
    second = launch(port=first.port)
    second.transcript = first.transcript
    second.circumstances.was_restarted = True
    second.note("the server", "is started again, on the same port")
    second.expect_listening()
