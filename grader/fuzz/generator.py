"""Scenarios of a server's clients, made up by Hypothesis: each a different order of
events. It shrinks those that go wrong, and so finds the shortest.

The same seed makes up the same scenarios, with the same version of Hypothesis.
"""

from __future__ import annotations

import string
import sys
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from grader.fuzz.scenario import Event, Step
from grader.harness.failure import Failure

# How many scenarios, and of how many steps. Short ones come first: they show plain
# mistakes where they are easy to see. (There are 26 letters for clients.)
ROUNDS = ((20, 6), (40, 24))

CLIENTS_AT_ONCE = 6

SHORT, LONG = (1, 20), (3_000, 60_000)

# Which client does it, and in which way, in one number: Hypothesis takes shorter for
# simpler, so everything that a client can do should be equally long.
_CHOICES = st.integers(0, 2 * CLIENTS_AT_ONCE - 1)

# Returns what goes wrong in a scenario, or None.
Judge = Callable[[tuple[Step, ...]], Failure | None]


@dataclass
class _Role:
    """A client, as far as matters for what it can do next."""

    letter: str
    reading: bool
    half_closed: bool = False


# When a rule applies. These functions have names because Hypothesis looks up the source
# of lambdas again and again.


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
    """Makes up a scenario from Hypothesis's choices, which do not depend on what a
    server does. JUDGE judges it when it is complete."""

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self._judge = judge
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
        """The clients that read, or do not (None: either), and with SENDING, those that
        can still send."""
        return [
            role
            for role in self.roles
            if reading in (None, role.reading) and not (sending and role.half_closed)
        ]

    # As many rules let clients come as let them go; otherwise there would be few. Of
    # rules with equally many arguments, the first in the alphabet is the simplest.

    @rule()
    @precondition(_there_is_room)
    def a_client_connects(self) -> None:
        self._enter(Event.CONNECTS, reading=True)

    @rule()
    @precondition(_there_is_room)
    def a_stalled_client_connects(self) -> None:
        self._enter(Event.CONNECTS_STALLED, reading=False)

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
        """Have the scenario judged. (Hypothesis may have broken it off, with an
        exception: then it is not judged.)"""
        if sys.exc_info()[1] is not self._around:
            return
        failure = self._judge(tuple(self._steps))
        if failure:
            # Always raise from this line: Hypothesis shrinks one kind of failure, and
            # knows the kind by the line that raises it.
            raise failure.with_traceback(None)


def _chosen(choice: int, roles: list[_Role]) -> tuple[_Role, int]:
    """The one of ROLES that CHOICE, of _CHOICES, stands for, and which way: 0 or 1."""
    way, who = divmod(choice, CLIENTS_AT_ONCE)
    return roles[who % len(roles)], way


def scenarios(judge: Judge, seed_: int) -> None:
    """Make up the scenarios of SEED_, and have JUDGE judge each. Raises Failure, of the
    shortest scenario found that goes wrong; and what JUDGE raises, or
    HypothesisException if that happens midway."""
    for count, steps in ROUNDS:
        _run(judge, seed_, count, steps)


def _run(judge: Judge, seed_: int, count: int, steps: int) -> None:
    """Have JUDGE judge COUNT scenarios of STEPS steps. Raises Failure: the one that
    Hypothesis ends up with."""

    def machine() -> AnyOrder:
        return AnyOrder(judge)

    chosen = settings(
        max_examples=count,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        derandomize=False,  # the seed decides everything
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
