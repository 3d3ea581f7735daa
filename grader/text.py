"""Text by others, made safe to print; and bytes and counts in words."""

from __future__ import annotations

import re

# What GitHub's runner takes for a command: "::" where the text of a line begins, and
# "##[" anywhere.
_COMMAND = re.compile(r"(?<!\S):(?=:)|#(?=#\[)")


def printable(text: str) -> str:
    """TEXT without anything that a terminal or a CI log would take for a command.
    Such characters are shown as \\x1b and the like."""
    text = "".join(
        c if c == "\n" or c.isprintable() else ascii(c)[1:-1]
        for c in text.expandtabs(8)
    )
    return defused(text)


def defused(text: str) -> str:
    """TEXT without anything that a CI log would take for a command. Apply it to whole
    lines, too: breaking a long line can create a new beginning."""
    return _COMMAND.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def one_line(text: str) -> str:
    """TEXT as one printable line."""
    return printable(" ".join(text.split()))


def in_bytes(count: int) -> str:
    """COUNT bytes, in words."""
    return "1 byte" if count == 1 else f"{count} bytes"


_ESCAPES = {9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\", 34: '\\"'}
_IN_C = [
    _ESCAPES.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}")
    for byte in range(256)
]


def quote(data: bytes) -> str:
    """DATA as it would be written in C, without anything that a terminal would take
    for a command."""
    return "".join(map(_IN_C.__getitem__, data))
