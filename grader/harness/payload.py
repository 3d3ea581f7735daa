"""What the clients send: bytes that can be told apart, and read in a report."""

from __future__ import annotations

import random
import string

_READABLE = (string.ascii_letters + string.digits + "+-").encode()
_TABLE = bytes(_READABLE[byte % len(_READABLE)] for byte in range(256))

EVERY_BYTE = bytes(range(256))

# Words that a program might take for commands, though it should have none, each sent by
# itself, with and without a newline; and the line that ends a mail.
COMMANDS = [
    word + end
    for word in (b"quit", b"exit", b"bye", b"QUIT", b"close", b"stop", b"q", b".", b"")
    for end in (b"\n", b"\r\n", b"")
    if word + end
]

# What no program should take for a port number.
NOT_PORTS = ("abc", "", "65536", "-1", "80a", "99999999999999999999")


def readable(rng: random.Random, length: int) -> bytes:
    """LENGTH random letters and digits, so that a gap or a swap shows."""
    return rng.randbytes(length).translate(_TABLE)


def line(rng: random.Random, length: int = 20) -> bytes:
    """A line of LENGTH bytes, including its newline."""
    return readable(rng, length - 1) + b"\n"
