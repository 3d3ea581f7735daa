"""What is linked into the sanitizer build, and what the compiler warns about."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from grader.course import ROOT
from grader.harness.failure import Failure
from grader.harness.finding import Finding
from grader.stages.common.sanitizers import expect_the_same_filled
from grader.tests import programs
from grader.tests.conftest import run_grader

Submit = Callable[[int, str | bytes | Path], Path]

# Loses what %s loses, then has LeakSanitizer look, as the grader does and as exit()
# does. It wipes the stack below, where a leftover pointer would keep a block alive.
KEEPS = """
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

__attribute__((noinline)) static void keep(int epoll_fd, int fd)
{
    void *block = malloc(77);
    struct epoll_event event = {.events = EPOLLIN};
    struct sigevent timer = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    timer_t id;

    %s
    (void)epoll_fd, (void)fd, (void)id, (void)event, (void)timer, (void)block;
}

__attribute__((noinline)) static void wipe(void)
{
    char stack[20000];

    memset(stack, 1, sizeof(stack));
    if (write(1, stack, 0) < 0)
        abort();
}

int main(void)
{
    int epoll_fd = epoll_create1(0), fds[2];

    if (pipe(fds) < 0)
        return 2;
    keep(epoll_fd, fds[0]);
    wipe();
    raise(SIGRTMAX - 1);
    return 0;
}
"""
IN_EPOLL = "event.data.ptr = block; epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);"
TAGGED = (
    "event.data.u64 = (unsigned long)block | 5UL << 48;"
    "epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);"
)
IN_A_TIMER = (
    "timer.sigev_value.sival_ptr = block; timer_create(CLOCK_MONOTONIC, &timer, &id);"
)
NOWHERE = "*(volatile char *)block = 1;"


@pytest.mark.parametrize(
    "keeps, is_lost",
    [(IN_EPOLL, False), (TAGGED, False), (IN_A_TIMER, False), (NOWHERE, True)],
)
def test_what_only_the_kernel_knows_is_not_lost(
    tmp_path: Path, keeps: str, is_lost: bool
) -> None:
    source, program = tmp_path / "keeps.c", tmp_path / "keeps"
    source.write_text(KEEPS % keeps)
    flags = ["-std=gnu17", "-O1", "-g", "-fsanitize=address,undefined"]
    also = ROOT / "grader/grading/ask_for_leaks.c"
    subprocess.run(["gcc", *flags, "-o", program, source, also], check=True)
    done = subprocess.run([program], capture_output=True, text=True, timeout=60)
    assert "[looked for leaks]" in done.stderr
    assert ("77 byte(s)" in done.stderr) == is_lost


def test_what_the_compiler_warned_of_stands_in_the_lesson_that_is_about_it(
    submit: Submit,
) -> None:
    right = programs.find("right/3/backlog_5").text
    assert right.count("int main(") == 1
    source = right.replace(
        "int main(",
        "static void overflow(void)\n{\n\tchar *text = malloc(8);\n\n"
        '\tstrcpy(text, "nine bytes");\n\tputs(text);\n\tfree(text);\n}\n\nint main(',
    )
    at = source.index("{", source.index("int main("))
    source = source[: at + 1] + "\n\tif (argc > 1)\n\t\toverflow();" + source[at + 1 :]
    only = ("--only", "resources/sanitizers", "--submission", submit(3, source))
    (check,) = run_grader("3", *only).checks(3).values()
    assert check["status"] == "failed"
    warned = check["details"].partition("The compiler warned:\n")[2]
    assert "warning: " in warned and "tcp_server.c:" in warned


# How a tour goes with the filled build, the plain one, the filled one, and so on: x
# fails.
@pytest.mark.parametrize(
    "tours, is_told", [("x·x·x·x·", True), ("x·x·x·xx", False), ("x·x··", False)]
)
def test_what_fails_by_chance_does_not_depend_on_memory_never_set(
    tours: str, is_told: bool
) -> None:
    testbed: Any = SimpleNamespace(can_be_filled=lambda: True)
    session: Any = SimpleNamespace(went_wrong=True)
    to_come, taken = list(tours), []

    def tour(built: str) -> None:
        taken.append(built)
        if to_come.pop(0) == "x":
            raise Failure("no answer", finding=Finding("wrong_bytes", "The bytes show"))

    told = ""
    try:
        expect_the_same_filled(testbed, [session], tour)
    except Failure as failure:
        told = failure.message
    assert told == ("it depends on memory that it has never set" if is_told else "")
    assert not to_come and taken[:4] == ["filled", "plain"] * 2


NEEDS_A_MEMFD = """
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>

int main(void)
{
    if (memfd_create("ring", 0) < 0) {
        perror("[ERROR] memfd_create");
        return 1;
    }
    return 0;
}
"""


def test_what_is_refused_in_the_cell_is_not_told_as_a_mistake(submit: Submit) -> None:
    only = ("--only", "start/listens", "--submission", submit(3, NEEDS_A_MEMFD))
    (check,) = run_grader("3", *only, "--isolation", "required").checks(3).values()
    told = " ".join(check["details"].split())
    assert "memfd_create() is refused in the grader's sandbox" in told
    assert "no mistake of its own" in told
