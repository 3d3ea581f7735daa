"""Tables to show when all tests are done."""

from __future__ import annotations

import pytest

SHOWN: pytest.StashKey[dict[str, str]] = pytest.StashKey()


def show_at_the_end(config: pytest.Config, title: str, text: str) -> None:
    """Have conftest.py show TEXT below TITLE."""
    shown: dict[str, str] = config.stash.setdefault(SHOWN, {})
    shown[title] = text
    # With pytest-xdist, another process shows it.
    getattr(config, "workeroutput", {}).setdefault("shown", {})[title] = text
