"""Each finding is proved on a server built to be in exactly that state."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grader.course import ROOT
from grader.tests import programs
from grader.tests.conftest import run_grader

Submit = Callable[[int, str | bytes | Path], Path]

# A server that echoes its first client's bytes, and then DOES something else.
THEN = """
#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char *argv[])
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1, conn;
    char data[4096];
    ssize_t count;

    any.sin_port = htons(argc > 1 ? atoi(argv[1]) : 8080);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    bind(fd, (struct sockaddr *)&any, sizeof(any));
    listen(fd, 5);
    conn = accept(fd, NULL, NULL);
    count = recv(conn, data, sizeof(data), 0);
    (void)count;
    %s
}
"""

SILENTLY = "for (;;) pause();"
IN_NAPS = "for (;;) nanosleep(&(struct timespec){.tv_nsec = %d}, NULL);"
IN_EPOLL_OF_NOTHING = (
    "int loop = epoll_create1(0); struct epoll_event event;"
    "for (;;) epoll_wait(loop, &event, 1, -1);"
)
IN_EPOLL = (
    "int loop = epoll_create1(0); struct epoll_event event = {.events = EPOLLOUT};"
    "epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);"
    "for (;;) epoll_wait(loop, &event, 1, -1);"
)


def _evidence(folder: Path, check: str) -> dict[str, Any]:
    graded = run_grader("3", "--submission", folder, "--only", check)
    result = graded.checks(3)[check]
    assert result["status"] == "failed", graded.out
    assert " ".join(result["evidence"]["says"].split()) in " ".join(
        result["details"].split()
    ), "the message and the result file have the same evidence"
    found: dict[str, Any] = result["evidence"]
    return found


@pytest.mark.parametrize(
    "does, facts",
    [
        ("return 7;", {"kind": "gone", "status": 7}),
        ("raise(SIGPIPE);", {"kind": "gone", "status": -13}),
        ("*(volatile int *)8 = 1;", {"kind": "gone", "status": -11}),
        ("raise(SIGSTOP);", {"kind": "stopped"}),
        ("for (;;);", {"kind": "spinning"}),
        (SILENTLY, {"kind": "lost", "call": "pause"}),
        (IN_EPOLL, {"kind": "lost", "call": "epoll_wait"}),
        (IN_NAPS % 50_000_000, {"kind": "sleeping", "call": "clock_nanosleep"}),
        (IN_NAPS % 2_000_000, {"kind": "sleeping", "call": "clock_nanosleep"}),
        ("recv(conn, data, 1, 0);", {"kind": "blocked_receiving", "descriptor": 4}),
        ("accept(fd, NULL, NULL);", {"kind": "blocked_accepting", "descriptor": 3}),
        ("write(1, data, count); pause();", {"call": "pause"}),
        ("read(0, data, 1);", {"kind": "lost", "call": "read", "descriptor": 0}),
        ("for (;;) write(1, data, 4096);", {"kind": "prints_without_end"}),
    ],
)
def test_what_a_server_does_in_place_of_an_answer(
    submit: Submit, does: str, facts: dict[str, Any]
) -> None:
    found = _evidence(submit(3, THEN % does), "echo/line")
    assert facts.items() <= found.items()


def test_a_connection_that_epoll_does_not_watch_is_told_as_such(submit: Submit) -> None:
    source = (THEN % IN_EPOLL_OF_NOTHING).replace("sizeof(data), 0", "4, 0")
    found = _evidence(submit(3, source), "echo/line")
    assert {"kind": "forgot", "watched_for": "not at all"}.items() <= found.items()


def test_who_moves_byte_by_byte_is_at_work_and_not_busy_for_nothing(
    submit: Submit,
) -> None:
    right = programs.find("right/3/tiny_buffer").text
    folder = submit(3, right.replace("#define BUF 16", "#define BUF 1"))
    only = "resources/idle_stalled"
    graded = run_grader("3", "--submission", folder, "--only", only)
    assert graded.checks(3)[only]["status"] == "passed", graded.out


# It cannot tell the descriptors it watches apart, so it never gets to the client's
# bytes.
ALL_ALIKE = """
    int loop = epoll_create1(0); struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
    epoll_ctl(loop, EPOLL_CTL_ADD, conn, &event);
    for (;;) { epoll_wait(loop, &event, 1, %d); %s }
