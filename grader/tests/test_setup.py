"""What surrounds the grader: setup.sh, the Makefile, the list of packages.

setup.sh really runs, on a PATH that holds the few tools it calls, and scripts in place
of apt-get, sudo, id and dpkg-query that record how they were called.
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUP = ROOT / "grader/setup.sh"
TOOLS = "awk dirname dpkg-query env grep id mktemp rm sed sh tail true".split()


def packages(group: str) -> dict[str, str]:
    """The packages in a group of packages.txt: names and reasons."""
    text = (ROOT / "grader/packages.txt").read_text()
    section = text.partition(f"[{group}]\n")[2].partition("\n[")[0]
    rows = (line.split(None, 1) for line in section.splitlines())
    return {row[0]: row[1] for row in rows if row}


class Machine:
    """A machine as setup.sh sees it: the programs on PATH."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.calls_file = folder / "calls"
        self.bin.mkdir()
        for name in TOOLS:
            path = shutil.which(name)
            if path:
                (self.bin / name).symlink_to(path)

    def has(self, name: str, script: str = "") -> None:
        """Put a program on PATH that records its call and then runs SCRIPT."""
        path = self.bin / name
        path.unlink(missing_ok=True)
        note = f'echo "{name} $*" >>"{self.calls_file}"'
        path.write_text(f"#!/bin/sh\n{note}\n{script}\n")
        path.chmod(0o755)

    def lacks(self, *names: str) -> None:
        """Make dpkg-query call all packages installed but these."""
        skip = "".join(f"{name}) ;; " for name in names)
        self.has(
            "dpkg-query",
            f'shift 3; for p; do case $p in {skip}*) echo "installed $p";; esac; done',
        )

    def user(self, uid: int) -> None:
        self.has("id", f"echo {uid}")

    def calls(self, name: str) -> list[str]:
        lines = self.calls_file.read_text().splitlines()
        return [line for line in lines if line.split()[0] == name]

    def setup(
        self, group: str = "grade", stdin: int = subprocess.DEVNULL
    ) -> subprocess.CompletedProcess[str]:
        self.calls_file.write_text("")
        return subprocess.run(
            [SETUP, group],
            env={"PATH": str(self.bin)},
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=30,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Root on a Debian machine where the package `check` is missing."""
    machine = Machine(tmp_path)
    machine.user(0)
    machine.lacks("check")
    machine.has("apt-get")
    return machine


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that says why setup refused."""
    assert done.returncode == 2, done
    assert done.stderr.startswith("setup: ") and done.stderr.count("\n") == 1, done
    return done.stderr


# ------------------------------------------------------------------ setup.sh ----


def test_nothing_is_done_where_all_is_there(tmp_path: Path) -> None:
    machine = Machine(tmp_path)  # with the real dpkg-query
    machine.has("apt-get", "exit 99")
    done = machine.setup()
    assert (done.returncode, done.stderr) == (0, "")
    assert "are there" in done.stdout
    assert machine.calls("apt-get") == []


def test_only_what_is_missing_is_installed_and_its_reason_is_told(
    machine: Machine,
) -> None:
    machine.has("apt-get", 'test "$DEBIAN_FRONTEND" = noninteractive')
    done = machine.setup()
    assert (done.returncode, done.stderr) == (0, "")
    assert packages("grade")["check"] in done.stdout
    assert packages("grade")["bubblewrap"] not in done.stdout
    (call,) = machine.calls("apt-get")
    assert call.endswith("install --no-install-recommends check")


def test_lists_of_packages_are_fetched_when_the_first_try_fails(
    machine: Machine, tmp_path: Path
) -> None:
    lists = tmp_path / "lists"
    machine.has("apt-get", f'case "$*" in *update) >{lists};; esac; test -e {lists}')
    assert machine.setup().returncode == 0
    assert [re.findall("install|update", c)[0] for c in machine.calls("apt-get")] == [
        "install",
        "update",
        "install",
    ]


@pytest.mark.parametrize(
    "on_update, on_install, told",
    [
        (
            "",
            "E: Unable to locate package check",
            "E: Unable to locate package check",
        ),
        (
            "W: Failed to fetch http://x/InRelease  Temporary failure resolving 'x'",
            "E: Unable to locate package check",
            "Temporary failure resolving 'x'",
        ),
        ("", "sudo: it went otherwise", "it went otherwise"),
    ],
    ids=["unknown package", "no network", "neither"],
)
def test_when_apt_get_fails_its_error_is_told(
    machine: Machine, on_update: str, on_install: str, told: str
) -> None:
    machine.has(
        "apt-get",
        f'case "$*" in *update) echo "{on_update}" ;;'
        f' *) echo Reading lists; echo "{on_install}"; exit 100 ;; esac >&2',
    )
    line = refusal(machine.setup())
    assert line.startswith("setup: apt-get cannot install check: ") and told in line


def test_without_apt_get_the_packages_are_named(machine: Machine) -> None:
    (machine.bin / "apt-get").unlink()
    (machine.bin / "dpkg-query").unlink()
    line = refusal(machine.setup())
    assert "no apt-get" in line and line.endswith(" ".join(packages("grade")) + "\n")


def test_neither_root_nor_sudo(machine: Machine) -> None:
    machine.user(1000)
    assert "apt-get install check" in refusal(machine.setup())
    assert machine.calls("apt-get") == []


def test_sudo_without_a_password(machine: Machine) -> None:
    machine.user(1000)
    machine.has("sudo", 'shift; exec "$@"')
    assert machine.setup().returncode == 0
    assert all(call.startswith("sudo -n ") for call in machine.calls("sudo"))
    assert len(machine.calls("apt-get")) == 1


WANTS_PASSWORD = '[ "$1" = -n ] && exit 1; [ "$1" = -v ] || exec "$@"'


def test_sudo_never_asks_where_nobody_could_answer(machine: Machine) -> None:
    machine.user(1000)
    machine.has("sudo", WANTS_PASSWORD)
    assert "password" in refusal(machine.setup())
    assert machine.calls("sudo") == ["sudo -n true"]


@pytest.fixture
def terminal() -> Iterator[int]:
    ours, theirs = pty.openpty()
    yield theirs
    os.close(ours)
    os.close(theirs)


def test_sudo_may_ask_at_a_terminal(machine: Machine, terminal: int) -> None:
    machine.user(1000)
    machine.has("sudo", WANTS_PASSWORD)
    assert machine.setup(stdin=terminal).returncode == 0
    assert machine.calls("sudo")[:2] == ["sudo -n true", "sudo -v"]
    assert len(machine.calls("apt-get")) == 1


def test_an_unknown_group_is_refused(machine: Machine) -> None:
    assert "nonsense" in refusal(machine.setup("nonsense"))


# ------------------------------------------------------------------ Makefile ----


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the Makefile, with a grader that only says how it was called, and a
    setup that takes its time."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    grader = tmp_path / "grader"
    grader.mkdir()
    (grader / "__main__.py").write_text(
        "import os, sys\nprint(sys.executable, sys.argv[1:])\n"
        "sys.exit(int(os.environ.get('LOST', '0')))\n"
    )
    (grader / "setup.sh").write_text("#!/bin/sh\nsleep 0.3\necho set up: $1\n")
    (grader / "setup.sh").chmod(0o755)
    return tmp_path


def make(
    house: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    own = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    inherited = {k: v for k, v in os.environ.items() if k not in own}
    return subprocess.run(
        ["make", *arguments],
        cwd=house,
        env=inherited | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_make_alone_lists_every_target() -> None:
    done = make(ROOT)
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.M)
    assert {"setup", "grade", "solutions", "test", "lint", "clean"} <= set(targets)
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines] == targets
    assert all(len(line) <= 80 for line in lines)


def test_grade_runs_the_distributions_python(house: Path) -> None:
    other = house / "bin/python3"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\nexit 99\n")
    other.chmod(0o755)
    done = make(
        house,
        "grade",
        PATH=f"{other.parent}:{os.environ['PATH']}",
        PYTHON=str(other),
        PYTHONHOME="/nowhere",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "/usr/bin/python3 ['grade']\n"


def test_grade_hands_its_options_on(house: Path) -> None:
    done = make(
        house,
        "grade",
        "STAGE=1 3",
        "SUBMISSION=Kit O'Brien",
        "ONLY=echo/line",
        "JSON=r.json",
        "SEED=7",
        "JOBS=2",
        "BUDGET=60",
        "ISOLATION=off",
    )
    options = (
        ["--submission", "Kit O'Brien", "--only", "echo/line", "--json", "r.json"]
    ) + ["--seed", "7", "--jobs", "2", "--budget", "60", "--isolation", "off"]
    assert done.stdout == f"/usr/bin/python3 {['grade', '1', '3', *options]}\n"


def test_solutions_are_graded_like_any_submission(house: Path) -> None:
    done = make(house, "solutions", "STAGE=3")
    assert done.stdout.endswith("['grade', '3', '--submission', 'solutions']\n")


def test_make_fails_when_points_were_lost(house: Path) -> None:
    done = make(house, "grade", LOST="1")
    assert done.returncode != 0 and "['grade']" in done.stdout
    assert done.stderr.count("\n") == 1  # make's own


@pytest.mark.parametrize("jobs", ["-j1", "-j"])
def test_setup_comes_before_grade(house: Path, jobs: str) -> None:
    done = make(house, jobs, "setup", "grade")
    assert done.stdout.splitlines()[0] == "set up: grade"
    assert done.stdout.endswith("['grade']\n")


def test_without_python_grade_names_setup(house: Path) -> None:
    done = make(house, "grade", "PYTHON=/nowhere/python3")
    assert done.returncode != 0
    assert done.stderr.startswith("no /nowhere/python3 here: run 'make setup' first\n")


def test_lint_names_the_tool_that_is_missing(house: Path) -> None:
    done = make(house, "lint", "LINTERS=no-such-tool")
    assert done.returncode != 0
    assert done.stderr.startswith("no no-such-tool here: run 'make setup setup-lint'")


# ------------------------------------------------------------------ packages ----


def named(markdown: str) -> set[str]:
    """The packages in the tables of MARKDOWN."""
    return set(re.findall(r"^\|\s*`([a-z0-9.+-]+)`", markdown, re.M))


def test_readme_names_the_packages_that_setup_installs() -> None:
    section = (ROOT / "README.md").read_text().partition("\n## Dependencies\n")[2]
    section = section.partition("\n## ")[0]
    grading, _, besides = section.partition("`make setup-test` installs")
    assert named(grading) == set(packages("grade"))
    groups = (packages(group) for group in ("test", "browser", "lint"))
    assert named(besides) == set().union(*groups)


def test_setup_installs_what_grades_a_pull_request() -> None:
    steps = (ROOT / ".github/workflows/grade.yml").read_text()
    assert "setup-test" not in steps and "git" in packages("grade")
