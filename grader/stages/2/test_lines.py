"""Stage 2: each line goes to the server whole, and what comes back is printed."""

from __future__ import annotations

import random
from collections.abc import Callable

from grader.harness.client_session import ClientSession
from grader.harness.payload import COMMANDS, EVERY_BYTE, line, readable
from grader.stages.common import check

Connect = Callable[..., ClientSession]

LONGEST = 64 << 10


def _echo(start_client: ClientSession, text: bytes) -> None:
    """Type TEXT, echo what the client sends, and expect TEXT to be printed."""
    server = start_client.expect_connection(echoes=True)
    start_client.types(text)
    start_client.ends_input()
    server.expect(text)
    start_client.expect_printed(text)


@check("lines/one")
def test_it_sends_a_line_and_prints_the_answer(start_client: Connect) -> None:
    _echo(start_client(), b"Hello, server!\n")


@check("lines/only_the_answer")
def test_it_prints_what_the_server_sent_and_nothing_else(start_client: Connect) -> None:
    talk = start_client()
    server = talk.expect_connection()
    talk.types(b"a question\n")
    server.expect(b"a question\n")
    server.send(b"AN ANSWER!\n")
    talk.ends_input()
    talk.expect_printed(b"AN ANSWER!\n")


@check("lines/shortest")
def test_it_sends_lines_of_one_byte(start_client: Connect) -> None:
    _echo(start_client(), b"\n\na\n\n")


@check("lines/longest")
def test_it_sends_lines_of_64_kib_whole(
    start_client: Connect, rng: random.Random
) -> None:
    text = line(rng, LONGEST) + line(rng, LONGEST - 1) + line(rng)
    talk = start_client()
    server = talk.expect_connection()
    talk.types(text)
    talk.ends_input()
    for whole in text.splitlines(keepends=True):
        server.expect(whole)
        server.send(whole)
    talk.expect_printed(text)


@check("lines/any_bytes")
def test_it_sends_any_bytes(start_client: Connect) -> None:
    _echo(start_client(), b"".join(COMMANDS))
    _echo(start_client(), b"\0\n" + EVERY_BYTE + b"\nNUL \0 in the middle\n\0\0\0")


@check("lines/no_final_newline")
def test_it_sends_a_last_line_without_a_newline(start_client: Connect) -> None:
    _echo(start_client(), b"first\nlast, without its newline")
    _echo(start_client(), b"x")


@check("lines/many")
def test_it_sends_a_thousand_lines_in_order(
    start_client: Connect, rng: random.Random
) -> None:
    lines = [readable(rng, rng.randrange(200)) + b"\n" for _ in range(1000)]
    _echo(start_client(), b"".join(lines))
