"""What keeps a submission within its bounds, and what happens when the grader is ended
half-way. The attacks themselves are in test_attacks.py."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import shutil
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from grader.course import ROOT
from grader.kernel import procfs
from grader.sandbox import namespaces
from grader.tests.conftest import run_grader

SOLUTIONS = ROOT / "solutions"
Submit = Callable[[int, str | bytes | Path], Path]
GRADER = ["/usr/bin/python3", "-m", "grader", "grade"]


@pytest.fixture(scope="module")
def isolated() -> None:
    """Skip where programs cannot be isolated."""
    only = ("--only", "start/listens")
    graded = run_grader("1", "--submission", SOLUTIONS, *only)
    if graded.result["isolation"] == "off":
        pytest.skip("this system does not let us isolate")


# -- isolation ---------------------------------------------------------------


@pytest.mark.parametrize(
    "name, value, words",
    [
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        (
            "kernel/unprivileged_userns_clone",
            "0",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
    ],
)
def test_who_forbids_user_namespaces_is_named_and_how_to_allow_them(
    tmp_path: Path, name: str, value: str, words: str
) -> None:
    setting = tmp_path / name
    setting.parent.mkdir()
    setting.write_text(f"{value}\n")
    assert words in namespaces.forbidden(tmp_path)
    setting.write_text("12345\n")
    assert namespaces.forbidden(tmp_path) == ""


NO_NAMESPACES = ["/usr/bin/unshare", "--user", "--map-root-user", "/bin/sh", "-c"]


def _without_namespaces(wanted: str) -> subprocess.CompletedProcess[str]:
    """Run the grader where no user namespace can be created (user_namespaces(7))."""
    script = "echo 0 >/proc/sys/user/max_user_namespaces && exec " + " ".join(
        [*GRADER, "1", "--only", "echo/line", "--submission", str(SOLUTIONS)]
    )
    return subprocess.run(
        [*NO_NAMESPACES, f"{script} --isolation {wanted}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_where_isolation_cannot_be_had_auto_says_so_and_required_refuses(
    isolated: None,
) -> None:
    auto = _without_namespaces("auto")
    lines = [line for line in auto.stdout.splitlines() if "without isolation" in line]
    assert auto.returncode == 0 and len(lines) == 1, auto.stderr
    assert "user.max_user_namespaces=" in lines[0]
    required = _without_namespaces("required")
    assert (required.returncode, required.stdout) == (2, "")
    assert required.stderr.startswith("grader: no isolation: the kernel forbids")
    assert required.stderr.count("\n") == 1


@pytest.fixture
def readable_by_all(tmp_path: Path) -> Path:
    """A copy of the grader and the solutions that every user can read."""
    copy = tmp_path / "lab"
    ignore = shutil.ignore_patterns("__pycache__", "tests", "*.o")
    for part in ("grader", "stages", "solutions"):
        shutil.copytree(ROOT / part, copy / part, ignore=ignore)
    for path in (copy, *copy.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    for path in tmp_path.parents:
        if path.owner() == Path.home().owner() and str(path).startswith("/tmp/"):
            path.chmod(0o755)
    tmp_path.chmod(0o755)
    return copy


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_grades_in_isolation_too(
    isolated: None, readable_by_all: Path
) -> None:
    report = readable_by_all / "report"
    report.mkdir()
    report.chmod(0o777)
    user = ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    done = subprocess.run(
        [*user, "--", *GRADER, "--submission", "solutions"]
        + ["--isolation", "required", "--json", str(report / "result.json")],
        cwd=readable_by_all,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert json.loads((report / "result.json").read_text())["score"] == 300


def test_graders_side_by_side_do_not_meet(isolated: None) -> None:
    def grade(_: int) -> tuple[int, str]:
        graded = run_grader("1", "--submission", SOLUTIONS, "--only", "start")
        return graded.status, graded.out

    with ThreadPoolExecutor(4) as pool:  # all on port 8080, among others
        for status, out in pool.map(grade, range(4)):
            assert status == 0, out


def _with_descriptors(count: int) -> subprocess.CompletedProcess[str]:
    command = ["/usr/bin/prlimit", f"--nofile={count}:{count}", *GRADER, "3"]
    return subprocess.run(
        [*command, "--submission", str(SOLUTIONS), "--only", "concurrency"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_where_descriptors_are_few_crowds_are_smaller_and_no_point_is_lost() -> None:
    few = _with_descriptors(500)
    assert few.returncode == 0, few.stdout
    assert "'ulimit -Hn' says 500: only 400 clients came at once." in few.stdout
    too_few = _with_descriptors(250)
    assert too_few.returncode == 2
    assert too_few.stderr == "grader: 'ulimit -Hn' says 250: 300 are needed\n"


@pytest.mark.parametrize(
    "spoilt, words",
    [
        ("_LIBRARIES", "a program could not be started: bwrap:"),
        ("_NAMESPACES", "the compiler could not be started: bwrap:"),
    ],
)
def test_a_cell_that_cannot_be_made_is_not_the_students_fault(
    isolated: None, spoilt: str, words: str
) -> None:
    bind = ("--ro-bind", "/nowhere", "/nowhere")
    script = (
        "import sys; from grader import cli\n"
        "from grader.sandbox import cell, isolation\n"
        "isolation._obstacle = lambda: ''\n"
        "cell.libraries = lambda more: list(cell._LIBRARIES)\n"
        f"cell._LIBRARIES = {bind if spoilt == '_LIBRARIES' else ()}\n"
        f"cell._NAMESPACES += {bind if spoilt == '_NAMESPACES' else ()}\n"
        "sys.exit(cli.main(['grade', '1', '--submission', sys.argv[1]]))\n"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-c", script, str(SOLUTIONS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert words in done.stderr and done.stderr.count("\n") == 1


CROWDED = """
import socket
from grader.grading.pool import Workers
from grader.sandbox import isolation
def leave_behind(job):
    listener = socket.create_server(("127.0.0.1", 0))
    for _ in range(12_000):
        client = socket.create_connection(listener.getsockname())
        listener.accept()[0].close()
        client.close()
    return open("/proc/net/sockstat").read()
