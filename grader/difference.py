"""Bytes that came in place of others: where they part, and what that looks like."""

from __future__ import annotations

from collections.abc import Mapping

from grader.failure import Finding
from grader.transcript import quote

# So many bytes have to be the same before we say whose they are.
_LEAST, _ENOUGH = 4, 12

# So many bytes are shown before the one where they part, and from it on, in so many
# columns: a terminal has room for the line, and a phone for the caret.
_BEFORE, _AFTER = 8, 16
_COLUMNS_BEFORE, _COLUMNS = 20, 64


def parting(due: bytes, came: bytes) -> int:
    """The first index at which DUE and CAME differ, or one of them has ended."""
    shorter = min(len(due), len(came))
    if due[:shorter] == came[:shorter]:
        return shorter
    low, high = 0, shorter  # they are the same before low, and not before high
    while high - low > 1:
        middle = (low + high) // 2
        if due[low:middle] == came[low:middle]:
            low = middle
        else:
            high = middle
    return low


def around(data: bytes, at: int, offset: int) -> str:
    """The bytes around data[at], with a caret under it; OFFSET is its number. As many
    are shown as have room in a line, none of them in part."""
    start = max(0, at - _BEFORE)
    while len(quote(data[start:at])) > _COLUMNS_BEFORE:
        start += 1
    shown = [quote(bytes([byte])) for byte in data[start : at + _AFTER]]
    if at >= len(data):
        shown.append("(nothing more)")
    lead = "…" if start or offset > at else ""
    caret = len(lead) + sum(map(len, shown[: at - start]))
    while len(lead) + sum(map(len, shown)) > _COLUMNS:
        shown.pop()
    rest = "…" if at < len(data) and start + len(shown) < len(data) else ""
    return f"{lead}{''.join(shown)}{rest}\n{' ' * caret}^ offset {offset}"


def likeness(
    due: bytes, came: bytes, before: bytes, others: Mapping[str, bytes]
) -> Finding | None:
    """What CAME looks like where DUE was due, if it looks like anything. BEFORE is
    what had come rightly until then, OTHERS the bytes of the other clients."""
    for look in (_cut_short, _altered, _another_client, _displaced, _own):
        if found := look(due, came, before, others):
            kind, says = found
            evidence = {"looks_like": kind, "first_due": quote(due[:1])}
            return Finding("wrong_bytes", says, evidence, "The bytes show")
    return None


_Others = Mapping[str, bytes]
_Look = tuple[str, str] | None


def _cut_short(due: bytes, came: bytes, _before: bytes, _others: _Others) -> _Look:
    if came:
        return None
    return "cut_short", f'nothing comes from the byte "{quote(due[:1])}" on'


def _altered(due: bytes, came: bytes, _before: bytes, _others: _Others) -> _Look:
    """Byte for byte the same length, but changed; or with more or fewer CRs."""
    count = min(len(due), len(came), _ENOUGH)
    pairs = list(zip(due[:count], came[:count]))
    if not due and len(came) > 1 and not any(came[:_ENOUGH]):
        return "padding", "zero bytes come behind the client's own"
    if count and not any(came[:count]):
        return "zeros", "zero bytes come in place of the client's own"
    if any(b > 127 for b, _ in pairs) and all(b & 127 == a for b, a in pairs):
        return "top_bit", "the highest bit of each byte is gone"
    if due[:1] == b"\n" and came[:2] == b"\r\n":
        return "crlf", 'each "\\n" comes back as "\\r\\n"'
    if due[:1] == b"\r" and came[:1] == b"\n":
        return "crlf", 'a "\\r" before a "\\n" is gone'
    return None


def _another_client(_due: bytes, came: bytes, _before: bytes, others: _Others) -> _Look:
    start = came[:_ENOUGH]
    if len(start) < _LEAST:
        return None
    owners = [name for name, theirs in others.items() if start in theirs]
    if not owners:
        return None
    return "another_client", f'"{quote(start)}" was sent by {owners[0]}'


def _displaced(due: bytes, came: bytes, before: bytes, _others: _Others) -> _Look:
    """Bytes of the client's own, from further on or from further back: the nearer."""
    start = came[:_ENOUGH]
    if len(start) < _LEAST:
        return None
    ahead, back = due.find(start), len(before) - before.rfind(start)
    if ahead >= 0 and not (start in before and back < ahead):
        unit = "byte is" if ahead == 1 else "bytes are"
        return "skipped", f"{ahead} {unit} left out: what comes is due after them"
    if start in before:
        if not due and len(came) < back:  # left over, and not sent anew
            some = f"of the last {back}, the first {len(came)}"
            return "repeated", f"bytes come a second time: {some}"
        return "repeated", f"bytes come a second time: the last {back} again"
    return None


def _own(due: bytes, came: bytes, _before: bytes, _others: _Others) -> _Look:
    """Words of the program's own, or a string's end."""
    if came == b"\0" and not due:
        return "terminator", 'nobody sent this "\\x00"'
    if len(came) < _LEAST or not came[:_ENOUGH].isascii():
        return None
    if not came[:_ENOUGH].decode().replace("\n", " ").isprintable():
        return None
    return "own_words", f'nobody sent "{quote(came[:24])}"'
