"""The exception that any part of the grader raises if it cannot do its work here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class CannotGrade(Exception):
    """The grader cannot do its work here: no verdict, and exit status 2."""


@contextlib.contextmanager
def a_missing_package_is_named() -> Iterator[None]:
    """Raise CannotGrade, with its name, if a Python package imported inside is
    missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        raise CannotGrade(
            f"the Python package {name} is missing: run 'make setup'"
        ) from None
