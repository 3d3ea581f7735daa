"""Regenerates the scenarios of the default seed: for when Hypothesis has changed, or
what can happen in a scenario.

/usr/bin/python3 -m grader.tests.scenarios     (make scenarios)
"""

from __future__ import annotations

import hypothesis

from grader.course import DEFAULT_SEED
from grader.fuzz import generator, known_scenarios
from grader.fuzz.scenario import Step

MADE_UP_BY = f"# Made up by Hypothesis {hypothesis.__version__} (make scenarios).\n"


def made_up() -> list[tuple[Step, ...]]:
    """The scenarios that Hypothesis generates here, without duplicates."""
    scenarios: dict[tuple[Step, ...], None] = {}

    def remember(steps: tuple[Step, ...]) -> None:
        scenarios[steps] = None

    generator.scenarios(remember, DEFAULT_SEED)
    return list(scenarios)


if __name__ == "__main__":
    known_scenarios.PATH.write_text(MADE_UP_BY + known_scenarios.text(made_up()))
