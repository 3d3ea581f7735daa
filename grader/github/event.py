"""What happened, according to the runner: the event's file."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from grader.errors import CannotGrade

_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def load() -> dict[str, Any] | None:
    """The event that the runner describes; None if there is no runner. Raises
    CannotGrade."""
    name = os.environ.get("GITHUB_EVENT_PATH")
    if not name:
        return None
    try:
        event = json.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise CannotGrade(f"cannot read the event {name}: {error.strerror}") from None
    except ValueError:
        raise CannotGrade(f"the event {name} is not JSON") from None
    if not isinstance(event, dict):
        raise CannotGrade(f"the event {name} is not an object")
    return event


def text(event: Any, *names: str) -> str:
    """The text in EVENT below NAMES. Raises CannotGrade if there is none."""
    for name in names:
        event = event.get(name) if isinstance(event, dict) else None
    if not isinstance(event, str):
        raise CannotGrade(f"the event has no {'.'.join(names)}")
    return event


def sha(event: Any, *names: str) -> str:
    """The commit in EVENT below NAMES. Raises CannotGrade if there is none."""
    found = text(event, *names)
    if not _SHA.fullmatch(found):
        raise CannotGrade(f"the event's {'.'.join(names)} is not a commit")
    return found
