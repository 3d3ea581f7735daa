"""Golden files: what fits, and what is kept where lessons vary."""

from __future__ import annotations

from grader.tests.golden import fits, merged, without_chance


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
        words = "the server reset the connection of somebody, who still had so many"
        text = f"What is wrong: {words}\n  bytes to get: {count} of them\n"
        return without_chance(f"{text}Got: {count} bytes, then the end\n", crowded=True)

    assert told(7) == told(1234567)
    assert "bytes to get: N of them" in told(7)
