"""How much a check tries when the program or the kernel is slow."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from grader.harness.session import Session
from grader.kernel import procfs

_Item = TypeVar("_Item")


# Once a program has worked for this long at something that takes a right one a fraction
# of it, we have seen how it does it.
_WORKING_SECONDS = 5.0


def as_time_allows(
    items: Iterable[_Item], least: int, seconds: float = 1.0
) -> Iterator[_Item]:
    """The first LEAST of ITEMS, then more until neither we nor our programs have had
    anything to do for SECONDS in total, or all of us have used five seconds of
    processor time. A server that is slow to answer is tried with fewer items, which are
    all alike; a busy machine still gets all of them."""
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


def many_turns(session: Session) -> bool:
    """Whether the kernel delivered what SESSION's program sent in many turns, with a
    timer between them, as it does where windows are small (Session.held_back). Then
    sending much less proves as much."""
    return session.held_back >= _MANY_TURNS


def unless_held_back(
    items: Iterable[_Item], session: Session, least: int
) -> Iterator[_Item]:
    """ITEMS, but only the first LEAST if the kernel has held back that many answers of
    SESSION's program (Session.held_back). A busy machine still gets all of them."""
    for number, item in enumerate(items):
        if number >= least and session.held_back >= least:
            return
        yield item
