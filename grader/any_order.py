"""Many stories of a server's clients, each in another order of events: whether one
goes wrong, and then the shortest that does.

There are so many of them, of so many steps, and no more; the time bounds below are for
programs that take long over each one. Nothing is kept between two runs.

Those of the default seed stand in stories.txt: they are the same with each Hypothesis,
and a right program is spared what it takes to make them up. Where one goes wrong they
are made up anew, and shrunk (make_up.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from grader import known_stories
from grader.failure import Failure
from grader.result import DEFAULT_SEED
from grader.server import Server
from grader.story import CALM_SECONDS, Step, Story

# A program that has gone wrong in no story for so long gets by; and the one that
# goes wrong is made shorter for so long. On a slow machine that would be a few tries:
# there it is so many of them, or three times as long.
SEARCH_SECONDS, SHRINK_SECONDS, SHRINK_TRIES = 20.0, 5.0, 50

# Whose answers the kernel holds back, so that so many have been waited for, is searched
# for less long, in seconds: there are no more stories in the time.
HELD_BACK, SEARCH_SECONDS_OF_SLOW_ONES = 5, 1.0


class _Stop(BaseException):
    """Makes an end of it. (Hypothesis takes an Exception for a failed test.)"""


class Search:
    """What is known so far of a search for a story that goes wrong on the servers
    that START starts: the one that is up, what was told, and the best failure."""

    def __init__(self, start: Callable[[], Server]) -> None:
        self._start = start
        self._server: Server | None = None
        self._began = time.monotonic()
        self._until = self._began + SEARCH_SECONDS
        self._held_back = 0
        self._told: dict[tuple[Step, ...], Failure | None] = {}
        self._told_before = 0  # the first that went wrong
        self._steps = 0
        self._calm_seconds = CALM_SECONDS
        self.failure: Failure | None = None
        self.fault: Exception | None = None
        self.stopped = False

    def judge(self, steps: tuple[Step, ...]) -> Failure | None:
        """What goes wrong in the story of STEPS. It is told only once: what was seen
        then has been seen, though it depend on who is faster."""
        if steps not in self._told:
            if self._time_is_up():
                raise self._stop()
            try:
                self._told[steps] = self._tell(steps)
            except Exception as error:  # a fault of ours, and no story
                raise self._stop(error) from None
        return self._told[steps]

    def _time_is_up(self) -> bool:
        if not self.failure and self._held_back >= HELD_BACK:
            slow = self._began + SEARCH_SECONDS_OF_SLOW_ONES
            self._until = min(self._until, slow)
        late = time.monotonic() - self._until
        few = self.failure and len(self._told) - self._told_before < SHRINK_TRIES
        return late > (2 * SHRINK_SECONDS if few else 0)

    def _stop(self, fault: Exception | None = None) -> _Stop:
        self.fault = fault
        self.stopped = True
        return _Stop()

    def _tell(self, steps: tuple[Step, ...]) -> Failure | None:
        if self._server is None:
            self._server = self._start()
            if self.failure is None:
                self._server.settle()  # what it opens besides, it has by then
        story = Story(self._server, self._calm_seconds)
        try:
            story.tell(steps)
        except Failure as failure:
            # The server may never be well again: the next story gets a new one.
            self.end()
            if self.failure is None:
                self._until = time.monotonic() + SHRINK_SECONDS
                self._told_before = len(self._told)
            if self.failure is None or story.steps <= self._steps:
                self.failure, self._steps = failure, story.steps
            return failure
        finally:
            self._calm_seconds = story.calm_seconds
            self._held_back = max(self._held_back, story.server.held_back)
        return None

    def end(self) -> None:
        """End the server that is up."""
        if self._server:
            self._server.close()
            self._server = None


def shortest_failure(start: Callable[[], Server], seed: int) -> Failure | None:
    """What goes wrong on the servers that START starts, told by the shortest story
    that was found from the number SEED in which it does; None if nothing does."""
    search = Search(start)
    try:
        if seed == DEFAULT_SEED and not any(map(search.judge, known_stories.read())):
            return None
        from grader import make_up

        make_up.stories(search.judge, seed)
    except Failure as failure:
        return failure
    except _Stop:
        pass
    except Exception:
        if not search.stopped:  # in the middle, and Hypothesis wonders
            raise
    finally:
        search.end()
    if search.fault and not search.failure:
        raise search.fault
    return search.failure
