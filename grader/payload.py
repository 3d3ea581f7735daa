"""What the clients send: bytes that can be told apart, and read in a report."""

from __future__ import annotations

import random
import string

_READABLE = (string.ascii_letters + string.digits + "+-").encode()
_TABLE = bytes(_READABLE[byte % len(_READABLE)] for byte in range(256))

EVERY_BYTE = bytes(range(256))


def readable(rng: random.Random, length: int) -> bytes:
    """LENGTH random letters and digits, in which a gap or a swap shows."""
    return rng.randbytes(length).translate(_TABLE)


def line(rng: random.Random, length: int = 20) -> bytes:
    """A line of LENGTH bytes, its newline among them."""
    return readable(rng, length - 1) + b"\n"
