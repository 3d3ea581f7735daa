"""A finding: what was seen of a program that did not do what was expected.

It carries facts, each in its own field. They decide the likely causes, and wording.py
turns them into a sentence. FINDINGS.md says what each kind claims, and what could make
it false.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, fields
from typing import Any

from grader.kernel import procfs


class Role(enum.StrEnum):
    """What one of the program's descriptors is, as far as we know."""

    CONNECTION = "connection"
    LISTENER = "listener"
    INPUT = "input"  # its standard input
    OTHER = "other"


class State(enum.StrEnum):
    """The state of a connection whose peer waits for the program."""

    TO_BE_ACCEPTED = "to_be_accepted"
    UNREAD = "unread"  # bytes, or the end, have come but were not read
    LEFT_OPEN = "left_open"  # its end was read, but the connection is still open
    UNANSWERED = "unanswered"  # everything was read, but no answer is on its way


@dataclass(frozen=True)
class Waiting:
    """A peer called NAME that waits for the program. DESCRIPTOR is the program's for
    that connection, UNREAD the number of bytes that it has not read, and HAS_ENDED
    whether the peer ended its side after them."""

    name: str
    state: State
    descriptor: int | None = None
    unread: int = 0
    has_ended: bool = False


@dataclass(frozen=True)
class Watched:
    """The EVENTS (epoll_ctl(2)) that epoll watches DESCRIPTOR for; None if it does
    not watch it."""

    descriptor: int
    events: int | None

    @property
    def names(self) -> list[str]:
        """The names of these events."""
        return procfs.event_names(self.events).split(" | ") if self.events else []

    def __str__(self) -> str:
        if self.events is None:
            return "not at all"
        return procfs.event_names(self.events)


@dataclass(frozen=True)
class SameData:
    """epoll hands back the same DATA for DESCRIPTOR, a connection, as for LISTENER."""

    descriptor: int
    listener: int
    data: int


@dataclass
class Finding:
    """What was seen. kind is one word for machines (blocked_sending, lost, spinning …),
    and witness says who shows it. A field whose fact was not seen is None, or empty.
    Times are in seconds.
    """

    kind: str
    witness: str = "The kernel shows"

    # How the program ended: the exit status (negative for a signal), the signal's name,
    # and the limit of ours that it exceeded.
    status: int | None = None
    signal: str = ""
    bound: str = ""

    # The call that it sleeps in: its name, how C shows it, its descriptor, that
    # descriptor's role, and whether it is non-blocking. For a connection: whose it is,
    # and whether that peer reads. Then the number of threads, this one included, and
    # whether the process has an epoll instance that watches anything.
    pid: int | None = None
    call: str = ""
    shown: str = ""
    descriptor: int | None = None
    role: Role | None = None
    nonblocking: bool | None = None
    client: str = ""
    client_reads: bool = True
    threads: int = 1
    loop: bool | None = None
    asleep_seconds: float | None = None

    # Who waits for it meanwhile; how many connections are in the backlog, and how many
    # were accepted so far; how epoll watches the one that waits, and the listener.
    waiting: tuple[Waiting, ...] = ()
    backlog: int = 0
    accepted: int | None = None
    watched: Watched | None = None
    listener: Watched | None = None

    # What it uses while it has nothing to do, and the calls it was seen in.
    processor_seconds: float | None = None
    seconds: float | None = None
    calls: list[str] = field(default_factory=list)
    when: str = ""
    printed: int = 0

    # Its descriptors: the soft limit, if it has reached that, and whether it may raise
    # it; one on which epoll reports room to send that nobody needs; the kinds of those
    # that it keeps, and how many it had after each group of clients.
    same_data: SameData | None = None
    full: int = 0
    may_raise: bool = False
    room: int | None = None
    new: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    # What a client still lacks: how many bytes are due, how many came, and the first
    # one due.
    due: int = 0
    came: int | None = None
    first_due: str = ""
    hung_up: str = ""  # how the program ended its connection: closed, or reset
    displaced: bool | None = None  # whether other bytes came than were due
    # What wrong bytes look like (difference.py), and the words for it.
    looks_like: str = ""
    likeness: str = ""

    # Its epoll instances, each with the events by watched descriptor; the descriptors
    # that should be watched, and those of them that are not.
    instances: dict[int, dict[int, int]] | None = None
    descriptors: list[int] = field(default_factory=list)
    not_watched: list[int] = field(default_factory=list)

    # What another witness reports, in words and in full; the mistake, and the C library
    # function that made it.
    reported: str = ""
    report: str = ""
    mistake: str = ""
    function: str = ""

    # The port on which nobody listens.
    port: int = 0

    def who_waits(self, state: State) -> str:
        """The name of the last peer that waits in STATE, or "" if none does."""
        return next((w.name for w in reversed(self.waiting) if w.state == state), "")

    def as_data(self) -> dict[str, Any]:
        """What was seen, for result files: the fields that say something."""
        usual = Finding(self.kind)
        data = {
            name: value
            for name in (one.name for one in fields(self))
            if name not in _NOT_SHOWN
            and (value := getattr(self, name)) != getattr(usual, name)
        }
        if self.full:
            data["may_raise"] = self.may_raise
        return {"kind": self.kind} | data | self._plain()

    def _plain(self) -> dict[str, Any]:
        """The structured fields in a plain form: names, numbers, words."""
        data: dict[str, Any] = {
            key: name for state, key in _KEYS.items() if (name := self.who_waits(state))
        }
        for one in self.waiting:
            if one.state is State.UNREAD:
                data["unread"] = one.unread + one.has_ended
        if self.same_data:
            data["same_data"] = self.same_data.descriptor
        if self.watched:
            data["watched_for"] = str(self.watched)
        if self.listener:
            data["listener_watched_for"] = str(self.listener)
        return data


# Fields that only serve the wording, or are shown in another form.
_NOT_SHOWN = (
    "witness", "client_reads", "waiting", "watched", "listener", "likeness",
    "instances", "reported", "when", "shown", "counts", "port", "same_data",
    "may_raise",
)  # fmt: skip

_KEYS = {
    State.UNREAD: "awaited",
    State.LEFT_OPEN: "left_open",
    State.UNANSWERED: "read_and_unanswered",
}
