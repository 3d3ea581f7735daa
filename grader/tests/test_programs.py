"""The grader is graded: each wrong program loses what its mistake costs, and its lesson
says why; each unusual but right one loses nothing (see matrix.py)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from grader import course
from grader.course import ROOT
from grader.lessons import causes
from grader.tests import golden, matrix
from grader.tests.closing import show_at_the_end
from grader.tests.conftest import Graded
from grader.tests.programs import Program, programs

Verdicts = dict[Program, Future[Graded]]

_TOLD_AGAIN: list[str] = []


@pytest.fixture(scope="module")
def graded(request: pytest.FixtureRequest) -> Iterator[Verdicts]:
    """All programs that were asked for, being graded in the background."""
    wanted = {
        item.callspec.params["program"]
        for item in request.session.items
        if hasattr(item, "callspec") and "program" in item.callspec.params
    }
    # Start with the slow ones, so that none is waited for alone at the end.
    ordered = sorted(wanted, key=lambda program: (-program.stage, program))
    with ThreadPoolExecutor(matrix.AT_ONCE) as pool:
        verdicts = {program: pool.submit(matrix.grade, program) for program in ordered}
        yield verdicts
        pool.shutdown(cancel_futures=True)
    done = {p: v.result() for p, v in verdicts.items() if not v.cancelled()}
    title = "what the grader says of the programs"
    show_at_the_end(request.config, title, matrix.table(done))
    if _TOLD_AGAIN:
        title = "graded again, since the lesson was another at first"
        show_at_the_end(request.config, title, "\n".join(_TOLD_AGAIN))


@pytest.mark.parametrize("program", programs("right"), ids=str)
def test_an_unusual_but_right_program_loses_nothing(
    graded: Verdicts, program: Program
) -> None:
    done = graded[program].result()
    assert matrix.disagreement(program, done) == ""
    assert (done.status, done.stage(program.stage)["score"]) == (0, 100)


@pytest.mark.parametrize("program", programs("wrong"), ids=str)
def test_a_wrong_program_loses_what_its_mistake_costs(
    graded: Verdicts, program: Program
) -> None:
    done = graded[program].result()
    assert matrix.disagreement(program, done) == ""
    assert done.status == 1


def _told(graded: Verdicts, program: Program) -> Iterator[Graded]:
    """The result for PROGRAM; and, if that does not fit, one more. Chance may decide
    which of two things is seen first, and the lesson is then about that one; changed
    wording differs every time."""
    yield graded[program].result()
    for _ in range(2):
        _TOLD_AGAIN.append(str(program))
        yield matrix.grade(program)


@pytest.mark.parametrize("program", programs("wrong"), ids=str)
def test_its_lesson_is_word_for_word_what_was_reviewed(
    graded: Verdicts, program: Program
) -> None:
    """After a deliberate change: make golden, and look at the difference."""
    reviewed = golden.path(program).read_text()
    lessons = (golden.lesson(program, once) for once in _told(graded, program))
    others = list(itertools.takewhile(lambda x: not golden.fits(x, reviewed), lessons))
    assert len(others) < 3, f"{others[0]}\nis not\n\n{reviewed}"


@pytest.mark.parametrize(
    "program, words",
    [
        (Program("wrong", 3, "one_client_at_a_time"), "which gets (\\d+) points"),
        (Program("wrong", 3, "blocking_send"), "`make grade` shows (\\d+) points"),
    ],
)
def test_the_third_lesson_promises_the_points_that_there_are(
    graded: Verdicts, program: Program, words: str
) -> None:
    lesson = (ROOT / "stages" / "3" / "README.md").read_text()
    promised = re.search(words, " ".join(lesson.split()))
    done = graded[program].result()
    assert promised and int(promised[1]) == done.stage(3)["score"]


SHOWN = [
    (cause, Program("wrong", number, name))
    for number, stage in course.stages().items()
    for cause in causes.table(stage)
    for name in cause.shown_by
]


# Causes that are told only if a check is asked for by itself (ONLY=): with all others
# it is skipped, since one that it needs fails. How each begins, who is told it, where.
SHOWN_ALONE = {
    "It does not listen where it should": (
        Program("wrong", 1, "port_byte_order"),
        "echo/line",
    ),
    "It does not connect": (Program("wrong", 2, "ignores_port"), "lines/one"),
}


def _is_told(text: str, program: Program, done: Graded) -> bool:
    """Whether one of PROGRAM's lessons gives the likely cause that begins with TEXT."""
    wanted = re.sub(r"\\{\w+\\}", ".*", re.escape(f"Likely cause: {text}"))
    checks = done.checks(program.stage).values()
    return any(
        re.search(wanted, " ".join(check["details"].split())) for check in checks
    )


@pytest.mark.parametrize("cause, program", SHOWN, ids=[str(p) for _, p in SHOWN])
def test_a_cause_is_told_to_whom_it_is_about(
    graded: Verdicts, cause: causes.Cause, program: Program
) -> None:
    told = _told(graded, program)
    assert any(_is_told(cause.text, program, once) for once in told)


@pytest.mark.parametrize(
    "begins, program, id",
    [(begins, *whom) for begins, whom in SHOWN_ALONE.items()],
    ids=SHOWN_ALONE,
)
def test_a_cause_is_told_where_a_check_is_asked_for_by_itself(
    begins: str, program: Program, id: str
) -> None:
    assert _is_told(begins, program, matrix.grade(program, only=id))


@pytest.mark.parametrize("stage", course.stages())
def test_every_check_has_a_wrong_program_that_only_it_catches(stage: int) -> None:
    fail = [p.header.must for p in programs("wrong") if p.stage == stage]
    caught = {id for must in fail if len(must) == 1 for id in must}
    uncaught = [id for id in course.stage(stage).checks if id not in caught]
    wanted = f"grader/tests/stages/{stage}/wrong needs programs that must fail only"
    assert not uncaught, f"{wanted} {', '.join(uncaught)}"