isolated, _ = isolation.enter("required")
workers = Workers(1, isolated, leave_behind)
workers.give("it")
print(dict(workers.done(60))["it"])
workers.end()
"""


def test_the_kernel_remembers_thousands_who_have_left(isolated: None) -> None:
    """In TIME_WAIT, they keep a server without SO_REUSEADDR from its port (tcp(7)). Not
    all of them stay: a port may be reused after a second (tcp_tw_reuse)."""
    command = ["/usr/bin/python3", "-c", CROWDED]
    done = subprocess.run(
        command, cwd=ROOT, timeout=120, capture_output=True, text=True
    )
    remembered = re.search(r"^TCP: .* tw (\d+)", done.stdout, re.M)
    assert remembered and int(remembered[1]) > 5000, done.stdout + done.stderr


# -- bounds that the attacks do not reach -------------------------------------

SLOWLY = """
from grader.cli import main
from grader.grading import verdicts
import sys
verdicts.{bound} = 0
asked = ["--jobs", "1", "--submission", sys.argv[1], "--json", sys.argv[2]]
sys.exit(main(["grade", "1", *asked]))
"""


def _grade_with_bound(bound: str, submission: Path, report: Path) -> tuple[int, str]:
    done = subprocess.run(
        ["/usr/bin/python3", "-c", SLOWLY.format(bound=bound), submission, report],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stderr


def test_who_keeps_the_grader_waiting_loses_what_is_left(
    submit: Submit, tmp_path: Path
) -> None:
    right = (SOLUTIONS / "1" / "tcp_server.c").read_text()
    wrong = submit(1, right.replace("Server listening", "server listening"))
    report = tmp_path / "result.json"
    status, _ = _grade_with_bound("FAILING_SECONDS", wrong, report)
    checks = json.loads(report.read_text())["stages"][0]["checks"]
    failed = [check["id"] for check in checks].index("start/announces")
    assert [check["status"] for check in checks[:failed]] == ["passed"] * failed
    left = checks[failed + 1 :]
    assert {check["status"] for check in left} == {"skipped"}
    assert {check["blocked_by"] for check in left} == {"start/announces"}
    assert status == 1


def test_a_stage_that_takes_for_ever_is_not_scored(tmp_path: Path) -> None:
    report = tmp_path / "result.json"
    status, said = _grade_with_bound("STAGE_SECONDS", SOLUTIONS, report)
    assert status == 2
    assert "time is up" in said and "checks are not done" in said
    assert json.loads(report.read_text())["stages"][0]["status"] == "grader_error"


def test_without_isolation_too_nothing_is_left_running(submit: Submit) -> None:
    daemon = (
        "#include <unistd.h>\n"
        "int main(void)\n"
        "{\n\tif (fork() == 0 && setsid() > 0 && fork() == 0)\n"
        "\t\talarm(20), pause();\n\treturn 0;\n}\n"
    )
    folder = submit(1, daemon)
    only = ("--only", "start/listens")
    graded = run_grader("1", "--submission", folder, "--isolation", "off", *only)
    assert graded.checks(1)["start/listens"]["status"] == "failed"
    assert not list(_running("/plain/program"))


def _running(ending: str) -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(process / "exe").removesuffix(" (deleted)").endswith(ending):
                yield process.name


# -- the grader, ended half-way -----------------------------------------------


def _full(folder: Path, room: str) -> list[str]:
    """A command prefix that turns FOLDER into a disk of its own with little ROOM."""
    mount = f"mount -t tmpfs -o size={room},mode=1777 none '{folder}' && exec \"$@\""
    namespace = "-m" if os.getuid() == 0 else "-rm"
    return ["/usr/bin/unshare", namespace, "/bin/sh", "-c", mount, "sh"]


def test_a_full_tmp_is_said_in_one_line(isolated: None, tmp_path: Path) -> None:
    report = tmp_path / "result.json"
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        [*_full(folder, "1m"), *GRADER, "1", "2", "--json", str(report)],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"grader: no space left in {folder}")
    assert done.stderr.count("\n") == 1
    result = json.loads(report.read_text())
    statuses = [stage["status"] for stage in result["stages"]]
    # Anyone who reads this sees that it is no grade, and not complete.
    assert (statuses, result["max_score"]) == (["grader_error"] * 2, 200)


def test_what_a_killed_grader_left_is_swept_by_the_next_one(
    isolated: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, used, new = (tmp_path / f"echolab-{name}" for name in ("dead", "used", "new"))
    for folder in (dead, used, new):
        (folder / "plain").mkdir(parents=True)
    for folder in (dead, used):
        os.utime(folder, (0, 0))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    hanging = [
        subprocess.Popen(
            ["/usr/bin/bwrap", "--die-with-parent", "--ro-bind", "/", "/"]
            + ["--ro-bind", f"{folder}/plain", "/mnt", "/bin/sleep", "60"]
        )
        for folder in (dead, used)
    ]
    descriptor = os.open(used, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        run_grader("1", "--only", "start/listens", "--submission", SOLUTIONS)
    finally:
        os.close(descriptor)
    assert sorted(tmp_path.iterdir()) == [new, used]
    assert hanging[0].wait(30) == -signal.SIGKILL
    assert hanging[1].poll() is None
    hanging[1].kill()
    hanging[1].wait()


# Another grader sweeps up, and looks at a folder that has just been made.
SWEPT = """
import fcntl, os, sys, threading
from grader import cli
from grader.sandbox import compiler
real = compiler._room
def room(path):
    held = os.open(path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    threading.Timer(0.3, os.close, [held]).start()
    compiler._room = real
    return real(path)
compiler._room = room
sys.exit(cli.main(["grade", "1", "--only", "start/listens", *sys.argv[1:]]))
"""


def test_a_grader_that_sweeps_does_not_keep_another_from_beginning() -> None:
    done = subprocess.run(
        ["/usr/bin/python3", "-c", SWEPT, "--submission", str(SOLUTIONS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGKILL", "terminal closed"])
def test_ended_in_the_middle_it_keeps_what_was_known_and_leaves_nothing_running(
    tmp_path: Path, how: str
) -> None:
    report = tmp_path / "result.json"
    command = ["/usr/bin/env", "--default-signal=INT,HUP", *GRADER, "3"]
    command += ["--submission", str(SOLUTIONS), "--json", str(report)]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execv(command[0], command)
    _read_until(terminal, b"every byte value")
    family = procfs.tree(pid)
    if how == "terminal closed":
        os.close(terminal)
    else:
        os.kill(pid, signal.Signals[how])
        _read_until(terminal, b"never written")
        os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == (-signal.SIGKILL if how == "SIGKILL" else 2)
    _expect_gone(family)
    result = json.loads(report.read_text())
    assert result["stages"][0]["status"] == "grader_error"
    assert 0 < result["score"] < 100
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def _read_until(terminal: int, words: bytes) -> None:
    seen = b""
    while words not in seen:
        try:
            seen += os.read(terminal, 4096)
        except OSError:  # EIO: the grader has ended
            return


def _expect_gone(family: list[int]) -> None:
    end = time.monotonic() + 30
    while any(map(procfs.tasks, family)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(procfs.tasks, family))
