"""The house rules of our workflows, and a linter that checks them (make lint).

/usr/bin/python3 -m grader.tests.workflows FILE ...

A pull request must not control what runs with a token on GitHub, and each step must be
a command that a person can run. The linter also finds names that GitHub passes over in
silence: an unknown property is an empty string, and an unknown workflow or runner is
waited for. yamllint, or GitHub itself, rejects the rest when it reads the file.

Why this isn't left to a tool: neither Debian 12 nor Ubuntu 24.04 packages a linter for
workflows, and none would know which commands, actions and properties we allow.

What is allowed here is what we use; to use more, look it up and add it. Exit status:
0, all rules are kept; 1, there are faults, one line each.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from grader.course import ROOT

_ACTIONS = {
    f"actions/{name}" for name in ("checkout", "upload-artifact", "download-artifact")
}
# A single call, without anything that a shell would interpret.
_CALL = re.compile(r"(make|/usr/bin/python3 -m grader|grader/setup\.sh)( [\w./=-]+)+")
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_LONGEST_MINUTES = 90
_RUNNERS = {"ubuntu-latest", "ubuntu-24.04"}

# What expressions may look up, besides a job's own matrix: nothing that somebody else
# can write freely, such as a title, except the name of one branch.
_KNOWN = {
    "github.workflow", "github.ref", "github.token", "strategy.job-total",
    "vars.SUBMISSIONS",
    "github.event.pull_request.number",
    "github.event.pull_request.base.sha",
    "github.event.pull_request.head.sha",
    "github.event.workflow_run.id",
    "github.event.workflow_run.head_branch",
    "github.event.workflow_run.head_repository.full_name",
}  # fmt: skip


def faults(text: str) -> Iterator[str]:
    """What is wrong with a workflow whose file has this TEXT, which is valid YAML."""
    workflow = yaml.safe_load(text)
    on = workflow.pop(True)  # what YAML 1.1 takes `on` for
    listed = [on] if isinstance(on, str) else on
    events = on if isinstance(on, dict) else dict.fromkeys(listed)
    yield from _workflow(workflow, events)
    if re.search(r"\bsecrets\b", text):
        yield "it uses a secret"
    jobs = workflow.pop("jobs")
    yield from _expressions(workflow, set(events), {})
    for name, job in jobs.items():
        matrix = job.get("strategy", {}).get("matrix", {})
        found = [*_job(job), *_expressions(job, set(events), matrix)]
        for step in job.get("steps", ()):
            found += _step(step, text, may_write=_may_write(workflow))
        yield from (f"{name}: {fault}" for fault in found)


def _workflow(workflow: dict[str, Any], events: dict[str, Any]) -> Iterator[str]:
    if not isinstance(workflow.get("permissions"), dict):
        yield "it has no list of permissions"
    if "pull_request_target" in events:
        yield "pull_request_target runs with a token that may write"
    if _may_write(workflow) and set(events) != {"workflow_run"}:
        yield "only a workflow that follows another run may write"
    if "concurrency" not in workflow:
        yield "it has no concurrency: what becomes of two runs at once?"
    for name in (events.get("workflow_run") or {}).get("workflows", ()):
        if name not in _names():
            yield f"no workflow is called {name}"


def _may_write(workflow: dict[str, Any]) -> bool:
    return "write" in str(workflow.get("permissions"))


def _names() -> set[str]:
    """The names of this repository's workflows."""
    files = (ROOT / ".github/workflows").glob("*.yml")
    return {yaml.safe_load(file.read_text("utf-8"))["name"] for file in files}


def _job(job: dict[str, Any]) -> Iterator[str]:
    if "steps" not in job:
        yield "its steps are not in this file"
    minutes = job.get("timeout-minutes")
    if not isinstance(minutes, int) or minutes > _LONGEST_MINUTES:
        yield f"it has no timeout-minutes of at most {_LONGEST_MINUTES}"
    if job.get("runs-on") not in _RUNNERS:
        yield f"no machine is called {job.get('runs-on')}"
    if _may_write(job):
        yield "it gives itself more permissions than the workflow"


def _step(step: dict[str, Any], text: str, *, may_write: bool) -> Iterator[str]:
    """What is wrong with a STEP of a file with this TEXT. STEP lacks the comment that
    gives the version of an action, so that is read from TEXT."""
    command, uses = str(step.get("run", "")), str(step.get("uses", ""))
    if command and not _CALL.fullmatch(command):
        yield f"a command is not one call of make, or of the grader: {command}"
    if not uses:
        return
    action, _, commit = uses.partition("@")
    version = rf"{re.escape(uses)}['\"]? # v\d+\.\d+\.\d+$"
    if not re.fullmatch(r"[0-9a-f]{40}", commit) or not re.search(version, text, re.M):
        yield f"an action is not pinned to a commit and version: {uses}"
    if action not in _ACTIONS:
        yield f"nobody has looked at the action {action}"
    if action == "actions/checkout":
        given = step.get("with", {})
        if given.get("persist-credentials") is not False:
            yield "a checkout keeps its credentials: persist-credentials: false"
        if may_write and {"ref", "repository"} & set(given):
            yield "a workflow that may write checks out what somebody else chose"


def _expressions(data: Any, events: set[str], matrix: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the keys and the expressions anywhere in DATA."""
    for key, text in _strings(data):
        if key in ("shell", "working-directory"):
            yield f"a person can't run its steps as they stand: it has {key}: {text}"
        parts = _EXPRESSION.findall(text)
        if key == "if":  # an expression even without ${{ }}; && joins several
            parts = [one for part in parts or [text] for one in part.split("&&")]
        for expression in (part.strip() for part in parts):
            what, _, rest = expression.partition(".")
            if key == "if" and expression == "!cancelled()":
                continue
            if what == "matrix" and rest in matrix:
                continue
            if expression not in _KNOWN:
                yield f"nothing is known here as {expression}"
            elif rest.startswith("event.") and rest.split(".")[1] not in events:
                yield f"its events have no {expression}"


def _strings(data: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each text in DATA, and the key that it belongs to."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _strings(value, str(name))
    elif isinstance(data, list):
        for value in data:
            yield from _strings(value, key)
    elif isinstance(data, str):
        yield key, data


def main(names: list[str]) -> int:
    """Print the faults of the workflows in the files NAMES; return the exit status."""
    found = [
        f"{name}: {fault}"
        for name in names
        for fault in faults(Path(name).read_text("utf-8"))
    ]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
