"""What every client did and saw, and when the program was seen asleep. A failure
carries it in words for people, and as data for diagrams."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from grader.text import in_bytes, quote

# How many steps are kept for people at most, and how many moments for diagrams.
_LINES, _MOMENTS = 16, 60
_KEPT_BYTES, _SHOWN_CHARACTERS = 48, 24


@dataclass
class Moment:
    """WHO DOES something, SECONDS after the start, with COUNT bytes that begin with
    DATA."""

    seconds: float
    who: str
    does: str
    data: bytes = b""
    count: int = 0

    def __str__(self) -> str:
        text = f"{self.who} {self.does}"
        if not self.count:
            return text
        return f'{text} {in_bytes(self.count)}: "{self.quoted()}"'

    def quoted(self) -> str:
        """The first of its bytes, as they would be written in C."""
        shown = len(self.data)
        while len(quote(self.data[:shown])) > _SHOWN_CHARACTERS:
            shown -= 1
        return quote(self.data[:shown]) + ("…" if self.count > shown else "")

    def as_data(self) -> dict[str, Any]:
        """The same, for programs."""
        data: dict[str, Any] = {"ms": _ms(self.seconds)}
        data |= {"who": self.who, "does": self.does}
        return data | (
            {"bytes": self.count, "data": self.quoted()} if self.count else {}
        )


@dataclass(frozen=True)
class Line:
    """A step of a transcript, for people: its position, what stands before its words,
    and the words. If there is no room for all steps, those of the lowest rank stay."""

    position: int
    lead: str
    says: str
    rank: float = 0.0


class Transcript:
    """One transcript, which begins now."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self._moments: list[Moment] = []
        self._moved = 0.0  # when something was last noted
        self._sleeps: list[tuple[float, float, str]] = []

    def note(self, who: str, does: str, data: bytes = b"", count: int = 0) -> None:
        """Remember that WHO DOES something, with COUNT bytes that begin with DATA."""
        self._moved = time.monotonic() - self.began
        last = self._moments[-1] if self._moments else None
        if last and count and (last.who, last.does) == (who, does):
            last.data = (last.data + data)[:_KEPT_BYTES]
            last.count += count
        else:
            moment = Moment(self._moved, who, does, data[:_KEPT_BYTES], count)
            self._moments.append(moment)

    def note_sleep(self, since: float, call: str) -> None:
        """Remember that the program has been asleep in CALL, from SINCE (by
        time.monotonic()) until now. If nothing moved since the sleep before, the two
        are one: we only look now and then, so a gap does not mean that it woke."""
        until = time.monotonic() - self.began
        since -= self.began
        last = self._sleeps[-1] if self._sleeps else None
        if last and last[2] == call and (since <= last[1] or self._moved <= last[1]):
            since = self._sleeps.pop()[0]
        self._sleeps.append((since, until, call))

    def lines(self, about: str) -> list[Line]:
        """The transcript so far, one numbered step per line. A long one is cut down to
        what concerns those that the text ABOUT names."""
        return [
            Line(n, f"{n:3}. {1000 * moment.seconds:5.0f} ms  ", str(moment), rank)
            for n, moment, rank in self._chosen(about, _LINES)
        ]

    def as_data(self, about: str = "") -> dict[str, Any]:
        """The same, for programs: the steps, how many names there are in all of them,
        when and in which calls the program slept, and when the transcript ended, which
        is now."""
        story: list[dict[str, Any]] = []
        before = 0
        for number, moment, _ in self._chosen(about, _MOMENTS):
            if number > before + 1:
                story.append({"left_out": number - before - 1})
            story.append(moment.as_data())
            before = number
        return {
            "story": story,
            "names": len({moment.who for moment in self._moments}),
            "asleep": [
                {"from_ms": _ms(since), "to_ms": _ms(until), "in": call}
                for since, until, call in self._sleeps[-_MOMENTS:]
            ],
            "ended_ms": _ms(time.monotonic() - self.began),
        }

    def _chosen(self, about: str, most: int) -> list[tuple[int, Moment, float]]:
        """The moments to show, with their numbers and ranks."""
        ranks = self._ranks(about)
        chosen = set(sorted(range(len(ranks)), key=ranks.__getitem__)[:most])
        for n in range(len(ranks)):  # leaving out a single one gains nothing
            if {n - 1, n + 1} <= chosen:
                chosen.add(n)
        return [(n + 1, self._moments[n], ranks[n]) for n in sorted(chosen)]

    def _ranks(self, about: str) -> list[float]:
        """The rank of each step. The lowest matter most: the end, the last steps of
        those that the text ABOUT names, and then the beginning."""
        count = len(self._moments)
        ranks = [min(count - 1 - n, 0.5 + 1.5 * n) for n in range(count)]
        theirs: dict[str, list[int]] = {}
        for n, moment in enumerate(self._moments):
            theirs.setdefault(moment.who, []).append(n)
        for who, steps in theirs.items():
            if named(who, about):
                for back, n in enumerate(reversed(steps)):
                    ranks[n] = min(ranks[n], 0.1 + back)
        return ranks


def named(who: str, about: str) -> bool:
    """Whether the text ABOUT names WHO, and not just a longer name that contains it."""
    return re.search(rf"(?<!\w){re.escape(who)}(?!\w)", about) is not None


def left_out(count: int) -> str:
    """COUNT steps that are not shown, in words."""
    return f"… {_steps(count)} left out …"


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)
