"""Findings in words: the one place that turns what was seen into a sentence."""

from __future__ import annotations

from collections.abc import Callable

from grader.harness.finding import Finding, Role, State, Waiting
from grader.kernel import procfs
from grader.sandbox.program import ending
from grader.text import in_bytes


def says(finding: Finding) -> str:
    """FINDING as a sentence, without a full stop."""
    said = _SENTENCES.get(finding.kind, _sleep)(finding)
    return said + _taken_for_the_listener(finding) + _resources(finding)


# -- asleep -------------------------------------------------------------------


def _sleep(finding: Finding) -> str:
    """Where it sleeps, and who waits for it meanwhile."""
    waiting = _while(finding.waiting)
    if not finding.call:
        return f"the program sleeps{waiting}"
    many = finding.threads > 1
    who = f"one of its {finding.threads} threads" if many else "the program"
    where = f"{who} sleeps in {finding.shown} {_about(finding)}".rstrip()
    if finding.kind == "blocked_sending":
        does_not = f", and {finding.client} does not read"
        return where + ("" if finding.client_reads else does_not) + waiting
    if finding.kind == "blocked_receiving":
        return f"{where}, where nothing more is coming{waiting}"
    if finding.kind == "blocked_accepting":
        return where + waiting
    quiet = finding.kind == "withheld"
    watched = _watched(finding) + (", but the kernel has not woken it" if quiet else "")
    return where + waiting + watched


def _about(finding: Finding) -> str:
    """What the call that it sleeps in is about."""
    number = finding.descriptor
    if finding.role is Role.CONNECTION:
        return f"on the connection of {finding.client} (descriptor {number})"
    if finding.role is Role.LISTENER:
        return f"on its listening socket (descriptor {number})"
    if finding.role is Role.INPUT:
        return "on its standard input"
    return f"on descriptor {number}" if finding.role is Role.OTHER else ""


def _while(waiting: tuple[Waiting, ...]) -> str:
    parts = [_waits(one) for one in waiting]
    if len(parts) > 2:
        parts = [parts[0], f"the same goes for {len(parts) - 1} more clients"]
    return f", while {', and '.join(parts)}" if parts else ""


def _waits(one: Waiting) -> str:
    match one.state:
        case State.TO_BE_ACCEPTED:
            return f"{one.name} waits to be accepted"
        case State.LEFT_OPEN:
            return (
                f"{one.name} has ended its side, and the program has read that, but "
                "the connection is still open"
            )
        case State.UNANSWERED:
            return (
                f"it has read all that {one.name} sent, and nothing is on its way back"
            )
    what = f"{in_bytes(one.unread)} from" if one.unread else "the end of"
    verb = "wait" if one.unread > 1 else "waits"
    where = "" if one.descriptor is None else f" on descriptor {one.descriptor}"
    return f"{what} {one.name} {verb} unread{where}"


def _watched(finding: Finding) -> str:
    """Whether epoll watches what waits."""
    said = ""
    if one := finding.watched:
        # The words for unread bytes already say on which descriptor they are.
        named = bool(finding.who_waits(State.UNREAD))
        if one.events is None:
            which = "" if named else f": descriptor {one.descriptor}"
            said += f" (epoll does not watch it{which})"
        else:
            which = "" if named else f", descriptor {one.descriptor},"
            said += f" (epoll watches it{which} for {one})"
    if one := finding.listener:
        verb = "does not watch" if one.events is None else "watches"
        events = "" if one.events is None else f" for {one}"
        said += f" (epoll {verb} its listening socket{events})"
    return said


# -- everything else ----------------------------------------------------------


def _ended(finding: Finding) -> str:
    return f"the program {ending(finding.status or 0, finding.bound)}"


def _hung_up(finding: Finding) -> str:
    said = f"it ended after {in_bytes(finding.came or 0)} had arrived"
    return said + (
        f'; the next byte due was "{finding.first_due}"' if finding.due else ""
    )


def _refused(finding: Finding) -> str:
    said = f"nothing listens on port {finding.port}"
    return said + (
        f", and the program sleeps in {finding.shown}" if finding.shown else ""
    )


def _spins(finding: Finding) -> str:
    return (
        f"the program is busy: it has used {finding.processor_seconds:.1f} s of "
        "processor time since anything was last sent or received"
    )


def _busy(finding: Finding) -> str:
    used, seconds = finding.processor_seconds, finding.seconds
    return f"it used {used:.2f} s of processor time in {seconds:.2f} s"


def _epoll(finding: Finding) -> str:
    """What its epoll instances watch."""
    shown = [
        f"descriptor {instance} watches {_events(interest)}"
        for instance, interest in (finding.instances or {}).items()
    ]
    return "; ".join(shown) or "the server has no epoll instance"


def _events(interest: dict[int, int]) -> str:
    for_what = (
        f"{descriptor} for {procfs.event_names(events)}"
        for descriptor, events in sorted(interest.items())
    )
    return ", ".join(for_what) or "nothing"


def _keeps(finding: Finding) -> str:
    counts = ", ".join(map(str, finding.counts))
    new = ", ".join(finding.new)
    return f"it has {counts} descriptors besides sockets; the new ones are {new}"


_SENTENCES: dict[str, Callable[[Finding], str]] = {
    "gone": _ended,
    "over_limit": _ended,
    "stopped": lambda _: "the program is stopped (SIGSTOP, SIGTSTP)",
    "spinning": _spins,
    "busy": _busy,
    "prints_without_end": lambda finding: (
        f"the program prints endlessly: {finding.printed >> 20} MiB so far"
    ),
    "slow": lambda finding: f"it has not finished after {finding.seconds:.0f} s",
    "silent": lambda finding: f"nothing has moved for {finding.seconds:.0f} s",
    "hung_up": _hung_up,
    "refused": _refused,
    "wrong_bytes": lambda finding: finding.likeness,
    "not_watched": _epoll,
    "waits_elsewhere": lambda finding: (
        f"{finding.when}, it sleeps in {', '.join(finding.calls)}"
    ),
    "descriptors_kept": _keeps,
    "sanitizer": lambda finding: finding.reported,
    "never_set": lambda finding: f"built that way, {finding.reported}",
}


def _taken_for_the_listener(finding: Finding) -> str:
    """Whether epoll hands back the same data for a connection as for the listener."""
    if not (same := finding.same_data):
        return ""
    return (
        f"; epoll hands back the same data ({same.data:#x}) for descriptor "
        f"{same.descriptor} as for the listening socket, {same.listener}"
    )


def _resources(finding: Finding) -> str:
    """What it has used up, and what epoll tells it for nothing."""
    said = ""
    if full := finding.full:
        said += f"; it has {full} descriptors open, as many as its soft limit allows"
    if finding.room is not None:
        told = f"epoll reports room to send (EPOLLOUT) on descriptor {finding.room}"
        said += f"; {told}"
    return said
