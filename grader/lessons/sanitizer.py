"""Puts sanitizer reports in words: which access was wrong, where in the student's file,
and to which memory. The reports are made for human readers and vary a little between
gcc versions; what we cannot parse stays in the sanitizer's own words."""

from __future__ import annotations

import re
from dataclasses import dataclass

_REPORT = re.compile(
    r"^.*(ERROR: (?:Address|Leak)Sanitizer: .*|runtime error: .*)$", re.MULTILINE
)
# A stack frame, up to the file's path, which is shorter in the compiler's cell.
_FRAME = r"#\d+ 0x[0-9a-f]+ in (\w+) \S*?"
_ACCESS = re.compile(r"(READ|WRITE) of size (\d+)")
# The C library function that made the access, if one did. It was asked to access all of
# those bytes, of which only some need be out of bounds.
_CALLED = re.compile(r"\n +#0 0x\w+ in (?:__\w+?_)?(\w+) \S*libsanitizer")
_BLOCK = re.compile(r"is located \d+ bytes .*?(\d+)-byte region")
_BEFORE = re.compile(r"bytes (?:before|to the left of) |<== .* underflows")
_VARIABLE = re.compile(
    r"'(\w+)'(?: \(line \d+\))? <== .* (?:over|under)flows"
    r"|(?:of|after|before) global variable '(\w+)'"
)
_LEAK = re.compile(r"Direct leak of (\d+) byte\(s\) in (\d+) object\(s\)")
# UBSan's wording, for which AddressSanitizer has a better one if it reports too.
_BETTER_SAID = "insufficient space"
_FRAMES_SHOWN = 8


@dataclass(frozen=True)
class Report:
    """One report: a one-line summary, the frames in the student's code, and its text.

    mistake is one word for what was wrong: never_freed, already_freed, out_of_bounds,
    reads_out_of_bounds, bad_pointer, or "" for anything else. function is the C
    library function that made the access, if one did.
    """

    says: str
    frames: list[str]
    text: str
    mistake: str = ""
    function: str = ""


def first_report(errors: str, source: str) -> Report | None:
    """The first report in ERRORS, the program's standard error, or None. SOURCE is the
    name of the student's file."""
    frame = re.compile(rf"{_FRAME}({re.escape(source)}:\d+)")
    found = list(_REPORT.finditer(errors))
    if not found:
        return None
    chosen = found[0]
    if _BETTER_SAID in chosen[0]:
        chosen = next((f for f in found if "ERROR: " in f[0]), chosen)
    text = errors[chosen.start() :]
    access = _ACCESS.search(text) or _LEAK.search(text)
    stack = text[access.start() if access else 0 :].partition("\n\n")[0]
    frames = [f"in {name}(), {where}" for name, where in frame.findall(stack)]
    called = _called(text, _ACCESS.search(text))
    mistake, frames = _mistake(text, chosen[1]), frames[:_FRAMES_SHOWN]
    return Report(_in_words(text, chosen[1], frame), frames, text, mistake, called)


def _mistake(text: str, heading: str) -> str:
    """See Report. HEADING is the first line of TEXT."""
    access = _ACCESS.search(text)
    if _LEAK.search(text):
        return "never_freed"
    if "use-after-free" in heading or "double-free" in heading:
        return "already_freed"
    if "out of bounds" in heading:
        return "out_of_bounds"
    if "null pointer" in heading or (access and "SEGV" in heading):
        return "bad_pointer"
    if (
        access
        and "overflow" in heading
        and (_VARIABLE.search(text) or _BLOCK.search(text))
    ):
        return "reads_out_of_bounds" if access[1] == "READ" else "out_of_bounds"
    return ""


def _called(text: str, access: re.Match[str] | None) -> str:
    """The C library function that made the ACCESS in TEXT, or ""."""
    called = access and _CALLED.match(text, text.find("\n", access.end()))
    return called[1] if called else ""


def _in_words(text: str, heading: str, frame: re.Pattern[str]) -> str:
    """TEXT in one line; HEADING is its first line."""
    if leak := _LEAK.search(text):
        count, blocks = leak[1], "block is" if leak[2] == "1" else "blocks are"
        lost = f"{leak[2]} {blocks} never freed, {count} bytes in all"
        ours = "for you by the C library"
        where = _where(text, frame) if frame.search(text) else ours
        return f"what is allocated {where}, is lost: {lost}"
    if heading.startswith("runtime error: "):
        return f"{_where(text, frame)}: {heading.removeprefix('runtime error: ')}"
    access = _ACCESS.search(text)
    if not access:
        what = re.sub(r" (?:at pc |on |on address )?0x.*", "", heading)
        return f"{_where(text, frame)}: {what.rpartition('Sanitizer: ')[2].rstrip(':')}"
    verb = "reads" if access[1] == "READ" else "writes"
    count = "1 byte" if access[2] == "1" else f"{access[2]} bytes"
    where = _where(text[access.start() :], frame)
    called = _called(text, access)
    who = f"{called}()" if called else "it"
    some = ", some of them" if called and access[2] != "1" else ""
    return f"{where}, {who} {verb} {count}{some} {_memory(text, heading, frame)}"


def _memory(text: str, heading: str, frame: re.Pattern[str]) -> str:
    """Which memory was accessed wrongly."""
    block, variable = _BLOCK.search(text), _VARIABLE.search(text)
    size = f" of {block[1]} bytes" if block else ""
    if "use-after-free" in heading:
        freed = text.partition("freed by")[2]
        return f"of a block{size} that has been freed {_where(freed, frame)}"
    side = "before the start of" if _BEFORE.search(text) else "past the end of"
    if "overflow" in heading and variable:
        return f"{side} the array '{variable[1] or variable[2]}'"
    if "overflow" in heading and block:
        allocated = text.partition("allocated by")[2]
        return f"{side} a block{size} that was allocated {_where(allocated, frame)}"
    if "SEGV" in heading:
        return "through a pointer that leads nowhere"
    return f"where it may not ({heading.rpartition('Sanitizer: ')[2].split(' ')[0]})"


def _where(text: str, frame: re.Pattern[str]) -> str:
    """The first function of the student's in TEXT, and its line."""
    found = frame.search(text)
    return f"in {found[1]}(), {found[2]}" if found else "outside of your file"
