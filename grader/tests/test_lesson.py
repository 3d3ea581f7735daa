"""What a lesson is made of: the transcript, the bytes that differ, the sanitizers'
reports in words, and where to read on."""

from __future__ import annotations

import itertools
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from grader import course
from grader.course import DEFAULT_SEED, ROOT
from grader.grading.request import Request
from grader.harness import wording
from grader.harness.difference import around, first_difference, likeness
from grader.harness.failure import Failure
from grader.harness.finding import Finding
from grader.harness.listening import still_waiting
from grader.harness.server import open_sockets
from grader.harness.transcript import Line, Transcript
from grader.lessons import lesson
from grader.lessons.sanitizer import first_report
from grader.sandbox.isolation import NoIsolation
from grader.tests import golden
from grader.tests.programs import Program

# -- the transcript -----------------------------------------------------------


def _crowd() -> Transcript:
    transcript = Transcript()
    for number in range(1, 101):
        transcript.note(f"client {number}", "connects")
    for number in range(1, 101):
        transcript.note(f"client {number}", "sends", b"abc\n", 4)
    return transcript


def _words(lines: list[str]) -> list[str]:
    return [re.sub(r" +\d+ ms  ", " ", line.strip()) for line in lines]


def _lesson(story: list[Line], **seen: Any) -> str:
    """The lesson for a failure with this STORY and with whatever else was SEEN."""
    check = course.stage(3).checks["blocking/never_reads"]
    failure = Failure(transcript=story, **seen)
    return lesson.write(lesson.parts(check, course.stage(3), failure))


def _story_in(text: str) -> list[str]:
    told = text.partition("What was done:\n")[2].splitlines()
    return list(itertools.takewhile(lambda line: line.startswith("  "), told))


def test_a_long_story_keeps_its_ends_and_those_whom_it_is_about() -> None:
    story = _crowd().lines("client 42 does not get its bytes back")
    assert _words(_story_in(_lesson(story, message="no bytes"))) == [
        "1. client 1 connects",
        "2. client 2 connects",
        "3. client 3 connects",
        "… 38 steps left out …",
        "42. client 42 connects",
        "… 99 steps left out …",
        '142. client 42 sends 4 bytes: "abc\\n"',
        "… 53 steps left out …",
        '196. client 96 sends 4 bytes: "abc\\n"',
        '197. client 97 sends 4 bytes: "abc\\n"',
        '198. client 98 sends 4 bytes: "abc\\n"',
        '199. client 99 sends 4 bytes: "abc\\n"',
        '200. client 100 sends 4 bytes: "abc\\n"',
    ]


@pytest.mark.parametrize("steps", [1, 9, 200])
def test_the_story_has_what_room_the_rest_of_the_lesson_leaves(steps: int) -> None:
    words = "the program sleeps in epoll_wait() " + "and so on " * 9
    finding = Finding("wrong_bytes", likeness=words)
    bytes = "…abcdefg\n        ^ offset 8", "…abcdefgh\n        ^ offset 8"
    transcript = Transcript()
    for number in range(steps):
        transcript.note(f"client {number}", "connects, " + "and does more " * 5)
    text = _lesson(
        transcript.lines("client 7"),
        message="the other client does not get its bytes back",
        expected=bytes[0],
        received=bytes[1],
        finding=finding,
        errors="one\ntwo\nthree\n" * 9,
    )
    assert len(text.splitlines()) <= lesson.SCREEN
    assert f"{steps}. " in text and "does more\n" in text


def test_as_much_is_shown_however_many_digits_the_numbers_have() -> None:
    def steps(count: int) -> list[str]:
        transcript = Transcript()
        for number in range(30):
            says = f"has sent {count} bytes in all: they wait, and wait"
            transcript.note(f"client {number:02}", says)
        told = _story_in(_lesson(transcript.lines(""), message="no bytes"))
        return [line[:5] for line in told if line[2:5].strip()]

    assert steps(1000) == steps(1000000)


