"""The rubric, the lessons and the checks are in step."""

from __future__ import annotations

import re
import subprocess

import pytest

from grader import rubric
from grader.submission import REPOSITORY, STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_points_and_needs_are_sound(stage: int) -> None:
    loaded = rubric.load(stage)
    seen: set[str] = set()
    for check in loaded.checks.values():
        assert set(check.needs) <= seen, check.id
        assert check.requirement in loaded.requirements, check.id
        assert check.points > 0, check.id
        seen.add(check.id)
    assert loaded.points == 100
    assert {c.requirement for c in loaded.checks.values()} == set(loaded.requirements)


@pytest.mark.parametrize("stage", STAGES)
def test_the_readme_has_the_requirements_word_for_word(stage: int) -> None:
    text = (REPOSITORY / "stages" / str(stage) / "README.md").read_text()
    items = re.findall(r"^- \*\*(\d\.\d+)\*\* (.+?)(?=\n- |\n\n|\Z)", text, re.M | re.S)
    found = {number: " ".join(words.split()) for number, words in items}
    assert found == rubric.load(stage).requirements


@pytest.mark.parametrize("stage", STAGES)
def test_every_check_has_one_test_in_the_file_of_its_theme(stage: int) -> None:
    for id in rubric.load(stage).checks:
        theme = id.partition("/")[0]
        path = REPOSITORY / "grader" / "checks" / f"test_{theme}.py"
        assert path.read_text().count(f'@check("{id}")') == 1, id


def test_checks_can_be_run_by_hand_with_pytest() -> None:
    done = subprocess.run(
        [
            "/usr/bin/python3", "-m", "pytest", "-c", "grader/checks/pytest.ini",
            "grader/checks", "--stage", "1", "--submission", "solutions",
            "-k", "line or pause", "-p", "no:cacheprovider",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
