"""Stage 2: an answer is as long as the question, however many pieces it comes in."""

from __future__ import annotations

import random
from collections.abc import Callable

from grader.harness.backpressure import SMALL_WINDOW
from grader.harness.client_session import ClientSession
from grader.harness.payload import line
from grader.stages.common import check

Connect = Callable[..., ClientSession]

PAUSE_SECONDS, LONG_PAUSE_SECONDS = 0.02, 0.5


@check("answers/in_turn")
def test_it_waits_for_an_answer_before_it_sends_the_next_line(
    start_client: Connect,
) -> None:
    talk = start_client()
    server = talk.expect_connection()
    talk.types(b"one\ntwo\nthree\n")
    talk.ends_input()
    for text in (b"one\n", b"two\n", b"three\n"):
        server.expect_alone(text)
        server.send(text[:1])  # part of the answer: nothing must follow it yet
        talk.settle()
        server.expect_nothing_after(text, server.taken)
        server.send(text[1:])
    talk.expect_printed(b"one\ntwo\nthree\n")


@check("answers/pieces")
def test_it_puts_an_answer_together_from_its_pieces(start_client: Connect) -> None:
    text = b"in pieces\n"
    talk = start_client()
    server = talk.expect_connection()
    talk.types(text + b"the next line\n")
    server.expect(text)
    for byte in text:
        server.send(bytes([byte]))
        talk.run_for(PAUSE_SECONDS)
    server.expect(b"the next line\n")
    talk.run_for(LONG_PAUSE_SECONDS)
    server.send(b"the next ")
    talk.run_for(LONG_PAUSE_SECONDS)
    server.send(b"line\n")
    talk.ends_input()
    talk.expect_printed(text + b"the next line\n")


@check("answers/slow_reader")
def test_it_sends_all_to_a_server_that_reads_slowly(
    start_client: Connect, rng: random.Random
) -> None:
    text = line(rng, 64 << 10)
    talk = start_client(window=SMALL_WINDOW)
    server = talk.expect_connection()
    server.stop_reading()
    talk.types(text)
    talk.settle()
    server.read_again()
    server.expect(text)
    server.send(text)
    talk.ends_input()
    talk.expect_printed(text)
