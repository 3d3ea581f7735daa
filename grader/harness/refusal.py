"""Programs that are started with something they must refuse."""

from __future__ import annotations

from grader.harness import post_mortem
from grader.harness.listening import Listening
from grader.harness.session import Session
from grader.kernel import sockets


def expect_refusal(session: Session, what: str, given: str | None = None) -> None:
    """Expect a program that was started with WHAT (the argument GIVEN) to refuse it:
    one `[ERROR]` line on standard error, exit status 1. Raises Failure."""
    seen = session.circumstances
    seen.given = given
    expected = "one [ERROR] line on standard error, and exit status 1"

    def received() -> str:
        seen.goes_on = True
        listens = session.listeners() if isinstance(session, Listening) else []
        ports = seen.listens_on = [listener.local_port for listener in listens]
        seen.kernel_chose = any(map(sockets.is_chosen_by_the_kernel, ports))
        seen.is_the_same_port = session.port in ports
        where = ", ".join(map(str, ports))
        return "it keeps running" + (f", and listens on port {where}" if ports else "")

    session.wait(
        session.program.ended,
        f"{what} is not refused",
        what="refusal",
        expected=expected,
        received=received,
    )
    session.program.all_output_read()
    lines = session.program.errors.text().splitlines()
    marked = sum(line.startswith("[ERROR]") for line in lines)
    if session.program.status() != 1 or marked != 1:
        lacks = post_mortem.error_lines(session.program, seen)
        raise session.failure(
            f"{what} is not refused correctly",
            expected,
            f"it {session.program.ending()}, {lacks}",
            what="refusal",
        )
