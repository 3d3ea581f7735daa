"""Wrong bytes: where they differ from those that were due, and what they look like."""

from __future__ import annotations

from collections.abc import Mapping

from grader.harness.finding import Finding
from grader.text import quote

# How many bytes we need at least, and compare at most, to say whose they are.
_LEAST, _ENOUGH = 4, 12

# How many bytes are shown before the first difference, and from it on, and in how many
# columns: a terminal has room for the line, and a phone for the caret.
_BEFORE, _AFTER = 8, 16
_COLUMNS_BEFORE, _COLUMNS = 20, 64


def first_difference(due: bytes, came: bytes) -> int:
    """The first index at which DUE and CAME differ, or one of them ends."""
    shorter = min(len(due), len(came))
    if due[:shorter] == came[:shorter]:
        return shorter
    low, high = 0, shorter  # the same up to low, but not up to high
    while high - low > 1:
        middle = (low + high) // 2
        if due[low:middle] == came[low:middle]:
            low = middle
        else:
            high = middle
    return low


def around(data: bytes, at: int, offset: int) -> str:
    """The bytes around DATA[AT], with a caret under that one, which is at OFFSET. Shows
    as many whole bytes as fit in a line."""
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
    """What CAME looks like, in place of DUE, or None if like nothing we know. BEFORE is
    what had come right until then, OTHERS the bytes of the other clients, by name."""
    for look in (_cut_short, _altered, _another_client, _displaced, _own):
        if found := look(due, came, before, others):
            kind, says = found
            return Finding(
                "wrong_bytes",
                "The bytes show",
                looks_like=kind,
                likeness=says,
                first_due=quote(due[:1]),
            )
    return None


_Others = Mapping[str, bytes]
_Look = tuple[str, str] | None


def _cut_short(due: bytes, came: bytes, _before: bytes, _others: _Others) -> _Look:
    if came:
        return None
    return "cut_short", f'nothing comes from the byte "{quote(due[:1])}" on'


def _altered(due: bytes, came: bytes, _before: bytes, _others: _Others) -> _Look:
    """The same bytes, but changed one by one, or with CRs added or removed."""
    count = min(len(due), len(came), _ENOUGH)
    pairs = list(zip(due[:count], came[:count]))
    if not due and len(came) > 1 and not any(came[:_ENOUGH]):
        return "padding", "zero bytes come after the client's own"
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
    """The client's own bytes, from further on or further back, whichever is nearer."""
    start = came[:_ENOUGH]
    if len(start) < _LEAST:
        return None
    ahead, back = due.find(start), len(before) - before.rfind(start)
    if ahead >= 0 and not (start in before and back < ahead):
        unit, them = ("byte is", "it") if ahead == 1 else ("bytes are", "them")
        return "skipped", f"{ahead} {unit} missing: what came is due after {them}"
    if start in before:
        if not due and len(came) < back:  # left over, not sent again
            some = f"the first {len(came)} of the last {back}"
            return "repeated", f"bytes came a second time: {some}"
        return "repeated", f"bytes came a second time: the last {back}"
    return None


def _own(due: bytes, came: bytes, _before: bytes, _others: _Others) -> _Look:
    """The program's own words, or the terminator of a string."""
    if came == b"\0" and not due:
        return "terminator", 'nobody sent this "\\x00"'
    if len(came) < _LEAST or not came[:_ENOUGH].isascii():
        return None
    if not came[:_ENOUGH].decode().replace("\n", " ").isprintable():
        return None
    return "own_words", f'nobody sent "{quote(came[:24])}"'
