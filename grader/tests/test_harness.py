"""The parts of the harness: streams, wording, the cell, and what is left behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from grader import text
from grader.course import ROOT
from grader.harness.difference import around
from grader.kernel import procfs
from grader.sandbox.output import Stream
from grader.stages.common import pacing
from grader.stages.common.pacing import as_time_allows
from grader.tests.conftest import run_grader
from grader.text import quote

Submit = Callable[[int, str | bytes | Path], Path]


def test_a_stream_keeps_its_ends_and_counts_the_rest() -> None:
    stream = Stream(keep=4)
    for data in (b"ab", b"cdef", b"ghijkl"):
        stream.add(data)
    assert stream.count == 12
    assert stream.bytes() == b"abcd\n[4 bytes left out]\nijkl"


def test_bytes_are_quoted_as_in_c() -> None:
    assert quote(b'a"\\\n\0\x1b\xff') == 'a\\"\\\\\\n\\x00\\x1b\\xff'


def test_the_caret_stands_under_the_byte() -> None:
    shown, caret = around(b"0123456789\nabc", 11, 1011).split("\n")
    assert shown[caret.index("^")] == "a" and shown.endswith("bc")
    assert caret.endswith("offset 1011")


@pytest.mark.parametrize("at", [0, 5, 100, 255])
def test_no_byte_is_shown_in_part(at: int) -> None:
    data = bytes(range(128, 256)) * 2
    shown, caret = around(data, at, at).split("\n")
    assert re.fullmatch(r"…?(\\x[0-9a-f]{2})+…?", shown) and len(shown) <= 66
    assert shown[caret.index("^") :].startswith(f"\\x{data[at]:02x}")


def test_what_a_student_prints_cannot_command_a_terminal_or_a_log() -> None:
    assert text.printable("\x1b[2J\a\r::error::x\n") == "\\x1b[2J\\x07\\r::error::x\n"


def test_a_sleeping_process_is_seen_in_its_call() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as sleeper:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            tasks = procfs.tasks(sleeper.pid)
            if tasks and tasks[0].call and "sleep" in tasks[0].call.name:
                break
        sleeper.kill()
    assert tasks[0].state == "S" and tasks[0].call and tasks[0].call.timed()
    assert procfs.tasks(sleeper.pid) == []


def test_what_takes_its_time_is_tried_less_and_what_has_no_processor_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Eight tries of a tenth of a second each: asleep, at work, at work for longer."""

    def at_work() -> None:
        end = time.thread_time() + 0.1
        while time.thread_time() < end:
            pass

    def times(trial: Callable[[], None]) -> int:
        return sum(trial() is None for _ in as_time_allows(range(8), 3, 0.2))

    assert times(at_work) == 8
    assert times(lambda: time.sleep(0.1)) < 8
    monkeypatch.setattr(pacing, "_WORKING_SECONDS", 0.2)
    assert 3 <= times(at_work) < 8


@pytest.mark.parametrize(
    "does, woken",
    [
        ("signal.pause()", False),
        ("signal.signal(signal.SIGALRM, print); signal.pause()", True),
        ("signal.signal(signal.SIGPROF, print); signal.pause()", True),
    ],
)
def test_who_waits_for_a_timer_that_the_kernel_hides_may_be_woken(
    does: str, woken: bool
) -> None:
    command = ["/usr/bin/python3", "-c", f"import signal; {does}"]
    with subprocess.Popen(command) as waiting:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            tasks = procfs.tasks(waiting.pid)
            if tasks and tasks[0].call and tasks[0].call.name == "pause":
                break
        found = procfs.may_be_woken(waiting.pid)
        waiting.kill()
    assert found is woken


