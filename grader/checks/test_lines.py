"""Stage 2: each line goes to the server whole, and what comes back is printed."""

from __future__ import annotations

import random
from collections.abc import Callable

from grader.checks import check
from grader.payload import COMMANDS, EVERY_BYTE, line, readable
from grader.peer import Session

Connect = Callable[..., Session]

LONGEST = 64 << 10


def _echo(session: Session, text: bytes) -> None:
    """Type TEXT, echo what the client sends, and expect TEXT to be printed."""
    server = session.expect_connection(echoes=True)
    session.types(text)
    session.ends_input()
    server.expect(text)
    session.expect_printed(text)


@check("lines/one")
def test_it_sends_a_line_and_prints_the_answer(session: Connect) -> None:
    _echo(session(), b"Hello, server!\n")


@check("lines/only_the_answer")
def test_it_prints_what_the_server_sent_and_nothing_else(session: Connect) -> None:
    talk = session()
    server = talk.expect_connection()
    talk.types(b"a question\n")
    server.expect(b"a question\n")
    server.send(b"AN ANSWER!\n")
    talk.ends_input()
    talk.expect_printed(b"AN ANSWER!\n")


@check("lines/shortest")
def test_it_sends_lines_of_one_byte(session: Connect) -> None:
    _echo(session(), b"\n\na\n\n")


@check("lines/longest")
def test_it_sends_lines_of_64_kib_whole(session: Connect, rng: random.Random) -> None:
    text = line(rng, LONGEST) + line(rng, LONGEST - 1) + line(rng)
    talk = session()
    server = talk.expect_connection()
    talk.types(text)
    talk.ends_input()
    for whole in text.splitlines(keepends=True):
        server.expect(whole)
        server.send(whole)
    talk.expect_printed(text)


@check("lines/any_bytes")
def test_it_sends_any_bytes(session: Connect) -> None:
    _echo(session(), b"".join(COMMANDS))
    _echo(session(), b"\0\n" + EVERY_BYTE + b"\nNUL \0 in the middle\n\0\0\0")


@check("lines/no_final_newline")
def test_it_sends_a_last_line_without_a_newline(session: Connect) -> None:
    _echo(session(), b"first\nlast, without its newline")
    _echo(session(), b"x")


@check("lines/many")
def test_it_sends_a_thousand_lines_in_order(
    session: Connect, rng: random.Random
) -> None:
    lines = [readable(rng, rng.randrange(200)) + b"\n" for _ in range(1000)]
    _echo(session(), b"".join(lines))
