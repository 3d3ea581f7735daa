"""A story that goes as it likes: what may happen to a server's clients, and what
must be true whatever order it happens in.

The model is small. Each client is due exactly its own bytes, in order, unless it
has left; nobody else's doings change that. Between two pauses all happens at
once, as far as the server can see: it is held back while we act, so that it finds
everything there when it looks, in the same order each time.
"""

from __future__ import annotations

import contextlib
import enum
import os
import socket
import string
import time
from collections.abc import Iterable
from dataclasses import dataclass

from grader import procfs
from grader.backpressure import SMALL_WINDOW
from grader.client import Client
from grader.failure import Failure
from grader.server import Server
from grader.transcript import Line, Transcript, in_bytes

# More than the kernel's buffers take for a client that does not read.
FLOOD = 4 << 20

# Not a judgement, only the pace: how long is waited at most, while nothing moves, for
# a server to come to rest. Who never does is waited for less and less.
CALM_SECONDS, _LEAST_CALM_SECONDS = 0.3, 0.005

# What client A sends: "A1,A2,A3," and so on, so that a byte tells whose it is, and
# its neighbours where it belongs. The length is no round number, so that nothing
# is lost or repeated in steps of it.
_COUNTED = b"".join(b"?%d," % number for number in range(1, 12_345))
_STREAMS = {
    letter: _COUNTED.replace(b"?", letter.encode()) for letter in string.ascii_uppercase
}


class Event(enum.Enum):
    """What may happen, in the words in which it is told."""

    CONNECTS = "connects"
    CONNECTS_DEAF = "connects, does not read"
    SENDS = "sends"
    FLOODS = "sends until no more is taken"
    STOPS_READING = "stops reading"
    READS = "begins to read"
    HALF_CLOSES = "half-closes"
    CLOSES = "closes"
    RESETS = "breaks off (RST)"
    PAUSE = "a pause: everybody who reads gets all bytes back"


@dataclass(frozen=True)
class Step:
    """One step: an event, the letter of the client that it happens to, and how many
    bytes are sent. With a pause, everybody who has half-closed and reads is gone."""

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


class Story:
    """One story, told to SERVER, on which nothing else goes on.

    lines is what has been done, one numbered step a line, and what was seen of it.
    """

    def __init__(self, server: Server, calm_seconds: float = CALM_SECONDS) -> None:
        self.server = server
        self.calm_seconds = calm_seconds
        self.lines: list[Line] = []
        self.steps = 0
        self._clients: dict[str, Client] = {}  # those who are there
        self._came: list[Client] = []
        self._seen: dict[Client, int] = {}
        self._held = contextlib.ExitStack()
        self._holding = False
        self._sockets = server.connection_descriptors()
        self._wrong: Failure | None = None

    def tell(self, steps: Iterable[Step]) -> None:
        """Have it all happen. Raises Failure, told with this story."""
        self.server.transcript = Transcript()
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
            self._let_go()

    def _write(self, lead: str, says: str) -> None:
        position = len(self.lines) + 1
        self.lines.append(Line(position, lead, says, -position))

    def _happen(self, step: Step) -> None:
        if step.event is Event.PAUSE:
            self._calm()
            self._all_served()
            return
        self._hold_back()
        if step.event in (Event.CONNECTS, Event.CONNECTS_DEAF):
            self._connect(step.who, step.event is Event.CONNECTS)
            return
        client = self._clients[step.who]
        match step.event:
            case Event.SENDS:
                client.send(self._next_bytes(client, step.count))
            case Event.FLOODS:
                client.send(self._next_bytes(client, FLOOD))
                self._calm()
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
            self._calm()  # whoever is not accepted even then is no worse off
        try:
            client = self.server.start_connecting(name, 0 if reading else SMALL_WINDOW)
            self.server.wait(lambda: client.connected, f"{name} cannot connect")
        except Failure as failure:
            # Whether the server is gone by now is a matter of who is faster; at the
            # next pause it is certain. Until then there is somebody of that name.
            self._wrong = self._wrong or failure
            client = Client(self.server, socket.socket(), name)
        if not reading:
            client.stop_reading()
        self._clients[letter] = client
        self._came.append(client)

    def _end(self) -> None:
        """All begin to read, get what is due, and close; and the server closes, too.
        So the next story does not depend on this one."""
        self._let_go()
        for client in self._clients.values():
            if not client.reading:
                client.read_again()
        self._all_served()
        for client in self._clients.values():
            client.close()
        self.server.expect_descriptors(self._sockets, self._came, "have left")
        self._expect_alive()
        self.server.forget_closed()

    # -- its pace -----------------------------------------------------------

    def _hold_back(self) -> None:
        if not self._holding:
            # Not idle, as in a burst: nobody but root gets back from there.
            self._held.enter_context(self.server.held_down(os.SCHED_BATCH))
            self._holding = True

    def _let_go(self) -> None:
        self._held.close()
        self._holding = False

    def _calm(self) -> None:
        """Let the server come to rest: see CALM_SECONDS."""
        self._let_go()
        moved = time.monotonic()
        while time.monotonic() < moved + self.calm_seconds:
            tasks = procfs.tasks(self.server.program.pid or 0)
            asleep = tasks and all(task.state == "S" for task in tasks)
            if self.server.pump(0 if asleep else 0.0005):
                moved = time.monotonic()
            elif asleep or self.server.program.ended():
                self.calm_seconds = min(1.1 * self.calm_seconds, CALM_SECONDS)
                return
        self.calm_seconds = max(self.calm_seconds / 2, _LEAST_CALM_SECONDS)

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
            client.expect_echo()
        for letter, client in readers:
            if client.half_closed:
                client.expect_end()
                self._clients.pop(letter).close()
        self._tell_what_came()

    def _expect_alive(self) -> None:
        """Expect the server to be there still, with its listening socket: one that
        is about to end has closed that already."""
        self._calm()
        program, server = self.server.program, self.server
        if server.listener() is None:
            server.wait(
                lambda: program.ended() or server.listener() is not None,
                "the server closes its listening socket",
                may_end=True,
            )
        if program.ended():
            program.all_output_read()
            message = "the server ended when its clients left"
            raise server.failure(message, finding=server.gone())

    def _tell_what_came(self) -> None:
        for client in self._came:
            count = client.received - self._seen.get(client, 0)
            if count:
                got = f"{client.name} has got {in_bytes(count)} back"
                self._write("     ", got)
                self._seen[client] = client.received
