"""What every client did and saw, and when the program was seen asleep: the story
that a failure tells, in words for people, and as data for pictures."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

# Steps that are shown, if there are more than the first number: from the story's start,
# from its end, and the last of each one whom it is about. A screen has room for so
# many lines, a picture for so many moments.
_LINES, _MOMENTS = (16, 3, 4, 4), (60, 10, 30, 10)
_KEPT_BYTES, _SHOWN_CHARACTERS = 48, 24


@dataclass
class Moment:
    """WHO DOES something, so many SECONDS after the start, with COUNT bytes, of which
    DATA is the beginning."""

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
        """The beginning of its bytes, as they would be written in C."""
        shown = len(self.data)
        while len(quote(self.data[:shown])) > _SHOWN_CHARACTERS:
            shown -= 1
        return quote(self.data[:shown]) + ("…" if self.count > shown else "")

    def as_data(self) -> dict[str, Any]:
        """The same for programs."""
        data: dict[str, Any] = {"ms": _ms(self.seconds)}
        data |= {"who": self.who, "does": self.does}
        return data | (
            {"bytes": self.count, "data": self.quoted()} if self.count else {}
        )


class Transcript:
    """One story, which begins now."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self._moments: list[Moment] = []
        self._sleeps: list[tuple[float, float, str]] = []

    def note(self, who: str, does: str, data: bytes = b"", count: int = 0) -> None:
        """Remember that WHO DOES something, with COUNT bytes that begin with DATA."""
        last = self._moments[-1] if self._moments else None
        if last and count and (last.who, last.does) == (who, does):
            last.data = (last.data + data)[:_KEPT_BYTES]
            last.count += count
        else:
            seconds = time.monotonic() - self.began
            moment = Moment(seconds, who, does, data[:_KEPT_BYTES], count)
            self._moments.append(moment)

    def note_sleep(self, since: float, call: str) -> None:
        """Remember that the program has been asleep in CALL, from SINCE (a time of
        time.monotonic()) until now."""
        until = time.monotonic() - self.began
        since -= self.began
        last = self._sleeps[-1] if self._sleeps else None
        if last and last[2] == call and since <= last[1]:
            since = self._sleeps.pop()[0]
        self._sleeps.append((since, until, call))

    def lines(self, about: str) -> list[str]:
        """The story so far, a numbered step a line. Of a long one that is shown which
        has to do with those whom the text ABOUT names."""
        lines, before = [], 0
        for number, moment in self._chosen(about, *_LINES):
            if number > before + 1:
                lines.append(f"     … {_steps(number - before - 1)} left out …")
            lines.append(f"{number:3}. {1000 * moment.seconds:5.0f} ms  {moment}")
            before = number
        return lines

    def as_data(self, about: str = "") -> dict[str, Any]:
        """The same for programs: the story, when the program slept meanwhile and in
        what, and the moment at which it ended, which is now."""
        story: list[dict[str, Any]] = []
        before = 0
        for number, moment in self._chosen(about, *_MOMENTS):
            if number > before + 1:
                story.append({"left_out": number - before - 1})
            story.append(moment.as_data())
            before = number
        return {
            "story": story,
            "asleep": [
                {"from_ms": _ms(since), "to_ms": _ms(until), "in": call}
                for since, until, call in self._sleeps[-_MOMENTS[0] :]
            ],
            "ended_ms": _ms(time.monotonic() - self.began),
        }

    def _chosen(
        self, about: str, most: int, first: int, last: int, of_each: int
    ) -> list[tuple[int, Moment]]:
        """The moments to be shown, with their numbers."""
        numbered = list(enumerate(self._moments, 1))
        if len(numbered) <= most:
            return numbered
        chosen = dict(numbered[:first] + numbered[-last:])
        for who in {moment.who for moment in self._moments}:
            if re.search(rf"\b{re.escape(who)}\b", about):
                theirs = [pair for pair in numbered if pair[1].who == who]
                chosen |= dict(theirs[-of_each:])
        for number, moment in numbered:  # nothing is gained by leaving out one
            if number not in chosen and {number - 1, number + 1} <= chosen.keys():
                chosen[number] = moment
        return sorted(chosen.items())


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)


def in_bytes(count: int) -> str:
    """So many bytes, in words."""
    return "1 byte" if count == 1 else f"{count} bytes"


def quote(data: bytes) -> str:
    """Bytes as they would be written in C, without anything that a terminal
    would take for a command."""
    escapes = {9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\", 34: '\\"'}
    return "".join(
        escapes.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}")
        for byte in data
    )
