"""A scenario: what may happen to a server's clients, in any order, and what must hold
whatever the order.

The model is small. Each client is due exactly its own bytes, in order, unless it has
left, and what others do changes nothing about that. Between two pauses everything
happens at once, as far as the server can see: it is held back while we act (pace.py).
So when it looks, it finds everything, in the same order each time.
"""

from __future__ import annotations

import enum
import socket
import string
from collections.abc import Iterable
from dataclasses import dataclass

from grader.fuzz.pace import CALM_SECONDS, Pace
from grader.harness import post_mortem
from grader.harness.backpressure import SMALL_WINDOW
from grader.harness.circumstances import Circumstances
from grader.harness.client import Client
from grader.harness.failure import Failure
from grader.harness.server import Server
from grader.harness.transcript import Line, Transcript
from grader.text import in_bytes

# More than the kernel's buffers take for a stalled reader.
FLOOD = 4 << 20

# What client A sends: "A1,A2,A3," and so on, so that a byte shows whose it is, and
# its neighbours where it belongs. The length is not a round number, so that nothing
# is lost or repeated in steps of it.
_COUNTED = b"".join(b"?%d," % number for number in range(1, 12_345))
_STREAMS = {
    letter: _COUNTED.replace(b"?", letter.encode()) for letter in string.ascii_uppercase
}


class Event(enum.Enum):
    """What may happen, in the words of the transcript."""

    CONNECTS = "connects"
    CONNECTS_STALLED = "connects, does not read"
    SENDS = "sends"
    FLOODS = "sends until no more is taken"
    STOPS_READING = "stops reading"
    READS = "begins to read"
    HALF_CLOSES = "half-closes"
    CLOSES = "closes"
    RESETS = "resets its connection (RST)"
    PAUSE = "a pause: everybody who reads gets all bytes back"


@dataclass(frozen=True)
class Step:
    """One step: an event, the letter of its client, and how many bytes are sent. At a
    pause, every client that has half-closed and reads leaves."""

    event: Event
    who: str = ""
    count: int = 0

    def __str__(self) -> str:
        text = str(self.event.value)
        if self.who:
            text = f"client {self.who} {text}"
        if self.count:
            text += f" {in_bytes(self.count)}"
        return text


class Scenario:
    """One scenario, played with SERVER, which has no other clients.

    lines holds what was done, one numbered step per line, and what was seen of it.
    """

    def __init__(self, server: Server, calm_seconds: float = CALM_SECONDS) -> None:
        self.server = server
        self.lines: list[Line] = []
        self.steps = 0
        self._clients: dict[str, Client] = {}  # those still there
        self._came: list[Client] = []
        self._seen: dict[Client, int] = {}
        self.pace = Pace(server, calm_seconds)
        self._sockets = server.connection_descriptors()
        self._wrong: Failure | None = None

    def play(self, steps: Iterable[Step]) -> None:
        """Play all STEPS. Raises Failure, with these steps as its transcript."""
        self.server.transcript = Transcript()
        self.server.circumstances = Circumstances()
        try:
            for step in steps:
                self.steps += 1
                self._write(f"{self.steps:3}. ", str(step))
                self._happen(step)
            self._write("     ", "at the end all read, get their bytes back, and close")
            self._end()
        except Failure as failure:
            self._tell_what_came()
            failure.transcript = self.lines
            raise
        finally:
            self.pace.let_go()

    def _write(self, lead: str, says: str) -> None:
        position = len(self.lines) + 1
        self.lines.append(Line(position, lead, says, -position))

    def _happen(self, step: Step) -> None:
        if step.event is Event.PAUSE:
            self.pace.calm()
            self._all_served()
            return
        self.pace.hold_back()
        if step.event in (Event.CONNECTS, Event.CONNECTS_STALLED):
            self._connect(step.who, step.event is Event.CONNECTS)
            return
        client = self._clients[step.who]
        match step.event:
            case Event.SENDS:
                client.send(self._next_bytes(client, step.count))
            case Event.FLOODS:
                client.send(self._next_bytes(client, FLOOD))
                self.pace.calm()
                client.forget_queue()
            case Event.STOPS_READING:
                client.stop_reading()
            case Event.READS:
                client.read_again()
            case Event.HALF_CLOSES:
                client.forget_queue()
                client.half_close()
            case Event.CLOSES:
                self._clients.pop(step.who).close()
            case Event.RESETS:
                self._clients.pop(step.who).reset()

    def _connect(self, letter: str, reading: bool) -> None:
        name = f"client {letter}"
        if self.server.waiting() >= self.server.room:
            self.pace.calm()  # a client not accepted even then is no worse off
        try:
            client = self.server.start_connecting(name, 0 if reading else SMALL_WINDOW)
            self.server.wait(
                lambda: client.connected, f"{name} cannot connect", what="connecting"
            )
        except Failure as failure:
            # Whether the server is gone by now depends on who is faster; at the next
            # pause it is certain. Until then, a stand-in has that name.
            self._wrong = self._wrong or failure
            client = Client(self.server, socket.socket(), name)
        if not reading:
            client.stop_reading()
        self._clients[letter] = client
        self._came.append(client)

    def _end(self) -> None:
        """Have all clients read, get what is due, and close, and the server close, too.
        So the next scenario does not depend on this one."""
        self.pace.let_go()
        for client in self._clients.values():
            if not client.reading:
                client.read_again()
        self._all_served()
        for client in self._clients.values():
            client.close()
        self.server.expect_descriptors(self._sockets, self._came, "have left")
        self._expect_alive()
        self.server.forget_closed()

    # -- what is due --------------------------------------------------------

    def _next_bytes(self, client: Client, count: int) -> bytes:
        stream = _STREAMS[client.name[-1]]
        at = (client.sent + client.queued) % len(stream)
        return (stream * ((at + count) // len(stream) + 1))[at : at + count]

    def _all_served(self) -> None:
        if self._wrong:
            raise self._wrong
        self.server.check()
        readers = [item for item in self._clients.items() if item[1].reading]
        for _, client in readers:
            client.expect_answer()
        for letter, client in readers:
            if client.half_closed:
                client.expect_end()
                self._clients.pop(letter).close()
        self._tell_what_came()

    def _expect_alive(self) -> None:
        """Expect the server to be still there, and its listening socket, too: a server
        that is about to end has closed that already."""
        self.pace.calm()
        program, server = self.server.program, self.server
        if server.listener() is None:
            server.wait(
                lambda: program.ended() or server.listener() is not None,
                "the server closes its listening socket",
                what="listening",
                may_end=True,
            )
        if program.ended():
            program.all_output_read()
            message = "the server ended when its clients left"
            raise server.failure(message, finding=post_mortem.gone(server.program))

    def _tell_what_came(self) -> None:
        for client in self._came:
            count = client.received - self._seen.get(client, 0)
            if count:
                got = f"{client.name} has got {in_bytes(count)} back"
                self._write("     ", got)
                self._seen[client] = client.received
