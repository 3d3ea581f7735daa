"""The two kinds of isolation: how they differ, and that nothing outside asks which of
them is in use."""

from __future__ import annotations

import ast
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.course import ROOT
from grader.errors import CannotGrade
from grader.sandbox import isolation, network, orphans
from grader.sandbox.cell import SANITIZERS
from grader.sandbox.cell_report import CellReport
from grader.sandbox.isolation import Cell, Isolation, NoIsolation
from grader.sandbox.program import Program

# What bubblewrap reports about a cell that ran a program, and about one that failed.
ENTERED = b'{ "child-pid": 12 }\n{ "exit-code": 0 }\n'
FAILED = b'{ "child-pid": 12 }\n'
RECEIVE_BUFFERS = Path("/proc/sys/net/ipv4/tcp_rmem")


@pytest.fixture(autouse=True)
def _no_orphans_are_adopted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that runs these tests may have children that are not the grader's."""
    monkeypatch.setattr(orphans, "adopt", lambda: None)


def _places_that_compare(name: str) -> Iterator[str]:
    """Where the grader compares something with NAME, the name of an isolation."""
    for file in sorted((ROOT / "grader").rglob("*.py")):
        if "tests" not in file.relative_to(ROOT).parts:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                compared = ast.walk(node) if isinstance(node, ast.Compare) else ()
                for part in compared:
                    if isinstance(part, ast.Constant) and part.value == name:
                        yield f"{file.relative_to(ROOT)}:{part.lineno}"


def test_which_isolation_it_is_is_asked_only_where_it_is_entered() -> None:
    assert list(_places_that_compare("bubblewrap")) == []
    asked = [place.partition(":")[0] for place in _places_that_compare("off")]
    assert asked == ["grader/sandbox/isolation.py"]  # enter(), of the command line


def test_isolation_off_is_none_and_there_is_no_reason_for_it() -> None:
    entered, reason = isolation.enter("off")
    assert isinstance(entered, NoIsolation)
    assert (entered.name, reason) == ("off", "")


def test_where_there_is_an_obstacle_auto_does_without_and_required_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isolation, "_obstacle", lambda: "it is Sunday")
    entered, reason = isolation.enter("auto")
    assert (entered.name, reason) == ("off", "it is Sunday")
    with pytest.raises(CannotGrade, match="no isolation: it is Sunday"):
        isolation.enter("required")


def test_where_there_is_none_a_cell_is_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    entries: list[str] = []
    monkeypatch.setattr(isolation, "_obstacle", lambda: "")
    monkeypatch.setattr(network, "enter_first", lambda: entries.append("network"))
    for wanted in ("auto", "required"):
        entered, reason = isolation.enter(wanted)
        assert isinstance(entered, Cell)
        assert (entered.name, reason) == ("bubblewrap", "")
    assert entries == ["network"] * 2


@pytest.mark.parametrize(
    "code, in_a_cell, without",
    [
        (0, 0, 0),
        (1, 1, 1),
        (128 + signal.SIGPIPE, -signal.SIGPIPE, 128 + signal.SIGPIPE),
        (255, 255, 255),  # exit(-1)
        (-signal.SIGKILL, -signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_a_cells_init_reports_signals_as_a_shell_does(
    code: int, in_a_cell: int, without: int
) -> None:
    assert Cell().exit_status(code) == in_a_cell
    assert NoIsolation().exit_status(code) == without


@pytest.mark.parametrize(
    "isolated, status, report, said, failed",
    [
        # A cell is judged by bubblewrap's report, whatever is printed.
        (Cell(), 1, ENTERED, "prlimit: no", False),
        (Cell(), 1, FAILED, "", True),
        # Without a cell there are only words, and the exit status.
        (NoIsolation(), 1, b"", "prlimit: no", True),
        (NoIsolation(), 127, b"", "setpriv: no", True),
        (NoIsolation(), 1, b"", "[ERROR] no", False),
        (NoIsolation(), 0, b"", "prlimit: is a warning, by #line", False),
    ],
)
def test_a_launcher_that_fails_is_told_from_a_program_that_does(
    isolated: Isolation, status: int, report: bytes, said: str, failed: bool
) -> None:
    assert isolated.launch_failed(status, report, said) is failed


def test_only_a_cell_refuses_system_calls_and_has_a_network_of_its_own() -> None:
    assert "shm_open" in Cell.refused_functions and Cell.own_network
    assert not NoIsolation.refused_functions and not NoIsolation.own_network


def test_without_isolation_a_program_is_run_as_it_is_and_dies_with_us() -> None:
    none = NoIsolation()
    prepared = none.running(Path("/bin/true"), ["name", "8080"], {}, SANITIZERS, 5)
    with prepared as (command, passed):
        assert (command, passed) == (["/bin/true", "8080"], [])
    with none.compiling(Path("/nowhere"), ["gcc", "-c"], 5) as (command, passed):
        assert (command, passed) == (["gcc", "-c"], [])
    assert "--pdeathsig" in none.launchers()
    assert "--pdeathsig" not in Cell().launchers()  # bubblewrap takes care of that


def test_a_cell_is_bubblewraps_and_gets_what_it_reads() -> None:
    with Cell().running(Path("/bin/true"), ["name"], {}, (), 5) as (command, passed):
        assert command[0] == "/usr/bin/bwrap"
        assert command[command.index("--json-status-fd") + 1] == "5"
        assert passed[0] == 5 and len(passed) > 2
        assert all(map(os.fstat, passed[1:]))  # they are open


def test_buffers_stay_as_they_are_in_a_network_that_is_not_ours() -> None:
    before = RECEIVE_BUFFERS.read_text()
    with NoIsolation().large_receive_buffers():
        assert RECEIVE_BUFFERS.read_text() == before


def test_a_report_that_comes_in_pieces_names_its_init_when_it_is_whole() -> None:
    report = CellReport()
    try:
        os.write(report.theirs, b'{ "child-')
        assert report.child_of_init() is None and report.init is None
        os.write(report.theirs, b'pid": %d }\n' % os.getpid())
        report.child_of_init()
        assert report.init == os.getpid()
        os.write(report.theirs, b'{ "exit-code": 0 }\n')
        os.close(report.theirs)
        assert report.whole().endswith(b'{ "exit-code": 0 }\n')
    finally:
        report.close()


def test_a_program_without_isolation_is_seen_to_its_end() -> None:
    program = Program(Path("/bin/sh"), ["-c", "echo out; echo err >&2; kill -PIPE $$"])
    try:
        end = time.monotonic() + 60
        while not program.ended() and time.monotonic() < end:
            time.sleep(0.01)
        program.all_output_read()
        assert program.status() == -signal.SIGPIPE
        assert program.ending() == "was killed by SIGPIPE"
        assert (program.output.text(), program.errors.text()) == ("out\n", "err\n")
        assert program.printed == len("out\nerr\n")
    finally:
        program.stop()
