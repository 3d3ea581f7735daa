"""How two gradings of a stage differ, in the words of `make watch`."""

from __future__ import annotations

import pytest

from grader.watch import changes
from grader.watch.changes import Before, Data


def _told(id: str, status: str) -> Data:
    return {"id": id, "status": status, "message": ""}


@pytest.mark.parametrize(
    "before, now, word",
    [
        ("failed", "passed", "mended"),
        ("failed", "failed", "still wrong"),
        ("passed", "failed", "broke anew"),
        ("skipped", "failed", "wrong"),
        ("", "failed", "wrong"),
        ("passed", "passed", ""),
        ("skipped", "passed", ""),
        ("passed", "error", "the grader failed"),
    ],
)
def test_a_verdict_has_a_word_if_it_is_bad_or_new(
    before: str, now: str, word: str
) -> None:
    statuses = {"a": before} if before else {}
    assert changes.word_for(_told("a", now), Before(statuses)) == word
    assert not word or word in changes.WORDS


def test_what_many_checks_have_in_common_is_counted() -> None:
    checks = [_told("a", "failed"), _told("b", "skipped"), _told("c", "passed")]
    assert changes.counted(checks, Before()) == [
        ("skipped", "1 more waits for what is wrong here")
    ]
    before = Before({"b": "skipped", "c": "skipped"}, 5)
    assert changes.counted(checks, before)[1:] == [
        ("passed", "1 more can be tried now, and passes")
    ]


@pytest.mark.parametrize(
    "before, said",
    [
        (None, ""),
        (40, ""),
        (30, ", 10 more than before"),
        (41, ", 1 fewer than before"),
    ],
)
def test_the_score_says_by_how_much_it_changed(before: int | None, said: str) -> None:
    stage = {"stage": 1, "score": 40, "max_score": 100}
    told = changes.score(stage, Before({}, before))
    assert told == f"Stage 1 (tcp_server.c): 40/100{said}"
