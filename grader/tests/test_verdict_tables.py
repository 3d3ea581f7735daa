"""Tables of verdicts, and how two of them differ."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from grader import course
from grader.course import ROOT
from grader.tests.programs import find

# By its header, it must fail blocking/half_close and may fail concurrency/any_order.
SOME_MAY = "wrong/3/blocks_at_the_end"
# It must fail echo/pause, and may fail any other.
ANY_MAY = "wrong/3/forgets_after_a_pause"
# It must fail echo/large, and may fail blocking/slow_reader and blocking/half_close.
NEEDED = "wrong/3/remembers_everything"

CHANCE = " (by chance, as its header says)"


def _verdicts(tmp_path: Path, old: str, new: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "old").write_text(old)
    (tmp_path / "new").write_text(new)
    return _compare(tmp_path / "old", tmp_path / "new")


def _compare(*files: Path | str) -> subprocess.CompletedProcess[str]:
    tool = ["/usr/bin/python3", "-m", "grader.tests.verdicts"]
    return subprocess.run(
        [*tool, *map(str, files)], cwd=ROOT, capture_output=True, text=True
    )


def _table(name: str, **changed: str) -> str:
    """The table of a program that passes all checks but the CHANGED ones; echo_pause
    sets echo/pause."""
    statuses = dict.fromkeys(course.stage(3).checks, "passed")
    statuses |= {id.replace("_", "/", 1): status for id, status in changed.items()}
    return "".join(f"{name} {id} {status}\n" for id, status in statuses.items())


def test_the_headers_are_as_these_tests_take_them_to_be() -> None:
    some, any_, needed = (find(name).header for name in (SOME_MAY, ANY_MAY, NEEDED))
    assert some.must == {"blocking/half_close"}
    assert some.may == {"concurrency/any_order"}
    assert any_.must == {"echo/pause"} and any_.may == {"any"}
    assert needed.may == {"blocking/slow_reader", "blocking/half_close"}


def test_the_same_table_has_no_differences_in_any_order(tmp_path: Path) -> None:
    table = _table(SOME_MAY, blocking_half_close="failed")
    backwards = "".join(reversed(table.splitlines(keepends=True)))
    done = _verdicts(tmp_path, table, backwards)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "name, old, new, counts",
    [
        (SOME_MAY, {}, {"concurrency_any_order": "failed"}, False),
        (SOME_MAY, {"concurrency_any_order": "failed"}, {}, False),
        (SOME_MAY, {}, {"echo_line": "failed"}, True),
        (SOME_MAY, {"blocking_half_close": "failed"}, {}, True),
        (SOME_MAY, {}, {"concurrency_any_order": "error"}, True),
        (SOME_MAY, {}, {"concurrency_any_order": "skipped"}, True),
        (ANY_MAY, {}, {"blocking_memory": "failed"}, False),
        (ANY_MAY, {"echo_pause": "failed"}, {}, True),
        ("right/3/quiet", {}, {"echo_line": "failed"}, True),
        ("wrong/3/no_longer_there", {}, {"echo_line": "failed"}, True),
    ],
)
def test_what_a_header_says_is_chance_does_not_count(
    tmp_path: Path, name: str, old: dict[str, str], new: dict[str, str], counts: bool
) -> None:
    done = _verdicts(tmp_path, _table(name, **old), _table(name, **new))
    (changed,) = old | new
    was, now = old.get(changed, "passed"), new.get(changed, "passed")
    words = f"{name} {changed.replace('_', '/', 1)} {was} -> {now}"
    assert done.stdout == f"{words}{'' if counts else CHANCE}\n"
    assert done.returncode == counts


def test_what_is_skipped_for_a_failure_by_chance_is_chance_too(tmp_path: Path) -> None:
    checks = course.stage(3).checks
    skipped = next(c.id for c in checks.values() if "blocking/slow_reader" in c.needs)
    passes = _table(NEEDED, echo_large="failed")
    skips = passes.replace(f"{skipped} passed", f"{skipped} skipped")
    chance = skips.replace("slow_reader passed", "slow_reader failed")
    done = _verdicts(tmp_path, passes, chance)
    assert done.returncode == 0
    assert f"{NEEDED} {skipped} passed -> skipped{CHANCE}\n" in done.stdout
    done = _verdicts(tmp_path, passes, skips)
    assert (done.returncode, done.stdout) == (
        1,
        f"{NEEDED} {skipped} passed -> skipped\n",
    )


def test_a_program_or_a_check_in_one_table_only_is_a_difference(tmp_path: Path) -> None:
    both = _table(SOME_MAY) + _table("right/3/quiet")
    done = _verdicts(tmp_path, both, _table(SOME_MAY))
    assert (done.returncode, done.stdout) == (1, "right/3/quiet is only in OLD\n")
    done = _verdicts(tmp_path, _table(SOME_MAY), both)
    assert (done.returncode, done.stdout) == (1, "right/3/quiet is only in NEW\n")
    more = _table(SOME_MAY) + f"{SOME_MAY} echo/new passed\n"
    done = _verdicts(tmp_path, _table(SOME_MAY), more)
    assert done.stdout == f"{SOME_MAY} echo/new missing -> passed\n"


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "has no verdicts"),
        ("wrong/3/x echo/line\n", "line 1: "),
        ("a b passed\na b failed\n", "line 2: "),
    ],
)
def test_what_is_no_table_is_said_in_one_line(
    tmp_path: Path, text: str, words: str
) -> None:
    done = _verdicts(tmp_path, _table(SOME_MAY), text)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and words in done.stderr


def test_tables_that_are_missing_are_said_in_one_line(tmp_path: Path) -> None:
    none = str(tmp_path / "none")
    for files in ((none, none), ("", ""), (none,)):
        done = _compare(*files)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1


def test_the_matrix_writes_the_table_of_what_it_has_graded(tmp_path: Path) -> None:
    tool = ["/usr/bin/python3", "-m", "grader.tests.matrix"]
    names = ["right/1/tiny_buffer", "wrong/1/exits_two", "wrong/2/strips_the_newline"]
    written = tmp_path / "table"
    done = subprocess.run(
        [*tool, f"--table={written}", *names], cwd=ROOT, capture_output=True, text=True
    )
    lines = written.read_text().splitlines()
    assert lines == sorted(lines)
    assert "wrong/1/exits_two start/bad_port failed" in lines
    assert "wrong/1/exits_two echo/line passed" in lines
    assert "wrong/2/strips_the_newline lines/one failed" in lines
    count = {name: sum(line.startswith(f"{name} ") for line in lines) for name in names}
    first, second = (len(course.stage(stage).checks) for stage in (1, 2))
    assert done.returncode == 0, done.stdout
    assert list(count.values()) == [first, first, second]
    assert _compare(written, written).stdout == ""


def test_a_table_that_cannot_be_written_is_said_before_anything_is_graded(
    tmp_path: Path,
) -> None:
    tool = ["/usr/bin/python3", "-m", "grader.tests.matrix", "knows_quit"]
    done = subprocess.run(
        [*tool, f"--table={tmp_path}/none/table"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == f"cannot write {tmp_path}/none/table: No such file or directory\n"
    )
