"""Wrong programs match their files: headers, patches, and how they are written out and
saved."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from grader import course
from grader.course import ROOT
from grader.errors import CannotGrade
from grader.tests import headers, patches
from grader.tests.headers import ANY, BASE
from grader.tests.programs import (
    LIMIT,
    STAGES,
    Program,
    bases,
    find,
    nearest_base,
    programs,
    solution,
)

Done = subprocess.CompletedProcess[str]

WRONG = programs("wrong")


# -- all programs ---------------------------------------------------------------------


@pytest.mark.parametrize("program", WRONG, ids=str)
def test_a_wrong_program_says_what_it_is(program: Program) -> None:
    header = program.header
    assert re.fullmatch(r"([A-Z]|main\(\)|write\(\)|send\(\)).*\.", header.mistake)
    assert header.must and (ANY not in header.may or header.may == {ANY})
    assert not header.must & header.may
    assert program.is_patch == (BASE in program.fields)
    assert program.text.startswith("/*\n * Mistake: ")
    top, body = headers.divide_source(program.text)
    assert body == program.body
    assert headers.check(headers.parse(top, "the comment"), "the comment") == header


@pytest.mark.parametrize("program", [p for p in WRONG if p.is_patch], ids=str)
def test_a_patch_applies_to_its_base_and_is_short(program: Program) -> None:
    diff = patches.difference(program.base.body, program.body)
    assert 0 < patches.changed_lines(diff) <= LIMIT


@pytest.mark.parametrize("program", [p for p in WRONG if not p.is_patch], ids=str)
def test_a_whole_program_is_far_from_every_base(program: Program) -> None:
    """If this fails, make program NAME=... and SAVE=1 turn it into a patch."""
    assert nearest_base(program.stage, program.body) is None


@pytest.mark.parametrize("stage", course.stages())
def test_every_file_of_a_stages_tests_belongs_to_one_program(stage: int) -> None:
    folder = STAGES / str(stage)
    right, wrong, lessons = (
        sorted(path.name for path in (folder / kind).iterdir())
        for kind in ("right", "wrong", "lessons")
    )
    ours = [program for program in WRONG if program.stage == stage]
    assert right == sorted(f"{base.name}.c" for base in bases(stage)[1:])
    assert wrong == sorted(program.file.name for program in ours)
    assert lessons == sorted(f"{program.name}.txt" for program in ours)


# -- headers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "top, words",
    [
        ("Mistake: It is wrong.", "the header has no 'Must fail:'"),
        ("Must fail: echo/line", "the header has no 'Mistake:'"),
        ("Mistake:\nMust fail: echo/line", "'Mistake:' is still to be filled in"),
        ("Mistake: A.\nMust fail: a/b\nSays:", "'Says:' is still to be filled in"),
        ("Mistake: A */ b.\nMust fail: a/b", "'Mistake:' would end the comment"),
        ("Mistake: A.\nMust fial: echo/line", "a line 'Must fial: echo/line'"),
        ("Mistake: A.\nMistake: B.", "a line 'Mistake: B.'"),
        ("  Mistake: A.", "a line 'Mistake: A.'"),
    ],
)
def test_a_header_that_is_none_is_refused(top: str, words: str) -> None:
    with pytest.raises(CannotGrade, match=re.escape(words)):
        headers.check(headers.parse(top, "FILE"), "FILE")


def test_a_header_goes_on_in_lines_that_begin_with_two_spaces() -> None:
    fields = {
        "Mistake": "It is " + "very " * 30 + "wrong.",
        "Must fail": ", ".join(f"theme/check_{n}" for n in range(9)),
        "Says": "in epoll_wait(), while",
    }
    written = headers.write(fields)
    assert max(map(len, written.splitlines())) <= 80
    assert headers.parse(written, "FILE") == fields
    top, body = headers.divide_source(headers.comment(fields) + "int x;\n")
    assert (headers.parse(top, "FILE"), body) == (fields, "int x;\n")


# -- diffs ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "old, new, count",
    [
        ("a\nb\nc\n", "a\nB\nc\n", 1),
        ("a\nb\nc\n", "a\nB\nBB\nc\n", 2),
        ("a\nb\nc\n", "a\nc\nd", 2),
        ("-- a\n++ b\n", "++ b\n-- c\n", 2),
        ("without a newline", "nor here", 1),
    ],
)
def test_a_line_that_is_replaced_counts_once(old: str, new: str, count: int) -> None:
    diff = patches.difference(old, new)
    assert patches.changed_lines(diff) == count >= patches.at_least(old, new)
    assert patches.apply(diff, old) == new


def test_a_patch_fits_exactly_or_not_at_all() -> None:
    old = "".join(f"line {n}\n" for n in range(20))
    diff = patches.difference(old, old.replace("line 9\n", "line nine\n"))
    moved = "one more\n" + old
    assert "line nine" in patches.apply(diff, moved)
    for other in (old.replace("line 8\n", "line eight\n"), old.replace("9", "nine")):
        with pytest.raises(CannotGrade, match="FAILED|[Rr]eversed"):
            patches.apply(diff, other)


# -- make program ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository in which programs can be saved."""
    copy = tmp_path_factory.mktemp("copy") / "house"
    shutil.copytree(
        ROOT, copy, ignore=shutil.ignore_patterns(".git", "__pycache__", ".*_cache")
    )
    return copy


