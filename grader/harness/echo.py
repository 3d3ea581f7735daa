"""A client of an echo server: each byte it sends is due back, in order."""

from __future__ import annotations

from grader.harness.client import Client
from grader.harness.difference import likeness
from grader.harness.finding import Finding
from grader.text import in_bytes


class EchoClient(Client):
    """See Client."""

    wants, unasked_for = "its bytes back", "that it never sent"

    def answer_to(self, data: bytes) -> bytes:
        """See ClientProtocol."""
        return data

    def whole_answer(self, sent: int, due: int) -> str:
        """See ClientProtocol."""
        return f"{in_bytes(sent)} back" if sent else ""

    def likeness(self, due: bytes, data: bytes, before: bytes) -> Finding | None:
        """See ClientProtocol. DATA may be another client's."""
        others = {
            other.name: other.stream()
            for other in self.session.connections
            if isinstance(other, Client) and other is not self
        }
        return likeness(due, data, before, others)
