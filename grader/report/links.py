"""Where a report's links to the lessons lead: to this repository's files or, in CI, to
the page on GitHub of the commit that grades."""

from __future__ import annotations

import os
import re

_LESSON = re.compile(r"stages/\d+/README\.md#[\w-]*")

# The runner's variables for that page, and what they have to look like.
_ON_GITHUB = {
    "GITHUB_SERVER_URL": r"https://[\w.-]+(?::\d+)?",
    "GITHUB_REPOSITORY": r"[\w.-]+/[\w.-]+",
    "GITHUB_SHA": r"[0-9a-f]{40,64}",
}


def to_lesson(link: str) -> str:
    """The address for LINK, a place in a stage's README; "" if LINK isn't one."""
    if not _LESSON.fullmatch(link):
        return ""
    said = [os.environ.get(name, "") for name in _ON_GITHUB]
    if not all(map(re.fullmatch, _ON_GITHUB.values(), said)):
        return link
    server, repository, commit = said
    return f"{server}/{repository}/blob/{commit}/{link}"
