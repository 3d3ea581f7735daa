"""grade.yml: runs its steps as written, for pull requests of all kinds.

Each pull request is a branch of a real repository, made from the files of this work
tree.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grader.course import ROOT, stages
from grader.errors import CannotGrade
from grader.github import changes, pull_request
from grader.github.changes import Changes, touched
from grader.sandbox import namespaces
from grader.tests import programs, runner
from grader.tests.conftest import session_members
from grader.tests.runner import Run, Runner, commit, git

GRADE = ".github/workflows/grade.yml"
WRONG = "1/overflow_by_one"
ALL = list(stages())


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runner.course(tmp_path_factory.mktemp("course"))


Edit = Callable[[Path], object]
Pull = Callable[[Edit], Run]


@pytest.fixture
def pull(course: Path, tmp_path: Path) -> Pull:
    """Opens a pull request with an edit, and runs the workflow on it."""
    return lambda edit: pull_from(course, tmp_path, edit)


def pull_from(course: Path, place: Path, edit: Edit) -> Run:
    """What the workflow does with a pull request to COURSE with an EDIT."""
    fork = place / "fork"
    git(place, "clone", "--quiet", f"file://{course}", str(fork))
    edit(fork)
    head = commit(fork)
    git(course, "fetch", "--quiet", "--force", f"file://{fork}", "HEAD:refs/pull/1")
    base = git(course, "rev-parse", "main")
    event = {"number": 1, "base": {"sha": base}, "head": {"sha": head}}
    told = {"pull_request": event}
    run = Runner(place / "runner", course, told, place / "artifact").run(
        course / GRADE, "grade"
    )
    assert run.left == ""
    return run


def result_of(run: Run) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(
        (run.workspace / "grade/result.json").read_text()
    )
    return loaded


def commands(run: Run) -> list[str]:
    """The workflow commands in the log of RUN that a runner would obey."""
    obeyed = []
    resume = ""
    for line in run.log.splitlines():
        if resume:
            resume = "" if line == f"::{resume}::" else resume
        elif found := re.match(r"::stop-commands::(\w{32})$", line):
            resume = found[1]
        elif line.lstrip().startswith("::") or "##[" in line:
            obeyed.append(line)
    assert not resume, "the log must obey again after the grading"
    return obeyed


def solve(stage: int, name: str = "tcp_server") -> Edit:
    path = f"{stage}/{name}.c"
    return lambda fork: shutil.copy(fork / "solutions" / path, fork / "stages" / path)


def test_the_stage_that_is_touched_is_graded_and_passes(pull: Pull) -> None:
    run = pull(solve(1))
    result = result_of(run)
    assert [stage["stage"] for stage in result["stages"]] == [1]
    assert (result["score"], result["max_score"]) == (100, 100)
    assert result["isolation"] == "bubblewrap"
    assert "isolation: bubblewrap works" in run.log
    assert run.status == 0
    assert commands(run) == []
    assert "Passed: 100 of 100 points" in run.log
    assert "**Passed: 100 of 100 points" in run.summary
    assert (run.workspace / "grade/report.html").stat().st_size > 1000


def test_what_failed_is_shown_at_its_line(pull: Pull) -> None:
    source = programs.find(WRONG).text
    line = source.partition("buffer[n] = ")[0].count("\n") + 1
    run = pull(lambda fork: (fork / "stages/1/tcp_server.c").write_text(source))
    assert (run.status, result_of(run)["score"]) == (0, 96)
    (error,) = commands(run)
    assert error.startswith(
        f"::error file=stages/1/tcp_server.c,line={line},title=1.10 uses"
    )
    assert "ONLY=memory/sanitizers" in error
    assert "memory/sanitizers" in run.summary


def test_fewer_points_than_asked_for_do_not_pass(pull: Pull) -> None:
    def spoil(fork: Path) -> None:
        source = fork / "stages/1/tcp_server.c"
        source.write_text("int main(void) {\n  return x;\n}\n")

    run = pull(spoil)
    assert run.status == 2  # the status of make, where the grader's is 1
    assert "Not passed: 0 of 100 points; 60" in run.log
    error, *others = commands(run)
    where = "file=stages/1/tcp_server.c,line=2,col=10,title=The compiler"
    assert error.startswith(f"::error {where}::'x' undeclared")


def test_a_pull_request_that_touches_no_stage_passes(pull: Pull) -> None:
    run = pull(lambda fork: (fork / "NOTES.md").write_text("mine"))
    assert run.status == 0
    assert "Nothing to grade" in run.log and "Nothing to grade" in run.summary
    assert "`NOTES.md`" in run.summary
    assert not (run.workspace / "grade").exists()


def test_a_handouts_own_workflow_grades_as_ours_does(tmp_path: Path) -> None:
    handout = tmp_path / "handout"
    command = ["make", "-s", "handout", f"DIR={handout}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    git(handout, "init", "--quiet", "--initial-branch=main")
    commit(handout)
    solution = ROOT / "solutions/1/tcp_server.c"
    run = pull_from(
        handout, tmp_path, lambda fork: shutil.copy(solution, fork / "stages/1")
    )
    assert run.status == 0, run.log
    assert result_of(run)["score"] == 100


@pytest.mark.parametrize("fault", runner.FAULTS)
def test_a_fault_of_the_grader_is_no_grade(tmp_path: Path, fault: str) -> None:
    course = runner.course(tmp_path / "course")
    runner.break_grader(course, fault)
    commit(course)
    run = pull_from(course, tmp_path, solve(1))
    assert run.status == 2
    assert "Not graded: the grader" in run.log and "**Not graded" in run.summary
    assert "points" not in run.summary


def _starts_slowly(fork: Path) -> object:
    """Hand in a program that grades for longer than a busy machine needs to start."""
    source = programs.find("right/3/slow_start").text
    return (fork / "stages/3/tcp_server.c").write_text(source)


@pytest.mark.parametrize(
    "allowed, words",
    [
        ("1, 60", "Not graded: the grader could not finish"),  # it ends by itself
        ("60, -45", "Not graded: the grader did not finish in 1 minutes"),
    ],
)
def test_a_grading_that_takes_too_long_is_ended_and_told(
    tmp_path: Path, allowed: str, words: str
) -> None:
    course = runner.course(tmp_path / "course")
    own = course / "grader/github/pull_request.py"
    own.write_text(
        own.read_text().replace("SECONDS = 20 * 60, 60", f"SECONDS = {allowed}")
    )
    commit(course)
    run = pull_from(course, tmp_path, _starts_slowly)
    assert run.status == 2
    assert words in run.log and words in run.summary
    (stage,) = result_of(run)["stages"]
    assert stage["status"] == "grader_error", "what was known is kept, and is no grade"


def test_a_grading_is_ended_before_the_job_is() -> None:
    job = runner.load(ROOT / GRADE)["jobs"]["grade"]
    assert pull_request._SECONDS / 60 <= job["timeout-minutes"] - 10


SPY = """
import pathlib
pathlib.Path({spoils!r}).write_text("here")
print("::error::from the head")
"""
SPIES = [
    "conftest.py", "stages/conftest.py", "stages/1/conftest.py", "sitecustomize.py",
    "stages/json.py", "stages/1/grader.py", "stages/pytest.py",
    "grader/grading/grade.py", "grader/__init__.py",
]  # fmt: skip
ODD_NAME = "a\n::error::pwned @teacher ![x](x.example) <img src=x>`"


def test_a_hostile_pull_request_gets_what_its_stages_deserve(
    pull: Pull, tmp_path: Path
) -> None:
    spoils = tmp_path / "spoils"

    def attack(fork: Path) -> None:
        spy = SPY.format(spoils=str(spoils))
        for name in SPIES:
            (fork / name).write_text(spy)
        rules = fork / "grader/stages/course.toml"
        rules.write_text(rules.read_text().replace("_with = 60", "_with = 1"))
        (fork / "Makefile").write_text(f"%:\n\ttouch {spoils}\n")
        (fork / GRADE).write_text("on: push\n")
        (fork / ODD_NAME).write_text("")
        (fork / ".gitattributes").write_text("* filter=spy diff=spy\n")
        source = (fork / "solutions/1/tcp_server.c").read_text()
        loud = '#pragma GCC warning "::error::pwned <img src=x> @teacher ##[error]"\n'
        (fork / "stages/1/tcp_server.c").write_text(loud + source)
        shutil.rmtree(fork / "stages/3")
        (fork / "stages/3").symlink_to("../../base/solutions/3")
        git(fork, "rm", "--quiet", "-r", "stages/2")
        git(fork, "clone", "--quiet", "--bare", ".", "../module")
        git(fork, "submodule", "add", f"file://{fork.parent}/module", "stages/2")

    run = pull(attack)
    assert not spoils.exists(), "something of the head's was run"
    assert "from the head" not in run.log
    result = result_of(run)
    assert [stage["status"] for stage in result["stages"]] == ["graded"] + [
        "missing"
    ] * 2
    assert (result["score"], result["max_score"]) == (100, 300)
    assert "Not passed: 100 of 300 points; 60" in run.log
    assert run.status == 2
    assert "stages/2 is a submodule" in run.summary
    assert "stages/3 is a link" in run.summary
    (warning,) = commands(run)
    assert warning.startswith("::warning file=stages/1/tcp_server.c,line=1,")
    assert not re.search(r"(?m)^::error|##\[", warning)
    of_workflow, others = run.summary.split("files outside `stages/`")
    assert f"version of the workflow that grades it: `{GRADE}`" in of_workflow
    assert GRADE not in others
    assert "no effect" in others and "`Makefile`" in others
    assert f"which may change this grade: {GRADE}" in run.log
    for markup in ("<img", "![x]"):  # only ever as code
        assert markup not in re.sub(r"(?s)```.*?```|`[^`\n]*`", "", run.summary)


def test_what_is_no_plain_file_is_not_graded(pull: Pull) -> None:
    def attack(fork: Path) -> None:
        os.truncate(fork / "stages/1/tcp_server.c", 100 << 20)
        (fork / "stages/3/tcp_server.c").unlink()
        (fork / "stages/3/tcp_server.c").symlink_to(
            "../../../base/solutions/3/tcp_server.c"
        )

    run = pull(attack)
    said = [stage["build"]["output"] for stage in result_of(run)["stages"]]
    assert "larger than 1 MiB" in said[0] and "a link" in said[1]
    assert result_of(run)["score"] == 0
    assert run.status == 2


def test_stages_itself_can_be_a_link(pull: Pull) -> None:
    def attack(fork: Path) -> None:
        shutil.rmtree(fork / "stages")
        (fork / "stages").symlink_to("../base/solutions")

    run = pull(attack)
    assert result_of(run)["score"] == 0
    assert "stages is a link" in run.summary


def test_where_nobody_can_tell_what_is_touched_all_is_graded(pull: Pull) -> None:
    def part(fork: Path) -> None:
        git(fork, "checkout", "--quiet", "--orphan", "no-common-ancestor")
        for stage in (fork / "stages").iterdir():
            for source in stage.glob("*.c"):
                source.write_text("none")

    run = pull(part)
    assert [stage["stage"] for stage in result_of(run)["stages"]] == ALL
    for told in (run.log, run.summary):
        assert "It is not known which stages are touched" in told


def test_what_is_moved_out_of_a_stage_touches_it(course: Path, tmp_path: Path) -> None:
    head = tmp_path / "head"
    git(tmp_path, "clone", "--quiet", f"file://{course}", "head")
    (head / "stages/3/README.md").rename(head / "LESSON.md")
    found = changes.between(head, "origin/main", commit(head))
    assert found == Changes([3], ["LESSON.md"], known=True)


def test_a_repository_cannot_have_git_run_what_it_likes(
    course: Path, tmp_path: Path
) -> None:
    head, spoils = tmp_path / "head", tmp_path / "spoils"
    git(tmp_path, "clone", "--quiet", "--no-local", str(course), "head")
    (pack,) = head.glob(".git/objects/pack/*.pack")
    pack.rename(tmp_path / "pack")
    subprocess.run(
        ["git", "unpack-objects", "-q"], cwd=head, stdin=(tmp_path / "pack").open("rb"),
        check=True,
    )  # fmt: skip
    # Ask for an object that does not exist, from a folder that contains a program.
    blob = git(head, "rev-parse", "HEAD:stages/1/tcp_server.c")
    (head / ".git/objects" / blob[:2] / blob[2:]).unlink()
    for name, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": f"ext::touch {spoils}",
        "protocol.ext.allow": "always",
    }.items():
        git(head, "config", name, value)
    with pytest.raises(CannotGrade):
        changes.unpack(head, "HEAD", [1], tmp_path)
    assert not spoils.exists()


def test_who_interrupts_it_leaves_nothing_running(course: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", f"file://{course}", "head")
    solve(3)(tmp_path / "head")
    commit(tmp_path / "head")
    command = ["/usr/bin/python3", "-m", "grader", "pull-request"]
    with subprocess.Popen(
        [*command, str(tmp_path / "head"), "--out", str(tmp_path / "out")],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},  # no event of a runner that runs us
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as grader:
        assert grader.stdout
        for line in grader.stdout:
            if "refuses what is not a port" in line:
                break
        grader.terminate()
        _, err = grader.communicate(timeout=60)
    assert grader.returncode == 2
    assert "grader: interrupted; not all was graded" in err
    assert session_members(grader.pid) == []


@pytest.mark.parametrize(
    "happened, words",
    [
        ("{", "is not JSON"),
        ("[]", "is not an object"),
        ("{}", "the event has no pull_request.head.sha"),
        ('{"pull_request": {"head": {"sha": "--output=x"}}}', "is not a commit"),
    ],
)
def test_an_event_that_makes_no_sense_is_told(
    course: Path, tmp_path: Path, happened: str, words: str
) -> None:
    (tmp_path / "event").write_text(happened)
    done = subprocess.run(
        ["/usr/bin/python3", "-m", "grader", "pull-request", str(course)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "GITHUB_EVENT_PATH": str(tmp_path / "event")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert words in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "target, wanted", [("pull-request", "HEAD"), ("comment", "DIR")]
)
def test_what_make_was_not_told_is_asked_for(target: str, wanted: str) -> None:
    done = subprocess.run(
        ["make", target], cwd=ROOT, env={"PATH": "/usr/bin:/bin"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"are required: {wanted}" in done.stderr


def test_user_namespaces_are_allowed_where_they_are_forbidden(tmp_path: Path) -> None:
    (tmp_path / "kernel").mkdir()
    setting = tmp_path / "kernel/apparmor_restrict_unprivileged_userns"
    setting.write_text("1\n")
    assert namespaces.forbidden(tmp_path)
    (said,) = namespaces.allow(tmp_path)
    assert said.startswith("isolation: set kernel.apparmor_restrict_unprivileged_")
    assert not namespaces.forbidden(tmp_path)
    assert namespaces.allow(tmp_path) == []


@pytest.mark.parametrize(
    "paths, stages, outside",
    [
        (["stages/2/tcp_client.c", "stages/3/README.md"], [2, 3], []),
        (["stages/3"], [3], []),
        (["stages"], ALL, []),
        (["stages/99/x.c", "stages/README.md", "stages/31/x"], [], []),
        (["x/stages/1/x.c", "stages2/1/x"], [], ["stages2/1/x", "x/stages/1/x.c"]),
        ([], [], []),
    ],
)  # fmt: skip
def test_what_is_touched_is_told_from_the_paths(
    paths: list[str], stages: list[int], outside: list[str]
) -> None:
    assert touched(paths) == Changes(stages, outside, known=True)