def _run(house: Path, *command: str | Path) -> Done:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        list(map(str, command)), cwd=house, env=env, capture_output=True, text=True
    )


def _program(house: Path, name: str, folder: Path | str, *options: str) -> Done:
    tool = ("/usr/bin/python3", "-m", "grader.tests.programs")
    return _run(house, *tool, *options, name, folder)


def _wrong(house: Path, name: str) -> Path:
    stage, _, name = name.partition("/")
    return house / "grader/tests/stages" / stage / "wrong" / name


def test_a_program_is_written_edited_saved_and_written_again(
    house: Path, tmp_path: Path
) -> None:
    asked = ("make", "program", "NAME=3/setfd_for_setfl", f"DIR={tmp_path}")
    source = tmp_path / "3" / "tcp_server.c"
    patch = _wrong(house, "3/setfd_for_setfl.patch")
    header, diff = headers.divide_patch(patch.read_text())
    assert _run(house, *asked).returncode == 0
    assert source.read_text() == find("3/setfd_for_setfl").text
    assert _run(house, *asked, "SAVE=1").returncode == 0
    assert patch.read_text() == header + diff
    body = find("3/setfd_for_setfl").body.replace("F_SETFD", "F_SETLK")
    edited = source.read_text().removesuffix(find("3/setfd_for_setfl").body) + body
    source.write_text(edited)
    assert _run(house, *asked, "SAVE=1").returncode == 0
    assert patch.read_text() == header + diff.replace("F_SETFD", "F_SETLK")
    shutil.rmtree(tmp_path / "3")
    assert _run(house, *asked).returncode == 0
    assert source.read_text() == edited


def test_a_patch_that_has_become_long_is_a_whole_program_and_back(
    house: Path, tmp_path: Path
) -> None:
    name, source = "1/exits_one", tmp_path / "1" / "tcp_server.c"
    patch = _wrong(house, f"{name}.patch")
    as_patch = patch.read_text()
    assert _program(house, name, tmp_path).returncode == 0
    short = source.read_text()
    source.write_text(short + "/* more */\n" * LIMIT)
    assert _program(house, name, tmp_path, "--save").returncode == 0
    assert not patch.exists()
    assert patch.with_suffix(".c").read_text() == source.read_text()
    source.write_text(short)
    assert _program(house, name, tmp_path, "--save").returncode == 0
    assert not patch.with_suffix(".c").exists()
    assert patch.read_text() == as_patch