# A program that says what it can see; it does nothing else, so it runs anywhere.
LOOKS_AROUND = """
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
extern char **environ;
int main(void)
{
    static const char *const places[] = {"/etc/passwd", "/home", "/root", "/bin/sh",
        "/usr/bin/python3", "%s", "/tmp/result.json"};
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (access(places[i], F_OK) == 0)
            fprintf(stderr, "sees %%s\\n", places[i]);
    for (char **variable = environ; *variable; variable++)
        fprintf(stderr, "has %%.6s\\n", *variable);
    fprintf(stderr, "is %%d\\n", getpid());
    return 1;
}
"""


def test_in_its_cell_a_program_sees_nothing_of_the_machine(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    folder = submit(1, LOOKS_AROUND % ROOT)
    graded = run_grader("1", "--submission", folder)
    if graded.result["isolation"] == "off":
        pytest.skip("this system does not let us isolate")
    details = graded.checks(1)["start/listens"]["details"]
    assert "sees" not in details
    assert "has GITHUB" not in details
    assert "  is 2\n" in details


@pytest.mark.parametrize(
    "source", ['#include "/etc/passwd"\n', '__asm__(".incbin \\"/etc/passwd\\"");\n']
)
def test_in_its_cell_the_compiler_sees_nothing_of_the_machine(
    submit: Submit, source: str
) -> None:
    graded = run_grader("1", "--submission", submit(1, source + "int main(void){}"))
    if graded.result["isolation"] == "off":
        pytest.skip("this system does not let us isolate")
    assert graded.stage(1)["status"] == "build_failed"
    assert "root:" not in graded.out


@pytest.mark.parametrize("isolation", ["auto", "off"])
def test_a_killed_grader_leaves_nothing_running(submit: Submit, isolation: str) -> None:
    source = "#include <unistd.h>\nint main(void) { for (;;) sleep(1); }\n"
    command = ["/usr/bin/python3", "-m", "grader", "grade", "1"]
    command += ["--submission", str(submit(1, source)), "--isolation", isolation]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as grader:
        end = time.monotonic() + 60
        family: list[int] = []
        while not _runs_the_program(family) and time.monotonic() < end:
            time.sleep(0.05)
            family = procfs.tree(grader.pid)
        assert _runs_the_program(family)
        grader.send_signal(signal.SIGKILL)
    end = time.monotonic() + 30
    while any(map(procfs.tasks, family)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(procfs.tasks, family))


def _runs_the_program(family: list[int]) -> bool:
    for pid in family:
        try:
            if os.readlink(f"/proc/{pid}/exe").endswith(("/tcp_server", "/program")):
                return True
        except OSError:
            continue
    return False


def test_a_full_disk_is_said_in_one_line(tmp_path: Path) -> None:
    report = tmp_path / "result.json"
    command = ["/usr/bin/prlimit", "--fsize=10", "/usr/bin/python3", "-m", "grader"]
    command += ["grade", "1", "--json", str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "cannot write" in done.stderr
    assert list(tmp_path.iterdir()) == []


# As if the thread that reads the output rarely got a processor.
SLOW_READER = """
import sys, time
from grader import cli
from grader.sandbox import limits
limits.Limiter.passed = lambda self: time.sleep(1) or ""
sys.exit(cli.main(["grade", "1", "--submission", "solutions", "--only", sys.argv[1]]))
"""


def test_a_line_that_was_printed_is_not_missing_because_nobody_took_it_yet() -> None:
    done = subprocess.run(
        ["/usr/bin/python3", "-c", SLOW_READER, "start/announces"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_graders_side_by_side_choose_different_ports() -> None:
    choose = (
        "from grader.harness.ports import free_port; print(free_port(), flush=True)"
    )
    command = ["/usr/bin/python3", "-c", f"{choose}; input()"]
    with contextlib.ExitStack() as stack:
        chosen = []
        for _ in range(3):
            one = stack.enter_context(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            assert one.stdin and one.stdout
            stack.callback(one.stdin.close)
            chosen.append(int(one.stdout.readline()))
        assert len(set(chosen)) == 3
