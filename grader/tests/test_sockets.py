"""What the kernel says about sockets, in both ways of asking it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from grader.kernel import sockets
from grader.kernel.sockets import Socket

EVERY_STATE = (1 << 12) - 2

Ask = Callable[[int], Iterator[Socket]]

both_ways = pytest.mark.parametrize(
    "ask", [sockets.from_sock_diag, sockets.from_proc], ids=["sock_diag", "proc"]
)


def _of_port(port: int, found: Iterator[Socket]) -> dict[tuple[int, int], Socket]:
    return {
        (one.local_port, one.remote_port): one
        for one in found
        if port in (one.local_port, one.remote_port)
    }


@both_ways
def test_what_waits_in_a_socket_is_told(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=7) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as ours:
            end = port, ours.getsockname()[1]
            found = _of_port(port, ask(EVERY_STATE))
            listening = found[port, 0]
            assert (listening.state, listening.rx_queue) == (sockets.LISTEN, 1)
            assert listening.inode == os.fstat(listener.fileno()).st_ino
            assert not listening.any_address
            assert found[end].inode == 0  # not accepted yet
            with listener.accept()[0] as theirs:
                ours.sendall(b"hello")
                ours.shutdown(socket.SHUT_WR)
                found = _of_port(port, ask(EVERY_STATE))
                assert found[port, 0].rx_queue == 0
                assert found[end].inode == os.fstat(theirs.fileno()).st_ino
                assert found[end].state == sockets.CLOSE_WAIT
                assert found[end].rx_queue == len("hello") + 1  # the end counts, too


@both_ways
def test_what_is_on_its_way_out_is_told(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as ours:
            ours.setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:
                    ours.send(bytes(1 << 16))
            end = ours.getsockname()[1], port
            found = _of_port(port, ask(EVERY_STATE))
            assert found[end].state == sockets.ESTABLISHED
            assert found[end].tx_queue > 0 == found[end].rx_queue


@both_ways
def test_a_listener_on_every_address_is_known(ask: Ask) -> None:
    dual = {"family": socket.AF_INET6, "dualstack_ipv6": True}
    for address, options in ("0.0.0.0", {}), ("::", dual):
        with socket.create_server((address, 0), **options) as listener:  # type: ignore
            port = listener.getsockname()[1]
            found = _of_port(port, ask(1 << sockets.LISTEN))
            assert found[port, 0].any_address, address


def test_how_many_may_wait_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=7) as listener:
        port = listener.getsockname()[1]
        found = _of_port(port, iter(sockets.listening()))
        assert found[port, 0].backlog == 7


def test_who_has_left_is_left_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ours = socket.create_connection(("127.0.0.1", port))
        theirs = listener.accept()[0]
        ours.close()
        theirs.close()
        told = _of_port(port, sockets.from_sock_diag(1 << sockets.TIME_WAIT))
        assert len(told) == 1
        assert list(_of_port(port, iter(sockets.in_use()))) == [(port, 0)]


def test_a_kernel_without_sock_diag_is_asked_in_the_old_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The kernel refuses a netlink family that does not exist like one not built in.
    monkeypatch.setattr(sockets, "_NETLINK_SOCK_DIAG", 31)
    with pytest.raises(OSError):
        list(sockets.from_sock_diag(EVERY_STATE))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert _of_port(port, iter(sockets.in_use()))


@pytest.mark.parametrize("family", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_one_connection_can_be_asked_for(family: str) -> None:
    kind = socket.AF_INET6 if ":" in family else socket.AF_INET
    with socket.create_server(
        ("" if ":" in family else family, 0), family=kind, dualstack_ipv6=":" in family
    ) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as ours:
            with listener.accept()[0] as theirs:
                near, far = (0x7F000001, port), (0x7F000001, ours.getsockname()[1])
                assert sockets.queued(near, far) == (0, 0)
                ours.sendall(b"hello")
                assert sockets.queued(near, far)[0] == len("hello")
                theirs.setblocking(False)
                with pytest.raises(BlockingIOError):
                    while True:
                        theirs.send(bytes(1 << 16))
                assert sockets.queued(near, far)[1] > 0
                assert sockets.queued(far, near)[0] > 0
        assert sockets.queued(near, (0x7F000001, 1)) == (0, 0)  # the listener's alone
