"""Many stories of a server's clients, each in another order of events, and of the
ones that go wrong the shortest: Hypothesis makes them up, and shrinks them.

The same seed makes up the same stories. There are so many of them, of so many
steps, and no more; the time bounds below are for programs that take long over
each one. Nothing is kept between two runs.
"""

from __future__ import annotations

import string
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from grader.failure import Failure
from grader.server import Server
from grader.story import CALM_SECONDS, Event, Step, Story

# How many stories, and of how many steps: first short ones, which find what is
# plainly wrong where it is easy to see. (There are 26 letters for clients.)
ROUNDS = ((20, 6), (40, 24))

CLIENTS_AT_ONCE = 6

# A program that has gone wrong in no story for so long gets by; and the one that
# goes wrong is made shorter for so long. On a slow machine that would be a few tries:
# there it is so many of them, or three times as long.
SEARCH_SECONDS, SHRINK_SECONDS, SHRINK_TRIES = 20.0, 15.0, 100

# Whose answers the kernel holds back, so that so many have been waited for, is searched
# for less long, in seconds: there are no more stories in the time.
HELD_BACK, SEARCH_SECONDS_OF_SLOW_ONES = 5, 1.0

SHORT, LONG = (1, 20), (3_000, 60_000)

# Who does it, and in which way, in one number: Hypothesis takes the shorter for the
# simpler, so all that a client can do should be as long to say.
_CHOICES = st.integers(0, 2 * CLIENTS_AT_ONCE - 1)


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


@dataclass
class _Role:
    """A client, as far as it matters for what it can do next."""

    letter: str
    reading: bool
    half_closed: bool = False


# When a rule applies. They have names, because Hypothesis looks up the source of what
# has none, again and again.


def _there_is_room(told: AnyOrder) -> bool:
    return len(told.roles) < CLIENTS_AT_ONCE


def _somebody_is_there(told: AnyOrder) -> bool:
    return bool(told.roles)


def _somebody_can_send(told: AnyOrder) -> bool:
    return bool(told.who_can(sending=True))


def _somebody_does_not_read(told: AnyOrder) -> bool:
    return bool(told.who_can(reading=False))


def _somebody_can_flood(told: AnyOrder) -> bool:
    return bool(told.who_can(reading=False, sending=True))


def _somebody_reads(told: AnyOrder) -> bool:
    return bool(told.who_can(reading=True))


