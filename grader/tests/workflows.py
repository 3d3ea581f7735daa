"""The rules that our workflows keep, and a linter of them (make lint).

/usr/bin/python3 -m grader.tests.workflows FILE ...

What runs on GitHub with a token must not be led by a pull request, and what it does
must be a command that a person can run. And what GitHub would pass over in silence, or
find only when it is too late, is found here: a name that means nothing. What is known
here is what we use; whoever uses more looks it up, and adds it. Exit status: 0, all
keep the rules; 1, a line for each that is broken.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from grader.submission import REPOSITORY

_PINNED = re.compile(r"(actions/[\w-]+)@[0-9a-f]{40}")
# One call, and nothing in it that a shell would take for anything else.
_CALL = re.compile(r"(make|/usr/bin/python3 -m grader|grader/setup\.sh)( [\w./=-]+)+")
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_LOOK_UP = re.compile(r"[a-z]+(\.[\w-]+)+")
_LONGEST_MINUTES = 90

_KEYS = {
    "workflow": {"name", "on", "permissions", "concurrency", "jobs"},
    "concurrency": {"group", "cancel-in-progress"},
    "job": {"name", "needs", "if", "runs-on", "container", "permissions", "env"}
    | {"timeout-minutes", "strategy", "outputs", "steps"},
    "strategy": {"fail-fast", "matrix", "max-parallel"},
    "container": {"image", "options", "env"},
    "step": {"name", "id", "if", "uses", "run", "with", "env", "continue-on-error"},
}

# Each action's first major version for Node 24 (GitHub gives up Node 20), and what it
# can be given.
_ACTIONS: dict[str, tuple[int, set[str]]] = {
    "actions/checkout": (
        5,
        {"repository", "ref", "path", "clean", "fetch-depth", "submodules"}
        | {"persist-credentials"},
    ),
    "actions/upload-artifact": (
        6, {"name", "path", "if-no-files-found", "retention-days"},
    ),
    "actions/download-artifact": (
        7, {"name", "pattern", "path", "run-id", "github-token"},
    ),
}  # fmt: skip

# Each event that we know, what it can be given, and its types.
_EVENTS: dict[str, tuple[set[str], set[str]]] = {
    "push": ({"branches", "tags", "paths"}, set()),
    "pull_request": (
        {"branches", "paths", "types"},
        {"opened", "synchronize", "reopened", "ready_for_review", "edited", "closed"},
    ),
    "schedule": (set(), set()),
    "workflow_dispatch": (set(), set()),
    "workflow_run": (
        {"workflows", "types", "branches"},
        {"completed", "requested", "in_progress"},
    ),
}

# What may be looked up, besides a job's own matrix; below github.event only where the
# event has it. No title, name or text that somebody else wrote, but for one branch's.
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

_PERMISSIONS = {"actions", "checks", "contents", "issues", "pull-requests", "statuses"}
_RUNNERS = {"ubuntu-latest", "ubuntu-24.04"}
# A crontab's fields: minute, hour, day of the month, month, day of the week.
_CRON = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def faults(text: str) -> Iterator[str]:
    """What is wrong with a workflow whose file has this TEXT."""
    try:
        workflow = yaml.safe_load(text)
    except yaml.YAMLError as error:
        yield f"it cannot be read: {' '.join(str(error).split())}"
        return
    workflow["on"] = workflow.pop(True, None)  # what YAML 1.1 takes `on` for
    yield from _unknown("workflow", workflow)
    events = _events_of(workflow)
    yield from _events(workflow, events)
    yield from _permissions(workflow.get("permissions"))
    if "concurrency" not in workflow:
        yield "it has no concurrency: what becomes of two runs at once?"
    yield from _unknown("concurrency", workflow.get("concurrency"))
    if re.search(r"\bsecrets\b", text):
        yield "it uses a secret"
    jobs = workflow["jobs"]
    outside = {key: value for key, value in workflow.items() if key != "jobs"}
    yield from _expressions(outside, set(events), {})
    for name, job in jobs.items():
        found = [*_job(job, _may_write(workflow)), *_needs(job, jobs)]
        matrix = job.get("strategy", {}).get("matrix", {})
        found += _expressions(job, set(events), matrix)
        for step in job["steps"]:
            found += _uses(step, text)
        yield from (f"{name}: {fault}" for fault in found)


# -- when it runs, and what it may do -------------------------------------------


def _events_of(workflow: dict[str, Any]) -> dict[str, Any]:
    on = workflow["on"]
    if isinstance(on, dict):
        return on
    return dict.fromkeys([on] if isinstance(on, str) else on or [])


def _events(workflow: dict[str, Any], events: dict[str, Any]) -> Iterator[str]:
    if "pull_request_target" in events:
        yield "pull_request_target runs with a token that may write"
    if _may_write(workflow) and set(events) != {"workflow_run"}:
        yield "only what follows another run may write"
    for name, given in events.items():
        if name not in _EVENTS:
            yield f"no event {name} is known here"
        elif name == "schedule":
            yield from _schedule(given)
        else:
            yield from _event(name, given or {})


def _event(name: str, given: dict[str, Any]) -> Iterator[str]:
    keys, types = _EVENTS[name]
    yield from (f"{name} has no key {key}" for key in given.keys() - keys)
    asked = set(given.get("types", ()))
    yield from (f"{name} has no type {type}" for type in asked - types)
    for other in given.get("workflows", ()):
        if other not in _names():
            yield f"no workflow is called {other}"


def _schedule(given: list[dict[str, str]]) -> Iterator[str]:
    for entry in given:
        fields = str(entry.get("cron")).split()
        if len(fields) != len(_CRON) or not all(map(_is_time, fields, _CRON)):
            yield f"{entry} is no time of cron's"


def _is_time(field: str, bounds: tuple[int, int]) -> bool:
    """Whether FIELD is *, or numbers and ranges in BOUNDS, or every N of these."""
    found = re.fullmatch(r"(\*|\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*)(?:/[1-9]\d*)?", field)
    if not found:
        return False
    numbers = [int(number) for number in re.findall(r"\d+", found[1])]
    return all(bounds[0] <= number <= bounds[1] for number in numbers)


def _permissions(permissions: Any) -> Iterator[str]:
    if not isinstance(permissions, dict):
        yield "it has no list of permissions"
        return
    for name, value in permissions.items():
        if name not in _PERMISSIONS or value not in ("read", "write", "none"):
            yield f"there is no permission {name}: {value}"


def _may_write(workflow: dict[str, Any]) -> bool:
    permissions = workflow.get("permissions")
    return isinstance(permissions, dict) and "write" in permissions.values()


def _names() -> set[str]:
    """What the workflows of this repository are called."""
    files = (REPOSITORY / ".github/workflows").glob("*.yml")
    return {yaml.safe_load(_text(str(file)))["name"] for file in files}


# -- what it looks up -----------------------------------------------------------


def _expressions(data: Any, events: set[str], matrix: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the expressions anywhere in DATA."""
    for key, text in _strings(data):
        parts = _EXPRESSION.findall(text)
        if key == "if":  # is an expression, whether it says so or not; && joins some
            parts = [one for part in parts or [text] for one in part.split("&&")]
        for expression in (part.strip() for part in parts):
            if key == "if" and expression == "!cancelled()":
                continue
            if not _LOOK_UP.fullmatch(expression):
                yield f"an expression does more than look up: {expression}"
            elif not _is_known(expression, events, matrix):
                yield f"nothing is known here as {expression}"


