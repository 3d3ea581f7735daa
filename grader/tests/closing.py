"""Tables that tests have shown when all of them are done."""

from __future__ import annotations

import pytest

SHOWN: pytest.StashKey[dict[str, str]] = pytest.StashKey()


def show_at_the_end(config: pytest.Config, title: str, text: str) -> None:
    """Have TEXT shown below TITLE (conftest.py does it)."""
    shown: dict[str, str] = config.stash.setdefault(SHOWN, {})
    shown[title] = text
    # For the process that shows it, if this is another one (pytest-xdist).
    getattr(config, "workeroutput", {}).setdefault("shown", {})[title] = text
