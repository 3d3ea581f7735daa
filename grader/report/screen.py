"""How reports for people are written: lines, marks and, on a terminal, colours and a
live line. In a pipe there are only plain lines."""

from __future__ import annotations

import re
import shutil
import textwrap
from typing import TextIO

from grader.text import defused, printable

MARKS = {"passed": "✓", "failed": "✗", "skipped": "–", "error": "!", "next": "→"}
_COLOURS = {"passed": "32", "failed": "31", "skipped": "33", "error": "35", "next": "1"}
_COLOURED = re.compile(r"\x1b\[\d*m")
_ASCII = str.maketrans({"✓": "+", "✗": "x", "–": "-", "…": "~", "—": "-", "→": ">"})


class Screen:
    """Writes to OUT, in as many columns as the terminal has, but at most 100."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty()
        self._measure()
        encoding = (out.encoding or "").lower()
        self._plain = not encoding.startswith("utf")

    def _measure(self) -> None:
        size = shutil.get_terminal_size((80, 24))
        self._columns = size.columns
        self._rows = size.lines
        self.width = min(size.columns, 100)

    @property
    def is_terminal(self) -> bool:
        """Whether the output is a terminal, which can be redrawn."""
        return self._live

    def line(self, text: str) -> None:
        """Write TEXT as a line, in place of the live line."""
        clear = "\r\x1b[K" if self._live else ""
        if self._plain:
            text = text.translate(_ASCII)
            text = text.encode("ascii", "replace").decode()
        self._out.write(f"{clear}{defused(text)}\n")
        self._out.flush()

    def live(self, text: str) -> None:
        """Show TEXT until the next line is written."""
        if self._live:
            self._out.write(f"\r\x1b[K  {text[: self.width - 4]} …")
            self._out.flush()

    def clear_live(self) -> None:
        """Remove the live line."""
        if self._live:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def draws(self) -> int:
        """Clear the screen and start at its top: the number of rows that it has."""
        self._measure()
        self._out.write("\x1b[H\x1b[2J")
        return self._rows

    def rows_of(self, text: str) -> int:
        """How many rows of the terminal TEXT takes."""
        seen = len(_COLOURED.sub("", text))
        return max(1, -(-seen // self._columns))

    def mark(self, status: str) -> str:
        """The sign of a verdict."""
        return self.coloured(status, MARKS[status])

    def coloured(self, status: str, text: str) -> str:
        """TEXT in the colour of a verdict."""
        return f"\x1b[{_COLOURS[status]}m{text}\x1b[0m" if self._live else text

    def bold(self, text: str) -> str:
        """TEXT in bold, on a terminal."""
        return f"\x1b[1m{text}\x1b[0m" if self._live else text


def cut(text: str, width: int) -> str:
    """TEXT, or as much of it as fits into WIDTH columns."""
    return text if len(text) <= width else text[: width - 1] + "…"


def wrapped(text: str, width: int) -> list[str]:
    """TEXT in lines of at most WIDTH columns, with nothing that a terminal obeys."""
    return textwrap.wrap(printable(text), width)