def test_a_new_program_is_refused_until_its_header_is_filled_in(
    house: Path, tmp_path: Path
) -> None:
    source = tmp_path / "1" / "tcp_server.c"
    source.parent.mkdir()
    right = find("right/1/chatty").text
    source.write_text(right.replace("EXIT_SUCCESS", "EXIT_FAILURE"))
    done = _program(house, "1/brand_new", tmp_path, "--save")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1/wrong/brand_new.patch is written: now fill in its header" in done.stdout
    patch = _wrong(house, "1/brand_new.patch")
    assert patch.read_text().startswith(
        "Base: right/chatty\nMistake:\nMust fail:\nMay fail:\nSays:\n\n--- base\n"
    )
    pytest_ = ("/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    tests = ("grader/tests/test_patches.py", "-k", "says_what_it_is and brand_new")
    failed = _run(house, *pytest_, *tests)
    assert failed.returncode == 1 and "is still to be filled in" in failed.stdout
    matrix = _run(house, "/usr/bin/python3", "-m", "grader.tests.matrix", "brand_new")
    assert (matrix.returncode, matrix.stdout) == (2, "")
    assert matrix.stderr.count("\n") == 1 and "'Mistake:'" in matrix.stderr
    filled = patch.read_text().replace("May fail:\nSays:\n", "")
    filled = filled.replace("Mistake:", "Mistake: It exits with the wrong status.")
    patch.write_text(filled.replace("Must fail:", "Must fail: one_client/exits_0"))
    matrix = _run(house, "/usr/bin/python3", "-m", "grader.tests.matrix", "brand_new")
    assert (matrix.returncode, matrix.stdout) == (2, "")
    known = "no check 'one_client/exits_0': did you mean one_client/exits_zero"
    assert matrix.stderr.count("\n") == 1 and known in matrix.stderr
    patch.write_text(filled.replace("Must fail:", "Must fail: one_client/exits_zero"))
    passed = _run(house, *pytest_, *tests)
    assert passed.returncode == 0, passed.stdout
    patch.unlink()


def test_a_new_program_does_not_take_over_the_header_of_another(
    house: Path, tmp_path: Path
) -> None:
    assert _program(house, "1/exits_two", tmp_path).returncode == 0
    assert _program(house, "1/exits_three", tmp_path, "--save").returncode == 0
    whole = _wrong(house, "1/exits_three.c")
    assert whole.read_text().startswith("/*\n * Mistake:\n * Must fail:\n")
    whole.unlink()
    done = _program(house, "1/exits_one", tmp_path, "--save")
    assert (done.returncode, done.stdout) == (2, "")
    assert "has another header than" in done.stderr


def test_what_is_not_saved_is_not_written_over(house: Path, tmp_path: Path) -> None:
    source = tmp_path / "3" / "tcp_server.c"
    assert _program(house, "3/blocking_send", tmp_path).returncode == 0
    assert _program(house, "3/knows_quit", tmp_path).returncode == 0
    edited = source.read_text() + "int more;\n"
    source.write_text(edited)
    done = _program(house, "3/blocking_send", tmp_path)
    assert (done.returncode, source.read_text()) == (2, edited)
    assert done.stderr == f"{source} is not as it was written: save it, or delete it\n"
    for folder in ("stages", "solutions"):
        there = (house / folder / "3/tcp_server.c").read_text()
        assert _program(house, "3/blocking_send", house / folder).returncode == 2
        assert (house / folder / "3/tcp_server.c").read_text() == there


@pytest.mark.parametrize(
    "name, folder, options, words",
    [
        ("3/blocking_sent", "new", [], "no program '3/blocking_sent': did you mean"),
        ("blocking_send", "new", [], "did you mean 3/blocking_send"),
        ("", "new", [], "no program is named: NAME=3/blocking_send"),
        ("3/blocking_send", "", [], "no folder is named: DIR=..."),
        ("3/blocking_send", "file", [], "cannot write"),
        ("3/blocking_send", "new", ["--save"], "cannot read"),
        ("right/3/chatty", "new", ["--save"], "is no name of a wrong program"),
        ("9/blocking_send", "new", ["--save"], "the course has no stage 9"),
        ("3/../../x", "new", ["--save"], "is no name of a wrong program"),
        ("1/same", "solution", ["--save"], "is the same program as solution/1"),
        ("1/exits_one", "solution", ["--save"], "is the same program as solution/1"),
        ("1/same", "right", ["--save"], "is the same program as right/1/chatty"),
        ("1/same", "latin", ["--save"], "it is not UTF-8"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    house: Path, tmp_path: Path, name: str, folder: str, options: list[str], words: str
) -> None:
    (tmp_path / "file").write_text("")
    handed_in = {
        "solution": solution(1).text.encode(),
        "right": find("right/1/chatty").text.encode(),
        "latin": b"/* \xe9 */\n",
    }
    for place, text in handed_in.items():
        (tmp_path / place / "1").mkdir(parents=True)
        (tmp_path / place / "1" / "tcp_server.c").write_bytes(text)
    where: Path | str = tmp_path / folder if folder else ""
    done = _program(house, name, where, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and words in done.stderr


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("EXIT_SUCCESS", "EXIT_NEVER", "does not apply to right/1/chatty: "),
        ("Base: right/chatty", "Base: right/chaty", "no base 'right/chaty'"),
        ("--- base", "", "the header has a line '+++ program'"),
    ],
)
def test_a_patch_that_cannot_be_used_is_said_in_one_line(
    house: Path, tmp_path: Path, old: str, new: str, words: str
) -> None:
    patch = _wrong(house, "1/exits_one.patch")
    text = patch.read_text()
    assert old in text
    patch.write_text(text.replace(old, new))
    done = _program(house, "1/exits_one", tmp_path)
    patch.write_text(text)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and words in done.stderr
    assert "exits_one.patch" in done.stderr