def test_a_step_is_told_to_its_end_and_nothing_is_cut() -> None:
    transcript = Transcript()
    says = "has sent 756000 bytes in all: the answers wait for the client, which is due"
    transcript.note("the client with small messages", says)
    first, second = _story_in(_lesson(transcript.lines(""), message="no bytes"))
    assert f"{first.partition(' ms  ')[2]} {second.strip()}".endswith(says)
    assert second.index(second.strip()) == first.index("the client")


def test_a_lesson_has_all_its_parts_in_eighty_columns() -> None:
    finding = Finding("sanitizer", reported="it is in epoll_wait() " + "and " * 30)
    text = _lesson(
        [Line(1, "", "x" * 200)],
        message="no bytes",
        expected="5 bytes",
        received="none",
        finding=finding,
        errors="bad\n" + "y" * 1000,
    )
    assert max(map(len, text.splitlines())) <= 78
    for part in (
        "no bytes", "What was done:", "Expected: 5 bytes", "Got: none",
        "The kernel shows: it is in epoll_wait()", "  bad\n",
        "Requirement 3.7:", "To think about:", "STAGE=3 ONLY=blocking/never_reads\n",
    ):  # fmt: skip
        assert part in text


def test_one_caret_stands_under_what_was_due_and_what_came() -> None:
    due, came = (around(data, 8, 108) for data in (b"01234567\tx", b"01234567\n"))
    text = _lesson([], message="a wrong byte", expected=due, received=came)
    at = text.splitlines().index("Expected: …01234567\\tx")
    assert text.splitlines()[at + 1 : at + 3] == [
        "Got:      …01234567\\n",
        "                   ^ offset 108",
    ]


def test_the_same_is_run_again_wherever_it_lies_and_with_the_same_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(folder: Path, seed: int, at_hand: bool = True) -> str:
        request = Request(folder, [3], "", seed, NoIsolation(), is_at_hand=at_hand)
        return request.asked_of_make()

    monkeypatch.chdir(ROOT)
    assert asked(ROOT / "stages", DEFAULT_SEED) == ""
    assert asked(Path("solutions"), DEFAULT_SEED) == "SUBMISSION=solutions"
    told = f"SUBMISSION='{tmp_path}/my own' SEED=7"
    assert asked(tmp_path / "my own", 7) == told
    check = course.stage(3).checks["echo/line"]
    text = lesson.write(lesson.parts(check, course.stage(3), Failure("no bytes"), told))
    assert f"Again:    make grade STAGE=3 ONLY=echo/line {told}\n" in text
    # When grading for others, the submission is not where they have it.
    assert asked(tmp_path, DEFAULT_SEED, at_hand=False) == ""
    monkeypatch.chdir(tmp_path)
    assert asked(tmp_path / "alice", DEFAULT_SEED) == ""


def test_pieces_of_one_sending_are_one_step_and_odd_bytes_are_short() -> None:
    transcript = Transcript()
    for piece in (b"\0\x01\x02", b"\x1b" * 40, b"c"):
        transcript.note("client A", "sends", piece, len(piece))
    (line,) = transcript.lines("")
    shown = '"\\x00\\x01\\x02\\x1b\\x1b\\x1b…"'
    assert line.says == f"client A sends 44 bytes: {shown}"


def test_the_picture_has_the_story_and_when_the_program_slept() -> None:
    transcript = _crowd()
    began = transcript.began
    transcript.note_sleep(began, "epoll_wait()")
    transcript.note_sleep(began, "epoll_wait()")
    transcript.note_sleep(began, "recv()")
    data = transcript.as_data("client 42")
    assert len(data["story"]) < 70 and data["names"] == 100
    assert [sleep["in"] for sleep in data["asleep"]] == ["epoll_wait()", "recv()"]
    assert sum(entry.get("left_out", 1) for entry in data["story"]) == 200
    assert data["ended_ms"] >= data["asleep"][-1]["to_ms"]


