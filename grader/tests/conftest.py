"""What the grader's own tests share: the grader, run the way users run it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grader import course
from grader.course import ROOT
from grader.harness.stuck import LOUD
from grader.tests.closing import SHOWN

_HEAVY = ("test_attacks.py", "test_programs.py")

# Files whose tests are independent, and each wait for a grading: they need not wait for
# each other.
_APART = ("test_any_order.py", "test_cli.py", "test_findings.py", "test_steps.py")

# Its tests are checks of a stage, and run as such.
collect_ignore = ["toy_stage"]

# What `make test QUICK=1` leaves out: tests that take minutes, or are about the system
# around the grader. Then the programs that it does grade.
_NOT_QUICK = (
    "any_order", "attacks", "class", "class_compare", "class_progress", "class_resume",
    "comment", "containment", "exports", "handout", "hesitant", "loop", "milestones",
    "new_stage", "pull_request", "setup", "side_by_side", "teaching",
)  # fmt: skip
_SAMPLE = (
    "right/3/edge_triggered", "wrong/1/waits_for_eof",
    "wrong/2/strips_the_newline", "wrong/3/blocking_send", "wrong/3/knows_quit",
)  # fmt: skip


@dataclass(frozen=True)
class Graded:
    """What one run of the grader left: its exit status, its output, its result."""

    status: int
    out: str
    err: str
    result: dict[str, Any]

    def stage(self, number: int) -> dict[str, Any]:
        """The result of one stage."""
        found: dict[str, Any] = next(
            stage for stage in self.result["stages"] if stage["stage"] == number
        )
        return found

    def checks(self, number: int) -> dict[str, dict[str, Any]]:
        """The checks of one stage, by id."""
        return {check["id"]: check for check in self.stage(number)["checks"]}


@functools.cache
def hesitant_grader() -> Path:
    """The library that makes a grader hesitate: hesitant_grader.c, built."""
    folder = Path(tempfile.mkdtemp(prefix="hesitant-"))
    atexit.register(shutil.rmtree, folder)
    built = folder / "hesitant_grader.so"
    source = Path(__file__).with_name("hesitant_grader.c")
    command = ["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*command, "-o", built, source], check=True)
    return built


def run_grader(
    *arguments: str | Path, cwd: Path = ROOT, hesitant: bool = False
) -> Graded:
    """Run `grader grade ARGUMENTS`, as the Makefile does. A HESITANT grader sleeps now
    and then between its system calls."""
    loaded = {"LD_PRELOAD": str(hesitant_grader())} if hesitant else {}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "result.json")
        command = ["/usr/bin/python3", "-m", "grader", "grade", "--json", str(report)]
        done = subprocess.run(
            [*command, *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), LOUD: "1", **loaded},
            capture_output=True,
            text=True,
            timeout=900,
        )
        result = json.loads(report.read_text()) if report.exists() else {}
    return Graded(done.returncode, done.stdout, done.stderr, result)


def session_members(session: int) -> list[str]:
    """The live processes left in a session (proc_pid_stat(5), fields 3 and 6). Dead
    ones that no init has reaped yet do not count."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its_session, *_ = stat.read_text().rpartition(")")[2].split()
            if its_session == str(session) and state != "Z":
                members.append(stat.parent.name)
    return members


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    words = "a sample of the tests, to see soon whether a change broke something"
    parser.addoption("--quick", action="store_true", help=words)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of the grader's checks, which some tests look at."""
    config.addinivalue_line("markers", "check(id): the id of a check in stage.toml")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out whole files that take long."""
    is_left_out = collection_path.stem.removeprefix("test_") in _NOT_QUICK
    return True if config.getoption("quick") and is_left_out else None


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Start with the slowest tests, so that the rest can run beside them."""
    if config.getoption("quick"):
        items[:] = filter(_is_quick, items)
    items.sort(key=lambda item: (*_HEAVY, item.path.name).index(item.path.name))


def _is_quick(item: pytest.Item) -> bool:
    """Whether ITEM grades no program, or one from the sample."""
    if item.path.name != "test_programs.py" or not hasattr(item, "callspec"):
        return True
    program = item.callspec.params.get("program")
    return program is None or str(program) in _SAMPLE


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Run tests that keep both processors busy one after the other: an attack on the
    whole machine can only be held off if some of the machine is left."""
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import]

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            if file.endswith(_HEAVY):
                return "heavy"
            return nodeid if file.endswith(_APART) else file

    return Scheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what another process wants to show."""
    shown = getattr(node, "workeroutput", {}).get("shown", {})
    node.config.stash.setdefault(SHOWN, {}).update(shown)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show what tests want to show: the matrix, the table of attacks."""
    for title, text in config.stash.get(SHOWN, {}).items():
        terminalreporter.section(title)
        terminalreporter.write_line(text)


@pytest.fixture
def submit(tmp_path: Path) -> Callable[[int, str | bytes | Path], Path]:
    """Lays out a submission of one stage from its source, and returns its folder."""

    def submit(stage: int, source: str | bytes | Path) -> Path:
        folder = tmp_path / "submission" / str(stage)
        folder.mkdir(parents=True)
        if isinstance(source, Path):
            source = source.read_bytes()
        data = source.encode() if isinstance(source, str) else source
        (folder / course.stage(stage).source).write_bytes(data)
        return folder.parent

    return submit
