"""The grader is graded: each wrong program loses what its mistake costs, and says
why; each unusual but right one loses nothing (see matrix.py)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from grader import causes, rubric
from grader.submission import REPOSITORY, STAGES
from grader.tests import golden, matrix
from grader.tests.closing import show_at_the_end
from grader.tests.conftest import Graded
from grader.tests.matrix import Program

Verdicts = dict[Program, Future[Graded]]

_TOLD_AGAIN: list[str] = []


@pytest.fixture(scope="module")
def graded(request: pytest.FixtureRequest) -> Iterator[Verdicts]:
    """All programs that are asked for, being graded in the background."""
    wanted = {
        item.callspec.params["program"]
        for item in request.session.items
        if hasattr(item, "callspec") and "program" in item.callspec.params
    }
    # The slow ones first, so that none is waited for alone at the end.
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


@pytest.mark.parametrize("program", matrix.programs("right"), ids=str)
def test_an_unusual_but_right_program_loses_nothing(
    graded: Verdicts, program: Program
) -> None:
    done = graded[program].result()
    assert program.disagreement(done) == ""
    assert (done.status, done.stage(program.stage)["score"]) == (0, 100)


@pytest.mark.parametrize("program", matrix.programs("wrong"), ids=str)
def test_a_wrong_program_loses_what_its_mistake_costs(
    graded: Verdicts, program: Program
) -> None:
    done = graded[program].result()
    assert program.disagreement(done) == ""
    assert done.status == 1


def _told(graded: Verdicts, program: Program) -> Iterator[Graded]:
    """What was said of PROGRAM; and, if that is not it, when it is graded again. Which
    of two things is seen first can be chance, and then the lesson is about that one; a
    word that was changed is changed each time."""
    yield graded[program].result()
    for _ in range(2):
        _TOLD_AGAIN.append(str(program))
        yield matrix.grade(program)


@pytest.mark.parametrize("program", matrix.programs("wrong"), ids=str)
def test_its_lesson_is_word_for_word_what_was_reviewed(
    graded: Verdicts, program: Program
) -> None:
    """After a change that is meant: make golden, and look at the difference."""
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
    lesson = (REPOSITORY / "stages" / "3" / "README.md").read_text()
    promised = re.search(words, " ".join(lesson.split()))
    done = graded[program].result()
    assert promised and int(promised[1]) == done.stage(3)["score"]


SHOWN = [
    (cause, Program("wrong", int(name[0]), name[2:]))
    for cause in causes.table()
    for name in cause.shown_by
]


@pytest.mark.parametrize("cause, program", SHOWN, ids=[str(p) for _, p in SHOWN])
def test_a_cause_is_told_to_whom_it_is_about(
    graded: Verdicts, cause: causes.Cause, program: Program
) -> None:
    text = re.sub(r"\\{\w+\\}", ".*", re.escape(f"Likely cause: {cause.text}"))
    assert any(
        re.search(text, " ".join(check["details"].split()))
        for once in _told(graded, program)
        for check in once.checks(program.stage).values()
    )


def test_every_wrong_program_is_in_the_table_and_the_other_way_round() -> None:
    listed = {
        Program("wrong", int(stage), name)
        for stage, names in matrix.TABLE.items()
        for name in names
    }
    assert listed == set(matrix.programs("wrong"))


@pytest.mark.parametrize("stage", STAGES)
def test_every_check_has_a_wrong_program_that_only_it_catches(stage: int) -> None:
    caught = {
        entry["must"][0]
        for entry in matrix.TABLE[str(stage)].values()
        if len(entry["must"]) == 1
    }
    assert set(rubric.load(stage).checks) - caught == set()
