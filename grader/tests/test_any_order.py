"""Any order of events: what this check finds on its own, and in how few steps."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grader.course import ROOT
from grader.fuzz import known_scenarios
from grader.fuzz.scenario import Event, Step
from grader.fuzz.search import Search
from grader.harness.echo import EchoClient
from grader.harness.ports import free_port
from grader.harness.server import Server
from grader.sandbox import compiler
from grader.sandbox.program import Program
from grader.tests import programs
from grader.tests.conftest import Graded, run_grader
from grader.tests.scenarios import MADE_UP_BY, made_up

ID = "concurrency/any_order"

# Found every time, whatever else the machine does: words of the lesson, and the most
# steps that the scenario may have. (A busy server takes longer to shrink, and a race
# decides whether a reset is seen.)
FOUND = {
    "clears_the_buffer_first": ("a wrong byte, at offset 0", 3),
    "epoll_for_the_listener_only": ("sleeps in recv() on the connection of", 5),
    "exits_on_a_silent_visitor": ("the program exited with status 1", 3),
    "exits_on_econnreset": ("recv: Connection reset by peer", 8),
    "exits_when_a_client_leaves": ("the program exited with status 0", 3),
    "first_message_only": ("for EPOLLONESHOT)", 5),
    "greets_its_clients": ("bytes that it never sent", 3),
    "linger_zero": ("a reset (RST)", 5),
    "new_before_old": ("a wrong byte", 12),
    "one_client_at_a_time": ("client B waits to be accepted", 3),
    "one_outbox_for_all": ("a wrong byte", 12),
    "short_send_ignored": ("a wrong byte", 12),
}

Submit = Callable[..., Path]


def _grade(submission: Path, *arguments: str | Path, **options: Any) -> Graded:
    only = ("3", "--submission", submission, "--only", ID)
    return run_grader(*only, *arguments, **options)


def _check(done: Graded) -> dict[str, Any]:
    return done.checks(3)[ID]


def _scenario(done: Graded) -> list[str]:
    """The numbered steps of a failure's scenario."""
    return re.findall(r"^ +\d+\. (.+)$", _check(done)["details"], re.M)


def _wrong(name: str) -> str:
    return programs.find(f"3/{name}").text


@pytest.mark.parametrize("name", FOUND)
def test_these_wrong_programs_are_found_by_it_alone(submit: Submit, name: str) -> None:
    words, steps = FOUND[name]
    done = _grade(submit(3, _wrong(name)))
    assert (done.status, _check(done)["status"]) == (1, "failed"), done.err
    assert words in " ".join(_check(done)["details"].split())
    assert 1 <= len(_scenario(done)) <= steps


def test_who_is_blocked_by_an_idle_client_is_told_in_three_steps(
    submit: Submit,
) -> None:
    done = _grade(submit(3, _wrong("one_client_at_a_time")))
    assert _scenario(done) == [
        "client A connects",
        "client B connects",
        "client B sends 1 byte",
    ]
    assert _check(done)["message"] == "client B does not get its bytes back"
    assert _check(done)["evidence"]["kind"] == "blocked_receiving"


def test_what_a_server_opens_for_itself_when_it_listens_is_no_clients() -> None:
    text = programs.find("right/3/pair_for_signals").text
    works = "for (clock_t end = clock() + CLOCKS_PER_SEC / 10; clock() < end;);"
    for before, more in ("#include <sys", "#include <time.h>"), (
        "if (socketpair",
        works,
    ):
        text = text.replace(before, f"{more}\n{before}", 1)
    assert works in text
    steps = Step(Event.CONNECTS, "A"), Step(Event.SENDS, "A", 1)
    with compiler.folder() as folder:
        source, built = folder / "late.c", folder / "late"
        source.write_text(text)
        subprocess.run(["gcc", "-o", built, source], check=True)

        def start() -> Server:
            port = free_port()
            server = Server(Program(built, [str(port)]), port, EchoClient)
            server.expect_listening()
            return server

        search = Search(start)
        try:
            assert search.judge(steps) is None
        finally:
            search.end()


def test_the_same_seed_tells_the_same_story(submit: Submit) -> None:
    submission = submit(3, _wrong("takes_turns"))
    first, again = (_grade(submission, "--seed", "7") for _ in range(2))
    assert _scenario(first) == _scenario(again) != []


def test_the_stories_of_the_default_seed_are_those_that_hypothesis_makes_up() -> None:
    written = known_scenarios.PATH.read_text()
    told = known_scenarios.read()
    assert len(told) > 30
    assert known_scenarios.text(told) == written.partition("\n")[2]
    if written.startswith(MADE_UP_BY):  # other versions generate other scenarios
        assert told == made_up(), "run 'make scenarios'"


# With this, no scenarios can be generated.
WITHOUT = """
import sys
sys.modules["grader.fuzz.generator"] = None
from grader import cli
sys.exit(cli.main(["grade", "3", "--only", "concurrency/any_order", *sys.argv[1:]]))
"""


def test_a_right_program_does_not_need_anything_made_up(submit: Submit) -> None:
    def status(submission: Path, *seed: str) -> int:
        command = ["/usr/bin/python3", "-c", WITHOUT, *seed]
        return subprocess.run(
            [*command, "--submission", str(submission)],
            cwd=ROOT,
            capture_output=True,
            timeout=300,
        ).returncode

    assert status(ROOT / "solutions") == 0
    assert status(ROOT / "solutions", "--seed", "7") == 2
    assert status(submit(3, _wrong("first_message_only"))) == 2


def test_nothing_is_left_where_it_was_run(submit: Submit, tmp_path: Path) -> None:
    place = tmp_path / "empty"
    place.mkdir()
    done = _grade(submit(3, _wrong("one_client_at_a_time")), cwd=place)
    assert _check(done)["status"] == "failed"
    assert list(place.iterdir()) == []
