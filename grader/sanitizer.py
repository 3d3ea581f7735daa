"""What the sanitizers wrote, in words: which access was wrong, where in the student's
file, and to which memory. Their reports are made for reading, and differ a little
from gcc to gcc; what cannot be made out is left in their own words."""

from __future__ import annotations

import re
from dataclasses import dataclass

_REPORT = re.compile(
    r"^.*(ERROR: (?:Address|Leak)Sanitizer: .*|runtime error: .*)$", re.MULTILINE
)
# Where the compiler's cell has the submission, without isolation the path is longer.
_FRAME = re.compile(r"#\d+ 0x[0-9a-f]+ in (\w+) \S*?(tcp_(?:server|client)\.c:\d+)")
_ACCESS = re.compile(r"(READ|WRITE) of size (\d+)")
# By whom it was done, if by a function of the C library: it was asked for all of those
# bytes, and only some of them need be out of place.
_CALLED = re.compile(r"\n +#0 0x\w+ in (?:__\w+?_)?(\w+) \S*libsanitizer")
_BLOCK = re.compile(r"is located \d+ bytes .*?(\d+)-byte region")
_BEFORE = re.compile(r"bytes (?:before|to the left of) |<== .* underflows")
_VARIABLE = re.compile(
    r"'(\w+)'(?: \(line \d+\))? <== .* (?:over|under)flows"
    r"|(?:of|after|before) global variable '(\w+)'"
)
_LEAK = re.compile(r"Direct leak of (\d+) byte\(s\) in (\d+) object\(s\)")
# What AddressSanitizer says better, when it comes to it.
_BETTER_SAID = "insufficient space"
_FRAMES_SHOWN = 8


@dataclass(frozen=True)
class Report:
    """One report: a line of words, the frames that are the student's, and all of it."""

    says: str
    frames: list[str]
    text: str


def first_report(errors: str) -> Report | None:
    """The first report in what a program wrote on its standard error, if any."""
    found = list(_REPORT.finditer(errors))
    if not found:
        return None
    chosen = found[0]
    if _BETTER_SAID in chosen[0]:
        chosen = next((f for f in found if "ERROR: " in f[0]), chosen)
    text = errors[chosen.start() :]
    access = _ACCESS.search(text) or _LEAK.search(text)
    stack = text[access.start() if access else 0 :].partition("\n\n")[0]
    frames = [f"in {name}(), {where}" for name, where in _FRAME.findall(stack)]
    return Report(_in_words(text, chosen[1]), frames[:_FRAMES_SHOWN], text)


def _in_words(text: str, heading: str) -> str:
    """TEXT in one line; HEADING is its first."""
    if leak := _LEAK.search(text):
        count, blocks = leak[1], "block is" if leak[2] == "1" else "blocks are"
        lost = f"{leak[2]} {blocks} never freed, {count} bytes in all"
        where = _where(text) if _FRAME.search(text) else "for you by the C library"
        return f"what is allocated {where}, is lost: {lost}"
    if heading.startswith("runtime error: "):
        return f"{_where(text)}: {heading.removeprefix('runtime error: ')}"
    access = _ACCESS.search(text)
    if not access:
        what = re.sub(r" (?:at pc |on |on address )?0x.*", "", heading)
        return f"{_where(text)}: {what.rpartition('Sanitizer: ')[2].rstrip(':')}"
    verb = "reads" if access[1] == "READ" else "writes"
    count = "1 byte" if access[2] == "1" else f"{access[2]} bytes"
    where = _where(text[access.start() :])
    called = _CALLED.match(text, text.find("\n", access.end()))
    who = f"{called[1]}()" if called else "it"
    some = ", some of them" if called and access[2] != "1" else ""
    return f"{where}, {who} {verb} {count}{some} {_memory(text, heading)}"


def _memory(text: str, heading: str) -> str:
    """Which memory it was that had nothing to do there."""
    block, variable = _BLOCK.search(text), _VARIABLE.search(text)
    size = f" of {block[1]} bytes" if block else ""
    if "use-after-free" in heading:
        freed = text.partition("freed by")[2]
        return f"of a block{size} that has been freed {_where(freed)}"
    side = "before the start of" if _BEFORE.search(text) else "past the end of"
    if "overflow" in heading and variable:
        return f"{side} the array '{variable[1] or variable[2]}'"
    if "overflow" in heading and block:
        allocated = text.partition("allocated by")[2]
        return f"{side} a block{size} that was allocated {_where(allocated)}"
    if "SEGV" in heading:
        return "through a pointer that leads nowhere"
    return f"where it may not ({heading.rpartition('Sanitizer: ')[2].split(' ')[0]})"


def _where(text: str) -> str:
    """The first function of the student's in TEXT, and its line."""
    frame = _FRAME.search(text)
    return f"in {frame[1]}(), {frame[2]}" if frame else "outside of your file"