def _is_known(name: str, events: set[str], matrix: dict[str, Any]) -> bool:
    what, _, rest = name.partition(".")
    if what == "matrix":
        return rest in matrix
    if name.startswith("github.event."):
        return name in _KNOWN and name.split(".")[2] in events
    return name in _KNOWN


def _strings(data: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each text in DATA, and the key that it stands at."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _strings(value, str(name))
    elif isinstance(data, list):
        for value in data:
            yield from _strings(value, key)
    elif isinstance(data, str):
        yield key, data


# -- what it does ---------------------------------------------------------------


def _job(job: dict[str, Any], may_write: bool) -> Iterator[str]:
    yield from _unknown("job", job)
    for part in ("strategy", "container"):
        yield from _unknown(part, job.get(part))
    minutes = job.get("timeout-minutes")
    if not isinstance(minutes, int) or minutes > _LONGEST_MINUTES:
        yield f"it has no timeout-minutes of at most {_LONGEST_MINUTES}"
    if job.get("runs-on") not in _RUNNERS:
        yield f"no machine is called {job.get('runs-on')}"
    if "write" in str(job.get("permissions", "")):
        yield "it gives itself more permissions than the workflow"
    for step in job["steps"]:
        yield from _step(step, may_write)


def _needs(job: dict[str, Any], jobs: dict[str, Any]) -> Iterator[str]:
    needs = job.get("needs", [])
    for name in [needs] if isinstance(needs, str) else needs:
        if name not in jobs:
            yield f"it needs a job that there is not: {name}"


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


def _uses(step: dict[str, Any], text: str) -> Iterator[str]:
    """What is wrong with the action of a STEP, in a file with this TEXT: which version
    it is stands in a comment, and so in no data."""
    if "uses" not in step:
        return
    uses = str(step["uses"])
    pinned = _PINNED.fullmatch(uses)
    version = re.search(rf"{re.escape(uses)}['\"]? # v(\d+)\.\d+\.\d+$", text, re.M)
    if not pinned or not version:
        yield f"an action is not pinned to a commit and version: {uses}"
        return
    if pinned[1] not in _ACTIONS:
        yield f"nobody has looked at the action {pinned[1]}"
        return
    first, inputs = _ACTIONS[pinned[1]]
    if int(version[1]) < first:
        yield f"{pinned[1]} is for Node 20 before v{first}"
    for key in step.get("with", {}).keys() - inputs:
        yield f"{pinned[1]} has no input {key}"


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


def _unknown(kind: str, data: Any) -> Iterator[str]:
    for key in data.keys() - _KEYS[kind] if isinstance(data, dict) else ():
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
