"""The checks that grade: pytest tests, one file for each theme, each test named
for what it claims. `@check("theme/name")` is a check's id in rubric.toml, which
says which stages have it, what it is worth, and which requirement it enforces.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import pytest

from grader import procfs
from grader.scene import Scene

check = pytest.mark.check


_Item = TypeVar("_Item")


# A program that has worked for so many seconds at what takes a right one a fraction of
# that has shown how it does it.
_WORKING_SECONDS = 5.0


def as_time_allows(
    items: Iterable[_Item], least: int, seconds: float = 1.0
) -> Iterator[_Item]:
    """The first LEAST of ITEMS, and more of them until neither we nor a program of ours
    had anything to do for so many SECONDS, or all of us have used five seconds of
    processor time. A server that takes its time for each answer is tried with fewer of
    what is all alike; on a busy machine it is all of them."""
    idle, working = _idle_seconds() + seconds, _working_seconds() + _WORKING_SECONDS
    for number, item in enumerate(items):
        if number >= least and (_idle_seconds() > idle or _working_seconds() > working):
            return
        yield item


def _idle_seconds() -> float:
    return time.monotonic() - procfs.busy_seconds(os.getpid())


def _working_seconds() -> float:
    return procfs.processor_seconds(os.getpid())


_MANY_TURNS = 10


def many_turns(scene: Scene) -> bool:
    """Whether the kernel has delivered what SCENE's program sent in many turns, with a
    timer's time between each two, as it does where windows are small (Scene.held_back):
    then much less to be sent is as good a proof."""
    return scene.held_back >= _MANY_TURNS


def unless_held_back(
    items: Iterable[_Item], scene: Scene, least: int
) -> Iterator[_Item]:
    """ITEMS, but only the first LEAST of them where the kernel has held so many answers
    of SCENE's program back (Scene.held_back). On a busy machine it is all of them."""
    for number, item in enumerate(items):
        if number >= least and scene.held_back >= least:
            return
        yield item
