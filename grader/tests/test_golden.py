"""Golden files: what matches one, and what is kept where lessons vary."""

from __future__ import annotations

from grader.tests.conftest import Graded
from grader.tests.golden import fits, lesson, merged, without_chance
from grader.tests.programs import Program


def test_a_tilde_stands_for_any_lines_and_nothing_else_does() -> None:
    assert fits("one\ntwo\n", "one\ntwo\n")
    assert fits("one\n1\n2\ntwo\n", "one\n~\ntwo\n")
    assert fits("one\ntwo\n", "one\n~\ntwo\n")
    assert not fits("one\ntwo\nthree\n", "one\n~\ntwo\n")
    assert not fits("one.\n", "one_\n") and not fits("oneX\n", "one.\n")


def test_what_differs_becomes_a_tilde() -> None:
    assert merged("one\nB\ntwo\n", "one\nA\nAA\ntwo\n") == "one\n~\ntwo\n"
    assert merged("one\nC\ntwo\n", "one\n~\ntwo\n") == "one\n~\ntwo\n"
    assert merged("one\nA\ntwo\n", "one\ntwo\n") == "one\n~\ntwo\n"


def test_how_many_bytes_it_was_changes_nothing_in_a_crowd() -> None:
    def told(count: int) -> str:
        words = "the server reset its connection, which still lacked"
        text = f"What is wrong: {words}\n  {count} bytes\n"
        return without_chance(f"{text}Got: {count} bytes, then the end\n", crowded=True)

    assert told(7) == told(1234567)
    assert "lacked N bytes" in told(7)


def test_which_client_it_was_changes_nothing_in_a_crowd() -> None:
    told = "What is wrong: client {} got a wrong byte\n"
    assert len({without_chance(told.format(who), crowded=True) for who in "AB"}) == 1
    assert len({without_chance(told.format(who), crowded=False) for who in "AB"}) == 2


def test_a_lesson_that_chance_skipped_is_told_by_itself() -> None:
    skipped = {"id": "concurrency/burst", "status": "skipped", "details": ""}
    graded = Graded(1, "", "", {"stages": [{"stage": 3, "checks": [skipped]}]})
    program = Program("wrong", 3, "edge_triggered_door_takes_one")
    assert "N of them still wait for accept()" in lesson(program, graded)
