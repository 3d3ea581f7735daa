"""What the checks of this stage are given besides: clients of its protocol."""

from __future__ import annotations

import pytest

from grader.harness.client import Client


class ReversedLines(Client):
    """A client to which each line that it sends is due back, reversed."""

    _begun = b""  # a line whose end has not gone out yet

    def answer_to(self, data: bytes) -> bytes:
        """See ClientProtocol."""
        *whole, self._begun = (self._begun + data).split(b"\n")
        return b"".join(line[::-1] + b"\n" for line in whole)


@pytest.fixture
def client_class() -> type[Client]:
    """The clients of this stage's server."""
    return ReversedLines
