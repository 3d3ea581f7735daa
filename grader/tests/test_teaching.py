"""The page for instructors: runs every command on it, in a clone of this."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from grader.course import ROOT

# Some of the commands run tests; those must not include these.
INSIDE = "ECHOLAB_TEACHING"
pytestmark = pytest.mark.skipif(INSIDE in os.environ, reason="it is being run")

PAGE = ROOT / ".github" / "TEACHING.md"


def _commands() -> list[str]:
    """The code on the page, one command each; a final backslash joins lines."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("    ")]
    code = textwrap.dedent("\n".join(line.lstrip() for line in lines))
    return [line.strip() for line in re.sub(r"\\\n", " ", code).splitlines()]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("course") / "echo-lab"
    source = f"file://{ROOT}"
    command = ["git", "clone", "--quiet", "--depth=1", source, str(folder)]
    subprocess.run(command, check=True)
    return folder


@pytest.mark.parametrize("number", range(len(_commands())))
def test_a_command_of_the_page_works(clone: Path, number: int) -> None:
    own = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    own[INSIDE] = "1"
    done = subprocess.run(
        _commands()[number],
        shell=True,
        cwd=clone,
        env=own,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_each_link_of_the_page_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text())
    missing = [link for link in links if not (PAGE.parent / link).exists()]
    assert links and not missing
