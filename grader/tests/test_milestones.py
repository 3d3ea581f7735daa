"""The milestones: what they say, and that a program cannot say it for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grader.ladder import parse
from grader.tests.conftest import run_grader

Submit = Callable[[int, str | bytes | Path], Path]

FUNCTIONS = [
    "parse_port", "create_server", "create_loop", "loop_attach", "loop_run",
    "raise_descriptor_limit", "set_nonblocking",
]  # fmt: skip


def test_only_signed_lines_are_milestones() -> None:
    log = (
        "T0KEN passed f \n"
        "ok 1 - a.c:g:test_g: Passed\n"
        "token passed g \n"
        "T0KEN failed h it: is wrong\n"
        " T0KEN passed i \n"
        "T0KEN end\n"
    )
    first, second = parse(log, "T0KEN")
    assert (first.name, first.status, first.message) == ("f", "passed", "")
    assert (second.name, second.status, second.message) == (
        "h",
        "failed",
        "it: is wrong",
    )


def test_who_waits_for_somebody_who_has_left_is_told_that_this_is_tried() -> None:
    log = "".join(
        f"T0KEN failed {name} Test timeout expired\n"
        for name in ("recv_all", "connect")
    )
    waits, other = parse(log + "T0KEN end\n", "T0KEN")
    assert waits.message.startswith(other.message + "; the server may leave early")


@pytest.mark.parametrize("end", ["", "T0KEN en", "token end\n"])
def test_a_log_without_its_end_has_no_milestones(end: str) -> None:
    assert parse(f"T0KEN passed f \n{end}", "T0KEN") == []


WRONG_FUNCTIONS = """
#include "tcp_server.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
int parse_port(const char *text) { return atoi(text); }
int set_nonblocking(int fd) { return fcntl(fd, F_SETFD, O_NONBLOCK); }
int create_loop(void) { for (;;); }
void connect_to(void) {}
int loop_attach(int epoll_fd, int fd, uint32_t events, void *owner)
{
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = owner};
    (void)events;
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}
int loop_run(int epoll_fd, int listen_sock_fd)
{
    (void)epoll_fd;
    return *(volatile int *)(long)listen_sock_fd;
}
int main(void) { return 0; }
"""


def test_the_milestones_fail_for_wrong_functions_and_missing_ones(
    submit: Submit,
) -> None:
    graded = run_grader("3", "--submission", submit(3, WRONG_FUNCTIONS))
    said = {m["name"]: m["message"] for m in graded.stage(3)["milestones"]}
    assert {m["status"] for m in graded.stage(3)["milestones"]} == {"failed"}
    assert said["parse_port"] == 'parse_port("") returned 0, not -1'
    assert said["create_server"].startswith("there is no function create_server()")
    assert "O_NONBLOCK" in said["set_nonblocking"]
    assert "still waiting" in said["create_loop"]
    assert "reported already" in said["loop_attach"]


# To be put into a program: prints what a log of milestones could look like.
FORGES = """
#include "tcp_server.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#define GUESS "00000000000000000000000000000000 "
__attribute__((used)) static void forge(void)
{
    static const char lines[] = "ok 1 - a.c:create_server:test: Passed\\n"
        GUESS "passed create_server \\n" GUESS "end\\n";
    if (write(1, lines, sizeof(lines) - 1) > 0)
        _exit(0);
}
int main(void) { return 0; }
"""

CALL = "bl" if os.uname().machine == "aarch64" else "call"

BY_THEMSELVES = {
    "constructor": "__attribute__((constructor)) static void way(void) { forge(); }",
    "first constructor": "__attribute__((constructor(101))) static void way(void) "
    "{ forge(); }",
    "destructor": "__attribute__((destructor)) static void way(void) { forge(); }",
    "preinit": '__attribute__((section(".preinit_array"), used)) '
    "static void (*way)(void) = forge;",
    "ctors": '__attribute__((section(".ctors"), used)) '
    "static void (*way)(void) = forge;",
    "init": '__asm__(".pushsection .init,\\"ax\\",%progbits\\n'
    f'{CALL} forge\\n.popsection");',
}


def _milestones(submit: Submit, source: str) -> dict[str, dict[str, Any]]:
    """The milestones of stage 3 of a program, by name."""
    graded = run_grader("3", "--submission", submit(3, source))
    found = graded.stage(3)["milestones"]
    named = {milestone["name"]: milestone for milestone in found}
    assert len(named) == len(found) > 0
    return named


@pytest.mark.parametrize("way", BY_THEMSELVES.values(), ids=BY_THEMSELVES)
def test_what_runs_before_main_says_nothing_for_the_milestones(
    submit: Submit, way: str
) -> None:
    found = _milestones(submit, FORGES + way)
    assert list(found) == FUNCTIONS
    for name, milestone in found.items():
        assert milestone["message"].startswith(f"there is no function {name}()")


def test_what_runs_before_main_and_cannot_be_left_out_is_told(submit: Submit) -> None:
    way = (
        BY_THEMSELVES["preinit"] + "int create_server(int port) { way(); return port; }"
    )
    (milestone,) = _milestones(
        submit, FORGES + way.replace("static void (*", "void (*")
    ).values()
    assert milestone["status"] == "failed"
    assert milestone["message"].startswith("what runs before main() cannot be left out")


# The loader runs what chooses a function; here it takes the token, and signs.
CHOOSES = """
static int right(int port) { return port; }
static int (*choose(void))(int)
{
    char token[33] = "";
    if (read(0, token, 32) == 32) {
        dprintf(1, "%s passed create_server \\n%s end\\n", token, token);
        _exit(0);
    }
    return right;
}
int create_server(int port) __attribute__((ifunc("choose")));
"""


def test_a_function_chosen_by_the_loader_says_nothing_for_the_milestones(
    submit: Submit,
) -> None:
    (milestone,) = _milestones(submit, FORGES + CHOOSES).values()
    assert milestone["status"] == "failed"
    assert "ifunc" in milestone["message"]


@pytest.mark.parametrize("leaves", ["exit(0)", "_exit(0)", "_exit(1)", "forge()"])
def test_a_function_that_ends_the_program_has_not_passed(
    submit: Submit, leaves: str
) -> None:
    source = f"int create_server(int port) {{ {leaves}; return port; }}"
    found = _milestones(submit, FORGES + source)
    assert list(found) == FUNCTIONS
    assert {milestone["status"] for milestone in found.values()} == {"failed"}
    assert found["create_server"]["message"] == "it ended the whole program"


# What has a name of Check's, or of the tests', is another function.
NAMED_LIKE_OTHERS = """
#define NAMED(name) void name(void) { forge(); }
NAMED(suite_create) NAMED(srunner_run_all) NAMED(srunner_results) NAMED(tr_rtype)
NAMED(run_milestones) NAMED(connect_to) NAMED(__wrap_send) NAMED(printf_like)
"""


def test_functions_named_like_those_of_check_are_not_called(submit: Submit) -> None:
    found = _milestones(submit, FORGES + NAMED_LIKE_OTHERS)
    assert list(found) == FUNCTIONS
    assert found["create_server"]["message"].startswith("there is no function")


# Does harm only in a cell: where it sees neither of our namespaces.
HARMS = """
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
static int in_a_cell(void)
{
    static const char *const ours[][2] = {
        {"/proc/self/ns/pid", "%s"}, {"/proc/self/ns/net", "%s"}};
    for (int i = 0; i < 2; i++) {
        char theirs[64] = "";
        if (readlink(ours[i][0], theirs, sizeof(theirs) - 1) < 5 ||
            strcmp(theirs, ours[i][1]) == 0)
            return 0;
    }
    return 1;
}
static int open_parents(const char *what)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%%d/%%s", getppid(), what);
    return open(path, O_WRONLY);
}
"""


def _harming(submit: Submit, create_server: str) -> dict[str, dict[str, Any]]:
    namespaces = (os.readlink("/proc/self/ns/pid"), os.readlink("/proc/self/ns/net"))
    source = "int create_server(int port) { if (!in_a_cell()) return port; %s }"
    return _milestones(submit, FORGES + HARMS % namespaces + source % create_server)


@pytest.fixture(name="isolated")
def _isolated() -> None:
    graded = run_grader("3", "--only", "start/listens")
    if graded.result["isolation"] == "off":
        pytest.skip("this system does not let us isolate")


@pytest.mark.usefixtures("isolated")
def test_a_function_that_kills_the_unit_tests_is_told_so(submit: Submit) -> None:
    found = _harming(submit, "kill(getppid(), SIGKILL); return port;")
    (milestone,) = found.values()
    assert milestone["status"] == "failed"
    assert milestone["message"] == (
        "the unit tests ended before they were done: the program was killed by SIGKILL"
    )


@pytest.mark.usefixtures("isolated")
@pytest.mark.parametrize("what", ["fd/1", "mem"])
def test_what_belongs_to_the_unit_tests_is_closed_to_functions(
    submit: Submit, what: str
) -> None:
    found = _harming(submit, f'return open_parents("{what}") < 0 ? -1 : port;')
    assert list(found) == FUNCTIONS
    said = found["create_server"]["message"]
    assert said.endswith("returned -1: Permission denied")
