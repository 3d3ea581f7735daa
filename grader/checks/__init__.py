"""The checks that grade: pytest tests, one file for each theme, each test named
for what it claims. `@check("theme/name")` is a check's id in rubric.toml, which
says which stages have it, what it is worth, and which requirement it enforces.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import pytest

check = pytest.mark.check


_Item = TypeVar("_Item")


def as_time_allows(
    items: Iterable[_Item], least: int, seconds: float = 1.0
) -> Iterator[_Item]:
    """The first LEAST of ITEMS, and more of them for so many SECONDS. A server that
    takes its time for each answer is tried with fewer of what is all alike."""
    end = time.monotonic() + seconds
    for number, item in enumerate(items):
        if number >= least and time.monotonic() > end:
            return
        yield item
