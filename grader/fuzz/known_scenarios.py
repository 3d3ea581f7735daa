"""The scenarios of the default seed, made up once and kept in scenarios.txt.

Each line is a scenario, and each word in it a step: what happens, to which client, and
how many bytes are sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from grader.fuzz.scenario import Event, Step

PATH = Path(__file__).with_name("scenarios.txt")

_LETTERS = {
    Event.CONNECTS: "c",
    Event.CONNECTS_STALLED: "d",
    Event.SENDS: "s",
    Event.FLOODS: "f",
    Event.STOPS_READING: "n",
    Event.READS: "r",
    Event.HALF_CLOSES: "h",
    Event.CLOSES: "x",
    Event.RESETS: "b",
    Event.PAUSE: "p",
}
_EVENTS = {letter: event for event, letter in _LETTERS.items()}
_STEP = re.compile(r"([a-z])([A-Z]?)(\d*)")


def read() -> list[tuple[Step, ...]]:
    """All known scenarios."""
    lines = PATH.read_text().splitlines()
    return [_scenario(line) for line in lines if not line.startswith("#")]


def text(scenarios: Iterable[tuple[Step, ...]]) -> str:
    """SCENARIOS as they are written down, one per line."""
    return "".join(" ".join(map(_word, scenario)) + "\n" for scenario in scenarios)


def _scenario(line: str) -> tuple[Step, ...]:
    steps = []
    for letter, who, count in _STEP.findall(line):
        steps.append(Step(_EVENTS[letter], who, int(count or 0)))
    return tuple(steps)


def _word(step: Step) -> str:
    return f"{_LETTERS[step.event]}{step.who}{step.count or ''}"
