"""Every file that the pages name exists, under the name that it has now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.course import ROOT

PAGES = [
    *[ROOT / "README.md", *sorted((ROOT / ".github").glob("*.md"))],
    *sorted((ROOT / "grader").glob("*.md")),
    ROOT / "grader/tests/toy_stage/README.md",
]

# A path from the top of the repository; a word in capitals has to be filled in.
_PATH = re.compile(r"`((?:\.github|grader|stages|solutions)/[\w./-]+)`")
_TO_FILL_IN = re.compile(r"\b(N|[A-Z]{4,})\b(?<!README)")


def missing(page: Path, text: str) -> Iterator[str]:
    """What TEXT, the text of PAGE, links to or names but does not exist."""
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in link and not (page.parent / link).exists():
            yield link
    for path in _PATH.findall(text):
        if not _TO_FILL_IN.search(path) and not (ROOT / path).exists():
            yield path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    assert not list(missing(page, page.read_text()))


def test_what_is_not_there_is_found() -> None:
    text = (
        "[a](grader/nowhere.toml) [b](README.md#anchor) [c](https://example.org/x) "
        "`grader/nowhere.py` `grader/cli.py` `stages/N/README.md`"
    )
    found = list(missing(ROOT / "README.md", text))
    assert found == ["grader/nowhere.toml", "grader/nowhere.py"]
