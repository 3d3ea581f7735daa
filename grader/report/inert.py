"""Text that we do not trust, written so that it does nothing where it is shown."""

from __future__ import annotations

from grader.text import one_line


def short(text: str, most: int) -> str:
    """TEXT as one printable line of at most MOST characters."""
    line = one_line(text[: 4 * most])
    return line if len(line) <= most else line[: most - 1] + "…"


def code(text: str, most: int = 200) -> str:
    """TEXT as code in Markdown, at most MOST characters. GitHub makes no mention, link,
    picture, HTML or reference of text between backticks; TEXT's own are replaced."""
    return f"`{short(text, most).replace('`', chr(39)) or ' '}`"


def command(name: str, message: str, **properties: str | int) -> str:
    """The workflow command NAME (error, warning …) in the runner's syntax."""
    given = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name}{' ' if given else ''}{given}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str | int) -> str:
    return _data(str(value)).replace(":", "%3A").replace(",", "%2C")