def test_a_sleep_is_one_as_long_as_nothing_moves() -> None:
    transcript = Transcript()
    transcript.note("client 1", "connects")
    for _ in range(3):  # we look now and then
        transcript.note_sleep(time.monotonic(), "send()")
    transcript.note("client 1", "sends", b"a", 1)
    transcript.note_sleep(time.monotonic(), "send()")
    assert len(transcript.as_data()["asleep"]) == 2


# -- bytes that differ --------------------------------------------------------

OTHERS = {"client B": b"B1,B2,B3,B4,B5,B6,B7,B8,"}


@pytest.mark.parametrize(
    "kind, due, came, before",
    [
        ("cut_short", b"\0abc", b"", b"xyz"),
        ("zeros", b"hello, world", bytes(12), b""),
        ("top_bit", b"\x81\xe2c", b"\x01bc", b""),
        ("crlf", b"\nnext", b"\r\nnext", b"line"),
        ("crlf", b"\r\nnext", b"\nnext", b"line"),
        ("another_client", b"A7,A8,A9", b"B4,B5,B6", b"A1,"),
        ("skipped", b"abcdefghijklmnop", b"fghijklmnop", b""),
        ("repeated", b"klmnop", b"abcdef", b"abcdefghij"),
        ("own_words", b"", b"Welcome!\n", b""),
    ],
)
def test_wrong_bytes_are_known_by_what_they_look_like(
    kind: str, due: bytes, came: bytes, before: bytes
) -> None:
    finding = likeness(due, came, before, OTHERS)
    assert finding and finding.looks_like == kind


def test_nothing_is_said_of_bytes_that_look_like_nothing() -> None:
    assert likeness(b"abcdefgh", b"\x93\x12\xfe\x00\x07", b"", OTHERS) is None


def test_a_part_of_what_came_before_is_not_called_all_of_it() -> None:
    stale = likeness(b"", b"ghijklmn", b"abcdefghijklmnopqrst", OTHERS)
    assert stale and stale.looks_like == "repeated"
    assert wording.says(stale).endswith("the first 8 of the last 14")
    resent = likeness(b"klmnop", b"abcdefghij", b"abcdefghij", OTHERS)
    assert resent and wording.says(resent).endswith("the last 10")


@pytest.mark.parametrize(
    "due, came, at",
    [(b"", b"", 0), (b"ab", b"a", 1), (b"a", b"ab", 1), (b"x", b"y", 0)]
    + [(b"a" * 1000, b"a" * n + b"b" * (1000 - n), n) for n in (0, 1, 500, 999)],
)
def test_the_first_difference_is_found(due: bytes, came: bytes, at: int) -> None:
    assert first_difference(due, came) == at


def test_one_is_not_many() -> None:
    assert [open_sockets(n) for n in (1, 2)] == ["1 open socket", "2 open sockets"]
    assert [still_waiting(n) for n in (1, 2)] == [
        "1 of them still waits for accept()",
        "2 of them still wait for accept()",
    ]


# -- sanitizers ---------------------------------------------------------------

BROKEN = r"""
#include <stdlib.h>
#include <string.h>
static char table[10], *volatile kept;
static int broken(int how, int none)
{
    char local[16], *block = malloc(8);
    switch (how) {
    case 1: memset(local, 'a', 17 + none); return local[3];
    case 2: table[10 + none] = 1; return 0;
    case 3: free(block); free(block + none); return 0;
    case 4: return *(volatile int *)(long)none;
    case 5: free(block); kept = malloc(100); kept = NULL; return 0;
    case 6: return strlen(strcpy(block, "12345678" + none));
    case 7: return block[-1 - none];
    case 8: free(block); return block[none];
    case 9: memset(local, 'a', 16); return strlen(local + none);
    }
    return 0;
}
int main(int argc, char **argv) { return broken(atoi(argv[1]), argc - 2) & 1; }
"""

