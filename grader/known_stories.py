"""The stories of the default seed, as they were made up once: stories.txt.

A line is a story, and a word of it a step: what happens, to whom, and how many bytes
are sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from grader.story import Event, Step

PATH = Path(__file__).with_name("stories.txt")

_LETTERS = {
    Event.CONNECTS: "c",
    Event.CONNECTS_DEAF: "d",
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
    """All of them."""
    lines = PATH.read_text().splitlines()
    return [_story(line) for line in lines if not line.startswith("#")]


def text(stories: Iterable[tuple[Step, ...]]) -> str:
    """STORIES as they are written down, a line each."""
    return "".join(" ".join(map(_word, story)) + "\n" for story in stories)


def _story(line: str) -> tuple[Step, ...]:
    steps = []
    for letter, who, count in _STEP.findall(line):
        steps.append(Step(_EVENTS[letter], who, int(count or 0)))
    return tuple(steps)


def _word(step: Step) -> str:
    return f"{_LETTERS[step.event]}{step.who}{step.count or ''}"
