"""The milestones: what they say, and that no program can say it for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grader.course import ROOT
from grader.grading.milestones import parse
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


def test_a_stage_can_say_more_of_a_function_that_does_not_end() -> None:
    stuck = "Test timeout expired"
    log = f"T0KEN failed a {stuck}\nT0KEN failed b {stuck}; the server may leave\n"
    other, waits = parse(log + "T0KEN end\n", "T0KEN")
    assert "still waiting" in other.message
    assert waits.message == other.message + "; the server may leave"


def test_who_waits_for_a_server_that_has_left_is_told_that_this_is_tried(
    submit: Submit,
) -> None:
    solved = (ROOT / "solutions/2/tcp_client.c").read_text()
    waits = "#define recv(...) recv_more(__VA_ARGS__)\n" + solved
    more = (
        "#include <sys/socket.h>\n"
        "static ssize_t recv_more(int fd, void *data, size_t length, int flags)\n"
        "{ ssize_t n; while ((n = recv(fd, data, length, flags)) == 0) ; return n; }\n"
    )
    graded = run_grader("2", "--submission", submit(2, more + waits))
    said = {m["name"]: m["message"] for m in graded.stage(2)["milestones"]}
    assert said["recv_all"].endswith(
        "the server may leave early, and that has to end it, too"
    )
    assert not said["send_all"]


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


# To put into a program: prints what looks like a log of milestones.
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
    """The milestones of stage 3 for a program, by name."""
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


# The loader runs an ifunc's resolver; here that takes the token, and forges a result.
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


# Functions with the names of Check's or of the tests' are not called instead of those.
NAMED_LIKE_OTHERS = """
#define NAMED(name) void name(void) { forge(); }
NAMED(suite_create) NAMED(srunner_run_all) NAMED(srunner_results) NAMED(tr_rtype)
NAMED(run_milestones) NAMED(connect_to) NAMED(__wrap_send) NAMED(printf_like)
"""


def test_functions_named_like_those_of_check_are_not_called(submit: Submit) -> None:
    found = _milestones(submit, FORGES + NAMED_LIKE_OTHERS)
    assert list(found) == FUNCTIONS
    assert found["create_server"]["message"].startswith("there is no function")


# Does harm only in a cell: where neither of our namespaces is to be seen.
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
