"""The way that a student is shown: which step of the lesson is next, and what a part
of the checks builds on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from grader import steps
from grader.result import Milestone
from grader.submission import REPOSITORY
from grader.tests.conftest import run_grader

SOLUTIONS = REPOSITORY / "solutions"
Submit = Callable[[int, str | bytes | Path], Path]


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_milestones_are_those_of_the_lesson_in_its_order(stage: int) -> None:
    graded = run_grader(str(stage))
    names = [milestone["name"] for milestone in graded.stage(stage)["milestones"]]
    assert list(steps.for_milestones(stage)) == names


def test_steps_without_a_milestone_belong_to_the_next_one() -> None:
    leading = steps.for_milestones(3)
    assert leading["loop_attach"] == "step 3"
    assert leading["loop_run"] == "steps 4 to 6"


def _rungs(out: str) -> list[str]:
    """What is said of the milestones, without what failed in them."""
    part = out.partition("Milestones:")[2].partition("  Checks")[0]
    return re.findall(r"^  (\S .*)$", part, re.MULTILINE)


def test_the_first_milestone_that_is_not_passed_is_the_next_step(
    submit: Submit,
) -> None:
    solution = (SOLUTIONS / "3/tcp_server.c").read_text()
    broken = solution.replace("epoll_create1(", "-1; (void)epoll_create1(")
    broken = broken.replace("fcntl(fd, F_SETFL", "fcntl(fd, F_SETFD")
    rungs = _rungs(run_grader("3", "--submission", submit(3, broken)).out)
    assert rungs[:3] == [
        "✓ parse_port",
        "✓ create_server",
        "→ create_loop             the next step: stages/3/README.md, step 2",
    ]
    assert rungs[-1] == "✗ set_nonblocking"
    assert sum("next step" in rung for rung in rungs) == 1


def test_whoever_has_all_milestones_is_sent_to_no_step() -> None:
    rungs = _rungs(run_grader("1", "--submission", SOLUTIONS).out)
    assert rungs and all(rung.startswith("✓") for rung in rungs)


@pytest.mark.parametrize(
    "only, words",
    [
        ("echo/line", "echo/line builds on start/listens, which was not tried."),
        ("echo", "echo builds on start/listens, which was not tried."),
        (
            "resources",
            "resources builds on concurrency/idle_client and 2 more, which were not "
            "tried.",
        ),
        ("start", ""),
        ("start/listens", ""),
        ("", ""),
    ],
)
def test_what_was_chosen_without_what_it_builds_on_is_told(
    submit: Submit, only: str, words: str
) -> None:
    folder = submit(3, "int main(void) { return 3; }\n")
    graded = run_grader("3", "--submission", folder, "--only", only)
    told = [line for line in graded.out.splitlines() if "builds on" in line]
    assert told == ([words] if words else [])


@pytest.mark.parametrize(
    "statuses, score, ahead",
    [
        ("passed failed missing", 0, "1"),
        ("passed missing missing", 0, "1"),  # who writes them one by one
        ("passed missing missing", 68, ""),
        ("missing missing missing", 0, ""),
        ("missing failed missing", 68, ""),
        ("failed missing missing", 68, "0"),
        ("passed passed passed", 100, ""),
    ],
)
def test_who_has_all_in_main_is_sent_to_no_step(
    statuses: str, score: int, ahead: str
) -> None:
    missing = "there is no function create_server(), which is to be written"
    milestones = [
        Milestone(str(number), "failed", missing)
        if status == "missing"
        else Milestone(str(number), status, "it returns -1")
        for number, status in enumerate(statuses.split())
    ]
    assert steps.next_milestone(milestones, score) == ahead
