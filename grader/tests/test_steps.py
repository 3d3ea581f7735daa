"""The next step: which step of the lesson a student is shown as next, and what a part
of the checks builds on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from grader import course
from grader.course import ROOT
from grader.grading.result import Milestone
from grader.report import steps
from grader.tests.conftest import run_grader

SOLUTIONS = ROOT / "solutions"
Submit = Callable[[int, str | bytes | Path], Path]


@pytest.mark.parametrize("stage", course.stages())
def test_the_milestones_are_those_of_the_lesson_in_its_order(stage: int) -> None:
    graded = run_grader(str(stage))
    names = [milestone["name"] for milestone in graded.stage(stage)["milestones"]]
    assert list(steps.for_milestones(stage)) == names


def test_steps_without_a_milestone_belong_to_the_next_one() -> None:
    leading = steps.for_milestones(3)
    assert leading["loop_attach"] == "step 3"
    assert leading["loop_run"] == "steps 4 to 6"


def _milestones(out: str) -> list[str]:
    """What is said about the milestones, without why some failed."""
    part = out.partition("Milestones:")[2].partition("  Checks")[0]
    return re.findall(r"^  (\S .*)$", part, re.MULTILINE)


def test_the_first_milestone_that_is_not_passed_is_the_next_step(
    submit: Submit,
) -> None:
    solution = (SOLUTIONS / "3/tcp_server.c").read_text()
    broken = solution.replace("epoll_create1(", "-1; (void)epoll_create1(")
    broken = broken.replace("fcntl(fd, F_SETFL", "fcntl(fd, F_SETFD")
    told = _milestones(run_grader("3", "--submission", submit(3, broken)).out)
    assert told[:3] == [
        "✓ parse_port",
        "✓ create_server",
        "→ create_loop             the next step: stages/3/README.md, step 2",
    ]
    assert told[-1] == "✗ set_nonblocking"
    assert sum("next step" in line for line in told) == 1


def test_whoever_has_all_milestones_is_sent_to_no_step() -> None:
    told = _milestones(run_grader("1", "--submission", SOLUTIONS).out)
    assert told and all(line.startswith("✓") for line in told)


@pytest.mark.parametrize(
    "only, words",
    [
        ("echo/line", "echo/line builds on start/listens, which was not tried."),
        (
            "resources/idle_stalled",
            "resources/idle_stalled builds on blocking/never_reads and resources/idle, "
            "which were not tried.",
        ),
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
    told = re.findall(r"\S+ builds on .*? not tried\.", " ".join(graded.out.split()))
    assert told == ([words] if words else [])


@pytest.mark.parametrize(
    "statuses, score, ahead",
    [
        ("passed failed missing", 0, "1"),
        ("passed missing missing", 0, "1"),  # a student who writes them one by one
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