"""


@pytest.mark.parametrize(
    "does, kind",
    [((0, ""), "spinning"), ((-1, "accept(fd, NULL, NULL);"), "blocked_accepting")],
)
def test_what_epoll_takes_for_the_listener_is_told(
    submit: Submit, does: tuple[int, str], kind: str
) -> None:
    source = (THEN % (ALL_ALIKE % does)).replace("sizeof(data), 0", "4, 0")
    found = _evidence(submit(3, source), "echo/line")
    assert {"kind": kind, "same_data": 4}.items() <= found.items()
    assert "the same data (0x0) for descriptor 4" in found["says"]


# Serves everybody, slowly: it takes a second after each message.
IN_BETWEEN = """
    for (;;) {
        send(conn, data, count, 0);
        sleep(1);
        count = recv(conn, data, sizeof(data), 0);
    }
"""


def test_who_sleeps_a_second_after_each_message_is_not_waited_for_all_day(
    submit: Submit,
) -> None:
    found = _evidence(submit(3, THEN % IN_BETWEEN), "echo/every_byte_value")
    assert {"kind": "sleeping", "call": "clock_nanosleep"}.items() <= found.items()
    assert 5 <= found["asleep_seconds"] < 10


@pytest.mark.parametrize(
    "name, check, facts, words",
    [
        (
            "one_client_at_a_time",
            "concurrency/idle_client",
            {"kind": "blocked_receiving", "client": "the idle client", "backlog": 1},
            "the other client waits to be accepted",
        ),
        (
            "finishes_the_line_first",
            "concurrency/mid_message",
            {"kind": "blocked_receiving"},
            "bytes from the other client wait unread",
        ),
        (
            "blocking_send",
            "blocking/never_reads",
            {"kind": "blocked_sending", "client": "the stalled client"},
            "the stalled client does not read",
        ),
        (
            "threads_with_one_lock",
            "blocking/never_reads",
            {"kind": "blocked_sending", "threads": 3},
            "one of its 3 threads sleeps in send()",
        ),
        (
            "edge_triggered_reads_once",
            "echo/large",
            {"kind": "forgot", "watched_for": "EPOLLIN | EPOLLOUT | EPOLLET"},
            "wait unread",
        ),
        (
            "first_message_only",
            "echo/every_byte_value",
            {"kind": "forgot"},
            "EPOLLONESHOT",
        ),
        (
            "waits_for_newline",
            "echo/every_byte_value",
            {"kind": "lost", "read_and_unanswered": "a client"},
            "nothing is on its way back",
        ),
        (
            "does_not_raise_limit",
            "resources/descriptor_limit",
            {"kind": "lost", "full": 64, "may_raise": True},
            "64 descriptors open, as many as its soft limit allows",
        ),
        (
            "spins_on_emfile",
            "resources/few_descriptors",
            {"kind": "busy", "full": 40, "may_raise": False},
            "40 descriptors open",
        ),
        (
            "epollout_always_on",
            "resources/few_descriptors",
            {"kind": "busy"},
            "room to send (EPOLLOUT)",
        ),
    ],
)
def test_where_a_server_is_stuck_and_with_whose_bytes(
    submit: Submit, name: str, check: str, facts: dict[str, Any], words: str
) -> None:
    found = _evidence(submit(3, programs.find(f"3/{name}").text), check)
    assert facts.items() <= found.items()
    assert words in found["says"]


@pytest.mark.parametrize(
    "only, patience, status",
    [
        ("lifecycle/patience", "1", "passed"),
        ("lifecycle/patience", "4", "failed"),
        ("lifecycle", "0", "failed"),  # ten thousand clients come and go meanwhile
    ],
)
def test_clients_stay_for_as_long_as_is_asked_for_and_as_other_checks_take(
    submit: Submit, only: str, patience: str, status: str
) -> None:
    """This server waits two seconds; or one, while all others take longer than that."""
    source = programs.find("3/hangs_up_on_the_silent").text
    assert " > 2)" in source
    folder = submit(3, source.replace(" > 2)", " > 0)") if patience == "0" else source)
    asked = ["--only", only, "--patience", patience, "--jobs", "1"]
    graded = run_grader("3", "--submission", folder, *asked)
    assert graded.checks(3)["lifecycle/patience"]["status"] == status


def test_findings_md_has_every_kind_of_finding() -> None:
    page = (ROOT / "grader" / "FINDINGS.md").read_text()
    described = set(
        re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (.*?) \|", page, re.M)))
    )
    kinds = {"lost", "forgot", "withheld", "sleeping"}  # chosen at run time
    for path in (ROOT / "grader").rglob("*.py"):
        if "tests" not in path.parts:
            kinds |= set(
                re.findall(
                    r'\b(?:Finding\(\s*|finding\.kind = )"(\w+)"', path.read_text()
                )
            )
    assert kinds == described


# It answers correctly, but takes this many milliseconds for each byte, asleep or at
# work.
IN_NAPS_OF_MS = "nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);"
AT_WORK = (
    "struct timespec end, now; clock_gettime(CLOCK_MONOTONIC, &end);"
    "do clock_gettime(CLOCK_MONOTONIC, &now); while ((now.tv_sec - end.tv_sec) *"
    "1000000000L + now.tv_nsec - end.tv_nsec < 30000000L);"
)
BYTE_BY_BYTE = "for (ssize_t i = 0; i < count; i++) { send(conn, data + i, 1, 0); %s }"

# Gives up on trickles almost at once.
TRICKLED = """
import sys
from grader import cli
from grader.harness import session
session.TRICKLING_SECONDS = 0.1
sys.exit(cli.main(["grade", "3", "--only", "echo/line", "--submission", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("does, is_found", [(IN_NAPS_OF_MS, True), (AT_WORK, False)])
def test_who_trickles_is_not_waited_for_and_who_works_is(
    submit: Submit, tmp_path: Path, does: str, is_found: bool
) -> None:
    report = tmp_path / "result.json"
    folder = submit(3, THEN % (BYTE_BY_BYTE % does + SILENTLY))
    command = ["/usr/bin/python3", "-c", TRICKLED, str(folder), "--json", str(report)]
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=300)
    (check,) = json.loads(report.read_text())["stages"][0]["checks"]
    assert (check["evidence"].get("kind") == "slow") is is_found, check


# Nothing can be proved about a program that neither sleeps nor uses much. That is hard
# to arrange, so we shorten the time: this one has spun for less than would be too much.
PATIENCELESS = """
import sys
from grader import cli
from grader.harness import stuck
stuck.LAST_RESORT_SECONDS = 0.2
sys.exit(cli.main(["grade", "3", "--only", "echo/line", "--submission", *sys.argv[1:]]))
"""


def test_where_nothing_can_be_proved_time_decides_at_last(
    submit: Submit, tmp_path: Path
) -> None:
    report = tmp_path / "result.json"
    folder = submit(3, THEN % "for (;;);")
    command = ["/usr/bin/python3", "-c", PATIENCELESS, str(folder)]
    command += ["--json", str(report)]
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=300)
    (check,) = json.loads(report.read_text())["stages"][0]["checks"]
    assert check["evidence"]["kind"] == "silent"
    assert "nothing has moved for" in check["details"]
