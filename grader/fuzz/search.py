"""Many scenarios of a server's clients, each a different order of events: whether one
goes wrong, and if so, the shortest that does.

The number of scenarios and of their steps is fixed. The time bounds below are for
programs that take long over each one. Nothing is kept between two runs.

Those of the default seed are in scenarios.txt. So they are the same with every version
of Hypothesis, and for a right program we need not make them up. If one goes wrong,
they are made up again, and shrunk (generator.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from grader.course import DEFAULT_SEED
from grader.fuzz import known_scenarios
from grader.fuzz.pace import CALM_SECONDS
from grader.fuzz.scenario import Scenario, Step
from grader.harness.failure import Failure
from grader.harness.server import Server

# A program that goes wrong in no scenario for SEARCH_SECONDS passes. A scenario that
# goes wrong is shrunk for SHRINK_SECONDS; on a slow machine, where that would be only a
# few tries, for SHRINK_TRIES tries, or for six times as long.
SEARCH_SECONDS, SHRINK_SECONDS, SHRINK_TRIES = 20.0, 5.0, 50

# Once the kernel has held back this many answers of a server, the search is shorter, in
# seconds: each scenario then takes long.
HELD_BACK, SEARCH_SECONDS_OF_SLOW_ONES = 5, 1.0


class _Stop(BaseException):
    """Ends the search. (Hypothesis takes an Exception for a failed test.)"""


class Search:
    """What is known so far in a search for a scenario that goes wrong on the servers
    that START starts: the server that is up, the verdicts, and the best failure."""

    def __init__(self, start: Callable[[], Server]) -> None:
        self._start = start
        self._server: Server | None = None
        self._began = time.monotonic()
        self._until = self._began + SEARCH_SECONDS
        self._held_back = 0
        self._told: dict[tuple[Step, ...], Failure | None] = {}
        self._told_before = 0  # how many came before the first that went wrong
        self._steps = 0
        self._calm_seconds = CALM_SECONDS
        self.failure: Failure | None = None
        self.fault: Exception | None = None
        self.stopped = False

    def judge(self, steps: tuple[Step, ...]) -> Failure | None:
        """What goes wrong in the scenario of STEPS. Each is played only once: what was
        seen then counts, even if it depends on who is faster."""
        if steps not in self._told:
            if self._time_is_up():
                raise self._stop()
            try:
                self._told[steps] = self._tell(steps)
            except Exception as error:  # a fault of ours, not the scenario's
                raise self._stop(error) from None
        return self._told[steps]

    def _time_is_up(self) -> bool:
        if not self.failure and self._held_back >= HELD_BACK:
            slow = self._began + SEARCH_SECONDS_OF_SLOW_ONES
            self._until = min(self._until, slow)
        late = time.monotonic() - self._until
        few = self.failure and len(self._told) - self._told_before < SHRINK_TRIES
        return late > (5 * SHRINK_SECONDS if few else 0)

    def _stop(self, fault: Exception | None = None) -> _Stop:
        self.fault = fault
        self.stopped = True
        return _Stop()

    def _tell(self, steps: tuple[Step, ...]) -> Failure | None:
        if self._server is None:
            self._server = self._start()
            if self.failure is None:
                self._server.settle()  # by then it has opened all else
        scenario = Scenario(self._server, self._calm_seconds)
        try:
            scenario.play(steps)
        except Failure as failure:
            # The server may never recover: the next scenario gets a new one.
            self.end()
            if self.failure is None:
                self._until = time.monotonic() + SHRINK_SECONDS
                self._told_before = len(self._told)
            if self.failure is None or scenario.steps <= self._steps:
                self.failure, self._steps = failure, scenario.steps
            return failure
        finally:
            self._calm_seconds = scenario.pace.calm_seconds
            self._held_back = max(self._held_back, scenario.server.held_back)
        return None

    def end(self) -> None:
        """End the server that is up."""
        if self._server:
            self._server.close()
            self._server = None


def shortest_failure(start: Callable[[], Server], seed: int) -> Failure | None:
    """What goes wrong on the servers that START starts, shown by the shortest scenario
    found from SEED that goes wrong; None if none does."""
    search = Search(start)
    try:
        if seed == DEFAULT_SEED and not any(map(search.judge, known_scenarios.read())):
            return None
        from grader.fuzz import generator

        generator.scenarios(search.judge, seed)
    except Failure as failure:
        return failure
    except _Stop:
        pass
    except Exception:
        if not search.stopped:  # a stop midway confuses Hypothesis
            raise
    finally:
        search.end()
    if search.fault and not search.failure:
        raise search.fault
    return search.failure
