"""As much of GitHub's runner as our workflows need: it reads a workflow's file, takes
its steps one by one, and runs their commands as written."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from grader.course import ROOT

_EXPRESSION = re.compile(r"\$\{\{ ([\w.-]+) \}\}")

# Runs a command, then records the processes that it left behind: as orphans they come
# to this one (prctl(2), PR_SET_CHILD_SUBREAPER), which ends them. Processes that are
# dying get time to do so.
_AND_WHO_IS_LEFT = """
import ctypes, os, signal, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
status = subprocess.call(sys.argv[2:])
deadline = time.monotonic() + 10
try:
    while time.monotonic() < deadline:
        if os.waitpid(-1, os.WNOHANG) == (0, 0):
            time.sleep(0.01)
except ChildProcessError:
    sys.exit(status)
left = open(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read().split()
with open(sys.argv[1], "a") as file:
    for pid in left:
        file.write(open(f"/proc/{pid}/cmdline").read().replace("\\0", " ") + "\\n")
        os.kill(int(pid), signal.SIGKILL)
sys.exit(status)
"""


# How a runner starts the commands of a step.
_BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")


def git(folder: Path, *arguments: str) -> str:
    """The output of git with ARGUMENTS in FOLDER, without this machine's settings."""
    settings = ("user.name=A", "user.email=a@b", "protocol.file.allow=always")
    who = [word for setting in settings for word in ("-c", setting)]
    done = subprocess.run(
        ["git", *who, *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout.strip()


def commit(folder: Path, message: str = "more") -> str:
    """Commit everything in FOLDER; return the commit."""
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def course(folder: Path) -> Path:
    """Make FOLDER a course's repository: this work tree without the tests."""
    skip = shutil.ignore_patterns("tests", "__pycache__", ".*_cache", "*.o")
    for name in ("stages", "solutions", "grader", ".github"):
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    for name in ("Makefile", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder)
    return folder


# An internal error of the grader, and one that ends it as if points were lost.
FAULTS = ("raise KeyError('of ours')", "os._exit(1)")


def break_grader(course: Path, fault: str) -> None:
    """Put FAULT into the grader of COURSE, where it looks for a file."""
    module = course / "grader/grading/submission.py"
    module.write_text(f"{module.read_text()}\n\ndef find(*_):\n    {fault}\n")


def load(workflow: Path) -> dict[str, Any]:
    """The contents of a workflow's file."""
    loaded: dict[str, Any] = yaml.safe_load(workflow.read_text())
    return loaded


@dataclass
class Run:
    """What one job did: the log, the exit status of the step that failed (0 if none
    did), the summary, and the processes left behind."""

    workspace: Path
    log: str = ""
    status: int = 0
    summary: str = ""
    left: str = ""


@dataclass
class Runner:
    """Runs jobs in FOLDER on a repository, for an EVENT. Their artifacts are kept in
    ARTIFACTS by name. KNOWN holds other values that expressions look up."""

    folder: Path
    repository: Path
    event: dict[str, Any]
    artifacts: Path
    variables: dict[str, str] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)

    def run(self, workflow: Path, job: str) -> Run:
        """Run JOB of WORKFLOW."""
        shutil.rmtree(self.folder, ignore_errors=True)
        run = Run(self.folder / "workspace")
        run.workspace.mkdir(parents=True)
        for name in ("summary", "output", "env", "left"):
            (self.folder / name).touch()
        (self.folder / "event.json").write_text(json.dumps(self.event))
        for step in load(workflow)["jobs"][job]["steps"]:
            if run.status == 0 or "if" in step:
                self._step(run, step)
        run.summary = (self.folder / "summary").read_text()
        run.left = (self.folder / "left").read_text()
        for name in ("output", "env"):  # nothing else may have written there
            assert not (self.folder / name).read_text()
        return run

    def _step(self, run: Run, step: dict[str, Any]) -> None:
        given = {k: self._expand(v) for k, v in step.get("with", {}).items()}
        given |= {k: self._expand(v) for k, v in step.get("env", {}).items()}
        if "run" in step:
            self._command(run, step["run"], given)
        elif step["uses"].startswith("actions/checkout@"):
            self._check_out(run.workspace / given.get("path", "."), given.get("ref"))
        elif step["uses"].startswith("actions/upload-artifact@"):
            if (run.workspace / given["path"]).is_dir():
                kept = self.artifacts / given["name"]
                shutil.copytree(run.workspace / given["path"], kept)
        elif step["uses"].startswith("actions/download-artifact@"):
            self._download(run.workspace / given["path"], **given)
        else:
            raise AssertionError(f"{step['uses']} is not known here")

    def _download(self, to: Path, name: str = "", pattern: str = "", **_: str) -> None:
        """Copy one artifact, or each that fits a pattern into a folder of its own."""
        for kept in self.artifacts.glob(name or pattern):
            shutil.copytree(kept, to / kept.name if pattern else to, True)

    def _command(self, run: Run, command: str, given: dict[str, Any]) -> None:
        around = ["/usr/bin/python3", "-c", _AND_WHO_IS_LEFT, str(self.folder / "left")]
        variables = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.folder),
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(run.workspace),
            "GITHUB_EVENT_PATH": str(self.folder / "event.json"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_ENV": str(self.folder / "env"),
        }
        done = subprocess.run(
            [*around, *_BASH, command],
            cwd=run.workspace,
            env=variables | self.variables | given,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        run.log += f"$ {command}\n{done.stdout}"
        run.status = run.status or done.returncode

    def _check_out(self, path: Path, commit: str | None) -> None:
        """Do what actions/checkout does: no submodules, none of our settings."""
        path.mkdir(parents=True, exist_ok=True)
        git(path, "init", "--quiet")
        git(path, "fetch", "--quiet", f"file://{self.repository}", "+refs/*:refs/o/*")
        git(path, "checkout", "--quiet", "--force", commit or "refs/o/heads/main")

    def _expand(self, value: Any) -> str:
        """VALUE with its expressions replaced by what they refer to in the event."""

        def look_up(found: re.Match[str]) -> str:
            names = found[1].split(".")
            if names == ["github", "token"]:
                return "the-token"
            if found[1] in self.known:
                return self.known[found[1]]
            assert names[:2] == ["github", "event"], found[1]
            here: Any = self.event
            for name in names[2:]:
                here = here[name]
            return str(here)

        return _EXPRESSION.sub(look_up, str(value))