IN_WORDS = {
    1: "in broken(), tcp_server.c:8, memset() writes 17 bytes, some of them past the "
    "end of the array 'local'",
    2: "in broken(), tcp_server.c:9: index 10 out of bounds for type 'char [10]'",
    3: "in broken(), tcp_server.c:10: attempting double-free",
    4: "in broken(), tcp_server.c:11: load of null pointer of type 'volatile int'",
    5: "what is allocated in broken(), tcp_server.c:12, is lost: 1 block is never "
    "freed, 100 bytes in all",
    6: "in broken(), tcp_server.c:13, strcpy() writes 9 bytes, some of them past the "
    "end of a block of 8 bytes that was allocated in broken(), tcp_server.c:6",
    7: "in broken(), tcp_server.c:14, it reads 1 byte before the start of a block of 8 "
    "bytes that was allocated in broken(), tcp_server.c:6",
    8: "in broken(), tcp_server.c:15, it reads 1 byte of a block of 8 bytes that has "
    "been freed in broken(), tcp_server.c:15",
    9: "in broken(), tcp_server.c:16, strlen() reads 17 bytes, some of them past the "
    "end of the array 'local'",
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("broken")
    (folder / "tcp_server.c").write_text(BROKEN.lstrip())
    flags = "-std=gnu17 -O1 -g -w -fno-omit-frame-pointer -fsanitize=address,undefined"
    command = ["/usr/bin/gcc", *flags.split(), "-o", "broken", "tcp_server.c"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "broken"


@pytest.mark.parametrize("how", IN_WORDS)
def test_a_sanitizer_report_is_told_in_words(broken: Path, how: int) -> None:
    environment = {"UBSAN_OPTIONS": "print_stacktrace=1", "ASAN_OPTIONS": "color=never"}
    done = subprocess.run([broken, str(how)], env=environment, capture_output=True)
    report = first_report(done.stderr.decode(), "tcp_server.c")
    assert report
    # How far away the next NUL is, is a matter of chance.
    says = re.sub(r"(?<=strlen\(\) reads )\d+", "17", report.says)
    assert says == IN_WORDS[how]
    assert report.frames[-1].startswith("in main(), tcp_server.c:")


@pytest.mark.parametrize("stage", course.stages())
def test_what_a_lesson_types_and_nobody_has_installed_is_named(stage: int) -> None:
    text = (ROOT / "stages" / str(stage) / "README.md").read_text()
    by_hand = text.partition("## Trying it by hand")[2]
    assert "`netcat-openbsd`" in by_hand and "`strace`" in by_hand


# -- sections -----------------------------------------------------------------


def _headings(stage: int) -> set[str]:
    text = (ROOT / "stages" / str(stage) / "README.md").read_text()
    headings: list[str] = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return set(headings)


@pytest.mark.parametrize("stage", course.stages())
def test_where_to_read_on_is_a_heading_of_the_lesson(stage: int) -> None:
    loaded = course.stage(stage)
    assert set(loaded.sections) <= set(loaded.requirements)
    sections = {loaded.section_of(check) for check in loaded.checks.values()}
    assert sections <= _headings(stage)
    assert len({lesson.anchor(heading) for heading in sections}) == len(sections)


def test_a_link_leads_to_a_heading_as_github_names_it() -> None:
    assert lesson.anchor("TIME_WAIT, and SO_REUSEADDR") == "time_wait-and-so_reuseaddr"
    check = course.stage(3).checks["blocking/never_reads"]
    *_, on = lesson.parts(check, course.stage(3), Failure("no bytes"))
    assert on.link == "stages/3/README.md#second-half-never-wait-at-all"


def test_the_readme_shows_a_failure_as_the_grader_tells_it() -> None:
    program = Program("wrong", 3, "blocking_send")
    shown = (ROOT / "README.md").read_text().partition("    ✗ ")[2]
    shown = shown.partition("\n\n")[0].replace("\n      ", "\n")
    told = golden.without_chance(f"{shown}\n", crowded=False)
    assert told == golden.path(program).read_text()
