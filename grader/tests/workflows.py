"""The rules that our workflows keep, and a linter of them (make lint).

/usr/bin/python3 -m grader.tests.workflows FILE ...

What runs on GitHub with a token must not be led by a pull request, and what it does
must be a command that a person can run. Exit status: 0, all keep the rules; 1, a line
for each that is broken.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from grader.submission import REPOSITORY

_PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
# One call, and nothing in it that a shell would take for anything else.
_CALL = re.compile(r"(make|/usr/bin/python3 -m grader|grader/setup\.sh)( [\w./=-]+)+")
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_LOOKED_UP = re.compile(
    r"\s*(!cancelled\(\)|(github|matrix|vars|runner|strategy)(\.[\w-]+)+)\s*"
)
_LONGEST_MINUTES = 90

_KEYS = {
    "workflow": {"name", "on", "permissions", "concurrency", "jobs"},
    "job": {"name", "needs", "if", "runs-on", "container", "permissions", "env"}
    | {"timeout-minutes", "strategy", "outputs", "steps"},
    "step": {"name", "id", "if", "uses", "run", "with", "env", "continue-on-error"},
}


def faults(text: str) -> Iterator[str]:
    """What is wrong with a workflow whose file has this TEXT."""
    workflow = yaml.safe_load(text)
    workflow["on"] = workflow.pop(True, None)  # what YAML 1.1 takes `on` for
    yield from _unknown("workflow", workflow)
    yield from _events(workflow)
    if "concurrency" not in workflow:
        yield "it has no concurrency: what becomes of two runs at once?"
    for line in text.splitlines():
        if "uses:" in line and not _PINNED.search(line):
            yield f"an action is not pinned to a commit and version: {line.strip()}"
    if re.search(r"\bsecrets\b", text):
        yield "it uses a secret"
    for expression in _EXPRESSION.findall(text):
        if not _LOOKED_UP.fullmatch(expression):
            yield f"an expression does more than look up: {expression.strip()}"
    for name, job in workflow["jobs"].items():
        for fault in _job(job, _may_write(workflow)):
            yield f"{name}: {fault}"


def _events(workflow: dict[str, Any]) -> Iterator[str]:
    events = workflow["on"]
    events = {events} if isinstance(events, str) else set(events or ())
    if "pull_request_target" in events:
        yield "pull_request_target runs with a token that may write"
    permissions = workflow.get("permissions")
    if not isinstance(permissions, dict):
        yield "it has no list of permissions"
    elif _may_write(workflow) and events != {"workflow_run"}:
        yield "only what follows another run may write"


def _may_write(workflow: dict[str, Any]) -> bool:
    permissions = workflow.get("permissions")
    return isinstance(permissions, dict) and "write" in permissions.values()


def _job(job: dict[str, Any], may_write: bool) -> Iterator[str]:
    yield from _unknown("job", job)
    minutes = job.get("timeout-minutes")
    if not isinstance(minutes, int) or minutes > _LONGEST_MINUTES:
        yield f"it has no timeout-minutes of at most {_LONGEST_MINUTES}"
    if "write" in str(job.get("permissions", "")):
        yield "it gives itself more permissions than the workflow"
    for step in job["steps"]:
        yield from _step(step, may_write)


def _step(step: dict[str, Any], may_write: bool) -> Iterator[str]:
    yield from _unknown("step", step)
    given = step.get("with", {})
    if step.get("uses", "").startswith("actions/checkout@"):
        if given.get("persist-credentials") is not False:
            yield "a checkout keeps its credentials: persist-credentials: false"
        if may_write and {"ref", "repository"} & set(given):
            yield "what may write checks out what somebody else chose"
    if "run" in step:
        yield from _command(str(step["run"]))


def _command(command: str) -> Iterator[str]:
    if not _CALL.fullmatch(command):
        yield f"a command is not one call of make, or of the grader: {command}"
    elif command.startswith("make "):
        words = re.sub(r" -C \w+", "", command).split()[1:]
        for target in words:
            if "=" not in target and target not in _targets():
                yield f"the Makefile has no target {target}"


def _targets() -> set[str]:
    text = (REPOSITORY / "Makefile").read_text()
    return set(re.findall(r"^([a-z-]+):.*##", text, re.MULTILINE))


def _unknown(kind: str, data: dict[str, Any]) -> Iterator[str]:
    for key in data.keys() - _KEYS[kind]:
        yield f"a {kind} has no key {key}"


def main(names: list[str]) -> int:
    """Print the faults of the workflows in the files NAMES: exit status."""
    found = [f"{name}: {fault}" for name in names for fault in faults(_text(name))]
    for line in found:
        print(line)
    return 1 if found else 0


def _text(name: str) -> str:
    return Path(name).read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