class AnyOrder(RuleBasedStateMachine):
    """Makes a story up from Hypothesis's choices, which hang on nothing that a server
    does; when it is complete, SEARCH judges it."""

    def __init__(self, search: Search) -> None:
        super().__init__()
        self._search = search
        self._steps: list[Step] = []
        self.roles: list[_Role] = []
        self._letters = iter(string.ascii_uppercase)
        self._around = sys.exc_info()[1]

    def _enter(self, event: Event, reading: bool) -> None:
        role = _Role(next(self._letters), reading)
        self.roles.append(role)
        self._steps.append(Step(event, role.letter))

    def who_can(
        self, reading: bool | None = None, sending: bool = False
    ) -> list[_Role]:
        """Those who read, or do not (None: either), and, if SENDING, still can send."""
        return [
            role
            for role in self.roles
            if reading in (None, role.reading) and not (sending and role.half_closed)
        ]

    # As many rules let clients come as let them go, or there would be few of them.
    # Of rules with as many arguments the first in the alphabet is the simplest.

    @rule()
    @precondition(_there_is_room)
    def a_client_connects(self) -> None:
        self._enter(Event.CONNECTS, reading=True)

    @rule()
    @precondition(_there_is_room)
    def a_deaf_client_connects(self) -> None:
        self._enter(Event.CONNECTS_DEAF, reading=False)

    @rule()
    @precondition(_somebody_is_there)
    def all_pause(self) -> None:
        self._steps.append(Step(Event.PAUSE))
        done = [role for role in self.who_can(reading=True) if role.half_closed]
        self.roles = [role for role in self.roles if role not in done]

    @rule(choice=_CHOICES)
    @precondition(_somebody_can_send)
    def asks(self, choice: int) -> None:
        role, way = _chosen(choice, self.who_can(sending=True))
        self._steps.append(Step(Event.SENDS, role.letter, SHORT[way]))

    @rule(choice=_CHOICES)
    @precondition(_somebody_can_send)
    def asks_at_length(self, choice: int) -> None:
        role, way = _chosen(choice, self.who_can(sending=True))
        self._steps.append(Step(Event.SENDS, role.letter, LONG[way]))

    @rule(choice=_CHOICES)
    @precondition(_somebody_does_not_read)
    def begins_to_read(self, choice: int) -> None:
        role, _ = _chosen(choice, self.who_can(reading=False))
        role.reading = True
        self._steps.append(Step(Event.READS, role.letter))

    @rule(choice=_CHOICES)
    @precondition(_somebody_can_flood)
    def floods(self, choice: int) -> None:
        role, _ = _chosen(choice, self.who_can(reading=False, sending=True))
        self._steps.append(Step(Event.FLOODS, role.letter))

    @rule(choice=_CHOICES)
    @precondition(_somebody_can_send)
    def half_closes(self, choice: int) -> None:
        role, _ = _chosen(choice, self.who_can(sending=True))
        role.half_closed = True
        self._steps.append(Step(Event.HALF_CLOSES, role.letter))

    @rule(choice=_CHOICES)
    @precondition(_somebody_is_there)
    def leaves(self, choice: int) -> None:
        role, way = _chosen(choice, self.roles)
        self.roles.remove(role)
        self._steps.append(Step((Event.CLOSES, Event.RESETS)[way], role.letter))

    @rule(choice=_CHOICES)
    @precondition(_somebody_reads)
    def stops_reading(self, choice: int) -> None:
        role, _ = _chosen(choice, self.who_can(reading=True))
        role.reading = False
        self._steps.append(Step(Event.STOPS_READING, role.letter))

    def teardown(self) -> None:
        """Have the story judged. (Hypothesis may have broken it off, and ends it by
        an exception then: that one is not told.)"""
        if sys.exc_info()[1] is not self._around:
            return
        failure = self._search.judge(tuple(self._steps))
        if failure:
            # From here, whatever it is: Hypothesis shrinks one kind of failure, and
            # knows it by the line that it comes from.
            raise failure.with_traceback(None)


def _chosen(choice: int, roles: list[_Role]) -> tuple[_Role, int]:
    """Whom of ROLES a number of _CHOICES means, and which way: 0 or 1."""
    way, who = divmod(choice, CLIENTS_AT_ONCE)
    return roles[who % len(roles)], way


def shortest_failure(start: Callable[[], Server], seed_: int) -> Failure | None:
    """What goes wrong on the servers that START starts, told by the shortest story
    that was found from the number SEED_ in which it does; None if nothing does."""
    search = Search(start)
    try:
        for stories, steps in ROUNDS:
            _run(search, seed_, stories, steps)
    except Failure as failure:
        return failure
    except _Stop:
        pass
    except HypothesisException:
        if not search.stopped:  # in the middle, and it wonders
            raise
    finally:
        search.end()
    if search.fault and not search.failure:
        raise search.fault
    return search.failure


def _run(search: Search, seed_: int, stories: int, steps: int) -> None:
    """Have SEARCH judge so many STORIES of so many STEPS. Raises Failure: the one
    that Hypothesis ends up with."""

    def machine() -> AnyOrder:
        return AnyOrder(search)

    chosen = settings(
        max_examples=stories,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        derandomize=False,  # the seed says it all
        phases=(Phase.generate, Phase.shrink),
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=(
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
            HealthCheck.too_slow,
            HealthCheck.large_base_example,
        ),
        verbosity=Verbosity.quiet,
    )
    run: Callable[..., None] = run_state_machine_as_test
    run(seed(seed_)(machine), settings=chosen)
