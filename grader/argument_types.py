"""The types of options: each function parses one value from the command line, or
raises argparse.ArgumentTypeError with a line that says what is wrong."""

from __future__ import annotations

import argparse
import re

from grader import course

_MOST_JOBS, _LONGEST = 64, 86_400


def seconds(text: str) -> float:
    """A time of up to a minute, in seconds."""
    try:
        time = float(text)
    except ValueError:
        time = -1.0
    if not 0 <= time <= 60:
        raise argparse.ArgumentTypeError(f"{text!r} is no time from 0 to 60 seconds")
    return time


def budget(text: str) -> float:
    """A number of seconds, at least one."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _LONGEST:
        raise argparse.ArgumentTypeError(f"no seconds from 1 to {_LONGEST}: '{text}'")
    return float(text)


def stage(text: str) -> int:
    """The number of a stage."""
    if text not in map(str, course.stages()):
        raise argparse.ArgumentTypeError(f"there is no stage '{text}'")
    return int(text)


def count(text: str) -> int:
    """How many to run at once."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MOST_JOBS:
        raise argparse.ArgumentTypeError(f"no number from 1 to {_MOST_JOBS}: '{text}'")
    return int(text)


def shard(text: str) -> tuple[int, int]:
    """I/N, where I counts from 1."""
    found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(
            f"no shard I/N, where I is from 1 to N: '{text}'"
        )
    return int(found[1]), int(found[2])
