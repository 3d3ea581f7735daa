"""What tests of a class share: submissions handed in, and what grading them leaves
behind."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from pathlib import Path

from grader.course import ROOT
from grader.tests import programs

SOLUTION = ROOT / "solutions/1/tcp_server.c"
# Graded in less than a second because it does not compile.
QUICK = "int main("

Done = subprocess.CompletedProcess[str]


def echoes_once() -> str:
    """The source of a wrong program of stage 1."""
    return programs.find("1/echoes_once").text


def hand_in(folder: Path, name: str, source: str | Path) -> Path:
    """Put SOURCE into FOLDER as NAME's submission for stage 1; return its path."""
    file = folder / name / "1" / "tcp_server.c"
    file.parent.mkdir(parents=True)
    file.write_text(source.read_text() if isinstance(source, Path) else source)
    return file


def run(*arguments: str | Path, cwd: Path = ROOT) -> Done:
    """Run `grader ARGUMENTS` in CWD, which contains a grader."""
    return subprocess.run(
        ["/usr/bin/python3", "-m", "grader", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
    )


def rows(folder: Path) -> dict[str, dict[str, str]]:
    """The table of grades in FOLDER, by name, as Moodle reads it."""
    with open(folder / "grades.csv", encoding="utf-8", newline="") as file:
        return {row["Username"]: row for row in csv.DictReader(file)}


def ungraded(folder: Path) -> dict[str, str]:
    """Why submissions could not be graded, by name."""
    known: dict[str, str] = json.loads((folder / "class.json").read_text())["ungraded"]
    return known


def told(done: Done) -> list[str]:
    """The names whose verdicts were printed, in order."""
    verdict = re.compile(r"^\[ *\d+/\d+\] +\S+  (\w+)[ :]", re.MULTILINE)
    return verdict.findall(done.stdout)
